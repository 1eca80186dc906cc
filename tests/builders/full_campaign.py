"""A campaign that says everything, each field with a value of its own, so that a mix-up of two shows.

Not every value is one that a definition may have: ``domain/campaign/test_campaign_checks.py`` has one that is accepted.
"""

from builders.times import NOW

from redemption.domain.campaign.benefit import (
    BuyGet,
    CashVoucher,
    EveryFull,
    FixedPrice,
    FreeShipping,
    Measure,
    PercentOff,
    Tier,
    Tiers,
)
from redemption.domain.campaign.campaign import (
    Campaign,
    CampaignState,
    ClaimValidity,
    DiscountBase,
    ExclusivityReach,
    Limits,
    Offer,
    ReturnPolicy,
    RiskSignal,
    Sizing,
    Slot,
    SlotLimits,
    Stacking,
    Stage,
)
from redemption.domain.campaign.conditions import Conditions, Scope, Window

# Every kind of benefit, and every condition.
OFFERS = (
    Offer(
        Tiers(
            Measure.SPEND,
            (
                Tier(threshold=20_000, amount_off_minor=5_000),
                Tier(threshold=30_000, percent_off_basis_points=2_500, cap_minor=9_000),
            ),
        ),
        "from 200 on",
        Conditions(
            min_spend_minor=300,
            min_quantity=4,
            include=Scope(("sku-1", "sku-2"), ("category-1",), ("brand-1",), ("merchant-1",)),
            exclude=Scope(("sku-9",), ("category-9",), ("brand-9",), ("merchant-9",)),
            channels=("app", "web"),
            store_ids=("store-1",),
            regions=("CN-31",),
            payment_methods=("card",),
            tiers=("gold",),
            segments=("segment-1",),
            new_customer_only=True,
            min_group_size=5,
            windows=(Window(1_200, 1_320, (5, 6)), Window(0, 60)),
        ),
        merchant_basis_points=3_000,
        issue_quota=600,
    ),
    Offer(Tiers(Measure.UNITS, (Tier(threshold=6, price_minor=9_900),))),
    Offer(EveryFull(30_000, 4_000, 12_000)),
    Offer(PercentOff(2_000, 4_000)),
    Offer(FreeShipping(1_000, ("CN-31", "CN-11"))),
    Offer(FixedPrice(990, 7)),
    Offer(BuyGet(8, 9, 5_000, 10, Scope(skus=("gift-1",)))),
    Offer(CashVoucher(10_000)),
)

CAMPAIGN = Campaign(
    program="shop",
    name="Spring",
    currency_code="CNY",
    time_zone="Asia/Shanghai",
    starts_at_ms=NOW * 1000 + 1,
    ends_at_ms=NOW * 1000 + 86_400_002,
    offers=OFFERS,
    limits=Limits(1, 2, 3, 4, 5, 6, 7, 8, SlotLimits((Slot(600, 720, 9), Slot(720, 840, 10)), carry_over=True), 11, 12),
    stacking=Stacking(
        Stage.MERCHANT, 9, 2, DiscountBase.LIST, ("group-1", "group-2"), ExclusivityReach.MERCHANT, stop_after=True
    ),
    sizing=Sizing(500, 9_000),
    validity=ClaimValidity(days=7, wait_seconds=3_600, end_of_day=True),
    return_window_seconds=864_000,
    return_policy=ReturnPolicy.ON_FULL_RETURN,
    reservation_seconds_max=1_200,
    required_risk_signals=(RiskSignal.DEVICE, RiskSignal.PERSON),
    state=CampaignState.PAUSED,
    number=7,
    version=5,
    created_at_ms=NOW * 1000 - 3,
    updated_at_ms=NOW * 1000 - 2,
    paused_merchant_ids=("merchant-7", "merchant-8"),
    paused_skus=("sku-7",),
    paused_offers=(1, 4),
    honoured_until_ms=NOW * 1000 + 43_200_001,
)
