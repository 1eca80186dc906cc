"""Judging a claim: the first reason by precedence, and how long the judgement holds."""

from dataclasses import replace

import pytest
from builders.campaigns import ENDS_AT_MS, campaign_of, offer_of
from builders.times import NOW

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.calendar import Days, local_day
from redemption.domain.campaign.campaign import CampaignState, RiskSignal
from redemption.domain.judging.claiming import CLOCK_TOLERANCE_MS, Claim, OfferWanted, issuing_moment, judge_claim
from redemption.domain.order import Customer, RiskContext
from redemption.domain.outcome import Outcome
from redemption.domain.risk.assessment import Assessment

NOW_MS = NOW * 1000
CUSTOMER = Customer("ann", tier="gold", segments=("vip",), is_new=True, person_id="p")
RISK = RiskContext("device", "192.0.2.7", "fingerprint")
CAMPAIGN = campaign_of(
    7,
    starts_at_ms=NOW_MS - 1,
    ends_at_ms=NOW_MS + 1,
    offers=(offer_of(amount_off(0, 1), tiers=("gold",), segments=("vip",), new_customer_only=True),),
    required_risk_signals=tuple(RiskSignal),
    claims_per_person=1,
)
VALID = (NOW - 9, NOW + 9)


def judged(*, campaign=CAMPAIGN, customer=CUSTOMER, risk=RISK, valid=VALID, now_ms=NOW_MS, **rules):
    claim = Claim("shop", "request", OfferWanted(7, 0), customer, risk)
    return judge_claim(claim, campaign, 0, valid, now_ms=now_ms, days=Days(), **rules)


REASONS = [
    (Outcome.DENYLISTED, {"assessment": Assessment(denied=True)}),
    (Outcome.DENYLISTED, {"assessment": Assessment(denied_coupons={(7, 0)})}),
    (Outcome.CUSTOMER_REQUIRED, {"customer": replace(CUSTOMER, customer_id="")}),
    (Outcome.RISK_CONTEXT_REQUIRED, {"risk": replace(RISK, device_id="")}),
    (Outcome.RISK_CONTEXT_REQUIRED, {"customer": replace(CUSTOMER, person_id="")}),
    (Outcome.CAMPAIGN_ENDED, {"campaign": replace(CAMPAIGN, state=CampaignState.ENDED)}),
    (Outcome.CAMPAIGN_ENDED, {"now_ms": NOW_MS + 1}),
    (Outcome.CAMPAIGN_NOT_STARTED, {"now_ms": NOW_MS - 2}),
    (Outcome.CAMPAIGN_PAUSED, {"campaign": replace(CAMPAIGN, state=CampaignState.PAUSED)}),
    (Outcome.TOKEN_EXPIRED, {"valid": (NOW - 9, NOW)}),
    (Outcome.TOKEN_EXPIRED, {"valid": (NOW + 9, NOW + 9)}),
    (Outcome.TIER_REQUIRED, {"customer": replace(CUSTOMER, tier="silver")}),
    (Outcome.SEGMENT_REQUIRED, {"customer": replace(CUSTOMER, segments=())}),
    (Outcome.NEW_CUSTOMER_ONLY, {"customer": replace(CUSTOMER, is_new=None)}),
]


@pytest.mark.parametrize(("outcome", "changes"), REASONS)
def test_each_thing_that_stands_against_a_claim_has_its_outcome(outcome, changes):
    assert judged(**changes).outcome is outcome


def test_a_claim_against_which_nothing_stands_is_approved():
    assert (judged().outcome, judged().detail) == (Outcome.APPROVED, None)


def test_of_several_reasons_the_first_is_told():
    nobody = replace(CUSTOMER, tier="", segments=(), is_new=False)
    against_all = {"campaign": replace(CAMPAIGN, state=CampaignState.PAUSED), "valid": (NOW - 9, NOW)}
    assert judged(**against_all, customer=nobody).outcome is Outcome.CAMPAIGN_PAUSED
    assert judged(valid=(NOW - 9, NOW), customer=nobody).outcome is Outcome.TOKEN_EXPIRED
    assert judged(customer=nobody).outcome is Outcome.TIER_REQUIRED
    assert judged(**against_all, customer=replace(nobody, person_id="")).outcome is Outcome.RISK_CONTEXT_REQUIRED


@pytest.mark.parametrize(("outcome", "changes"), REASONS)
def test_a_freeze_comes_after_the_end_of_a_campaign_and_before_what_follows(outcome, changes):
    frozen = judged(**changes, frozen=True).outcome
    assert frozen is (outcome if outcome <= Outcome.CAMPAIGN_ENDED else Outcome.CAMPAIGN_PAUSED)


def test_a_claim_that_comes_too_early_is_told_when_to_come_again():
    assert judged(now_ms=NOW_MS - 2).detail.try_after_ms == CAMPAIGN.starts_at_ms


def test_a_judgement_names_the_day_of_the_campaigns_zone():
    day = local_day("Asia/Shanghai", NOW_MS)
    assert (judged().day, judged().day_ends_at_ms) == (day.number, day.ends_at_ms)


def test_a_judgement_holds_within_one_day():
    always = replace(CAMPAIGN, starts_at_ms=0, ends_at_ms=ENDS_AT_MS)
    midnight_ms = local_day("Asia/Shanghai", NOW_MS).ends_at_ms
    before, after = (judged(campaign=always, now_ms=midnight_ms + late) for late in (-1, 0))
    assert (before.until_ms, after.since_ms) == (midnight_ms, midnight_ms)


def test_a_judgement_holds_until_the_campaign_starts_or_ends():
    assert [(each.since_ms, each.until_ms) for each in (judged(now_ms=NOW_MS - 2), judged())] == [
        (NOW_MS - 2 - CLOCK_TOLERANCE_MS, NOW_MS - 1),
        (NOW_MS - 1, NOW_MS + 1),
    ]


def test_a_judgement_holds_as_long_as_the_list_entries_it_was_made_by():
    held = judged(
        assessment=Assessment(since_ms=NOW_MS - 1, until_ms=NOW_MS + 1), campaign=replace(CAMPAIGN, starts_at_ms=0)
    )
    assert (held.since_ms, held.until_ms) == (NOW_MS - 1, NOW_MS + 1)


@pytest.mark.parametrize(("now_ms", "since_ms"), [(NOW_MS, NOW_MS - CLOCK_TOLERANCE_MS), (5, 0)])
def test_what_is_issued_holds_as_long_as_the_ledgers_clock_agrees(now_ms, since_ms):
    moment = issuing_moment(now_ms)
    assert (moment.since_ms, moment.until_ms) == (since_ms, now_ms + CLOCK_TOLERANCE_MS)
