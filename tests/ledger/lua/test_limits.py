"""Limits by slot and by money a day, the merchants' share, and what counting them costs."""

from dataclasses import replace

import pytest
from ledger.desk import DISCOUNT

from redemption.domain.outcome import BUDGET_DAY_RANK, Outcome

APPROVED = Outcome.APPROVED


async def test_a_slot_admits_exactly_as_many(desk):
    campaign = await desk.campaign()
    orders = [desk.order(desk.token(campaign, serial, slot=9, slot_limit=3)) for serial in range(10)]
    assert await desk.ranks(*orders) == [[APPROVED]] * 3 + [[Outcome.SLOT_LIMIT]] * 7
    assert (await desk.campaign_snapshot(campaign)).redeemed_slot == 3


async def test_the_next_slot_begins_anew(desk):
    campaign = await desk.campaign()
    for slot in (9, 10):
        assert await desk.rank(campaign, slot, slot=slot, slot_limit=1) == APPROVED
        assert await desk.rank(campaign, 50, slot=slot, slot_limit=1) == Outcome.SLOT_LIMIT
    snapshot = await desk.campaign_snapshot(campaign)
    assert (snapshot.slot, snapshot.redeemed_slot, snapshot.redeemed) == (10, 1, 2)


async def test_with_carry_over_the_next_slot_gets_what_is_left(desk):
    """With carry-over the limit is for all of the day so far: what this slot and those before it allow together."""
    campaign = await desk.campaign()
    assert await desk.rank(campaign, 0, slot=9, slot_limit=2, slot_carries=True) == APPROVED
    later = [
        desk.order(desk.token(campaign, serial, slot=10, slot_limit=2 + 2, slot_carries=True)) for serial in range(1, 6)
    ]
    assert await desk.ranks(*later) == [[APPROVED]] * 3 + [[Outcome.SLOT_LIMIT]] * 2


async def test_carry_over_may_be_switched_at_any_time_and_nothing_is_forgotten(desk):
    campaign = await desk.campaign()
    carrying, plain = {"slot_carries": True}, {"slot_carries": False}
    for serial, (mode, limit) in enumerate(((plain, 5), (carrying, 5), (plain, 5), (carrying, 5), (plain, 5))):
        assert await desk.rank(campaign, serial, slot=9, slot_limit=limit, **mode) == APPROVED
    for mode in (plain, carrying):
        assert await desk.rank(campaign, 50, slot=9, slot_limit=5, **mode) == Outcome.SLOT_LIMIT


async def test_an_order_counts_all_its_coupons_in_the_slot(desk):
    campaign = await desk.campaign()
    tokens = [desk.token(campaign, serial, slot=9, slot_limit=3) for serial in range(4)]
    assert await desk.ranks(desk.order(*tokens)) == [[APPROVED] * 3 + [Outcome.SLOT_LIMIT]]
    assert (await desk.campaign_snapshot(campaign)).redeemed == 0
    assert await desk.ranks(desk.order(*tokens[:3])) == [[APPROVED] * 3]


async def test_a_days_budget_is_never_passed_and_begins_anew_the_next_day(desk):
    campaign = await desk.campaign(budget_per_day_minor=2 * DISCOUNT + 1)
    orders = [desk.order(desk.token(campaign, serial)) for serial in range(4)]
    assert await desk.ranks(*orders) == [[APPROVED]] * 2 + [[BUDGET_DAY_RANK]] * 2
    assert await desk.rank(campaign, 3, discount_minor=1) == APPROVED
    await desk.tomorrow(campaign)
    assert await desk.rank(campaign, 4) == APPROVED
    snapshot = await desk.campaign_snapshot(campaign)
    assert (snapshot.day, snapshot.discount_day_minor, snapshot.redeemed_day) == (desk.today(campaign), DISCOUNT, 1)


@pytest.mark.parametrize(
    ("limits", "token", "rank"),
    [
        ({"redemptions_per_day": 1, "redemptions": 1}, {}, Outcome.DAY_LIMIT),
        ({"redemptions_per_day": 1}, {"slot": 9, "slot_limit": 1}, Outcome.DAY_LIMIT),
        ({"redemptions": 1}, {"slot": 9, "slot_limit": 1}, Outcome.SLOT_LIMIT),
        ({"redemptions": 1, "budget_minor": DISCOUNT}, {}, Outcome.CAMPAIGN_LIMIT),
        ({"budget_minor": DISCOUNT, "budget_per_day_minor": DISCOUNT}, {}, Outcome.BUDGET_EXHAUSTED),
        ({"budget_minor": 2 * DISCOUNT, "budget_per_day_minor": DISCOUNT}, {}, BUDGET_DAY_RANK),
        ({"redemptions_per_customer": 1, "redemptions_per_day": 1}, {}, Outcome.CUSTOMER_LIMIT),
        ({"redemptions_per_customer_per_day": 1}, {"slot": 9, "slot_limit": 1}, Outcome.CUSTOMER_DAY_LIMIT),
    ],
)
async def test_the_first_limit_by_precedence_is_told(desk, limits, token, rank):
    campaign = await desk.campaign(**limits)
    assert await desk.rank(campaign, 0, customer="ann", **token) == APPROVED
    assert await desk.rank(campaign, 1, customer="ann", **token) == rank


async def test_a_days_budget_set_in_the_middle_of_a_day_knows_all_of_that_day_and_nothing_else(desk):
    campaign = await desk.campaign()
    assert await desk.rank(campaign, 0) == APPROVED
    await desk.tomorrow(campaign)
    for serial in (1, 2):
        assert await desk.rank(campaign, serial) == APPROVED
    assert (await desk.campaign_snapshot(campaign)).discount_day_minor == 2 * DISCOUNT
    limited = await limit_budget_per_day(desk, campaign, 3 * DISCOUNT)
    assert await desk.rank(limited, 3) == APPROVED
    assert await desk.rank(limited, 4) == BUDGET_DAY_RANK


async def limit_budget_per_day(desk, campaign, budget_minor):
    limits = replace(campaign.limits, budget_per_day_minor=budget_minor)
    return await desk.ledger.campaigns.update(replace(campaign, limits=limits), principal="shop", offers_kept=True)


async def test_the_merchants_share_is_counted(desk):
    campaign = await desk.campaign()
    orders = [desk.order(desk.token(campaign, serial, merchant_minor=serial)) for serial in range(10)]
    assert await desk.ranks(*orders) == [[APPROVED]] * 10
    counters = await desk.ledger.campaigns.counters(desk.program, campaign.number, offers=1)
    assert (counters.discount_minor, counters.merchant_minor) == (10 * DISCOUNT, sum(range(10)))


async def test_a_refused_order_counts_nowhere(desk):
    campaign = await desk.campaign(budget_minor=DISCOUNT)
    token = {"slot": 9, "slot_limit": 5, "merchant_minor": 1}
    first, second = (desk.token(campaign, serial, **token) for serial in range(2))
    assert await desk.ranks(desk.order(first, second)) == [[APPROVED, Outcome.BUDGET_EXHAUSTED]]
    counted = await desk.campaign_snapshot(campaign)
    assert (counted.redeemed, counted.discount_minor, counted.redeemed_slot, counted.discount_day_minor) == (0, 0, 0, 0)
    assert (await desk.ledger.campaigns.counters(desk.program, 1, offers=1)).merchant_minor == 0


async def test_a_plain_redemption_writes_four_numbers_of_its_campaign(desk):
    """Without merchants, slots and the beginning of a day a redemption writes four numbers of its campaign."""
    campaign = await desk.campaign()
    assert await desk.rank(campaign, 0) == APPROVED
    before = await desk.redis.hgetall(desk.house.key("campaign:1"))
    assert {b"merchant", b"slot", b"slot_start"}.isdisjoint(before)
    assert await desk.rank(campaign, 1) == APPROVED
    after = await desk.redis.hgetall(desk.house.key("campaign:1"))
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {b"redeemed", b"redeemed_day", b"discount", b"order_value"}


@pytest.mark.parametrize(
    "field",
    [
        "merchant",
        "redeemed_day",
        "slot",
        "slot_start",
        "order_value",
        "budget_start",
        "limit_budget_day",
        "limit_budget",
        "revoked",
    ],
)
@pytest.mark.parametrize("poison", ["poison", "-5", "0.5", "nan", "inf", "", "1e300"])
async def test_a_number_of_a_campaign_that_cannot_be_read_fails_alone(desk, field, poison):
    """A bad counter is not read as 0, a bad limit is not read as no limit, and writing does not fail."""
    poisoned, sound = await desk.campaign(), await desk.campaign()
    await desk.redis.hset(desk.house.key("campaign:1"), field, poison)
    orders = [desk.order(desk.token(campaign, 0)) for campaign in (poisoned, sound)]
    assert await desk.ranks(*orders) == ["Failed", [APPROVED]]
    assert not await desk.redis.exists(desk.house.key("u:1:0"))
    assert await desk.field(poisoned, "redeemed") == b"0"
