"""Rules are converted as a whole, or refused with the name of the field; what is unset means what the contract says."""

from dataclasses import replace

import pytest
from builders.rules import RULES, accounts_rule, velocity_rule
from builders.times import NOW
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from rpc.examples import RISK_STATS, rules_message

from redemption.domain.errors import InvalidRequest, NotBuilt
from redemption.domain.risk.assessment import ActiveRules
from redemption.domain.risk.lists import Lists
from redemption.domain.risk.rules import (
    LockOut,
    RefusalShare,
    RuleCounts,
    RuleMode,
    Rules,
    Tightened,
    WarningThresholds,
    WithoutSubject,
)
from redemption.domain.risk.subjects import SubjectKind
from redemption.rpc.convert.rules import rules_from, rules_of, stats_of, tightened_from
from redemption.rpc.convert.warnings import risk_warning_of
from redemption.v1 import risk_service_pb2, rules_pb2

SECOND = Duration(seconds=1)


def told(rules):
    return rules_of("shop", ActiveRules(9, 5, rules, Lists()))


@given(RULES)
def test_what_was_told_can_be_told_back(rules):
    """Read, change one thing, write: nothing else changes."""
    message = rules_pb2.Rules.FromString(told(rules).SerializeToString())
    assert (rules_from(message), message.program, message.etag) == (rules, "shop", "v5")
    assert told(rules_from(message)) == message


def test_a_program_without_rules_has_the_defaults_of_the_lock_out():
    message = told(Rules())
    assert (message.lock_out.failures, message.lock_out.wait_max.seconds) == (10, 3600)
    assert message.lock_out.networks == rules_pb2.RULE_MODE_SHADOW
    assert not message.HasField("warnings")


def test_what_is_unset_means_what_the_contract_says():
    device = {"name": "a", "subject": rules_pb2.SUBJECT_KIND_DEVICE}
    network = {"name": "b", "subject": rules_pb2.SUBJECT_KIND_NETWORK}
    message = rules_pb2.Rules(
        velocity=[{**kind, "limit": 5, "period": SECOND} for kind in (device, network)],
        accounts=[{**kind, "customers": 2, "window": SECOND} for kind in (device, network)],
        warnings={"refusal_shares": [{"outcome": 60, "basis_points": 1}]},
    )
    expected = {
        "subject": SubjectKind.DEVICE,
        "mode": RuleMode.ENFORCE,
        "without_subject": WithoutSubject.PASS,
        "operations": 3,
    }
    velocity = velocity_rule("a", burst=5, period_ms=1000, counts=RuleCounts.ATTEMPTS, **expected)
    accounts = accounts_rule("a", window_seconds=1, counts=RuleCounts.APPROVALS, **expected)
    of_network = {"name": "b", "subject": SubjectKind.NETWORK, "mode": RuleMode.SHADOW}
    assert rules_from(message) == Rules(
        velocity=(velocity, replace(velocity, **of_network)),
        accounts=(accounts, replace(accounts, **of_network)),
        lock_out=LockOut(),
        warnings=WarningThresholds((RefusalShare(60, 1, 100),)),
    )


def test_a_burst_that_is_set_to_nothing_is_not_unset():
    (rule,) = rules_from(rules_message(velocity=[{**VELOCITY, "burst": 0}])).velocity
    assert rule.burst == 0


VELOCITY = {"name": "five", "subject": rules_pb2.SUBJECT_KIND_CUSTOMER, "limit": 5, "period": SECOND}
ACCOUNTS = {"name": "two", "subject": rules_pb2.SUBJECT_KIND_DEVICE, "customers": 2, "window": SECOND}
HALF = Duration(seconds=1, nanos=500_000_000)
MICRO = Duration(seconds=1, nanos=1_000)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"velocity": [{**VELOCITY, "subject": 0}]}, ["rules.velocity[0].subject"]),
        ({"velocity": [{**VELOCITY, "subject": 6}]}, ["rules.velocity[0].subject"]),
        ({"velocity": [{**VELOCITY, "subject": 99}]}, ["rules.velocity[0].subject"]),
        ({"velocity": [{**VELOCITY, "mode": 3}]}, ["rules.velocity[0].mode"]),
        ({"velocity": [{**VELOCITY, "counts": 3}]}, ["rules.velocity[0].counts"]),
        ({"velocity": [{**VELOCITY, "without_subject": 3}]}, ["rules.velocity[0].without_subject"]),
        ({"velocity": [{**VELOCITY, "operations": [1, 0]}]}, ["rules.velocity[0].operations[1]"]),
        ({"velocity": [{**VELOCITY, "operations": [3]}]}, ["rules.velocity[0].operations[0]"]),
        ({"velocity": [{**VELOCITY, "period": None}]}, ["rules.velocity[0].period"]),
        ({"velocity": [{**VELOCITY, "period": MICRO}]}, ["rules.velocity[0].period"]),
        ({"velocity": [{**VELOCITY, "period": Duration(seconds=-1)}]}, ["rules.velocity[0].period"]),
        ({"velocity": [VELOCITY] * 101}, ["rules.velocity"]),
        ({"accounts": [{**ACCOUNTS, "window": None}]}, ["rules.accounts[0].window"]),
        ({"accounts": [{**ACCOUNTS, "window": HALF}]}, ["rules.accounts[0].window"]),
        ({"lock_out": {"period": HALF, "wait": HALF}}, ["rules.lock_out.period", "rules.lock_out.wait"]),
        ({"lock_out": {"wait_max": HALF, "devices": 9}}, ["rules.lock_out.devices"]),
        ({"warnings": {"budget_gone_within": HALF}}, ["rules.warnings.budget_gone_within"]),
        ({"warnings": {"refusal_shares": [{"outcome": 9999}]}}, ["rules.warnings.refusal_shares[0].outcome"]),
        ({"tightened": [{"name": "five", "mode": 9}]}, ["rules.tightened[0].mode"]),
    ],
)
def test_what_the_domain_cannot_hold_is_refused_by_its_field(changes, fields):
    with pytest.raises(InvalidRequest) as refused:
        rules_from(rules_message(**changes))
    assert [violation.field for violation in refused.value.violations] == fields


def test_a_period_may_have_milliseconds():
    message = rules_message(velocity=[{**VELOCITY, "period": HALF}])
    assert rules_from(message).velocity[0].period_ms == 1500


def test_a_field_of_a_later_contract_is_refused():
    with pytest.raises(NotBuilt, match="rules"):
        rules_from(rules_pb2.Rules.FromString(b"\xf8\x07\x01"))
    with pytest.raises(NotBuilt, match="rule"):
        tightened_from(rules_pb2.TightenedRule.FromString(b"\xf8\x07\x01"))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (rules_pb2.TightenedRule(name="a"), Tightened("a")),
        (rules_pb2.TightenedRule(name="a", limit=0, burst=0), Tightened("a", limit=0, burst=0)),
        (
            rules_pb2.TightenedRule(name="a", limit=2, burst=1, mode=rules_pb2.RULE_MODE_ENFORCE),
            Tightened("a", 2, 1, RuleMode.ENFORCE),
        ),
    ],
)
def test_what_is_to_be_tightened(message, expected):
    assert tightened_from(message) == expected


def test_the_numbers_of_rules():
    assert stats_of(RISK_STATS) == risk_service_pb2.GetRiskStatsResponse(
        rules=[
            {
                "name": "five",
                "mode": rules_pb2.RULE_MODE_SHADOW,
                "refused": 1,
                "would_refuse": 2,
                "without_subject": 3,
            }
        ],
        lock_out={"name": "lock_out", "mode": rules_pb2.RULE_MODE_ENFORCE, "refused": 4, "would_refuse": 5},
        warnings=map(risk_warning_of, RISK_STATS.warnings),
        failures_last_minute=6,
        locked_out=7,
        code_budget_spent=True,
        as_of={"seconds": NOW},
    )
