"""Taking coupons back: at once for every server, in ranges that join, and never twice by one request."""

import asyncio
import itertools
import random

import pytest
from builders.calls import PRINCIPAL
from ledger.desk import customer_digest, digest

from redemption.domain.errors import LedgerRefused, LimitReached, NotFound, RequestIdReused
from redemption.domain.outcome import NEVER_ISSUED_RANK, SAME_ORDER_RANK, Outcome
from redemption.ledger import keys

APPROVED = Outcome.APPROVED


async def ranges(desk):
    """The revoked ranges of campaign 1."""
    found = await desk.redis.zrange(keys.revoked(desk.program, 1), 0, -1, withscores=True)
    return [(int(first), int(last)) for last, first in found]


async def events(desk):
    """The events about revocations."""
    return [event for event in await desk.house.events() if b"revoked" in event[0]]


async def test_revoked_serials_are_refused_and_their_neighbours_are_not(desk):
    campaign = await desk.campaign()
    assert await desk.revoke(campaign, 10, 5) is None
    orders = [desk.order(desk.token(campaign, serial)) for serial in (9, 10, 14, 15)]
    assert await desk.ranks(*orders) == [[APPROVED], [Outcome.REVOKED], [Outcome.REVOKED], [APPROVED]]


@pytest.mark.parametrize(
    ("revoked", "left"),
    [
        ([(5, 5)], [(5, 5)]),
        ([(5, 7), (20, 22)], [(5, 7), (20, 22)]),
        ([(5, 7), (8, 9)], [(5, 9)]),
        ([(8, 9), (5, 7)], [(5, 9)]),
        ([(5, 9), (6, 7)], [(5, 9)]),
        ([(6, 7), (5, 9)], [(5, 9)]),
        ([(5, 9), (5, 9)], [(5, 9)]),
        ([(5, 9), (7, 12)], [(5, 12)]),
        ([(7, 12), (5, 9)], [(5, 12)]),
        ([(0, 1), (4, 5), (8, 9), (3, 8)], [(0, 1), (3, 9)]),
        ([(0, 1), (4, 5), (8, 9), (2, 7)], [(0, 9)]),
        ([(1, 1), (3, 3), (5, 5), (0, 99)], [(0, 99)]),
        ([(98, 99), (0, 0)], [(0, 0), (98, 99)]),
    ],
)
async def test_ranges_that_touch_or_overlap_become_one(desk, revoked, left):
    campaign = await desk.campaign(issued=100)
    for first, last in revoked:
        await desk.revoke(campaign, first, last - first + 1)
    assert await ranges(desk) == left
    assert int(await desk.field(campaign, "revoked")) == len(left)


async def test_random_ranges_are_a_set_of_serials(desk):
    campaign = await desk.campaign(issued=200)
    rng, expected = random.Random(7), set()
    for _ in range(60):
        first = rng.randrange(200)
        count = min(rng.choice((1, 1, 2, 5, 30)), 200 - first)
        await desk.revoke(campaign, first, count)
        expected |= set(range(first, first + count))
        if len(expected) > 150:
            break
        found = await ranges(desk)
        assert {serial for first, last in found for serial in range(first, last + 1)} == expected
        assert all(one[1] + 1 < other[0] for one, other in itertools.pairwise(found))
    for start in (0, 100):
        coupons = (await desk.quote_snapshot(*((campaign, serial) for serial in range(start, start + 100)))).coupons
        assert {start + index for index, coupon in enumerate(coupons) if coupon.revoked} == {
            serial for serial in expected if start <= serial < start + 100
        }


async def test_a_range_beyond_what_was_issued_is_refused_whole(desk):
    campaign = await desk.campaign(issued=100)
    assert await desk.revoke(campaign, 99, 2) == 100
    assert await ranges(desk) == []
    assert await desk.rank(campaign, 99) == APPROVED
    assert await desk.revoke(campaign, 99, 1) is None


async def test_a_request_revokes_once(desk):
    """Serials issued after a customer's coupons were revoked stay usable, however often the request comes again."""
    campaign = await desk.campaign(issued=10)
    await desk.revoke(campaign, 3, request="one", reason="sent to the wrong list")
    assert await desk.revoke(campaign, 3, request="one") is None
    with pytest.raises(RequestIdReused):
        await desk.revoke(campaign, 4, request="one", content="other")
    await desk.revoke_customer(campaign, "ann", request="two", reason="a fraud")
    await desk.redis.hset(desk.house.key("campaign:1"), "issued", 20)
    await desk.revoke_customer(campaign, "ann", request="two")
    with pytest.raises(RequestIdReused):
        await desk.revoke_customer(campaign, "ben", request="two", content="other")
    assert await desk.rank(campaign, 15, customer="ann", holder_bound=True) == APPROVED
    assert await events(desk) == [
        [b"revoked", PRINCIPAL.encode(), 1, 3, 1, digest("one", 10), b"sent to the wrong list"],
        [b"customer_revoked", PRINCIPAL.encode(), 1, customer_digest("ann"), 10, digest("two", 10), b"a fraud"],
    ]


async def test_a_request_id_of_a_redemption_revokes_nothing(desk):
    campaign = await desk.campaign()
    order = desk.order(desk.token(campaign, 0), request="one")
    await desk.send(order)
    with pytest.raises(RequestIdReused):
        await desk.revoke(campaign, 5, request="one")
    await desk.revoke(campaign, 6, request="two")
    assert await desk.ranks(desk.order(desk.token(campaign, 1), request="two")) == ["Mismatch"]


async def test_a_campaign_that_does_not_exist_is_not_found(desk):
    campaign = await desk.campaign()
    await desk.redis.delete(desk.house.key("campaign:1"))
    with pytest.raises(NotFound, match="no campaign 1"):
        await desk.revoke(campaign, 0)
    with pytest.raises(NotFound, match="no campaign 1"):
        await desk.revoke_customer(campaign, "ann")


async def test_of_a_customer_the_bound_coupons_issued_so_far_are_revoked(desk):
    campaign = await desk.campaign(issued=10)
    await desk.revoke_customer(campaign, "ann")
    await desk.redis.hset(desk.house.key("campaign:1"), "issued", 20)
    bound = {"customer": "ann", "holder_bound": True}
    assert await desk.rank(campaign, 9, **bound) == Outcome.REVOKED
    assert await desk.rank(campaign, 10, **bound) == APPROVED
    assert await desk.rank(campaign, 8, customer="ann") == APPROVED, "it is anybody's"
    assert await desk.rank(campaign, 7, customer="ben", holder_bound=True) == APPROVED
    await desk.revoke_customer(campaign, "ann")
    assert await desk.rank(campaign, 19, **bound) == Outcome.REVOKED
    assert int(await desk.field(campaign, "revoked_customers")) == 1


@pytest.mark.parametrize(
    ("judged", "told"),
    [
        (Outcome.TOKEN_EXPIRED, Outcome.TOKEN_EXPIRED),
        (Outcome.RISK_CONTEXT_REQUIRED, Outcome.RISK_CONTEXT_REQUIRED),
        (Outcome.CAMPAIGN_PAUSED, Outcome.REVOKED),
        (Outcome.NO_EFFECT, Outcome.REVOKED),
        (APPROVED, Outcome.REVOKED),
    ],
)
async def test_revoked_has_its_place_among_the_outcomes(desk, judged, told):
    campaign = await desk.campaign()
    await desk.revoke(campaign, 0)
    assert await desk.rank(campaign, 0, outcome=judged) == told


async def test_a_used_coupon_can_be_revoked(desk):
    """The order that used it gets that answer; any other order gets REVOKED."""
    campaign = await desk.campaign()
    order = desk.order(desk.token(campaign, 0), order="mine")
    assert await desk.ranks(order) == [[APPROVED]]
    await desk.revoke(campaign, 0)
    assert await desk.ranks(order) == ["Remembered"]
    assert await desk.rank(campaign, 0, order="mine") == SAME_ORDER_RANK
    assert await desk.rank(campaign, 0) == Outcome.REVOKED


async def test_a_serial_never_issued_is_not_told_to_be_revoked(desk):
    campaign = await desk.campaign(issued=10)
    await desk.revoke_customer(campaign, "ann")
    assert await desk.rank(campaign, 10, customer="ann", holder_bound=True) == NEVER_ISSUED_RANK


async def test_a_revocation_stops_an_order_with_all_its_coupons(desk):
    campaign = await desk.campaign()
    await desk.revoke(campaign, 1)
    tokens = [desk.token(campaign, serial) for serial in range(3)]
    assert await desk.ranks(desk.order(*tokens)) == [[APPROVED, Outcome.REVOKED, APPROVED]]
    assert await desk.ranks(desk.order(tokens[0], tokens[2])) == [[APPROVED] * 2]


async def test_a_revocation_by_one_server_holds_for_every_other_at_once(desk, other_desk):
    """Two servers under load: nothing is approved that began after the revocation was answered."""
    campaign = await desk.campaign(issued=6_000)
    await other_desk.ledger.campaigns.load(desk.program, campaign.number)
    under_way, revoked = asyncio.Event(), asyncio.Event()
    early, late = [], []

    async def redeem(serials):
        """Redeem until some were asked for after the revocation was answered."""
        for serial in serials:
            after = revoked.is_set()
            rank = await other_desk.rank(campaign, serial)
            (late if after else early).append(rank)
            if len(early) >= 16:
                under_way.set()
            if len(late) >= 64:
                break

    async def revoke():
        await under_way.wait()
        await desk.revoke(campaign, 0, 6_000)
        revoked.set()

    await asyncio.gather(*(redeem(range(start, 6_000, 8)) for start in range(8)), revoke())
    assert Outcome.APPROVED in early
    assert len(late) >= 64
    assert set(late) == {Outcome.REVOKED}


async def test_there_is_a_bound_on_revocations(desk):
    campaign = await desk.campaign(issued=400_000)
    crowd = {str(serial): serial for serial in range(0, 200_000, 2)}
    await desk.redis.zadd(keys.revoked(desk.program, 1), crowd)
    await desk.redis.hset(keys.revoked_customers(desk.program, 1), mapping={f"{n:08d}": 1 for n in range(100_000)})
    with pytest.raises(LimitReached, match="100000 separate revocations"):
        await desk.revoke(campaign, 300_000)
    with pytest.raises(LimitReached, match="100000 separate revocations"):
        await desk.revoke_customer(campaign, "ann")
    assert await desk.revoke(campaign, 1) is None, "it joins two"
    assert await desk.revoke(campaign, 300_000) is None
    assert await desk.revoke(campaign, 0, 400_000) is None
    assert await ranges(desk) == [(0, 399_999)]


@pytest.mark.parametrize(
    ("key", "field"),
    [("revoked:1", "revoked"), ("revoked_customers:1", "revoked_customers")],
)
async def test_revocations_that_cannot_be_read_fail_alone_and_approve_nothing(desk, key, field):
    first, second = await desk.campaign(), await desk.campaign()
    await desk.redis.hset(desk.house.key("campaign:1"), field, 1)
    await desk.redis.set(desk.house.key(key), "poison")
    token = {"holder_bound": True}
    orders = [desk.order(desk.token(campaign, 0, **token), customer="ann") for campaign in (first, second)]
    assert await desk.ranks(*orders) == ["Failed", [APPROVED]]
    assert not await desk.redis.exists(desk.house.key("u:1:0"))
    revoke = desk.revoke(first, 0) if field == "revoked" else desk.revoke_customer(first, "ann")
    with pytest.raises(LedgerRefused):
        await revoke
    assert await desk.redis.get(desk.house.key(key)) == b"poison"


@pytest.mark.parametrize("poison", ["last", "customer"])
async def test_a_malformed_revocation_approves_nothing(desk, poison):
    campaign = await desk.campaign()
    await desk.revoke(campaign, 50)
    await desk.revoke_customer(campaign, "ann")
    if poison == "last":
        await desk.redis.zadd(desk.house.key("revoked:1"), {"poison": 0})
    else:
        await desk.redis.hset(desk.house.key("revoked_customers:1"), customer_digest("ann"), "poison")
    assert await desk.rank(campaign, 5, customer="ann", holder_bound=True) == "Failed"
