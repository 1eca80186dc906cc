"""Attempts in vain: who is locked out, and the exchange of what every server process saw, once a second.

A process locks a subject out by itself when it saw enough failures. What the others saw it learns within a second, by
one call in the background. While nobody fails, there is no such call.
"""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import structlog

from redemption.domain.errors import ServiceError
from redemption.domain.risk.assessment import NO_ACTIVE_RULES
from redemption.domain.risk.attempts import (
    MINUTE_MS,
    NOTHING_REPORTED,
    Minute,
    Report,
    Reported,
    Tried,
    added,
    pack_report,
    unpack_report,
)
from redemption.domain.risk.lock_out import CodeBudget, LockOuts
from redemption.domain.risk.rules import LockOut
from redemption.domain.risk.subjects import Subject
from redemption.ledger.functions import FunctionClient
from redemption.ledger.stores.rules import RulesStore
from redemption.ledger.trust.fence import Fence

EXCHANGE_SECONDS = 1.0
ACTIVE_MS = 10 * MINUTE_MS
"""A program is asked about for so long after the last failure that this process saw or heard of."""
UNKNOWN_MAX = 64
LOOKED_FOR = 4
"""Programs that this process does not know: how many are remembered, and how many are looked for in a second."""
_EXCHANGED_MINUTES = 2
_log = structlog.get_logger(__name__)


class _Program:
    """What is known of one program.

    Attributes:
        minute: What this process counts now.
        unsent: What it counted in the minute before, if the last of it was not reported yet.
        heard: The last report of each other process, by minute and process.
        budget: The program's budget of failed codes.
        active_ms: When a failure was seen or heard of last, Unix milliseconds.
    """

    __slots__ = ("active_ms", "budget", "heard", "minute", "unsent")

    def __init__(self, minute: int) -> None:
        self.minute = Minute(minute)
        self.unsent: Minute | None = None
        self.heard: dict[tuple[int, bytes], Report] = {}
        self.budget = CodeBudget()
        self.active_ms = 0


class AttemptStore:
    """Implements ``domain.ports.rules.AttemptLedger``."""

    def __init__(
        self, functions: FunctionClient, *, rules: RulesStore, fence: Fence, now_ms: Callable[[], int]
    ) -> None:
        """Build it; after ``start`` it exchanges reports.

        Args:
            functions: The ledger.
            rules: The rules of the programs.
            fence: Knows which programs there are: a program that a caller invented is not counted.
            now_ms: An estimate of the ledger's clock, Unix milliseconds.
        """
        self._functions = functions
        self._rules = rules
        self._fence = fence
        self._now_ms = now_ms
        self._process = secrets.token_bytes(8)
        self._lock_outs = LockOuts()
        self._programs: dict[str, _Program] = {}
        self._unknown: Counter[str] = Counter()
        self._stopping = asyncio.Event()
        self._exchanging: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Exchange reports every second from now on; needs a running event loop."""
        self._exchanging = asyncio.create_task(self._exchange_every_second(), name="attempts")

    async def stop(self) -> None:
        """Stop, after a call in flight."""
        self._stopping.set()
        if self._exchanging is not None:
            await self._exchanging

    def fail(self, program: str, subjects: Sequence[Subject], count: int, *, codes: bool) -> bool:
        """Count failures, see ``AttemptLedger``."""
        found = self._of(program)
        if found is None:
            if len(self._unknown) < UNKNOWN_MAX or program in self._unknown:
                self._unknown[program] += count
            return False
        now_ms = self._now_ms()
        found.active_ms = now_ms
        found.minute.fail(subjects, count, codes=codes)
        policy = self._policy(program)
        for subject in subjects:
            self._lock_outs.fail(program, subject, count, now_ms=now_ms, policy=policy)
        if codes:
            found.budget.spend(count, now_ms=now_ms, per_minute=policy.code_failures_per_minute)
        return True

    def refuse(self, program: str, subjects: Iterable[Subject]) -> None:
        """Count a refused request, see ``AttemptLedger``."""
        found = self._of(program)
        if found is not None:
            found.active_ms = self._now_ms()
            found.minute.refuse(subjects)

    def locked_until_ms(self, program: str, subject: Subject) -> int | None:
        """Return until when a subject is locked out, see ``AttemptLedger``."""
        return self._lock_outs.locked_until_ms(program, subject, self._now_ms())

    def codes_spent_until_ms(self, program: str) -> int | None:
        """Return until when the budget of failed codes is spent, see ``AttemptLedger``."""
        found = self._programs.get(program)
        if found is None:
            return None
        return found.budget.spent_until_ms(self._now_ms(), self._policy(program).code_failures_per_minute)

    def failed_lately(self, program: str, subjects: Iterable[Subject]) -> bool:
        """Whether any of the subjects failed lately, see ``AttemptLedger``."""
        return self._lock_outs.failed_lately(program, subjects, self._now_ms())

    def locked_out(self, program: str) -> int:
        """Return how many subjects are locked out, see ``AttemptLedger``."""
        return self._lock_outs.locked_out(program, self._now_ms(), self._policy(program))

    async def reported(self, program: str, minutes: int) -> Reported:
        """Return what was tried in vain, see ``AttemptLedger``."""
        if not await self._functions.begun(program):
            return NOTHING_REPORTED
        await self._exchange(program)
        reports = _read(await self._functions.call("attempts", program, minutes))
        failures: Counter[int] = Counter()
        for minute, _, report in reports:
            failures[minute] += report.failures
        return Reported(failures, added(report for _, _, report in reports))

    def _policy(self, program: str) -> LockOut:
        return (self._rules.cached(program) or NO_ACTIVE_RULES).rules.lock_out

    def _of(self, program: str) -> _Program | None:
        """Return what is known of a program, in the present minute; None if there is no such program."""
        minute = self._now_ms() // MINUTE_MS
        found = self._programs.get(program)
        if found is None:
            if self._fence.mark(program) is None:
                return None
            found = self._programs[program] = _Program(minute)
        elif found.minute.number < minute:
            found.unsent = found.minute if found.minute.changed else None
            found.minute = Minute(minute)
        return found

    async def _exchange_every_second(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EXCHANGE_SECONDS):
                    await self._stopping.wait()
                    return
            await self._look_for_programs()
            for program in list(self._programs):
                if self._programs[program].active_ms + ACTIVE_MS < self._now_ms():
                    del self._programs[program]
                    continue
                try:
                    await self._rules.load(program)
                    await self._exchange(program)
                except ServiceError:
                    continue  # the ledger's health says so; the next second tries again
                except Exception:  # noqa: BLE001 - logged with its traceback; the next second tries again
                    _log.exception("attempts cannot be exchanged", program=program)

    async def _look_for_programs(self) -> None:
        """Find out whether there are the programs that this process does not know and at which most attempts failed.

        Perhaps another process created them. Of programs that callers invent, a few a second are looked for at most.
        """
        names, self._unknown = self._unknown.most_common(LOOKED_FOR), Counter()
        for program, _ in names:
            with contextlib.suppress(ServiceError):
                await self._functions.begun(program)

    async def _exchange(self, program: str) -> None:
        """Report what is new, and learn what the other processes reported."""
        found = self._of(program)
        if found is None:
            return
        flat: Sequence[bytes] | None = None
        for minute in (found.unsent, found.minute):
            if minute is not None and minute.changed:
                minute.changed = False
                packed = pack_report(minute.report())
                try:
                    _, (flat,) = await self._functions.write(
                        "exchange_attempts", program, self._process, minute.number, packed
                    )
                except ServiceError:
                    minute.changed = True
                    raise
        found.unsent = None
        if flat is None:
            flat = await self._functions.call("attempts", program, _EXCHANGED_MINUTES)
        self._hear(program, found, flat)

    def _hear(self, program: str, found: _Program, flat: Sequence[bytes]) -> None:
        """Count what the reports of other processes have more than before."""
        now_ms, policy = self._now_ms(), self._policy(program)
        heard: dict[tuple[int, bytes], Report] = {}
        for minute, process, report in _read(flat):
            if process == self._process:
                continue
            before = found.heard.get((minute, process), _NOTHING)
            heard[minute, process] = report
            for subject, tried in report.subjects.items():
                more = tried.failures - before.subjects.get(subject, _NEVER).failures
                if more > 0:
                    found.active_ms = now_ms
                    self._lock_outs.fail(program, subject, more, now_ms=now_ms, policy=policy)
            if report.codes > before.codes:
                more = report.codes - before.codes
                found.budget.spend(more, now_ms=now_ms, per_minute=policy.code_failures_per_minute)
        found.heard = heard


_NOTHING = Report(0, 0, {})
_NEVER = Tried()


def _read(flat: Sequence[bytes]) -> list[tuple[int, bytes, Report]]:
    """Return the reports in a reply; those that cannot be read, of a newer version, are left out."""
    found = []
    for position in range(0, len(flat), 3):
        minute, process, packed = flat[position : position + 3]
        with contextlib.suppress(ValueError):
            found.append((int(minute), process, unpack_report(packed)))
    return found
