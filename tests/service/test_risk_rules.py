"""Managing rules on the real ledger: versions, emergencies, repeated and concurrent changes, and what they did."""

import asyncio
from dataclasses import replace

import pytest
from builders.calls import calling
from builders.rules import accounts_rule, velocity_rule
from ledger.watched import Watched

from redemption.domain.errors import Conflict, InvalidRequest, LedgerRefused, NotFound
from redemption.domain.order import RiskContext
from redemption.domain.outcome import Outcome
from redemption.domain.risk.rules import LockOut, RuleCounts, RuleMode, Rules, Tightened, WarningThresholds
from redemption.domain.risk.subjects import SubjectKind
from redemption.service.risk_rules import RuleStats, etag

FIVE = velocity_rule("five")
SHADOW = velocity_rule("shadow", mode=RuleMode.SHADOW)


async def version(house):
    """The version of rules and lists in the ledger."""
    return int(await house.redis.hget(house.key("ledger"), "rules") or 0)


async def test_a_program_that_never_had_rules_has_none(house):
    """Also one without a ledger: nobody needs to create a campaign first to look."""
    active = await house.risk_rules.get(calling(), house.program)
    assert (active.rules, etag(active)) == (Rules(), "v0")
    assert await house.keys() == []


async def test_rules_are_read_as_they_were_applied(house, other):
    rules = Rules(
        velocity=(FIVE, velocity_rule("net", subject=SubjectKind.NETWORK, campaign=7, operations=1)),
        accounts=(accounts_rule("shared"),),
        lock_out=LockOut(failures=3),
        warnings=WarningThresholds(claims_per_minute=100),
    )
    applied = await house.risk_rules.update(calling(), house.program, rules, "v0")
    assert etag(applied) == "v1"
    for server in (house, other):
        found = await server.risk_rules.get(calling(), house.program)
        assert replace(found.rules, numbers={}, next_number=1) == rules


async def test_an_update_of_rules_that_others_changed_meanwhile_is_refused(house, other):
    """Entries of lists are no change of the rules."""
    await house.apply_rules(FIVE)
    await house.list_subjects((SubjectKind.CUSTOMER, "ann"))
    await other.risk_rules.update(calling(), house.program, Rules(velocity=(SHADOW,)), "v1")
    with pytest.raises(Conflict, match=r"rules\.etag"):
        await house.risk_rules.update(calling(), house.program, Rules(), "v1")
    assert (await house.risk_rules.get(calling(), house.program)).rules.velocity == (SHADOW,)


async def test_a_server_that_learns_of_rules_and_of_later_entries_together_can_update_them(house, other):
    """The etag is that of the rules, also where entries have raised the version since."""
    await other.risk_rules.get(calling(), house.program)
    await house.apply_rules(FIVE)
    await house.list_subjects((SubjectKind.CUSTOMER, "ann"))
    assert etag(await other.risk_rules.get(calling(), house.program)) == "v1"
    assert (await other.apply_rules(SHADOW)).rules.velocity == (SHADOW,)
    assert etag(await house.risk_rules.get(calling(), house.program)) == "v3"


async def test_of_concurrent_updates_with_one_etag_one_is_done(house, other):
    def update(server, name):
        rules = Rules(velocity=(velocity_rule(name),))
        return server.risk_rules.update(calling(), house.program, rules, "v0")

    await house.campaign()
    updates = [update(server, f"rule-{index}") for index in range(4) for server in (house, other)]
    results = await asyncio.gather(*updates, return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in results) == len(results) - 1


@pytest.mark.parametrize(
    ("rules", "presented", "field"),
    [
        (Rules(), "", "rules.etag"),
        (Rules(velocity=(velocity_rule("Bad"),)), "v1", "rules.velocity[0].name"),
        (Rules(claims_frozen=True), "v1", "rules.claims_frozen"),
        (Rules(velocity=(FIVE,), tightened=(Tightened("five", limit=1),)), "v1", "rules.tightened"),
    ],
)
async def test_a_wrong_update_names_the_field_and_changes_nothing(house, rules, presented, field):
    await house.apply_rules(FIVE)
    for change in (house.risk_rules.update, house.risk_rules.check_update):
        with pytest.raises(InvalidRequest) as refused:
            await change(calling(), house.program, rules, presented)
        assert [violation.field for violation in refused.value.violations] == [field]
    assert await version(house) == 1


async def test_a_check_returns_the_rules_as_they_would_be_and_changes_nothing(house):
    await house.apply_rules(FIVE)
    checked = await house.risk_rules.check_update(calling(), house.program, Rules(velocity=(SHADOW,)), "v1")
    assert (checked.rules.velocity, etag(checked)) == ((SHADOW,), "v1")
    assert (await house.risk_rules.get(calling(), house.program)).rules.velocity == (FIVE,)
    with pytest.raises(Conflict):
        await house.risk_rules.check_update(calling(), house.program, Rules(), "v9")


async def test_an_update_that_changes_nothing_raises_no_version(house):
    await house.apply_rules(FIVE)
    assert etag(await house.apply_rules(FIVE)) == "v1"
    assert await version(house) == 1


async def test_a_tightened_rule_is_in_force_until_it_is_loosened(house):
    await house.apply_rules(velocity_rule("ten", limit=10, burst=10))
    tightened = await house.risk_rules.tighten(calling(), house.program, Tightened("ten", limit=2))
    (rule,) = tightened.rules.in_force
    assert (rule.limit, rule.burst, tightened.rules.velocity[0].limit) == (2, 2, 10)
    again = await house.risk_rules.tighten(calling(), house.program, Tightened("ten", limit=2))
    assert etag(again) == etag(tightened) == "v2"
    further = await house.risk_rules.tighten(calling(), house.program, Tightened("ten", burst=1))
    assert [(rule.limit, rule.burst) for rule in further.rules.in_force] == [(2, 1)], "the limit stays"
    for _ in range(2):
        loosened = await house.risk_rules.loosen(calling(), house.program, "ten")
    assert (loosened.rules.tightened, etag(loosened)) == ((), "v4")


async def test_an_update_keeps_what_was_tightened(house):
    """Also of a rule that is gone, or as tight by itself; read rules can be given back."""
    ten = {name: velocity_rule(name, limit=10, burst=10) for name in ("a", "b", "c")}
    await house.apply_rules(*ten.values())
    for name in ten:
        active = await house.risk_rules.tighten(calling(), house.program, Tightened(name, limit=5))
    await house.risk_rules.set_claims_frozen(calling(), house.program, frozen=True)
    active = await house.risk_rules.get(calling(), house.program)
    back = replace(active.rules, velocity=(ten["a"], replace(ten["b"], limit=5, burst=5)))
    updated = await house.risk_rules.update(calling(), house.program, back, etag(active))
    assert updated.rules.tightened == active.rules.tightened
    assert updated.rules.claims_frozen
    smaller = replace(ten["a"], limit=3, burst=9)
    updated = await house.apply_rules(smaller)
    assert [(rule.limit, rule.burst) for rule in updated.rules.in_force] == [(3, 5)]
    updated = await house.apply_rules(*ten.values())
    assert [(rule.limit, rule.burst) for rule in updated.rules.in_force] == [(5, 5)] * 3, "they came back"
    assert updated.rules.tightened == active.rules.tightened


async def test_a_rule_that_is_away_can_be_loosened(house):
    """Else nobody could ever take it back."""
    await house.apply_rules(FIVE)
    await house.risk_rules.tighten(calling(), house.program, Tightened("five", limit=1))
    await house.apply_rules()
    loosened = await house.risk_rules.loosen(calling(), house.program, "five")
    assert loosened.rules.tightened == ()
    with pytest.raises(NotFound):
        await house.risk_rules.loosen(calling(), house.program, "five")


async def test_a_mode_stays_when_a_limit_is_tightened(house):
    """A second, stricter command must not let a rule be shadow again."""
    await house.apply_rules(SHADOW)
    for change in (Tightened("shadow", mode=RuleMode.ENFORCE), Tightened("shadow", limit=1)):
        active = await house.risk_rules.tighten(calling(), house.program, change)
    assert [(rule.mode, rule.limit) for rule in active.rules.in_force] == [(RuleMode.ENFORCE, 1)]


async def test_so_many_rules_are_tightened_at_most(house, monkeypatch):
    """They are kept while their rules are away, so the number of rules does not bound them."""
    monkeypatch.setattr("redemption.domain.risk.rule_checks.TIGHTENED_MAX", 1)
    await house.apply_rules(FIVE, SHADOW)
    for limit in (2, 1):
        await house.risk_rules.tighten(calling(), house.program, Tightened("five", limit=limit))
    with pytest.raises(InvalidRequest, match="loosen those that are not needed"):
        await house.risk_rules.tighten(calling(), house.program, Tightened("shadow", limit=1))


@pytest.mark.parametrize(
    ("tightened", "field"),
    [
        (Tightened(""), "rule.name"),
        (Tightened("five"), "rule"),
        (Tightened("five", limit=6), "rule.limit"),
        (Tightened("five", limit=0), "rule.limit"),
        (Tightened("five", burst=6), "rule.burst"),
        (Tightened("five", mode=RuleMode.SHADOW), "rule.mode"),
        (Tightened("shared", burst=1), "rule.burst"),
        (Tightened("shared", limit=3), "rule.limit"),
        (Tightened("slow", limit=1, burst=13), "rule.burst"),
    ],
)
async def test_a_rule_cannot_be_made_looser_in_an_emergency(house, tightened, field):
    month = 30 * 86_400_000
    slow = velocity_rule("slow", limit=1000, burst=1000, period_ms=month)
    await house.apply_rules(FIVE, slow, accounts=[accounts_rule("shared", customers=2)])
    with pytest.raises(InvalidRequest) as refused:
        await house.risk_rules.tighten(calling(), house.program, tightened)
    assert [violation.field for violation in refused.value.violations] == [field]


async def test_an_update_that_a_tightened_rule_would_make_endless_is_refused(house):
    """One in 30 days and a thousand at once: a subject would be remembered for 82 years."""
    await house.apply_rules(velocity_rule("ten", limit=1000, burst=1000))
    await house.risk_rules.tighten(calling(), house.program, Tightened("ten", limit=1, burst=1000))
    with pytest.raises(InvalidRequest, match=r"rules\.velocity\[0\]\.burst"):
        await house.apply_rules(velocity_rule("ten", limit=1000, burst=1000, period_ms=30 * 86_400_000))


async def test_an_unknown_rule_is_not_found_and_those_there_are_are_named(house):
    with pytest.raises(NotFound, match="it has no rules"):
        await house.risk_rules.loosen(calling(), house.program, "five")
    await house.apply_rules(FIVE, SHADOW)
    with pytest.raises(NotFound, match="there are five, shadow"):
        await house.risk_rules.tighten(calling(), house.program, Tightened("fife", limit=1))
    with pytest.raises(NotFound, match="there are five, shadow"):
        await house.risk_rules.loosen(calling(), house.program, "fife")
    with pytest.raises(InvalidRequest, match="name: is required"):
        await house.risk_rules.loosen(calling(), house.program, "")


async def test_concurrent_emergency_changes_are_all_done(house, other):
    """They have no etag: each is repeated on what the other one left."""
    await house.apply_rules(*(velocity_rule(f"rule-{index}") for index in range(4)))
    await asyncio.gather(
        *(
            server.risk_rules.tighten(calling(), house.program, Tightened(f"rule-{index}", limit=1))
            for index, server in enumerate((house, other, house, other))
        ),
        other.risk_rules.set_claims_frozen(calling(), house.program, frozen=True),
    )
    rules = (await house.risk_rules.get(calling(), house.program)).rules
    assert ([rule.limit for rule in rules.in_force], rules.claims_frozen) == ([1] * 4, True)


async def test_frozen_claims_are_refused_on_every_server_until_they_are_thawed(house, other):
    campaign = await house.campaign()
    (token,) = await house.mint(campaign)
    (code,) = await house.mint_codes(campaign)
    assert (await other.claim(campaign, "bob")).outcome is Outcome.APPROVED
    for _ in range(2):
        await house.risk_rules.set_claims_frozen(calling(), house.program, frozen=True)
    assert await version(house) == 1
    for server in (house, other):
        for source in (campaign, code):
            assert (await server.claim(source, "ann")).outcome is Outcome.CAMPAIGN_PAUSED
    assert (await other.redeem(token)).outcome is Outcome.APPROVED
    await other.risk_rules.set_claims_frozen(calling(), house.program, frozen=False)
    assert (await house.claim(code, "ann")).outcome is Outcome.APPROVED


async def test_a_program_without_a_ledger_gets_one_only_in_development(house, tmp_path):
    async with house.another(tmp_path / "fence-2", program="nobody", may_create_ledger=False, learns=False) as strict:
        assert (await strict.risk_rules.get(calling(), "nobody")).rules == Rules()
        with pytest.raises(LedgerRefused):
            await strict.apply_rules(FIVE)
        thawed = await strict.risk_rules.set_claims_frozen(calling(), "nobody", frozen=False)
        assert thawed.version == 0


async def test_a_malformed_program_is_refused(house):
    calls = [
        house.risk_rules.get(calling(), "No"),
        house.risk_rules.stats(calling(), "No"),
        house.risk_rules.set_claims_frozen(calling(), "No", frozen=True),
        house.risk_rules.loosen(calling(), "No", "rule"),
        house.risk_rules.tighten(calling(), "No", Tightened("rule", limit=1)),
    ]
    for call in calls:
        with pytest.raises(InvalidRequest, match="program"):
            await call
    with pytest.raises(InvalidRequest, match=r"rules\.program"):
        await house.risk_rules.update(calling(), "No", Rules(), "v0")


async def test_what_rules_did_is_counted(house):
    """A shadow rule refuses nobody; a rule that counts as before keeps its counts, another one begins anew."""
    one = velocity_rule("one", subject=SubjectKind.DEVICE, limit=1, burst=1, counts=RuleCounts.APPROVALS)
    watched = velocity_rule("watched", limit=1, burst=1, mode=RuleMode.SHADOW, counts=RuleCounts.APPROVALS)
    await house.apply_rules(one, watched)
    tokens = await house.mint(await house.campaign(), 4)
    risk = RiskContext(device_id="phone")
    outcomes = [
        (await house.redeem(token, customer="ann", **context)).outcome
        for token, context in zip(tokens, ({"risk": risk}, {"risk": risk}, {}, {}), strict=True)
    ]
    assert outcomes == [Outcome.APPROVED, Outcome.VELOCITY_EXCEEDED, Outcome.APPROVED, Outcome.APPROVED]
    await house.ledger._refusal_counts.send()
    stats = await house.risk_rules.stats(calling(), house.program)
    assert stats.rules == (
        RuleStats("one", RuleMode.ENFORCE, refused=1, would_refuse=0, without_subject=2),
        RuleStats("watched", RuleMode.SHADOW, refused=0, would_refuse=3, without_subject=0),
    )
    assert abs(stats.as_of_ms - house.ledger.now_ms()) < 60_000
    await house.apply_rules(replace(one, limit=2), replace(watched, mode=RuleMode.ENFORCE))
    stats = await house.risk_rules.stats(calling(), house.program)
    assert [(rule.refused, rule.would_refuse, rule.without_subject) for rule in stats.rules] == [(0, 0, 0), (0, 3, 0)]


async def test_warnings_that_are_raised_are_among_the_numbers(house):
    watched = await Watched.of(house, budget=1_000_000, budget_spent_basis_points=5_000)
    await watched.count(discount=600_000)
    await watched.look()
    (warning,) = (await house.risk_rules.stats(calling(), house.program)).warnings
    assert (warning.campaign, warning.reason.name) == (watched.campaign.number, "BUDGET_SPENT")


async def test_a_program_without_rules_has_no_counts(house):
    stats = await house.risk_rules.stats(calling(), house.program)
    assert (stats.rules, abs(stats.as_of_ms - house.ledger.now_ms()) < 60_000) == ((), True)
