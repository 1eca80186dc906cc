"""What subjects tried in vain: counted by the minute, bounded, and exchanged as a short report."""

import pytest

from redemption.domain.risk import attempts
from redemption.domain.risk.attempts import Minute, Report, Reported, Tried, added, pack_report, unpack_report
from redemption.domain.risk.subjects import Subject, SubjectKind, subject_from
from redemption.domain.steps import finished


def phone(number):
    return Subject(SubjectKind.DEVICE, number.to_bytes(8)).packed


def counts(report):
    """What a report says: all failures, codes, and each subject's refused attempts and failures."""
    return report.failures, report.codes, {subject: tried for subject, *tried in report.subjects()}


def report_of(**subjects):
    """A report of phones, by the number in their names: their refused attempts and failures."""
    minute = Minute(7)
    for name, (refused, failures) in subjects.items():
        subject = phone(int(name.removeprefix("phone")))
        minute.fail([subject], failures, codes=False)
        for _ in range(refused):
            minute.refuse([subject])
    return minute.report()


def test_failures_and_refusals_are_counted_for_each_subject():
    minute = Minute(7)
    assert not minute.changed
    minute.fail([phone(1), phone(2)], 3, codes=False)
    minute.fail([phone(1)], 1, codes=True)
    minute.refuse([phone(2)])
    assert minute.changed
    assert counts(minute.report()) == (4, 1, {phone(1): [0, 4], phone(2): [1, 3]})


def test_a_report_has_those_with_most_attempts():
    minute = Minute(7)
    for number in range(1_000):
        minute.fail([phone(number)], 1 + number % 500, codes=False)
    report = minute.report()
    tried = list(report.subjects())
    assert len(tried) == attempts.REPORTED_MAX
    assert min(failures for _, _, failures in tried) == 451
    assert len(pack_report(report)) < 2_000


def test_a_flood_of_names_used_once_does_not_hide_those_used_often(monkeypatch):
    monkeypatch.setattr(attempts, "COUNTED_MAX", 50)
    minute = Minute(7)
    for number in range(10_000):
        minute.fail([phone(number)], 1, codes=False)
        if number % 10 == 0:
            minute.fail([phone(10**9)], 1, codes=False)
    assert next(minute.report().subjects()) == (phone(10**9), 0, 1_000)
    assert minute.report().failures == 11_000


def test_a_report_is_read_as_it_was_written():
    minute = Minute(7)
    minute.fail([phone(1)], 2**40, codes=True)
    minute.refuse([phone(1), Subject(SubjectKind.CUSTOMER, b"12345678").packed])
    report = minute.report()
    assert unpack_report(pack_report(report)) == Report(2**32 - 1, 2**32 - 1, report.packed), "as large as it can be"
    assert next(report.subjects()) == (phone(1), 1, 2**32 - 1)


@pytest.mark.parametrize("packed", [b"", b"\x01", b"\x02" + bytes(8), pack_report(report_of(phone1=(0, 1)))[:-1]])
def test_a_report_that_cannot_be_read_is_refused(packed):
    with pytest.raises(ValueError, match="report"):
        unpack_report(packed)


def test_reports_are_added():
    reports = [(7, report_of(phone1=(1, 2))), (8, report_of(phone1=(3, 4), phone2=(5, 0)))]
    reported = finished(added(reports))
    assert reported.failures == {7: 2, 8: 4}
    assert reported.of(subject_from(phone(1))) == Tried(4, 6)
    assert reported.of(subject_from(phone(2))) == Tried(5, 0)
    assert reported.of(subject_from(phone(3))) == Tried()


def test_those_who_tried_most_are_found_among_many_in_steps():
    """Also those of a kind that this version does not know are left out."""
    failures_of = {phone(number): 1 + number % 5_000 for number in range(10_000)}
    failures_of[b"\x09 unknown"] = 10**6
    reported = Reported({}, dict.fromkeys(failures_of, 0), failures_of)
    steps, pauses = reported.top(4), 0
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found = done.value
            break
        pauses += 1
    assert [(int.from_bytes(subject.id), tried.failures) for subject, tried in found] == [
        (4_999, 5_000),
        (9_999, 5_000),
        (4_998, 4_999),
    ]
    assert pauses == 10
