"""Every RPC of the contract with its types, for blocking programs."""

from typing import TYPE_CHECKING, Any

import grpc

from redemption.client.calls import Call, StreamCall
from redemption.v1.campaign_service_pb2_grpc import CampaignServiceStub
from redemption.v1.issuance_service_pb2_grpc import IssuanceServiceStub
from redemption.v1.redemption_service_pb2_grpc import RedemptionServiceStub

if TYPE_CHECKING:
    from redemption.v1 import campaign_service_pb2 as campaigns
    from redemption.v1 import issuance_service_pb2 as issuance
    from redemption.v1 import redemption_service_pb2 as redemption


class RedemptionClient:
    """The RPCs of all three services, over a channel of ``connect``: ``client.redeem(request).decision``.

    Every call takes ``timeout=`` in seconds, if its deadline is not the channel's, and raises ``CallFailed`` when it is
    not answered. A client may be used by many threads.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        # The generated stubs have no type hints; the annotations below are the types of the contract.
        redeeming: Any = RedemptionServiceStub(channel)  # type: ignore[no-untyped-call]
        issuing: Any = IssuanceServiceStub(channel)  # type: ignore[no-untyped-call]
        running: Any = CampaignServiceStub(channel)  # type: ignore[no-untyped-call]

        self.redeem: Call[redemption.RedeemRequest, redemption.RedeemResponse] = Call(redeeming.Redeem)
        self.batch_redeem: Call[redemption.BatchRedeemRequest, redemption.BatchRedeemResponse] = Call(
            redeeming.BatchRedeem
        )
        self.quote: Call[redemption.QuoteRequest, redemption.QuoteResponse] = Call(redeeming.Quote)
        self.reserve: Call[redemption.ReserveRequest, redemption.ReserveResponse] = Call(redeeming.Reserve)
        self.confirm: Call[redemption.ConfirmRequest, redemption.ConfirmResponse] = Call(redeeming.Confirm)
        self.release: Call[redemption.ReleaseRequest, redemption.ReleaseResponse] = Call(redeeming.Release)
        self.reverse: Call[redemption.ReverseRequest, redemption.ReverseResponse] = Call(redeeming.Reverse)
        self.get_redemption: Call[redemption.GetRedemptionRequest, redemption.GetRedemptionResponse] = Call(
            redeeming.GetRedemption
        )

        self.mint: StreamCall[issuance.MintRequest, issuance.MintResponse] = StreamCall(issuing.Mint)
        self.claim: Call[issuance.ClaimRequest, issuance.ClaimResponse] = Call(issuing.Claim)
        self.revoke: Call[issuance.RevokeRequest, issuance.RevokeResponse] = Call(issuing.Revoke)
        self.inspect_token: Call[issuance.InspectTokenRequest, issuance.InspectTokenResponse] = Call(
            issuing.InspectToken
        )

        self.create_campaign: Call[campaigns.CreateCampaignRequest, campaigns.CreateCampaignResponse] = Call(
            running.CreateCampaign
        )
        self.get_campaign: Call[campaigns.GetCampaignRequest, campaigns.GetCampaignResponse] = Call(running.GetCampaign)
        self.list_campaigns: Call[campaigns.ListCampaignsRequest, campaigns.ListCampaignsResponse] = Call(
            running.ListCampaigns
        )
        self.update_campaign: Call[campaigns.UpdateCampaignRequest, campaigns.UpdateCampaignResponse] = Call(
            running.UpdateCampaign
        )
        self.pause_campaign: Call[campaigns.PauseCampaignRequest, campaigns.PauseCampaignResponse] = Call(
            running.PauseCampaign
        )
        self.resume_campaign: Call[campaigns.ResumeCampaignRequest, campaigns.ResumeCampaignResponse] = Call(
            running.ResumeCampaign
        )
        self.end_campaign: Call[campaigns.EndCampaignRequest, campaigns.EndCampaignResponse] = Call(running.EndCampaign)
        self.archive_campaign: Call[campaigns.ArchiveCampaignRequest, campaigns.ArchiveCampaignResponse] = Call(
            running.ArchiveCampaign
        )
        self.get_campaign_stats: Call[campaigns.GetCampaignStatsRequest, campaigns.GetCampaignStatsResponse] = Call(
            running.GetCampaignStats
        )
