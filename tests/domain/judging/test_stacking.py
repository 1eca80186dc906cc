"""Several coupons on one order: stages, exclusivity, and a result that does not depend on the order of the tokens."""

import pytest
from builders.campaigns import offer_of
from builders.orders import checkout_of, line_of, order_of
from builders.times import NOW
from builders.tokens import coupon_of
from domain.judging.judged import campaign, judged
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.campaign.benefit import BuyGet, PercentOff, amount_off
from redemption.domain.campaign.calendar import Days
from redemption.domain.campaign.campaign import (
    ExclusivityReach,
    Offer,
    Stacking,
    Stage,
)
from redemption.domain.campaign.conditions import Scope
from redemption.domain.judging.stacking import judge
from redemption.domain.outcome import Outcome

benefits = st.one_of(
    st.builds(amount_off, st.integers(0, 3000), st.integers(1, 2000)),
    st.builds(PercentOff, st.integers(1, 10_000), st.integers(1, 2000)),
)
campaigns = st.builds(
    lambda benefit, stage, priority, least, several: (benefit, stage, priority, least, several),
    benefits,
    st.sampled_from(Stage),
    st.integers(-2, 2),
    st.none() | st.integers(1, 3000),
    st.integers(1, 3),
)


@given(st.lists(campaigns, min_size=1, max_size=5), st.lists(st.integers(0, 3000), min_size=1, max_size=6), st.data())
def test_the_order_in_which_tokens_are_named_does_not_matter(rules, amounts, data):
    coupons = [
        coupon_of(
            campaign(
                number,
                offers=(offer_of(benefit, min_spend_minor=least),),
                stacking=Stacking(stage, priority, several),
            ),
            serial,
        )
        for number, (benefit, stage, priority, least, several) in enumerate(rules, start=1)
        for serial in range(2)
    ]
    straight = judged(*coupons, lines=amounts)
    shuffle = data.draw(st.permutations(range(len(coupons))))
    shuffled = judged(*(coupons[index] for index in shuffle), lines=amounts)
    for position, index in enumerate(shuffle):
        mine, theirs = shuffled.coupons[position], straight.coupons[index]
        assert (mine.outcome, mine.discount_minor, mine.parts) == (theirs.outcome, theirs.discount_minor, theirs.parts)


@given(st.lists(campaigns, min_size=1, max_size=5), st.lists(st.integers(0, 3000), min_size=1, max_size=6))
def test_all_discounts_together_never_take_more_than_a_line_costs(rules, amounts):
    coupons = [
        coupon_of(campaign(number, offers=(Offer(benefit),), stacking=Stacking(stage, priority)))
        for number, (benefit, stage, priority, _, _) in enumerate(rules, start=1)
    ]
    taken = [0] * len(amounts)
    for one in judged(*coupons, lines=amounts).coupons:
        assert sum(part for _, part in one.parts) == one.discount_minor
        assert all(part > 0 for _, part in one.parts)
        assert (one.outcome is Outcome.APPROVED) == (one.discount_minor > 0)
        for index, part in one.parts:
            taken[index] += part
    assert all(off <= amount for off, amount in zip(taken, amounts, strict=True))


def test_a_coupon_that_finds_nothing_left_has_no_effect():
    everything = campaign(1, stacking=Stacking(Stage.ITEM), offers=(Offer(amount_off(0, 1000)),))
    coupons = judged(coupon_of(campaign(2)), coupon_of(everything)).coupons
    assert [one.outcome for one in coupons] == [Outcome.NO_EFFECT, Outcome.APPROVED]


@pytest.mark.parametrize(("group_size", "missing"), [(0, 2), (1, 2), (2, 1)])
def test_the_customer_is_one_of_a_group(group_size, missing):
    """Of a group of three, two more are missing when nobody has joined yet, whether or not a size was sent."""
    of_three = campaign(offers=(offer_of(amount_off(0, 100), min_group_size=3),))
    found = judged(coupon_of(of_three), group_size=group_size).coupons[0]
    assert (found.outcome, found.detail.missing_quantity) == (Outcome.GROUP_TOO_SMALL, missing)


def test_a_gift_is_nobodys_second_piece():
    """A line that costs nothing neither qualifies nor is the cheapest unit."""
    free_one = campaign(offers=(Offer(BuyGet(1, 1, 10_000)),))
    found = judged(coupon_of(free_one), lines=(100, 100, 0)).coupons[0]
    assert (found.outcome, found.parts) == (Outcome.APPROVED, ((0, 100),))
    found = judged(coupon_of(free_one), lines=(100, 0)).coupons[0]
    assert (found.outcome, found.detail.missing_quantity) == (Outcome.MIN_QUANTITY_NOT_MET, 1)


def test_of_interchangeable_coupons_the_one_that_expires_sooner_goes_first():
    one = campaign()
    coupons = judged(coupon_of(one, 1, expires_at=NOW + 9), coupon_of(one, 2, expires_at=NOW + 5)).coupons
    assert [single.outcome for single in coupons] == [Outcome.EXCLUSIVE_CONFLICT, Outcome.APPROVED]


def test_merchants_of_discounted_goods_count_for_exclusivity():
    """Buy at one merchant, get cheaper at another: a coupon of that other merchant excludes it."""
    groups = {"exclusivity_groups": ("g",), "exclusivity_reach": ExclusivityReach.MERCHANT}
    mill, quay = Scope(merchant_ids=("mill",)), Scope(merchant_ids=("quay",))
    across = offer_of(BuyGet(1, 1, 5000, discounted=quay), include=mill)
    at_quay = offer_of(amount_off(0, 10), include=quay)
    coupons = [
        coupon_of(campaign(number, offers=(offer,), stacking=Stacking(**groups)))
        for number, offer in ((1, across), (2, at_quay))
    ]
    lines = tuple(line_of(100, line_id=merchant, merchant_id=merchant) for merchant in ("mill", "quay"))
    found = judge(coupons, checkout_of(order_of(lines=lines)), now_ms=NOW * 1000, days=Days()).coupons
    assert [one.outcome for one in found] == [Outcome.APPROVED, Outcome.EXCLUSIVE_CONFLICT]


def test_stages_go_one_after_the_other_and_thresholds_count_what_the_stage_before_left():
    item = campaign(1, stacking=Stacking(Stage.ITEM), offers=(Offer(amount_off(0, 300)),))
    first = campaign(2, offers=(Offer(amount_off(700, 100)),))
    second = campaign(3, offers=(Offer(amount_off(700, 100)),))
    payment = campaign(4, stacking=Stacking(Stage.PAYMENT), offers=(Offer(amount_off(501, 1)),))
    coupons = judged(coupon_of(payment), coupon_of(second), coupon_of(first), coupon_of(item)).coupons
    assert [one.outcome for one in coupons] == [
        Outcome.MIN_SPEND_NOT_MET,
        Outcome.APPROVED,
        Outcome.APPROVED,
        Outcome.APPROVED,
    ]
    assert coupons[0].detail.missing_minor == 1


def test_conflicts_name_the_other_token():
    one = campaign()
    coupons = judged(coupon_of(one, 5), coupon_of(one, 3)).coupons
    assert [single.outcome for single in coupons] == [Outcome.EXCLUSIVE_CONFLICT, Outcome.APPROVED]
    assert coupons[0].detail.conflicts == (1,)
