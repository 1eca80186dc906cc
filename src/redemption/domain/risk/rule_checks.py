"""Checks whether rules, list entries and emergency changes are well formed."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from redemption.domain.campaign.campaign_checks import NUMBER_MAX
from redemption.domain.campaign.value_checks import control_violations, range_violations
from redemption.domain.errors import OtherField, Violation, ViolationReason, ViolationValues
from redemption.domain.order import text_violations
from redemption.domain.outcome import Disposition, Outcome
from redemption.domain.risk.rules import (
    AccountsRule,
    LockOut,
    RuleMode,
    Rules,
    Tightened,
    VelocityRule,
    WarningThresholds,
)
from redemption.domain.risk.subjects import SubjectKind

RULES_MAX: Final = 32
TIGHTENED_MAX: Final = 64
"""Tightened rules of a program: more than its rules, because they are kept while their rule is not there."""
LIMIT_MAX: Final = 1_000_000
CUSTOMERS_MAX: Final = 50
"""Each takes 12 bytes, and a subject's are written together, at each new second in which one of them is counted."""
SECOND_MS: Final = 1000
DAY_SECONDS: Final = 86_400
PERIOD_MS_MAX: Final = 30 * DAY_SECONDS * SECOND_MS
LIFE_MS_MAX: Final = 366 * DAY_SECONDS * SECOND_MS
"""How long a state may matter: a burst of a million of one a month would take for ever to forget."""
SHARES_MAX: Final = 16
FAILURES_MAX: Final = 1000
BASIS_POINTS: Final = 10_000
_WITHOUT_CAMPAIGN: Final = (
    Outcome.TOKEN_INVALID,
    Outcome.NOT_EVALUATED,
    Outcome.CODE_INVALID,
    Outcome.CODE_MISTYPED,
)
_NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")
_SHARED: Final = (SubjectKind.DEVICE, SubjectKind.NETWORK, SubjectKind.PAYMENT)


def rules_violations(rules: Rules, field: str = "rules") -> list[Violation]:
    """Return everything that is wrong with the rules of a program; an empty list: they are well formed."""
    found: list[Violation] = []
    count = len(rules.velocity) + len(rules.accounts)
    if count > RULES_MAX:
        problem = f"must be at most {RULES_MAX} rules, together with accounts; there are {count}"
        values = ViolationValues(most=RULES_MAX, given=count)
        return [Violation(f"{field}.velocity", problem, ViolationReason.WRONG_COUNT, values)]
    seen: dict[str, str] = {}
    for index, rule in enumerate(rules.velocity):
        found += _velocity_violations(rule, f"{field}.velocity[{index}]", seen)
    for index, accounts in enumerate(rules.accounts):
        found += _accounts_violations(accounts, f"{field}.accounts[{index}]", seen)
    found += _lock_out_violations(rules.lock_out, f"{field}.lock_out")
    found += _warning_violations(rules.warnings, f"{field}.warnings")
    return found


def tightened_violations(rules: Rules, tightened: Tightened, field: str = "rule") -> list[Violation]:
    """Return what is wrong with tightening one of the rules further; the rule exists."""
    (rule,) = [rule for rule in rules.applied if rule.name == tightened.name]
    earlier = next((one for one in rules.tightened if one.name == tightened.name), None)
    if tightened.limit is None and tightened.burst is None and tightened.mode is None:
        return [Violation(field, "changes nothing: set limit, burst or mode", ViolationReason.REQUIRED)]
    found: list[Violation] = []
    limit = rule.customers if isinstance(rule, AccountsRule) else rule.limit
    found += _tighter(tightened.limit, limit, f"{field}.limit")
    if isinstance(rule, VelocityRule):
        found += _tighter(tightened.burst, rule.burst, f"{field}.burst")
    elif tightened.burst is not None:
        found.append(Violation(f"{field}.burst", f"is of velocity rules only; {rule.name} counts accounts"))
    if tightened.mode is RuleMode.SHADOW and rule.mode is RuleMode.ENFORCE:
        found.append(Violation(f"{field}.mode", "must not be SHADOW: the rule was applied with ENFORCE"))
    if earlier is None and len(rules.tightened) >= TIGHTENED_MAX:
        problem = (
            f"does not fit: {TIGHTENED_MAX} rules are tightened already; loosen those that are not needed any more"
        )
        found.append(Violation(f"{field}.name", problem))
    in_force = rule.tightened(tightened.merged(earlier))
    if not found and isinstance(in_force, VelocityRule):
        found += _life_violations(in_force, f"{field}.burst")
    return found


def in_force_violations(rules: Rules, field: str = "rules") -> list[Violation]:
    """Return what is wrong with well-formed rules because of what is tightened of them."""
    found: list[Violation] = []
    for index, rule in enumerate(rules.in_force[: len(rules.velocity)]):
        if isinstance(rule, VelocityRule):
            found += _life_violations(rule, f"{field}.velocity[{index}].burst")
    return found


def reason_violations(reason: str, field: str = "reason") -> Iterator[Violation]:
    """Yield what is wrong with the reason of a list entry."""
    yield from text_violations(reason, field)
    yield from control_violations(reason, field)


def _tighter(value: int | None, applied: int, field: str) -> Iterator[Violation]:
    if value is not None and not 1 <= value <= applied:
        problem = f"must be 1 to {applied}, which the rule has as it was applied; it is {value}"
        values = ViolationValues(least=1, most=applied, given=value)
        yield Violation(field, problem, ViolationReason.OUT_OF_RANGE, values)


def _name_violations(rule: VelocityRule | AccountsRule, field: str, seen: dict[str, str]) -> Iterator[Violation]:
    if not _NAME.fullmatch(rule.name):
        yield Violation(f"{field}.name", "must be 1 to 64 of a-z, 0-9, hyphen and underscore")
    elif rule.name in seen:
        problem = f"is the name of {seen[rule.name]} already; names must differ"
        other = OtherField(f"{seen[rule.name]}.name")
        yield Violation(f"{field}.name", problem, ViolationReason.DUPLICATE, ViolationValues(others=(other,)))
    else:
        seen[rule.name] = field


def _velocity_violations(rule: VelocityRule, field: str, seen: dict[str, str]) -> Iterator[Violation]:
    yield from _name_violations(rule, field, seen)
    yield from range_violations(rule.campaign, f"{field}.campaign", 0, NUMBER_MAX)
    burst = None if rule.burst == rule.limit else rule.burst  # that is its default: nobody wrote it
    limits = [
        *range_violations(rule.limit, f"{field}.limit", 1, LIMIT_MAX),
        *range_violations(burst, f"{field}.burst", 1, LIMIT_MAX),
        *_period_violations(rule.period_ms, f"{field}.period"),
    ]
    yield from limits or _life_violations(rule, f"{field}.burst")


def _life_violations(rule: VelocityRule, field: str) -> Iterator[Violation]:
    if rule.life_ms > LIFE_MS_MAX:
        days = rule.life_ms // SECOND_MS // DAY_SECONDS
        problem = f"would take {days} days to be free again at this limit; at most {LIFE_MS_MAX // 86_400_000} days"
        yield Violation(field, f"{problem}: take a smaller burst, or a higher limit")


def _accounts_violations(rule: AccountsRule, field: str, seen: dict[str, str]) -> Iterator[Violation]:
    yield from _name_violations(rule, field, seen)
    if rule.subject not in _SHARED:
        yield Violation(f"{field}.subject", "must be DEVICE, NETWORK or PAYMENT: what several customers can share")
    yield from range_violations(rule.campaign, f"{field}.campaign", 0, NUMBER_MAX)
    yield from range_violations(rule.customers, f"{field}.customers", 1, CUSTOMERS_MAX)
    yield from _period_violations(rule.window_seconds * SECOND_MS, f"{field}.window")


def _period_violations(period_ms: int, field: str) -> Iterator[Violation]:
    if not SECOND_MS <= period_ms <= PERIOD_MS_MAX:
        seconds = f"{period_ms / SECOND_MS:.3f}".rstrip("0").removesuffix(".")
        problem = f"must be 1 second to 30 days; it is {seconds} seconds"
        values = ViolationValues(least=1, most=PERIOD_MS_MAX // SECOND_MS, given=period_ms // SECOND_MS)
        yield Violation(field, problem, ViolationReason.OUT_OF_RANGE, values)


def _lock_out_violations(lock_out: LockOut, field: str) -> Iterator[Violation]:
    yield from range_violations(lock_out.failures, f"{field}.failures", 1, FAILURES_MAX)
    yield from range_violations(lock_out.period_seconds, f"{field}.period", 1, 3600)
    yield from range_violations(lock_out.wait_seconds, f"{field}.wait", 1, DAY_SECONDS)
    if lock_out.wait_seconds_max < lock_out.wait_seconds:
        problem = f"must be at least wait, {lock_out.wait_seconds} seconds; it is {lock_out.wait_seconds_max}"
        others = (OtherField(f"{field}.wait", lock_out.wait_seconds),)
        values = ViolationValues(given=lock_out.wait_seconds_max, others=others)
        yield Violation(f"{field}.wait_max", problem, ViolationReason.LESS_THAN_OTHER, values)
    else:
        yield from range_violations(lock_out.wait_seconds_max, f"{field}.wait_max", 1, 7 * DAY_SECONDS)
    yield from range_violations(lock_out.code_failures_per_minute, f"{field}.code_failures_per_minute", 1, LIMIT_MAX)


def _warning_violations(warnings: WarningThresholds, field: str) -> Iterator[Violation]:
    yield from _share_violations(warnings, f"{field}.refusal_shares")
    yield from range_violations(
        warnings.budget_spent_basis_points, f"{field}.budget_spent_basis_points", 1, BASIS_POINTS
    )
    yield from range_violations(
        warnings.budget_gone_within_seconds, f"{field}.budget_gone_within", 60, 30 * DAY_SECONDS
    )
    yield from range_violations(warnings.claims_per_minute, f"{field}.claims_per_minute", 1, LIMIT_MAX)


def _share_violations(warnings: WarningThresholds, field: str) -> Iterator[Violation]:
    shares: Sequence[object] = warnings.refusal_shares
    if len(shares) > SHARES_MAX:
        values = ViolationValues(most=SHARES_MAX, given=len(shares))
        problem = f"must be at most {SHARES_MAX}; there are {len(shares)}"
        yield Violation(field, problem, ViolationReason.WRONG_COUNT, values)
        return
    refusals = {outcome.value for outcome in Outcome if outcome.disposition is not Disposition.APPROVED}
    seen: dict[int, int] = {}
    for index, share in enumerate(warnings.refusal_shares):
        place = f"{field}[{index}]"
        if share.outcome not in refusals:
            yield Violation(f"{place}.outcome", "must be an outcome that refuses, for example TOKEN_EXPIRED")
        elif share.outcome in _WITHOUT_CAMPAIGN:
            problem = (
                "is answered where no campaign is known, so no campaign counts it; lock_out is about failed tokens"
            )
            yield Violation(f"{place}.outcome", problem)
        first = seen.setdefault(share.outcome, index)
        if first != index:
            yield Violation(f"{place}.outcome", f"is the same as entry [{first}]; name each outcome once")
        yield from range_violations(share.basis_points, f"{place}.basis_points", 1, BASIS_POINTS)
        yield from range_violations(share.answers_min, f"{place}.answers_min", 1, LIMIT_MAX)
