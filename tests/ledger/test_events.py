"""What the event stream tells of campaigns: it is bounded in entries, so no entry holds a large definition."""

import hashlib
from dataclasses import replace

import msgpack
import pytest
from builders.calls import PRINCIPAL, calling

from redemption.domain.campaign.campaign import CampaignState, Offer
from redemption.domain.errors import LedgerRefused
from redemption.domain.outcome import Outcome
from redemption.ledger.stores.catalog import pack_campaign
from redemption.service.campaigns import etag

EVENT_DEFINITION_BYTES_MAX = 4096


async def of_size(house, size):
    """Create a campaign whose definition takes so many bytes."""
    definition = house.definition()
    offers = (replace(definition.offers[0], name=""),)
    left = size - len(pack_campaign(replace(definition, offers=offers, created_at_ms=10**12, updated_at_ms=10**12)))
    return await house.campaign(offers=(Offer(offers[0].benefit, "x" * left),), name=definition.name)


def nothing_wrong(_):
    yield
    return []


async def stored(desk, campaign):
    return await desk.field(campaign, "definition")


async def last_event(desk):
    return (await desk.house.events())[-1]


async def test_a_definition_is_told_whole_up_to_four_kibibytes_and_above_by_its_digest(desk, monkeypatch):
    monkeypatch.setattr("redemption.service.campaigns.campaign_check_steps", nothing_wrong)
    for excess in (0, 1):
        campaign = await of_size(desk.house, EVENT_DEFINITION_BYTES_MAX + excess)
        definition = await stored(desk, campaign)
        assert len(definition) == EVENT_DEFINITION_BYTES_MAX + excess
        kind, principal, number, version, told, digest = await last_event(desk)
        assert (kind, principal, number, version) == (b"defined", PRINCIPAL.encode(), campaign.number, 1)
        assert told == (b"" if excess else definition)
        assert digest.decode() == hashlib.sha256(definition).hexdigest()


async def test_a_change_of_state_alone_is_told_by_the_state(desk):
    campaign = await desk.campaign(name="满200减50")
    name = campaign.name.encode()
    for version, state in enumerate((CampaignState.PAUSED, CampaignState.ACTIVE, CampaignState.ENDED), start=2):
        await desk.house.set_state(campaign, state)
        assert await last_event(desk) == [
            b"state_changed",
            PRINCIPAL.encode(),
            campaign.number,
            version,
            name,
            state.name.encode(),
        ]
        assert (await desk.ledger.campaigns.load(desk.program, campaign.number)).state is state


async def test_any_other_change_is_told_by_the_definition(desk, other_desk):
    """Also when it was paused in between, by another server."""
    campaign = await desk.campaign()
    campaigns = desk.house.campaigns
    renamed = (await campaigns.update(calling(), replace(campaign, name="renamed"), etag(campaign))).campaign
    assert (await last_event(desk))[:5] == [b"defined", PRINCIPAL.encode(), 1, 2, await stored(desk, campaign)]
    paused = await other_desk.house.campaigns.set_state(calling(), desk.program, 1, CampaignState.PAUSED)
    await campaigns.update(calling(), replace(renamed, ends_at_ms=campaign.ends_at_ms + 1000), etag(paused))
    assert (await last_event(desk))[:5] == [b"defined", PRINCIPAL.encode(), 1, 4, await stored(desk, campaign)]


async def test_pausing_a_large_campaign_adds_little_to_the_stream(desk):
    campaign = await desk.campaign(
        offers=tuple(replace(desk.house.definition().offers[0], name="x" * 100 + str(index)) for index in range(100))
    )
    assert len(await stored(desk, campaign)) > 2 * EVENT_DEFINITION_BYTES_MAX
    for state in (CampaignState.PAUSED, CampaignState.ACTIVE) * 3:
        await desk.house.set_state(campaign, state)
    entries = await desk.redis.xrange(desk.house.key("events"))
    assert len(entries) == 7
    assert max(len(entry[b"e"]) for _, entry in entries) < 200
    assert msgpack.unpackb(entries[-1][1][b"e"], raw=True)[2][0][0] == b"state_changed"


@pytest.mark.parametrize("kept", [True, False])
async def test_a_stream_that_has_used_its_last_id_is_found_before_anything_is_written(desk, kept):
    """Also when the entry with that id is gone: adding the next one would fail after the orders were written."""
    campaign = await desk.campaign()
    last = f"{2**64 - 1}-{2**64 - 1}"
    await desk.redis.xadd(desk.house.key("events"), {"e": "foreign"}, id=last)
    if not kept:
        await desk.redis.xdel(desk.house.key("events"), last)
    await desk.redis.hincrby(desk.house.key("ledger"), "clock_ms", 1000)  # it is asked once a second
    (refused,) = await desk.send(desk.order(desk.token(campaign, 0)))
    assert isinstance(refused, LedgerRefused)
    assert not await desk.redis.exists(desk.house.key("u:1:0"))
    assert await desk.field(campaign, "redeemed") == b"0"


async def test_a_stream_of_another_type_is_found_before_anything_is_written(desk):
    campaign = await desk.campaign()
    await desk.redis.set(desk.house.key("events"), "not a stream")
    (refused,) = await desk.send(desk.order(desk.token(campaign, 0)))
    assert isinstance(refused, LedgerRefused)
    assert not await desk.redis.exists(desk.house.key("u:1:0"))


async def test_a_stream_that_is_not_there_begins_anew(desk):
    campaign = await desk.campaign()
    await desk.redis.delete(desk.house.key("events"))
    assert await desk.rank(campaign, 0) == Outcome.APPROVED
    assert await desk.house.redeemed() == [(1, 0, 0)]
