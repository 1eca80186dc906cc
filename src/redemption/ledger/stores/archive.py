"""Archiving: removes the records of a campaign that ended long ago, in small steps."""

from dataclasses import replace

from redemption.domain.campaign.campaign import MILLISECONDS, Campaign, CampaignState
from redemption.domain.errors import Conflict, NotFound
from redemption.domain.ports.campaigns import Removal, TooEarly
from redemption.ledger.functions import FunctionClient
from redemption.ledger.stores.catalog import pack_campaign


class Archive:
    """Archives campaigns in the ledger."""

    def __init__(self, functions: FunctionClient) -> None:
        self._functions = functions

    async def begin(self, campaign: Campaign, *, principal: str, now_ms: int) -> Campaign | TooEarly:
        """Archive version ``campaign.version``; after that no record of the campaign changes any more.

        Args:
            campaign: The current definition.
            principal: Who archives it.
            now_ms: The time of the change, Unix milliseconds.

        Raises:
            NotFound: There is no such campaign.
            Conflict: Another version is the current one.
        """
        archived = replace(campaign, state=CampaignState.ARCHIVED, updated_at_ms=now_ms)
        _, reply = await self._functions.write(
            "archive",
            campaign.program,
            principal,
            campaign.number,
            campaign.version,
            pack_campaign(archived),
            campaign.return_window_seconds * MILLISECONDS,
        )
        match reply[0]:
            case b"gone":
                raise NotFound(f"number: there is no campaign {campaign.number} in program {campaign.program!r}")
            case b"conflict":
                raise Conflict("the campaign was changed meanwhile: read it again and repeat the change")
            case b"early":
                return TooEarly(int(reply[1]))
            case version:
                return replace(archived, version=int(version))

    async def remove(self, program: str, number: int, *, principal: str) -> Removal:
        """Remove some records of an archived campaign; so few that orders hardly wait for the call.

        Raises:
            NotFound: The campaign is not being archived.
        """
        _, reply = await self._functions.write("archive_step", program, principal, number)
        if reply[0] == b"gone":
            raise NotFound(f"number: campaign {number} of program {program!r} is not being archived")
        return Removal(int(reply[0]), int(reply[1]))
