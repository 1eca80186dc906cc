"""Who is refused because of a quota is told once when it begins and once when it has ended, never for each call."""

import pytest
import structlog
from structlog.testing import capture_logs

from redemption.rpc import quota_log
from redemption.rpc.quota_log import NAMES_MAX, QUIET_SECONDS, QuotaLog


class Clock:
    """A clock that a test moves; what is to be called later is called when its time has come."""

    def __init__(self):
        self.now, self.later = 0.0, []

    def call_later(self, seconds, callback):
        self.later.append((self.now + seconds, callback))

    def forward(self, seconds):
        self.now += seconds
        due = [callback for at, callback in self.later if at <= self.now]
        self.later = [(at, callback) for at, callback in self.later if at > self.now]
        for callback in due:
            callback()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def log(clock, monkeypatch):
    monkeypatch.setattr(quota_log, "_log", structlog.get_logger())
    return QuotaLog(now=lambda: clock.now, call_later=clock.call_later)


def told(entries):
    return [(entry["log_level"], entry.get("quota"), entry.get("name"), entry.get("refused")) for entry in entries]


def test_a_storm_is_told_when_it_begins_and_when_it_has_ended(log, clock):
    with capture_logs() as entries:
        for _ in range(1_000):
            log.refused("program", "loud")
            clock.forward(0.1)
        assert told(entries) == [("warning", "program", "loud", None)]
        clock.forward(2 * QUIET_SECONDS)
        assert told(entries)[1:] == [("info", "program", "loud", 1_000)]
        assert not clock.later, "nothing runs while nobody is refused"
        log.refused("program", "loud")
    assert told(entries)[2:] == [("warning", "program", "loud", None)]


def test_each_name_is_told_by_itself(log, clock):
    with capture_logs() as entries:
        log.refused("program", "ann")
        log.refused("principal", "ann")
        clock.forward(QUIET_SECONDS - 1)
        log.refused("principal", "ann")
        clock.forward(1)
        clock.forward(QUIET_SECONDS)
    assert told(entries) == [
        ("warning", "program", "ann", None),
        ("warning", "principal", "ann", None),
        ("info", "program", "ann", 1),
        ("info", "principal", "ann", 2),
    ]


def test_names_that_callers_invent_do_not_fill_the_log(log, clock):
    with capture_logs() as entries:
        for number in range(10 * NAMES_MAX):
            log.refused("program", f"name-{number}")
        assert len(entries) == NAMES_MAX + 1
        clock.forward(QUIET_SECONDS)
    assert len(entries) == 2 * NAMES_MAX + 2
    assert told(entries)[-1] == ("info", None, None, 9 * NAMES_MAX)
    assert not clock.later
