"""Lock-out: who has guessed so often that their failed tokens and codes are answered with a time to wait.

Failures of a subject are counted as rates are (``lua/velocity.lua``): so many within the period lock it out, however
they are spread. Each further lock-out lasts twice as long, up to a bound; after as long a quiet time, the next one is
the first again.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from redemption.domain.risk.rules import LockOut, RuleMode
from redemption.domain.risk.subjects import Subject, SubjectKind

SUBJECTS_MAX: Final = 50_000
"""Subjects with failures that a process remembers, about 15 MB; those that failed longest ago are forgotten first."""
COUNTED: Final = (SubjectKind.CUSTOMER, SubjectKind.DEVICE, SubjectKind.NETWORK)
"""Kinds of subjects whose failures are counted. Never a calling service: one vandal must not lock out a whole shop."""
LATELY_SECONDS: Final = 600
"""Whoever failed within this time waits while the program's budget of failed codes is spent."""
_MILLISECONDS: Final = 1000


def mode_of(policy: LockOut, kind: SubjectKind) -> RuleMode:
    """Return whether subjects of a kind are locked out."""
    if kind is SubjectKind.CUSTOMER:
        return policy.customers
    return policy.devices if kind is SubjectKind.DEVICE else policy.networks


class _Failures:
    """The failures of one subject; all times in Unix milliseconds.

    Attributes:
        due_ms: When the last failure would have come, had all come evenly spaced.
        last_ms: When the last one came.
        lock_outs: How often it was locked out in a row.
        until_ms: Until when it is locked out.
    """

    __slots__ = ("due_ms", "last_ms", "lock_outs", "until_ms")

    def __init__(self) -> None:
        self.due_ms = 0.0
        self.last_ms = self.until_ms = 0
        self.lock_outs = 0

    def add(self, count: int, now_ms: int, policy: LockOut) -> None:
        """Count some failures, at once."""
        if now_ms - max(self.last_ms, self.until_ms) >= policy.wait_seconds_max * _MILLISECONDS:
            self.lock_outs = 0
        self.last_ms = now_ms
        period_ms = policy.period_seconds * _MILLISECONDS
        self.due_ms = max(self.due_ms, now_ms) + count * period_ms / policy.failures
        # Compared with half a failure less, so that a division that is not exact loses none.
        last_free_ms = period_ms - period_ms / policy.failures / 2
        while self.due_ms - now_ms > last_free_ms:
            self.due_ms -= period_ms
            wait_ms = min(policy.wait_seconds << min(self.lock_outs, 30), policy.wait_seconds_max) * _MILLISECONDS
            self.until_ms = max(self.until_ms, now_ms + wait_ms)
            self.lock_outs += 1


class LockOuts:
    """The failures of the subjects of all programs, as one process knows them."""

    def __init__(self, *, subjects_max: int = SUBJECTS_MAX) -> None:
        """Build it; ``subjects_max`` is how many subjects are remembered."""
        self._subjects_max = subjects_max
        self._failures: OrderedDict[tuple[str, bytes], _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def fail(self, program: str, subject: Subject, count: int, *, now_ms: int, policy: LockOut) -> None:
        """Count failures of a subject.

        Args:
            program: The program.
            subject: Who failed.
            count: How often.
            now_ms: The moment, Unix milliseconds.
            policy: The program's rules of lock-out.
        """
        key = (program, subject.packed)
        found = self._failures.get(key)
        if found is None:
            found = self._failures[key] = _Failures()
            if len(self._failures) > self._subjects_max:
                self._failures.popitem(last=False)
        else:
            self._failures.move_to_end(key)
        found.add(count, now_ms, policy)

    def locked_until_ms(self, program: str, subject: Subject, now_ms: int) -> int | None:
        """Return until when a subject is locked out, Unix milliseconds; None if it is not."""
        found = self._failures.get((program, subject.packed))
        return found.until_ms if found is not None and found.until_ms > now_ms else None

    def failed_lately(self, program: str, subjects: Iterable[Subject], now_ms: int) -> bool:
        """Whether any of these subjects failed within ``LATELY_SECONDS``."""
        since_ms = now_ms - LATELY_SECONDS * _MILLISECONDS
        found = [self._failures.get((program, subject.packed)) for subject in subjects]
        return any(failures is not None and failures.last_ms > since_ms for failures in found)

    def locked_out(self, program: str, now_ms: int, policy: LockOut) -> int:
        """Return how many subjects of a program are locked out now, without those that only would be."""
        return sum(
            of_program == program
            and failures.until_ms > now_ms
            and mode_of(policy, SubjectKind(packed[0])) is RuleMode.ENFORCE
            for (of_program, packed), failures in self._failures.items()
        )


class CodeBudget:
    """How many exchange codes of one program may still fail in this minute."""

    __slots__ = ("_due_ms",)

    def __init__(self) -> None:
        self._due_ms = 0.0

    def spend(self, count: int, *, now_ms: int, per_minute: int) -> None:
        """Count codes that failed."""
        minute_ms = 60 * _MILLISECONDS
        due_ms = max(self._due_ms, now_ms) + count * minute_ms / per_minute
        self._due_ms = min(due_ms, now_ms + 2 * minute_ms)  # so that a flood does not spend the budget of an hour

    def spent_until_ms(self, now_ms: int, per_minute: int) -> int | None:
        """Return when there is room for another failure, Unix milliseconds; None if there is room now."""
        minute_ms = 60 * _MILLISECONDS
        until_ms = math.ceil(self._due_ms + minute_ms / per_minute - minute_ms)
        return until_ms if until_ms > now_ms else None
