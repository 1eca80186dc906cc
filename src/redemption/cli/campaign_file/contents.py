"""The fields of a campaign file, in the words of people who plan a promotion.

The names are those of the contract, but without units that a person would have to convert to. Each part has its message
of the contract: ``message`` builds it, and ``fields`` converts names of the contract back into the names here.
``schema`` makes a JSON Schema of this model: editors show the docstrings of the parts and fields.
"""

from typing import ClassVar

from pydantic import Field

from redemption.cli.campaign_file.offer import OfferPart
from redemption.cli.campaign_file.part import Part
from redemption.cli.campaign_file.values import (
    BaseName,
    CampaignNumber,
    Currency,
    EndOfHours,
    Instant,
    Length,
    Money,
    Name,
    Names,
    PausedNames,
    PausedOffers,
    Percent,
    ReachName,
    ReturnPolicyName,
    RiskSignalName,
    Several,
    SmallWhole,
    StageName,
    StartOfHours,
    Truth,
    Whole,
    Zone,
)
from redemption.v1 import campaign_pb2 as v1


class SlotPart(Part):
    """Some hours of every day, with a share of redemptions."""

    contract = v1.Slot.DESCRIPTOR

    start: StartOfHours = Field(alias="from")
    """From this time on, such as 20:00."""
    end: EndOfHours = Field(alias="to")
    """Until before this time, such as 20:30 or 24:00."""
    redemptions: Whole
    """So many redemptions within these hours."""


class LimitsPart(Part):
    """How much there is; what is left out has no limit."""

    contract = v1.Limits.DESCRIPTOR

    issued: Whole | None = None
    """Coupons issued, in total (发行量)."""
    issued_per_day: Whole | None = None
    """Coupons issued per day."""
    claims_per_customer: Whole | None = None
    """How many coupons one account can claim (每人限领)."""
    claims_per_person: Whole | None = None
    """How many one natural person can claim, whatever their accounts."""
    redemptions: Whole | None = None
    """Uses in total."""
    redemptions_per_customer: Whole | None = None
    """Uses by one account (每人限用)."""
    redemptions_per_customer_per_day: Whole | None = None
    """Uses by one account and day."""
    redemptions_per_day: Whole | None = None
    """Uses per day."""
    slots: Several[SlotPart] = ()
    """Uses by time of day (时段库存); outside of these hours there are none."""
    slots_carry_over: Truth | None = None
    """What one slot leaves over goes to the next one of the same day."""
    budget: Money | None = None
    """Discount given, in total (预算)."""
    budget_per_day: Money | None = None
    """Discount given per day."""


class AbsolutePart(Part):
    """Coupons are valid between two instants."""

    contract = v1.AbsoluteValidity.DESCRIPTOR

    not_before: Instant
    """From this instant on."""
    expire_time: Instant
    """Until before this instant."""


class FromClaimPart(Part):
    """Coupons are valid from their claim on (领取后N天有效)."""

    contract = v1.ClaimValidity.DESCRIPTOR

    wait: Length | None = None
    """After waiting so long, such as 24h; left out, at once."""
    days: SmallWhole
    """For so many days."""
    end_of_day: Truth = False
    """To the end of the last day instead of to the hour."""


class ValidityPart(Part):
    """When a coupon is valid, in one of two ways."""

    contract = v1.Validity.DESCRIPTOR
    one_of: ClassVar = {"kind": ("absolute", "from_claim")}

    absolute: AbsolutePart | None = None
    """Between two instants, the same for all coupons."""
    from_claim: FromClaimPart | None = None
    """Counted from the moment in which the coupon is claimed."""


class StackingPart(Part):
    """How its coupons go together with others (叠加)."""

    contract = v1.Stacking.DESCRIPTOR

    stage: StageName | None = None
    """In this order discounts are taken: item (单品), merchant (店铺), platform (平台), payment (支付)."""
    priority: SmallWhole = 0
    """Within the stage, the higher goes first."""
    base: BaseName | None = None
    """What it is computed on: remaining is what the coupons before it left, list is the list price (原价)."""
    exclusivity_groups: Names = ()
    """Of all coupons of a group only one is used (互斥)."""
    exclusivity_reach: ReachName | None = None
    """One of the group in an order, or one for each merchant of an order."""
    stop_after: Truth = False
    """Nothing is applied after it (不再叠加)."""
    max_tokens_per_order: SmallWhole | None = None
    """How many coupons of this campaign one order can use; left out, one."""


class SizingPart(Part):
    """Hints for the ledger's memory; they can be wrong, but never changed."""

    contract = v1.Sizing.DESCRIPTOR

    expected_redemptions: Whole | None = None
    """How many uses are expected; left out, 100,000."""
    expected_redemption_rate: Percent | None = None
    """Which part of the coupons issued will be used; left out, all of them."""


class CampaignPart(Part):
    """A campaign: one marketing promise."""

    contract = v1.Campaign.DESCRIPTOR

    name: Name
    """What it is called, once in a program. A file updates the campaign of its name."""
    number: CampaignNumber | None = None
    """Its number in this program; needed only to rename it. Left out, the name says which campaign it is."""
    currency_code: Currency
    """ISO 4217 code of all sums in the file, such as CNY. Never changes."""
    time_zone: Zone
    """IANA zone of its days, hours and local times, such as Asia/Shanghai. Never changes."""
    start_time: Instant
    """Coupons can be used from this instant on, such as 2026-10-20 20:00."""
    end_time: Instant
    """Until before this instant."""
    offers: Several[OfferPart]
    """What it gives. Once coupons are out, new offers can only be added at the end."""
    limits: LimitsPart | None = None
    """How much there is; left out, no limits."""
    validity: ValidityPart | None = None
    """When a coupon is valid; left out, as long as the campaign runs."""
    stacking: StackingPart | None = None
    """How its coupons go together with others."""
    max_reservation_ttl: Length | None = None
    """For how long an order may hold a coupon until it is paid, at most; left out, 24 hours."""
    return_policy: ReturnPolicyName | None = None
    """Whether a return gives the coupon back: never (also when left out), if_unpaid, or on_full_return."""
    return_window: Length | None = None
    """How long after its use a coupon can be given back, such as 30 days, which it is when left out."""
    required_risk_signals: Several[RiskSignalName] = ()
    """What a request must tell, so that abuse can be judged (防刷)."""
    sizing: SizingPart | None = None
    """Hints for the ledger's memory."""
    paused_merchant_ids: PausedNames = ()
    """Goods of these merchants are out for now (暂停). Left out, what is paused stays paused; [] takes all back."""
    paused_skus: PausedNames = ()
    """These articles are out for now, likewise."""
    paused_offers: PausedOffers = ()
    """Coupons of these offers, counted from 0, cannot be claimed or used for now, likewise."""
    honoured_until: Instant | None = None
    """Coupons that expire earlier are honoured until this instant. For coupons from before end_time was moved."""
