"""Every RPC of the contract with its types, over one channel."""

from typing import TYPE_CHECKING, Any

import grpc

from redemption.v1.campaign_service_pb2_grpc import CampaignServiceStub
from redemption.v1.issuance_service_pb2_grpc import IssuanceServiceStub
from redemption.v1.redemption_service_pb2_grpc import RedemptionServiceStub

if TYPE_CHECKING:
    from redemption.v1 import campaign_service_pb2 as campaigns
    from redemption.v1 import issuance_service_pb2 as issuance
    from redemption.v1 import redemption_service_pb2 as redemption


class RedemptionClient:
    """The RPCs of all three services, with types. Each attribute is gRPC's own callable, unchanged.

    So ``client.redeem(request)`` blocks and returns the answer, ``client.redeem.future(request)`` does not wait,
    and ``timeout=`` sets a deadline other than the channel's.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        # The generated stubs have no type hints; the annotations below are the types of the contract.
        redeeming: Any = RedemptionServiceStub(channel)  # type: ignore[no-untyped-call]
        issuing: Any = IssuanceServiceStub(channel)  # type: ignore[no-untyped-call]
        running: Any = CampaignServiceStub(channel)  # type: ignore[no-untyped-call]

        self.redeem: grpc.UnaryUnaryMultiCallable[redemption.RedeemRequest, redemption.RedeemResponse] = (
            redeeming.Redeem
        )
        self.batch_redeem: grpc.UnaryUnaryMultiCallable[
            redemption.BatchRedeemRequest, redemption.BatchRedeemResponse
        ] = redeeming.BatchRedeem
        self.quote: grpc.UnaryUnaryMultiCallable[redemption.QuoteRequest, redemption.QuoteResponse] = redeeming.Quote
        self.reserve: grpc.UnaryUnaryMultiCallable[redemption.ReserveRequest, redemption.ReserveResponse] = (
            redeeming.Reserve
        )
        self.confirm: grpc.UnaryUnaryMultiCallable[redemption.ConfirmRequest, redemption.ConfirmResponse] = (
            redeeming.Confirm
        )
        self.release: grpc.UnaryUnaryMultiCallable[redemption.ReleaseRequest, redemption.ReleaseResponse] = (
            redeeming.Release
        )
        self.reverse: grpc.UnaryUnaryMultiCallable[redemption.ReverseRequest, redemption.ReverseResponse] = (
            redeeming.Reverse
        )
        self.get_redemption: grpc.UnaryUnaryMultiCallable[
            redemption.GetRedemptionRequest, redemption.GetRedemptionResponse
        ] = redeeming.GetRedemption

        self.mint: grpc.UnaryStreamMultiCallable[issuance.MintRequest, issuance.MintResponse] = issuing.Mint
        self.claim: grpc.UnaryUnaryMultiCallable[issuance.ClaimRequest, issuance.ClaimResponse] = issuing.Claim
        self.revoke: grpc.UnaryUnaryMultiCallable[issuance.RevokeRequest, issuance.RevokeResponse] = issuing.Revoke
        self.inspect_token: grpc.UnaryUnaryMultiCallable[
            issuance.InspectTokenRequest, issuance.InspectTokenResponse
        ] = issuing.InspectToken

        self.create_campaign: grpc.UnaryUnaryMultiCallable[
            campaigns.CreateCampaignRequest, campaigns.CreateCampaignResponse
        ] = running.CreateCampaign
        self.get_campaign: grpc.UnaryUnaryMultiCallable[campaigns.GetCampaignRequest, campaigns.GetCampaignResponse] = (
            running.GetCampaign
        )
        self.list_campaigns: grpc.UnaryUnaryMultiCallable[
            campaigns.ListCampaignsRequest, campaigns.ListCampaignsResponse
        ] = running.ListCampaigns
        self.update_campaign: grpc.UnaryUnaryMultiCallable[
            campaigns.UpdateCampaignRequest, campaigns.UpdateCampaignResponse
        ] = running.UpdateCampaign
        self.pause_campaign: grpc.UnaryUnaryMultiCallable[
            campaigns.PauseCampaignRequest, campaigns.PauseCampaignResponse
        ] = running.PauseCampaign
        self.resume_campaign: grpc.UnaryUnaryMultiCallable[
            campaigns.ResumeCampaignRequest, campaigns.ResumeCampaignResponse
        ] = running.ResumeCampaign
        self.end_campaign: grpc.UnaryUnaryMultiCallable[campaigns.EndCampaignRequest, campaigns.EndCampaignResponse] = (
            running.EndCampaign
        )
        self.archive_campaign: grpc.UnaryUnaryMultiCallable[
            campaigns.ArchiveCampaignRequest, campaigns.ArchiveCampaignResponse
        ] = running.ArchiveCampaign
        self.get_campaign_stats: grpc.UnaryUnaryMultiCallable[
            campaigns.GetCampaignStatsRequest, campaigns.GetCampaignStatsResponse
        ] = running.GetCampaignStats
