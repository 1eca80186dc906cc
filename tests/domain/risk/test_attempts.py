"""What subjects tried in vain: counted by the minute, bounded, and exchanged as a short report."""

import pytest

from redemption.domain.risk import attempts
from redemption.domain.risk.attempts import Minute, Report, Tried, added, pack_report, unpack_report
from redemption.domain.risk.subjects import Subject, SubjectKind


def phone(number):
    return Subject(SubjectKind.DEVICE, number.to_bytes(8))


def test_failures_and_refusals_are_counted_for_each_subject():
    minute = Minute(7)
    assert not minute.changed
    minute.fail([phone(1), phone(2)], 3, codes=False)
    minute.fail([phone(1)], 1, codes=True)
    minute.refuse([phone(2)])
    assert minute.changed
    assert minute.report() == Report(4, 1, {phone(1): Tried(0, 4), phone(2): Tried(1, 3)})


def test_a_report_has_those_with_most_attempts():
    minute = Minute(7)
    for number in range(1_000):
        minute.fail([phone(number)], 1 + number % 500, codes=False)
    report = minute.report()
    assert len(report.subjects) == attempts.REPORTED_MAX
    assert min(tried.failures for tried in report.subjects.values()) == 451
    assert len(pack_report(report)) < 2_000


def test_a_flood_of_names_used_once_does_not_hide_those_used_often(monkeypatch):
    monkeypatch.setattr(attempts, "COUNTED_MAX", 50)
    minute = Minute(7)
    for number in range(10_000):
        minute.fail([phone(number)], 1, codes=False)
        if number % 10 == 0:
            minute.fail([phone(10**9)], 1, codes=False)
    top = max(minute.report().subjects.items(), key=lambda item: item[1].failures)
    assert top == (phone(10**9), Tried(0, 1_000))
    assert minute.report().failures == 11_000


def test_a_report_is_read_as_it_was_written():
    report = Report(9, 2, {phone(1): Tried(3, 4), Subject(SubjectKind.CUSTOMER, b"12345678"): Tried(0, 2**40)})
    read = unpack_report(pack_report(report))
    assert read.subjects[phone(1)] == Tried(3, 4)
    assert read.subjects[Subject(SubjectKind.CUSTOMER, b"12345678")] == Tried(0, 2**32 - 1), "as large as it can be"
    assert (read.failures, read.codes) == (9, 2)


@pytest.mark.parametrize(
    "packed", [b"", b"\x01", b"\x02" + bytes(8), pack_report(Report(1, 0, {phone(1): Tried()}))[:-1]]
)
def test_a_report_that_cannot_be_read_is_refused(packed):
    with pytest.raises(ValueError, match="report"):
        unpack_report(packed)


def test_reports_are_added():
    together = added([Report(1, 0, {phone(1): Tried(1, 2)}), Report(1, 0, {phone(1): Tried(3, 4), phone(2): Tried(5)})])
    assert together == {phone(1): Tried(4, 6), phone(2): Tried(5, 0)}
