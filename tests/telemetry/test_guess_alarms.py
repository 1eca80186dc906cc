"""Alarms of guessing: an operator is told once of each incident."""

import pytest
from structlog.testing import capture_logs

from redemption.telemetry import guess_alarms
from redemption.telemetry.guess_alarms import FAILURES_MIN, WINDOW_SECONDS, GuessAlarms


class Time:
    now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def alarms(time):
    return GuessAlarms(time)


def raised(logs):
    return [(entry["program"], entry.get("principal"), entry.get("failures")) for entry in logs]


def test_many_failures_of_one_service_in_a_minute_are_told_once(alarms):
    with capture_logs() as logs:
        for _ in range(3 * FAILURES_MIN):
            alarms.failed("shop", "app", 1)
            alarms.failed("shop", "web", 0)
    assert raised(logs) == [("shop", "app", FAILURES_MIN)]


def test_a_service_that_goes_on_is_told_again_in_the_next_minute(alarms, time):
    with capture_logs() as logs:
        for _ in range(2):
            alarms.failed("shop", "app", FAILURES_MIN)
            time.now += WINDOW_SECONDS
    assert len(logs) == 2


def test_failures_that_are_spread_over_minutes_are_no_alarm(alarms, time):
    with capture_logs() as logs:
        for _ in range(10):
            alarms.failed("shop", "app", FAILURES_MIN - 1)
            time.now += WINDOW_SECONDS
    assert logs == []


def test_each_service_of_each_program_is_counted_for_itself(alarms):
    with capture_logs() as logs:
        for program, principal in (("shop", "app"), ("shop", "web"), ("mart", "app")):
            alarms.failed(program, principal, FAILURES_MIN - 1)
    assert logs == []


def test_only_so_many_services_are_counted(alarms, monkeypatch):
    monkeypatch.setattr(guess_alarms, "SERVICES_MAX", 2)
    for principal in ("app", "web", "till"):
        alarms.failed("shop", principal, 1)
    assert len(alarms._failures) == 1


def test_a_spent_budget_is_told_once_for_as_long_as_it_is_spent_and_once_a_minute_at_most(alarms, time):
    with capture_logs() as logs:
        for _ in range(20):
            alarms.code_budget_spent("shop", 10.0)
            time.now += WINDOW_SECONDS / 15
        alarms.code_budget_spent("mart", 100.0)
        time.now += 99
        alarms.code_budget_spent("mart", 100.0)
    assert [(entry["program"], entry["seconds"]) for entry in logs] == [("shop", 10.0), ("shop", 10.0), ("mart", 100.0)]


def test_only_so_many_programs_are_remembered(alarms, monkeypatch):
    monkeypatch.setattr(guess_alarms, "PROGRAMS_MAX", 2)
    for program in ("shop", "mart", "club"):
        alarms.code_budget_spent(program, 10.0)
    assert list(alarms._spent_until) == ["club"]
