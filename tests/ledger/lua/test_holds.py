"""Holds on the ledger alone: what they count, when they are over, and what becomes of them."""

import asyncio

import msgpack
import pytest
from builders.coupon_records import given_back
from ledger.desk import DISCOUNT, changed, digest

from redemption.domain.outcome import BUDGET_DAY_RANK, SAME_ORDER_RANK, Outcome
from redemption.domain.ports.orders import Approved, Held, Released, Remembered, RememberedByCoupons

APPROVED = Outcome.APPROVED
KINDS_OF_HOLDS = (b"reserved", b"released", b"expired", b"redeemed")


async def rank(desk, order):
    """The rank of the only token of an order, or the kind of another reply."""
    (ranks,) = await desk.ranks(order)
    return ranks[0] if isinstance(ranks, list) else ranks


async def held_until(desk, order):
    """Until when something is held that is in the way of the only token of an order."""
    (reply,) = await desk.send(order)
    return reply.tokens[0].use.redeemed_at


async def keys_of_holds(desk):
    """All keys that there are because of holds."""
    return [key for kind in ("hold", "due", "wheel") for key in await desk.house.keys(f"{kind}:*")]


async def events(desk):
    """What the ledger told of holds and redemptions: the kind, and the serials."""
    told = []
    for event in await desk.house.events():
        if event[0] in KINDS_OF_HOLDS:
            step = {b"reserved": 4, b"redeemed": 3}.get(event[0], 2)
            told.append((event[0].decode(), event[-1][1::step]))
    return told


async def counters(desk, campaign):
    counted = await desk.ledger.campaigns.counters(desk.program, campaign.number, offers=2)
    return counted.redeemed, counted.discount_minor, counted.reserved, counted.reserved_minor


async def pass_time(desk, campaign, seconds):
    """Let the holds be over, and an unrelated order come."""
    await desk.later(seconds)
    return await desk.rank(campaign, 99)


async def test_a_held_coupon_is_reserved_for_its_order_alone(desk):
    campaign = await desk.campaign()
    token = desk.token(campaign, 7)
    _, held = await desk.held(token, order="mine", seconds=900)
    assert isinstance(held, Held)
    assert 900 <= held.held_until - held.decided_at <= 901
    assert await rank(desk, desk.order(token, order="other")) == Outcome.RESERVED
    assert await rank(desk, desk.hold(token, order="other")) == Outcome.RESERVED
    assert await held_until(desk, desk.order(token, order="other")) == held.held_until
    assert await rank(desk, desk.order(token, order="mine")) == APPROVED


async def test_a_hold_counts_against_every_limit_until_it_is_over(desk):
    campaign = await desk.campaign(redemptions=2)
    _, first = await desk.held(desk.token(campaign, 0))
    await desk.held(desk.token(campaign, 1), seconds=2_000)
    refused = desk.order(desk.token(campaign, 2))
    assert await rank(desk, refused) == Outcome.CAMPAIGN_LIMIT
    assert await held_until(desk, refused) == first.held_until, "then one of them is free again"
    await desk.later(1_000)
    assert await rank(desk, refused) == APPROVED
    assert await rank(desk, desk.order(desk.token(campaign, 3))) == Outcome.CAMPAIGN_LIMIT


@pytest.mark.parametrize(
    ("limits", "changes", "refused"),
    [
        ({"redemptions": 1}, {}, Outcome.CAMPAIGN_LIMIT),
        ({"budget_minor": DISCOUNT}, {}, Outcome.BUDGET_EXHAUSTED),
        ({"redemptions_per_day": 1}, {}, Outcome.DAY_LIMIT),
        ({"budget_per_day_minor": DISCOUNT}, {}, BUDGET_DAY_RANK),
        ({"redemptions_per_customer": 1}, {}, Outcome.CUSTOMER_LIMIT),
        ({"redemptions_per_customer_per_day": 1}, {}, Outcome.CUSTOMER_DAY_LIMIT),
        ({}, {"slot": 9, "slot_limit": 1}, Outcome.SLOT_LIMIT),
        ({}, {"slot": 9, "slot_limit": 1, "slot_carries": True}, Outcome.SLOT_LIMIT),
    ],
)
class TestEveryLimit:
    """A hold takes the only use that there is."""

    async def test_it_frees_what_it_took_when_it_is_over(self, desk, limits, changes, refused):
        campaign = await desk.campaign(**limits)
        await desk.held(desk.token(campaign, 0, **changes), customer="ann")
        assert await desk.rank(campaign, 1, customer="ann", **changes) == refused
        await desk.later(901)
        assert await desk.rank(campaign, 1, customer="ann", **changes) == APPROVED
        assert await desk.rank(campaign, 2, customer="ann", **changes) == refused

    async def test_it_frees_what_it_took_when_it_is_released(self, desk, limits, changes, refused):
        campaign = await desk.campaign(**limits)
        hold, held = await desk.held(desk.token(campaign, 0, **changes), customer="ann")
        assert await desk.release(hold, held) is Released.NOW
        assert await desk.rank(campaign, 1, customer="ann", **changes) == APPROVED
        assert await desk.rank(campaign, 2, customer="ann", **changes) == refused

    async def test_it_is_no_obstacle_to_its_own_order(self, desk, limits, changes, refused):
        campaign = await desk.campaign(**limits)
        await desk.held(desk.token(campaign, 0, **changes), customer="ann", order="mine")
        for serial in (1, 2):
            _, reply = await desk.held(desk.token(campaign, serial, **changes), customer="ann", order="mine")
            assert isinstance(reply, Held)
        assert await desk.rank(campaign, 0, customer="ann", **changes) == refused
        assert await desk.rank(campaign, 2, customer="ann", order="mine", **changes) == APPROVED

    async def test_what_becomes_a_redemption_is_not_counted_twice(self, desk, limits, changes, refused):
        campaign = await desk.campaign(**limits)
        hold, held = await desk.held(desk.token(campaign, 0, **changes), customer="ann")
        (confirmed,) = await desk.send(desk.confirm(hold, held))
        assert isinstance(confirmed, Approved)
        await desk.later(901)
        assert await desk.rank(campaign, 1, customer="ann", **changes) == refused
        assert await counters(desk, campaign) == (1, DISCOUNT, 0, 0)

    async def test_the_snapshot_for_quotes_is_the_same(self, desk, limits, changes, refused):
        campaign = await desk.campaign(**limits)
        before = await desk.quote_snapshot((campaign, 0), customer="ann", order="mine")
        await desk.held(desk.token(campaign, 0, **changes), customer="ann", order="mine")
        mine = (await desk.quote_snapshot((campaign, 0), customer="ann", order="mine")).campaigns[1]
        others = (await desk.quote_snapshot((campaign, 0), customer="ann", order="other")).campaigns[1]
        assert (mine.redeemed, mine.discount_minor, mine.customer_redeemed) == (0, 0, 0)
        assert (mine.redeemed_day, mine.discount_day_minor, mine.redeemed_slot, mine.customer_today) == (0, 0, 0, 0)
        assert (others.redeemed, others.discount_minor, others.customer_redeemed) == (1, DISCOUNT, 1)
        assert (others.redeemed_day, others.discount_day_minor, others.customer_today) == (1, DISCOUNT, 1)
        assert before.campaigns[1].redeemed == 0


async def test_what_a_hold_took_yesterday_is_taken_out_of_yesterday(desk):
    """A hold that ends today makes no room in today's limits, and its money is no longer in the whole budget."""
    campaign = await desk.campaign(redemptions_per_day=1, budget_per_day_minor=DISCOUNT, budget_minor=2 * DISCOUNT)
    today = desk.today(campaign)
    await desk.held(desk.token(campaign, 0, day=today - 1, slot=4, slot_limit=1), seconds=900)
    assert await desk.rank(campaign, 1, slot=5, slot_limit=1) == APPROVED
    await desk.later(901)
    assert await desk.rank(campaign, 2, slot=5, slot_limit=9) == Outcome.DAY_LIMIT
    snapshot = await desk.campaign_snapshot(campaign)
    assert (snapshot.redeemed, snapshot.redeemed_day, snapshot.redeemed_slot) == (1, 1, 1)
    assert (snapshot.discount_minor, snapshot.discount_day_minor) == (DISCOUNT, DISCOUNT)
    assert await desk.rank(campaign, 2, day=today + 1, slot=6, slot_limit=1) == APPROVED
    assert await desk.rank(campaign, 3, day=today + 2) == Outcome.BUDGET_EXHAUSTED


async def test_a_hold_counts_in_its_slot_also_when_slots_are_switched_off_for_a_while(desk):
    """What is taken while a campaign has no slots belongs to the slot that began last, and leaves it again."""
    campaign = await desk.campaign()
    assert await desk.rank(campaign, 0, slot=4, slot_limit=3) == APPROVED
    hold, held = await desk.held(desk.token(campaign, 1))
    assert await desk.rank(campaign, 2) == APPROVED
    assert await desk.rank(campaign, 3, slot=4, slot_limit=3) == Outcome.SLOT_LIMIT
    await desk.release(hold, held)
    assert await desk.rank(campaign, 3, slot=4, slot_limit=3) == APPROVED
    assert await desk.rank(campaign, 4, slot=4, slot_limit=3) == Outcome.SLOT_LIMIT


async def test_the_same_request_gets_the_same_answer_whatever_became_of_the_hold(desk):
    campaign = await desk.campaign()
    hold, held = await desk.held(desk.token(campaign, 0))
    for become in (lambda: desk.send(desk.confirm(hold, held)), lambda: desk.later(5_000)):
        await become()
        (again,) = await desk.send(hold)
        assert isinstance(again, Remembered)
        assert (again.decided_at, again.held_until) == (held.decided_at, held.held_until)
        assert [token.serial for token in again.answer] == [0]
    (other,) = await desk.ranks(changed(hold, content=digest("other", 8)))
    assert other == "Mismatch"


async def test_what_an_order_holds_itself_is_no_reason_to_wait(desk):
    """One use is left, the order's own; it asks for two."""
    campaign = await desk.campaign(redemptions=2)
    await desk.rank(campaign, 0)
    await desk.held(desk.token(campaign, 1), order="mine")
    two = desk.order(desk.token(campaign, 1), desk.token(campaign, 2), order="mine")
    (reply,) = await desk.send(two)
    assert [token.rank for token in reply.tokens] == [APPROVED, Outcome.CAMPAIGN_LIMIT]
    assert [token.use.redeemed_at for token in reply.tokens] == [0, 0]


class TestTheSameOrderAgain:
    """An order has one hold at most."""

    async def test_with_the_same_terms_it_goes_on_and_every_reservation_is_good(self, desk):
        campaign = await desk.campaign(redemptions=1)
        hold, first = await desk.held(desk.token(campaign, 0), order="mine", seconds=900)
        await desk.later(500)
        _, second = await desk.held(desk.token(campaign, 0), order="mine", seconds=900)
        assert second.held_until >= first.held_until + 499
        _, shorter = await desk.held(desk.token(campaign, 0), order="mine", seconds=1)
        assert shorter.held_until == second.held_until, "what was promised stays promised"
        await desk.later(600)
        (confirmed,) = await desk.send(desk.confirm(hold, first))
        assert isinstance(confirmed, Approved)
        assert await counters(desk, campaign) == (1, DISCOUNT, 0, 0)

    async def test_with_another_cart_it_is_replaced_and_the_earlier_reservation_is_good_for_nothing(self, desk):
        campaign = await desk.campaign()
        first, second, third = (desk.token(campaign, serial) for serial in range(3))
        hold, held = await desk.held(first, second, order="mine")
        newer, newer_held = await desk.held(first, third, order="mine")
        assert await rank(desk, desk.confirm(hold, held)) == Outcome.RESERVATION_NOT_FOUND
        assert await rank(desk, desk.hold(second, order="other")) == APPROVED, "it is free"
        assert await rank(desk, desk.hold(first, order="other")) == Outcome.RESERVED
        (confirmed,) = await desk.send(desk.confirm(newer, newer_held))
        assert isinstance(confirmed, Approved)
        assert await events(desk) == [
            ("reserved", [0, 1]),
            ("released", [0, 1]),
            ("reserved", [0, 2]),
            ("reserved", [1]),
            ("redeemed", [0, 2]),
        ]

    async def test_with_other_coupons_altogether(self, desk):
        campaign = await desk.campaign()
        await desk.held(desk.token(campaign, 0), order="mine", customer="ann")
        await desk.held(desk.token(campaign, 1), order="mine", customer="ben")
        assert await counters(desk, campaign) == (0, 0, 1, DISCOUNT)
        assert await desk.rank(campaign, 0) == APPROVED
        assert (await desk.campaign_snapshot(campaign, "ann")).customer_redeemed == 0
        assert (await desk.campaign_snapshot(campaign, "ben")).customer_redeemed == 1

    async def test_a_refusal_leaves_the_hold_as_it_is(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0), order="mine")
        refused = desk.token(campaign, 0, outcome=Outcome.MIN_SPEND_NOT_MET)
        assert await rank(desk, desk.hold(refused, order="mine")) == Outcome.MIN_SPEND_NOT_MET
        assert await rank(desk, desk.order(refused, order="mine")) == Outcome.MIN_SPEND_NOT_MET
        (confirmed,) = await desk.send(desk.confirm(hold, held))
        assert isinstance(confirmed, Approved)

    async def test_a_redeem_of_one_of_its_coupons_ends_the_whole_hold(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0), desk.token(campaign, 1), order="mine")
        assert await desk.rank(campaign, 0, order="mine") == APPROVED
        assert await desk.ranks(desk.confirm(hold, held)) == [[SAME_ORDER_RANK, Outcome.RESERVATION_NOT_FOUND]]
        assert await desk.rank(campaign, 1) == APPROVED
        assert await keys_of_holds(desk) != [], "the second at which it would have been over"
        await pass_time(desk, campaign, 901)
        assert await keys_of_holds(desk) == []

    async def test_a_redeem_of_other_coupons_leaves_it(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0), order="mine")
        assert await desk.rank(campaign, 1, order="mine") == APPROVED
        (confirmed,) = await desk.send(desk.confirm(hold, held))
        assert isinstance(confirmed, Approved)


class TestConfirming:
    """A hold that is not over becomes redemptions."""

    async def test_a_hundred_confirmations_at_once_confirm_once(self, desk, other_desk):
        campaign = await desk.campaign()
        await other_desk.ledger.campaigns.load_range(desk.program, 1, 9)
        hold, held = await desk.held(desk.token(campaign, 0), desk.token(campaign, 1), customer="ann")
        both = await asyncio.gather(
            *(each.ranks(*(each.confirm(hold, held) for _ in range(50))) for each in (desk, other_desk))
        )
        ranks = both[0] + both[1]
        assert sorted(ranks) == [[SAME_ORDER_RANK] * 2] * 99 + [[APPROVED] * 2]
        assert await counters(desk, campaign) == (2, 2 * DISCOUNT, 0, 0)
        assert await events(desk) == [("reserved", [0, 1]), ("redeemed", [0, 1])]

    async def test_it_is_repeated_by_its_request_and_then_by_its_coupons(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0))
        confirmation = desk.confirm(hold, held)
        (first,) = await desk.send(confirmation)
        (again,) = await desk.send(confirmation)
        assert isinstance(again, Remembered)
        assert (again.decided_at, again.held_until) == (first.decided_at, 0)
        for key in await desk.house.keys("r:*"):
            await desk.redis.delete(key)
        (by_coupons,) = await desk.send(confirmation)
        assert isinstance(by_coupons, RememberedByCoupons)

    @pytest.mark.parametrize("what", ["pause", "end"])
    async def test_neither_a_pause_nor_the_end_of_the_campaign_stops_it(self, desk, what):
        """Nor does a new version of the campaign."""
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0))
        service = desk.house
        state = {"pause": "PAUSED", "end": "ENDED"}[what]
        await service.set_state(campaign, type(campaign.state)[state])
        assert await rank(desk, desk.confirm(hold, held)) == APPROVED

    async def test_a_revocation_stops_it(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0), desk.token(campaign, 1))
        await desk.revoke(campaign, 1)
        assert await desk.ranks(desk.confirm(hold, held)) == [[APPROVED, Outcome.REVOKED]]
        assert await desk.release(hold, held) is Released.NOW
        assert await desk.rank(campaign, 0) == APPROVED

    async def test_all_that_only_a_redemption_counts_is_counted_now(self, desk):
        campaign = await desk.campaign(offers=desk.house.definition().offers * 2)
        token = desk.token(campaign, 0, merchant_minor=7_00, offer_index=1)
        hold, held = await desk.held(token)
        before = await desk.ledger.campaigns.counters(desk.program, 1, offers=2)
        assert (before.merchant_minor, before.order_value_minor) == (0, 0)
        assert [(offer.redeemed, offer.discount_minor) for offer in before.offers] == [(0, 0), (0, 0)]
        assert before.redeemed_today == 0
        await desk.send(desk.confirm(hold, held))
        after = await desk.ledger.campaigns.counters(desk.program, 1, offers=2)
        assert (after.merchant_minor, after.order_value_minor) == (7_00, 238_00)
        assert [(offer.redeemed, offer.discount_minor) for offer in after.offers] == [(0, 0), (1, DISCOUNT)]
        assert after.redeemed_today == 1

    async def test_after_its_end_the_reservation_has_run_out(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0), seconds=60)
        await desk.later(61)
        late = desk.confirm(hold, held)
        assert await rank(desk, late) == Outcome.RESERVATION_EXPIRED
        assert await held_until(desk, desk.confirm(hold, held)) == held.held_until
        assert await counters(desk, campaign) == (0, 0, 0, 0)

    async def test_after_a_release_there_is_no_reservation(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0), seconds=60)
        await desk.release(hold, held)
        assert await rank(desk, desk.confirm(hold, held)) == Outcome.RESERVATION_NOT_FOUND

    async def test_of_coupons_that_were_given_back_between_it_is_none(self, desk):
        """The hold is of another generation of the coupon than the reservation."""
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0))
        stale = desk.confirm(hold, Held(held.decided_at, held.held_until, (1,)))
        assert await rank(desk, stale) == Outcome.RESERVATION_NOT_FOUND


class TestTakingAgain:
    """A confirmation after the end of the hold, which takes the coupons again."""

    async def test_it_takes_them_when_the_limits_allow(self, desk):
        campaign = await desk.campaign(redemptions=1)
        hold, held = await desk.held(desk.token(campaign, 0), customer="ann")
        await desk.later(901)
        assert await rank(desk, desk.confirm(hold, held, reacquires=True)) == APPROVED
        assert await counters(desk, campaign) == (1, DISCOUNT, 0, 0)
        assert (await desk.campaign_snapshot(campaign, "ann")).customer_redeemed == 1
        assert await events(desk) == [("reserved", [0]), ("expired", [0]), ("redeemed", [0])]

    async def test_it_takes_nothing_that_is_gone(self, desk):
        campaign = await desk.campaign(redemptions=1)
        hold, held = await desk.held(desk.token(campaign, 0))
        await desk.later(901)
        assert await desk.rank(campaign, 1) == APPROVED
        assert await rank(desk, desk.confirm(hold, held, reacquires=True)) == Outcome.CAMPAIGN_LIMIT

    async def test_it_does_not_take_another_orders_coupon(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0))
        await desk.later(901)
        await desk.held(desk.token(campaign, 0), order="other")
        assert await rank(desk, desk.confirm(hold, held, reacquires=True)) == Outcome.RESERVED

    async def test_it_judges_by_the_campaign_in_force(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0))
        await desk.later(901)
        await desk.house.update(campaign, name="changed")
        assert await rank(desk, desk.confirm(hold, held, reacquires=True)) == "Outdated"

    async def test_while_the_hold_lasts_it_is_an_ordinary_confirmation(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0))
        assert await rank(desk, desk.confirm(hold, held, reacquires=True)) == APPROVED

    async def test_a_reservation_that_was_replaced_takes_nothing(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0), order="mine", seconds=60)
        await desk.held(desk.token(campaign, 1), order="mine", seconds=900)
        await desk.later(61)
        assert await rank(desk, desk.confirm(hold, held, reacquires=True)) == Outcome.RESERVATION_NOT_FOUND


class TestReleasing:
    """A hold that ends early."""

    async def test_it_is_released_once_and_again_for_the_same_request(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0), desk.token(campaign, 1), customer="ann")
        assert await desk.release(hold, held, request="one") is Released.NOW
        assert await desk.release(hold, held, request="one") is Released.NOW
        assert await desk.release(hold, held, request="two") is Released.NOTHING_HELD
        assert await counters(desk, campaign) == (0, 0, 0, 0)
        assert await desk.house.keys("c:*") == []
        assert await desk.house.keys("u:*") == []
        assert await events(desk) == [("reserved", [0, 1]), ("released", [0, 1])]

    async def test_a_repeated_release_leaves_a_later_hold(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0), order="mine")
        await desk.release(hold, held, request="one")
        again, held_again = await desk.held(desk.token(campaign, 0), order="mine")
        assert await desk.release(hold, held, request="one") is Released.NOW
        assert await rank(desk, desk.confirm(again, held_again)) == APPROVED

    async def test_an_earlier_reservation_does_not_release_what_a_later_one_holds_longer(self, desk):
        """The first payment failed, and the second one is under way."""
        campaign = await desk.campaign()
        token = desk.token(campaign, 0)
        first, held_first = await desk.held(token, order="mine", seconds=60)
        second, held_second = await desk.held(token, order="mine", seconds=600)
        assert await desk.release(first, held_first) is Released.NOTHING_HELD
        assert await rank(desk, desk.confirm(second, held_second)) == APPROVED

    async def test_other_answers(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0))
        assert await desk.release(desk.hold(desk.token(campaign, 0), order="other"), held) is Released.NOTHING_HELD
        changed_terms = changed(hold, terms=b"others")
        assert await desk.release(changed_terms, held) is Released.NOTHING_HELD
        await desk.send(desk.confirm(hold, held))
        assert await desk.release(hold, held) is Released.USED
        other, of_other = await desk.held(desk.token(campaign, 1))
        await desk.release(other, of_other, request="one")
        assert await desk.release(hold, held, request="one") is Released.MISMATCH

    async def test_a_hold_that_is_over_needs_no_release(self, desk):
        campaign = await desk.campaign()
        hold, held = await desk.held(desk.token(campaign, 0))
        await desk.later(901)
        assert await desk.release(hold, held) is Released.NOTHING_HELD


class TestWhatIsLeft:
    """Nothing runs by time: the records of a hold that is over go with the next orders."""

    async def test_after_its_end_nothing_is_left_and_one_event_tells_it(self, desk):
        campaign = await desk.campaign()
        await desk.held(desk.token(campaign, 0), desk.token(campaign, 1), customer="ann")
        assert len(await keys_of_holds(desk)) == 3
        await pass_time(desk, campaign, 901)
        assert await keys_of_holds(desk) == []
        assert await desk.house.keys("c:*") == []
        assert await desk.redis.hkeys(desk.house.key("u:1:0")) == []
        assert await events(desk) == [("reserved", [0, 1]), ("expired", [0, 1]), ("redeemed", [99])]

    async def test_a_coupon_that_was_given_back_stays_in_its_generation(self, desk):
        campaign = await desk.campaign()
        used = desk.house.key("u:1:0")
        await desk.rank(campaign, 0)
        record = await desk.redis.hget(used, "0")
        await desk.redis.hset(used, "0", given_back(record, 5))
        hold, held = await desk.held(desk.token(campaign, 0))
        assert held.generations == (5,)
        await desk.release(hold, held)
        _, held = await desk.held(desk.token(campaign, 0))
        assert held.generations == (5,)
        await pass_time(desk, campaign, 901)
        _, held = await desk.held(desk.token(campaign, 0), order="third")
        assert held.generations == (5,)

    async def test_ten_thousand_holds_that_end_at_once(self, desk):
        """The next order is right, however few of them are removed with it; each call removes some."""
        count = 10_000
        campaign = await desk.campaign(issued=count + 1_000, redemptions=count)
        now_ms = int(await desk.redis.hget(desk.house.key("ledger"), "clock_ms"))
        for start in range(0, count, 500):
            await desk.house.set_clock(now_ms + 3_600_000)  # all in one second of the ledger
            holds = [desk.hold(desk.token(campaign, serial)) for serial in range(start, start + 500)]
            assert await desk.ranks(*holds) == [[APPROVED]] * 500
        assert await desk.rank(campaign, count) == Outcome.CAMPAIGN_LIMIT
        await desk.later(3_000)
        assert await desk.rank(campaign, count) == APPROVED
        assert await counters(desk, campaign) == (1, DISCOUNT, 0, 0)
        left = int(await desk.redis.hget(desk.house.key("ledger"), "holds"))
        assert 0 < left < count
        for serial in range(count + 1, count + 1 + left // 256 + 1):
            await desk.rank(campaign, serial)
        assert await keys_of_holds(desk) == []
        expired = [serials for kind, serials in await events(desk) if kind == "expired"]
        assert sorted(serial for serials in expired for serial in serials) == list(range(count))

    async def test_a_hold_that_cannot_be_read_stops_nobody_else(self, desk):
        campaign = await desk.campaign()
        await desk.held(desk.token(campaign, 0), order="broken")
        await desk.held(desk.token(campaign, 1), order="whole")
        (key,) = [key for key in await desk.house.keys("hold:*") if await desk.redis.hexists(key, digest("broken", 6))]
        await desk.redis.hset(key, digest("broken", 6), b"\x09" + bytes(30))
        assert await rank(desk, desk.hold(desk.token(campaign, 0), order="broken")) == "Failed"
        assert await pass_time(desk, campaign, 901) == APPROVED
        assert ("expired", [1]) in await events(desk)
        assert await desk.rank(campaign, 0) == APPROVED


async def test_events_name_the_order_and_the_terms(desk):
    campaign = await desk.campaign()
    hold, held = await desk.held(desk.token(campaign, 3))
    ((_, entry),) = (await desk.redis.xrange(desk.house.key("events")))[-1:]
    ((kind, _, order, until, terms, coupons),) = msgpack.unpackb(entry[b"e"], raw=True)[2]
    assert (kind, order, until, terms) == (b"reserved", hold.order, held.held_until, hold.terms)
    assert coupons == [1, 3, 0, DISCOUNT]
