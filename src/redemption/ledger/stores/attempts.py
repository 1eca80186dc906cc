"""Attempts in vain: who is locked out, and the exchange of what every server process saw, once a second.

A process locks a subject out by itself when it saw enough failures. What the others saw it learns within two seconds: a
process reports and asks once a second, by one call in the background. A process begins with a program when it first
sees a failure or a claim by code in it: it reads at once what all processes reported in the last hour. After ten quiet
minutes it forgets the program as a whole. While nobody fails or claims by code, there is no call.
"""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TypeVar

import structlog

from redemption.domain.errors import ServiceError
from redemption.domain.risk.assessment import NO_ACTIVE_RULES
from redemption.domain.risk.attempts import (
    MINUTE_MS,
    NOTHING_REPORTED,
    Minute,
    Report,
    Reported,
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
from redemption.scheduling.fair_slots import FairSlots
from redemption.scheduling.single_flight import SingleFlight
from redemption.scheduling.work_bounds import ATTEMPTS

EXCHANGE_SECONDS = 1.0
ACTIVE_MS = 10 * MINUTE_MS
"""A program is asked about for so long after the last failure or claim by code that this process saw or heard of."""
UNKNOWN_MAX = 64
LOOKED_FOR = 4
"""Programs that this process does not know: how many are remembered, and how many are looked for in a second."""
HEARD_MAX = 4_000
"""Subjects that are remembered of the reports of one process about one minute; more are not counted."""
_EXCHANGED_MINUTES = 2
_REPORTED_MINUTES = 60
_log = structlog.get_logger(__name__)
T = TypeVar("T")


class _Heard:
    """What was heard of one process about one minute.

    Attributes:
        packed: The last report, as it came.
        codes: The highest number of failed codes in any report.
        failures: The highest number of failures of each subject in any report.
    """

    __slots__ = ("codes", "failures", "packed")

    def __init__(self) -> None:
        self.packed = b""
        self.codes = 0
        self.failures: dict[bytes, int] = {}


class _Program:
    """What is known of one program.

    Attributes:
        began: The minute in which this process began to count.
        has_begun: The reports of the hour before were read.
        minute: What this process counts now.
        unsent: What it counted in the minute before, if the last of it was not reported yet.
        lock_outs: Who failed, and who is locked out.
        budget: The program's budget of failed codes.
        heard: What was heard of each other process, by minute and process.
        active_ms: When a failure or a claim by code was seen or heard of last, Unix milliseconds.
    """

    __slots__ = ("active_ms", "began", "budget", "has_begun", "heard", "lock_outs", "minute", "unsent")

    def __init__(self, now_ms: int) -> None:
        self.began = now_ms // MINUTE_MS
        self.has_begun = False
        self.minute = Minute(self.began)
        self.unsent: Minute | None = None
        self.lock_outs = LockOuts()
        self.budget = CodeBudget()
        self.heard: dict[tuple[int, bytes], _Heard] = {}
        self.active_ms = now_ms


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
        self._programs: dict[str, _Program] = {}
        self._unknown: Counter[str] = Counter()
        self._stopping = asyncio.Event()
        self._exchanging: asyncio.Task[None] | None = None
        self._to_begin: dict[str, None] = {}
        self._beginning: asyncio.Task[None] | None = None
        self._exchanges: SingleFlight[str, None] = SingleFlight()
        self._hearing, self._answering = FairSlots(ATTEMPTS), FairSlots(ATTEMPTS)

    def start(self) -> None:
        """Exchange reports every second from now on; needs a running event loop."""
        self._exchanging = asyncio.create_task(self._exchange_every_second(), name="attempts")

    async def stop(self) -> None:
        """Stop, after a call in flight."""
        self._stopping.set()
        self._to_begin.clear()
        for task in (self._exchanging, self._beginning):
            if task is not None:
                await task
        await self._exchanges.stop()

    def knows(self, program: str) -> bool:
        """Whether there is such a program; what others saw of it is learned from now on, see ``AttemptLedger``."""
        found = self._of(program)
        if found is not None:
            found.active_ms = self._now_ms()
        return found is not None

    def fail(self, program: str, subjects: Iterable[Subject], count: int, *, codes: bool) -> bool:
        """Count failures, see ``AttemptLedger``."""
        found = self._of(program)
        if found is None:
            if len(self._unknown) < UNKNOWN_MAX or program in self._unknown:
                self._unknown[program] += count
            return False
        now_ms = self._now_ms()
        found.active_ms = now_ms
        packed = [subject.packed for subject in subjects]
        found.minute.fail(packed, count, codes=codes)
        policy = self._policy(program)
        for subject in packed:
            found.lock_outs.fail(subject, count, now_ms=now_ms, policy=policy, codes=codes)
        if codes:
            found.budget.spend(count, now_ms=now_ms, per_minute=policy.code_failures_per_minute)
        return True

    def refuse(self, program: str, subjects: Iterable[Subject]) -> None:
        """Count a refused request, see ``AttemptLedger``."""
        found = self._of(program)
        if found is not None:
            found.active_ms = self._now_ms()
            found.minute.refuse([subject.packed for subject in subjects])

    def locked_until_ms(self, program: str, subject: Subject) -> int | None:
        """Return until when a subject is locked out, see ``AttemptLedger``."""
        found = self._programs.get(program)
        return None if found is None else found.lock_outs.locked_until_ms(subject.packed, self._now_ms())

    def failures_left(self, program: str, subject: Subject) -> int:
        """Return how many more failures lock a subject out, see ``AttemptLedger``."""
        found, policy = self._programs.get(program), self._policy(program)
        if found is None:
            return policy.failures
        return found.lock_outs.failures_left(subject.packed, self._now_ms(), policy)

    def codes_spent_until_ms(self, program: str) -> int | None:
        """Return until when the budget of failed codes is spent, see ``AttemptLedger``."""
        found = self._programs.get(program)
        if found is None:
            return None
        return found.budget.spent_until_ms(self._now_ms(), self._policy(program).code_failures_per_minute)

    def failed_lately(self, program: str, subjects: Iterable[Subject]) -> bool:
        """Whether any of the subjects failed lately, see ``AttemptLedger``."""
        found = self._programs.get(program)
        packed = [subject.packed for subject in subjects]
        return found is not None and found.lock_outs.failed_lately(packed, self._now_ms())

    async def locked_out(self, program: str) -> int:
        """Return how many subjects are locked out, see ``AttemptLedger``."""
        found = self._programs.get(program)
        if found is None:
            return 0
        return await _in_steps(self._answering, found.lock_outs.locked_out(self._now_ms(), self._policy(program)))

    async def reported(self, program: str, minutes: int) -> Reported:
        """Return what was tried in vain, see ``AttemptLedger``."""
        if not await self._functions.begun(program):
            return NOTHING_REPORTED
        await self._exchange(program)
        _, *flat = await self._functions.call("attempts", program, minutes)
        return await _in_steps(self._answering, added((minute, report) for minute, _, _, report in _read(flat)))

    def _policy(self, program: str) -> LockOut:
        return (self._rules.cached(program) or NO_ACTIVE_RULES).rules.lock_out

    def _of(self, program: str) -> _Program | None:
        """Return what is known of a program, in the present minute; None if there is no such program."""
        now_ms = self._now_ms()
        found = self._programs.get(program)
        if found is None:
            if self._fence.mark(program) is None:
                return None
            found = self._programs[program] = _Program(now_ms)
            self._begin(program)
        elif found.minute.number < now_ms // MINUTE_MS:
            found.unsent = found.minute if found.minute.changed else None
            found.minute = Minute(now_ms // MINUTE_MS)
        return found

    def _begin(self, program: str) -> None:
        """Read what was reported of a program before, at once: one program after the other."""
        if self._exchanging is None or self._stopping.is_set():
            return
        self._to_begin[program] = None
        if self._beginning is None or self._beginning.done():
            self._beginning = asyncio.create_task(self._begin_waiting(), name="attempts-begin")

    async def _begin_waiting(self) -> None:
        while self._to_begin:
            program = next(iter(self._to_begin))
            del self._to_begin[program]
            await self._try_to_exchange(program)

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
                await self._try_to_exchange(program)

    async def _try_to_exchange(self, program: str) -> None:
        try:
            await self._exchange(program)
        except ServiceError:
            return  # the ledger's health says so; the next second tries again
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
        """Report what is new, and learn what the other processes reported; for each program one after the other."""
        await self._exchanges.share(program, lambda: self._exchange_alone(program))

    async def _exchange_alone(self, program: str) -> None:
        found = self._of(program)
        if found is None:
            return
        told: Sequence[bytes] | None = None
        for minute in (found.unsent, found.minute):
            if minute is not None and minute.changed:
                minute.changed = False
                packed = pack_report(minute.report())
                try:
                    _, (told,) = await self._functions.write(
                        "exchange_attempts", program, self._process, minute.number, packed
                    )
                except BaseException:
                    minute.changed = True
                    raise
                if minute is found.unsent and not minute.changed:
                    found.unsent = None
        if not found.has_begun:
            await self._rules.load(program)  # an hour is counted by the program's own rules
            _, *flat = await self._functions.call("attempts", program, _REPORTED_MINUTES)
            await _in_steps(self._hearing, self._hear_of_before(program, found, flat))
            found.has_begun = True
            return
        if told is None:
            told = await self._functions.call("attempts", program, _EXCHANGED_MINUTES)
        version, *flat = told
        with contextlib.suppress(ServiceError):  # rules that cannot be read must not keep reports from being heard
            await self._rules.load_newer(program, int(version))
        await _in_steps(self._hearing, self._hear(program, found, flat))

    def _hear(self, program: str, found: _Program, flat: Sequence[bytes]) -> Generator[None, None, None]:
        """Count what the reports of other processes have more than before, in steps."""
        now_ms, policy = self._now_ms(), self._policy(program)
        heard: dict[tuple[int, bytes], _Heard] = {}
        for minute, process, packed, report in _read(flat):
            if process == self._process:
                continue
            known = heard[minute, process] = found.heard.get((minute, process)) or _Heard()
            if packed == known.packed:
                continue
            _count(known, packed, report, found.lock_outs, found.budget, at_ms=now_ms, policy=policy)
            found.active_ms = now_ms
            yield
        found.heard = heard

    def _hear_of_before(self, program: str, found: _Program, flat: Sequence[bytes]) -> Generator[None, None, None]:
        """Count what all processes reported in the last hour, oldest first, each with the time of its minute.

        Its own reports are among them: those from before it forgot the program.
        """
        now_ms, policy = self._now_ms(), self._policy(program)
        before, budget = LockOuts(), CodeBudget()
        for minute, process, packed, report in sorted(_read(flat), key=lambda each: each[0]):
            if process == self._process and minute >= found.began:
                continue
            known = found.heard[minute, process] = _Heard()
            end_ms = min(now_ms, (minute + 1) * MINUTE_MS)
            _count(known, packed, report, before, budget, at_ms=end_ms, policy=policy)
            if minute <= now_ms // MINUTE_MS - _EXCHANGED_MINUTES:
                del found.heard[minute, process]
            yield
        found.budget.spend_earlier(budget, now_ms)
        yield from found.lock_outs.add_earlier(before, now_ms, policy)


async def _in_steps(slots: FairSlots, steps: Generator[None, None, T]) -> T:
    async with slots.slot() as slot:
        return await slot.drive_small_steps(steps)


def _count(
    known: _Heard,
    packed: bytes,
    report: Report,
    lock_outs: LockOuts,
    budget: CodeBudget,
    *,
    at_ms: int,
    policy: LockOut,
) -> None:
    """Count what a report has more than those before it; a subject may be missing in some."""
    codes = max(report.codes - known.codes, 0)
    for subject, _, failures in report.subjects():
        more = failures - known.failures.get(subject, 0)
        if more > 0 and (subject in known.failures or len(known.failures) < HEARD_MAX):
            known.failures[subject] = failures
            lock_outs.fail(subject, more, now_ms=at_ms, policy=policy, codes=codes > 0)
    if codes:
        known.codes = report.codes
        budget.spend(codes, now_ms=at_ms, per_minute=policy.code_failures_per_minute)
    known.packed = packed


def _read(flat: Sequence[bytes]) -> Iterator[tuple[int, bytes, bytes, Report]]:
    """Return the reports in a reply; those that cannot be read, of a newer version, are left out."""
    for position in range(0, len(flat), 3):
        minute, process, packed = flat[position : position + 3]
        with contextlib.suppress(ValueError):
            yield int(minute), process, packed, unpack_report(packed)
