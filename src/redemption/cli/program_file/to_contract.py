"""Builds the contract's Rules from a program file; what the file leaves out stays unset."""

from collections.abc import Mapping

from redemption.cli.program_file import contents as model
from redemption.v1 import rules_pb2 as v1


def rules_message(part: model.ProgramPart, campaigns: Mapping[str, int]) -> v1.Rules:
    """Return the rules; ``campaigns`` has the number of each campaign that the file names."""
    return v1.Rules(
        program=part.program,
        velocity=[_velocity(rule, campaigns) for rule in part.velocity],
        accounts=[_accounts(rule, campaigns) for rule in part.accounts],
        lock_out=None if part.lock_out is None else _lock_out(part.lock_out),
        warnings=None if part.warnings is None else _warnings(part.warnings),
    )


def _velocity(rule: model.VelocityPart, campaigns: Mapping[str, int]) -> v1.VelocityRule:
    return v1.VelocityRule(
        name=rule.name,
        subject=rule.subject,  # type: ignore[arg-type]
        campaign=None if rule.campaign is None else campaigns[rule.campaign],
        limit=rule.limit.limit,
        period=rule.limit.period,
        burst=rule.burst,
        counts=rule.counts,  # type: ignore[arg-type]
        mode=rule.mode,  # type: ignore[arg-type]
        without_subject=rule.without_subject,  # type: ignore[arg-type]
        operations=rule.operations,  # type: ignore[arg-type]
    )


def _accounts(rule: model.AccountsPart, campaigns: Mapping[str, int]) -> v1.AccountsRule:
    return v1.AccountsRule(
        name=rule.name,
        subject=rule.subject,  # type: ignore[arg-type]
        campaign=None if rule.campaign is None else campaigns[rule.campaign],
        customers=rule.customers,
        window=rule.window,
        counts=rule.counts,  # type: ignore[arg-type]
        mode=rule.mode,  # type: ignore[arg-type]
        without_subject=rule.without_subject,  # type: ignore[arg-type]
        operations=rule.operations,  # type: ignore[arg-type]
    )


def _lock_out(part: model.LockOutPart) -> v1.LockOut:
    return v1.LockOut(
        failures=part.failures,
        period=part.period,
        wait=part.wait,
        wait_max=part.wait_max,
        customers=part.customers,  # type: ignore[arg-type]
        devices=part.devices,  # type: ignore[arg-type]
        networks=part.networks,  # type: ignore[arg-type]
        code_failures_per_minute=part.code_failures_per_minute,
    )


def _warnings(part: model.WarningsPart) -> v1.WarningThresholds:
    shares = [
        v1.RefusalShare(outcome=each.outcome, basis_points=each.share, answers_min=each.answers_min)  # type: ignore[arg-type]
        for each in part.refusal_shares
    ]
    return v1.WarningThresholds(
        refusal_shares=shares,
        budget_spent_basis_points=part.budget_spent,
        budget_gone_within=part.budget_gone_within,
        claims_per_minute=part.claims_per_minute,
    )
