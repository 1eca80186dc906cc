"""Rules against abuse, from protobuf to the domain and back.

Here it is only checked that the domain can hold the values; whether they are allowed is checked in
``domain.risk.rule_checks``. When rules are read back, unset fields have their default values.
"""

from typing import Any, Final, cast

from redemption.domain.errors import InvalidRequest, Violation, ViolationReason
from redemption.domain.outcome import Outcome
from redemption.domain.risk.assessment import ActiveRules
from redemption.domain.risk.rules import (
    EVERYTHING,
    AccountsRule,
    LockOut,
    RefusalShare,
    RuleCounts,
    RuleMode,
    RuleOperation,
    Rules,
    Tightened,
    VelocityRule,
    WarningThresholds,
    WithoutSubject,
)
from redemption.domain.risk.subjects import SubjectKind
from redemption.rpc.convert.orders import OUTCOMES
from redemption.rpc.convert.timestamps import at_ms, duration_ms_from, duration_of, duration_of_ms, seconds_from
from redemption.rpc.convert.warnings import risk_warning_of
from redemption.rpc.message_limits import require_shape
from redemption.service.risk_rules import RiskStats, RuleStats, etag
from redemption.v1 import risk_service_pb2 as messages
from redemption.v1 import rules_pb2

_COUNTED: Final = (
    SubjectKind.CUSTOMER,
    SubjectKind.PERSON,
    SubjectKind.DEVICE,
    SubjectKind.NETWORK,
    SubjectKind.PAYMENT,
)
"""What a rule can count."""

# Looked up by name: a name that the contract does not have fails at import.
MODES: Final = {
    mode: cast("rules_pb2.RuleMode", rules_pb2.RuleMode.Value(f"RULE_MODE_{mode.name}")) for mode in RuleMode
}
_SUBJECTS: Final = {
    kind: cast("rules_pb2.SubjectKind", rules_pb2.SubjectKind.Value(f"SUBJECT_KIND_{kind.name}")) for kind in _COUNTED
}
_COUNTS: Final = {
    counts: cast("rules_pb2.RuleCounts", rules_pb2.RuleCounts.Value(f"RULE_COUNTS_{counts.name}"))
    for counts in RuleCounts
}
_WITHOUT: Final = {
    without: cast("rules_pb2.WithoutSubject", rules_pb2.WithoutSubject.Value(f"WITHOUT_SUBJECT_{without.name}"))
    for without in WithoutSubject
}
_OPERATIONS: Final = {
    operation: cast("rules_pb2.RuleOperation", rules_pb2.RuleOperation.Value(f"RULE_OPERATION_{operation.name}"))
    for operation in RuleOperation
}
_DEFAULTS: Final = LockOut()


def rules_from(message: rules_pb2.Rules) -> Rules:
    """Return the rules of a request.

    Raises:
        InvalidRequest: A field has a wrong value.
        NotBuilt: A field is set that this version's contract does not have.
    """
    require_shape(message, "rules")
    found: list[Violation] = []
    rules = Rules(
        velocity=tuple(
            _velocity_from(rule, f"rules.velocity[{index}]", found) for index, rule in enumerate(message.velocity)
        ),
        accounts=tuple(
            _accounts_from(rule, f"rules.accounts[{index}]", found) for index, rule in enumerate(message.accounts)
        ),
        lock_out=_lock_out_from(message.lock_out, "rules.lock_out", found),
        warnings=_warnings_from(message.warnings, "rules.warnings", found),
        tightened=tuple(_tightened_from(one) for one in message.tightened),
        claims_frozen=message.claims_frozen,
    )
    if found:
        raise InvalidRequest(found)
    return rules


def rules_of(program: str, active: ActiveRules) -> rules_pb2.Rules:
    """Return the contract's rules."""
    rules = active.rules
    return rules_pb2.Rules(
        program=program,
        velocity=[_velocity_of(rule) for rule in rules.velocity],
        accounts=[_accounts_of(rule) for rule in rules.accounts],
        lock_out=_lock_out_of(rules.lock_out),
        warnings=None if rules.warnings == WarningThresholds() else _warnings_of(rules.warnings),
        etag=etag(active),
        tightened=[_tightened_of(one) for one in rules.tightened],
        claims_frozen=rules.claims_frozen,
    )


def tightened_from(message: rules_pb2.TightenedRule) -> Tightened:
    """Return what is to be in force of a rule.

    Raises:
        InvalidRequest: The mode is one that this version does not know.
        NotBuilt: A field is set that this version's contract does not have.
    """
    require_shape(message, "rule")
    return _tightened_from(message)


def stats_of(stats: RiskStats) -> messages.GetRiskStatsResponse:
    """Return the contract's numbers."""
    return messages.GetRiskStatsResponse(
        rules=[_rule_stats_of(rule) for rule in stats.rules],
        lock_out=_rule_stats_of(stats.lock_out),
        warnings=[risk_warning_of(warning) for warning in stats.warnings],
        failures_last_minute=stats.failures_last_minute,
        locked_out=stats.locked_out,
        code_budget_spent=stats.code_budget_spent,
        as_of=at_ms(stats.as_of_ms),
    )


def _rule_stats_of(stats: RuleStats) -> messages.RuleStats:
    return messages.RuleStats(
        name=stats.name,
        mode=MODES[stats.mode],
        refused=stats.refused,
        would_refuse=stats.would_refuse,
        without_subject=stats.without_subject,
    )


# The parts


def _velocity_from(message: rules_pb2.VelocityRule, field: str, found: list[Violation]) -> VelocityRule:
    subject = _subject_from(message.subject, f"{field}.subject", found)
    return VelocityRule(
        name=message.name,
        subject=subject,
        campaign=message.campaign,
        limit=message.limit,
        period_ms=_duration_from(message, "period", field, found, milliseconds=True),
        burst=message.burst if message.HasField("burst") else message.limit,
        counts=RuleCounts(message.counts or RuleCounts.ATTEMPTS),
        mode=_mode_from(message.mode, subject),
        without_subject=WithoutSubject(message.without_subject or WithoutSubject.PASS),
        operations=_operations_from(message),
    )


def _velocity_of(rule: VelocityRule) -> rules_pb2.VelocityRule:
    return rules_pb2.VelocityRule(
        name=rule.name,
        subject=_SUBJECTS[rule.subject],
        campaign=rule.campaign,
        limit=rule.limit,
        period=duration_of_ms(rule.period_ms),
        burst=rule.burst,
        counts=_COUNTS[rule.counts],
        mode=MODES[rule.mode],
        without_subject=_WITHOUT[rule.without_subject],
        operations=_operations_of(rule),
    )


def _accounts_from(message: rules_pb2.AccountsRule, field: str, found: list[Violation]) -> AccountsRule:
    subject = _subject_from(message.subject, f"{field}.subject", found)
    return AccountsRule(
        name=message.name,
        subject=subject,
        campaign=message.campaign,
        customers=message.customers,
        window_seconds=_duration_from(message, "window", field, found),
        counts=RuleCounts(message.counts or RuleCounts.APPROVALS),
        mode=_mode_from(message.mode, subject),
        without_subject=WithoutSubject(message.without_subject or WithoutSubject.PASS),
        operations=_operations_from(message),
    )


def _accounts_of(rule: AccountsRule) -> rules_pb2.AccountsRule:
    return rules_pb2.AccountsRule(
        name=rule.name,
        subject=_SUBJECTS[rule.subject],
        campaign=rule.campaign,
        customers=rule.customers,
        window=duration_of(rule.window_seconds),
        counts=_COUNTS[rule.counts],
        mode=MODES[rule.mode],
        without_subject=_WITHOUT[rule.without_subject],
        operations=_operations_of(rule),
    )


def _lock_out_from(message: rules_pb2.LockOut, field: str, found: list[Violation]) -> LockOut:
    return LockOut(
        failures=message.failures or _DEFAULTS.failures,
        period_seconds=_duration_from(message, "period", field, found, unset=_DEFAULTS.period_seconds),
        wait_seconds=_duration_from(message, "wait", field, found, unset=_DEFAULTS.wait_seconds),
        wait_seconds_max=_duration_from(message, "wait_max", field, found, unset=_DEFAULTS.wait_seconds_max),
        customers=_mode_from(message.customers, SubjectKind.CUSTOMER),
        devices=_mode_from(message.devices, SubjectKind.DEVICE),
        networks=_mode_from(message.networks, SubjectKind.NETWORK),
        code_failures_per_minute=message.code_failures_per_minute or _DEFAULTS.code_failures_per_minute,
    )


def _lock_out_of(lock_out: LockOut) -> rules_pb2.LockOut:
    return rules_pb2.LockOut(
        failures=lock_out.failures,
        period=duration_of(lock_out.period_seconds),
        wait=duration_of(lock_out.wait_seconds),
        wait_max=duration_of(lock_out.wait_seconds_max),
        customers=MODES[lock_out.customers],
        devices=MODES[lock_out.devices],
        networks=MODES[lock_out.networks],
        code_failures_per_minute=lock_out.code_failures_per_minute,
    )


def _warnings_from(message: rules_pb2.WarningThresholds, field: str, found: list[Violation]) -> WarningThresholds:
    within = message.HasField("budget_gone_within")
    default = RefusalShare(0, 0).answers_min
    return WarningThresholds(
        refusal_shares=tuple(
            RefusalShare(int(share.outcome), share.basis_points, share.answers_min or default)
            for share in message.refusal_shares
        ),
        budget_spent_basis_points=(
            message.budget_spent_basis_points if message.HasField("budget_spent_basis_points") else None
        ),
        budget_gone_within_seconds=_duration_from(message, "budget_gone_within", field, found) if within else None,
        claims_per_minute=message.claims_per_minute if message.HasField("claims_per_minute") else None,
    )


def _warnings_of(warnings: WarningThresholds) -> rules_pb2.WarningThresholds:
    within = warnings.budget_gone_within_seconds
    return rules_pb2.WarningThresholds(
        refusal_shares=[
            rules_pb2.RefusalShare(
                outcome=OUTCOMES[Outcome(share.outcome)],
                basis_points=share.basis_points,
                answers_min=share.answers_min,
            )
            for share in warnings.refusal_shares
        ],
        budget_spent_basis_points=warnings.budget_spent_basis_points,
        budget_gone_within=None if within is None else duration_of(within),
        claims_per_minute=warnings.claims_per_minute,
    )


def _tightened_from(message: rules_pb2.TightenedRule) -> Tightened:
    return Tightened(
        message.name,
        limit=message.limit if message.HasField("limit") else None,
        burst=message.burst if message.HasField("burst") else None,
        mode=RuleMode(message.mode) if message.mode else None,
    )


def _tightened_of(tightened: Tightened) -> rules_pb2.TightenedRule:
    return rules_pb2.TightenedRule(
        name=tightened.name,
        limit=tightened.limit,
        burst=tightened.burst,
        mode=rules_pb2.RULE_MODE_UNSPECIFIED if tightened.mode is None else MODES[tightened.mode],
    )


def _subject_from(number: int, field: str, found: list[Violation]) -> SubjectKind:
    """Return what a rule counts; a value that no rule can count is added to the violations."""
    names = ", ".join(kind.name for kind in _COUNTED)
    if number in _SUBJECTS.values():
        return SubjectKind(number)
    if number:
        found.append(Violation(field, f"must be one of {names}: a rule does not count coupons"))
    else:
        found.append(Violation(field, f"is required: one of {names}", ViolationReason.REQUIRED))
    return SubjectKind.CUSTOMER


def _mode_from(number: int, subject: SubjectKind) -> RuleMode:
    if number:
        return RuleMode(number)
    return RuleMode.SHADOW if subject is SubjectKind.NETWORK else RuleMode.ENFORCE


def _operations_from(message: rules_pb2.VelocityRule | rules_pb2.AccountsRule) -> int:
    found = 0
    for number in message.operations:
        found |= RuleOperation(number).value
    return found or EVERYTHING.value


def _operations_of(rule: VelocityRule | AccountsRule) -> list[rules_pb2.RuleOperation]:
    return [number for operation, number in _OPERATIONS.items() if rule.operations & operation]


def _duration_from(
    message: Any,  # noqa: ANN401 - any message that has a duration
    name: str,
    field: str,
    found: list[Violation],
    *,
    unset: int | None = None,
    milliseconds: bool = False,
) -> int:
    """Return a duration in seconds, or milliseconds; if it is wrong, it is added to the violations.

    Args:
        message: The message that has it.
        name: Its name there.
        field: The path of the message.
        found: The violations.
        unset: What it means when it is not set; None: it must be set.
        milliseconds: Return milliseconds.
    """
    if not message.HasField(name):
        if unset is None:
            found.append(Violation(f"{field}.{name}", "is required", ViolationReason.REQUIRED))
        return 1 if unset is None else unset
    read = duration_ms_from if milliseconds else seconds_from
    try:
        return read(getattr(message, name), f"{field}.{name}")
    except InvalidRequest as error:
        found += error.violations
        return 1
