"""Issuing at the ledger itself: keys, records, and items made by hand."""

import asyncio
import struct
from dataclasses import replace

import pytest
from builders.calls import calling
from ledger.claims import VALID_FROM, VALID_UNTIL, claim_item
from ledger.commit.orders import submitted
from ledger.desk import digest
from waiting import SECONDS_MAX

from redemption.domain.errors import LedgerRefused
from redemption.domain.outcome import Outcome
from redemption.domain.ports.issuing import ClaimedCoupon, ClaimRefused, CodeFound, StoredCodes
from redemption.domain.ports.orders import Failed, Mismatch, Outdated
from redemption.ledger import keys
from redemption.ledger.stores.campaigns import customer_buckets
from redemption.ledger.stores.issuing import CODES_AT_ONCE


def with_content(wanted, content):
    """The same claim under the same request id, of other content."""
    return replace(wanted, identity=replace(wanted.identity, content=digest(content, 8)))


def stored(campaign, *names, first=0, **changes):
    digests = tuple(digest(name, 10) for name in names)
    codes = StoredCodes(campaign.number, 3, 7, VALID_FROM, VALID_UNTIL, first, digests)
    return replace(codes, **changes)


async def send(house, *items):
    caller = calling(seconds=SECONDS_MAX)
    claim = house.ledger.issuing.claim
    return [
        reply
        for reply, _ in await asyncio.gather(*[claim(caller, house.program, item, rejudged=False) for item in items])
    ]


async def test_a_claim_is_answered_and_remembered_as_it_was_decided(house):
    campaign = await house.campaign()
    wanted, before_ms = claim_item(campaign), house.ledger.now_ms()
    first, again, other = await send(house, wanted, wanted, with_content(wanted, "x"))
    assert first == ClaimedCoupon(first.claimed_at, 1, 0, 0, VALID_FROM, VALID_UNTIL, 7)
    assert before_ms // 1000 <= first.claimed_at <= house.ledger.now_ms() // 1000
    assert again == replace(first, remembered=True)
    assert isinstance(other, Mismatch)


async def test_claims_lie_where_the_speller_says(house):
    campaign = await house.campaign()
    await send(house, claim_item(campaign))
    buckets = customer_buckets(campaign.sizing)
    for kind, name in ((b"c", "ann"), (b"p", "ann herself")):
        key, field = keys.claims(house.program, 1, buckets, kind, digest(name, 8))
        assert await house.redis.hget(key, field) == struct.pack(">BI", 1, 1)


async def test_a_claim_judged_by_another_version_or_at_another_time_is_outdated(house):
    campaign = await house.campaign()
    now_ms = house.ledger.now_ms()
    replies = await send(
        house,
        claim_item(campaign, version=9),
        claim_item(campaign, since_ms=now_ms + 60_000),
        claim_item(campaign, until_ms=now_ms - 60_000),
    )
    assert [type(reply) for reply in replies] == [Outdated] * 3
    assert await house.redis.hget(house.key("campaign:1"), "issued") == b"0"


async def test_the_servers_refusal_stands(house):
    campaign = await house.campaign()
    (reply,) = await send(house, claim_item(campaign, outcome=Outcome.TIER_REQUIRED))
    assert reply == ClaimRefused(Outcome.TIER_REQUIRED, only_today=False)


async def test_a_code_is_found_then_claimed_and_then_nobody_elses(house):
    campaign = await house.campaign(issued=5)
    await house.mint(campaign, 5)
    assert await house.ledger.issuing.store_codes(house.program, stored(campaign, "a", "b")) is None
    asked = replace(claim_item(campaign), campaign=0, version=0, code=digest("b", 10), outcome=Outcome.CODE_INVALID)
    assert await send(house, asked) == [CodeFound(1, 3, 1, VALID_FROM, VALID_UNTIL, 7)]
    wanted = claim_item(campaign, code=digest("b", 10), offer_index=3, expires_at=VALID_UNTIL - 1)
    thief = replace(wanted, identity=replace(wanted.identity, request=digest("thief", 10)))
    first, again, stolen = await send(house, wanted, wanted, thief)
    assert first == ClaimedCoupon(first.claimed_at, 1, 3, 1, VALID_FROM, VALID_UNTIL - 1, 7)
    assert again == replace(first, remembered=True)
    assert stolen == ClaimRefused(Outcome.CODE_INVALID, only_today=False)
    await house.delete("r:*")
    replies = await send(house, wanted, thief, with_content(wanted, "x"))
    assert replies[:2] == [again, stolen]
    assert isinstance(replies[2], Mismatch)


async def test_codes_of_serials_that_were_never_issued_are_not_stored(house):
    campaign = await house.campaign()
    await house.mint(campaign, 2)
    for codes in (
        stored(campaign, "a", "b", "c"),
        stored(campaign, "a", first=2),
        stored(replace(campaign, number=9), "a"),
    ):
        with pytest.raises(LedgerRefused):
            await house.ledger.issuing.store_codes(house.program, codes)
    assert await house.keys("code:*") == []


async def test_a_call_holds_the_ledger_up_for_a_hundred_codes_at_most(house):
    campaign = await house.campaign()
    await house.mint(campaign, 500)
    await house.redis.config_resetstat()
    await house.ledger.issuing.store_codes(house.program, stored(campaign, *map(str, range(450))))
    assert CODES_AT_ONCE == 100
    assert (await house.commands())["cmdstat_fcall"] == 5
    seq = int(await house.redis.hget(house.key("ledger"), "seq"))
    await house.ledger.issuing.store_codes(house.program, stored(campaign, *map(str, range(450))))
    assert int(await house.redis.hget(house.key("ledger"), "seq")) == seq, "storing again writes nothing"


async def test_of_a_chunk_with_a_taken_code_nothing_from_there_on_is_stored(house):
    campaign = await house.campaign()
    await house.mint(campaign, 10)
    issuance = house.ledger.issuing
    assert await issuance.store_codes(house.program, stored(campaign, "a")) is None
    assert await issuance.store_codes(house.program, stored(campaign, "b", "c", "a", "d", first=1)) == 3
    assert len(await house.keys("code:*")) == 1
    twins = stored(campaign, "e", "e", first=5)
    assert await issuance.store_codes(house.program, twins) == 6, "also within one call"


async def test_a_number_that_does_not_fit_fails_alone(house):
    campaign = await house.campaign()
    replies = await send(house, claim_item(campaign, expires_at=2**32), claim_item(campaign))
    assert isinstance(replies[0], Failed)
    assert isinstance(replies[1], ClaimedCoupon)


async def test_an_item_that_is_too_short_fails_alone(house):
    campaign = await house.campaign()
    caller = calling(seconds=SECONDS_MAX)
    together = submitted(house.ledger.batcher, house.program, [(b"C" + bytes(20), 1, caller)])
    await together.done
    assert together.answers[0][:1] == b"E"
    (reply,) = await send(house, claim_item(campaign))
    assert isinstance(reply, ClaimedCoupon)
