"""Remembered requests: generations begin in time, are read for a day at least, and are removed."""

import pytest
from builders.times import DAY_MS
from ledger.desk import digest

from redemption.domain.errors import LedgerRefused
from redemption.domain.outcome import Outcome
from redemption.ledger import keys

BUCKETS_MIN = 4096
ENTRIES = 64


async def header(desk, *fields):
    """Fields of the ledger's header, as text."""
    return [value.decode() for value in await desk.redis.hmget(desk.house.key("ledger"), *fields)]


async def generations(desk):
    """Number and buckets of every generation, the newest first."""
    (text,) = await header(desk, "generations")
    return [tuple(map(int, part.split(":")[:2])) for part in text.split()]


async def kept(desk):
    """Which generations have keys."""
    return {int(key.split(b":")[2]) for key in await desk.house.keys("r:*")}


async def pass_days(desk, days):
    """Move the ledger's clock forward."""
    now_ms = int((await header(desk, "clock_ms"))[0])
    await desk.house.set_clock(int(now_ms + days * DAY_MS))


async def redeem(desk, campaign, serials):
    """Redeem coupons in one call; returns the orders."""
    orders = [desk.order(desk.token(campaign, serial)) for serial in serials]
    assert {ranks[0] for ranks in await desk.ranks(*orders)} == {Outcome.APPROVED}
    return orders


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        (0, "Remembered"),
        (23.9, "Remembered"),
        (24, "Remembered"),
        (48, "RememberedByCoupons"),
        (240, "RememberedByCoupons"),
    ],
)
async def test_a_request_is_remembered_for_a_day_at_least_and_two_at_most(desk, hours, told):
    campaign = await desk.campaign()
    (order,) = await redeem(desk, campaign, [0])
    await pass_days(desk, hours / 24)
    (reply,) = await desk.send(order)
    assert type(reply).__name__ == told


async def test_a_days_requests_lie_in_a_generation_of_their_own(desk):
    campaign = await desk.campaign()
    (order,) = await redeem(desk, campaign, [0])
    assert await generations(desk) == [(1, BUCKETS_MIN)]
    await pass_days(desk, 1)
    await redeem(desk, campaign, [1, 2])
    assert type((await desk.send(order))[0]).__name__ == "Remembered"
    assert await generations(desk) == [(2, BUCKETS_MIN), (1, BUCKETS_MIN)]
    assert await header(desk, "remembered") == ["2"]
    assert await kept(desk) == {1, 2}


async def test_a_read_begins_no_generation(desk):
    """The number of buckets is fixed by the first call that remembers something."""
    campaign = await desk.campaign()
    await redeem(desk, campaign, [0])
    await pass_days(desk, 1)
    assert await desk.rank(campaign, 0) == Outcome.ALREADY_REDEEMED
    assert await generations(desk) == [(1, BUCKETS_MIN)]


@pytest.mark.parametrize(
    ("issued", "remembered", "buckets"),
    [
        (100, 5, BUCKETS_MIN),
        (1_000_000, 5, 32_768),
        (2**40, 5, 65_536),
        (100, 500_000, 16_384),
        (100, 10**9, 2**20),
    ],
)
async def test_a_generation_has_room_for_what_is_to_be_expected(desk, issued, remembered, buckets):
    """Twice the coupons that are still to be used, or twice what was remembered the day before."""
    campaign = await desk.campaign(issued=issued)
    await redeem(desk, campaign, [0])
    await desk.redis.hset(desk.house.key("ledger"), "remembered", remembered)
    await pass_days(desk, 1)
    await redeem(desk, campaign, [1])
    assert (await generations(desk))[0] == (2, buckets)


async def test_coupons_that_nobody_can_use_any_more_are_not_expected(desk):
    campaign, over = await desk.campaign(), await desk.campaign(issued=10**9)
    await desk.redis.hset(desk.house.key(f"campaign:{over.number}"), "ends_at", 1)
    archived = await desk.campaign(issued=10**9)
    await desk.redis.hset(desk.house.key(f"campaign:{archived.number}"), "archive", "done")
    await pass_days(desk, 1)
    await redeem(desk, campaign, [0])
    assert (await generations(desk))[0] == (2, BUCKETS_MIN)


async def test_a_generation_that_is_full_is_followed_by_another_on_the_same_day(desk):
    """The requests of the first generation are still remembered, and those of the call that began the second one."""
    campaign = await desk.campaign(issued=1_000)
    before = await redeem(desk, campaign, range(10))
    await desk.redis.hset(desk.house.key("ledger"), "remembered", ENTRIES * BUCKETS_MIN + 1)
    after = await redeem(desk, campaign, range(10, 80))
    assert [number for number, _ in await generations(desk)] == [2, 1]
    assert (await generations(desk))[0][1] > BUCKETS_MIN
    assert await header(desk, "remembered") == ["70"]
    replies = await desk.send(*before, *after)
    assert {type(reply).__name__ for reply in replies} == {"Remembered"}


async def test_the_newest_generations_bucket_is_the_speller_in_pythons(desk):
    campaign = await desk.campaign(issued=1_000_000)
    await pass_days(desk, 1)
    (order,) = await redeem(desk, campaign, [0])
    ((number, buckets), _) = await generations(desk)
    key, field = keys.request(desk.program, number, buckets, order.request)
    assert buckets > BUCKETS_MIN
    assert await desk.redis.hexists(key.decode(), field)


async def test_an_old_generation_is_removed_a_few_buckets_with_each_call(desk):
    campaign = await desk.campaign(issued=10_000)
    await redeem(desk, campaign, range(200))
    left = []
    for day in range(3):
        await pass_days(desk, 1)
        await redeem(desk, campaign, [1_000 + day])
        left.append(await kept(desk))
    assert left[0] == {1, 2}
    assert left[1] == {1, 2, 3}, "not all of it at once"
    for serial in range(1_100, 1_400):
        await redeem(desk, campaign, [serial])
    assert await kept(desk) == {3, 4}
    assert [number for number, _ in await generations(desk)] == [4, 3]


async def test_a_program_that_hardly_calls_does_not_gather_generations(desk):
    """Four calls a day are too few to remove only a few buckets in each."""
    campaign = await desk.campaign(issued=10_000)
    most = 0
    for day in range(60):
        for each in range(4):
            await redeem(desk, campaign, [4 * day + each])
        most = max(most, len(await generations(desk)))
        await pass_days(desk, 1)
    assert most <= 5
    assert len(await kept(desk)) <= 5


async def test_a_clock_that_stood_still_for_ten_days_begins_anew(desk):
    campaign = await desk.campaign()
    (order,) = await redeem(desk, campaign, [0])
    await pass_days(desk, 10)
    (again,) = await redeem(desk, campaign, [1])
    assert type((await desk.send(again))[0]).__name__ == "Remembered"
    assert type((await desk.send(order))[0]).__name__ == "RememberedByCoupons"


async def test_a_bucket_of_the_wrong_type_fails_its_requests_alone(desk):
    """Also in the generation that only begins with this call: nothing of the item is written."""
    campaign = await desk.campaign()
    await redeem(desk, campaign, [0])
    await pass_days(desk, 1)
    bad, good = (desk.order(desk.token(campaign, serial)) for serial in (1, 2))
    key, _ = keys.request(desk.program, 2, BUCKETS_MIN, bad.request)
    assert key != keys.request(desk.program, 2, BUCKETS_MIN, good.request)[0]
    await desk.redis.set(key, "poison")
    assert await desk.ranks(bad, good) == ["Failed", [Outcome.APPROVED]]
    assert (await desk.campaign_snapshot(campaign)).redeemed == 2
    assert not await desk.redis.hexists(desk.house.key("u:1:0"), "1")


async def test_one_request_id_is_one_request_whatever_it_asks_for(desk):
    """Revoking, redeeming and issuing share the memory."""
    campaign = await desk.campaign()
    await desk.revoke(campaign, 5, request="one")
    order = desk.order(desk.token(campaign, 0), request="one")
    assert order.request == digest("one", 10)
    assert await desk.ranks(order) == ["Mismatch"]


@pytest.mark.parametrize("field", ["issued", "redeemed", "ends_at"])
async def test_a_campaign_that_cannot_be_read_is_not_expected_and_stops_nobody(desk, field):
    campaign, damaged, other = [await desk.campaign() for _ in range(3)]
    await desk.redis.hset(desk.house.key(f"campaign:{damaged.number}"), field, "poison")
    await desk.redis.delete(desk.house.key(f"campaign:{other.number}"))
    await desk.redis.set(desk.house.key(f"campaign:{other.number}"), "of the wrong type")
    await pass_days(desk, 1)
    await redeem(desk, campaign, [0])
    assert [number for number, _ in await generations(desk)] == [2, 1]


@pytest.mark.parametrize("field", ["seq", "clock_ms", "remembered", "reaped", "generations"])
@pytest.mark.parametrize("value", ["", "abc", "-1", "1.5", "5:0:1", "1:4096:1  2:4096:1", None])
async def test_a_header_that_cannot_be_read_is_refused_before_anything_is_done(desk, field, value):
    """All that is needed at the end of a call was read before."""
    if field == "generations" and value == "":
        return  # as it is before anything was remembered
    campaign = await desk.campaign()
    key = desk.house.key("ledger")
    right = await desk.redis.hgetall(key)
    await (desk.redis.hdel(key, field) if value is None else desk.redis.hset(key, field, value))
    before = await desk.house.dump()
    (refused,) = await desk.send(desk.order(desk.token(campaign, 0)))
    assert isinstance(refused, LedgerRefused)
    assert await desk.house.dump() == before
    await desk.redis.hset(key, mapping=right)
