"""A campaign's promise: what it gives, to which orders, when, and how much of it there is."""

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from redemption.domain.campaign.benefit import BASIS_POINTS, Benefit
from redemption.domain.campaign.conditions import NO_CONDITIONS, Conditions

MILLISECONDS = 1000
RETURN_WINDOW_SECONDS = 30 * 86_400
"""What an unset return window means."""


class CampaignState(IntEnum):
    """Where a campaign is in its life; the numbers are those of the contract."""

    ACTIVE = 1
    PAUSED = 2
    ENDED = 3
    ARCHIVED = 4


class Stage(IntEnum):
    """In which order discounts are taken; the numbers are those of the contract."""

    ITEM = 1
    MERCHANT = 2
    PLATFORM = 3
    PAYMENT = 4


class DiscountBase(IntEnum):
    """On what a discount is computed; the numbers are those of the contract."""

    REMAINING = 1
    LIST = 2


class ExclusivityReach(IntEnum):
    """How far an exclusivity group reaches; the numbers are those of the contract."""

    ORDER = 1
    MERCHANT = 2


class RiskSignal(IntEnum):
    """A signal by which risk is judged; the numbers are those of the contract."""

    DEVICE = 1
    NETWORK = 2
    PAYMENT = 3
    PERSON = 4


@dataclass(frozen=True, slots=True)
class Offer:
    """One benefit of a campaign, a denomination.

    Attributes:
        benefit: What it gives.
        name: For people.
        conditions: When it applies.
        merchant_basis_points: The merchant's part of every discount; the sponsor pays the rest (分摊).
        issue_quota: At most so many coupons of it are issued; None means the campaign's own limit.
    """

    benefit: Benefit
    name: str = ""
    conditions: Conditions = NO_CONDITIONS
    merchant_basis_points: int = 0
    issue_quota: int | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """Some hours of the day with a share of redemptions, in the campaign's zone; minutes as in ``Window``."""

    start_minute: int
    end_minute: int
    redemptions: int


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """Shares by time of day (时段库存); outside of all slots nothing is redeemed.

    Attributes:
        slots: In rising order, not overlapping.
        carry_over: What one slot leaves over goes to the next one of the same day.
    """

    slots: tuple[Slot, ...]
    carry_over: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a campaign there is; None means no limit."""

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
        """Whether somebody must be counted, so that a guest cannot redeem."""
        return self.redemptions_per_customer is not None or self.redemptions_per_customer_per_day is not None


@dataclass(frozen=True, slots=True)
class AbsoluteValidity:
    """Coupons are valid from one instant until before another, Unix milliseconds, whole seconds."""

    not_before_ms: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class ClaimValidity:
    """Coupons are valid from their claim on.

    Attributes:
        wait_seconds: They become valid so long after the claim.
        days: For so many days.
        end_of_day: Until the end of the last of these days, of which the one on which they become valid is the first;
            else until the same time of day so many days later.
    """

    days: int
    wait_seconds: int = 0
    end_of_day: bool = False


Validity: TypeAlias = AbsoluteValidity | ClaimValidity


@dataclass(frozen=True, slots=True)
class Stacking:
    """How a campaign's coupons go together with others.

    Attributes:
        stage: In which order discounts are taken.
        priority: Within the stage the higher goes first; ties by campaign number.
        max_tokens_per_order: Coupons of this campaign in one order.
        base: On what thresholds and parts are computed.
        exclusivity_groups: Of each group one coupon goes (互斥).
        exclusivity_reach: In an order, or for each merchant of an order.
        stop_after: Nothing is applied after it.
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
    """Hints for the layout of the ledger's records; they cost memory when wrong, never correctness."""

    expected_redemptions: int = 100_000
    expected_redemption_rate_basis_points: int = BASIS_POINTS


@dataclass(frozen=True, slots=True)
class Campaign:
    """One marketing promise, numbered within its program.

    Attributes:
        version: Raised by every change; every decision names the exact version it was judged by.
        starts_at_ms: Claiming and redeeming start at this instant, Unix milliseconds.
        ends_at_ms: They end before this instant, Unix milliseconds.
        validity: When a coupon is valid; None means from start to end.
        return_window_seconds: How long after its end the campaign's records are needed.
        required_risk_signals: What a request must carry.
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
