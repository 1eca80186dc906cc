"""Whether one coupon may be used on an order, leaving aside what the ledger counts and what other coupons do."""

from dataclasses import dataclass

from redemption.domain.campaign import MILLISECONDS, Campaign, CampaignState, Offer
from redemption.domain.decision import Detail
from redemption.domain.order import MINOR_MAX, Order
from redemption.domain.outcome import Outcome
from redemption.domain.token import VerifiedToken


@dataclass(frozen=True, slots=True)
class Coupon:
    """A token that proved genuine, with the campaign it belongs to.

    Attributes:
        held_by_customer: The token is unbound, or bound to the order's customer.
    """

    token: VerifiedToken
    campaign: Campaign
    held_by_customer: bool

    @property
    def offer(self) -> Offer:
        """What it gives."""
        return self.campaign.offers[self.token.offer_index]


class Moment:
    """The instant of a judgement, and how long before and after it the judgement would be the same.

    Every comparison with an instant goes through ``reached``, which narrows the half-open interval
    [``since_ms``, ``until_ms``) in which the comparison comes out the same way.
    """

    __slots__ = ("now_ms", "since_ms", "until_ms")

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.since_ms = 0
        self.until_ms = MINOR_MAX

    def reached(self, instant_ms: int) -> bool:
        """Whether an instant, Unix milliseconds, has come."""
        if self.now_ms >= instant_ms:
            self.since_ms = max(self.since_ms, instant_ms)
            return True
        self.until_ms = min(self.until_ms, instant_ms)
        return False


@dataclass(frozen=True, slots=True)
class Refusal:
    """The first reason, by precedence, why a coupon cannot be used."""

    outcome: Outcome
    detail: Detail | None = None


def refusal_of(coupon: Coupon, order: Order, *, guest: bool, moment: Moment) -> Refusal | None:
    """Return the first refusal by precedence that needs neither the ledger nor the order's other coupons, or None."""
    return (
        _token_refusal(coupon, guest=guest, moment=moment)
        or _campaign_refusal(coupon.campaign, moment)
        or _order_refusal(coupon.campaign, order)
    )


def _token_refusal(coupon: Coupon, *, guest: bool, moment: Moment) -> Refusal | None:
    token, campaign = coupon.token, coupon.campaign
    # A key that was disabled, or an offer that was never there: signed once, yet not to be believed.
    if not token.key_usable or token.offer_index >= len(campaign.offers):
        return Refusal(Outcome.TOKEN_INVALID)
    not_before_ms = token.not_before * MILLISECONDS
    if not moment.reached(not_before_ms):
        return Refusal(Outcome.TOKEN_NOT_YET_VALID, Detail(try_after_ms=not_before_ms))
    if moment.reached(token.expires_at * MILLISECONDS):
        return Refusal(Outcome.TOKEN_EXPIRED)
    if guest and (token.holder_bound or campaign.limits.per_customer):
        return Refusal(Outcome.CUSTOMER_REQUIRED)
    if not coupon.held_by_customer:
        return Refusal(Outcome.HOLDER_MISMATCH)
    return None


def _campaign_refusal(campaign: Campaign, moment: Moment) -> Refusal | None:
    if campaign.state in (CampaignState.ENDED, CampaignState.ARCHIVED) or moment.reached(campaign.ends_at_ms):
        return Refusal(Outcome.CAMPAIGN_ENDED)
    if not moment.reached(campaign.starts_at_ms):
        return Refusal(Outcome.CAMPAIGN_NOT_STARTED, Detail(try_after_ms=campaign.starts_at_ms))
    if campaign.state is CampaignState.PAUSED:
        return Refusal(Outcome.CAMPAIGN_PAUSED)
    return None


def _order_refusal(campaign: Campaign, order: Order) -> Refusal | None:
    if order.currency_code != campaign.currency_code:
        return Refusal(Outcome.CURRENCY_MISMATCH)
    return None
