"""The fields of an offer in a campaign file: what it gives, when it applies, and who pays.

Editors show the docstrings of the parts and fields.
"""

from typing import ClassVar

from pydantic import Field, field_validator

from redemption.cli.campaign_file.part import Part
from redemption.cli.campaign_file.values import (
    EndOfHours,
    Money,
    Names,
    Percent,
    Several,
    StartOfHours,
    Text,
    Truth,
    WeekdayName,
    Whole,
)
from redemption.v1 import campaign_pb2 as v1


class ScopePart(Part):
    """Which goods. A line of an order is meant when it has one of the values of every kind given here."""

    contract = v1.Scope.DESCRIPTOR

    skus: Names = ()
    """Articles, by their stock keeping units."""
    categories: Names = ()
    """Categories, with everything below them."""
    brands: Names = ()
    """Brands."""
    merchant_ids: Names = ()
    """Shops of the marketplace."""


class WindowPart(Part):
    """Hours of the day in the campaign's time zone (限时)."""

    contract = v1.Window.DESCRIPTOR

    weekdays: Several[WeekdayName] = ()
    """On these days; left out, on every day. Hours over midnight belong to the day on which they begin."""
    start: StartOfHours = Field(alias="from")
    """From this time on, such as 20:00."""
    end: EndOfHours = Field(alias="to")
    """Until before this time, such as 22:00 or 24:00. Earlier than ``from``, it is on the next day."""


class ConditionsPart(Part):
    """When an offer applies; all that is given must hold."""

    contract = v1.Conditions.DESCRIPTOR

    min_spend: Money | None = None
    """The goods meant cost at least so much."""
    min_quantity: Whole | None = None
    """There are at least so many units of the goods meant."""
    include: ScopePart | None = None
    """Only these goods count and get cheaper; left out, all do."""
    exclude: ScopePart | None = None
    """Goods with any of these values are out, always."""
    channels: Names = ()
    """Only orders from these channels, such as app or live."""
    store_ids: Names = ()
    """Only orders for these stores."""
    regions: Names = ()
    """Only orders shipped to these regions, in the checkout's own codes, such as CN-31."""
    payment_methods: Names = ()
    """Only orders paid in these ways."""
    tiers: Names = ()
    """Only customers of these membership tiers (会员等级)."""
    segments: Names = ()
    """Only customers in one of these segments (人群)."""
    new_customer_only: Truth = False
    """Only customers who order for the first time (新客)."""
    min_group_size: Whole | None = None
    """Only groups who buy together, of at least so many (拼团)."""
    windows: Several[WindowPart] = ()
    """Only within one of these hours (限时)."""


class TierPart(Part):
    """From a threshold on, what is given; of the tiers reached, the one that takes most off gives."""

    contract = v1.Tier.DESCRIPTOR
    one_of: ClassVar = {"threshold": ("spend", "units"), "benefit": ("amount_off", "percent", "price")}

    spend: Money | None = None
    """From so much spent on (满X元)."""
    units: Whole | None = None
    """From so many units on (满N件)."""
    amount_off: Money | None = None
    """So much off."""
    percent: Percent | None = None
    """This part off: 8折 is 20%."""
    cap: Money | None = None
    """With a percentage: at most so much off. Compulsory then."""
    price: Money | None = None
    """As many units as the threshold for so much together (任选N件X元)."""


class EveryFullPart(Part):
    """An amount off for every full threshold (每满减)."""

    contract = v1.EveryFull.DESCRIPTOR

    spend: Money
    """For every full so much that is spent."""
    amount_off: Money
    """So much off."""
    cap: Money | None = None
    """At most so much off altogether (上不封顶 when left out)."""


class PercentOffPart(Part):
    """A part off (折扣券)."""

    contract = v1.PercentOff.DESCRIPTOR

    percent: Percent
    """The part that is taken off: 8折 is 20%."""
    cap: Money
    """At most so much off; without it a single large order could take any sum."""


class FreeShippingPart(Part):
    """No or less shipping fee (包邮)."""

    contract = v1.FreeShipping.DESCRIPTOR

    cap: Money | None = None
    """At most so much off; left out, all of the fee."""
    regions: Names = ()
    """Only for parcels to these regions."""


class FixedPricePart(Part):
    """Units at a fixed price each, the dearest first (秒杀价)."""

    contract = v1.FixedPrice.DESCRIPTOR

    price: Money
    """What one unit costs then."""
    max_units: Whole | None = None
    """At most so many units of an order (限购)."""


class BuyGetPart(Part):
    """Buy some, get some cheaper, the cheapest first (买一赠一, 第二件半价)."""

    contract = v1.BuyGet.DESCRIPTOR

    buy: Whole
    """So many units are bought at their price."""
    get: Whole
    """Then so many get cheaper."""
    percent: Percent
    """By this part; 100% is free."""
    max_repeats: Whole | None = None
    """How often within one order; left out, once."""
    discounted: ScopePart | None = None
    """Which goods get cheaper; left out, the same that are bought."""


class CashVoucherPart(Part):
    """An amount off, up to what the goods cost; the rest is forfeited (抵值券, 现金券)."""

    contract = v1.CashVoucher.DESCRIPTOR

    face: Money
    """Its face value (面值)."""


class FundingPart(Part):
    """Who pays for the discount (分摊); the platform pays what is not named."""

    contract = v1.Funding.DESCRIPTOR

    merchant: Percent
    """The merchants' part of it, each for their own goods."""


class OfferPart(Part):
    """One benefit of a campaign, with its conditions: a denomination."""

    contract = v1.Offer.DESCRIPTOR
    one_of: ClassVar = {
        "benefit": (*("tiers", "every_full", "percent_off", "free_shipping", "fixed_price", "buy_get", "cash_voucher"),)
    }

    name: Text | None = None
    """What people call it."""
    tiers: Several[TierPart] | None = None
    """Thresholds in rising order, each with what it gives (满减, 阶梯满减, 满N件M折, 任选N件X元)."""
    every_full: EveryFullPart | None = None
    """An amount off for every full threshold (每满减)."""
    percent_off: PercentOffPart | None = None
    """A part off (折扣券)."""
    free_shipping: FreeShippingPart | None = None
    """No or less shipping fee (包邮)."""
    fixed_price: FixedPricePart | None = None
    """Units at a fixed price each (秒杀价)."""
    buy_get: BuyGetPart | None = None
    """Buy some, get some cheaper (买一赠一, 第二件半价)."""
    cash_voucher: CashVoucherPart | None = None
    """An amount off, up to what the goods cost (抵值券)."""
    conditions: ConditionsPart | None = None
    """When it applies."""
    funding: FundingPart | None = None
    """Who pays; left out, the platform alone."""
    issue_quota: Whole | None = None
    """At most so many coupons of this offer are issued."""

    @field_validator("tiers")
    @classmethod
    def _thresholds_are_alike(cls, tiers: tuple[TierPart, ...] | None) -> tuple[TierPart, ...] | None:
        if len({tier.units is None for tier in tiers or ()}) > 1:
            raise ValueError("must have the same kind of threshold in every tier: either spend or units")
        return tiers
