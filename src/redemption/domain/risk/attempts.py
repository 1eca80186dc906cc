"""Counts of what subjects tried in vain, minute by minute; and the report in which servers exchange them.

A report is about one minute, and has the subjects with most attempts only: so a flood of names that are used once costs
no more than a report.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nlargest
from typing import Final

from redemption.domain.risk.subjects import Subject, subject_from

REPORTED_MAX: Final = 100
"""Subjects in one report."""
COUNTED_MAX: Final = 10_000
"""Subjects that are counted in one minute; with more, those with the fewest attempts are forgotten."""
MINUTE_MS: Final = 60_000
_HEAD: Final = struct.Struct(">BII")
_ENTRY: Final = struct.Struct(">9sII")
_FORMAT: Final = 1


@dataclass(slots=True)
class Tried:
    """What one subject tried in vain: attempts that were refused, and tokens and codes that failed."""

    refused: int = 0
    failures: int = 0

    @property
    def together(self) -> int:
        """The sum."""
        return self.refused + self.failures


@dataclass(frozen=True, slots=True)
class Report:
    """What one server counted in one minute.

    Attributes:
        failures: All tokens and codes that failed.
        codes: Codes among them.
        subjects: The subjects with most attempts.
    """

    failures: int
    codes: int
    subjects: Mapping[Subject, Tried]


@dataclass(frozen=True, slots=True)
class Reported:
    """What all servers reported together.

    Attributes:
        failures: How many tokens and codes failed, by minute (since 1970).
        subjects: What each of the subjects with most attempts tried.
    """

    failures: Mapping[int, int]
    subjects: Mapping[Subject, Tried]

    def failures_of_last_minute(self, now_ms: int) -> int:
        """Estimate how many failed in the last 60 seconds, as if the minute before had been even."""
        minute, passed_ms = divmod(now_ms, MINUTE_MS)
        before = self.failures.get(minute - 1, 0) * (MINUTE_MS - passed_ms) // MINUTE_MS
        return self.failures.get(minute, 0) + before


NOTHING_REPORTED: Final = Reported({}, {})


class Minute:
    """The attempts of one program in one minute, as one process sees them.

    Attributes:
        number: The minute, since 1970.
        failures: All tokens and codes that failed.
        codes: Codes among them.
        changed: There is something that was not reported yet.
    """

    __slots__ = ("_subjects", "changed", "codes", "failures", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.failures = self.codes = 0
        self.changed = False
        self._subjects: dict[Subject, Tried] = {}

    def fail(self, subjects: Iterable[Subject], count: int, *, codes: bool) -> None:
        """Count tokens, or exchange codes, of one request that failed."""
        self.changed = True
        self.failures += count
        if codes:
            self.codes += count
        for tried in self._of(subjects):
            tried.failures += count

    def refuse(self, subjects: Iterable[Subject]) -> None:
        """Count a request that a rule, a list or a lock-out refused."""
        self.changed = True
        for tried in self._of(subjects):
            tried.refused += 1

    def _of(self, subjects: Iterable[Subject]) -> Iterator[Tried]:
        for subject in subjects:
            found = self._subjects.get(subject)
            if found is None:
                if len(self._subjects) >= COUNTED_MAX:
                    self._subjects = dict(self._top(COUNTED_MAX // 2))
                found = self._subjects[subject] = Tried()
            yield found

    def _top(self, count: int) -> list[tuple[Subject, Tried]]:
        return nlargest(count, self._subjects.items(), key=lambda item: item[1].together)

    def report(self) -> Report:
        """Return what there is to report."""
        return Report(self.failures, self.codes, dict(self._top(REPORTED_MAX)))


def pack_report(report: Report) -> bytes:
    """Pack a report, about 17 bytes a subject."""
    parts = [_HEAD.pack(_FORMAT, _counted(report.failures), _counted(report.codes))]
    for subject, tried in report.subjects.items():
        parts.append(_ENTRY.pack(subject.packed, _counted(tried.refused), _counted(tried.failures)))
    return b"".join(parts)


def unpack_report(packed: bytes) -> Report:
    """Unpack a report.

    Raises:
        ValueError: It is of a format that is not known.
    """
    try:
        form, failures, codes = _HEAD.unpack_from(packed)
        if form != _FORMAT:
            raise ValueError(f"a report of unknown format {form}")
        subjects = {
            subject_from(subject): Tried(refused, failed)
            for subject, refused, failed in _ENTRY.iter_unpack(packed[_HEAD.size :])
        }
    except struct.error as error:
        raise ValueError("a report that is cut short") from error
    return Report(failures, codes, subjects)


def added(reports: Iterable[Report]) -> dict[Subject, Tried]:
    """Return what all reports together say of each subject."""
    together: dict[Subject, Tried] = {}
    for report in reports:
        for subject, tried in report.subjects.items():
            found = together.setdefault(subject, Tried())
            found.refused += tried.refused
            found.failures += tried.failures
    return together


def _counted(count: int) -> int:
    return min(count, 2**32 - 1)
