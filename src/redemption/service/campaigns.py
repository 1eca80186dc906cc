"""Manages campaigns: create, read, change, pause, resume, end, archive, count."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from redemption.domain.call_info import CallInfo
from redemption.domain.campaign.calendar import DAY_SECONDS, local_day
from redemption.domain.campaign.campaign import MILLISECONDS, Campaign, CampaignState
from redemption.domain.campaign.campaign_checks import campaign_check_steps, change_violations
from redemption.domain.campaign.change_warnings import ChangeWarning, change_warnings
from redemption.domain.errors import (
    ArchiveUnfinished,
    Conflict,
    InvalidRequest,
    NotFound,
    Violation,
    WrongState,
)
from redemption.domain.order import id_violations, program_violations
from redemption.domain.ports.campaigns import OfferCounters, TooEarly, name_taken
from redemption.domain.ports.ledger import Ledger
from redemption.domain.ports.orders import Outdated
from redemption.domain.risk.warnings import RiskWarning
from redemption.domain.signed.digest import Digests
from redemption.scheduling.fair_slots import NO_SLOT, NoSlot, WorkSlot
from redemption.service.idempotency import canonical, identity_of, set_fields
from redemption.service.judging_rounds import until_decided

PAGE_SIZE = 50
PAGE_SIZE_MAX = 100
LOADED_AT_ONCE = 10
"""Definitions that one ledger call reads: they may be large, and orders wait behind that call."""
ARCHIVE_MARGIN_SECONDS = 0.1
"""Archiving stops this long before the caller's deadline, so that the caller still gets the progress."""
ARCHIVE_REST = 1
"""After each step of archiving, this many times the step's time is left to other work."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list; ``next_number`` is where the next one begins, None on the last."""

    campaigns: list[Campaign]
    next_number: int | None


@dataclass(frozen=True, slots=True)
class Updated:
    """A campaign after a change, and what its operator may not expect of it."""

    campaign: Campaign
    warnings: tuple[ChangeWarning, ...]


@dataclass(frozen=True, slots=True)
class Stats:
    """What happened to a campaign's coupons, by the ledger's counters; see ``Counters`` in ``domain/ports``.

    Attributes:
        budget_left_minor: What is neither spent nor held. Less than 0 when the budget was lowered below that; None when
            there is no budget.
        reserved: How many coupons are held now.
        reversed: Redemptions of which anything was given back.
        reversed_minor: How much discount was given back.
    """

    as_of_ms: int
    issued: int
    claimed: int
    redeemed: int
    redeemed_today: int
    discount_minor: int
    merchant_minor: int
    order_value_minor: int
    budget_left_minor: int | None
    offers: tuple[OfferCounters, ...]
    refusals: tuple[tuple[int, int], ...]
    warnings: tuple[RiskWarning, ...] = ()
    reserved: int = 0
    reversed: int = 0
    reversed_minor: int = 0


def etag(campaign: Campaign) -> str:
    """Return a text that changes with every change of a campaign; empty for a campaign that does not exist yet."""
    return f"v{campaign.version}" if campaign.version else ""


class Campaigns:
    """The campaigns of all programs."""

    def __init__(self, *, digests: Digests, ledger: Ledger) -> None:
        self._digests = digests
        self._campaigns = ledger.campaigns
        self._ledger = ledger

    async def create(
        self, caller: CallInfo, request_id: str, campaign: Campaign, slot: WorkSlot | NoSlot = NO_SLOT
    ) -> Campaign:
        """Create a campaign. Checks are done in steps of the slot.

        Raises:
            AlreadyExists: Another one has its name, or one that looks the same.
            ServiceError: Nothing was created.
        """
        await _require_creatable(request_id, campaign, slot)
        await slot.pause()  # the canonical form of the largest definition takes 7 ms, and cannot be made in steps
        content = canonical("create", set_fields(campaign))
        await slot.pause()
        digests = self._digests.for_program(campaign.program)
        now_ms = self._ledger.now_ms()
        return await self._campaigns.create(
            replace(campaign, created_at_ms=now_ms, updated_at_ms=now_ms),
            identity_of(digests, caller, request_id, content),
        )

    async def check_create(
        self, caller: CallInfo, request_id: str, campaign: Campaign, slot: WorkSlot | NoSlot = NO_SLOT
    ) -> Campaign:
        """Return a campaign as it would be created, without a number; nothing is changed.

        It does not matter whether the same request was answered before.

        Raises:
            AlreadyExists: Another one has its name, or one that looks the same.
            ServiceError: It would not be created.
        """
        await _require_creatable(request_id, campaign, slot)
        await self._require_free(campaign)
        now_ms = self._ledger.now_ms()
        return replace(campaign, created_at_ms=now_ms, updated_at_ms=now_ms)

    async def get(self, caller: CallInfo, program: str, number: int) -> Campaign:
        """Return a campaign.

        Raises:
            InvalidRequest: The program or the number is malformed.
            NotFound: There is no such campaign.
        """
        return await self._get(program, number)

    async def _get(self, program: str, number: int) -> Campaign:
        violations = list(program_violations(program))
        if not number:
            violations.append(Violation("number", "is required: the campaign's number"))
        if violations:
            raise InvalidRequest(violations)
        campaign = await self._campaigns.load(program, number)
        if campaign is None:
            raise NotFound(f"number: there is no campaign {number} in program {program!r}")
        return campaign

    async def list(self, caller: CallInfo, program: str, *, first: int, page_size: int) -> Page:
        """Return campaigns in the order of their numbers, from ``first`` on."""
        violations = list(program_violations(program))
        if not 0 <= page_size <= PAGE_SIZE_MAX:
            violations.append(Violation("page_size", f"must be 1 to {PAGE_SIZE_MAX}"))
        if violations:
            raise InvalidRequest(violations)
        size = page_size or PAGE_SIZE
        found: list[Campaign] = []
        # Campaign numbers have no gaps, so reading one more shows whether there is another page.
        for start in range(first, first + size + 1, LOADED_AT_ONCE):
            wanted = min(LOADED_AT_ONCE, first + size + 1 - start)
            part = await self._campaigns.load_range(program, start, start + wanted - 1)
            found += part
            if len(part) < wanted:
                break
        return Page(found[:size], first + size if len(found) > size else None)

    async def update(
        self, caller: CallInfo, campaign: Campaign, presented_etag: str, slot: WorkSlot | NoSlot = NO_SLOT
    ) -> Updated:
        """Replace a definition. Checks are done in steps of the slot.

        Raises:
            Conflict: The etag is not the current one.
            InvalidRequest: The change is not allowed.
        """
        wanted, offers_kept = await self._changed(campaign, presented_etag, slot)
        after = await self._campaigns.update(wanted.campaign, principal=caller.principal, offers_kept=offers_kept)
        return replace(wanted, campaign=after)

    async def check_update(
        self, caller: CallInfo, campaign: Campaign, presented_etag: str, slot: WorkSlot | NoSlot = NO_SLOT
    ) -> Updated:
        """Return a campaign as it would be with a new definition, under its current version; nothing is changed.

        Raises:
            AlreadyExists: Another one has its new name, or one that looks the same.
            Conflict: The etag is not the current one.
            InvalidRequest: The change is not allowed.
        """
        wanted, _ = await self._changed(campaign, presented_etag, slot)
        await self._require_free(wanted.campaign)
        return wanted

    async def _changed(self, campaign: Campaign, presented_etag: str, slot: WorkSlot | NoSlot) -> tuple[Updated, bool]:
        """Return a campaign with its new definition, and whether its existing offers are unchanged.

        Raises:
            Conflict: The etag is not the current one.
            InvalidRequest: The change is not allowed.
        """
        before = await self._get(campaign.program, campaign.number)
        slot.resume()
        violations = await slot.drive_small_steps(campaign_check_steps(campaign, stored=before))
        if not presented_etag:
            violations.append(Violation("campaign.etag", "is required: read the campaign first"))
        if violations:
            raise InvalidRequest(violations)
        if etag(before) != presented_etag:
            raise Conflict("campaign.etag: the campaign was changed meanwhile; read it again and repeat the change")
        if before.state in (CampaignState.ENDED, CampaignState.ARCHIVED):
            raise WrongState(f"campaign {campaign.number} has ended and cannot change any more")
        counters = await self._campaigns.counters(campaign.program, campaign.number, offers=0)
        issued = counters.issued if counters else 0
        forbidden = change_violations(before, campaign, minted=issued > 0)
        if forbidden:
            raise InvalidRequest(forbidden)
        after = replace(
            campaign,
            state=before.state,
            version=before.version,
            created_at_ms=before.created_at_ms,
            updated_at_ms=self._ledger.now_ms(),
        )
        warnings = change_warnings(before, after, issued=issued)
        return Updated(after, warnings), after.offers[: len(before.offers)] == before.offers

    async def _require_free(self, campaign: Campaign) -> None:
        holder = await self._campaigns.named(campaign.program, campaign.name)
        if holder is not None and holder[0] != campaign.number:
            raise name_taken(campaign.name, *holder)

    async def set_state(self, caller: CallInfo, program: str, number: int, state: CampaignState) -> Campaign:
        """Pause, resume or end a campaign; repeating it changes nothing.

        Raises:
            WrongState: It has ended.
        """

        async def change(_now_ms: int | None) -> Campaign | Outdated:
            campaign = await self._get(program, number)
            if campaign.state is state:
                return campaign
            if campaign.state in (CampaignState.ENDED, CampaignState.ARCHIVED):
                raise WrongState(f"number: campaign {number} has ended for good")
            changed = replace(campaign, state=state, updated_at_ms=self._ledger.now_ms())
            try:
                return await self._campaigns.update(changed, principal=caller.principal, offers_kept=True)
            except Conflict:
                return Outdated(self._ledger.now_ms())

        return await until_decided(change, failure=_changed_all_the_time)

    async def archive(self, caller: CallInfo, program: str, number: int) -> Campaign:
        """Remove a campaign's records when nobody needs them any more; its definition and its totals stay.

        Its records are needed until the return window of its last possible redemption has passed. A repeated call
        continues where the last one stopped; when all records are removed, it changes nothing.

        Args:
            caller: The caller, and its deadline; at least one step is done in any case.
            program: The program.
            number: The campaign.

        Raises:
            WrongState: Its records are still needed.
            ArchiveUnfinished: There was not enough time to remove all records.
        """
        campaign = await self._archived(caller.principal, program, number)
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            removal = await self._campaigns.remove_archived(program, number, principal=caller.principal)
            if removal.done == removal.total:
                return campaign
            rest = (loop.time() - began) * ARCHIVE_REST
            if loop.time() + rest > caller.deadline - ARCHIVE_MARGIN_SECONDS:
                percent = 100 * removal.done // removal.total
                raise ArchiveUnfinished(
                    f"campaign {number} is archived, {percent} % of its records are removed; ask again to go on"
                )
            await asyncio.sleep(rest)

    async def _archived(self, principal: str, program: str, number: int) -> Campaign:
        """Return a campaign as an archived one; archive it if it is not archived yet."""

        async def begin(_now_ms: int | None) -> Campaign | Outdated:
            campaign = await self._get(program, number)
            if campaign.state is CampaignState.ARCHIVED:
                return campaign
            try:
                begun = await self._campaigns.archive(campaign, principal=principal, now_ms=self._ledger.now_ms())
            except Conflict:
                return Outdated(self._ledger.now_ms())
            if isinstance(begun, TooEarly):
                raise WrongState(_too_early(campaign, begun.until_ms, self._ledger.now_ms()))
            return begun

        return await until_decided(begin, failure=_changed_all_the_time)

    async def stats(self, caller: CallInfo, program: str, number: int) -> Stats:
        """Count what happened to a campaign's coupons."""
        campaign = await self._get(program, number)
        counters = await self._campaigns.counters(program, number, offers=len(campaign.offers))
        if counters is None:
            raise NotFound(f"number: there is no campaign {number} in program {program!r}")
        today = local_day(campaign.time_zone, counters.now_ms).number
        budget = campaign.limits.budget_minor
        return Stats(
            as_of_ms=counters.now_ms,
            issued=counters.issued,
            redeemed=counters.redeemed,
            reserved=counters.reserved,
            reversed=counters.reversed,
            reversed_minor=counters.reversed_minor,
            redeemed_today=counters.redeemed_today if counters.day == today else 0,
            discount_minor=counters.discount_minor,
            merchant_minor=counters.merchant_minor,
            order_value_minor=counters.order_value_minor,
            claimed=counters.claimed,
            offers=counters.offers,
            refusals=counters.refusals,
            warnings=counters.warnings,
            budget_left_minor=None if budget is None else budget - counters.discount_minor - counters.reserved_minor,
        )


def _changed_all_the_time() -> Conflict:
    return Conflict("the campaign is being changed by others all the time; try again")


async def _require_creatable(request_id: str, campaign: Campaign, slot: WorkSlot | NoSlot) -> None:
    violations = list(id_violations(request_id, "request_id"))
    violations += await slot.drive_small_steps(campaign_check_steps(campaign))
    if violations:
        raise InvalidRequest(violations)


def _too_early(campaign: Campaign, until_ms: int, now_ms: int) -> str:
    days, rest = divmod(campaign.return_window_seconds, DAY_SECONDS)
    length = f"{campaign.return_window_seconds} seconds" if rest else f"{days} days"
    if campaign.state is CampaignState.ENDED:
        why = f"may still see returns: its return_window is {length}, and cannot change once it has ended"
        earlier = ""
    elif now_ms >= campaign.ends_at_ms:
        why = f"may still see returns: its return_window is {length}"
        earlier = "; shorten return_window if that is to be earlier"
    else:
        why = f"has not ended, and its return_window after that is {length}"
        earlier = "; shorten return_window, then end it, if that is to be earlier"
    # Rounded up, because a second earlier would be refused again.
    possible_at = datetime.fromtimestamp(-(-until_ms // MILLISECONDS), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"number: campaign {campaign.number} {why}; it can be archived from {possible_at} on{earlier}"
