"""Manages the rules of programs against abuse: read, replace, tighten, loosen, freeze and thaw claims, count.

Every change is absolute: a repeated one changes nothing, and raises no version.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import Conflict, InvalidRequest, NotFound, Violation, ViolationReason
from redemption.domain.order import program_violations
from redemption.domain.ports.ledger import Ledger
from redemption.domain.ports.orders import Outdated
from redemption.domain.ports.rules import RuleCounted
from redemption.domain.risk.assessment import ActiveRules
from redemption.domain.risk.rule_checks import in_force_violations, rules_violations, tightened_violations
from redemption.domain.risk.rules import RuleMode, Rules, Tightened
from redemption.domain.risk.warnings import RiskWarning
from redemption.service.judging_rounds import until_decided
from redemption.service.risk_reports import LOCK_OUT, RuleDid

LOCK_OUT_NAME = "lock_out"
"""The name under which it is shown what lock-out did."""
_LAST_MINUTES = 2


@dataclass(frozen=True, slots=True)
class RuleStats:
    """What a rule did since it was applied in its present form."""

    name: str
    mode: RuleMode
    refused: int
    would_refuse: int
    without_subject: int


@dataclass(frozen=True, slots=True)
class RiskStats:
    """What the rules of a program did.

    Attributes:
        as_of_ms: When the ledger was read, Unix milliseconds.
        rules: One for each rule in force, in their order.
        lock_out: What lock-out did, as ``RuleStats``.
        warnings: The early warnings that are raised now.
        failures_last_minute: Tokens and exchange codes that failed in the last minute.
        locked_out: Subjects that are locked out now, as this process knows.
        code_budget_spent: Whoever failed lately has to wait with exchange codes, as this process knows.
    """

    as_of_ms: int
    rules: tuple[RuleStats, ...]
    lock_out: RuleStats
    warnings: tuple[RiskWarning, ...] = ()
    failures_last_minute: int = 0
    locked_out: int = 0
    code_budget_spent: bool = False


def etag(active: ActiveRules) -> str:
    """Return a text that changes with every change of a program's rules; entries of lists do not change it."""
    return f"v{active.changed}"


class RiskRules:
    """The rules of all programs."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._rules = ledger.rules
        self._attempts = ledger.attempts
        self._ledger = ledger

    async def get(self, caller: CallInfo, program: str) -> ActiveRules:
        """Return the rules of a program; one that never had any has none, and the defaults of the lock-out.

        Raises:
            InvalidRequest: The program's name is malformed.
        """
        _require(program_violations(program))
        return await self._rules.load(program)

    async def update(self, caller: CallInfo, program: str, rules: Rules, presented_etag: str) -> ActiveRules:
        """Replace the rules of a program. Tightened rules and frozen claims stay as they are.

        Args:
            caller: The caller.
            program: The program.
            rules: The rules. What is only changed in an emergency must be as it is, or not there.
            presented_etag: That of the rules that they replace.

        Raises:
            Conflict: The etag is not the current one.
            InvalidRequest: The rules are not well formed.
        """
        before, after = await self._replaced(program, rules, presented_etag)
        if after == before.rules:
            return before
        return await self._define(caller, program, before, after, "updated")

    async def check_update(self, caller: CallInfo, program: str, rules: Rules, presented_etag: str) -> ActiveRules:
        """Return the rules as they would be after ``update``, under the version that is in force; nothing is changed.

        Raises:
            Conflict: The etag is not the current one.
            InvalidRequest: The rules are not well formed.
        """
        before, after = await self._replaced(program, rules, presented_etag)
        return replace(before, rules=after)

    async def _replaced(self, program: str, rules: Rules, presented_etag: str) -> tuple[ActiveRules, Rules]:
        """Return what is in force, and the rules as they would be."""
        violations = [*program_violations(program, "rules.program"), *rules_violations(rules)]
        if not presented_etag:
            problem = "is required: read the rules first"
            violations.append(Violation("rules.etag", problem, ViolationReason.REQUIRED))
        _require(violations)
        before = await self._rules.load(program)
        if etag(before) != presented_etag:
            raise Conflict("rules.etag: the rules were changed meanwhile; read them again and repeat the change")
        _require(_output_only(before.rules, rules))
        after = before.rules.replaced_by(rules)
        _require(in_force_violations(after))
        return before, after

    async def tighten(self, caller: CallInfo, program: str, tightened: Tightened) -> ActiveRules:
        """Tighten a rule until it is loosened. What is not said stays as it was tightened before.

        Raises:
            NotFound: There is no such rule.
            InvalidRequest: It changes nothing, or would be looser than the rule that was applied.
        """
        _require([*program_violations(program), *_name_violations(tightened.name, "rule.name")])

        def change(rules: Rules) -> Rules:
            _require_rule(rules, program, tightened.name, "rule.name")
            _require(tightened_violations(rules, tightened))
            places = {one.name: index for index, one in enumerate(rules.tightened)}
            found = [*rules.tightened]
            if tightened.name in places:
                place = places[tightened.name]
                found[place] = tightened.merged(found[place])
            else:
                found.append(tightened)
            return replace(rules, tightened=tuple(found)).numbered()

        return await self._change(caller, program, f"tightened {tightened.name}", change)

    async def loosen(self, caller: CallInfo, program: str, name: str) -> ActiveRules:
        """Let a rule be in force again as it was applied; also one that is not there now.

        Raises:
            NotFound: There is no such rule, nor was one tightened.
        """
        _require([*program_violations(program), *_name_violations(name, "name")])

        def change(rules: Rules) -> Rules:
            if all(one.name != name for one in rules.tightened):
                _require_rule(rules, program, name, "name")
            return replace(rules, tightened=tuple(one for one in rules.tightened if one.name != name)).numbered()

        return await self._change(caller, program, f"loosened {name}", change)

    async def set_claims_frozen(self, caller: CallInfo, program: str, *, frozen: bool) -> ActiveRules:
        """Refuse all claims of a program, or take that back."""
        _require(program_violations(program))
        what = "claims frozen" if frozen else "claims thawed"
        return await self._change(caller, program, what, lambda rules: replace(rules, claims_frozen=frozen))

    async def _change(self, caller: CallInfo, program: str, what: str, change: Callable[[Rules], Rules]) -> ActiveRules:
        """Change the rules, whoever else changes them meanwhile; a change that changes nothing writes nothing."""

        async def decide(_now_ms: int | None) -> ActiveRules | Outdated:
            before = await self._rules.load(program)
            after = change(before.rules)
            if after == before.rules:
                return before
            try:
                return await self._define(caller, program, before, after, what)
            except Conflict:
                return Outdated(self._ledger.now_ms())

        return await until_decided(decide, failure=_changed_all_the_time)

    async def _define(
        self, caller: CallInfo, program: str, before: ActiveRules, after: Rules, what: str
    ) -> ActiveRules:
        return await self._rules.define(program, after, expected=before.changed, what=what, principal=caller.principal)

    async def stats(self, caller: CallInfo, program: str) -> RiskStats:
        """Count what the rules of a program did."""
        _require(program_violations(program))
        active = await self._rules.load(program)
        reported = await self._attempts.reported(program, _LAST_MINUTES)
        counted, warnings = await self._rules.counts(program), await self._ledger.warnings.warnings(program)
        as_of_ms = counted.as_of_ms or self._ledger.now_ms()
        return RiskStats(
            as_of_ms,
            tuple(_stats(counted, placed.rule.name, placed.rule.mode, placed.number) for placed in active.placed),
            _stats(counted, LOCK_OUT_NAME, RuleMode.ENFORCE, LOCK_OUT),
            tuple(warnings),
            reported.failures_of_last_minute(as_of_ms),
            await self._attempts.locked_out(program),
            self._attempts.codes_spent_until_ms(program) is not None,
        )


def _stats(counted: RuleCounted, name: str, mode: RuleMode, number: int) -> RuleStats:
    return RuleStats(name, mode, *(counted.counts.get((number, did), 0) for did in RuleDid))


def _output_only(before: Rules, wanted: Rules) -> list[Violation]:
    """Return what is wrong with what rules say about emergencies: they may say it as it was read, or leave it out."""
    found = []
    if wanted.tightened and wanted.tightened != before.tightened:
        found.append(Violation("rules.tightened", "is output only: leave it out, and ask TightenRule or LoosenRule"))
    if wanted.claims_frozen and not before.claims_frozen:
        found.append(Violation("rules.claims_frozen", "is output only: leave it out, and ask FreezeClaims"))
    return found


def _name_violations(name: str, field: str) -> list[Violation]:
    return [] if name else [Violation(field, "is required: the rule's name", ViolationReason.REQUIRED)]


def _require_rule(rules: Rules, program: str, name: str, field: str) -> None:
    names = [rule.name for rule in rules.applied]
    if name not in names:
        there_are = f"there are {', '.join(names)}" if names else "it has no rules"
        raise NotFound(f"{field}: there is no rule {name!r} in program {program!r}; {there_are}")


def _require(violations: Iterable[Violation]) -> None:
    found = list(violations)
    if found:
        raise InvalidRequest(found)


def _changed_all_the_time() -> Conflict:
    return Conflict("the rules are being changed by others all the time; try again")
