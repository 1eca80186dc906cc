"""Giving back on the ledger alone: what it counts, what it leaves behind, and what it tells."""

import pytest
from builders.coupon_records import DIGESTS_LAST
from ledger.desk import DISCOUNT, digest

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.campaign import Offer
from redemption.domain.outcome import Outcome
from redemption.domain.ports.orders import Approved, Failed, Outdated
from redemption.domain.ports.reversals import (
    ASKING,
    NOTHING_RETURNED,
    WHOLE_LINE,
    GivenBack,
    NothingLeft,
    NotRedeemed,
    OtherDiscount,
    Returned,
    ReturnedSince,
    ReturnPart,
    ReturnPlan,
    WindowClosed,
)
from redemption.ledger.wire.orders import pack_item
from redemption.ledger.wire.reversals import pack_reversal

APPROVED = Outcome.APPROVED
LINE = digest("line", 8)
ALL_OF_IT = GivenBack(restored=True, discount_minor=DISCOUNT, total_minor=DISCOUNT, parts=())
NUMBERS = ("redeemed", "discount", "merchant", "redeemed_day", "budget_start", "slot_start")


def part(discount, *, count=1, merchant=0, settled=DISCOUNT, line=1_00):
    """A plan with which so much is given back in all."""
    after = Returned(count, discount, merchant, {LINE: line})
    return ReturnPlan(settled, after, (ReturnPart(0, discount, merchant),))


async def numbers(desk, campaign, *names):
    """Counters as they are stored."""
    values = await desk.redis.hmget(desk.house.key(f"campaign:{campaign.number}"), *names)
    return tuple(int(value or 0) for value in values)


async def told(desk, kind=b"reversed"):
    """The events of a kind, without kind and principal."""
    return [tuple(event[2:]) for event in await desk.house.events() if event[0] == kind]


class TestWhatIsLeft:
    async def test_after_a_coupon_came_back_nothing_counts_it(self, desk):
        campaign = await desk.campaign(redemptions=1, redemptions_per_customer=1)
        order, reply = await desk.redeemed(desk.token(campaign, 3, merchant_minor=10_00), customer="ann")
        assert await desk.reverse(order, reply) == ALL_OF_IT
        assert await numbers(desk, campaign, *NUMBERS) == (0,) * len(NUMBERS)
        assert await numbers(desk, campaign, "reversed", "reversed_discount", "stays_used") == (1, DISCOUNT, 0)
        assert await desk.house.keys("c:*") == []
        assert await desk.house.keys("returned:*") == []
        assert await told(desk) == [(campaign.number, 3, 0, DISCOUNT, 10_00, 1)]

    async def test_a_coupon_that_stays_used_leaves_how_much_was_given_back(self, desk):
        campaign = await desk.campaign()
        order, reply = await desk.redeemed(desk.token(campaign, 3, merchant_minor=10_00), customer="ann")
        for count, (discount, merchant) in enumerate(((20_00, 4_00), (DISCOUNT, 10_00)), start=1):
            plan = part(discount, count=count, merchant=merchant)
            assert isinstance(await desk.reverse(order, reply, plan=plan, restores=False), GivenBack)
            (record,) = await desk.house.records("returned:*")
            sums = b"\1" + count.to_bytes(2) + discount.to_bytes(8) + merchant.to_bytes(8)
            assert record == sums + bytes(8) + LINE + (1_00).to_bytes(8)
        assert await numbers(desk, campaign, "redeemed", "discount", "merchant", "stays_used") == (1, 0, 0, 1)
        events = [(campaign.number, 3, 0, 20_00, 4_00, 0), (campaign.number, 3, 0, 30_00, 6_00, 0)]
        assert await told(desk) == events
        assert await desk.rank(campaign, 3) == Outcome.ALREADY_REDEEMED

    async def test_a_customer_keeps_other_redemptions_and_holds(self, desk):
        campaign = await desk.campaign(redemptions_per_customer=3, redemptions_per_customer_per_day=2)
        today = desk.today(campaign)
        await desk.redeemed(desk.token(campaign, 0, day=today - 1), customer="ann")
        order, reply = await desk.redeemed(desk.token(campaign, 1), customer="ann")
        await desk.held(desk.token(campaign, 2), customer="ann")
        assert await desk.rank(campaign, 3, customer="ann") == Outcome.CUSTOMER_LIMIT
        assert await desk.reverse(order, reply) == ALL_OF_IT
        snapshot = await desk.campaign_snapshot(campaign, customer="ann")
        assert (snapshot.customer_redeemed, snapshot.customer_today) == (2, 1)
        assert await desk.rank(campaign, 3, customer="ann") == APPROVED
        assert await desk.rank(campaign, 4, customer="ann") == Outcome.CUSTOMER_LIMIT

    async def test_of_a_coupon_of_two_in_an_order_only_one_comes_back(self, desk):
        campaign = await desk.campaign()
        order, reply = await desk.redeemed(desk.token(campaign, 0), desk.token(campaign, 1), customer="ann")
        assert await desk.reverse(order, reply, index=1) == ALL_OF_IT
        snapshot = await desk.campaign_snapshot(campaign, customer="ann")
        assert (snapshot.redeemed, snapshot.discount_minor, snapshot.customer_redeemed) == (1, DISCOUNT, 1)
        assert await desk.rank(campaign, 1) == APPROVED
        assert await desk.rank(campaign, 0) == Outcome.ALREADY_REDEEMED

    async def test_an_offers_counters_go_down_too(self, desk):
        offers = (Offer(amount_off(200_00, 50_00)), Offer(amount_off(0, 10_00)))
        campaign = await desk.campaign(offers=offers)
        first, of_first = await desk.redeemed(desk.token(campaign, 0, offer_index=1))
        second, of_second = await desk.redeemed(desk.token(campaign, 1, offer_index=1))
        await desk.reverse(first, of_first)
        await desk.reverse(second, of_second, restores=False, plan=part(20_00))
        counted = await desk.ledger.campaigns.counters(desk.program, campaign.number, offers=2)
        assert [(offer.redeemed, offer.discount_minor) for offer in counted.offers] == [(0, 0), (1, 30_00)]
        await desk.reverse(second, of_second, restores=False)
        counted = await desk.ledger.campaigns.counters(desk.program, campaign.number, offers=2)
        assert [(offer.redeemed, offer.discount_minor) for offer in counted.offers] == [(0, 0), (0, 0)]
        assert (counted.redeemed, counted.discount_minor) == (0, 0)


class TestDaysAndSlots:
    async def test_it_leaves_the_day_and_the_slot_in_which_it_was_counted(self, desk):
        campaign = await desk.campaign(redemptions_per_day=2, budget_per_day_minor=2 * DISCOUNT)
        order, reply = await desk.redeemed(desk.token(campaign, 0, slot=5, slot_limit=2))
        assert await desk.rank(campaign, 1, slot=5, slot_limit=2) == APPROVED
        assert await desk.rank(campaign, 2, slot=5, slot_limit=2) == Outcome.DAY_LIMIT
        await desk.reverse(order, reply)
        assert await desk.rank(campaign, 2, slot=5, slot_limit=2) == APPROVED
        assert await desk.rank(campaign, 3, slot=5, slot_limit=2) == Outcome.DAY_LIMIT

    async def test_one_of_yesterday_makes_no_room_today(self, desk):
        campaign = await desk.campaign(redemptions_per_day=1, budget_per_day_minor=DISCOUNT, redemptions=3)
        today = desk.today(campaign)
        order, reply = await desk.redeemed(desk.token(campaign, 0, day=today - 1, slot=4, slot_limit=1))
        assert await desk.rank(campaign, 1, slot=5, slot_limit=1) == APPROVED
        assert await desk.reverse(order, reply) == ALL_OF_IT
        assert await desk.rank(campaign, 2, slot=5, slot_limit=9) == Outcome.DAY_LIMIT
        snapshot = await desk.campaign_snapshot(campaign)
        assert (snapshot.redeemed, snapshot.redeemed_day, snapshot.redeemed_slot) == (1, 1, 1)
        assert snapshot.discount_day_minor == DISCOUNT

    async def test_one_that_was_held_counts_where_it_was_held(self, desk):
        """Midnight passed between the hold and its confirmation."""
        campaign = await desk.campaign(redemptions_per_day=1)
        today = desk.today(campaign)
        hold, held = await desk.held(desk.token(campaign, 0, day=today - 1, slot=4, slot_limit=1), customer="ann")
        assert await desk.rank(campaign, 1, slot=5, slot_limit=1) == APPROVED
        confirmation = desk.confirm(hold, held)
        (reply,) = await desk.send(confirmation)
        assert await desk.reverse(confirmation, reply) == ALL_OF_IT
        snapshot = await desk.campaign_snapshot(campaign)
        assert (snapshot.redeemed, snapshot.redeemed_day, snapshot.redeemed_slot) == (1, 1, 1)
        assert await desk.house.keys("c:*") == []

    async def test_of_a_record_of_an_earlier_version_no_counter_goes_below_zero(self, desk):
        """It says neither day nor slot: then it counts as one of an earlier day."""
        campaign = await desk.campaign()
        order, reply = await desk.redeemed(desk.token(campaign, 0, slot=5, slot_limit=2))
        used = desk.house.key("u:1:0")
        record = await desk.redis.hget(used, "0")
        old = b"\x11" + record[1:DIGESTS_LAST] + DISCOUNT.to_bytes(3)
        await desk.redis.hset(used, "0", old)
        assert await desk.reverse(order, reply) == ALL_OF_IT
        assert min(await numbers(desk, campaign, *NUMBERS)) == 0
        assert await desk.rank(campaign, 0) == APPROVED


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "changes",
        [
            {"order": digest("stranger", 6)},
            {"generation": 1},
            {"redeemed_at": 7},
            {"serial": 4},
            {"campaign": 99, "version": 0},
        ],
    )
    async def test_a_use_that_there_is_not(self, desk, changes):
        campaign = await desk.campaign()
        order, reply = await desk.redeemed(desk.token(campaign, 3))
        before = await desk.house.dump()
        assert await desk.reverse(order, reply, **changes) == NotRedeemed()
        assert await desk.reverse(order, reply, is_closed=True, **changes) == NotRedeemed()
        assert await desk.house.dump() == before

    async def test_what_is_only_held_is_not_redeemed(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 3))
        assert await desk.reverse(hold, held) == NotRedeemed()

    async def test_what_the_server_judged_late_or_by_another_version(self, desk):
        campaign = await desk.campaign()
        order, reply = await desk.redeemed(desk.token(campaign, 3))
        for changes in ({"version": campaign.version + 1}, {"since_ms": 2**62}, {"until_ms": 5}):
            assert isinstance(await desk.reverse(order, reply, **changes), Outdated)
        assert await desk.reverse(order, reply, is_closed=True) == WindowClosed()
        assert await desk.reverse(order, reply) == ALL_OF_IT

    async def test_another_discount_or_other_returns_than_the_plan_says(self, desk):
        campaign = await desk.campaign()
        order, reply = await desk.redeemed(desk.token(campaign, 3))
        assert await desk.reverse(order, reply, plan=part(5, settled=DISCOUNT + 1)) == OtherDiscount(DISCOUNT)
        assert await desk.reverse(order, reply, plan=part(5, count=2)) == ReturnedSince(NOTHING_RETURNED)
        asking = ReturnPlan(DISCOUNT, Returned(ASKING, 0, 0, {}), ())
        assert await desk.reverse(order, reply, plan=asking) == ReturnedSince(NOTHING_RETURNED)
        assert isinstance(await desk.reverse(order, reply, plan=part(5, merchant=2)), GivenBack)
        known = ReturnedSince(Returned(1, 5, 2, {LINE: 1_00}))
        for plan in (asking, part(6), part(6, count=3)):
            assert await desk.reverse(order, reply, plan=plan) == known

    async def test_a_plan_that_gives_back_too_much_or_takes_back(self, desk):
        campaign = await desk.campaign()
        order, reply = await desk.redeemed(desk.token(campaign, 3))
        assert isinstance(await desk.reverse(order, reply, plan=part(DISCOUNT + 1)), Failed)
        await desk.reverse(order, reply, plan=part(5))
        assert isinstance(await desk.reverse(order, reply, plan=part(4, count=2)), Failed)
        assert (await desk.campaign_snapshot(campaign)).discount_minor == DISCOUNT - 5

    async def test_a_return_that_gives_back_nothing_yet_is_remembered_by_its_line(self, desk):
        """A cent of a line: its share of the discount, rounded down, is 0."""
        campaign = await desk.campaign()
        order, reply = await desk.redeemed(desk.token(campaign, 3))
        nothing = ReturnPlan(DISCOUNT, Returned(1, 0, 0, {LINE: 1}), ())
        assert await desk.reverse(order, reply, plan=nothing) == GivenBack(
            restored=False, discount_minor=0, total_minor=0, parts=()
        )
        rest = part(DISCOUNT, count=2, line=WHOLE_LINE)
        assert (await desk.reverse(order, reply, plan=rest)).restored

    async def test_a_use_after_the_one_that_is_given_back(self, desk):
        campaign = await desk.campaign()
        order, reply = await desk.redeemed(desk.token(campaign, 3), order="mine")
        await desk.reverse(order, reply)
        assert await desk.reverse(order, reply) == NothingLeft(DISCOUNT)
        again, of_again = await desk.redeemed(desk.token(campaign, 3), order="mine")
        assert of_again.generations == (1,)
        assert await desk.reverse(order, reply) == NothingLeft(0)
        assert await desk.reverse(again, of_again) == ALL_OF_IT

    async def test_the_last_generation_stays_used(self, desk):
        campaign = await desk.campaign()
        used = desk.house.key("u:1:0")
        await desk.reverse(*await desk.redeemed(desk.token(campaign, 3)))
        record = await desk.redis.hget(used, "3")
        await desk.redis.hset(used, "3", record[:-2] + b"\xff\xff")
        order, reply = await desk.redeemed(desk.token(campaign, 3))
        assert reply.generations == (65_535,)
        assert (await desk.reverse(order, reply)).restored is False


async def test_a_redemption_and_its_return_in_one_call_are_told_in_their_order(desk):
    campaign = await desk.campaign()
    await desk.later(3_600)  # the ledger's clock stands still now, so the receipt is known before
    now = int(await desk.redis.hget(desk.house.key("ledger"), "clock_ms")) // 1000
    first, second = desk.order(desk.token(campaign, 0)), desk.order(desk.token(campaign, 0))
    items = [
        pack_item(first),
        pack_reversal(desk.reversal(first, Approved(now, (0,)))),
        pack_item(second),
        pack_item(desk.order(desk.token(campaign, 1))),
    ]
    _, reply = await desk.ledger._functions.write("batch", desk.program, *items)
    assert [each[:1] for each in reply[1:]] == [b"A"] * 4
    last = [event for event in await desk.house.events() if event[0] in (b"redeemed", b"reversed")]
    number = campaign.number
    assert [event[0] for event in last] == [b"redeemed", b"reversed", b"redeemed"]
    assert [event[2] for event in last[::2]] == [[number, 0, 0], [number, 0, 1, number, 1, 0]]


async def test_a_record_that_cannot_be_read_is_given_back_to_nobody(desk):
    campaign = await desk.campaign()
    order, reply = await desk.redeemed(desk.token(campaign, 3), customer="ann")
    (customers,) = await desk.house.keys("c:*")
    stored = await desk.redis.hgetall(customers)
    await desk.redis.hset(customers, mapping=dict.fromkeys(stored, b"\x09"))
    before = await desk.house.dump()
    assert isinstance(await desk.reverse(order, reply), Failed)
    assert await desk.house.dump() == before
    await desk.redis.hset(customers, mapping=stored)
    assert await desk.reverse(order, reply) == ALL_OF_IT
