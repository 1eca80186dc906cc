"""Guessing: who sends tokens or exchange codes that fail is counted, and after too many has to wait.

Tokens are verified first: an order whose tokens are all genuine never comes here. A lock-out only replaces the answer
that the caller would get anyway.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from redemption.domain.call_info import CallInfo
from redemption.domain.order import Customer, RiskContext
from redemption.domain.ports.ledger import Ledger
from redemption.domain.risk.assessment import NO_ACTIVE_RULES, Listed, ids_of
from redemption.domain.risk.lock_out import COUNTED, mode_of
from redemption.domain.risk.rules import RuleMode
from redemption.domain.risk.subjects import Subject
from redemption.domain.signed.digest import Digests
from redemption.service.risk_reports import LOCK_OUT, RuleDid
from redemption.telemetry.guess_alarms import GuessAlarms

PLACE_SECONDS_MAX = 1.0
"""How long a code waits until fewer of the same subject are being looked up."""
PLACE_WAITING_MAX = 100
"""So many codes of one subject wait; further ones are refused at once."""
_MILLISECONDS = 1000
_log = structlog.get_logger(__name__)
_Key: TypeAlias = tuple[str, Subject]


@dataclass(frozen=True, slots=True)
class CodeWait:
    """Why a code is not looked up now.

    Attributes:
        until_ms: Until when its claimer has to wait, Unix milliseconds.
        for_place: It waits for a place, because too many codes of the same customer, device or network are being looked
            up. Nobody is locked out, and it counts nowhere.
    """

    until_ms: int
    for_place: bool = False


class Guessing:
    """Counts failed tokens and codes, and knows who has to wait."""

    def __init__(self, *, digests: Digests, ledger: Ledger, alarms: GuessAlarms) -> None:
        self._digests = digests
        self._rules = ledger.rules
        self._attempts = ledger.attempts
        self._orders = ledger.orders
        self._ledger = ledger
        self._alarms = alarms
        self._under_way: Counter[_Key] = Counter()
        self._waiting: dict[_Key, deque[asyncio.Future[None]]] = {}

    def tokens_failed(
        self, caller: CallInfo, program: str, customer: Customer, risk: RiskContext, count: int
    ) -> int | None:
        """Count tokens of one request that failed.

        Args:
            caller: Who calls.
            program: The program.
            customer: Who buys.
            risk: The other signals of the request.
            count: How many tokens failed.

        Returns:
            Until when the one who sent them is locked out, Unix milliseconds; None: it is not, or there was an error.
        """
        try:
            subjects = self._subjects(program, customer, risk)
            if not self._attempts.fail(program, subjects, count, codes=False):
                return None
            self._alarms.failed(program, caller.principal, count)
            until_ms = self._locked_until_ms(program, subjects)
            self._count(program, subjects, refused=until_ms is not None)
        except Exception:  # noqa: BLE001 - logged with its traceback; it must not change the answer
            _log.exception("failed tokens cannot be counted", program=program)
            return None
        return until_ms

    @asynccontextmanager
    async def code_under_way(
        self, caller: CallInfo, program: str, customer: Customer, risk: RiskContext
    ) -> AsyncIterator[CodeWait | None]:
        """Look up one exchange code, if its claimer need not wait: yield why it has to, or None.

        Of a customer, device or network that would be locked out, no more codes are looked up at a time than may still
        fail: else many at once would be as many guesses. Further codes wait for a place, for a second at most, and not
        longer than their caller.
        """
        if not self._attempts.knows(program):  # a caller invented it
            yield None
            return
        subjects = self._subjects(program, customer, risk)
        wait = await self._place(caller, program, subjects)
        if wait is not None:
            yield wait
            return
        taken = [(program, subject) for subject in subjects]
        try:
            yield None
        finally:
            for key in taken:
                self._under_way[key] -= 1
                if not self._under_way[key]:
                    del self._under_way[key]
                self._call_next(key)

    async def _place(self, caller: CallInfo, program: str, subjects: list[Subject]) -> CodeWait | None:
        """Take a place for a code of some subjects, or return why its claimer has to wait."""
        ends_at = min(asyncio.get_running_loop().time() + PLACE_SECONDS_MAX, caller.deadline)
        called_for: _Key | None = None
        is_taken = False
        try:
            while True:
                until_ms = self._code_waits_until_ms(program, subjects)
                if until_ms is not None:
                    return CodeWait(until_ms)
                full = self._full(program, subjects)
                if full is None:
                    self._under_way.update((program, subject) for subject in subjects)
                    is_taken = True
                    return None
                if called_for is not None and called_for != full:
                    self._call_next(called_for)
                was_called, called_for = called_for == full, None
                if not await self._wait(full, ends_at, first=was_called):
                    until_ms = self._code_waits_until_ms(program, subjects)  # others may have failed meanwhile
                    if until_ms is not None:
                        return CodeWait(until_ms)
                    return CodeWait(self._ledger.now_ms() + _MILLISECONDS, for_place=True)
                called_for = full
        finally:
            if called_for is not None and not is_taken:
                self._call_next(called_for)

    def _full(self, program: str, subjects: list[Subject]) -> _Key | None:
        """Return one of the subjects of which no further code is looked up now; None if there is none."""
        policy = (self._rules.cached(program) or NO_ACTIVE_RULES).rules.lock_out
        for subject in subjects:
            key = program, subject
            if mode_of(policy, subject.kind) is not RuleMode.ENFORCE:
                continue
            if self._under_way[key] and self._under_way[key] >= self._attempts.failures_left(program, subject):
                return key
        return None

    async def _wait(self, key: _Key, ends_at: float, *, first: bool) -> bool:
        """Wait until a code of a subject was looked up; returns False if that takes too long, or too many wait.

        Args:
            key: The subject.
            ends_at: How long at most, in the event loop's time.
            first: In front of all others: it was called before, and found no place, because the code failed.
        """
        waiting = self._waiting.setdefault(key, deque())
        if len(waiting) >= PLACE_WAITING_MAX and not first:
            return False
        called = asyncio.get_running_loop().create_future()
        if first:
            waiting.appendleft(called)
        else:
            waiting.append(called)
        is_called = False
        try:
            async with asyncio.timeout_at(ends_at):
                await called
            is_called = True
        except TimeoutError:
            pass
        finally:
            if called in waiting:
                waiting.remove(called)
            if not is_called and not called.cancelled():  # it was called at the moment in which it left
                self._call_next(key)
            if not waiting and self._waiting.get(key) is waiting:
                del self._waiting[key]
        return is_called

    def _call_next(self, key: _Key) -> None:
        """Call the one that waits longest for a place of a subject."""
        waiting = self._waiting.get(key)
        while waiting:
            called = waiting.popleft()
            if not called.done():
                called.set_result(None)
                return

    def code_failed(self, caller: CallInfo, program: str, customer: Customer, risk: RiskContext) -> None:
        """Count an exchange code that failed; an error in it is logged."""
        try:
            if not self._attempts.fail(program, self._subjects(program, customer, risk), 1, codes=True):
                return
            self._alarms.failed(program, caller.principal, 1)
            spent_until_ms = self._attempts.codes_spent_until_ms(program)
            if spent_until_ms is not None:
                self._alarms.code_budget_spent(program, (spent_until_ms - self._ledger.now_ms()) / _MILLISECONDS)
        except Exception:  # noqa: BLE001 - logged with its traceback; it must not change the answer
            _log.exception("a failed code cannot be counted", program=program)

    def count_code(self, program: str, customer: Customer, risk: RiskContext, *, refused: bool) -> None:
        """Count what lock-out did to a code that was answered.

        Args:
            program: The program.
            customer: Who claims.
            risk: The other signals of the claim.
            refused: It was not looked up.
        """
        self._count(program, self._subjects(program, customer, risk), refused=refused)

    def _code_waits_until_ms(self, program: str, subjects: list[Subject]) -> int | None:
        """Return until when a code of somebody is not looked up, Unix milliseconds; None if it is.

        Whoever is locked out has to wait; and while the program's budget of failed codes is spent, whoever failed
        lately. A subject that lock-out only watches makes nobody wait.
        """
        until_ms = self._locked_until_ms(program, subjects)
        spent_until_ms = self._attempts.codes_spent_until_ms(program)
        if spent_until_ms is None:
            return until_ms
        policy = (self._rules.cached(program) or NO_ACTIVE_RULES).rules.lock_out
        enforced = [subject for subject in subjects if mode_of(policy, subject.kind) is RuleMode.ENFORCE]
        if self._attempts.failed_lately(program, enforced):
            return max(spent_until_ms, until_ms or 0)
        return until_ms

    def _subjects(self, program: str, customer: Customer, risk: RiskContext) -> list[Subject]:
        """Return the subjects that a request names and that no allow entry exempts."""
        active = self._rules.cached(program) or NO_ACTIVE_RULES
        ids = ids_of(self._digests.for_program(program), COUNTED, customer, risk)
        listed = Listed(active.lists, self._ledger.now_ms() // _MILLISECONDS)
        if active.lists:
            listed.look_up(ids, risk)
        return [Subject(kind, digest) for kind, digest in ids.items() if kind not in listed.exempt]

    def _locked_until_ms(self, program: str, subjects: list[Subject]) -> int | None:
        """Return until when any of the subjects is locked out, Unix milliseconds; None if none of them is."""
        return max(
            (until_ms for until_ms, mode in self._locked(program, subjects) if mode is RuleMode.ENFORCE), default=None
        )

    def _locked(self, program: str, subjects: list[Subject]) -> Iterator[tuple[int, RuleMode]]:
        """Yield until when each subject is locked out, or would be, and which of the two."""
        policy = (self._rules.cached(program) or NO_ACTIVE_RULES).rules.lock_out
        for subject in subjects:
            until_ms = self._attempts.locked_until_ms(program, subject)
            if until_ms is not None:
                yield until_ms, mode_of(policy, subject.kind)

    def _count(self, program: str, subjects: list[Subject], *, refused: bool) -> None:
        """Count what lock-out did to one request, if anything."""
        if refused:
            self._orders.count_rule(program, LOCK_OUT, RuleDid.REFUSED)
            self._attempts.refuse(program, subjects)
        elif any(mode is RuleMode.SHADOW for _, mode in self._locked(program, subjects)):
            self._orders.count_rule(program, LOCK_OUT, RuleDid.WOULD_REFUSE)
