"""Claims under rules and lists: who is refused, what counts, and that a repeated claim counts nowhere."""

import pytest
from builders.calls import calling

from redemption.domain.campaign.campaign import CampaignState
from redemption.domain.order import RiskContext
from redemption.domain.outcome import Outcome
from redemption.domain.risk.given_subjects import GivenSubject
from redemption.domain.risk.rules import NO_RULES, LockOut, RuleCounts, RuleMode, RuleOperation, VelocityRule
from redemption.domain.risk.subjects import SubjectKind
from redemption.service.risk_reports import LOCK_OUT, RuleDid

APPROVED, DENIED, EXCEEDED = Outcome.APPROVED, Outcome.DENYLISTED, Outcome.VELOCITY_EXCEEDED
CUSTOMER, DEVICE = SubjectKind.CUSTOMER, SubjectKind.DEVICE
MINUTE_MS = 60_000
PHONE = RiskContext(device_id="phone")
WRONG = "0000000000000000"


def rule(subject=CUSTOMER, limit=1, **rest):
    """A velocity rule of claims: one a minute for each subject, with changes."""
    return VelocityRule("rule", subject, limit, MINUTE_MS, limit, operations=RuleOperation.CLAIM, **rest)


async def did(house, number=1):
    """What a rule did."""
    await house.ledger._refusal_counts.send()
    counted = (await house.ledger.rules.counts(house.program)).counts
    return {each: counted[number, each] for each in RuleDid if counted.get((number, each))}


async def refused(house, customer="ann"):
    """How often a customer was refused by rules, as an operator is told."""
    subject = GivenSubject(CUSTOMER, customer)
    return (await house.use_cases.risk_subjects.subject(calling(), house.program, subject)).tried.refused


async def outcomes(house, source, *, times=1, **context):
    return [(await house.claim(source, **context)).outcome for _ in range(times)]


async def locked_out(house, **context):
    """Have a customer fail with codes until it has to wait."""
    for _ in range(NO_RULES.lock_out.failures):
        await house.claim(WRONG, **context)


# Who is refused


async def test_a_denied_coupon_is_not_claimed_by_its_code(house, other):
    campaign = await house.campaign()
    (code,) = await house.mint_codes(campaign)
    await house.list_subjects((campaign.number, 0))
    for server in (house, other):
        assert await outcomes(server, code) == [DENIED]
    await house.unlist_subjects((campaign.number, 0))
    assert await outcomes(other, code) == [APPROVED]


async def test_a_freeze_hides_what_else_would_refuse_a_claim_but_not_what_comes_before(house):
    running = await house.campaign(claims_per_customer=1)
    ended = await house.campaign()
    await house.claim(running)
    await house.set_state(ended, CampaignState.ENDED)
    await house.risk_rules.set_claims_frozen(calling(), house.program, frozen=True)
    assert await outcomes(house, running) == [Outcome.CAMPAIGN_PAUSED]
    assert await outcomes(house, ended) == [Outcome.CAMPAIGN_ENDED]


async def test_an_entry_ends_at_its_instant_by_the_ledgers_clock_for_claims_too(house, other):
    campaign = await house.campaign(ends_at_ms=house.ledger.now_ms() + 10**9)
    await house.list_subjects((CUSTOMER, "ann"), expires_in_ms=3_600_000)
    assert await outcomes(other, campaign) == [DENIED]
    await house.set_clock(house.ledger.now_ms() + 3_600_001)
    assert await outcomes(other, campaign) == [APPROVED]


# What counts


@pytest.mark.parametrize(("counts", "after"), [(RuleCounts.ATTEMPTS, EXCEEDED), (RuleCounts.APPROVALS, APPROVED)])
async def test_a_refused_claim_counts_only_where_attempts_do(house, counts, after):
    campaign, paused = await house.campaign(), await house.campaign()
    await house.set_state(paused, CampaignState.PAUSED)
    await house.apply_rules(rate := rule(counts=counts))
    assert await outcomes(house, paused) == [Outcome.CAMPAIGN_PAUSED]
    assert await outcomes(house, campaign) == [after]
    assert rate.limit == 1
    assert (await house.stats(campaign)).claimed == (1 if after is APPROVED else 0)


async def test_a_refused_claim_counts_for_its_campaign_its_rule_and_its_customer(house):
    campaign = await house.campaign()
    await house.apply_rules(rule())
    assert await outcomes(house, campaign, times=4) == [APPROVED, *[EXCEEDED] * 3]
    assert await did(house) == {RuleDid.REFUSED: 3}
    assert await refused(house) == 3
    assert (await house.stats(campaign)).refusals == ((EXCEEDED, 3),)


async def test_a_repeated_claim_counts_nowhere(house):
    campaign = await house.campaign()
    await house.apply_rules(rule(DEVICE, mode=RuleMode.SHADOW))
    first = await house.claim(campaign, request_id="claim-1")
    again = [await house.claim(campaign, request_id="claim-1") for _ in range(3)]
    assert again == [first] * 3
    assert await did(house) == {RuleDid.WITHOUT_SUBJECT: 1}


async def test_a_code_that_is_not_looked_up_counts_once(house):
    (code,) = await house.mint_codes(await house.campaign())
    await house.apply_rules(rule(limit=1000))
    await locked_out(house)
    assert await outcomes(house, code) == [EXCEEDED]
    assert await did(house, LOCK_OUT) == {RuleDid.REFUSED: 1}
    assert await refused(house) == 1


async def test_a_claimed_code_that_a_locked_out_customer_asks_for_again_counts_nowhere(house):
    (code,) = await house.mint_codes(await house.campaign())
    first = await house.claim(code, request_id="claim-1")
    await locked_out(house)
    assert await house.claim(code, request_id="claim-1") == first
    assert await did(house, LOCK_OUT) == {}
    assert await refused(house) == 0


@pytest.mark.parametrize("broken", ["count_rule", "count_refusal"])
async def test_a_claim_is_decided_although_it_cannot_be_counted(house, monkeypatch, broken):
    campaign = await house.campaign()
    await house.apply_rules(rule(), lock_out=LockOut(failures=5))

    def fail(*_):
        raise RuntimeError("no counts today")

    monkeypatch.setattr(house.ledger.orders, broken, fail)
    assert await outcomes(house, campaign, times=2, risk=PHONE) == [APPROVED, EXCEEDED]
    assert await outcomes(house, WRONG, customer="bob") == [Outcome.CODE_INVALID]
