"""CampaignService: running campaigns."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from redemption.domain.call_info import CallInfo
from redemption.domain.campaign.campaign import Campaign, CampaignState
from redemption.domain.campaign.campaign_checks import NUMBER_MAX
from redemption.domain.errors import InvalidRequest, Violation
from redemption.rpc.convert.campaign_messages import CampaignMessages
from redemption.rpc.convert.campaigns import (
    BYTES_MAX,
    campaign_of,
    campaign_steps,
    new_campaign_steps,
    stats_of,
    warning_of,
)
from redemption.rpc.guard import Unary, Unparsed
from redemption.rpc.request_limits import REQUEST_BYTES_MAX
from redemption.scheduling.fair_slots import FairSlots
from redemption.scheduling.work_bounds import DEFINITIONS, DEFINITIONS_WAITING_MAX
from redemption.service.use_cases import UseCases
from redemption.v1 import campaign_service_pb2 as messages

DEFINITION_BYTES_MAX = BYTES_MAX + REQUEST_BYTES_MAX
"""The largest request that has a definition in it."""
PAGE_BYTES_MAX = 3 * 1024 * 1024
"""The most bytes of definitions on one page, unless the first alone is larger: clients accept 4 MiB by default."""
R = TypeVar("R")
_NUMBER_DIGITS_MAX = len(str(NUMBER_MAX))


class NumberedRequest(Protocol):
    """A request that names one campaign."""

    program: str
    number: int


class CampaignServicer:
    """Answers CampaignService."""

    def __init__(self, use_cases: UseCases) -> None:
        self._campaigns = use_cases.campaigns
        self._messages = CampaignMessages()
        self._definitions = FairSlots(DEFINITIONS, waiting_max=DEFINITIONS_WAITING_MAX)
        self._pages = FairSlots(DEFINITIONS, waiting_max=DEFINITIONS_WAITING_MAX)
        # Nobody is refused here: the campaign was paused or ended already, and its caller must learn that.
        self._answers = FairSlots(DEFINITIONS)

    def methods(self) -> Mapping[str, Unary | Unparsed]:
        """Return the methods that this version answers, by their names in the contract."""
        return {
            "CreateCampaign": Unparsed(messages.CreateCampaignRequest, self.create, DEFINITION_BYTES_MAX),
            "GetCampaign": Unary(messages.GetCampaignRequest, self.get, REQUEST_BYTES_MAX),
            "ListCampaigns": Unary(messages.ListCampaignsRequest, self.list, REQUEST_BYTES_MAX),
            "UpdateCampaign": Unparsed(messages.UpdateCampaignRequest, self.update, DEFINITION_BYTES_MAX),
            "PauseCampaign": Unary(messages.PauseCampaignRequest, self.pause, REQUEST_BYTES_MAX),
            "ResumeCampaign": Unary(messages.ResumeCampaignRequest, self.resume, REQUEST_BYTES_MAX),
            "EndCampaign": Unary(messages.EndCampaignRequest, self.end, REQUEST_BYTES_MAX),
            "ArchiveCampaign": Unary(messages.ArchiveCampaignRequest, self.archive, REQUEST_BYTES_MAX),
            "GetCampaignStats": Unary(messages.GetCampaignStatsRequest, self.get_stats, REQUEST_BYTES_MAX),
        }

    async def create(
        self,
        raw: bytes,
        info: CallInfo,
        parse: Callable[[bytes], messages.CreateCampaignRequest] = messages.CreateCampaignRequest.FromString,
    ) -> messages.CreateCampaignResponse:
        """Create a campaign; with ``validate_only``, only check whether it would be created."""
        async with self._definitions.slot(info.deadline) as slot:
            request = parse(raw)
            await slot.pause()
            if not request.HasField("campaign"):
                raise InvalidRequest([Violation("campaign", "is required")])
            definition = await slot.drive_small_steps(new_campaign_steps(request.campaign))
            if request.validate_only:
                checked = await self._campaigns.check_create(info, request.request_id, definition, slot)
                slot.resume()
                response = messages.CreateCampaignResponse(campaign=campaign_of(checked))
            else:
                created = await self._campaigns.create(info, request.request_id, definition, slot)
                slot.resume()
                response = messages.CreateCampaignResponse(campaign=self._messages.of(created))
            await slot.pause()
            return response

    async def get(self, request: messages.GetCampaignRequest, info: CallInfo) -> messages.GetCampaignResponse:
        """Get a campaign."""
        campaign = await self._campaigns.get(info, request.program, request.number)
        return await self._written(messages.GetCampaignResponse, campaign)

    async def list(self, request: messages.ListCampaignsRequest, info: CallInfo) -> messages.ListCampaignsResponse:
        """List campaigns by their numbers; a page ends early when its definitions are very large."""
        first = first_number_from(request.page_token)
        response = messages.ListCampaignsResponse()
        size = 0
        async with self._pages.slot(info.deadline) as slot:
            page = await self._campaigns.list(info, request.program, first=first, page_size=request.page_size)
            slot.resume()
            for campaign in page.campaigns:
                message = self._messages.of(campaign)
                size += message.ByteSize()
                if size > PAGE_BYTES_MAX and response.campaigns:
                    response.next_page_token = str(campaign.number)
                    return response
                response.campaigns.append(message)
                await slot.pause()
        if page.next_number is not None:
            response.next_page_token = str(page.next_number)
        return response

    async def update(
        self,
        raw: bytes,
        info: CallInfo,
        parse: Callable[[bytes], messages.UpdateCampaignRequest] = messages.UpdateCampaignRequest.FromString,
    ) -> messages.UpdateCampaignResponse:
        """Replace a definition; with ``validate_only``, only check whether it would be replaced."""
        async with self._definitions.slot(info.deadline) as slot:
            request = parse(raw)
            await slot.pause()
            if not request.HasField("campaign"):
                raise InvalidRequest([Violation("campaign", "is required")])
            if not request.campaign.number:
                raise InvalidRequest([Violation("campaign.number", "is required: which campaign to change")])
            definition = await slot.drive_small_steps(campaign_steps(request.campaign))
            if request.validate_only:
                checked = await self._campaigns.check_update(info, definition, request.campaign.etag, slot)
                slot.resume()
                written, warnings = campaign_of(checked.campaign), checked.warnings
            else:
                updated = await self._campaigns.update(info, definition, request.campaign.etag, slot)
                slot.resume()
                written, warnings = self._messages.of(updated.campaign), updated.warnings
            response = messages.UpdateCampaignResponse(campaign=written, warnings=map(warning_of, warnings))
            await slot.pause()
            return response

    async def pause(self, request: messages.PauseCampaignRequest, info: CallInfo) -> messages.PauseCampaignResponse:
        """Stop redeeming for a while."""
        campaign = await self._set(info, request, CampaignState.PAUSED)
        return await self._written(messages.PauseCampaignResponse, campaign)

    async def resume(self, request: messages.ResumeCampaignRequest, info: CallInfo) -> messages.ResumeCampaignResponse:
        """Resume redeeming after a pause."""
        campaign = await self._set(info, request, CampaignState.ACTIVE)
        return await self._written(messages.ResumeCampaignResponse, campaign)

    async def end(self, request: messages.EndCampaignRequest, info: CallInfo) -> messages.EndCampaignResponse:
        """End a campaign for good."""
        campaign = await self._set(info, request, CampaignState.ENDED)
        return await self._written(messages.EndCampaignResponse, campaign)

    async def archive(
        self, request: messages.ArchiveCampaignRequest, info: CallInfo
    ) -> messages.ArchiveCampaignResponse:
        """Remove a campaign's records, leaving its definition and totals."""
        campaign = await self._campaigns.archive(info, request.program, request.number)
        return await self._written(messages.ArchiveCampaignResponse, campaign)

    async def get_stats(
        self, request: messages.GetCampaignStatsRequest, info: CallInfo
    ) -> messages.GetCampaignStatsResponse:
        """Count what happened."""
        stats = await self._campaigns.stats(info, request.program, request.number)
        return messages.GetCampaignStatsResponse(stats=stats_of(stats))

    async def _set(self, info: CallInfo, request: NumberedRequest, state: CampaignState) -> Campaign:
        return await self._campaigns.set_state(info, request.program, request.number, state)

    async def _written(self, response: Callable[..., R], campaign: Campaign) -> R:
        """Return an answer that has one campaign; only few are written at a time, because it may be large.

        Many callers may wait for one read of the ledger, and go on in the same turn of the event loop.
        """
        async with self._answers.slot() as slot:
            written = response(campaign=self._messages.of(campaign))
            await slot.pause()
            return written


def first_number_from(page_token: str) -> int:
    """Return the number of the first campaign on a page. The page token is this number, as text.

    Raises:
        InvalidRequest: The token was not made by this service.
    """
    if not page_token:
        return 1
    if page_token.isascii() and page_token.isdigit() and len(page_token) <= _NUMBER_DIGITS_MAX:
        number = int(page_token)
        if 1 <= number <= NUMBER_MAX:
            return number
    raise InvalidRequest([Violation("page_token", "is not the next_page_token of an earlier answer")])
