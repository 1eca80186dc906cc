"""An offer is told field by field, and what the domain cannot hold is refused by the name of the field."""

import pytest
from builders.campaign_strategies import OFFERS as ANY_OFFER
from builders.full_campaign import OFFERS
from hypothesis import given

from redemption.domain.campaign.benefit import BuyGet, Measure, PercentOff, Tier, Tiers
from redemption.domain.campaign.campaign import Offer
from redemption.domain.campaign.conditions import Conditions, Scope
from redemption.domain.errors import InvalidRequest
from redemption.rpc.convert.offers import offer_from, offer_of
from redemption.v1 import campaign_pb2

FIELD = "campaign.offers[0]"


def read(**said):
    return offer_from(campaign_pb2.Offer(**said), FIELD)


@given(ANY_OFFER)
def test_what_was_told_can_be_told_back(offer):
    assert offer_from(campaign_pb2.Offer.FromString(offer_of(offer).SerializeToString()), FIELD) == offer


@pytest.mark.parametrize(
    ("offer", "told"),
    list(
        zip(
            OFFERS,
            [
                {
                    "name": "from 200 on",
                    "tiers": {
                        "measure": "MEASURE_SPEND",
                        "tiers": [
                            {"threshold": 20_000, "amount_off_minor": 5_000},
                            {"threshold": 30_000, "percent_off_basis_points": 2_500, "cap_minor": 9_000},
                        ],
                    },
                    "conditions": {
                        "min_spend_minor": 300,
                        "min_quantity": 4,
                        "include": {
                            "skus": ["sku-1", "sku-2"],
                            "categories": ["category-1"],
                            "brands": ["brand-1"],
                            "merchant_ids": ["merchant-1"],
                        },
                        "exclude": {
                            "skus": ["sku-9"],
                            "categories": ["category-9"],
                            "brands": ["brand-9"],
                            "merchant_ids": ["merchant-9"],
                        },
                        "channels": ["app", "web"],
                        "store_ids": ["store-1"],
                        "regions": ["CN-31"],
                        "payment_methods": ["card"],
                        "tiers": ["gold"],
                        "segments": ["segment-1"],
                        "new_customer_only": True,
                        "min_group_size": 5,
                        "windows": [
                            {
                                "weekdays": ["WEEKDAY_FRIDAY", "WEEKDAY_SATURDAY"],
                                "start_minute": 1_200,
                                "end_minute": 1_320,
                            },
                            {"end_minute": 60},
                        ],
                    },
                    "funding": {"merchant_basis_points": 3_000},
                    "issue_quota": 600,
                },
                {"tiers": {"measure": "MEASURE_UNITS", "tiers": [{"threshold": 6, "price_minor": 9_900}]}},
                {"every_full": {"threshold_minor": 30_000, "amount_off_minor": 4_000, "cap_minor": 12_000}},
                {"percent_off": {"basis_points": 2_000, "cap_minor": 4_000}},
                {"free_shipping": {"cap_minor": 1_000, "regions": ["CN-31", "CN-11"]}},
                {"fixed_price": {"price_minor": 990, "max_units": 7}},
                {
                    "buy_get": {
                        "buy_units": 8,
                        "get_units": 9,
                        "percent_off_basis_points": 5_000,
                        "max_repeats": 10,
                        "discounted": {"skus": ["gift-1"]},
                    }
                },
                {"cash_voucher": {"face_minor": 10_000}},
            ],
            strict=True,
        )
    ),
    ids=lambda value: type(value.benefit).__name__ if isinstance(value, Offer) else "",
)
def test_offer_is_told_field_by_field(offer, told):
    assert offer_of(offer) == campaign_pb2.Offer(**told)


@pytest.mark.parametrize(
    ("left_out", "told"),
    [
        (
            {"tiers": {"tiers": [{"amount_off_minor": 1}]}},
            {"tiers": {"measure": "MEASURE_SPEND", "tiers": [{"amount_off_minor": 1}]}},
        ),
        ({"buy_get": {"buy_units": 1}}, {"buy_get": {"buy_units": 1, "max_repeats": 1}}),
        ({"percent_off": {}}, {"percent_off": {}, "funding": {}}),
        ({"percent_off": {}}, {"percent_off": {}, "funding": {"merchant_basis_points": 0}}),
        ({"percent_off": {}}, {"percent_off": {}, "conditions": {}}),
        ({"percent_off": {}}, {"percent_off": {}, "conditions": {"include": {}, "exclude": {}}}),
        ({"percent_off": {}}, {"percent_off": {}, "conditions": {"new_customer_only": False}}),
    ],
)
def test_what_is_left_unset_reads_the_same_as_what_it_means(left_out, told):
    assert read(**left_out) == read(**told)


def test_offer_with_nothing_but_a_benefit_is_told_as_that():
    assert offer_of(read(percent_off={"basis_points": 2_000})) == campaign_pb2.Offer(
        percent_off={"basis_points": 2_000}
    )


@pytest.mark.parametrize(
    ("said", "unset"),
    [
        ({"every_full": {}}, "cap_minor"),
        ({"free_shipping": {}}, "cap_minor"),
        ({"fixed_price": {}}, "max_units"),
    ],
)
def test_no_limit_and_a_limit_of_zero_are_two_things(said, unset):
    kind = next(iter(said))
    assert getattr(read(**said).benefit, unset) is None
    assert getattr(read(**{kind: {unset: 0}}).benefit, unset) == 0


def test_discounted_goods_that_are_unset_are_those_that_qualify():
    """A scope that is given and says nothing is every article, also one that does not qualify."""
    assert read(buy_get={"buy_units": 1, "get_units": 2}).benefit == BuyGet(1, 2, 0)
    assert read(buy_get={"discounted": {}}).benefit == BuyGet(0, 0, 0, discounted=Scope())


def test_tier_gives_what_it_says_also_when_it_is_zero():
    """Whether a tier may give nothing is for the domain to say; here it is not lost."""
    assert read(tiers={"tiers": [{"amount_off_minor": 0}, {"price_minor": 0}]}).benefit == Tiers(
        Measure.SPEND, (Tier(threshold=0, amount_off_minor=0), Tier(threshold=0, price_minor=0))
    )


def test_numbers_that_the_domain_refuses_reach_it():
    offer = read(percent_off={"basis_points": -1, "cap_minor": -2}, conditions={"min_quantity": -3}, issue_quota=-4)
    assert offer == Offer(PercentOff(-1, -2), conditions=Conditions(min_quantity=-3), issue_quota=-4)


@pytest.mark.parametrize(
    ("said", "field", "hint"),
    [
        ({}, FIELD, "cash_voucher"),
        ({"name": "nothing", "conditions": {"min_quantity": 1}}, FIELD, "buy_get"),
        ({"tiers": {"tiers": [{"amount_off_minor": 1}, {"threshold": 1}]}}, f"{FIELD}.tiers.tiers[1]", "price_minor"),
        ({"tiers": {"tiers": [{"cap_minor": 1}]}}, f"{FIELD}.tiers.tiers[0]", "percent_off_basis_points"),
    ],
)
def test_what_gives_nothing_is_refused(said, field, hint):
    with pytest.raises(InvalidRequest) as refused:
        read(**said)
    (violation,) = refused.value.violations
    assert violation.field == field
    assert hint in violation.problem
    assert violation.reason == "ONE_OF"
    assert f"{field}.{hint}" in {other.field for other in violation.values.others}
