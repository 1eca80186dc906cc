"""Looking into a case: who tried most in vain, and what is known of one subject."""

import pytest
from builders.calls import calling

from redemption.domain.errors import InvalidRequest, LedgerRefused
from redemption.domain.order import RiskContext
from redemption.domain.outcome import Outcome
from redemption.domain.risk.given_subjects import GivenRef, GivenSubject
from redemption.domain.risk.lists import ListKind
from redemption.domain.risk.rules import AccountsRule, RuleMode, VelocityRule
from redemption.domain.risk.subjects import SubjectKind

CUSTOMER, DEVICE, NETWORK = SubjectKind.CUSTOMER, SubjectKind.DEVICE, SubjectKind.NETWORK
MINUTE_MS = 60_000
PHONE = RiskContext("phone", "192.0.2.7")
FORGED = "AQ" + "x" * 62


def rate(name, subject, limit=2, **rest):
    return VelocityRule(name, subject, limit, MINUTE_MS, limit, **rest)


async def who(house, kind, text="", **coupon):
    return await house.use_cases.risk_subjects.subject(calling(), house.program, GivenSubject(kind, text, **coupon))


async def top(house, minutes=0, subjects_max=0):
    return await house.use_cases.risk_subjects.top(calling(), house.program, minutes=minutes, subjects_max=subjects_max)


async def test_what_rules_have_left_for_a_subject_is_told(house):
    tokens = await house.mint(await house.campaign(), 3)
    await house.apply_rules(
        rate("device", DEVICE), rate("customer", CUSTOMER, limit=5), accounts=[AccountsRule("farm", DEVICE, 3, 60)]
    )
    assert (await who(house, DEVICE, "phone")).counts == []
    for token in tokens:
        await house.redeem(token, customer="ann", risk=PHONE)
    device, customer = await who(house, DEVICE, "phone"), await who(house, CUSTOMER, "ann")
    assert [(count.rule, count.left) for count in device.counts] == [("device", 0), ("farm", 2)]
    assert device.counts[0].try_after_ms > house.ledger.now_ms()
    assert device.counts[1].customers == (customer.subject.id,)
    assert [(count.rule, count.left) for count in customer.counts] == [("customer", 2)]
    assert (await who(house, DEVICE, "another")).counts == []


async def test_a_refused_subject_and_one_who_guessed_are_among_the_first(house):
    tokens = await house.mint(await house.campaign(), 5)
    await house.apply_rules(rate("device", DEVICE), rate("network", NETWORK, mode=RuleMode.SHADOW))
    for token in tokens:
        await house.redeem(token, customer="ann", risk=PHONE)
    await house.redeem(*(FORGED[:-2] + f"{number:02}" for number in range(7)), customer="eve")
    found = [(subject.kind, tried.refused, tried.failures) for subject, tried in await top(house)]
    assert found[0] == (CUSTOMER, 0, 7)
    assert sorted(found[1:]) == [(CUSTOMER, 3, 0), (DEVICE, 3, 0), (NETWORK, 3, 0)]
    assert len(await top(house, subjects_max=1)) == 1
    known = await who(house, DEVICE, "phone")
    assert (known.tried.refused, known.locked_until_ms) == (3, None)


async def test_whoever_tries_a_denied_coupon_is_told_by_every_signal(house):
    """Also by those that no rule counts and no entry names."""
    campaign = await house.campaign()
    (token,) = await house.mint(campaign)
    await house.list_subjects((campaign.number, 0))
    await house.redeem(token, customer="ann", person="p-1", risk=RiskContext("phone", "192.0.2.7", "card-1"))
    kinds = {SubjectKind.PERSON, CUSTOMER, DEVICE, NETWORK, SubjectKind.PAYMENT}
    found = await top(house)
    assert {subject.kind for subject, _ in found} == kinds
    assert {(tried.refused, tried.failures) for _, tried in found} == {(1, 0)}


async def test_who_is_locked_out_is_told_until_when(house):
    await house.campaign()
    for number in range(12):
        await house.redeem(FORGED[:-2] + f"{number:02}", customer="eve", risk=PHONE)
    known = await who(house, CUSTOMER, "eve")
    assert known.locked_until_ms > house.ledger.now_ms()
    assert (known.tried.refused, known.tried.failures) == (3, 12)
    stats = await house.risk_rules.stats(calling(), house.program)
    assert (stats.failures_last_minute, stats.locked_out, stats.code_budget_spent) == (12, 2, False)
    await house.ledger._refusal_counts.send()
    stats = await house.risk_rules.stats(calling(), house.program)
    assert stats.lock_out.refused == 3


async def test_the_entries_that_apply_to_an_address_are_those_of_its_ranges_too(house):
    await house.campaign()
    await house.list_subjects((NETWORK, "192.0.2.7"), (NETWORK, "198.51.100.0/24"))
    await house.list_subjects((NETWORK, "192.0.2.0/24"), kind=ListKind.ALLOW, reason="stores")
    entries = (await who(house, NETWORK, "192.0.2.7")).entries
    assert [(entry.list, entry.reason) for entry in entries] == [(ListKind.DENY, ""), (ListKind.ALLOW, "stores")]
    ranged = await who(house, NETWORK, "192.0.2.0/24")
    assert [(entry.list, entry.subject.text) for entry in ranged.entries] == [(ListKind.ALLOW, "192.0.2.0/24")]


async def test_a_subject_is_known_by_what_the_service_showed(house):
    """Of a digest, nobody knows the id; of an address, its ranges cannot be found."""
    (token,) = await house.mint(await house.campaign())
    await house.apply_rules(rate("device", DEVICE))
    await house.redeem(token, risk=PHONE)
    await house.list_subjects((DEVICE, "phone"), (NETWORK, "192.0.2.0/24"))
    named = await who(house, DEVICE, "phone")
    shown = GivenRef(DEVICE, named.subject.text)
    known = await house.use_cases.risk_subjects.subject(calling(), house.program, shown)
    assert (known.subject, known.entries, known.counts) == (named.subject, named.entries, named.counts)
    assert [count.left for count in known.counts] == [1]
    address = GivenRef(NETWORK, (await who(house, NETWORK, "192.0.2.7")).subject.text)
    assert (await house.use_cases.risk_subjects.subject(calling(), house.program, address)).entries == []
    with pytest.raises(InvalidRequest, match=r"ref\.id"):
        await house.use_cases.risk_subjects.subject(calling(), house.program, GivenRef(DEVICE, "phone"))


async def test_of_a_coupon_its_entry_is_told(house):
    campaign = await house.campaign()
    (token,) = await house.mint(campaign)
    await house.list_subjects((campaign.number, 0))
    known = await who(house, SubjectKind.COUPON, campaign=campaign.number, serial=0)
    assert ([entry.list for entry in known.entries], known.counts) == ([ListKind.DENY], ())
    assert (await house.redeem(token)).outcome is Outcome.DENYLISTED


async def test_a_program_that_is_not_there_has_nothing(house):
    subjects = house.use_cases.risk_subjects
    assert await subjects.top(calling(), "nobody", minutes=10, subjects_max=10) == []
    known = await subjects.subject(calling(), "nobody", GivenSubject(DEVICE, "phone"))
    assert (known.entries, known.counts, known.tried.together, known.locked_until_ms) == ([], (), 0, None)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (lambda house: top(house, minutes=61), "minutes"),
        (lambda house: top(house, subjects_max=101), "subjects_max"),
        (lambda house: top(house, minutes=-1), "minutes"),
        (lambda house: who(house, DEVICE, ""), r"subject\.device_id"),
        (lambda house: who(house, NETWORK, "nowhere"), r"subject\.network"),
    ],
)
async def test_a_wrong_question_is_refused_by_its_field(house, asked, field):
    with pytest.raises(InvalidRequest, match=field):
        await asked(house)


async def test_a_state_that_cannot_be_read_is_said(house):
    (token,) = await house.mint(await house.campaign())
    await house.apply_rules(rate("device", DEVICE))
    await house.redeem(token, risk=PHONE)
    (key,) = await house.keys("velocity:*")
    digest = (await who(house, DEVICE, "phone")).subject.id
    await house.redis.hset(key, digest, "short")
    with pytest.raises(LedgerRefused, match="rule device"):
        await who(house, DEVICE, "phone")


async def test_refusals_by_rules_are_counted_by_their_mode(house):
    tokens = await house.mint(await house.campaign(), 4)
    await house.apply_rules(rate("device", DEVICE), rate("network", NETWORK, mode=RuleMode.SHADOW))
    for token in tokens:
        await house.redeem(token, risk=PHONE)
    await house.ledger._refusal_counts.send()
    stats = await house.risk_rules.stats(calling(), house.program)
    assert [(rule.refused, rule.would_refuse) for rule in stats.rules] == [(2, 0), (0, 2)]
