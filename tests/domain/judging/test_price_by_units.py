"""Prices by units, by examples: how goods are split into lines changes no price; what costs nothing counts for nothing.

Both calculators must agree with each example: the service's, and the slow and obvious one.
"""

from dataclasses import replace
from typing import NamedTuple

import pytest
from builders.campaigns import campaign_of, offer_of
from builders.orders import line_of, order_of
from domain.judging import calculator
from domain.judging.as_service import judged, screened
from interpreted import COUNTS_CALLS

from redemption.domain.campaign.benefit import (
    BuyGet,
    CashVoucher,
    FixedPrice,
    FreeShipping,
    Measure,
    PercentOff,
    Tier,
    Tiers,
)
from redemption.domain.campaign.campaign import DiscountBase, Stacking, Stage
from redemption.domain.campaign.conditions import Scope
from redemption.domain.judging.offer_match import Basket
from redemption.domain.judging.stacking import StackState
from redemption.domain.judging.units import Units
from redemption.domain.order import GUEST, Shipping
from redemption.domain.outcome import Outcome

FREE = 10_000
HALF_PRICE = 5_000
MASK, LIPSTICK = Scope(skus=("mask",)), Scope(skus=("lipstick",))


class Given(NamedTuple):
    """One coupon of an example: what it gives, and how it goes with others."""

    benefit: object
    stacking: Stacking
    conditions: dict
    merchant_basis_points: int = 0


def given(benefit, stage=Stage.ITEM, *, priority=0, by_list=False, merchant=0, **conditions):
    base = DiscountBase.LIST if by_list else DiscountBase.REMAINING
    return Given(benefit, Stacking(stage, priority, base=base), conditions, merchant)


FLASH = FixedPrice(99_00, 1)
FREE_ONE = FixedPrice(0, 1)
SECOND_HALF = BuyGet(1, 1, HALF_PRICE)
BUY_ONE = BuyGet(1, 1, FREE)
BUY_TWO = BuyGet(2, 1, FREE)
GIFT = given(BuyGet(1, 1, FREE, discounted=MASK), include=LIPSTICK)
THREE_AT_8 = Tiers(Measure.UNITS, (Tier(threshold=3, percent_off_basis_points=2000, cap_minor=300_00),))
THREE_FOR_99 = Tiers(Measure.UNITS, (Tier(threshold=3, price_minor=99_00),))
OFF_50_FROM_200 = Tiers(Measure.SPEND, (Tier(threshold=200_00, amount_off_minor=50_00),))
OFF_30_FROM_150 = Tiers(Measure.SPEND, (Tier(threshold=150_00, amount_off_minor=30_00),))
MASK_FROM_200 = given(BuyGet(1, 1, FREE, discounted=MASK), min_spend_minor=200_00)

VANITY = (("lipstick", 1, 168_00), ("mask", 1, 89_00), ("soap", 1, 50_00))
APART = Stage.PLATFORM


def took(*parts):
    """A coupon that is approved and takes so much from each line, in the order's sequence."""
    return (
        Outcome.APPROVED,
        sum(parts),
        {position: part for position, part in enumerate(parts) if part},
    )


def needs_spend(minor):
    return Outcome.MIN_SPEND_NOT_MET, minor


def needs_units(count):
    return Outcome.MIN_QUANTITY_NOT_MET, count


TWO_AT_99 = (given(FLASH), given(FLASH))
TWO_BUY_TWO = (given(BUY_TWO), given(BUY_TWO))
GIFT_THEN_80 = (given(BUY_ONE), given(FixedPrice(80_00), APART))
PERCENT_THEN_HALF = (given(PercentOff(1000, 100_00)), given(SECOND_HALF, APART))
FREE_THEN_5_PERCENT = (given(FREE_ONE), given(PercentOff(500, 60_00), APART, by_list=True))
FREE_THEN_30 = (given(FREE_ONE), given(OFF_30_FROM_150, APART, by_list=True))
CHEAP_THEN_BUNDLE = (given(FixedPrice(9_90, 1)), given(THREE_FOR_99, APART))
MERCHANT_HALF = (given(CashVoucher(99), merchant=5000),)

EXAMPLES = [
    (TWO_AT_99, [("a", 2, 598_00)], [took(200_00), took(200_00)]),
    (TWO_AT_99, [("a", 1, 299_00)] * 2, [took(200_00), took(0, 200_00)]),
    (TWO_BUY_TWO, [("a", 6, 60_00)], [took(10_00), took(10_00)]),
    (TWO_BUY_TWO, [("a", 2, 20_00), ("a", 4, 40_00)], [took(10_00), took(10_00)]),
    (GIFT_THEN_80, [("a", 2, 200_00)], [took(100_00), took(20_00)]),
    (GIFT_THEN_80, [("a", 1, 100_00)] * 2, [took(100_00), took(0, 20_00)]),
    ((GIFT, given(SECOND_HALF, APART)), VANITY, [took(0, 89_00), took(0, 0, 25_00)]),
    ((GIFT, given(THREE_AT_8, APART)), VANITY, [took(0, 89_00), needs_units(1)]),
    (
        (GIFT._replace(stacking=Stacking(Stage.ITEM, 1)), given(THREE_AT_8)),
        VANITY,
        [took(0, 89_00), took(33_60, 0, 10_00)],
    ),
    ((GIFT, given(PercentOff(1000, 100_00), APART, include=LIPSTICK)), VANITY, [took(0, 89_00), took(16_80)]),
    ((GIFT, given(PercentOff(1000, 100_00), APART, include=MASK)), VANITY, [took(0, 89_00), (Outcome.NO_EFFECT, 0)]),
    ((MASK_FROM_200,), VANITY[:2], [needs_spend(32_00)]),
    ((MASK_FROM_200,), VANITY, [took(0, 89_00)]),
    (PERCENT_THEN_HALF, [("a", 3, 100_00)], [took(10_00), took(15_00)]),
    (PERCENT_THEN_HALF, [("a", 1, 33_34), ("a", 2, 66_66)], [took(3_33, 6_67), took(0, 15_00)]),
    (PERCENT_THEN_HALF, [("a", 1, 33_33), ("a", 2, 66_67)], [took(3_34, 6_66), took(15_00)]),
    (
        (given(SECOND_HALF), given(SECOND_HALF, APART)),
        [("a", 2, 100_00), ("b", 1, 60_00)],
        [took(25_00), took(12_50)],
    ),
    ((given(OFF_50_FROM_200),), [("kettle", 1, 168_00), ("mug", 2, 70_00)], [took(35_29, 14_71)]),
    (
        (given(OFF_50_FROM_200),),
        [("kettle", 1, 168_00), ("mug", 1, 35_00), ("mug", 1, 35_00)],
        [took(35_29, 7_36, 7_35)],
    ),
    ((given(CashVoucher(100)),), [("a", 100, 40_00), ("b", 100, 60_00)], [took(40, 60)]),
    (FREE_THEN_5_PERCENT, [("a", 2, 160_00, 200_00), ("b", 1, 70_00)], [took(80_00), took(5_00, 3_50)]),
    (FREE_THEN_30, [("a", 2, 160_00, 200_00)], [took(80_00), needs_spend(50_00)]),
    (FREE_THEN_30, [("a", 3, 240_00, 300_00)], [took(80_00), took(30_00)]),
    (CHEAP_THEN_BUNDLE, [("tee", 4, 196_00)], [took(39_10), took(48_00)]),
    (CHEAP_THEN_BUNDLE, [("tee", 2, 98_00)] * 2, [took(39_10), took(16_00, 32_00)]),
    (MERCHANT_HALF, [("a", 3, 9_00)], [took(99)]),
    (MERCHANT_HALF, [("a", 1, 3_00)] * 3, [took(33, 33, 33)]),
]


def an_order(lines, fees=()):
    return order_of(
        lines=tuple(
            line_of(amount, quantity, line_id=str(index), sku=sku, list_amount_minor=listed[0] if listed else amount)
            for index, (sku, quantity, amount, *listed) in enumerate(lines)
        ),
        shipping=tuple(Shipping(f"fee {index}", amount) for index, amount in enumerate(fees)),
    )


def coupons_of(several):
    return [
        calculator.Coupon(
            campaign_of(
                number,
                offers=(
                    replace(
                        offer_of(each.benefit, **each.conditions), merchant_basis_points=each.merchant_basis_points
                    ),
                ),
                stacking=each.stacking,
            ),
            0,
            number,
        )
        for number, each in enumerate(several, start=1)
    ]


def in_short(one):
    if one.outcome == Outcome.APPROVED:
        return one.outcome, one.discount_minor, one.parts
    return one.outcome, one.missing_minor or one.missing_quantity


@pytest.mark.parametrize(("several", "lines", "expected"), EXAMPLES)
def test_prices_go_by_units(several, lines, expected):
    coupons, order = coupons_of(several), an_order(lines)
    assert [in_short(one) for one in judged(coupons, order, GUEST)] == expected
    assert [in_short(one) for one in calculator.calculate(coupons, order, GUEST)] == expected


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, took(0, 12_00)),
        ({"min_spend_minor": 1}, needs_spend(1)),
        ({"min_quantity": 1}, needs_units(1)),
    ],
)
def test_free_samples_are_sent_free_but_count_for_no_threshold(conditions, expected):
    coupons, order = coupons_of([given(FreeShipping(15_00), **conditions)]), an_order([("sample", 2, 0)], [12_00])
    assert [in_short(one) for one in judged(coupons, order, GUEST)] == [expected]
    assert [in_short(one) for one in calculator.calculate(coupons, order, GUEST)] == [expected]


@pytest.mark.parametrize("lines", [[("a", 3, 9_00)], [("a", 1, 3_00)] * 3])
def test_the_merchants_share_is_rounded_down_for_each_line(lines):
    """So it is the one thing that may change with how goods are split."""
    coupons, order = coupons_of(MERCHANT_HALF), an_order(lines)
    (one,) = calculator.calculate(coupons, order, GUEST)
    shares = calculator.merchant_shares(one.parts, 5000)
    assert sum(shares.values()) == (49 if len(lines) == 1 else 48)


def test_a_gift_made_by_one_coupon_buys_nothing_for_the_next():
    """Two masks at 10.00, one freed: the freed one does not pay for the second gift."""
    first = given(BUY_ONE)
    second = given(BUY_ONE, APART)
    found = judged(coupons_of([first, second]), an_order([("mask", 2, 20_00)]), GUEST)
    assert [in_short(one) for one in found] == [took(10_00), needs_units(1)]


def test_units_that_were_brought_to_one_price_remember_what_they_cost_when_the_stage_began():
    """Two units of 80.00 and 60.00 cost 50.00 each now; the gift is the dearer one for its own minimum spend."""
    same_price = given(FixedPrice(50_00))
    gift = given(BUY_ONE, min_spend_minor=60_01)
    coupons, order = coupons_of([same_price, gift]), an_order([("a", 1, 60_00), ("a", 1, 80_00)])
    expected = [took(10_00, 30_00), needs_spend(1)]
    assert [in_short(one) for one in judged(coupons, order, GUEST)] == expected
    assert [in_short(one) for one in calculator.calculate(coupons, order, GUEST)] == expected


@pytest.mark.parametrize("skus", ["aa", "ab"])
def test_a_gift_counts_by_what_it_cost_when_its_own_stage_began(skus):
    """Two units cost 50.00 each when it began, whatever they cost before; without the gift 50.00 count."""
    several = [
        given(FixedPrice(50_00)),
        given(PercentOff(1000, 100_00), APART, priority=1),
        given(BUY_ONE, APART, min_spend_minor=50_01),
    ]
    coupons, order = coupons_of(several), an_order([(skus[0], 1, 80_00), (skus[1], 1, 60_00)])
    expected = [took(30_00, 10_00), took(5_00, 5_00), needs_spend(1)]
    assert [in_short(one) for one in judged(coupons, order, GUEST)] == expected
    assert [in_short(one) for one in calculator.calculate(coupons, order, GUEST)] == expected


def test_a_million_units_are_a_few_kinds():
    """The work goes with the number of kinds, so a quantity of a million costs no more than one of a hundred."""
    benefits = (FixedPrice(1_00, 7), BuyGet(2, 1, FREE, 1000), PercentOff(1234, 10**9), CashVoucher(77_77), FLASH)
    several = [given(benefit, stage) for stage in (Stage.ITEM, Stage.MERCHANT, Stage.PLATFORM) for benefit in benefits]
    order = an_order([("a", 1_000_000, 299_000_001), ("a", 999_999, 299_000_000), ("b", 10**9, 10**12)])
    stack, approved = StackState(Basket(order).units), 0
    for eligible in screened(coupons_of(several), order, GUEST).eligible():
        stack, judgement = stack.apply(eligible)
        approved += judgement.outcome == Outcome.APPROVED
    assert approved > len(benefits)
    assert len(stack.units.counts) < 50


@COUNTS_CALLS
def test_the_lines_of_units_are_worked_out_once_for_each_coupon(monkeypatch):
    """Else the work would grow with every kind that coupons make free, and each of them makes new kinds."""
    percents = [given(PercentOff(700 + index, 10**9)) for index in range(8)]
    gifts = [given(BuyGet(1, 1, FREE, 3), min_spend_minor=1) for _ in range(8)]
    campaigns = [
        campaign_of(
            number,
            offers=(offer_of(one.benefit, **one.conditions),),
            stacking=replace(one.stacking, priority=-number),
        )
        for number, one in enumerate(percents + gifts, start=1)
    ]
    coupons = [calculator.Coupon(campaign, 0, 0) for campaign in campaigns]
    order = order_of(
        lines=tuple(line_of(999_983 * (index + 7), 999_979, line_id=str(index), sku=str(index)) for index in range(4))
    )
    split, splits = Units.split_runs, []
    monkeypatch.setattr(Units, "split_runs", lambda *args: splits.append(args) or split(*args))
    assert all(each.outcome is Outcome.APPROVED for each in judged(coupons, order, GUEST))
    assert 0 < len(splits) < len(coupons)
