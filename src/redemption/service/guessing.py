"""Guessing: who sends tokens or exchange codes that fail is counted, and after too many has to wait.

Tokens are verified first: an order whose tokens are all genuine never comes here. A lock-out only replaces the answer
that the caller would get anyway.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

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

_MILLISECONDS = 1000


class Guessing:
    """Counts failed tokens and codes, and knows who has to wait."""

    def __init__(self, *, digests: Digests, ledger: Ledger, alarms: GuessAlarms) -> None:
        self._digests = digests
        self._rules = ledger.rules
        self._attempts = ledger.attempts
        self._orders = ledger.orders
        self._ledger = ledger
        self._alarms = alarms
        self._under_way: Counter[tuple[str, Subject]] = Counter()

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
            Until when the one who sent them is locked out, Unix milliseconds; None: it is not.
        """
        subjects = self._subjects(program, customer, risk)
        if not self._attempts.fail(program, subjects, count, codes=False):
            return None
        self._alarms.failed(program, caller.principal, count)
        return self._locked_until_ms(program, subjects)

    @contextmanager
    def code_under_way(self, program: str, customer: Customer, risk: RiskContext) -> Iterator[int | None]:
        """Look up one exchange code, if its claimer need not wait: yield until when it has to wait, or None.

        A code that is being looked up counts as one that fails, until it is known: else many at once would be as many
        guesses.
        """
        subjects = self._subjects(program, customer, risk)
        until_ms = self._code_waits_until_ms(program, subjects)
        if until_ms is not None:
            yield until_ms
            return
        counted = [(program, subject) for subject in subjects]
        self._under_way.update(counted)
        try:
            yield None
        finally:
            for each in counted:
                self._under_way[each] -= 1
                if not self._under_way[each]:
                    del self._under_way[each]

    def code_failed(self, caller: CallInfo, program: str, customer: Customer, risk: RiskContext) -> None:
        """Count an exchange code that failed."""
        if not self._attempts.fail(program, self._subjects(program, customer, risk), 1, codes=True):
            return
        self._alarms.failed(program, caller.principal, 1)
        self._alarms.code_budget(program, spent=self._attempts.codes_spent_until_ms(program) is not None)

    def _code_waits_until_ms(self, program: str, subjects: list[Subject]) -> int | None:
        """Return until when a code of somebody is not looked up, Unix milliseconds; None if it is.

        Whoever is locked out has to wait, and whoever has as many codes under way as would lock it out; and while the
        program's budget of failed codes is spent, whoever failed lately.
        """
        policy = (self._rules.cached(program) or NO_ACTIVE_RULES).rules.lock_out
        if any(
            self._under_way[program, subject] >= policy.failures and mode_of(policy, subject.kind) is RuleMode.ENFORCE
            for subject in subjects
        ):
            self._count_refusal(program, subjects)
            return self._ledger.now_ms() + _MILLISECONDS
        until_ms = self._locked_until_ms(program, subjects)
        spent_until_ms = self._attempts.codes_spent_until_ms(program)
        if spent_until_ms is not None and self._attempts.failed_lately(program, subjects):
            if until_ms is None:
                self._count_refusal(program, subjects)
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
        """Return until when any of the subjects is locked out, and count what that did."""
        policy = (self._rules.cached(program) or NO_ACTIVE_RULES).rules.lock_out
        latest_ms, would_wait = 0, False
        for subject in subjects:
            until_ms = self._attempts.locked_until_ms(program, subject)
            if until_ms is None:
                continue
            if mode_of(policy, subject.kind) is RuleMode.ENFORCE:
                latest_ms = max(latest_ms, until_ms)
            else:
                would_wait = True
        if latest_ms:
            self._count_refusal(program, subjects)
            return latest_ms
        if would_wait:
            self._orders.count_rule(program, LOCK_OUT, RuleDid.WOULD_REFUSE)
        return None

    def _count_refusal(self, program: str, subjects: list[Subject]) -> None:
        self._orders.count_rule(program, LOCK_OUT, RuleDid.REFUSED)
        self._attempts.refuse(program, subjects)
