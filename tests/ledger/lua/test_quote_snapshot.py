"""Quote snapshots: a quote reads what a redemption would find, and changes nothing."""

from dataclasses import replace

import pytest
from builders.coupon_records import given_back
from ledger.desk import DISCOUNT, customer_digest, digest

from redemption.domain.errors import ItemFailed
from redemption.domain.outcome import Outcome
from redemption.domain.ports.orders import CampaignSnapshot, CouponSnapshot, EarlierUse, Outdated

UNUSED = CouponSnapshot(issued=True, revoked=False, use=None, used_by=b"")


async def test_coupons_are_seen_in_the_order_in_which_they_were_asked(desk):
    campaign = await desk.campaign(issued=4)
    order = desk.order(desk.token(campaign, 1), order="order")
    (approved,) = await desk.send(order)
    await desk.revoke(campaign, 2)
    snapshot = await desk.quote_snapshot(*((campaign, serial) for serial in (4, 1, 0, 2)))
    use = EarlierUse(approved.decided_at, 0, DISCOUNT)
    assert snapshot.coupons == (
        CouponSnapshot(issued=False, revoked=False, use=None, used_by=b""),
        CouponSnapshot(issued=True, revoked=False, use=use, used_by=digest("order", 6)),
        UNUSED,
        replace(UNUSED, revoked=True),
    )
    assert snapshot.now_ms // 1000 - approved.decided_at in (0, 1)


async def test_a_campaign_is_seen_with_its_counters_and_the_customers(desk):
    campaign = await desk.campaign()
    slot = {"slot": 77, "slot_limit": 9}
    await desk.rank(campaign, 0, customer="ann", **slot)
    await desk.tomorrow(campaign)
    today = desk.today(campaign)
    await desk.rank(campaign, 1, customer="ben")
    await desk.rank(campaign, 2, customer="ann", **slot)
    expected = CampaignSnapshot(
        redeemed=3,
        discount_minor=3 * DISCOUNT,
        day=today,
        redeemed_day=2,
        discount_day_minor=2 * DISCOUNT,
        slot=77,
        redeemed_slot=3,
        customer_redeemed=2,
        customer_day=today,
        customer_today=1,
    )
    assert await desk.campaign_snapshot(campaign, "ann") == expected
    nobody = replace(expected, customer_redeemed=0, customer_day=0, customer_today=0)
    assert await desk.campaign_snapshot(campaign) == nobody


async def test_several_campaigns_are_seen_at_once_and_each_once(desk):
    first, second = await desk.campaign(), await desk.campaign()
    await desk.rank(second, 5)
    snapshot = await desk.quote_snapshot((first, 0), (second, 5), (first, 5))
    assert {number: campaign.redeemed for number, campaign in snapshot.campaigns.items()} == {1: 0, 2: 1}
    assert [coupon.use is not None for coupon in snapshot.coupons] == [False, True, False]


async def test_a_snapshot_changes_nothing(desk):
    campaign = await desk.campaign()
    await desk.rank(campaign, 0, customer="ann")
    before = await desk.house.dump()
    await desk.quote_snapshot((campaign, 0), (campaign, 1), customer="ann")
    assert await desk.house.dump() == before


async def test_an_outdated_server_learns_what_is_in_force(desk, other_desk):
    campaign = await desk.campaign()
    await other_desk.ledger.campaigns.load(desk.program, 1)
    changed = await desk.ledger.campaigns.update(
        replace(campaign, limits=replace(campaign.limits, redemptions=7)), principal="shop", offers_kept=True
    )
    assert isinstance(await other_desk.quote_snapshot((campaign, 0)), Outdated)
    assert other_desk.ledger.campaigns.cached(desk.program, 1) == changed
    assert (await other_desk.quote_snapshot((changed, 0))).coupons == (UNUSED,)


async def test_a_campaign_that_nobody_knows_is_missing(desk):
    campaign = await desk.campaign()
    nowhere = replace(campaign, number=9, version=0)
    snapshot = await desk.quote_snapshot((campaign, 0), (nowhere, 0))
    assert snapshot.coupons == (UNUSED, CouponSnapshot(issued=False, revoked=False, use=None, used_by=b""))
    assert list(snapshot.campaigns) == [1]
    assert isinstance(await desk.quote_snapshot((replace(nowhere, version=3), 0)), Outdated)
    assert isinstance(await desk.quote_snapshot((replace(campaign, version=0), 0)), Outdated), "it exists meanwhile"


async def test_bound_coupons_of_a_revoked_customer_are_seen_as_revoked(desk):
    campaign = await desk.campaign(issued=10)
    await desk.revoke_customer(campaign, "ann")
    await desk.redis.hset(desk.house.key("campaign:1"), "issued", 20)
    asked = [(1, 1, 5, True), (1, 1, 5, False), (1, 1, 15, True)]
    for customer, expected in (("ann", [True, False, False]), ("ben", [False] * 3), (None, [False] * 3)):
        named = customer and customer_digest(customer)
        snapshot = await desk.ledger.orders.quote_snapshot(
            desk.program, asked, customer=named, order=b"", rules_version=0
        )
        assert [coupon.revoked for coupon in snapshot.coupons] == expected, customer


async def test_a_coupon_that_was_given_back_is_seen_as_unused(desk):
    campaign = await desk.campaign()
    await desk.rank(campaign, 0)
    record = await desk.redis.hget(desk.house.key("u:1:0"), "0")
    await desk.redis.hset(desk.house.key("u:1:0"), "0", given_back(record, 1))
    assert (await desk.quote_snapshot((campaign, 0))).coupons == (UNUSED,)
    seen = await desk.ledger.orders.coupon(desk.program, 1, 0)
    assert (seen.now, seen.generation, seen.reversed_minor) == (UNUSED, 1, 0)
    assert (seen.last_use.generation, seen.last_use.discount_minor) == (0, DISCOUNT)


async def test_one_coupon_is_told_to_who_inspects_it(desk):
    campaign = await desk.campaign(issued=3)
    (approved,) = await desk.send(desk.order(desk.token(campaign, 1), order="order"))
    await desk.revoke(campaign, 1, 2)
    use = EarlierUse(approved.decided_at, 0, DISCOUNT)
    expected = {
        0: UNUSED,
        1: CouponSnapshot(issued=True, revoked=True, use=use, used_by=digest("order", 6)),
        2: replace(UNUSED, revoked=True),
        3: CouponSnapshot(issued=False, revoked=False, use=None, used_by=b""),
    }
    assert {serial: (await desk.ledger.orders.coupon(desk.program, 1, serial)).now for serial in expected} == expected
    assert not (await desk.ledger.orders.coupon(desk.program, 9, 0)).now.issued


@pytest.mark.parametrize("key", ["u:1:0", "customer", "campaign:1", "revoked:1"])
async def test_a_record_that_cannot_be_read_fails_that_snapshot_alone(desk, key):
    poisoned, sound = await desk.campaign(), await desk.campaign()
    await desk.rank(poisoned, 0, customer="ann")
    await desk.redis.hset(desk.house.key("campaign:1"), "revoked", 1)
    if key == "customer":
        (key,) = await desk.house.keys("c:1:*")
    else:
        key = desk.house.key(key)
    await desk.redis.set(key, "poison")
    with pytest.raises(ItemFailed):
        await desk.quote_snapshot((poisoned, 0), (sound, 0), customer="ann")
    assert (await desk.quote_snapshot((sound, 0), customer="ann")).coupons == (UNUSED,)


async def test_a_campaign_whose_version_does_not_fit_fails_that_snapshot_and_is_read_again(desk):
    campaign = await desk.campaign()
    with pytest.raises(ItemFailed):
        await desk.quote_snapshot((replace(campaign, version=2**40), 0))
    assert desk.ledger.campaigns.cached(desk.program, 1) is None


async def test_a_snapshot_is_one_round_trip(desk):
    campaign = await desk.campaign()
    desk.ledger._watching.cancel()
    before = (await desk.house.commands())["cmdstat_fcall"]
    await desk.quote_snapshot(*((campaign, serial) for serial in range(100)))
    assert (await desk.house.commands())["cmdstat_fcall"] == before + 1
    with pytest.raises(ValueError, match="at most 100"):
        await desk.quote_snapshot(*((campaign, serial) for serial in range(101)))


async def test_big_numbers_are_seen_exactly(desk):
    huge = 2**53 - 1
    campaign = await desk.campaign(issued=2**40)
    assert await desk.rank(campaign, 2**40 - 1, discount_minor=huge, merchant_minor=huge) == Outcome.APPROVED
    await desk.revoke(campaign, 2**40 - 2, 2)
    snapshot = await desk.quote_snapshot((campaign, 2**40 - 1), (campaign, 2**40 - 3))
    assert [coupon.revoked for coupon in snapshot.coupons] == [True, False]
    assert snapshot.coupons[0].use.discount_minor == huge
    assert (snapshot.campaigns[1].discount_minor, snapshot.campaigns[1].discount_day_minor) == (huge, huge)
    assert (await desk.ledger.campaigns.counters(desk.program, 1, offers=1)).merchant_minor == huge
