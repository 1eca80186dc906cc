"""Velocity and accounts rules through the use cases: who is refused, what is only counted, what the caller learns."""

import asyncio
from collections import Counter

import pytest

from redemption.domain.order import RiskContext
from redemption.domain.outcome import Disposition, Outcome
from redemption.domain.risk.rules import (
    AccountsRule,
    RuleCounts,
    RuleMode,
    RuleOperation,
    Rules,
    VelocityRule,
    WithoutSubject,
)
from redemption.domain.risk.subjects import SubjectKind
from redemption.service.risk_reports import RuleDid

APPROVED, EXCEEDED = Outcome.APPROVED, Outcome.VELOCITY_EXCEEDED
CUSTOMER, DEVICE, NETWORK = SubjectKind.CUSTOMER, SubjectKind.DEVICE, SubjectKind.NETWORK
MINUTE_MS = 60_000
PHONE = RiskContext(device_id="phone", network_address="192.0.2.7")


def rule(subject=CUSTOMER, limit=5, name="rule", **rest):
    """A velocity rule: five a minute for each customer, with changes."""
    return VelocityRule(name, subject, limit, MINUTE_MS, limit, **rest)


async def use_rules(house, *rules):
    """Let the program have these rules; returns them as they are in force."""
    velocity = tuple(one for one in rules if isinstance(one, VelocityRule))
    accounts = tuple(one for one in rules if isinstance(one, AccountsRule))
    before = await house.ledger.rules.load(house.program)
    wanted = Rules(velocity=velocity, accounts=accounts).numbered()
    return await house.ledger.rules.define(
        house.program, wanted, expected=before.changed, what="applied", principal="test"
    )


def counted(house, number=1):
    """What a rule did, by the counts that wait to be sent."""
    counts = house.ledger._refusal_counts._counts.get(house.program, {})
    return {did: counts[0, number * 4 + did] for did in RuleDid if counts.get((0, number * 4 + did))}


@pytest.mark.parametrize("mode", RuleMode)
async def test_of_a_thousand_orders_of_one_customer_at_once_five_pass(house, mode):
    """With SHADOW all pass, and it is counted which would not."""
    tokens = await house.mint(await house.campaign(), 1_000)
    await use_rules(house, rule(mode=mode))
    decisions = await asyncio.gather(*(house.redeem(token, customer="ann") for token in tokens))
    outcomes = Counter(decision.outcome for decision in decisions)
    if mode is RuleMode.ENFORCE:
        assert outcomes == {APPROVED: 5, EXCEEDED: 995}
        assert counted(house) == {RuleDid.REFUSED: 995}
    else:
        assert outcomes == {APPROVED: 1_000}
        assert counted(house) == {RuleDid.WOULD_REFUSE: 995}


async def test_an_order_is_decided_although_its_rules_cannot_be_counted(house, monkeypatch):
    tokens = await house.mint(await house.campaign(), 2)
    await use_rules(house, rule(limit=1), rule(subject=DEVICE, name="device"))

    def fail(*_):
        raise RuntimeError("no counts today")

    monkeypatch.setattr(house.ledger.orders, "count_rule", fail)
    decisions = [await house.redeem(token, customer="ann") for token in tokens]
    assert [decision.outcome for decision in decisions] == [APPROVED, EXCEEDED]
    assert decisions[1].verdicts[0].detail.try_after_ms


async def test_of_orders_under_rules_only_refused_ones_are_refusals_of_their_campaign(house):
    campaign = await house.campaign()
    await use_rules(house, rule(limit=1), rule(subject=DEVICE, name="watched", limit=1, mode=RuleMode.SHADOW))
    for token in await house.mint(campaign, 3):
        await house.redeem(token, customer="ann", risk=PHONE)
    await house.ledger._refusal_counts.send()
    assert (await house.stats(campaign)).refusals == ((EXCEEDED, 2),)


async def test_the_caller_learns_when_to_try_again(house):
    tokens = await house.mint(await house.campaign(), 2)
    await use_rules(house, rule(limit=1))
    await house.redeem(tokens[0], customer="ann")
    decision = await house.redeem(tokens[1], customer="ann")
    (verdict,) = decision.verdicts
    assert (decision.outcome, decision.disposition) == (EXCEEDED, Disposition.TRY_LATER)
    now_ms = house.ledger.now_ms()
    assert now_ms + MINUTE_MS - 10_000 < verdict.detail.try_after_ms <= now_ms + MINUTE_MS


async def test_of_several_rules_the_last_to_have_room_says_when(house):
    tokens = await house.mint(await house.campaign(), 3)
    hourly = VelocityRule("hourly", DEVICE, 1, 60 * MINUTE_MS, 1)
    await use_rules(house, rule(limit=1), hourly)
    await house.redeem(tokens[0], customer="ann", risk=PHONE)
    decision = await house.redeem(tokens[1], customer="ann", risk=PHONE)
    assert decision.verdicts[0].detail.try_after_ms > house.ledger.now_ms() + 50 * MINUTE_MS


async def test_a_rule_holds_from_the_next_order_on_for_every_server(house, other):
    """The servers had the program without rules in memory."""
    tokens = await house.mint(await house.campaign(), 6)
    assert (await house.redeem(tokens[0], customer="ann")).outcome is APPROVED
    assert (await other.redeem(tokens[1], customer="ann")).outcome is APPROVED
    await use_rules(house, rule(limit=1))
    assert (await other.redeem(tokens[2], customer="ann")).outcome is APPROVED
    assert (await other.redeem(tokens[3], customer="ann")).outcome is EXCEEDED
    assert (await house.redeem(tokens[4], customer="ann")).outcome is EXCEEDED
    await use_rules(house)
    assert (await other.redeem(tokens[5], customer="ann")).outcome is APPROVED


@pytest.mark.parametrize(
    ("subject", "outcome", "disposition"),
    [
        (DEVICE, Outcome.RISK_CONTEXT_REQUIRED, Disposition.FIX_CALLER),
        (NETWORK, Outcome.RISK_CONTEXT_REQUIRED, Disposition.FIX_CALLER),
        (CUSTOMER, Outcome.CUSTOMER_REQUIRED, Disposition.CHANGE_ORDER),
    ],
)
async def test_without_its_subject_a_rule_refuses_if_it_says_so(house, subject, outcome, disposition):
    (token,) = await house.mint(await house.campaign())
    await use_rules(house, rule(subject, without_subject=WithoutSubject.REFUSE))
    decision = await house.redeem(token)
    assert (decision.outcome, decision.disposition) == (outcome, disposition)
    assert decision.verdicts[0].detail.missing_signals == (subject,)
    assert counted(house) == {RuleDid.WITHOUT_SUBJECT: 1}
    assert (await house.redeem(token, customer="ann", risk=PHONE)).outcome is APPROVED


@pytest.mark.parametrize(
    "rest",
    [{"without_subject": WithoutSubject.PASS}, {"without_subject": WithoutSubject.REFUSE, "mode": RuleMode.SHADOW}],
    ids=["pass", "shadow"],
)
async def test_what_passes_without_the_subject_is_counted(house, rest):
    (token,) = await house.mint(await house.campaign())
    await use_rules(house, rule(DEVICE, **rest))
    assert (await house.redeem(token)).outcome is APPROVED
    assert counted(house) == {RuleDid.WITHOUT_SUBJECT: 1}


async def test_an_accounts_rule_needs_device_and_customer(house):
    (token,) = await house.mint(await house.campaign())
    await use_rules(house, AccountsRule("farm", DEVICE, 2, 60, without_subject=WithoutSubject.REFUSE))
    decision = await house.redeem(token)
    assert decision.outcome is Outcome.CUSTOMER_REQUIRED
    decision = await house.redeem(token, customer="ann")
    assert decision.verdicts[0].detail.missing_signals == (DEVICE,)
    assert (await house.redeem(token, customer="ann", risk=PHONE)).outcome is APPROVED


async def test_customers_of_one_device_are_limited_by_approvals(house):
    tokens = await house.mint(await house.campaign(), 5)
    await use_rules(house, AccountsRule("farm", DEVICE, 2, 60))
    names = ["ann", "ben", "cat", "ann", "cat"]
    outcomes = [
        (await house.redeem(token, customer=name, risk=PHONE)).outcome
        for token, name in zip(tokens, names, strict=True)
    ]
    assert outcomes == [APPROVED, APPROVED, EXCEEDED, APPROVED, EXCEEDED]


async def test_a_rule_of_claims_limits_claims_alone(house):
    campaign = await house.campaign()
    await use_rules(house, rule(limit=2, operations=RuleOperation.CLAIM.value))
    claims = [await house.claim(campaign, "ann") for _ in range(3)]
    assert [claim.outcome for claim in claims] == [APPROVED, APPROVED, EXCEEDED]
    assert claims[2].detail.try_after_ms > house.ledger.now_ms()
    for claim in claims[:2]:
        assert (await house.redeem(claim.token, customer="ann")).outcome is APPROVED
    assert counted(house) == {RuleDid.REFUSED: 1}


async def test_claims_and_redeems_count_together(house):
    campaign = await house.campaign()
    await use_rules(house, rule(limit=2))
    first = await house.claim(campaign, "ann")
    assert (await house.redeem(first.token, customer="ann")).outcome is APPROVED
    assert (await house.claim(campaign, "ann")).outcome is EXCEEDED


async def test_a_claim_that_is_asked_again_is_answered_and_counts_nowhere(house):
    campaign = await house.campaign()
    await use_rules(house, rule(limit=1))
    first = await house.claim(campaign, "ann", request_id="mine")
    assert (await house.claim(campaign, "ann")).outcome is EXCEEDED
    assert await house.claim(campaign, "ann", request_id="mine") == first


async def test_a_claim_for_a_code_counts_once(house):
    """It is asked twice: what the code stands for, and then for the coupon."""
    campaign = await house.campaign()
    codes = await house.mint_codes(campaign, 3)
    await use_rules(house, rule(limit=2))
    outcomes = [(await house.claim(code, "ann")).outcome for code in codes]
    assert outcomes == [APPROVED, APPROVED, EXCEEDED]


WRONG = "0000-0000-0000-0000"


@pytest.mark.parametrize("counts", RuleCounts)
async def test_a_wrong_code_counts_once_where_attempts_do(house, counts):
    campaign = await house.campaign()
    codes = await house.mint_codes(campaign, 3)
    await use_rules(house, rule(limit=3, counts=counts))
    outcomes = [(await house.claim(code, "ann")).outcome for code in (WRONG, codes[0], WRONG, codes[1], codes[2])]
    invalid = Outcome.CODE_INVALID
    if counts is RuleCounts.ATTEMPTS:
        assert outcomes == [invalid, APPROVED, invalid, EXCEEDED, EXCEEDED]
    else:
        assert outcomes == [invalid, APPROVED, invalid, APPROVED, APPROVED]


async def test_while_a_rule_is_exceeded_nothing_tells_a_right_code_from_a_wrong_one(house):
    """But what was answered before is answered again."""
    campaign = await house.campaign()
    mine, code = await house.mint_codes(campaign, 2)
    await use_rules(house, rule(limit=1))
    first = await house.claim(mine, "ann", request_id="mine")
    answers = [await house.claim(text, "ann") for text in (code, WRONG, mine)]
    assert first.outcome is APPROVED
    assert answers[0].outcome is EXCEEDED
    assert answers[0].detail.try_after_ms > house.ledger.now_ms()
    assert len(set(answers)) == 1
    assert counted(house) == {RuleDid.REFUSED: 3}
    assert await house.claim(mine, "ann", request_id="mine") == first
    assert (await house.claim(code, "bob")).outcome is APPROVED


async def test_a_shadow_rule_is_told_of_a_wrong_code_once(house):
    (code,) = await house.mint_codes(await house.campaign(), 1)
    await use_rules(house, rule(limit=1, mode=RuleMode.SHADOW))
    outcomes = [(await house.claim(text, "ann")).outcome for text in (WRONG, WRONG, code)]
    assert outcomes == [Outcome.CODE_INVALID, Outcome.CODE_INVALID, APPROVED]
    assert counted(house) == {RuleDid.WOULD_REFUSE: 2}


async def test_without_a_signal_that_a_rule_needs_no_code_is_looked_up(house):
    campaign = await house.campaign()
    mine, code = await house.mint_codes(campaign, 2)
    first = await house.claim(mine, "ann", request_id="mine")
    await use_rules(house, rule(DEVICE, without_subject=WithoutSubject.REFUSE))
    answers = [await house.claim(text, "ann") for text in (code, WRONG)]
    assert answers[0] == answers[1]
    assert (answers[0].outcome, answers[0].detail.missing_signals) == (Outcome.RISK_CONTEXT_REQUIRED, (DEVICE,))
    assert counted(house) == {RuleDid.WITHOUT_SUBJECT: 2}
    assert await house.claim(mine, "ann", request_id="mine") == first
    assert (await house.claim(code, "ann", risk=PHONE)).outcome is APPROVED


async def test_an_order_of_several_coupons_counts_once(house):
    first, second = await house.campaign(), await house.campaign()
    (one, other_one), (two, other_two) = await house.mint(first, 2), await house.mint(second, 2)
    await use_rules(house, rule(limit=1, campaign=second.number), rule(limit=2, name="all"))
    assert (await house.redeem(one, two, customer="ann", spend=600_00)).outcome is APPROVED
    decision = await house.redeem(other_one, other_two, customer="ann", spend=600_00)
    assert [verdict.outcome for verdict in decision.verdicts] == [Outcome.STACK_REJECTED, EXCEEDED]
    assert (await house.redeem(other_one, customer="ann")).outcome is EXCEEDED, "the second attempt counted for all"


async def test_addresses_of_one_network_count_together(house):
    """An IPv6 customer may change the second half of the address at will."""
    tokens = await house.mint(await house.campaign(), 6)
    await use_rules(house, rule(NETWORK, limit=1))
    addresses = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"]
    outcomes = [
        (await house.redeem(token, risk=RiskContext(network_address=address))).outcome
        for token, address in zip(tokens, addresses, strict=True)
    ]
    assert outcomes == [APPROVED, EXCEEDED, APPROVED, APPROVED, EXCEEDED, APPROVED]
