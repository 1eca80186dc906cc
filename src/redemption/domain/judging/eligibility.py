"""Judges whether one coupon may be used on an order, without the ledger's counters and without other coupons."""

from redemption.domain.campaign.benefit import BuyGet, FreeShipping
from redemption.domain.campaign.calendar import Days
from redemption.domain.campaign.campaign import MILLISECONDS, Campaign, CampaignState, Offer, RiskSignal
from redemption.domain.campaign.conditions import NO_CONDITIONS, Conditions
from redemption.domain.decision import Detail
from redemption.domain.judging.offer_match import Basket, OfferMatch, match_offer
from redemption.domain.order import MINOR_MAX, Checkout, Customer, Order, RiskContext
from redemption.domain.outcome import Outcome
from redemption.domain.record import record
from redemption.domain.risk.assessment import Assessment
from redemption.domain.risk.subjects import SubjectKind, named
from redemption.domain.signed.token import VerifiedToken


@record(frozen=True, slots=True)
class Coupon:
    """A genuine token, with its campaign.

    Attributes:
        held_by_customer: The token is unbound, or bound to the order's customer.
        honoured_until_ms: Until when the token is honoured although it expires earlier, Unix milliseconds; 0: it is
            not.
    """

    token: VerifiedToken
    campaign: Campaign
    held_by_customer: bool
    honoured_until_ms: int = 0


class Moment:
    """The instant of a judgement, and the interval around it in which the judgement is the same.

    Every comparison with an instant goes through ``reached``, which narrows the half-open interval
    [``since_ms``, ``until_ms``) in which the comparison has the same result.
    """

    __slots__ = ("now_ms", "since_ms", "until_ms")

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.since_ms = 0
        self.until_ms = MINOR_MAX

    def reached(self, instant_ms: int) -> bool:
        """Whether an instant, Unix milliseconds, has come."""
        # Comparisons, because these run several times for each coupon: max() and min() take twice as long.
        if self.now_ms >= instant_ms:
            if instant_ms > self.since_ms:  # noqa: PLR1730 - see above
                self.since_ms = instant_ms
            return True
        if instant_ms < self.until_ms:  # noqa: PLR1730
            self.until_ms = instant_ms
        return False

    def within(self, since_ms: int, until_ms: int) -> None:
        """Narrow the interval to [since, until), which contains this moment."""
        if since_ms > self.since_ms:  # noqa: PLR1730 - as in ``reached``
            self.since_ms = since_ms
        if until_ms < self.until_ms:  # noqa: PLR1730
            self.until_ms = until_ms


@record(frozen=True, slots=True)
class Refusal:
    """The first reason, by precedence, why a coupon cannot be used."""

    outcome: Outcome
    detail: Detail | None = None


_SUBJECTS = {
    RiskSignal.DEVICE: SubjectKind.DEVICE,
    RiskSignal.NETWORK: SubjectKind.NETWORK,
    RiskSignal.PAYMENT: SubjectKind.PAYMENT,
    RiskSignal.PERSON: SubjectKind.PERSON,
}


def judge_alone(
    coupon: Coupon,
    checkout: Checkout,
    basket: Basket,
    *,
    moment: Moment,
    days: Days,
    assessment: Assessment | None = None,
) -> Refusal | OfferMatch:
    """Return the first refusal by precedence that needs neither the ledger nor amounts, or the offer's match."""
    campaign, offer_index = coupon.campaign, coupon.token.offer_index
    refused = _token_refusal(coupon, checkout, moment, assessment) or campaign_refusal(campaign, offer_index, moment)
    if refused is not None:
        return refused
    offer = campaign.offers_now[offer_index]
    if offer.conditions is not NO_CONDITIONS:
        refused = _hours_refusal(offer.conditions, campaign, moment, days) or customer_refusal(
            offer.conditions, checkout.customer
        )
    refused = refused or _order_refusal(offer, campaign.currency_code, checkout.order)
    if refused is not None:
        return refused
    matched = match_offer(offer, campaign.stacking.base, basket)
    if not matched.goods or (isinstance(offer.benefit, BuyGet) and not matched.discounted):
        return Refusal(Outcome.SCOPE_MISMATCH)
    return matched


def _token_refusal(coupon: Coupon, checkout: Checkout, moment: Moment, assessment: Assessment | None) -> Refusal | None:
    token, campaign = coupon.token, coupon.campaign
    # The tag is correct, but the token must not be accepted: its key is disabled or ends before it, or there is no such
    # offer.
    if not token.key_usable or token.outlives_key or token.offer_index >= len(campaign.offers):
        return Refusal(Outcome.TOKEN_INVALID)
    lacking: tuple[SubjectKind, ...] = ()
    if assessment is not None:
        if assessment.denied or (token.campaign, token.serial) in assessment.denied_coupons:
            return Refusal(Outcome.DENYLISTED)
        lacking = assessment.lacking(token.campaign)
    not_before_ms = token.not_before * MILLISECONDS
    if not moment.reached(not_before_ms):
        return Refusal(Outcome.TOKEN_NOT_YET_VALID, Detail(try_after_ms=not_before_ms))
    if moment.reached(token.expires_at * MILLISECONDS) and moment.reached(coupon.honoured_until_ms):
        return Refusal(Outcome.TOKEN_EXPIRED)
    guest = not checkout.customer.customer_id
    if guest and (token.holder_bound or campaign.limits.per_customer):
        return Refusal(Outcome.CUSTOMER_REQUIRED)
    if SubjectKind.CUSTOMER in lacking:
        return customer_required()
    if not coupon.held_by_customer:
        return Refusal(Outcome.HOLDER_MISMATCH)
    if campaign.required_risk_signals:
        lacking = missing_signals(campaign, checkout.customer, checkout.risk, lacking)
    return signals_required(lacking) if lacking else None


def missing_signals(
    campaign: Campaign, customer: Customer, risk: RiskContext, lacking: tuple[SubjectKind, ...] = ()
) -> tuple[SubjectKind, ...]:
    """Return ``lacking``, and the other signals that a request does not carry although its campaign requires them."""
    required = [_SUBJECTS[signal] for signal in campaign.required_risk_signals]
    return (*lacking, *(kind for kind in required if kind not in lacking and not named(kind, customer, risk)))


def customer_required() -> Refusal:
    """Return the refusal of a guest whom a rule of the program does not let pass."""
    return Refusal(Outcome.CUSTOMER_REQUIRED, Detail(missing_signals=(SubjectKind.CUSTOMER,)))


def signals_required(kinds: tuple[SubjectKind, ...]) -> Refusal:
    """Return the refusal of a request that does not carry some signals."""
    return Refusal(Outcome.RISK_CONTEXT_REQUIRED, Detail(missing_signals=kinds))


def campaign_refusal(campaign: Campaign, offer_index: int, moment: Moment) -> Refusal | None:
    """Return why nothing of a campaign's offer can be claimed or redeemed at a moment, or None."""
    if campaign.state in (CampaignState.ENDED, CampaignState.ARCHIVED) or moment.reached(campaign.ends_at_ms):
        return Refusal(Outcome.CAMPAIGN_ENDED)
    if not moment.reached(campaign.starts_at_ms):
        return Refusal(Outcome.CAMPAIGN_NOT_STARTED, Detail(try_after_ms=campaign.starts_at_ms))
    if campaign.state is CampaignState.PAUSED or offer_index in campaign.paused_offers:
        return Refusal(Outcome.CAMPAIGN_PAUSED)
    return None


def customer_refusal(conditions: Conditions, customer: Customer) -> Refusal | None:
    """Return why an offer is not for a customer, or None."""
    if conditions.tiers and customer.tier not in conditions.tiers:
        return Refusal(Outcome.TIER_REQUIRED)
    if conditions.segments and not any(segment in conditions.segments for segment in customer.segments):
        return Refusal(Outcome.SEGMENT_REQUIRED)
    if conditions.new_customer_only and not customer.is_new:
        return Refusal(Outcome.NEW_CUSTOMER_ONLY)
    return None


def _hours_refusal(conditions: Conditions, campaign: Campaign, moment: Moment, days: Days) -> Refusal | None:
    windows = conditions.windows
    if not windows:
        return None
    span = days.span(campaign.time_zone, windows, moment.now_ms)
    moment.within(span.since_ms, span.until_ms)
    if span.index is not None:
        return None
    return Refusal(Outcome.OUTSIDE_WINDOW, Detail(try_after_ms=span.opens_at_ms))


def _order_refusal(offer: Offer, currency_code: str, order: Order) -> Refusal | None:
    conditions = offer.conditions
    if conditions is not NO_CONDITIONS:
        if conditions.channels and order.channel not in conditions.channels:
            return Refusal(Outcome.CHANNEL_MISMATCH)
        if conditions.store_ids and order.store_id not in conditions.store_ids:
            return Refusal(Outcome.STORE_MISMATCH)
        if conditions.regions and not _ships_to(order, conditions.regions):
            return Refusal(Outcome.REGION_MISMATCH)
    free = offer.benefit.regions if isinstance(offer.benefit, FreeShipping) else ()
    if free and order.shipping and not _ships_to(order, free):
        return Refusal(Outcome.REGION_MISMATCH)
    if conditions.payment_methods and order.payment_method not in conditions.payment_methods:
        return Refusal(Outcome.PAYMENT_METHOD_MISMATCH)
    if order.currency_code != currency_code:
        return Refusal(Outcome.CURRENCY_MISMATCH)
    return None


def _ships_to(order: Order, regions: tuple[str, ...]) -> bool:
    return any(fee.region in regions for fee in order.shipping)
