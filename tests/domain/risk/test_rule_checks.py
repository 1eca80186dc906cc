"""Each rule of well-formed rules, broken once."""

import pytest
from builders.rules import accounts_rule, velocity_rule

from redemption.domain.errors import ViolationReason
from redemption.domain.outcome import Outcome
from redemption.domain.risk.rule_checks import (
    in_force_violations,
    reason_violations,
    rules_violations,
    tightened_violations,
)
from redemption.domain.risk.rules import LockOut, RefusalShare, RuleMode, Rules, Tightened, WarningThresholds
from redemption.domain.risk.subjects import SubjectKind

DAY_MS = 86_400_000
EXPIRED = Outcome.TOKEN_EXPIRED.value


def velocity(**changes):
    return Rules(velocity=(velocity_rule("a", **changes),))


def accounts(**changes):
    return Rules(accounts=(accounts_rule("a", **changes),))


def share(*shares):
    return Rules(warnings=WarningThresholds(refusal_shares=shares))


RIGHT = [
    Rules(),
    velocity(limit=1, burst=1_000_000, period_ms=1000),
    velocity(limit=1_000_000, burst=1, period_ms=30 * DAY_MS, campaign=2**32 - 1),
    Rules(velocity=(velocity_rule("a" * 64), velocity_rule("a-b_9"))),
    accounts(customers=50, window_seconds=30 * 86_400),
    Rules(velocity=tuple(velocity_rule(f"r{index}") for index in range(32))),
    Rules(lock_out=LockOut(1000, 3600, 86_400, 7 * 86_400, code_failures_per_minute=1_000_000)),
    Rules(warnings=WarningThresholds((RefusalShare(EXPIRED, 10_000, 1),), 10_000, 60, 1_000_000)),
]
WRONG = [
    (Rules(velocity=tuple(velocity_rule(f"r{index}") for index in range(33))), "rules.velocity"),
    (
        Rules(
            velocity=tuple(velocity_rule(f"r{index}") for index in range(30)),
            accounts=tuple(accounts_rule(f"s{index}") for index in range(3)),
        ),
        "rules.velocity",
    ),
    (Rules(velocity=(velocity_rule(""),)), "rules.velocity[0].name"),
    (Rules(velocity=(velocity_rule("A"),)), "rules.velocity[0].name"),
    (Rules(velocity=(velocity_rule("a" * 65),)), "rules.velocity[0].name"),
    (Rules(velocity=(velocity_rule("a\n"),)), "rules.velocity[0].name"),
    (Rules(velocity=(velocity_rule("a"), velocity_rule("a"))), "rules.velocity[1].name"),
    (Rules(velocity=(velocity_rule("a"),), accounts=(accounts_rule("a"),)), "rules.accounts[0].name"),
    (velocity(campaign=2**32), "rules.velocity[0].campaign"),
    (velocity(limit=0), "rules.velocity[0].limit"),
    (velocity(limit=1_000_001), "rules.velocity[0].limit"),
    (velocity(burst=0), "rules.velocity[0].burst"),
    (velocity(burst=1_000_001), "rules.velocity[0].burst"),
    (velocity(period_ms=999), "rules.velocity[0].period"),
    (velocity(period_ms=30 * DAY_MS + 1), "rules.velocity[0].period"),
    (velocity(limit=1, period_ms=30 * DAY_MS, burst=13), "rules.velocity[0].burst"),
    (accounts(subject=SubjectKind.CUSTOMER), "rules.accounts[0].subject"),
    (accounts(subject=SubjectKind.PERSON), "rules.accounts[0].subject"),
    (accounts(campaign=2**32), "rules.accounts[0].campaign"),
    (accounts(customers=0), "rules.accounts[0].customers"),
    (accounts(customers=51), "rules.accounts[0].customers"),
    (accounts(window_seconds=0), "rules.accounts[0].window"),
    (accounts(window_seconds=30 * 86_400 + 1), "rules.accounts[0].window"),
    (Rules(lock_out=LockOut(failures=1001)), "rules.lock_out.failures"),
    (Rules(lock_out=LockOut(failures=-1)), "rules.lock_out.failures"),
    (Rules(lock_out=LockOut(period_seconds=3601)), "rules.lock_out.period"),
    (Rules(lock_out=LockOut(period_seconds=0)), "rules.lock_out.period"),
    (Rules(lock_out=LockOut(wait_seconds=0)), "rules.lock_out.wait"),
    (Rules(lock_out=LockOut(wait_seconds=86_401, wait_seconds_max=90_000)), "rules.lock_out.wait"),
    (Rules(lock_out=LockOut(wait_seconds=60, wait_seconds_max=59)), "rules.lock_out.wait_max"),
    (Rules(lock_out=LockOut(wait_seconds_max=7 * 86_400 + 1)), "rules.lock_out.wait_max"),
    (Rules(lock_out=LockOut(code_failures_per_minute=1_000_001)), "rules.lock_out.code_failures_per_minute"),
    (share(*(RefusalShare(EXPIRED, 1) for _ in range(17))), "rules.warnings.refusal_shares"),
    (share(RefusalShare(EXPIRED, 1), RefusalShare(EXPIRED, 2)), "rules.warnings.refusal_shares[1].outcome"),
    (share(RefusalShare(0, 1)), "rules.warnings.refusal_shares[0].outcome"),
    (share(RefusalShare(Outcome.APPROVED.value, 1)), "rules.warnings.refusal_shares[0].outcome"),
    (share(RefusalShare(EXPIRED, 0)), "rules.warnings.refusal_shares[0].basis_points"),
    (share(RefusalShare(EXPIRED, 10_001)), "rules.warnings.refusal_shares[0].basis_points"),
    (share(RefusalShare(EXPIRED, 1, -1)), "rules.warnings.refusal_shares[0].answers_min"),
    (Rules(warnings=WarningThresholds(budget_spent_basis_points=0)), "rules.warnings.budget_spent_basis_points"),
    (Rules(warnings=WarningThresholds(budget_gone_within_seconds=59)), "rules.warnings.budget_gone_within"),
    (Rules(warnings=WarningThresholds(budget_gone_within_seconds=2_592_001)), "rules.warnings.budget_gone_within"),
    (Rules(warnings=WarningThresholds(claims_per_minute=0)), "rules.warnings.claims_per_minute"),
]


@pytest.mark.parametrize("rules", RIGHT)
def test_well_formed_rules_are_accepted(rules):
    assert rules_violations(rules) == []


@pytest.mark.parametrize(("rules", "field"), WRONG)
def test_each_broken_rule_is_told_once_by_its_field(rules, field):
    assert [violation.field for violation in rules_violations(rules)] == [field]


def test_a_period_of_a_day_too_many_says_the_bound_and_what_was_given():
    (violation,) = rules_violations(velocity(period_ms=31 * DAY_MS))
    assert violation.problem == "must be 1 second to 30 days; it is 2678400 seconds"
    assert violation.reason is ViolationReason.OUT_OF_RANGE


TIGHTENABLE = Rules(
    velocity=(
        velocity_rule("five"),
        velocity_rule("slow", limit=1000, burst=1000, period_ms=30 * DAY_MS),
        velocity_rule("watched", mode=RuleMode.SHADOW),
    ),
    accounts=(accounts_rule("two"),),
)


@pytest.mark.parametrize(
    ("tightened", "fields"),
    [
        (Tightened("five", limit=5, burst=5, mode=RuleMode.ENFORCE), []),
        (Tightened("five", limit=1), []),
        (Tightened("watched", mode=RuleMode.SHADOW), []),
        (Tightened("two", limit=1, mode=RuleMode.ENFORCE), []),
        (Tightened("five"), ["rule"]),
        (Tightened("five", limit=6, burst=0), ["rule.limit", "rule.burst"]),
        (Tightened("five", mode=RuleMode.SHADOW), ["rule.mode"]),
        (Tightened("two", limit=3), ["rule.limit"]),
        (Tightened("two", burst=1), ["rule.burst"]),
        (Tightened("slow", limit=1), []),
        (Tightened("slow", limit=1, burst=13), ["rule.burst"]),
    ],
)
def test_a_rule_can_only_be_made_tighter(tightened, fields):
    assert [violation.field for violation in tightened_violations(TIGHTENABLE, tightened)] == fields


def test_a_rule_in_force_whose_states_would_last_for_years_is_told():
    rules = Rules(velocity=TIGHTENABLE.velocity, tightened=(Tightened("slow", limit=1, burst=1000),))
    assert [violation.field for violation in in_force_violations(rules)] == ["rules.velocity[1].burst"]
    assert in_force_violations(TIGHTENABLE) == []


@pytest.mark.parametrize(("reason", "wrong"), [("", 0), ("x" * 128, 0), ("x" * 129, 1), ("a\x1b[2J", 1)])
def test_a_reason_is_short_and_plain(reason, wrong):
    """People read it on terminals."""
    assert len(list(reason_violations(reason))) == wrong
