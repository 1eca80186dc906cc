"""The definition of a campaign: what it gives, to which orders, when, and how much of it there is."""

from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple, TypeAlias

from redemption.domain.campaign.benefit import BASIS_POINTS, Benefit, EveryFull, Measure, Tiers
from redemption.domain.campaign.conditions import NO_CONDITIONS, Conditions, Scope

MILLISECONDS = 1000
RETURN_WINDOW_SECONDS = 30 * 86_400
"""The return window of a campaign that sets none."""
RESERVATION_SECONDS_MAX = 24 * 60 * 60
"""The longest time for which an order holds coupons."""


class CampaignState(IntEnum):
    """The state of a campaign; the numbers are those of the contract."""

    ACTIVE = 1
    PAUSED = 2
    ENDED = 3
    ARCHIVED = 4


class Stage(IntEnum):
    """The stage at which a discount is applied, in this order; the numbers are those of the contract."""

    ITEM = 1
    MERCHANT = 2
    PLATFORM = 3
    PAYMENT = 4


class DiscountBase(IntEnum):
    """The prices on which a discount is computed; the numbers are those of the contract."""

    REMAINING = 1
    LIST = 2


class ExclusivityReach(IntEnum):
    """How far an exclusivity group reaches; the numbers are those of the contract."""

    ORDER = 1
    MERCHANT = 2


class RiskSignal(IntEnum):
    """A signal for judging risk; the numbers are those of the contract."""

    DEVICE = 1
    NETWORK = 2
    PAYMENT = 3
    PERSON = 4


class ReturnPolicy(IntEnum):
    """Whether a coupon that was given back whole can be used again; the numbers are those of the contract."""

    NEVER = 1
    IF_UNPAID = 2
    ON_FULL_RETURN = 3


class Thresholds(NamedTuple):
    """From which spend and how many units on an offer gives anything.

    Attributes:
        spend_minor: The spend, minor units; 0 when any will do.
        units: The number of units; 0 when any will do.
        measure: What the tiers of the benefit are measured in; None when it has none.
    """

    spend_minor: int
    units: int
    measure: Measure | None


@dataclass(frozen=True)  # without slots: a cached property needs a __dict__
class Offer:
    """One benefit of a campaign, a denomination.

    Attributes:
        benefit: What it gives.
        name: Shown to people.
        conditions: When it applies.
        merchant_basis_points: The merchant's share of every discount; the sponsor pays the rest (分摊).
        issue_quota: The most coupons of this offer that are issued; None means the campaign's own limit.
    """

    benefit: Benefit
    name: str = ""
    conditions: Conditions = NO_CONDITIONS
    merchant_basis_points: int = 0
    issue_quota: int | None = None

    @cached_property
    def thresholds(self) -> Thresholds:
        """What the order must reach; read for every order, so it is worked out once."""
        benefit, conditions = self.benefit, self.conditions
        spend_minor, units = conditions.min_spend_minor or 0, conditions.min_quantity or 0
        if isinstance(benefit, EveryFull):
            return Thresholds(max(spend_minor, benefit.threshold_minor), units, None)
        if not isinstance(benefit, Tiers):
            return Thresholds(spend_minor, units, None)
        first = benefit.tiers[0].threshold
        if benefit.measure is Measure.SPEND:
            return Thresholds(max(spend_minor, first), units, benefit.measure)
        return Thresholds(spend_minor, max(units, first), benefit.measure)


@dataclass(frozen=True, slots=True)
class Slot:
    """Part of the day in the campaign's zone, with its own number of redemptions; minutes as in ``Window``."""

    start_minute: int
    end_minute: int
    redemptions: int


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """Limits by time of day (时段库存); outside of all slots nothing is redeemed.

    Attributes:
        slots: In rising order, not overlapping.
        carry_over: Redemptions that a slot did not use are added to the next slot of the same day.
    """

    slots: tuple[Slot, ...]
    carry_over: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a campaign; None means no limit."""

    issued: int | None = None
    issued_per_day: int | None = None
    claims_per_customer: int | None = None
    claims_per_person: int | None = None
    redemptions: int | None = None
    redemptions_per_customer: int | None = None
    redemptions_per_customer_per_day: int | None = None
    redemptions_per_day: int | None = None
    slots: SlotLimits | None = None
    budget_minor: int | None = None
    budget_per_day_minor: int | None = None

    @property
    def per_customer(self) -> bool:
        """Whether redemptions are counted for each customer, so that a guest cannot redeem."""
        return self.redemptions_per_customer is not None or self.redemptions_per_customer_per_day is not None


@dataclass(frozen=True, slots=True)
class AbsoluteValidity:
    """Coupons are valid from one instant until another, exclusive; Unix milliseconds, whole seconds."""

    not_before_ms: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class ClaimValidity:
    """The validity of a coupon counts from its claim.

    Attributes:
        wait_seconds: The time from the claim until the coupon becomes valid.
        days: How many days the coupon is valid.
        end_of_day: The coupon is valid until the end of the last of these days; the day on which it becomes valid is
            the first. If False, it is valid until the same time of day, ``days`` days later.
    """

    days: int
    wait_seconds: int = 0
    end_of_day: bool = False


Validity: TypeAlias = AbsoluteValidity | ClaimValidity


@dataclass(frozen=True, slots=True)
class Stacking:
    """How a campaign's coupons combine with other coupons.

    Attributes:
        stage: The stage at which its discounts are applied.
        priority: Within a stage, the higher priority is applied first; equal priorities by campaign number.
        max_tokens_per_order: The most coupons of this campaign in one order.
        base: The prices on which thresholds and percentages are computed.
        exclusivity_groups: At most one coupon of each group is applied (互斥).
        exclusivity_reach: Whether that is one for the whole order, or one for each merchant of the order.
        stop_after: No other coupon is applied after one of this campaign.
    """

    stage: Stage = Stage.PLATFORM
    priority: int = 0
    max_tokens_per_order: int = 1
    base: DiscountBase = DiscountBase.REMAINING
    exclusivity_groups: tuple[str, ...] = ()
    exclusivity_reach: ExclusivityReach = ExclusivityReach.ORDER
    stop_after: bool = False


@dataclass(frozen=True, slots=True)
class Sizing:
    """Hints for the layout of the ledger's records; wrong hints cost memory, but never correctness."""

    expected_redemptions: int = 100_000
    expected_redemption_rate_basis_points: int = BASIS_POINTS


@dataclass(frozen=True)  # without slots, because a cached property needs a __dict__
class Campaign:
    """One campaign; its number is unique within its program.

    Attributes:
        version: Every change raises it; every decision names the exact version that it was judged by.
        starts_at_ms: Coupons can be claimed and redeemed from this instant on, Unix milliseconds.
        ends_at_ms: They can be claimed and redeemed until this instant, exclusive, Unix milliseconds.
        validity: When a coupon is valid; None means from the campaign's start to its end.
        return_policy: Whether a return gives the coupon back.
        return_window_seconds: How long after its redemption a coupon can be given back. The campaign's records are kept
            so long after its end.
        reservation_seconds_max: The longest time for which an order holds one of its coupons.
        required_risk_signals: The signals that a request must carry.
        paused_merchant_ids: The goods of these merchants are in no scope of any offer.
        paused_skus: Neither are these articles.
        paused_offers: The indexes of the offers whose coupons cannot be claimed or redeemed now.
        honoured_until_ms: Coupons that expire earlier are honoured until this instant, Unix milliseconds, as long as
            their key lives; None means that each expires by its own expiry.
    """

    program: str
    name: str
    currency_code: str
    time_zone: str
    starts_at_ms: int
    ends_at_ms: int
    offers: tuple[Offer, ...]
    limits: Limits = Limits()
    stacking: Stacking = Stacking()
    sizing: Sizing = Sizing()
    validity: Validity | None = None
    return_window_seconds: int = RETURN_WINDOW_SECONDS
    required_risk_signals: tuple[RiskSignal, ...] = ()
    state: CampaignState = CampaignState.ACTIVE
    number: int = 0
    version: int = 0
    created_at_ms: int = 0
    updated_at_ms: int = 0
    paused_merchant_ids: tuple[str, ...] = ()
    paused_skus: tuple[str, ...] = ()
    paused_offers: tuple[int, ...] = ()
    honoured_until_ms: int | None = None
    return_policy: ReturnPolicy = ReturnPolicy.NEVER
    reservation_seconds_max: int = RESERVATION_SECONDS_MAX

    @cached_property
    def offers_now(self) -> tuple[Offer, ...]:
        """Its offers as orders are judged by them: each also excludes the goods that are paused."""
        if not self.paused_merchant_ids and not self.paused_skus:
            return self.offers
        return tuple(replace(offer, conditions=self._without_paused(offer.conditions)) for offer in self.offers)

    def _without_paused(self, conditions: Conditions) -> Conditions:
        excluded = conditions.exclude
        skus, merchant_ids = excluded.skus + self.paused_skus, excluded.merchant_ids + self.paused_merchant_ids
        return replace(conditions, exclude=Scope(skus, excluded.categories, excluded.brands, merchant_ids))
