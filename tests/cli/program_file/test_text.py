"""Rules in words, and what differs between two sets of them."""
# ruff: noqa: E501 - each case is one line of the table.

import pytest

from redemption.cli.program_file.in_force import filled, tightened
from redemption.cli.program_file.text import changes, rule_text
from redemption.v1 import outcome_pb2
from redemption.v1 import rules_pb2 as v1

NAMES = {3: "双11 每满300减40"}
BURST = v1.VelocityRule(name="burst", subject=v1.SUBJECT_KIND_DEVICE, limit=5, period={"seconds": 60})
FARM = v1.AccountsRule(name="farm", subject=v1.SUBJECT_KIND_DEVICE, customers=3, window={"seconds": 86_400})


def with_(rule, **fields):
    made = type(rule)()
    made.CopyFrom(rule)
    made.MergeFrom(type(rule)(**fields))
    return made


def rules(*every, **fields):
    velocity = [rule for rule in every if isinstance(rule, v1.VelocityRule)]
    accounts = [rule for rule in every if isinstance(rule, v1.AccountsRule)]
    return v1.Rules(program="demo", velocity=velocity, accounts=accounts, **fields)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (BURST, "5 per 1m for each device; attempts; enforce"),
        (with_(BURST, burst=20), "5 per 1m for each device, 20 at once; attempts; enforce"),
        (with_(BURST, subject=v1.SUBJECT_KIND_NETWORK), "5 per 1m for each network; attempts; shadow"),
        (
            with_(BURST, campaign=3, operations=[2], without_subject=2, counts=2, mode=2),
            "5 per 1m for each device; approvals; shadow; claim only; campaign 3 双11 每满300减40 only; without device: refused",
        ),
        (with_(BURST, campaign=9), "5 per 1m for each device; attempts; enforce; campaign 9 only"),
        (FARM, "3 customers in 1d for each device; approvals; enforce"),
        (with_(FARM, customers=1), "1 customer in 1d for each device; approvals; enforce"),
    ],
)
def test_a_rule_is_one_sentence(rule, told):
    full = filled(rules(rule))
    assert rule_text([*full.velocity, *full.accounts][0], NAMES) == told


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (rules(), rules(), []),
        (rules(BURST), rules(with_(BURST, burst=5, mode=1, counts=1, operations=[2, 1], without_subject=1)), []),
        (rules(BURST, with_(BURST, name="b")), rules(with_(BURST, name="b"), BURST), []),
        (rules(), rules(BURST), [("velocity[burst]", "not there", "5 per 1m for each device; attempts; enforce")]),
        (rules(FARM), rules(), [("accounts[farm]", "3 customers in 1d for each device; approvals; enforce", "not there")]),
        (
            rules(BURST),
            rules(with_(BURST, limit=3)),
            [("velocity[burst].limit", "5 per 1m", "3 per 1m"), ("velocity[burst].burst", "5", "3")],
        ),
        (
            rules(BURST),
            rules(with_(BURST, campaign=3, operations=[1])),
            [
                ("velocity[burst].campaign", "all", "3 双11 每满300减40"),
                ("velocity[burst].operations", "all", "redeem"),
            ],
        ),
        (rules(FARM), rules(with_(FARM, window={"seconds": 90})), [("accounts[farm].window", "1d", "90s")]),
        (
            rules(),
            rules(lock_out=v1.LockOut(failures=10, networks=v1.RULE_MODE_ENFORCE)),
            [("lock_out.networks", "shadow", "enforce")],
        ),
        (
            rules(),
            rules(
                warnings=v1.WarningThresholds(
                    refusal_shares=[
                        v1.RefusalShare(outcome=outcome_pb2.OUTCOME_TOKEN_EXPIRED, basis_points=1250, answers_min=0)
                    ],
                    claims_per_minute=6000,
                )
            ),
            [
                ("warnings.refusal_shares[TOKEN_EXPIRED]", "not set", "12.5% of at least 100"),
                ("warnings.claims_per_minute", "not set", "6000"),
            ],
        ),
    ],
)  # fmt: skip
def test_each_difference_is_named(before, after, told):
    """Defaults that are written out, and another order, are none."""
    assert [tuple(change) for change in changes(before, after, NAMES)] == told
    assert [tuple(change)[::2] for change in changes(after, before, NAMES)] == [(each[0], each[1]) for each in told]


@pytest.mark.parametrize(
    ("rule", "change", "told"),
    [
        (BURST, {"limit": 2}, "2 per 1m for each device; attempts; enforce"),
        (with_(BURST, burst=20), {"limit": 2}, "2 per 1m for each device; attempts; enforce"),
        (with_(BURST, burst=20), {"limit": 2, "burst": 3}, "2 per 1m for each device, 3 at once; attempts; enforce"),
        (with_(BURST, burst=20), {"burst": 1}, "5 per 1m for each device, 1 at once; attempts; enforce"),
        (with_(BURST, mode=2), {"mode": 1}, "5 per 1m for each device; attempts; enforce"),
        (with_(BURST, limit=1), {"limit": 2}, "1 per 1m for each device; attempts; enforce"),
        (FARM, {"limit": 2}, "2 customers in 1d for each device; approvals; enforce"),
    ],
)
def test_a_tightened_rule_is_told_as_it_is_in_force(rule, change, told):
    """As the server does: a burst that was not tightened is at most the limit."""
    full = filled(rules(rule))
    (applied,) = [*full.velocity, *full.accounts]
    assert rule_text(tightened(applied, v1.TightenedRule(name=rule.name, **change)), NAMES) == told


def test_what_a_newer_server_tells_is_shown_by_its_number():
    full = filled(rules(with_(BURST, subject=77)))
    assert rule_text(full.velocity[0], NAMES) == "5 per 1m for each 77; attempts; enforce"
