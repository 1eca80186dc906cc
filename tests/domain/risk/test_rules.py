"""Rules as they are in force: tightened, numbered, and the times that are derived from them."""

from dataclasses import replace

import pytest
from builders.rules import accounts_rule, velocity_rule

from redemption.domain.risk.rules import RuleCounts, RuleMode, Rules, Tightened
from redemption.domain.risk.subjects import SubjectKind

SHADOW, ENFORCE = RuleMode.SHADOW, RuleMode.ENFORCE


@pytest.mark.parametrize(
    ("limit", "period_ms", "burst", "interval_us", "tolerance_us", "life_ms"),
    [
        (1, 1000, 1, 1_000_000, 0, 1000),
        (3, 1000, 3, 333_334, 666_668, 1001),  # rounded up: never more than the limit
        (1_000_000, 1000, 1, 1, 0, 1),
        (5, 60_000, 1, 12_000_000, 0, 12_000),
    ],
)
def test_the_times_of_a_rate(limit, period_ms, burst, interval_us, tolerance_us, life_ms):
    rule = velocity_rule("a", limit=limit, period_ms=period_ms, burst=burst)
    assert (rule.interval_us, rule.tolerance_us, rule.life_ms) == (interval_us, tolerance_us, life_ms)


@pytest.mark.parametrize(
    ("tightened", "expected"),
    [
        (Tightened("a", limit=4), {"limit": 4, "burst": 4}),
        (Tightened("a", limit=4, burst=7), {"limit": 4, "burst": 7}),
        (Tightened("a", burst=3), {"burst": 3}),
        (Tightened("a", limit=10), {}),
        (Tightened("a", limit=99, burst=99), {}),
        (Tightened("a", limit=99, burst=3), {"burst": 3}),
        (Tightened("a", mode=ENFORCE), {"mode": ENFORCE}),
        (Tightened("a", mode=SHADOW), {}),
    ],
)
def test_a_tightened_rate_is_never_looser_than_applied(tightened, expected):
    rule = velocity_rule("a", limit=10, burst=10, mode=SHADOW)
    assert Rules(velocity=(rule,), tightened=(tightened,)).in_force == (replace(rule, **expected),)


def test_a_rule_that_is_enforced_stays_so():
    assert velocity_rule("a").tightened(Tightened("a", mode=SHADOW)).mode is ENFORCE
    assert accounts_rule("a").tightened(Tightened("a", mode=SHADOW)).mode is ENFORCE


@pytest.mark.parametrize(
    ("tightened", "customers"), [(Tightened("a", limit=2), 2), (Tightened("a", limit=9), 5), (Tightened("a"), 5)]
)
def test_tightened_accounts(tightened, customers):
    rule = accounts_rule("a", customers=5)
    assert Rules(accounts=(rule,), tightened=(tightened,)).in_force == (replace(rule, customers=customers),)


def test_a_rule_keeps_its_number_while_it_counts_the_same():
    """A number is never used again, so nobody is refused by what another rule has counted."""
    rules = Rules(velocity=(velocity_rule("a"), velocity_rule("b")), accounts=(accounts_rule("c"),)).numbered()
    assert {name: found.number for name, found in rules.numbers.items()} == {"a": 1, "b": 2, "c": 3}
    same = {"mode": SHADOW, "operations": 1}
    assert replace(rules, velocity=(velocity_rule("a", **same), velocity_rule("b"))).numbered().numbers == rules.numbers
    for change in (
        {"limit": 6},
        {"burst": 4},
        {"period_ms": 1000},
        {"campaign": 1},
        {"subject": SubjectKind.DEVICE},
        {"counts": RuleCounts.APPROVALS},
    ):
        other = replace(rules, velocity=(velocity_rule("a", **change), velocity_rule("b"))).numbered()
        assert (other.numbers["a"].number, other.numbers["b"].number, other.next_number) == (4, 2, 5)
    assert replace(rules, accounts=(accounts_rule("c", customers=9),)).numbered().numbers["c"].number == 4
    gone = replace(rules, velocity=()).numbered()
    back = replace(gone, velocity=rules.velocity).numbered()
    assert {name: found.number for name, found in back.numbers.items()} == {"a": 4, "b": 5, "c": 3}


def test_a_tightened_rule_counts_anew():
    rules = Rules(velocity=(velocity_rule("a"),)).numbered()
    tightened = replace(rules, tightened=(Tightened("a", limit=1),)).numbered()
    assert (tightened.numbers["a"].number, tightened.numbered()) == (2, tightened)


@pytest.mark.parametrize(
    "applied",
    [
        (velocity_rule("a", limit=10, burst=10),),
        (velocity_rule("a", limit=5, burst=5),),
        (velocity_rule("a", limit=3, burst=3),),
        (velocity_rule("a", limit=3, burst=9),),
        (velocity_rule("b"),),
        (accounts_rule("a", customers=6),),
        (accounts_rule("a", customers=4),),
        (),
    ],
)
def test_what_is_tightened_stays_whatever_is_applied(applied):
    """Else a file that is stricter for a while, or lacks the rule, would end it without a word."""
    ten = velocity_rule("a", limit=10, burst=10)
    before = Rules(velocity=(ten,), tightened=(Tightened("a", limit=5),), claims_frozen=True).numbered()
    wanted = Rules(
        velocity=tuple(rule for rule in applied if hasattr(rule, "limit")),
        accounts=tuple(rule for rule in applied if hasattr(rule, "customers")),
    )
    after = before.replaced_by(wanted)
    assert (after.tightened, after.claims_frozen) == (before.tightened, True)
    assert set(after.numbers) == {rule.name for rule in applied}
    assert after.next_number >= before.next_number
