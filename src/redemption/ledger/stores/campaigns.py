"""Campaigns in the ledger: their definitions, their counters, and the removal of those that ended long ago."""

import hashlib
from dataclasses import replace

from redemption.domain.campaign.benefit import BASIS_POINTS
from redemption.domain.campaign.campaign import Campaign, CampaignState, Sizing
from redemption.domain.campaign.names import appearance
from redemption.domain.errors import Conflict, NotFound, RequestIdReused
from redemption.domain.ports.campaigns import Counters, OfferCounters, Removal, TooEarly, name_taken
from redemption.domain.request_identity import RequestIdentity
from redemption.ledger import keys
from redemption.ledger.functions import FunctionClient
from redemption.ledger.stores.archive import Archive
from redemption.ledger.stores.catalog import Catalog, pack_campaign
from redemption.ledger.stores.definitions import Definitions
from redemption.ledger.stores.warnings import unpack_warnings
from redemption.ledger.trust.reply_errors import no_ledger

WIDTH_MIN = 64
WIDTH_MAX = 4096
CUSTOMERS_PER_BUCKET = 64

_LIMIT_FIELDS = {
    "limit_issued": "issued",
    "limit_issued_day": "issued_per_day",
    "limit_claims_customer": "claims_per_customer",
    "limit_claims_person": "claims_per_person",
    "limit_redemptions": "redemptions",
    "limit_customer": "redemptions_per_customer",
    "limit_customer_day": "redemptions_per_customer_per_day",
    "limit_day": "redemptions_per_day",
    "limit_budget": "budget_minor",
    "limit_budget_day": "budget_per_day_minor",
}


class CampaignStore:
    """Implements ``domain.ports.campaigns.CampaignLedger``."""

    def __init__(self, functions: FunctionClient, *, catalog: Catalog, may_create_ledger: bool) -> None:
        """Build it.

        Args:
            functions: The ledger.
            catalog: The cached definitions.
            may_create_ledger: The first campaign of an unknown program creates its ledger.
        """
        self._functions = functions
        self._catalog = catalog
        self._may_create_ledger = may_create_ledger
        self._definitions = Definitions(functions, catalog)
        self._archive = Archive(functions)

    async def stop(self) -> None:
        """Cancel the reads that several callers share."""
        await self._definitions.stop()

    def cached(self, program: str, number: int) -> Campaign | None:
        """Return a campaign if its definition is cached."""
        return self._catalog.get(program, number)

    def forget(self, program: str, number: int) -> None:
        """Drop a definition that may be damaged, so that it is read again."""
        self._catalog.forget(program, number)

    async def load(self, program: str, number: int) -> Campaign | None:
        """Return a campaign as it is now, or None when there is none."""
        return await self._definitions.load(program, number)

    async def load_range(self, program: str, first: int, last: int) -> list[Campaign]:
        """Return the campaigns with numbers from first to last that exist."""
        return await self._definitions.load_range(program, first, last)

    async def named(self, program: str, name: str) -> tuple[int, str] | None:
        """Return the campaign that has a name, or one that looks the same, see ``CampaignLedger``."""
        if not await self._functions.begun(program):
            if not self._may_create_ledger:
                raise no_ledger()
            return None
        reply = await self._functions.call("named", program, name, appearance(name))
        return (int(reply[0]), reply[1].decode()) if reply else None

    async def create(self, campaign: Campaign, identity: RequestIdentity) -> Campaign:
        """Create a campaign and return it with its number and version."""
        if not await self._functions.open(campaign.program, create=self._may_create_ledger):
            raise no_ledger()
        layout = {
            "width": coupon_block_width(campaign.sizing),
            "customer_buckets": customer_buckets(campaign.sizing),
        }
        fields = {**_fields(campaign), **layout}
        created, _ = await self._define(
            campaign,
            fields,
            principal=identity.principal,
            offers_kept=True,
            request=identity.request,
            content=identity.content,
        )
        # If this is a retry, the campaign may have been changed since: so read it, and do not cache what was sent.
        return await self.load(campaign.program, created.number) or created

    async def update(self, campaign: Campaign, *, principal: str, offers_kept: bool) -> Campaign:
        """Replace version ``campaign.version`` of a definition; returns the new version."""
        before = self.cached(campaign.program, campaign.number)
        defined, definition_bytes = await self._define(
            campaign,
            _fields(campaign),
            principal=principal,
            offers_kept=offers_kept,
            changes_state_only=before is not None and _differ_in_state_only(before, campaign),
        )
        self._catalog.put(defined, definition_bytes)
        return defined

    async def _define(
        self,
        campaign: Campaign,
        fields: dict[str, int | str],
        *,
        principal: str,
        offers_kept: bool,
        changes_state_only: bool = False,
        request: bytes = b"",
        content: bytes = b"",
    ) -> tuple[Campaign, int]:
        """Write a definition; returns it with its number and version, and its length in bytes as packed."""
        definition = pack_campaign(campaign)
        _, reply = await self._functions.write(
            "define",
            campaign.program,
            principal,
            campaign.number,
            campaign.version,
            campaign.name,
            definition,
            int(offers_kept),
            request,
            content,
            campaign.state.name if changes_state_only else "",
            hashlib.sha256(definition).hexdigest(),
            appearance(campaign.name),
            *(part for pair in fields.items() for part in pair),
        )
        word = reply[0]
        if word == b"exists":
            raise name_taken(campaign.name, int(reply[1]), campaign.name)
        if word == b"alike":
            raise name_taken(campaign.name, int(reply[1]), reply[2].decode())
        if word == b"mismatch":
            raise RequestIdReused("request_id: stands for another request already; use a new one")
        if word == b"gone":
            raise NotFound(f"there is no campaign {campaign.number} in program {campaign.program!r}")
        if word in (b"conflict", b"minted"):
            raise Conflict("the campaign was changed meanwhile: read it again and repeat the change")
        return replace(campaign, number=int(word), version=int(reply[1])), len(definition)

    async def counters(self, program: str, number: int, *, offers: int) -> Counters | None:
        """Return a campaign's counters and those of its first ``offers`` offers; None when there is no campaign."""
        reply = await self._functions.call("counters", program, number, offers)
        if not reply:
            return None
        warned, *numbers = reply
        now_ms, claimed, issued, held, held_discount, day, merchant, order_value, *numbers = map(int, numbers)
        returned, returned_minor, redeemed, discount, today, *rest = numbers
        of_offers, of_refusals = rest[: 3 * offers], rest[3 * offers :]
        return Counters(
            now_ms=now_ms,
            issued=issued,
            claimed=claimed,
            redeemed=redeemed,
            reserved=held,
            reserved_minor=held_discount,
            reversed=returned,
            reversed_minor=returned_minor,
            discount_minor=discount,
            merchant_minor=merchant,
            order_value_minor=order_value,
            day=day,
            redeemed_today=today,
            offers=tuple(OfferCounters(*of_offers[at : at + 3]) for at in range(0, len(of_offers), 3)),
            refusals=tuple(sorted(zip(of_refusals[::2], of_refusals[1::2], strict=True))),
            warnings=unpack_warnings(number, warned),
        )

    async def archive(self, campaign: Campaign, *, principal: str, now_ms: int) -> Campaign | TooEarly:
        """Archive version ``campaign.version`` of a campaign, see ``CampaignLedger``."""
        return await self._archive.begin(campaign, principal=principal, now_ms=now_ms)

    async def remove_archived(self, program: str, number: int, *, principal: str) -> Removal:
        """Remove some records of an archived campaign, see ``CampaignLedger``."""
        return await self._archive.remove(program, number, principal=principal)


def _fields(campaign: Campaign) -> dict[str, int | str]:
    """Return the fields of a definition that the ledger's functions read; an empty value means no limit."""
    limits = {field: getattr(campaign.limits, name) for field, name in _LIMIT_FIELDS.items()}
    fields = {field: "" if value is None else value for field, value in limits.items()}
    is_paused = campaign.state is CampaignState.PAUSED
    return {**fields, "ends_at": _closes_at_ms(campaign), "paused": 1 if is_paused else ""}


def _closes_at_ms(campaign: Campaign) -> int:
    """Return when redeeming ends if the definition is not changed, Unix milliseconds; 0 when it ended already."""
    return 0 if campaign.state is CampaignState.ENDED else campaign.ends_at_ms


def _differ_in_state_only(before: Campaign, after: Campaign) -> bool:
    """Whether a change of a definition changes its state only."""
    return replace(before, state=after.state, updated_at_ms=after.updated_at_ms) == after


def coupon_block_width(sizing: Sizing) -> int:
    """Return how many serials share one key, a power of two: about 64 of them will be redeemed."""
    wanted = WIDTH_MIN * BASIS_POINTS // sizing.expected_redemption_rate_basis_points
    return min(1 << (wanted - 1).bit_length(), WIDTH_MAX)


def customer_buckets(sizing: Sizing) -> int:
    """Return how many keys hold the customers, a power of two: about 64 customers in each."""
    wanted = max(sizing.expected_redemptions // CUSTOMERS_PER_BUCKET, 1)
    return min(1 << (wanted - 1).bit_length(), keys.CUSTOMER_BUCKETS_MAX)
