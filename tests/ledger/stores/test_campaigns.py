"""Campaigns at the ledger itself: a change reaches every server, and what cannot be read fails alone."""

import re
from dataclasses import fields, replace

import pytest
from builders.calls import calling

from redemption.domain.campaign.campaign import Limits
from redemption.domain.errors import ServiceError
from redemption.domain.outcome import Outcome
from redemption.ledger.library import library
from redemption.ledger.stores.campaigns import _LIMIT_FIELDS


def test_the_ledger_is_told_every_limit_and_reads_each():
    """Slots are judged by the server; it hands the limit of the present one on with each coupon."""
    assert sorted(_LIMIT_FIELDS.values()) == sorted({field.name for field in fields(Limits)} - {"slots"})
    text = library().text
    assert [field for field in _LIMIT_FIELDS if not re.search(rf"\.{field}\b", text)] == []


async def test_a_change_takes_effect_for_every_server_at_once(house, other):
    """Another server's cached definition is outdated: the ledger says so, and it judges again."""
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 2)
    assert (await other.redeem(tokens[0])).discount_minor == 50_00
    dearer = replace(campaign, offers=campaign.offers, limits=replace(campaign.limits, redemptions=1))
    await house.campaigns.update(calling(), dearer, "v1")
    assert other.ledger.campaigns.cached(house.program, 1).limits.redemptions is None
    assert (await other.redeem(tokens[1])).outcome is Outcome.CAMPAIGN_LIMIT
    assert other.ledger.campaigns.cached(house.program, 1).limits.redemptions == 1


@pytest.mark.parametrize(
    "spoiled",
    [{"version": 9, "definition": b'2{"from": "the future"}'}, {"version": "abc"}, {"version": 2**40}],
)
async def test_a_campaign_that_cannot_be_read_fails_alone(house, spoiled):
    """And when it is repaired, it works again by itself."""
    first, second = await house.campaign(), await house.campaign()
    tokens = [*await house.mint(first), *await house.mint(second, 2)]
    right = await house.redis.hgetall(house.key("campaign:1"))
    await house.redis.hset(house.key("campaign:1"), mapping=spoiled)
    results = await house.send_all([house.attempt(token) for token in tokens[:2]])
    assert isinstance(results[0], ServiceError)
    assert results[1].outcome is Outcome.APPROVED
    await house.redis.hset(house.key("campaign:1"), mapping=right)
    results = await house.send_all([house.attempt(token) for token in (tokens[0], tokens[2])])
    assert [result.outcome for result in results] == [Outcome.APPROVED] * 2
