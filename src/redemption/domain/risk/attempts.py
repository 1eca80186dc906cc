"""Counts of what subjects tried in vain, minute by minute; and the report in which servers exchange them.

A report is about one minute, and has the subjects with most attempts only: so a flood of names that are used once costs
no more than a report. A subject is named as it is packed, until somebody asks for it: reports of an hour have tens of
thousands.
"""

import struct
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from heapq import nlargest
from typing import Final

from redemption.domain.risk.subjects import Subject, subject_from

REPORTED_MAX: Final = 100
"""Subjects in one report."""
COUNTED_MAX: Final = 2_000
"""Subjects that are counted in one minute; with more, those with the fewest attempts are forgotten, in about 1 ms."""
MINUTE_MS: Final = 60_000
_STEP: Final = 1_000
"""Subjects that are compared in one step."""
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
        packed: The subjects with most attempts.
    """

    failures: int
    codes: int
    packed: bytes

    def subjects(self) -> Iterator[tuple[bytes, int, int]]:
        """Return each subject, its refused attempts, and its tokens and codes that failed."""
        return _ENTRY.iter_unpack(self.packed)


@dataclass(frozen=True, slots=True)
class Reported:
    """What all servers reported together.

    Attributes:
        failures: How many tokens and codes failed, by minute (since 1970).
        refused_of: How many attempts of each of the subjects with most attempts were refused.
        failures_of: How many tokens and codes of each of them failed.
    """

    failures: Mapping[int, int]
    refused_of: Mapping[bytes, int]
    failures_of: Mapping[bytes, int]

    def failures_of_last_minute(self, now_ms: int) -> int:
        """Estimate how many failed in the last 60 seconds, as if the minute before had been even."""
        minute, passed_ms = divmod(now_ms, MINUTE_MS)
        before = self.failures.get(minute - 1, 0) * (MINUTE_MS - passed_ms) // MINUTE_MS
        return self.failures.get(minute, 0) + before

    def of(self, subject: Subject) -> Tried:
        """Return what one subject tried."""
        return self._tried(subject.packed)

    def top(self, count: int) -> Generator[None, None, list[tuple[Subject, Tried]]]:
        """Return those who tried most, most first; find them in steps."""
        first: list[tuple[int, bytes]] = []
        step: list[tuple[int, bytes]] = []
        for packed, failures in self.failures_of.items():  # every subject is in both
            step.append((-failures - self.refused_of[packed], packed))
            if len(step) == _STEP:
                first, step = sorted(first + step)[:count], []
                yield
        ranked = sorted(first + step)[:count]
        found = []
        for _, packed in ranked:
            with suppress(ValueError):  # of a kind that a newer version counts
                found.append((subject_from(packed), self._tried(packed)))
        return found

    def _tried(self, packed: bytes) -> Tried:
        return Tried(self.refused_of.get(packed, 0), self.failures_of.get(packed, 0))


NOTHING_REPORTED: Final = Reported({}, {}, {})


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
        self._subjects: dict[bytes, Tried] = {}

    def fail(self, subjects: Iterable[bytes], count: int, *, codes: bool) -> None:
        """Count tokens, or exchange codes, of one request that failed."""
        self.changed = True
        self.failures += count
        if codes:
            self.codes += count
        for tried in self._of(subjects):
            tried.failures += count

    def refuse(self, subjects: Iterable[bytes]) -> None:
        """Count a request that a rule, a list or a lock-out refused."""
        self.changed = True
        for tried in self._of(subjects):
            tried.refused += 1

    def _of(self, subjects: Iterable[bytes]) -> Iterator[Tried]:
        for subject in subjects:
            found = self._subjects.get(subject)
            if found is None:
                if len(self._subjects) >= COUNTED_MAX:
                    self._subjects = dict(self._top(COUNTED_MAX // 2))
                found = self._subjects[subject] = Tried()
            yield found

    def _top(self, count: int) -> list[tuple[bytes, Tried]]:
        return nlargest(count, self._subjects.items(), key=lambda item: item[1].refused + item[1].failures)

    def report(self) -> Report:
        """Return what there is to report."""
        packed = [
            _ENTRY.pack(subject, _counted(tried.refused), _counted(tried.failures))
            for subject, tried in self._top(REPORTED_MAX)
        ]
        return Report(self.failures, self.codes, b"".join(packed))


def pack_report(report: Report) -> bytes:
    """Pack a report, about 17 bytes a subject."""
    return _HEAD.pack(_FORMAT, _counted(report.failures), _counted(report.codes)) + report.packed


def unpack_report(packed: bytes) -> Report:
    """Unpack a report.

    Raises:
        ValueError: It is of a format that is not known.
    """
    if len(packed) < _HEAD.size or (len(packed) - _HEAD.size) % _ENTRY.size:
        raise ValueError("a report that is cut short")
    form, failures, codes = _HEAD.unpack_from(packed)
    if form != _FORMAT:
        raise ValueError(f"a report of unknown format {form}")
    return Report(failures, codes, packed[_HEAD.size :])


def added(reports: Iterable[tuple[int, Report]]) -> Generator[None, None, Reported]:
    """Return what the reports, each about a minute, say together; add them in steps."""
    failures: Counter[int] = Counter()
    refused_of: dict[bytes, int] = {}
    failures_of: dict[bytes, int] = {}
    for minute, report in reports:
        failures[minute] += report.failures
        for subject, refused, failed in report.subjects():
            refused_of[subject] = refused_of.get(subject, 0) + refused
            failures_of[subject] = failures_of.get(subject, 0) + failed
        yield
    return Reported(failures, refused_of, failures_of)


def _counted(count: int) -> int:
    return min(count, 2**32 - 1)
