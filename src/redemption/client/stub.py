"""Every RPC of the contract with its types: one client for blocking programs, and one for programs with asyncio."""

import re
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message_factory import GetMessageClass

from redemption.client.calls import AsyncCall, AsyncStreamCall, Call, StreamCall
from redemption.v1 import campaign_service_pb2 as campaigns
from redemption.v1 import issuance_service_pb2 as issuance
from redemption.v1 import redemption_service_pb2 as redemption
from redemption.v1 import risk_service_pb2 as risk


class RedemptionClient:
    """The RPCs of all services, over a channel of ``connect``: ``client.redeem(request).decision``.

    Every call takes ``timeout=`` in seconds, if its deadline is not the channel's, and raises ``CallFailed`` when it is
    not answered. A client may be used by many threads.
    """

    redeem: Call[redemption.RedeemRequest, redemption.RedeemResponse]
    batch_redeem: Call[redemption.BatchRedeemRequest, redemption.BatchRedeemResponse]
    quote: Call[redemption.QuoteRequest, redemption.QuoteResponse]
    reserve: Call[redemption.ReserveRequest, redemption.ReserveResponse]
    confirm: Call[redemption.ConfirmRequest, redemption.ConfirmResponse]
    release: Call[redemption.ReleaseRequest, redemption.ReleaseResponse]
    reverse: Call[redemption.ReverseRequest, redemption.ReverseResponse]
    get_redemption: Call[redemption.GetRedemptionRequest, redemption.GetRedemptionResponse]

    mint: StreamCall[issuance.MintRequest, issuance.MintResponse]
    claim: Call[issuance.ClaimRequest, issuance.ClaimResponse]
    revoke: Call[issuance.RevokeRequest, issuance.RevokeResponse]
    inspect_token: Call[issuance.InspectTokenRequest, issuance.InspectTokenResponse]

    create_campaign: Call[campaigns.CreateCampaignRequest, campaigns.CreateCampaignResponse]
    get_campaign: Call[campaigns.GetCampaignRequest, campaigns.GetCampaignResponse]
    list_campaigns: Call[campaigns.ListCampaignsRequest, campaigns.ListCampaignsResponse]
    update_campaign: Call[campaigns.UpdateCampaignRequest, campaigns.UpdateCampaignResponse]
    pause_campaign: Call[campaigns.PauseCampaignRequest, campaigns.PauseCampaignResponse]
    resume_campaign: Call[campaigns.ResumeCampaignRequest, campaigns.ResumeCampaignResponse]
    end_campaign: Call[campaigns.EndCampaignRequest, campaigns.EndCampaignResponse]
    archive_campaign: Call[campaigns.ArchiveCampaignRequest, campaigns.ArchiveCampaignResponse]
    get_campaign_stats: Call[campaigns.GetCampaignStatsRequest, campaigns.GetCampaignStatsResponse]

    get_rules: Call[risk.GetRulesRequest, risk.GetRulesResponse]
    update_rules: Call[risk.UpdateRulesRequest, risk.UpdateRulesResponse]
    tighten_rule: Call[risk.TightenRuleRequest, risk.TightenRuleResponse]
    loosen_rule: Call[risk.LoosenRuleRequest, risk.LoosenRuleResponse]
    freeze_claims: Call[risk.FreezeClaimsRequest, risk.FreezeClaimsResponse]
    thaw_claims: Call[risk.ThawClaimsRequest, risk.ThawClaimsResponse]
    add_list_entries: Call[risk.AddListEntriesRequest, risk.AddListEntriesResponse]
    remove_list_entries: Call[risk.RemoveListEntriesRequest, risk.RemoveListEntriesResponse]
    list_list_entries: Call[risk.ListListEntriesRequest, risk.ListListEntriesResponse]
    get_risk_stats: Call[risk.GetRiskStatsRequest, risk.GetRiskStatsResponse]
    list_top_subjects: Call[risk.ListTopSubjectsRequest, risk.ListTopSubjectsResponse]
    get_subject: Call[risk.GetSubjectRequest, risk.GetSubjectResponse]

    def __init__(self, channel: grpc.Channel) -> None:
        _set_calls(self, channel, Call, StreamCall)


class AsyncRedemptionClient:
    """The RPCs of all services, over a channel of ``connect_aio``: ``(await client.redeem(request)).decision``.

    Every call takes ``timeout=`` in seconds, if its deadline is not the channel's, and raises ``CallFailed`` when it is
    not answered. ``mint`` is an asynchronous iterator: ``async for part in client.mint(request)``.
    """

    redeem: AsyncCall[redemption.RedeemRequest, redemption.RedeemResponse]
    batch_redeem: AsyncCall[redemption.BatchRedeemRequest, redemption.BatchRedeemResponse]
    quote: AsyncCall[redemption.QuoteRequest, redemption.QuoteResponse]
    reserve: AsyncCall[redemption.ReserveRequest, redemption.ReserveResponse]
    confirm: AsyncCall[redemption.ConfirmRequest, redemption.ConfirmResponse]
    release: AsyncCall[redemption.ReleaseRequest, redemption.ReleaseResponse]
    reverse: AsyncCall[redemption.ReverseRequest, redemption.ReverseResponse]
    get_redemption: AsyncCall[redemption.GetRedemptionRequest, redemption.GetRedemptionResponse]

    mint: AsyncStreamCall[issuance.MintRequest, issuance.MintResponse]
    claim: AsyncCall[issuance.ClaimRequest, issuance.ClaimResponse]
    revoke: AsyncCall[issuance.RevokeRequest, issuance.RevokeResponse]
    inspect_token: AsyncCall[issuance.InspectTokenRequest, issuance.InspectTokenResponse]

    create_campaign: AsyncCall[campaigns.CreateCampaignRequest, campaigns.CreateCampaignResponse]
    get_campaign: AsyncCall[campaigns.GetCampaignRequest, campaigns.GetCampaignResponse]
    list_campaigns: AsyncCall[campaigns.ListCampaignsRequest, campaigns.ListCampaignsResponse]
    update_campaign: AsyncCall[campaigns.UpdateCampaignRequest, campaigns.UpdateCampaignResponse]
    pause_campaign: AsyncCall[campaigns.PauseCampaignRequest, campaigns.PauseCampaignResponse]
    resume_campaign: AsyncCall[campaigns.ResumeCampaignRequest, campaigns.ResumeCampaignResponse]
    end_campaign: AsyncCall[campaigns.EndCampaignRequest, campaigns.EndCampaignResponse]
    archive_campaign: AsyncCall[campaigns.ArchiveCampaignRequest, campaigns.ArchiveCampaignResponse]
    get_campaign_stats: AsyncCall[campaigns.GetCampaignStatsRequest, campaigns.GetCampaignStatsResponse]

    get_rules: AsyncCall[risk.GetRulesRequest, risk.GetRulesResponse]
    update_rules: AsyncCall[risk.UpdateRulesRequest, risk.UpdateRulesResponse]
    tighten_rule: AsyncCall[risk.TightenRuleRequest, risk.TightenRuleResponse]
    loosen_rule: AsyncCall[risk.LoosenRuleRequest, risk.LoosenRuleResponse]
    freeze_claims: AsyncCall[risk.FreezeClaimsRequest, risk.FreezeClaimsResponse]
    thaw_claims: AsyncCall[risk.ThawClaimsRequest, risk.ThawClaimsResponse]
    add_list_entries: AsyncCall[risk.AddListEntriesRequest, risk.AddListEntriesResponse]
    remove_list_entries: AsyncCall[risk.RemoveListEntriesRequest, risk.RemoveListEntriesResponse]
    list_list_entries: AsyncCall[risk.ListListEntriesRequest, risk.ListListEntriesResponse]
    get_risk_stats: AsyncCall[risk.GetRiskStatsRequest, risk.GetRiskStatsResponse]
    list_top_subjects: AsyncCall[risk.ListTopSubjectsRequest, risk.ListTopSubjectsResponse]
    get_subject: AsyncCall[risk.GetSubjectRequest, risk.GetSubjectResponse]

    def __init__(self, channel: grpc.aio.Channel) -> None:
        _set_calls(self, channel, AsyncCall, AsyncStreamCall)


def _set_calls(client: object, channel: Any, call: type, stream_call: type) -> None:  # noqa: ANN401 - of two libraries
    """Set the attributes of a client: one for each method of the contract.

    The generated stubs are not used: they register their methods with the channel, and the first call of a registered
    method on a channel that is closed ends the whole process (grpcio 1.85).
    """
    for module in (redemption, issuance, campaigns, risk):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                kind, make = (
                    (stream_call, channel.unary_stream) if method.server_streaming else (call, channel.unary_unary)
                )
                request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
                made = make(
                    f"/{service.full_name}/{method.name}",
                    request_serializer=request.SerializeToString,
                    response_deserializer=response.FromString,
                )
                setattr(client, re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower(), kind(made, request))
