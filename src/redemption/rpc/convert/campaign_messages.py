"""A cache of campaign messages: a large message is written once for each definition, not for each caller."""

from typing import Final

from cachetools import LRUCache

from redemption.domain.campaign.campaign import Campaign
from redemption.rpc.convert.campaigns import campaign_of
from redemption.v1 import campaign_pb2

LARGE_BYTES: Final = 16 * 1024
"""Writing a message of this size or more takes longer than 0.1 ms; the largest takes about 3 ms."""
LARGE_MAX: Final = 64
"""The most large messages that are kept."""


class CampaignMessages:
    """Writes campaigns as messages, and keeps the large ones that were used last.

    All callers share a kept message: it is copied into an answer and never changed.
    """

    def __init__(self) -> None:
        self._large: LRUCache[int, tuple[Campaign, campaign_pb2.Campaign]] = LRUCache(LARGE_MAX)

    def of(self, campaign: Campaign) -> campaign_pb2.Campaign:
        """Return a campaign's message."""
        # The key is the object's id, because comparing definitions costs as much as writing one. The definition is kept
        # together with its message, so no other definition can get the same id meanwhile.
        known = self._large.get(id(campaign))
        if known is not None:
            return known[1]
        message = campaign_of(campaign)
        if message.ByteSize() >= LARGE_BYTES:
            self._large[id(campaign)] = campaign, message
        return message
