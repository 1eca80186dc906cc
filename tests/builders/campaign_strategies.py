"""Whole campaigns, for hypothesis: everything that the contract can say and the domain can hold, sensible or not."""

from dataclasses import fields

from hypothesis import strategies as st

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
    AbsoluteValidity,
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

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
UNSET_OR_INT64 = st.none() | INT64
TEXT = st.text(max_size=8)
TIMES_MS = st.integers(0, 2**42)
SECONDS = st.integers(0, 315_576_000_000)


def lists(entries, *, max_size=3):
    """Return tuples of some entries."""
    return st.lists(entries, max_size=max_size).map(tuple)


def every_field(model, **values):
    """Return values of a model, each field with a strategy of its own: a field that is added must get one."""
    missing = {field.name for field in fields(model)} - set(values)
    assert not missing, f"{model.__name__} has fields without a strategy: {missing}"
    return st.builds(model, **values)


SCOPES = every_field(Scope, skus=lists(TEXT), categories=lists(TEXT), brands=lists(TEXT), merchant_ids=lists(TEXT))
WINDOWS = every_field(Window, start_minute=INT32, end_minute=INT32, weekdays=lists(st.integers(1, 7)))
CONDITIONS = every_field(
    Conditions,
    min_spend_minor=UNSET_OR_INT64,
    min_quantity=UNSET_OR_INT64,
    include=SCOPES,
    exclude=SCOPES,
    channels=lists(TEXT),
    store_ids=lists(TEXT),
    regions=lists(TEXT),
    payment_methods=lists(TEXT),
    tiers=lists(TEXT),
    segments=lists(TEXT),
    new_customer_only=st.booleans(),
    min_group_size=UNSET_OR_INT64,
    windows=lists(WINDOWS, max_size=2),
)


def tiers_giving(name, amounts):
    """Return tiers that all give the one thing."""
    return st.builds(Tier, threshold=INT64, cap_minor=UNSET_OR_INT64, **{name: amounts})


TIERS = (
    tiers_giving("amount_off_minor", INT64)
    | tiers_giving("percent_off_basis_points", INT32)
    | tiers_giving("price_minor", INT64)
)
BENEFITS = {
    Tiers: every_field(Tiers, measure=st.sampled_from(Measure), tiers=lists(TIERS)),
    EveryFull: every_field(EveryFull, threshold_minor=INT64, amount_off_minor=INT64, cap_minor=UNSET_OR_INT64),
    PercentOff: every_field(PercentOff, basis_points=INT32, cap_minor=INT64),
    FreeShipping: every_field(FreeShipping, cap_minor=UNSET_OR_INT64, regions=lists(TEXT)),
    FixedPrice: every_field(FixedPrice, price_minor=INT64, max_units=UNSET_OR_INT64),
    BuyGet: every_field(
        BuyGet,
        buy_units=INT64,
        get_units=INT64,
        percent_off_basis_points=INT32,
        max_repeats=INT64,
        discounted=st.none() | SCOPES,
    ),
    CashVoucher: every_field(CashVoucher, face_minor=INT64),
}
"""For each class of benefit."""

OFFERS = every_field(
    Offer,
    benefit=st.one_of(*BENEFITS.values()),
    name=TEXT,
    conditions=st.just(Conditions()) | CONDITIONS,
    merchant_basis_points=INT32,
    issue_quota=UNSET_OR_INT64,
)
SLOTS = every_field(Slot, start_minute=INT32, end_minute=INT32, redemptions=INT64)
LIMITS = every_field(
    Limits,
    slots=st.none() | every_field(SlotLimits, slots=lists(SLOTS), carry_over=st.booleans()),
    **{field.name: UNSET_OR_INT64 for field in fields(Limits) if field.name != "slots"},
)
VALIDITIES = every_field(
    AbsoluteValidity,
    not_before_ms=TIMES_MS.map(lambda ms: ms // 1000 * 1000),
    expires_at_ms=TIMES_MS.map(lambda ms: ms // 1000 * 1000),
) | every_field(ClaimValidity, days=INT32, wait_seconds=SECONDS, end_of_day=st.booleans())
STACKINGS = every_field(
    Stacking,
    stage=st.sampled_from(Stage),
    priority=INT32,
    max_tokens_per_order=INT32,
    base=st.sampled_from(DiscountBase),
    exclusivity_groups=lists(TEXT),
    exclusivity_reach=st.sampled_from(ExclusivityReach),
    stop_after=st.booleans(),
)
CAMPAIGNS = every_field(
    Campaign,
    program=TEXT,
    name=TEXT,
    currency_code=TEXT,
    time_zone=TEXT,
    starts_at_ms=TIMES_MS,
    ends_at_ms=TIMES_MS,
    offers=lists(OFFERS),
    limits=LIMITS,
    stacking=STACKINGS,
    sizing=every_field(Sizing, expected_redemptions=INT64, expected_redemption_rate_basis_points=INT32),
    validity=st.none() | VALIDITIES,
    return_window_seconds=SECONDS,
    reservation_seconds_max=SECONDS,
    return_policy=st.sampled_from(ReturnPolicy),
    required_risk_signals=lists(st.sampled_from(RiskSignal)),
    state=st.sampled_from(CampaignState),
    number=st.integers(0, 2**32 - 1),
    version=st.just(0),  # only its etag is told
    created_at_ms=TIMES_MS,
    updated_at_ms=TIMES_MS,
    paused_merchant_ids=lists(TEXT),
    paused_skus=lists(TEXT),
    paused_offers=lists(st.integers(0, 2**32 - 1)),
    honoured_until_ms=st.none() | TIMES_MS,
)
