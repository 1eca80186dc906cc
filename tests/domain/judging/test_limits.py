"""What the ledger would decide on a coupon: how its counters are read at a moment, and which limit refuses."""

import pytest

from redemption.domain.campaign.calendar import CampaignClock
from redemption.domain.campaign.campaign import Limits
from redemption.domain.judging.limits import Count, count_of, coupon_rank, free_at, limit_rank
from redemption.domain.order import MINOR_MAX
from redemption.domain.outcome import BUDGET_DAY_RANK, SAME_ORDER_RANK, Outcome
from redemption.domain.ports.orders import CampaignSnapshot, CouponSnapshot, EarlierUse

SEEN = CampaignSnapshot(
    redeemed=90,
    discount_minor=80,
    day=20_000,
    redeemed_day=7,
    discount_day_minor=60,
    slot=5,
    redeemed_slot=4,
    customer_redeemed=3,
    customer_day=20_000,
    customer_today=2,
    held=10,
    held_minor=9,
    hold_due=1_800_000_100,
    customer_held=1,
    customer_hold_due=1_800_000_200,
)
HELD = (10, 9, 1_800_000_100, 1, 1_800_000_200)
ALL = Count(90, 80, 7, 60, 4, 3, 2, *HELD)
USE = EarlierUse(1_800_000_000, 0, 50_00)


@pytest.mark.parametrize(
    ("clock", "count"),
    [
        (CampaignClock(day=20_000, slot=5), ALL),
        (CampaignClock(day=20_000, slot=6), Count(90, 80, 7, 60, 0, 3, 2, *HELD)),
        (CampaignClock(day=20_001, slot=5), Count(90, 80, 0, 0, 4, 3, 0, *HELD)),
        (CampaignClock(day=20_001, slot=6), Count(90, 80, 0, 0, 0, 3, 0, *HELD)),
    ],
    ids=["now", "another slot", "another day", "another day and slot"],
)
def test_counts_of_another_day_or_slot_are_over(clock, count):
    assert count_of(SEEN, clock) == count


def test_one_more_coupon_counts_everywhere():
    assert ALL.with_coupon(5) == Count(91, 85, 8, 65, 5, 4, 3, *HELD)


@pytest.mark.parametrize(
    ("seen", "rank"),
    [
        (CouponSnapshot(issued=True, revoked=False, use=None, used_by=b""), None),
        (CouponSnapshot(issued=True, revoked=False, use=USE, used_by=b"theirs"), Outcome.ALREADY_REDEEMED),
        (CouponSnapshot(issued=True, revoked=False, use=USE, used_by=b"mine"), SAME_ORDER_RANK),
        (CouponSnapshot(issued=True, revoked=True, use=USE, used_by=b"mine"), SAME_ORDER_RANK),
        (CouponSnapshot(issued=True, revoked=True, use=USE, used_by=b"theirs"), Outcome.REVOKED),
        (CouponSnapshot(issued=True, revoked=True, use=None, used_by=b""), Outcome.REVOKED),
        (CouponSnapshot(issued=False, revoked=True, use=None, used_by=b""), Outcome.TOKEN_INVALID),
    ],
)
def test_what_the_ledger_knows_of_a_coupon_itself(seen, rank):
    assert coupon_rank(seen, b"mine") == rank


FULL = {
    "redemptions_per_customer": 3,
    "redemptions_per_customer_per_day": 2,
    "redemptions_per_day": 7,
    "redemptions": 90,
    "budget_minor": 89,
    "budget_per_day_minor": 69,
}
"""Limits that leave no room for one more coupon of 10, in the order in which they are told."""
NO_SLOT = CampaignClock(day=20_000)
RANKS = [
    Outcome.CUSTOMER_LIMIT,
    Outcome.CUSTOMER_DAY_LIMIT,
    Outcome.DAY_LIMIT,
    Outcome.CAMPAIGN_LIMIT,
    Outcome.BUDGET_EXHAUSTED,
    BUDGET_DAY_RANK,
]


@pytest.mark.parametrize("first", range(len(RANKS)), ids=list(FULL))
def test_the_first_limit_by_precedence_is_told_and_one_more_would_fit(first):
    full = dict(list(FULL.items())[first:])
    assert limit_rank(ALL, Limits(**full), NO_SLOT, 10, guest=False) == RANKS[first]
    room = {name: limit + 1 for name, limit in full.items()}
    assert limit_rank(ALL, Limits(**room), NO_SLOT, 10, guest=False) == Outcome.APPROVED


def test_what_one_customer_used_is_not_counted_for_a_guest():
    limits = Limits(redemptions_per_customer=3, redemptions_per_customer_per_day=2)
    assert limit_rank(ALL, limits, NO_SLOT, 10, guest=True) == Outcome.APPROVED


@pytest.mark.parametrize(
    ("limit", "carries", "rank"),
    [
        (4, False, Outcome.SLOT_LIMIT),
        (5, False, Outcome.APPROVED),
        (7, True, Outcome.SLOT_LIMIT),
        (8, True, Outcome.APPROVED),
        (0, False, Outcome.SLOT_LIMIT),
    ],
)
def test_a_slot_counts_by_itself_or_with_carry_over_all_of_the_day(limit, carries, rank):
    clock = CampaignClock(day=20_000, slot=5, slot_limit=limit, slot_carries=carries)
    assert limit_rank(ALL, Limits(), clock, 10, guest=False) == rank


def test_a_slot_is_told_before_the_campaigns_own_limit_and_after_the_days():
    clock = CampaignClock(day=20_000, slot=5, slot_limit=4)
    limits = {"redemptions": 90, "redemptions_per_day": 7}
    assert limit_rank(ALL, Limits(**limits), clock, 10, guest=False) == Outcome.DAY_LIMIT
    del limits["redemptions_per_day"]
    assert limit_rank(ALL, Limits(**limits), clock, 10, guest=False) == Outcome.SLOT_LIMIT


def test_without_a_budget_sums_stay_exact():
    assert limit_rank(ALL, Limits(), NO_SLOT, MINOR_MAX - 80, guest=False) == Outcome.APPROVED
    assert limit_rank(ALL, Limits(), NO_SLOT, MINOR_MAX - 79, guest=False) == Outcome.BUDGET_EXHAUSTED


@pytest.mark.parametrize(
    ("limits", "rank", "due"),
    [
        ({"redemptions": 90}, Outcome.CAMPAIGN_LIMIT, SEEN.hold_due),
        ({"redemptions": 81}, Outcome.CAMPAIGN_LIMIT, SEEN.hold_due),
        ({"redemptions": 80}, Outcome.CAMPAIGN_LIMIT, 0),
        ({"redemptions_per_customer": 3}, Outcome.CUSTOMER_LIMIT, SEEN.customer_hold_due),
        ({"redemptions_per_customer": 2}, Outcome.CUSTOMER_LIMIT, 0),
        ({"budget_minor": 81}, Outcome.BUDGET_EXHAUSTED, SEEN.hold_due),
        ({"budget_minor": 80}, Outcome.BUDGET_EXHAUSTED, 0),
        ({"redemptions_per_day": 7}, Outcome.DAY_LIMIT, 0),
    ],
)
def test_a_limit_that_only_holds_fill_is_free_when_the_first_of_them_is_over(limits, rank, due):
    assert free_at(ALL, Limits(**limits), rank, 10) == due
