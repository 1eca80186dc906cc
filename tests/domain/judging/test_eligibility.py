"""Which coupons may be used: what is refused for which reason, at which hour, and how long that holds."""

import pytest
from builders.campaigns import offer_of
from builders.times import NOW
from builders.tokens import coupon_of
from domain.judging.judged import campaign, judged
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.campaign.benefit import PercentOff, amount_off
from redemption.domain.campaign.calendar import local_day
from redemption.domain.campaign.campaign import (
    CampaignState,
    Limits,
    Offer,
    Slot,
    SlotLimits,
)
from redemption.domain.campaign.conditions import Conditions, Window
from redemption.domain.outcome import Outcome


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
def test_a_coupon_is_refused_by_its_time_its_currency_or_its_goods(outcome, changes):
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
def test_a_coupon_is_refused_by_its_campaign(outcome, changes):
    assert judged(coupon_of(campaign(**changes)), guest=True).coupons[0].outcome is outcome


def test_the_earlier_reason_is_told():
    """Precedence: what is expired, over and in another currency is answered as expired."""
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
