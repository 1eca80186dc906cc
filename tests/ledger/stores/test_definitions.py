"""Reading definitions: one that has not changed costs a small question, whoever asks, however often."""

import asyncio
from dataclasses import replace

import pytest
from builders.calls import calling
from builders.campaigns import offer_of
from waiting import comes

from redemption.domain.campaign.benefit import PercentOff, amount_off
from redemption.domain.campaign.campaign import CampaignState, Offer
from redemption.domain.campaign.conditions import Scope
from redemption.domain.errors import InvalidRequest, LedgerRefused
from redemption.domain.judging.claiming import OfferWanted
from redemption.domain.outcome import Outcome
from redemption.ledger.stores import catalog

OTHER = ("fedcba9876543210", 7)
"""Epoch and sequence number of another ledger."""
LARGE = tuple(offer_of(PercentOff(100 + index, 100), exclude=Scope(skus=(f"{index:0128d}",))) for index in range(100))


@pytest.fixture
def read(monkeypatch):
    """The numbers of the campaigns whose definitions are read, in turn."""
    numbers = []
    real = catalog.unpack_campaign

    def counted(definition, *, number, version):
        numbers.append(number)
        return real(definition, number=number, version=version)

    monkeypatch.setattr(catalog, "unpack_campaign", counted)
    return numbers


@pytest.fixture
def replies(house, monkeypatch):
    """What the ledger answers when it is asked for definitions."""
    found = []
    real = house.ledger._functions.call

    async def heard(function, *args):
        reply = await real(function, *args)
        if function == "campaigns":
            found.append(reply)
        return reply

    monkeypatch.setattr(house.ledger._functions, "call", heard)
    return found


async def test_a_definition_that_is_at_hand_is_neither_sent_nor_read_again(house, read, replies):
    campaign = await house.campaign(offers=LARGE)
    read.clear()
    replies.clear()
    again = await house.ledger.campaigns.load(house.program, 1)
    assert again is house.ledger.campaigns.cached(house.program, 1)
    assert again == campaign
    assert (replies, read) == ([[1, 1, b""]], [])


async def test_of_several_only_those_that_differ_are_sent(house, other_desk, replies):
    for _ in range(4):
        await house.campaign()
    before = await house.ledger.campaigns.load_range(house.program, 1, 4)
    other = other_desk.house
    await other.campaigns.set_state(calling(), house.program, 2, CampaignState.PAUSED)
    house.ledger._catalog.drop(house.program, 3)
    replies.clear()
    after = await house.ledger.campaigns.load_range(house.program, 1, 9)
    (flat,) = replies
    assert flat[0::3] == [1, 2, 3, 4]
    assert flat[1::3] == [1, 2, 1, 1]
    assert [bool(definition) for definition in flat[2::3]] == [False, True, True, False]
    assert after == [before[0], await other.ledger.campaigns.load(house.program, 2), before[2], before[3]]
    assert [one is another for one, another in zip(before, after, strict=True)] == [True, False, False, True]


async def test_a_change_elsewhere_is_read_at_once(house, other_desk):
    """Also a caller that asks while an older reply is on its way."""
    campaign = await house.campaign()
    other = other_desk.house
    for state in (CampaignState.PAUSED, CampaignState.ACTIVE) * 5:
        early = asyncio.create_task(house.ledger.campaigns.load(house.program, 1))
        await asyncio.sleep(0)
        await other.set_state(campaign, state)
        assert (await house.ledger.campaigns.load(house.program, 1)).state is state
        await early


async def test_a_definition_whose_version_cannot_be_read_is_never_taken_for_the_one_at_hand(house):
    campaign = await house.campaign()
    for name in ("first", "second"):
        definition = catalog.pack_campaign(replace(campaign, name=name))
        await house.redis.hset(house.key("campaign:1"), mapping={"version": "many", "definition": definition})
        assert await house.ledger.campaigns.load(house.program, 1) == replace(campaign, name=name, version=0)


async def test_a_definition_that_is_missing_is_refused(house):
    await house.campaign()
    await house.redis.hdel(house.key("campaign:1"), "definition")
    house.ledger.campaigns.forget(house.program, 1)
    with pytest.raises(LedgerRefused, match="campaign 1"):
        await house.ledger.campaigns.load(house.program, 1)


async def test_a_campaign_that_is_gone_is_not_at_hand_any_more(house):
    await house.campaign()
    await house.redis.delete(house.key("campaign:1"))
    assert await house.ledger.campaigns.load(house.program, 1) is None
    assert house.ledger.campaigns.cached(house.program, 1) is None


async def test_another_ledgers_definition_of_the_same_version_is_another_one(house, other_desk):
    """What was cached before an operator adopted a restored ledger is not used for that ledger."""
    campaign = await house.campaign()
    key = house.key("campaign:1")
    restored = replace(campaign, offers=(Offer(amount_off(0, 1)),))
    await house.redis.hset(key, "definition", catalog.pack_campaign(restored))
    await house.redis.hincrby(house.key("ledger"), "seq", -1)
    other = other_desk.house
    assert await other.ledger.campaigns.load(house.program, 1) == restored
    house.ledger._watching.cancel()
    await house.ledger.check()
    assert house.ledger.health.failure is not None
    other.fence.adopt(house.program, *OTHER)  # as the command does it, in a process of its own
    house.ledger._fence.path.write_bytes(other.fence.path.read_bytes())
    await house.redis.hset(house.key("ledger"), mapping={"epoch": OTHER[0], "seq": OTHER[1]})
    await house.ledger.check()
    await house.ledger.check()
    assert house.ledger.health.failure is None
    assert await house.ledger.campaigns.load(house.program, 1) == restored


async def test_a_creation_that_is_repeated_tells_what_was_created_and_not_what_was_sent(house):
    definition = house.definition()
    first = await house.campaigns.create(calling("admin"), "request", definition)
    await comes(lambda: house.ledger.now_ms() > first.created_at_ms)  # so that another moment would be told
    assert await house.campaigns.create(calling("admin"), "request", definition) == first
    assert await house.campaigns.get(calling(), house.program, 1) == first


async def test_a_rush_for_a_definition_that_is_not_at_hand_reads_it_once(house, read, replies):
    await house.campaign(offers=LARGE)
    house.ledger._catalog.clear()
    read.clear()
    replies.clear()
    found = await asyncio.gather(*(house.ledger.campaigns.load(house.program, 1) for _ in range(128)))
    assert len({id(campaign) for campaign in found}) == 1
    assert (read, len(replies)) == ([1], 1)


async def test_a_cancelled_read_of_a_definition_does_not_affect_the_others(house):
    campaign = await house.campaign()
    house.ledger._catalog.clear()
    hurried, patient = (asyncio.create_task(house.ledger.campaigns.load(house.program, 1)) for _ in range(2))
    await asyncio.sleep(0)
    hurried.cancel()
    assert await patient == campaign
    assert hurried.cancelled()


async def test_no_request_makes_the_server_read_an_unchanged_definition_again(house, read):
    campaign = await house.campaign(offers=LARGE)
    minted = await house.mint(campaign)
    codes = await house.mint_codes(campaign)
    read.clear()
    for _ in range(3):
        with pytest.raises(InvalidRequest, match="has offers 0 to 99"):
            await house.claim(OfferWanted(campaign.number, 100))
        await house.campaigns.get(calling(), house.program, campaign.number)
        await house.campaigns.list(calling(), house.program, first=1, page_size=50)
        await house.stats(campaign)
        await house.inspect(minted[0])
        await house.mint(campaign)
        await house.redeem(minted[0], customer="ann")
        await house.claim(campaign)
        assert (await house.claim(codes[0], "ann")).outcome in (Outcome.APPROVED, Outcome.CODE_INVALID)
        for state in (CampaignState.PAUSED, CampaignState.ACTIVE):
            await house.set_state(campaign, state)
        with pytest.raises(Exception, match="etag"):
            await house.campaigns.update(calling(), campaign, "v0")
        with pytest.raises(Exception, match="has not ended"):
            await house.campaigns.archive(calling(seconds=0), house.program, campaign.number)
    assert read == []


async def test_an_offer_that_was_added_elsewhere_is_found(house, other_desk):
    campaign = await house.campaign()
    other = other_desk.house
    await other.update(campaign, offers=campaign.offers * 2)
    assert len(house.ledger.campaigns.cached(house.program, 1).offers) == 1
    assert (await house.claim(OfferWanted(1, 1))).outcome is Outcome.APPROVED


async def test_between_two_definitions_others_have_their_turn(house, read):
    for _ in range(10):
        await house.campaign()
    house.ledger._catalog.clear()
    read.clear()
    turns = []

    async def note():
        while len(read) < 10:
            turns.append(len(read))
            await asyncio.sleep(0)

    noting = asyncio.create_task(note())
    assert len(await house.ledger.campaigns.load_range(house.program, 1, 10)) == 10
    await noting
    assert set(turns) == set(range(10))
