"""Minting and inspecting on the real ledger: serials are durable first, and a repetition gets the same coupons."""

import asyncio
import time
from dataclasses import replace

import pytest
from builders.calls import calling
from builders.keysets import rotated
from builders.times import DAY_MS
from waiting import SECONDS_MAX, comes

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.calendar import local_day
from redemption.domain.campaign.campaign import AbsoluteValidity, CampaignState, ClaimValidity, Offer
from redemption.domain.errors import InvalidRequest, LimitReached, NotFound, RequestIdReused, WrongState
from redemption.domain.outcome import Outcome
from redemption.domain.signed.keyset import KeyState
from redemption.scheduling.work_bounds import MINTING
from redemption.service import issuer
from redemption.service.issuer import MintRequest


async def minted(house, campaign, count, **changes):
    """The minted coupons, in chunks."""
    order = MintRequest(house.program, changes.pop("request_id", "m"), campaign.number, 0, count, **changes)
    return [chunk async for chunk in await house.issuer.mint(calling(), order)]


async def test_serials_follow_each_other(house):
    campaign = await house.campaign()
    chunks = await minted(house, campaign, 1200)
    assert [len(chunk) for chunk in chunks] == [500, 500, 200]
    assert [coupon.serial for chunk in chunks for coupon in chunk] == list(range(1200))
    assert len({coupon.token for chunk in chunks for coupon in chunk}) == 1200
    ((following,),) = await minted(house, campaign, 1, request_id="next")
    assert following.serial == 1200


async def test_serials_are_taken_before_the_first_token_is_shown(house):
    campaign = await house.campaign()
    await house.issuer.mint(calling(), MintRequest(house.program, "m", campaign.number, 0, 10))
    assert (await house.stats(campaign)).issued == 10


async def test_the_same_request_gets_the_same_coupons(house):
    campaign = await house.campaign()
    first = await minted(house, campaign, 700)
    assert await minted(house, campaign, 700) == first
    rest = await minted(house, campaign, 700, skip=690)
    assert rest == [first[1][190:]]
    assert (await house.stats(campaign)).issued == 700
    with pytest.raises(RequestIdReused):
        await minted(house, campaign, 701)


@pytest.mark.parametrize("change", ["end", "prolong"])
async def test_the_same_request_gets_the_same_coupons_after_the_campaign_changed(house, change):
    campaign = await house.campaign()
    first = await minted(house, campaign, 3)
    if change == "end":
        await house.set_state(campaign, CampaignState.ENDED)
    else:
        await house.update(campaign, ends_at_ms=campaign.ends_at_ms + 9 * DAY_MS)
    assert await minted(house, campaign, 3) == first


async def test_many_at_once_never_share_a_serial(house):
    campaign = await house.campaign(issued=95)
    results = await asyncio.gather(
        *(minted(house, campaign, 10, request_id=f"m{index}") for index in range(10)), return_exceptions=True
    )
    serials = [coupon.serial for result in results if isinstance(result, list) for chunk in result for coupon in chunk]
    assert sorted(serials) == list(range(90))
    (refused,) = [result for result in results if not isinstance(result, list)]
    assert isinstance(refused, LimitReached)
    assert "can issue 5 more, not 10" in refused.message


async def test_an_outdated_definition_is_read_again(house):
    """Another server changed the campaign; this one mints by its newest definition."""
    campaign = await house.campaign()
    await house.update(campaign, name="renamed")
    house.ledger._catalog.put(campaign, 0)
    assert len(await minted(house, campaign, 1)) == 1


async def test_the_same_request_gets_the_same_coupons_after_a_rotation(house):
    campaign = await house.campaign()
    first = await minted(house, campaign, 3)
    old = house.keyset.primary.id
    newer = rotated(house.keyset)
    house.use(newer)
    assert await minted(house, campaign, 3) == first
    house.use(newer.with_state(old, KeyState.DISABLED))
    again = await minted(house, campaign, 3)
    assert [coupon.serial for coupon in again[0]] == [0, 1, 2]
    outcomes = [(await house.redeem(coupon.token)).outcome for coupon in (first[0][0], again[0][0])]
    assert outcomes == [Outcome.TOKEN_INVALID, Outcome.APPROVED]


async def test_a_days_share_is_shared_with_claims_and_begins_anew(house):
    campaign = await house.campaign(issued_per_day=10)
    await house.claim(campaign)
    await minted(house, campaign, 4)
    with pytest.raises(LimitReached, match=r"^count: campaign 1 can issue 5 more today, not 6$"):
        await minted(house, campaign, 6, request_id="more")
    tomorrow = local_day(campaign.time_zone, house.ledger.now_ms()).ends_at_ms
    await house.set_clock(tomorrow)
    assert len((await minted(house, campaign, 10, request_id="tomorrow"))[0]) == 10
    assert (await house.stats(campaign)).issued == 15


async def test_an_offers_quota_leaves_the_others_alone(house):
    offers = (Offer(amount_off(0, 1_00), issue_quota=3), Offer(amount_off(0, 2_00)))
    campaign = await house.campaign(offers=offers, issued=10)
    await minted(house, campaign, 2)
    with pytest.raises(LimitReached, match=r"^count: offer 0 of campaign 1 can issue 1 more, not 2$"):
        await minted(house, campaign, 2, request_id="more")
    order = MintRequest(house.program, "other", campaign.number, 1, 8)
    assert len(await anext(await house.issuer.mint(calling(), order))) == 8
    fields = await house.redis.hmget(house.key("campaign:1"), "issued", "issued:0", "issued:1")
    assert fields == [b"10", b"2", b"8"]


async def test_the_closest_limit_is_told(house):
    offers = (Offer(amount_off(0, 1_00), issue_quota=8),)
    campaign = await house.campaign(offers=offers, issued=9, issued_per_day=7)
    with pytest.raises(LimitReached, match="7 more today"):
        await minted(house, campaign, 10)


async def test_tokens_are_valid_as_the_campaign_says(house):
    now = house.ledger.now_ms() // 1000
    until = now + 5_000
    absolute = await house.campaign(validity=AbsoluteValidity((now + 60) * 1000, until * 1000))
    ((coupon,),) = await minted(house, absolute, 1)
    token = (await house.inspect(coupon.token)).token
    assert (token.not_before, token.expires_at) == (now + 60, until)
    counted = await house.campaign(validity=ClaimValidity(days=3))
    ((coupon,),) = await minted(house, counted, 1, request_id="counted")
    token = (await house.inspect(coupon.token)).token
    assert now <= token.not_before <= house.ledger.now_ms() // 1000
    assert token.expires_at - token.not_before in (3 * 86_400, 3 * 86_400 + 1)
    ((coupon,),) = await minted(house, counted, 1, request_id="ordered", expires_at_ms=until * 1000)
    token = (await house.inspect(coupon.token)).token
    assert token.expires_at == until


@pytest.mark.parametrize("wrong_ms", [3 * DAY_MS, 60_000, -60_000])
async def test_the_day_and_the_validity_are_the_ledgers_and_not_the_servers(house, wrong_ms):
    campaign = await house.campaign(validity=ClaimValidity(days=1), issued_per_day=5)
    real, began = house.ledger.now_ms(), time.time()
    house.ledger._clock.set(house.ledger.now_ms() + wrong_ms)
    ((coupon,),) = await minted(house, campaign, 1)
    token = (await house.inspect(coupon.token)).token
    assert real // 1000 - 10 <= token.not_before <= (real / 1000 + time.time() - began) + 10
    day = await house.redis.hget(house.key("campaign:1"), "issue_day")
    assert int(day) == local_day(campaign.time_zone, real).number


async def test_a_repetition_gets_its_coupons_when_they_are_over(house):
    campaign = await house.campaign()
    until = house.ledger.now_ms() // 1000 + 600
    first = await minted(house, campaign, 2, expires_at_ms=until * 1000)
    await house.set_clock((until + 60) * 1000)
    assert await minted(house, campaign, 2, expires_at_ms=until * 1000) == first


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"count": 0}, "count"),
        ({"count": 1_000_001}, "count"),
        ({"skip": 11}, "skip"),
        ({"skip": -1}, "skip"),
        ({"campaign": 0}, "campaign"),
        ({"offer_index": 1}, "offer_index"),
        ({"customer_id": "x" * 129}, "customer_id"),
        ({"request_id": ""}, "request_id"),
        ({"program": ""}, "program"),
        ({"not_before_ms": -1000}, "not_before"),
        ({"not_before_ms": 1}, "not_before"),
        ({"expires_at_ms": 2**63 // 1000 * 1000}, "expire_time"),
        ({"expires_at_ms": 1_000_000_000_000}, "expire_time"),
        ({"expires_at_ms": (int(time.time()) + 500 * 86_400) * 1000}, "expire_time"),
    ],
)
async def test_a_bad_order_names_its_field_and_takes_no_serial(house, change, field):
    campaign = await house.campaign()
    order = replace(MintRequest(house.program, "m", campaign.number, 0, 10), **change)
    with pytest.raises(InvalidRequest) as raised:
        await house.issuer.mint(calling(), order)
    assert raised.value.violations[0].field == field
    assert (await house.stats(campaign)).issued == 0


async def test_nothing_is_minted_of_what_is_not_there_or_has_ended(house):
    campaign = await house.campaign()
    with pytest.raises(NotFound):
        await minted(house, replace(campaign, number=9), 1)
    await house.set_state(campaign, CampaignState.ENDED)
    with pytest.raises(WrongState):
        await minted(house, campaign, 1)


async def test_inspecting_tells_what_became_of_a_token(house):
    campaign = await house.campaign()
    used, unused = await house.mint(campaign, 2)
    decision = await house.redeem(used)
    inspection = await house.inspect(used)
    assert inspection.token.serial == 0
    assert inspection.redemption_id == decision.verdicts[0].redemption_id
    assert (inspection.use.discount_minor, inspection.use.redeemed_at) == (50_00, decision.decided_at)
    assert (await house.inspect(unused)).use is None
    assert (await house.inspect("A" * 64)).token is None


async def test_a_token_of_a_campaign_that_is_not_there_is_invalid(house):
    """Correctly signed, but the ledger knows of no such campaign: one answer, and at once."""
    await house.campaign()
    stray = house.sign(77)
    assert (await house.redeem(stray)).outcome is Outcome.TOKEN_INVALID
    assert (await house.inspect(stray)).token is None


async def test_a_mint_is_not_a_redemption(house):
    campaign = await house.campaign()
    await minted(house, campaign, 1)
    with pytest.raises(NotFound):
        await house.finder.by_request(calling(), house.program, "m")
    (token,) = await house.mint(campaign)
    assert (await house.redeem(token, request_id="m")).outcome is Outcome.IDEMPOTENCY_MISMATCH


# Many at once


def stream(house, campaign, count, request_id, *, codes=False):
    """Begin to mint, as one caller does who reads part by part."""
    order = MintRequest(house.program, request_id, campaign.number, 0, count)
    return (house.issuer.mint_codes if codes else house.issuer.mint)(calling(), order)


@pytest.mark.parametrize("codes", [False, True])
async def test_streams_take_turns_a_part_each(house, codes):
    campaign = await house.campaign()
    streams = {name: await stream(house, campaign, 5_000, name, codes=codes) for name in "abcd"}
    told = []

    async def read(name):
        while await anext(streams[name], None):
            told.append(name)

    await asyncio.gather(*[read(name) for name in streams])
    counts = [[told[:end].count(name) for name in streams] for end in range(len(told))]
    # One after the other they would differ by all ten parts; the ledger may answer one of them late.
    assert max(max(count) - min(count) for count in counts) <= 5


async def test_the_loop_turns_while_a_part_is_made(house):
    """A step is about 0.2 ms: what waits for several turns of the loop must not wait for as many parts."""
    parts = await stream(house, await house.campaign(), 500, "m")
    making, turns = asyncio.ensure_future(anext(parts)), 0
    while not making.done():
        turns += 1
        await asyncio.sleep(0)
    assert len(making.result()) == 500
    assert turns >= 5


async def test_a_reader_who_does_not_read_holds_nobody_up(house):
    campaign = await house.campaign()
    idle = [await stream(house, campaign, 5_000, f"idle-{index}") for index in range(3)]
    for each in idle:
        await anext(each)
    async with asyncio.timeout(SECONDS_MAX):
        assert len(await minted(house, campaign, 1_000)) == 2
    assert [coupon.serial for coupon in await anext(idle[0])] == list(range(500, 1_000))


async def waiting(house, streams):
    """Wait until so many streams wait for their turn."""
    while len(house.issuer._slots._free._waiters or ()) < streams:
        await asyncio.sleep(0)


async def test_streams_that_are_cancelled_give_their_places_back(house):
    """One while its coupons are made, one while it waits for its turn."""
    campaign = await house.campaign()
    readers = [asyncio.ensure_future(minted(house, campaign, 500_000, request_id=f"m{n}")) for n in range(3)]
    async with asyncio.timeout(SECONDS_MAX):
        await waiting(house, 2)
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
        assert all(reader.cancelled() for reader in readers)
        assert len(await minted(house, campaign, 1_000)) == 2


async def test_no_turn_is_held_while_codes_are_stored(house, monkeypatch):
    """The ledger may take its time: tokens are signed meanwhile."""
    campaign = await house.campaign()
    asked, go = asyncio.Event(), asyncio.Event()
    store = house.issuer._issuing.store_codes

    async def slowly(*stored):
        asked.set()
        await go.wait()
        return await store(*stored)

    monkeypatch.setattr(house.issuer._issuing, "store_codes", slowly)
    parts = await stream(house, campaign, 1_000, "codes", codes=True)
    first = asyncio.ensure_future(anext(parts))
    async with asyncio.timeout(SECONDS_MAX):
        await asked.wait()
        assert len(await minted(house, campaign, 1_000)) == 2
        go.set()
        assert len(await first) == 500


async def test_redeeming_goes_on_while_many_mint(house, monkeypatch):
    """Sixteen fast readers hold the loop for one step at a time, not for one chunk of each."""
    made, signed = 0, issuer._signed

    def counted(sign, serials):
        def count(**which):
            nonlocal made
            made += 1
            return sign(**which)

        return signed(count, serials)

    monkeypatch.setattr(issuer, "_signed", counted)
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 20)
    held = []

    async def tick():
        while True:
            before = made
            await asyncio.sleep(0)
            held.append(made - before)

    async def read(name):
        async for _ in await stream(house, campaign, 1_000_000, name):
            pass

    readers = [asyncio.ensure_future(read(f"m{index}")) for index in range(16)]
    async with asyncio.timeout(SECONDS_MAX):
        await waiting(house, 15)
    ticking = asyncio.ensure_future(tick())
    for token in tokens:
        assert (await house.redeem(token)).outcome is Outcome.APPROVED
    assert not any(reader.done() for reader in readers)
    await comes(lambda: made > 2 * issuer.CHUNK and len(held) > 100)
    for task in (*readers, ticking):
        task.cancel()
    await asyncio.wait([*readers, ticking])
    assert max(held) <= issuer.STEP * MINTING.at_once
