"""Campaigns as messages: a large one is written once for each definition."""

from dataclasses import replace

import pytest
from builders.full_campaign import CAMPAIGN, OFFERS

from redemption.domain.campaign.conditions import Conditions, Scope
from redemption.rpc.convert import campaign_messages as module
from redemption.rpc.convert.campaign_messages import LARGE_BYTES, LARGE_MAX, CampaignMessages
from redemption.rpc.convert.campaigns import campaign_of

LARGE = replace(
    CAMPAIGN,
    offers=(replace(OFFERS[0], conditions=Conditions(exclude=Scope(skus=tuple(f"{n:0100d}" for n in range(200))))),),
)


@pytest.fixture
def written(monkeypatch):
    """The campaigns whose messages are written, in turn."""
    found = []
    monkeypatch.setattr(module, "campaign_of", lambda campaign: found.append(campaign) or campaign_of(campaign))
    return found


def test_a_large_message_is_written_once_for_each_definition(written):
    messages = CampaignMessages()
    assert campaign_of(LARGE).ByteSize() >= LARGE_BYTES
    for _ in range(3):
        assert messages.of(LARGE) == campaign_of(LARGE)
    changed = replace(LARGE, version=LARGE.version + 1)
    assert messages.of(changed).etag != messages.of(LARGE).etag
    assert written == [LARGE, changed]


def test_small_messages_are_not_kept(written):
    messages = CampaignMessages()
    for _ in range(2):
        assert messages.of(CAMPAIGN) == campaign_of(CAMPAIGN)
    assert (len(written), len(messages._large)) == (2, 0)


def test_only_so_many_are_kept():
    messages = CampaignMessages()
    for number in range(LARGE_MAX + 5):
        messages.of(replace(LARGE, number=number))
    assert len(messages._large) == LARGE_MAX
