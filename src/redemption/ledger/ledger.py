"""The ledger as the service sees it: typed questions in, typed answers out."""

import asyncio
import contextlib
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import replace

import structlog

from redemption.domain.campaign.benefit import BASIS_POINTS
from redemption.domain.campaign.campaign import Campaign, CampaignState, Sizing
from redemption.domain.errors import (
    AlreadyExists,
    Conflict,
    DeadlinePassed,
    ItemFailed,
    LedgerRefused,
    NotFound,
    RequestIdReused,
    ServiceError,
)
from redemption.domain.ports.orders import (
    Counters,
    CouponSnapshot,
    Failed,
    OfferCounters,
    Outdated,
    QuoteSnapshot,
    RedeemItem,
    RedeemReply,
    Remembered,
    Removal,
    TooEarly,
)
from redemption.domain.request_identity import RequestIdentity
from redemption.ledger import keys
from redemption.ledger.commit.batcher import LANES, Batcher
from redemption.ledger.commit.lane import Lane
from redemption.ledger.commit.queue import QueuedItem
from redemption.ledger.endpoint import Endpoint
from redemption.ledger.functions import FunctionClient
from redemption.ledger.operations import Operations
from redemption.ledger.stores.archive import Archive
from redemption.ledger.stores.catalog import Catalog, pack_campaign
from redemption.ledger.stores.definitions import Definitions
from redemption.ledger.stores.issuance import RedisIssuance
from redemption.ledger.stores.refusals import Refusals
from redemption.ledger.stores.revocation import Revocation
from redemption.ledger.trust.clock import Clock
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.health import LedgerHealth
from redemption.ledger.trust.reply_errors import CLOCK_AHEAD, CLOCK_AHEAD_CURE, NO_LEDGER, LedgerNotTrusted
from redemption.ledger.wire import orders as codec

CHECK_SECONDS = 1.0
CHECK_SECONDS_MAX = 2.0
"""A ledger that takes longer to be checked is not healthy."""
SNAPSHOT_COUPONS_MAX = 100
"""Coupons in one quote snapshot, which holds the ledger up like a commit of as many."""
WIDTH_MIN = 64
WIDTH_MAX = 4096
CUSTOMERS_PER_BUCKET = 64
OUTBOX_MAX = 65_536
"""About how many calls the event stream keeps by default; older entries are trimmed."""

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
_FAILED_PARTS = 3
"""Parts of the reply when a quote snapshot met a record that cannot be read."""
_UNREADABLE = "a record of one of these coupons or their campaigns cannot be read; its operator has to look"
_log = structlog.get_logger(__name__)


class RedisLedger:
    """The ledger of all programs, on one Valkey or Redis."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        fence: Fence,
        births_allowed: bool,
        outbox_max: int = OUTBOX_MAX,
    ) -> None:
        """Build it; ``start`` connects.

        Args:
            endpoint: Where it is.
            fence: What is remembered of it.
            births_allowed: A program that nobody remembers may begin with its first campaign (development); else an
                operator adopts its empty ledger first.
            outbox_max: About how many entries the event stream of a program keeps.
        """
        self._endpoint = endpoint
        self._fence = fence
        self._births_allowed = births_allowed
        self._outbox_max = outbox_max
        self._catalog = Catalog()
        self._client = endpoint.client()
        self.health = LedgerHealth()
        self._clock = Clock(endpoint.clock_apart_seconds_max)
        pool = endpoint.pool()
        self.batcher = Batcher(
            lanes=[Lane(pool, endpoint, fence) for _ in range(LANES)],
            fence=fence,
            clock=self._clock,
            outbox_max=outbox_max,
            redefined=self._catalog.redefined,
            health=self.health,
        )
        self._functions = FunctionClient(self._client, fence=fence, health=self.health, clock=self._clock)
        self._definitions = Definitions(self._functions, self._catalog)
        self._revocation = Revocation(self._functions, outbox_max=outbox_max)
        self._archive = Archive(self._functions, outbox_max=outbox_max)
        self._refusals = Refusals(self._functions, outbox_max=outbox_max)
        self.operations = Operations(self._functions, fence=fence, catalog=self._catalog, clock=self._clock)
        self.issuance = RedisIssuance(self._functions, carry=self._carry, outbox_max=outbox_max)
        self._watching: asyncio.Task[None] | None = None
        self._ahead: set[str] = set()

    # Life

    async def start(self) -> None:
        """Start the lanes and the watch, and check the ledger for the first time."""
        self.batcher.start()
        self._refusals.start()
        await self.check()
        self._watching = asyncio.create_task(self._watch(), name="ledger-watch")

    async def stop(self) -> None:
        """Stop, and write down what was seen."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.batcher.stop()
        await self._refusals.stop()
        await self._definitions.stop()
        await self._functions.stop()
        await self._client.aclose(close_connection_pool=True)
        self._save()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check()
            await asyncio.to_thread(self._save)

    async def check(self) -> None:
        """Check whether the ledger keeps its promises and is the one we know."""
        try:
            async with self._functions.asked(CHECK_SECONDS_MAX):
                self._tell_ahead(await self._endpoint.check(self._client, self._fence))
        except LedgerNotTrusted as error:
            # An operator may have adopted it meanwhile: then the file knows, and the next check finds all well. What is
            # at hand is of the ledger before: the same numbers and versions may be other definitions now.
            self.health.on_check(error)
            self._catalog.clear()
            with contextlib.suppress(LedgerNotTrusted, OSError):
                self._fence.learn_adoptions()
        except ServiceError as error:
            self.health.on_check(error)
        except Exception as error:  # noqa: BLE001 - a check that fails is a finding, whatever it stumbled over
            _log.error("the ledger could not be checked", error=repr(error))
            self.health.on_check(
                LedgerRefused("the ledger could not be checked; its operator finds the cause in the log")
            )
        else:
            self.health.on_check(None)
        failure = self.health.failure
        if isinstance(failure, LedgerRefused):
            self.batcher.refuse_waiting(failure)

    def _tell_ahead(self, ahead: set[str]) -> None:
        """Log of which programs the ledger remembers a time that has not come, when that changes."""
        for program in ahead - self._ahead:
            _log.error("the program is refused", program=program, cause=CLOCK_AHEAD, cure=CLOCK_AHEAD_CURE)
        for program in self._ahead - ahead:
            _log.info("the program is served again", program=program)
        self._ahead = ahead

    def _save(self) -> None:
        try:
            self._fence.save()
        except Exception as error:  # noqa: BLE001 - the watch goes on, whatever happened to the file
            _log.error(
                "what was seen of the ledger cannot be written down", path=str(self._fence.path), error=str(error)
            )

    # The clock

    def now_ms(self) -> int:
        """Return an estimate of the ledger's clock, Unix milliseconds."""
        return self._clock.now_ms()

    # Campaigns

    def cached(self, program: str, number: int) -> Campaign | None:
        """Return a campaign if its definition is at hand."""
        return self._catalog.get(program, number)

    def forget(self, program: str, number: int) -> None:
        """Drop a definition that may be damaged, so that it is read again."""
        self._catalog.forget(program, number)

    async def load(self, program: str, number: int) -> Campaign | None:
        """Return a campaign as it is now, or None."""
        return await self._definitions.load(program, number)

    async def load_range(self, program: str, first: int, last: int) -> list[Campaign]:
        """Return the campaigns with numbers from first to last that exist."""
        return await self._definitions.load_range(program, first, last)

    async def named(self, program: str, name: str) -> int | None:
        """Return the number of the campaign that has a name, see ``ports.Ledger``."""
        if not await self._functions.begun(program):
            if not self._births_allowed:
                raise LedgerNotTrusted(NO_LEDGER)
            return None
        number = await self._functions.call("named", program, name)
        return None if number is None else int(number)

    async def create(self, campaign: Campaign, identity: RequestIdentity) -> Campaign:
        """Create a campaign and return it with its number and version."""
        if not await self._functions.open(campaign.program, birth=self._births_allowed):
            raise LedgerNotTrusted(NO_LEDGER)
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
        # The request may be an old one, and the campaign another by now: so what was sent is not what is at hand.
        return await self.load(campaign.program, created.number) or created

    async def update(self, campaign: Campaign, *, principal: str, offers_kept: bool) -> Campaign:
        """Replace version ``campaign.version`` of a definition and return the new one."""
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
        """Return what was defined, with its number and version, and how many bytes it takes as it is written."""
        definition = pack_campaign(campaign)
        reply = await self._functions.call(
            "define",
            campaign.program,
            self._outbox_max,
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
            *(part for pair in fields.items() for part in pair),
        )
        self._functions.observe(campaign.program, reply[0])
        word = reply[1]
        if word == b"exists":
            raise AlreadyExists(f"campaign {int(reply[2])} has the name {campaign.name!r} already")
        if word == b"mismatch":
            raise RequestIdReused("request_id: stands for another request already; use a new one")
        if word == b"gone":
            raise NotFound(f"there is no campaign {campaign.number} in program {campaign.program!r}")
        if word in (b"conflict", b"minted"):
            raise Conflict("the campaign was changed meanwhile: read it again and repeat the change")
        return replace(campaign, number=int(word), version=int(reply[2])), len(definition)

    async def counters(self, program: str, number: int, *, offers: int) -> Counters | None:
        """Return a campaign's counters, and those of its first offers; None when there is no such campaign."""
        reply = [int(value) for value in await self._functions.call("counters", program, number, offers)]
        if not reply:
            return None
        now_ms, claimed, issued, redeemed, discount, day, today, merchant, order_value, *rest = reply
        of_offers, of_refusals = rest[: 3 * offers], rest[3 * offers :]
        return Counters(
            now_ms=now_ms,
            issued=issued,
            claimed=claimed,
            redeemed=redeemed,
            discount_minor=discount,
            merchant_minor=merchant,
            order_value_minor=order_value,
            day=day,
            redeemed_today=today,
            offers=tuple(OfferCounters(*of_offers[at : at + 3]) for at in range(0, len(of_offers), 3)),
            refusals=tuple(sorted(zip(of_refusals[::2], of_refusals[1::2], strict=True))),
        )

    # Coupons

    def count_refusal(self, program: str, number: int, outcome: int) -> None:
        """Count that a coupon of a campaign was refused, see ``ports.Ledger``."""
        self._refusals.count(program, number, outcome)

    def redeem(self, program: str, items: Sequence[RedeemItem], *, again: bool) -> None:
        """Decide orders of one program, see ``ports.Ledger``."""
        orders: list[QueuedItem] = []
        for item in items:
            try:
                payload = codec.pack_item(item)
            except Exception:  # noqa: BLE001 - logged with its traceback; one order's defect is its own
                _log.exception("an order cannot be packed", program=program)
                for token in item.tokens:  # perhaps its campaign is mended meanwhile: the next one reads it again
                    self.forget(program, token.campaign)
                item.on_reply(item, Failed("cannot be packed"))
            else:
                orders.append(QueuedItem(payload, len(item.tokens), item.caller, item, _report))
        if not orders:
            return
        try:
            self.health.require()
            if self._fence.mark(program) is None:  # whoever knows one of its campaigns has opened its ledger
                raise LedgerNotTrusted(NO_LEDGER)
            self.batcher.submit(program, orders, again=again)
        except ServiceError as error:
            for order in orders:
                order.outcome = error
                _report(order)

    async def _carry(self, program: str, order: QueuedItem, *, again: bool) -> None:
        """Have the batcher carry something to the ledger, of a program of which perhaps nothing is at hand."""
        self.health.require()
        if self._fence.mark(program) is None:
            await self._require_begun(program, order.caller.deadline)
        self.batcher.submit(program, [order], again=again)

    async def _require_begun(self, program: str, deadline: float) -> None:
        """Keep the names that callers invent away from the batcher.

        Raises:
            LedgerNotTrusted: The program has no ledger here.
            DeadlinePassed: The ledger did not answer in time.
        """
        try:
            async with asyncio.timeout_at(deadline):
                begun = await self._functions.begun(program)
        except TimeoutError as error:
            raise DeadlinePassed("the deadline passed before the ledger could be asked; nothing was done") from error
        if not begun:
            raise LedgerNotTrusted(NO_LEDGER)

    async def quote_snapshot(
        self, program: str, coupons: Sequence[tuple[int, int, int, bool]], *, customer: bytes | None
    ) -> QuoteSnapshot | Outdated:
        """Return what the ledger knows of at most 100 coupons and their campaigns, see ``ports.Ledger``.

        Raises:
            ItemFailed: A record of one of them cannot be read.
        """
        if len(coupons) > SNAPSHOT_COUPONS_MAX:
            raise ValueError(f"{len(coupons)} coupons in one quote snapshot; at most {SNAPSHOT_COUPONS_MAX}")
        try:
            asked = codec.pack_asked(coupons)
        except struct.error as error:
            _log.exception("a coupon cannot be asked about", program=program)
            for number, *_ in coupons:  # perhaps its campaign is mended meanwhile: the next one reads it again
                self.forget(program, number)
            raise ItemFailed(_UNREADABLE) from error
        reply = await self._functions.call("quote_snapshot", program, customer or b"", asked)
        self._functions.observe(program, reply[0])
        now_ms, changed = codec.unpack_head(reply[0]).clock_ms, reply[1]
        if changed:
            for position in range(0, len(changed), 3):
                self._catalog.redefined(program, *changed[position : position + 3])
            return Outdated(now_ms)
        if len(reply) == _FAILED_PARTS:
            _log.error("a record could not be read", program=program, cause=reply[2].decode(errors="replace"))
            raise ItemFailed(_UNREADABLE)
        return codec.unpack_quote_snapshot(now_ms, *reply[2:])

    async def coupon(self, program: str, number: int, serial: int) -> CouponSnapshot:
        """Return what is known of one coupon; whether all of its holder's were revoked is not looked at."""
        return codec.unpack_coupon_snapshot(await self._functions.call("coupon", program, number, serial))

    async def revoke_serials(
        self,
        program: str,
        number: int,
        first: int,
        count: int,
        *,
        identity: RequestIdentity,
        reason: str = "",
    ) -> int | None:
        """Take a range of serials back, see ``ports.Ledger``."""
        return await self._revocation.revoke_serials(program, number, first, count, identity=identity, reason=reason)

    async def revoke_customer(
        self,
        program: str,
        number: int,
        customer: bytes,
        *,
        identity: RequestIdentity,
        reason: str = "",
    ) -> None:
        """Take back all that a customer has, see ``ports.Ledger``."""
        await self._revocation.revoke_customer(program, number, customer, identity=identity, reason=reason)

    async def remembered(self, program: str, request: bytes) -> Remembered | None:
        """Return what was approved under a request digest, for as long as it is remembered."""
        record = await self._functions.call("request", program, request)
        return codec.unpack_request(record) if record else None

    async def archive(self, campaign: Campaign, *, principal: str, now_ms: int) -> Campaign | TooEarly:
        """Make version ``campaign.version`` of a campaign an archived one, see ``ports.Ledger``."""
        return await self._archive.begin(campaign, principal=principal, now_ms=now_ms)

    async def remove_archived(self, program: str, number: int, *, principal: str) -> Removal:
        """Remove some records of a campaign that is archived, see ``ports.Ledger``."""
        return await self._archive.remove(program, number, principal=principal)


def _report(order: QueuedItem) -> None:
    """Read the ledger's answer to an order, and hand it on."""
    item: RedeemItem = order.about
    outcome = order.outcome
    assert outcome is not None, "it is known by now"
    item.on_reply(item, outcome if isinstance(outcome, ServiceError) else _reply(item, outcome, order.head))


def _reply(item: RedeemItem, packed: bytes, head: codec.Head) -> RedeemReply:
    try:
        reply = codec.unpack_reply(packed, item, head)
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits
        reply = Failed(repr(error))
    if isinstance(reply, Failed):
        campaigns = [token.campaign for token in item.tokens]
        _log.error("a record could not be read", program=item.program, campaigns=campaigns, cause=reply.cause)
    return reply


def _fields(campaign: Campaign) -> dict[str, int | str]:
    """Return what of a definition the ledger's functions read; an empty value removes a limit."""
    limits = {field: getattr(campaign.limits, name) for field, name in _LIMIT_FIELDS.items()}
    fields = {field: "" if value is None else value for field, value in limits.items()}
    return {**fields, "ends_at": _closes_at_ms(campaign)}


def _closes_at_ms(campaign: Campaign) -> int:
    """Return when a definition stops being redeemed by without another change, Unix milliseconds; 0: it is not."""
    return 0 if campaign.state is CampaignState.ENDED else campaign.ends_at_ms


def _differ_in_state_only(before: Campaign, after: Campaign) -> bool:
    """Whether a change of a definition is one of its state, and of nothing else that it says."""
    return replace(before, state=after.state, updated_at_ms=after.updated_at_ms) == after


def coupon_block_width(sizing: Sizing) -> int:
    """Return how many serials share one key, so that about 64 of them will be redeemed: a power of two."""
    wanted = WIDTH_MIN * BASIS_POINTS // sizing.expected_redemption_rate_basis_points
    return min(1 << (wanted - 1).bit_length(), WIDTH_MAX)


def customer_buckets(sizing: Sizing) -> int:
    """Return over how many keys the customers are spread, so that each holds about 64: a power of two."""
    wanted = max(sizing.expected_redemptions // CUSTOMERS_PER_BUCKET, 1)
    return min(1 << (wanted - 1).bit_length(), keys.CUSTOMER_BUCKETS_MAX)
