"""Lock-out: who has guessed so often that their failed tokens and codes are answered with a time to wait.

Failures of a subject are counted as rates are (``lua/velocity.lua``): so many within the period lock it out, however
they are spread. Each further lock-out lasts twice as long, up to a bound; after as long a quiet time, the next one is
the first again.
"""

import math
from collections import OrderedDict
from collections.abc import Generator, Iterable
from typing import Final

from redemption.domain.risk.rules import LockOut, RuleMode
from redemption.domain.risk.subjects import SubjectKind

FAILED_MAX: Final = 20_000
"""Subjects of a program whose tokens failed that a process remembers; who failed longest ago is forgotten first."""
FAILED_CODES_MAX: Final = 20_000
"""Those whose codes failed, apart from the former: who floods with tokens must not make us forget who guesses codes."""
LOCKED_MAX: Final = 20_000
"""Those that are locked out, or were. Who is locked out is not forgotten for others."""
COUNTED: Final = (SubjectKind.CUSTOMER, SubjectKind.DEVICE, SubjectKind.NETWORK)
"""Kinds of subjects whose failures are counted. Never a calling service: one vandal must not lock out a whole shop."""
LATELY_SECONDS: Final = 600
"""Whoever failed within this time waits while the program's budget of failed codes is spent."""
_LOOKED_AT = 8
"""So many of those that were locked out are looked at for one whose place is free."""
_STEP = 100
"""Subjects in one step of long work."""
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
        of_codes: Exchange codes are among them.
    """

    __slots__ = ("due_ms", "last_ms", "lock_outs", "of_codes", "until_ms")

    def __init__(self) -> None:
        self.due_ms = 0.0
        self.last_ms = self.until_ms = 0
        self.lock_outs = 0
        self.of_codes = False

    def add(self, count: int, now_ms: int, policy: LockOut) -> None:
        """Count some failures, at once. However many they are, they are at most one lock-out."""
        if now_ms - max(self.last_ms, self.until_ms) >= policy.wait_seconds_max * _MILLISECONDS:
            self.lock_outs = 0
        self.last_ms = now_ms
        period_ms = policy.period_seconds * _MILLISECONDS
        self.due_ms = max(self.due_ms, now_ms) + count * period_ms / policy.failures
        self._lock_out_if_due(now_ms, policy)

    def left(self, now_ms: int, policy: LockOut) -> int:
        """Return how many more failures lock it out."""
        failed = max(self.due_ms - now_ms, 0) * policy.failures / (policy.period_seconds * _MILLISECONDS)
        return math.floor(policy.failures - 0.5 - failed) + 1

    def add_earlier(self, earlier: "_Failures", now_ms: int, policy: LockOut) -> None:
        """Count what came before the first failure in this, and what of it matters still."""
        if self.last_ms - max(earlier.last_ms, earlier.until_ms) < policy.wait_seconds_max * _MILLISECONDS:
            self.lock_outs += earlier.lock_outs
        if self.until_ms > now_ms:  # it was locked out as if for the first time
            self.until_ms = max(self.until_ms, now_ms + _wait_ms(self.lock_outs - 1, policy))
        self.until_ms = max(self.until_ms, earlier.until_ms)
        self.last_ms = max(self.last_ms, earlier.last_ms)
        self.of_codes = self.of_codes or earlier.of_codes
        self.due_ms = max(self.due_ms, now_ms) + max(earlier.due_ms - now_ms, 0)
        self._lock_out_if_due(now_ms, policy)

    def _lock_out_if_due(self, now_ms: int, policy: LockOut) -> None:
        period_ms = policy.period_seconds * _MILLISECONDS
        # Compared with half a failure less, so that a division that is not exact loses none.
        if self.due_ms - now_ms > period_ms - period_ms / policy.failures / 2:
            self.due_ms = now_ms
            self.until_ms = max(self.until_ms, now_ms + _wait_ms(self.lock_outs, policy))
            self.lock_outs += 1


def _wait_ms(lock_outs: int, policy: LockOut) -> int:
    """Return how long somebody waits who was locked out so often before."""
    return min(policy.wait_seconds << min(lock_outs, 30), policy.wait_seconds_max) * _MILLISECONDS


class LockOuts:
    """The failures of the subjects of one program, as one process knows them. A subject is named as it is packed.

    There are three parts, each with a bound of its own, so that a flood of fresh names makes us forget none of those
    that matter more: subjects whose tokens failed, subjects whose codes failed, and subjects that are locked out.
    """

    def __init__(
        self, *, failed_max: int = FAILED_MAX, failed_codes_max: int = FAILED_CODES_MAX, locked_max: int = LOCKED_MAX
    ) -> None:
        """Build it with the bounds of its parts."""
        self._failed: OrderedDict[bytes, _Failures] = OrderedDict()
        self._failed_codes: OrderedDict[bytes, _Failures] = OrderedDict()
        self._locked: OrderedDict[bytes, _Failures] = OrderedDict()
        self._failed_max, self._failed_codes_max, self._locked_max = failed_max, failed_codes_max, locked_max

    def __len__(self) -> int:
        return len(self._failed) + len(self._failed_codes) + len(self._locked)

    def fail(self, subject: bytes, count: int, *, now_ms: int, policy: LockOut, codes: bool = False) -> None:
        """Count failures of one request, or of one report: at most one lock-out.

        Args:
            subject: Who failed.
            count: How often.
            now_ms: The moment, Unix milliseconds.
            policy: The program's rules of lock-out.
            codes: They are exchange codes.
        """
        found = self._find(subject) or _Failures()
        found.add(count, now_ms, policy)
        found.of_codes = found.of_codes or codes
        self._keep(subject, found, now_ms)

    def add_earlier(self, earlier: "LockOuts", now_ms: int, policy: LockOut) -> Generator[None, None, None]:
        """Count what came before everything in this, in steps. ``earlier`` must not change meanwhile."""
        for part in (earlier._failed, earlier._failed_codes, earlier._locked):  # noqa: SLF001 - of its own class
            for number, (subject, before) in enumerate(part.items(), 1):
                found = self._find(subject)
                if found is None:
                    found = before
                else:
                    found.add_earlier(before, now_ms, policy)
                self._keep(subject, found, now_ms)
                if number % _STEP == 0:
                    yield

    def locked_until_ms(self, subject: bytes, now_ms: int) -> int | None:
        """Return until when a subject is locked out, Unix milliseconds; None if it is not."""
        found = self._find(subject)
        return found.until_ms if found is not None and found.until_ms > now_ms else None

    def failures_left(self, subject: bytes, now_ms: int, policy: LockOut) -> int:
        """Return how many more failures at once lock a subject out."""
        found = self._find(subject)
        return policy.failures if found is None else found.left(now_ms, policy)

    def failed_lately(self, subjects: Iterable[bytes], now_ms: int) -> bool:
        """Whether any of these subjects failed within ``LATELY_SECONDS``."""
        since_ms = now_ms - LATELY_SECONDS * _MILLISECONDS
        found = [self._find(subject) for subject in subjects]
        return any(failures is not None and failures.last_ms > since_ms for failures in found)

    def locked_out(self, now_ms: int, policy: LockOut) -> Generator[None, None, int]:
        """Return how many subjects are locked out now, without those that only would be; count them in steps."""
        enforced = {int(kind) for kind in COUNTED if mode_of(policy, kind) is RuleMode.ENFORCE}
        count = 0
        for part in (self._failed, self._failed_codes, self._locked):
            for number, subject in enumerate(list(part), 1):
                failures = part.get(subject)  # it may be forgotten between two steps
                count += failures is not None and failures.until_ms > now_ms and subject[0] in enforced
                if number % _STEP == 0:
                    yield
        return count

    def _find(self, subject: bytes) -> _Failures | None:
        return self._locked.get(subject) or self._failed_codes.get(subject) or self._failed.get(subject)

    def _keep(self, subject: bytes, failures: _Failures, now_ms: int) -> None:
        """Put a subject into the part in which it belongs, and forget another one if that part is full."""
        if subject in self._locked:
            return
        if failures.until_ms > now_ms and self._has_place(now_ms):
            self._failed.pop(subject, None)
            self._failed_codes.pop(subject, None)
            self._locked[subject] = failures
            return
        if failures.of_codes:
            self._failed.pop(subject, None)
            part, most = self._failed_codes, self._failed_codes_max
        else:
            part, most = self._failed, self._failed_max
        part[subject] = failures
        part.move_to_end(subject)
        if len(part) > most:
            part.popitem(last=False)

    def _has_place(self, now_ms: int) -> bool:
        """Whether one more is remembered as locked out; forgets one whose lock-out has ended, if it must."""
        if len(self._locked) < self._locked_max:
            return True
        for _ in range(_LOOKED_AT):
            subject, failures = next(iter(self._locked.items()))
            if failures.until_ms <= now_ms:
                del self._locked[subject]
                return True
            self._locked.move_to_end(subject)
        return False


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

    def spend_earlier(self, earlier: "CodeBudget", now_ms: int) -> None:
        """Count what was spent before, and what of it matters still."""
        due_ms = max(self._due_ms, now_ms) + max(earlier._due_ms - now_ms, 0)  # noqa: SLF001 - of its own class
        self._due_ms = min(due_ms, now_ms + 2 * 60 * _MILLISECONDS)

    def spent_until_ms(self, now_ms: int, per_minute: int) -> int | None:
        """Return when there is room for another failure, Unix milliseconds; None if there is room now."""
        minute_ms = 60 * _MILLISECONDS
        until_ms = math.ceil(self._due_ms + minute_ms / per_minute - minute_ms)
        return until_ms if until_ms > now_ms else None
