"""Judges whether a customer may claim a coupon, without the limits that the ledger counts."""

from collections.abc import Iterator
from dataclasses import dataclass

from redemption.domain.campaign.calendar import Days
from redemption.domain.campaign.campaign import MILLISECONDS, Campaign
from redemption.domain.decision import Detail
from redemption.domain.errors import Violation
from redemption.domain.judging.eligibility import (
    Moment,
    Refusal,
    campaign_refusal,
    customer_refusal,
    customer_required,
    missing_signals,
    signals_required,
)
from redemption.domain.order import (
    GUEST,
    NO_RISK_CONTEXT,
    SEGMENTS_MAX,
    Customer,
    RiskContext,
    address_violations,
    id_violations,
    program_violations,
    text_violations,
)
from redemption.domain.outcome import Outcome
from redemption.domain.risk.assessment import NOT_ASSESSED, Assessment
from redemption.domain.risk.subjects import SubjectKind

CLOCK_TOLERANCE_MS = 10_000
"""A coupon counts as issued at the moment of its judgement, if the ledger's clock differs by less than this."""


@dataclass(frozen=True, slots=True)
class OfferWanted:
    """A claim of any coupon of an offer (秒杀抢券)."""

    campaign: int
    offer_index: int


@dataclass(frozen=True, slots=True)
class CodeGiven:
    """A claim of the coupon that an exchange code stands for (兑换码); ``text`` is the code as it was typed."""

    text: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A request for one coupon."""

    program: str
    request_id: str
    source: OfferWanted | CodeGiven
    customer: Customer = GUEST
    risk: RiskContext = NO_RISK_CONTEXT


@dataclass(frozen=True, slots=True)
class ClaimJudgement:
    """The judgement on a claim, and the interval [since, until) of Unix milliseconds in which it holds.

    Attributes:
        outcome: APPROVED, or the first refusal by precedence.
        day: The current day in the campaign's zone, days since 1970.
        day_ends_at_ms: When that day ends, Unix milliseconds.
    """

    outcome: Outcome
    detail: Detail | None
    day: int
    day_ends_at_ms: int
    since_ms: int
    until_ms: int


def judge_claim(
    claim: Claim,
    campaign: Campaign,
    offer_index: int,
    valid: tuple[int, int],
    *,
    now_ms: int,
    days: Days,
    assessment: Assessment = NOT_ASSESSED,
    frozen: bool = False,
) -> ClaimJudgement:
    """Judge a claim at one instant.

    Args:
        claim: The claim.
        campaign: The campaign.
        offer_index: The index of the offer in the campaign.
        valid: The half-open interval in which the coupon would be valid, Unix seconds.
        now_ms: The instant, Unix milliseconds.
        days: The local days of the campaigns' zones.
        assessment: What the program's rules and lists say about the claim.
        frozen: All claims of the program are frozen.
    """
    moment = issuing_moment(now_ms)
    moment.within(assessment.since_ms, assessment.until_ms)
    day = days.at(campaign.time_zone, now_ms)
    moment.within(day.starts_at_ms, day.ends_at_ms)
    refused = _refusal(claim, campaign, offer_index, valid, moment, assessment=assessment)
    if frozen and (refused is None or refused.outcome > Outcome.CAMPAIGN_ENDED):
        refused = Refusal(Outcome.CAMPAIGN_PAUSED)
    return ClaimJudgement(
        outcome=refused.outcome if refused else Outcome.APPROVED,
        detail=refused.detail if refused else None,
        day=day.number,
        day_ends_at_ms=day.ends_at_ms,
        since_ms=moment.since_ms,
        until_ms=moment.until_ms,
    )


def issuing_moment(now_ms: int) -> Moment:
    """Return the moment of issuing something; a judgement holds only while the ledger's clock is near that moment."""
    moment = Moment(now_ms)
    moment.within(max(now_ms - CLOCK_TOLERANCE_MS, 0), now_ms + CLOCK_TOLERANCE_MS)
    return moment


def claim_violations(claim: Claim) -> list[Violation]:
    """Return everything that is wrong with a claim; an empty list means that it is well formed."""
    found = list(program_violations(claim.program))
    found += id_violations(claim.request_id, "request_id")
    if isinstance(claim.source, OfferWanted) and not claim.source.campaign:
        found.append(Violation("offer.campaign", "is required: the campaign's number"))
    found += _customer_violations(claim.customer)
    for name in ("device_id", "network_address", "payment_fingerprint"):
        found += text_violations(getattr(claim.risk, name), f"risk.{name}")
    found += address_violations(claim.risk.network_address, "risk.network_address")
    return found


def _refusal(
    claim: Claim,
    campaign: Campaign,
    offer_index: int,
    valid: tuple[int, int],
    moment: Moment,
    *,
    assessment: Assessment,
) -> Refusal | None:
    not_before, expires_at = valid
    lacking = _lacking(claim, campaign, assessment)
    return (
        (Refusal(Outcome.DENYLISTED) if assessment.denied or assessment.denied_coupons else None)
        or (None if claim.customer.customer_id else customer_required())
        or (signals_required(lacking) if lacking else None)
        or campaign_refusal(campaign, offer_index, moment)
        # Checked while the campaign runs: a coupon that nobody could use is not issued.
        or (Refusal(Outcome.TOKEN_EXPIRED) if _is_over(not_before, expires_at, moment) else None)
        or customer_refusal(campaign.offers[offer_index].conditions, claim.customer)
    )


def _lacking(claim: Claim, campaign: Campaign, assessment: Assessment) -> tuple[SubjectKind, ...]:
    """Return the signals that a claim does not carry, and must."""
    found = assessment.lacking(campaign.number)
    person = SubjectKind.PERSON
    if campaign.limits.claims_per_person is not None and not claim.customer.person_id and person not in found:
        found = (*found, person)
    return missing_signals(campaign, claim.customer, claim.risk, found)


def _is_over(not_before: int, expires_at: int, moment: Moment) -> bool:
    return moment.reached(expires_at * MILLISECONDS) or expires_at <= not_before


def _customer_violations(customer: Customer) -> Iterator[Violation]:
    for name in ("customer_id", "tier", "person_id"):
        yield from text_violations(getattr(customer, name), f"customer.{name}")
    if len(customer.segments) > SEGMENTS_MAX:
        yield Violation("customer.segments", f"must be at most {SEGMENTS_MAX}")
        return
    for index, segment in enumerate(customer.segments):
        yield from text_violations(segment, f"customer.segments[{index}]")
