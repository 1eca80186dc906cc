"""Campaigns as messages of the contract: a large one is written once for each definition, not for each caller."""

from typing import Final

from cachetools import LRUCache

from redemption.domain.campaign.campaign import Campaign
from redemption.rpc.convert.campaigns import campaign_of
from redemption.v1 import campaign_pb2

LARGE_BYTES: Final = 16 * 1024
"""From here on writing a message takes longer than a tenth of a millisecond; the largest takes about three."""
LARGE_MAX: Final = 64
"""Large messages that are kept."""


class CampaignMessages:
    """Writes campaigns as messages, and keeps the large ones that were used last.

    A message that is kept is everybody's: it is copied into an answer, never changed.
    """

    def __init__(self) -> None:
        self._large: LRUCache[int, tuple[Campaign, campaign_pb2.Campaign]] = LRUCache(LARGE_MAX)

    def of(self, campaign: Campaign) -> campaign_pb2.Campaign:
        """Return a campaign's message."""
        # By identity, because comparing costs as much as writing. The definition is kept beside its message, so no
        # other one can come to have its identity meanwhile.
        known = self._large.get(id(campaign))
        if known is not None:
            return known[1]
        message = campaign_of(campaign)
        if message.ByteSize() >= LARGE_BYTES:
            self._large[id(campaign)] = campaign, message
        return message
