"""Pauses parts of a running campaign, and takes that back: merchants, articles and offers."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

import grpc

from redemption.cli.exits import BAD_INPUT, Stop
from redemption.cli.server_calls import campaign_called
from redemption.client import CallFailed, RedemptionClient
from redemption.v1.campaign_pb2 import Campaign
from redemption.v1.campaign_service_pb2 import UpdateCampaignRequest

_ROUNDS_MAX = 5
_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of a campaign; offers are their indexes."""

    merchant_ids: tuple[str, ...]
    skus: tuple[str, ...]
    offers: tuple[int, ...]

    def pause(self, campaign: Campaign) -> None:
        """Pause them in a definition; what is paused already stays so."""
        campaign.paused_merchant_ids[:] = _with(campaign.paused_merchant_ids, self.merchant_ids)
        campaign.paused_skus[:] = _with(campaign.paused_skus, self.skus)
        campaign.paused_offers[:] = _with(campaign.paused_offers, self.offers)

    def resume(self, campaign: Campaign) -> None:
        """Take their pause back in a definition."""
        campaign.paused_merchant_ids[:] = _without(campaign.paused_merchant_ids, self.merchant_ids)
        campaign.paused_skus[:] = _without(campaign.paused_skus, self.skus)
        campaign.paused_offers[:] = _without(campaign.paused_offers, self.offers)


def change_parts(
    client: RedemptionClient, program: str, name_or_number: str, change: Callable[[Campaign], None]
) -> Campaign:
    """Change a campaign's definition, and return the campaign as it is now.

    Somebody else may change it at the same time: then it is read again.

    Raises:
        Stop: There is no such campaign, or it changes all the time.
    """
    for _ in range(_ROUNDS_MAX):
        campaign = campaign_called(client, program, name_or_number)
        wanted = Campaign()
        wanted.CopyFrom(campaign)
        change(wanted)
        if wanted == campaign:
            return campaign
        try:
            return client.update_campaign(UpdateCampaignRequest(campaign=wanted)).campaign
        except CallFailed as error:
            if error.code is not grpc.StatusCode.ABORTED:
                raise
    raise Stop(BAD_INPUT, f"campaign {name_or_number} is being changed by others all the time; try again")


def _with(paused: Collection[_Part], more: Collection[_Part]) -> list[_Part]:
    return list(dict.fromkeys((*paused, *more)))


def _without(paused: Collection[_Part], fewer: Collection[_Part]) -> list[_Part]:
    return [each for each in paused if each not in fewer]
