"""Every RPC of the contract with its types, for programs with asyncio."""

from typing import TYPE_CHECKING, Any

import grpc.aio

from redemption.client.calls import AsyncCall, AsyncStreamCall
from redemption.v1.campaign_service_pb2_grpc import CampaignServiceStub
from redemption.v1.issuance_service_pb2_grpc import IssuanceServiceStub
from redemption.v1.redemption_service_pb2_grpc import RedemptionServiceStub

if TYPE_CHECKING:
    from redemption.v1 import campaign_service_pb2 as campaigns
    from redemption.v1 import issuance_service_pb2 as issuance
    from redemption.v1 import redemption_service_pb2 as redemption


class AsyncRedemptionClient:
    """The RPCs of all three services, over a channel of ``connect_aio``: ``(await client.redeem(request)).decision``.

    Every call takes ``timeout=`` in seconds, if its deadline is not the channel's, and raises ``CallFailed`` when it is
    not answered. ``mint`` is an asynchronous iterator: ``async for part in client.mint(request)``.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        # The generated stubs have no type hints; the annotations below are the types of the contract.
        redeeming: Any = RedemptionServiceStub(channel)  # type: ignore[no-untyped-call]
        issuing: Any = IssuanceServiceStub(channel)  # type: ignore[no-untyped-call]
        running: Any = CampaignServiceStub(channel)  # type: ignore[no-untyped-call]

        self.redeem: AsyncCall[redemption.RedeemRequest, redemption.RedeemResponse] = AsyncCall(redeeming.Redeem)
        self.batch_redeem: AsyncCall[redemption.BatchRedeemRequest, redemption.BatchRedeemResponse] = AsyncCall(
            redeeming.BatchRedeem
        )
        self.quote: AsyncCall[redemption.QuoteRequest, redemption.QuoteResponse] = AsyncCall(redeeming.Quote)
        self.reserve: AsyncCall[redemption.ReserveRequest, redemption.ReserveResponse] = AsyncCall(redeeming.Reserve)
        self.confirm: AsyncCall[redemption.ConfirmRequest, redemption.ConfirmResponse] = AsyncCall(redeeming.Confirm)
        self.release: AsyncCall[redemption.ReleaseRequest, redemption.ReleaseResponse] = AsyncCall(redeeming.Release)
        self.reverse: AsyncCall[redemption.ReverseRequest, redemption.ReverseResponse] = AsyncCall(redeeming.Reverse)
        self.get_redemption: AsyncCall[redemption.GetRedemptionRequest, redemption.GetRedemptionResponse] = AsyncCall(
            redeeming.GetRedemption
        )

        self.mint: AsyncStreamCall[issuance.MintRequest, issuance.MintResponse] = AsyncStreamCall(issuing.Mint)
        self.claim: AsyncCall[issuance.ClaimRequest, issuance.ClaimResponse] = AsyncCall(issuing.Claim)
        self.revoke: AsyncCall[issuance.RevokeRequest, issuance.RevokeResponse] = AsyncCall(issuing.Revoke)
        self.inspect_token: AsyncCall[issuance.InspectTokenRequest, issuance.InspectTokenResponse] = AsyncCall(
            issuing.InspectToken
        )

        self.create_campaign: AsyncCall[campaigns.CreateCampaignRequest, campaigns.CreateCampaignResponse] = AsyncCall(
            running.CreateCampaign
        )
        self.get_campaign: AsyncCall[campaigns.GetCampaignRequest, campaigns.GetCampaignResponse] = AsyncCall(
            running.GetCampaign
        )
        self.list_campaigns: AsyncCall[campaigns.ListCampaignsRequest, campaigns.ListCampaignsResponse] = AsyncCall(
            running.ListCampaigns
        )
        self.update_campaign: AsyncCall[campaigns.UpdateCampaignRequest, campaigns.UpdateCampaignResponse] = AsyncCall(
            running.UpdateCampaign
        )
        self.pause_campaign: AsyncCall[campaigns.PauseCampaignRequest, campaigns.PauseCampaignResponse] = AsyncCall(
            running.PauseCampaign
        )
        self.resume_campaign: AsyncCall[campaigns.ResumeCampaignRequest, campaigns.ResumeCampaignResponse] = AsyncCall(
            running.ResumeCampaign
        )
        self.end_campaign: AsyncCall[campaigns.EndCampaignRequest, campaigns.EndCampaignResponse] = AsyncCall(
            running.EndCampaign
        )
        self.archive_campaign: AsyncCall[campaigns.ArchiveCampaignRequest, campaigns.ArchiveCampaignResponse] = (
            AsyncCall(running.ArchiveCampaign)
        )
        self.get_campaign_stats: AsyncCall[campaigns.GetCampaignStatsRequest, campaigns.GetCampaignStatsResponse] = (
            AsyncCall(running.GetCampaignStats)
        )
