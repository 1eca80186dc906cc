"""Several coupons on one order: the result does not depend on who is named first, and holds as long as it says."""

import pytest
from builders.campaigns import campaign_of, offer_of
from builders.orders import checkout_of, line_of, order_of
from builders.times import NOW
from builders.tokens import coupon_of
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.campaign.benefit import BuyGet, PercentOff, amount_off
from redemption.domain.campaign.calendar import Days, local_day
from redemption.domain.campaign.campaign import (
    CampaignState,
    ExclusivityReach,
    Limits,
    Offer,
    Slot,
    SlotLimits,
    Stacking,
    Stage,
)
from redemption.domain.campaign.conditions import Conditions, Scope, Window
from redemption.domain.judging.stacking import judge
from redemption.domain.order import GUEST, Customer
from redemption.domain.outcome import Outcome


def campaign(number=1, **changes):
    """A campaign that takes 1.00 off and runs for a quarter of an hour before and after the present."""
    times = {"starts_at_ms": (NOW - 1000) * 1000, "ends_at_ms": (NOW + 1000) * 1000}
    return campaign_of(number, **times | changes)


def judged(*coupons, lines=(1000,), now_ms=NOW * 1000, guest=False, currency="CNY"):
    buyer = GUEST if guest else Customer("ann")
    checkout = checkout_of(order_of(*lines, currency_code=currency), buyer)
    return judge(coupons, checkout, now_ms=now_ms, days=Days())


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


@given(
    st.integers(NOW - 2000, NOW + 2000),
    st.integers(NOW - 2000, NOW + 100),
    st.integers(1, 2000),
    st.sampled_from([CampaignState.ACTIVE, CampaignState.PAUSED, CampaignState.ENDED]),
    st.data(),
)
def test_a_judgement_is_the_same_throughout_the_interval_it_names(now, not_before, life, state, data):
    """The ledger relies on it: inside the interval nobody has to judge again."""
    expires_at = max(not_before + life, NOW - 599)
    one = coupon_of(campaign(state=state), not_before=min(not_before, expires_at - 1), expires_at=expires_at)
    first = judged(one, now_ms=now * 1000 + 7)
    assert first.since_ms <= now * 1000 + 7 < first.until_ms
    other = data.draw(st.integers(max(first.since_ms, now * 1000 - 10**7), min(first.until_ms - 1, now * 1000 + 10**7)))
    again = judged(one, now_ms=other)
    assert again.coupons == first.coupons
    assert (again.since_ms, again.until_ms) == (first.since_ms, first.until_ms)


def test_the_interval_ends_at_the_campaigns_midnight():
    far = campaign(starts_at_ms=0, ends_at_ms=(NOW + 10**7) * 1000)
    held = judged(coupon_of(far, expires_at=NOW + 10**7))
    day = local_day("Asia/Shanghai", NOW * 1000)
    assert held.until_ms == day.ends_at_ms
    assert held.coupons[0].clock.day == day.number


@pytest.mark.parametrize(
    ("outcome", "changes"),
    [
        (Outcome.TOKEN_NOT_YET_VALID, {"now_ms": (NOW - 501) * 1000}),
        (Outcome.APPROVED, {"now_ms": (NOW - 500) * 1000}),
        (Outcome.APPROVED, {"now_ms": (NOW + 500) * 1000 - 1}),
        (Outcome.TOKEN_EXPIRED, {"now_ms": (NOW + 500) * 1000}),
        (Outcome.CURRENCY_MISMATCH, {"currency": "USD"}),
        (Outcome.SCOPE_MISMATCH, {"lines": (0,)}),
    ],
)
def test_first_refusals(outcome, changes):
    assert judged(coupon_of(campaign()), **changes).coupons[0].outcome is outcome


@pytest.mark.parametrize(
    ("outcome", "changes"),
    [
        (Outcome.CAMPAIGN_ENDED, {"state": CampaignState.ENDED}),
        (Outcome.CAMPAIGN_ENDED, {"ends_at_ms": NOW * 1000}),
        (Outcome.CAMPAIGN_NOT_STARTED, {"starts_at_ms": NOW * 1000 + 1}),
        (Outcome.CAMPAIGN_PAUSED, {"state": CampaignState.PAUSED}),
        (Outcome.CUSTOMER_REQUIRED, {"limits": Limits(redemptions_per_customer=1)}),
        (Outcome.MIN_SPEND_NOT_MET, {"offers": (Offer(amount_off(1001, 1)),)}),
        (
            Outcome.MIN_SPEND_NOT_MET,
            {"offers": (offer_of(PercentOff(1000, 1), min_spend_minor=1001),)},
        ),
        (Outcome.APPROVED, {"offers": (Offer(amount_off(1000, 1)),)}),
        (Outcome.TOKEN_INVALID, {"offers": ()}),
    ],
)
def test_first_refusals_of_campaigns(outcome, changes):
    assert judged(coupon_of(campaign(**changes)), guest=True).coupons[0].outcome is outcome


def test_the_earlier_reason_is_told():
    """Precedence: expired and over and in another currency is told as expired."""
    over = campaign(state=CampaignState.ENDED, limits=Limits(redemptions_per_customer=1))
    one = coupon_of(over)
    assert (
        judged(one, guest=True, currency="USD", now_ms=(NOW + 600) * 1000).coupons[0].outcome is Outcome.TOKEN_EXPIRED
    )
    assert judged(one, guest=True, currency="USD").coupons[0].outcome is Outcome.CUSTOMER_REQUIRED
    assert judged(one, currency="USD").coupons[0].outcome is Outcome.CAMPAIGN_ENDED


def test_a_holder_is_asked_for_before_anything_of_the_campaign():
    bound = coupon_of(campaign(state=CampaignState.ENDED), customer_id="ann", held=False)
    assert judged(bound).coupons[0].outcome is Outcome.HOLDER_MISMATCH
    assert judged(bound, guest=True).coupons[0].outcome is Outcome.CUSTOMER_REQUIRED


def test_a_coupon_that_finds_nothing_left_has_no_effect():
    everything = campaign(1, stacking=Stacking(Stage.ITEM), offers=(Offer(amount_off(0, 1000)),))
    coupons = judged(coupon_of(campaign(2)), coupon_of(everything)).coupons
    assert [one.outcome for one in coupons] == [Outcome.NO_EFFECT, Outcome.APPROVED]


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


SLOTS = (Slot(0, 600, 1), Slot(600, 1200, 2))
MIDNIGHT = local_day("Asia/Shanghai", NOW * 1000)


def hour_at(minute, limits, day=MIDNIGHT):
    """What the clock says at a minute of a day of the campaign, and how long that holds."""
    one = campaign(starts_at_ms=0, ends_at_ms=(NOW + 10**7) * 1000, limits=Limits(slots=limits))
    now_ms = day.starts_at_ms + minute * 60_000
    found = judged(coupon_of(one, not_before=NOW - 10**6, expires_at=NOW + 10**6), now_ms=now_ms)
    minutes = [(each - day.starts_at_ms) / 60_000 for each in (found.since_ms, found.until_ms)]
    return found.coupons[0].clock, minutes


@pytest.mark.parametrize(
    ("minute", "carry_over", "name", "limit", "interval", "next_at"),
    [
        (0, False, 1, 1, [0, 480], 600),
        (599, False, 1, 1, [480, 600], 600),
        (600, False, 601, 2, [600, 1200], 1440),
        (599, True, 1, 1, [480, 600], 600),
        (600, True, 601, 3, [600, 1200], 1440),
        (1200, False, 2047, 0, [1200, 1440], 1440),
        (1200, True, 2047, 0, [1200, 1440], 1440),
    ],
)
def test_each_slot_has_its_share_and_the_judgement_ends_with_it(minute, carry_over, name, limit, interval, next_at):
    """The name has the day, so that it begins anew tomorrow; the interval ends with the UTC day at the latest."""
    clock, minutes = hour_at(minute, SlotLimits(SLOTS, carry_over))
    assert clock.slot == MIDNIGHT.number * 2048 + name
    assert (clock.slot_limit, clock.slot_carries) == (limit, carry_over)
    assert minutes == interval
    assert clock.slot_opens_at_ms == MIDNIGHT.starts_at_ms + next_at * 60_000
    tomorrow = local_day("Asia/Shanghai", MIDNIGHT.ends_at_ms)
    assert hour_at(minute, SlotLimits(SLOTS, carry_over), tomorrow)[0].slot == clock.slot + 2048


def test_a_slots_name_stays_when_others_are_taken_out():
    clock, _ = hour_at(700, SlotLimits(SLOTS))
    alone, _ = hour_at(700, SlotLimits(SLOTS[1:]))
    assert (alone.slot, alone.slot_limit) == (clock.slot, clock.slot_limit)


def test_a_judgement_ends_with_the_window_of_its_offer():
    evening = Conditions(windows=(Window(20 * 60, 22 * 60),))
    one = campaign(
        starts_at_ms=0, ends_at_ms=(NOW + 10**7) * 1000, offers=(Offer(amount_off(0, 1), conditions=evening),)
    )
    lasting = coupon_of(one, not_before=NOW - 10**6, expires_at=NOW + 10**6)
    opens, closes = (MIDNIGHT.starts_at_ms + minute * 60_000 for minute in (1200, 1320))
    before, within, after = (judged(lasting, now_ms=now_ms) for now_ms in (opens - 1, opens, closes))
    assert [each.coupons[0].outcome for each in (before, within, after)] == [
        Outcome.OUTSIDE_WINDOW,
        Outcome.APPROVED,
        Outcome.OUTSIDE_WINDOW,
    ]
    assert (within.since_ms, within.until_ms) == (opens, closes)
    assert before.until_ms == opens
    assert before.coupons[0].detail.try_after_ms == opens
    assert after.coupons[0].detail.try_after_ms == MIDNIGHT.ends_at_ms + 20 * 3_600_000


def test_merchants_of_discounted_goods_count_for_exclusivity():
    """Buy at one merchant, get cheaper at another: a coupon of that other one is in the way."""
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
