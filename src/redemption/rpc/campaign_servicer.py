"""CampaignService: running campaigns."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from redemption.domain.campaign import Campaign, CampaignState
from redemption.domain.definition import NUMBER_MAX
from redemption.domain.errors import InvalidRequest, Violation
from redemption.rpc.call import CallContext, deadline_of, principal_of
from redemption.rpc.campaign_convert import campaign_from, new_campaign_from, stats_of
from redemption.rpc.campaign_messages import CampaignMessages
from redemption.rpc.guard import Unary
from redemption.service.campaigns import Campaigns
from redemption.v1 import campaign_service_pb2 as messages

PAGE_BYTES_MAX = 3 * 1024 * 1024
"""Of the definitions on one page, unless the first alone is larger: gRPC takes 4 MiB by default."""
_NUMBER_DIGITS_MAX = len(str(NUMBER_MAX))


class NumberedRequest(Protocol):
    """A request that names one campaign."""

    program: str
    number: int


class CampaignServicer:
    """Answers CampaignService."""

    def __init__(self, campaigns: Campaigns) -> None:
        self._campaigns = campaigns
        self._messages = CampaignMessages()

    def methods(self) -> Mapping[str, Unary]:
        """Return what this version answers, by the names of the contract."""
        return {
            "CreateCampaign": Unary(messages.CreateCampaignRequest, self.create),
            "GetCampaign": Unary(messages.GetCampaignRequest, self.get),
            "ListCampaigns": Unary(messages.ListCampaignsRequest, self.list),
            "UpdateCampaign": Unary(messages.UpdateCampaignRequest, self.update),
            "PauseCampaign": Unary(messages.PauseCampaignRequest, self.pause),
            "ResumeCampaign": Unary(messages.ResumeCampaignRequest, self.resume),
            "EndCampaign": Unary(messages.EndCampaignRequest, self.end),
            "ArchiveCampaign": Unary(messages.ArchiveCampaignRequest, self.archive),
            "GetCampaignStats": Unary(messages.GetCampaignStatsRequest, self.get_stats),
        }

    async def create(
        self, request: messages.CreateCampaignRequest, context: CallContext
    ) -> messages.CreateCampaignResponse:
        """Create a campaign, or only check whether it would be created."""
        if not request.HasField("campaign"):
            raise InvalidRequest([Violation("campaign", "is required")])
        campaign = new_campaign_from(request.campaign)
        if request.validate_only:
            checked = await self._campaigns.check_create(request.request_id, campaign)
            return messages.CreateCampaignResponse(campaign=self._messages.of(checked))
        created = await self._campaigns.create(principal_of(context), request.request_id, campaign)
        return messages.CreateCampaignResponse(campaign=self._messages.of(created))

    async def get(self, request: messages.GetCampaignRequest, _: CallContext) -> messages.GetCampaignResponse:
        """Get a campaign."""
        campaign = await self._campaigns.get(request.program, request.number)
        return messages.GetCampaignResponse(campaign=self._messages.of(campaign))

    async def list(self, request: messages.ListCampaignsRequest, _: CallContext) -> messages.ListCampaignsResponse:
        """List campaigns by their numbers; a page ends early when its definitions are very large."""
        first = first_number_from(request.page_token)
        page = await self._campaigns.list(request.program, first=first, page_size=request.page_size)
        response = messages.ListCampaignsResponse()
        size = 0
        for campaign in page.campaigns:
            await asyncio.sleep(0)  # a large one takes milliseconds: between two of them others have their turn
            message = self._messages.of(campaign)
            size += message.ByteSize()
            if size > PAGE_BYTES_MAX and response.campaigns:
                response.next_page_token = str(campaign.number)
                return response
            response.campaigns.append(message)
        if page.next_number is not None:
            response.next_page_token = str(page.next_number)
        return response

    async def update(self, request: messages.UpdateCampaignRequest, _: CallContext) -> messages.UpdateCampaignResponse:
        """Replace a definition, or only check whether it would be replaced."""
        if not request.HasField("campaign"):
            raise InvalidRequest([Violation("campaign", "is required")])
        if not request.campaign.number:
            raise InvalidRequest([Violation("campaign.number", "is required: which campaign to change")])
        update = self._campaigns.check_update if request.validate_only else self._campaigns.update
        campaign = await update(campaign_from(request.campaign), request.campaign.etag)
        return messages.UpdateCampaignResponse(campaign=self._messages.of(campaign))

    async def pause(self, request: messages.PauseCampaignRequest, _: CallContext) -> messages.PauseCampaignResponse:
        """Stop redeeming for a while."""
        return messages.PauseCampaignResponse(
            campaign=self._messages.of(await self._set(request, CampaignState.PAUSED))
        )

    async def resume(self, request: messages.ResumeCampaignRequest, _: CallContext) -> messages.ResumeCampaignResponse:
        """Go on after a pause."""
        return messages.ResumeCampaignResponse(
            campaign=self._messages.of(await self._set(request, CampaignState.ACTIVE))
        )

    async def end(self, request: messages.EndCampaignRequest, _: CallContext) -> messages.EndCampaignResponse:
        """End a campaign for good."""
        return messages.EndCampaignResponse(campaign=self._messages.of(await self._set(request, CampaignState.ENDED)))

    async def archive(
        self, request: messages.ArchiveCampaignRequest, context: CallContext
    ) -> messages.ArchiveCampaignResponse:
        """Remove a campaign's records, leaving its definition and totals."""
        deadline = deadline_of(context)
        campaign = await self._campaigns.archive(request.program, request.number, deadline=deadline)
        return messages.ArchiveCampaignResponse(campaign=self._messages.of(campaign))

    async def get_stats(
        self, request: messages.GetCampaignStatsRequest, _: CallContext
    ) -> messages.GetCampaignStatsResponse:
        """Count what happened."""
        stats = await self._campaigns.stats(request.program, request.number)
        return messages.GetCampaignStatsResponse(stats=stats_of(stats))

    async def _set(self, request: NumberedRequest, state: CampaignState) -> Campaign:
        return await self._campaigns.set_state(request.program, request.number, state)


def first_number_from(page_token: str) -> int:
    """Return the number that a page begins with: the token is that number, as text.

    Raises:
        InvalidRequest: It was not made by this service.
    """
    if not page_token:
        return 1
    if page_token.isascii() and page_token.isdigit() and len(page_token) <= _NUMBER_DIGITS_MAX:
        number = int(page_token)
        if 1 <= number <= NUMBER_MAX:
            return number
    raise InvalidRequest([Violation("page_token", "is not the next_page_token of an earlier answer")])
