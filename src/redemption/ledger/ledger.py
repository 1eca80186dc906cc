"""The ledger as the service sees it: typed questions in, typed answers out."""

import asyncio
import contextlib
import secrets
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import structlog
from redis.exceptions import RedisError, ResponseError

from redemption.domain.campaign import BASIS_POINTS, Campaign, Sizing
from redemption.domain.errors import (
    AlreadyExists,
    Conflict,
    LedgerRefused,
    LedgerUnavailable,
    LimitReached,
    NotFound,
    RequestIdReused,
    ServiceError,
)
from redemption.domain.ports import Block, Counters, EarlierUse, Failed, RedeemItem, RedeemReply, Remembered
from redemption.ledger import codec, keys
from redemption.ledger.batcher import LANES, Answer, Batcher
from redemption.ledger.catalog import Catalog, pack_campaign, unpack_campaign
from redemption.ledger.connection import CALL_SECONDS_MAX, Endpoint, Lane
from redemption.ledger.fence import Fence, LedgerNotTrusted
from redemption.ledger.library import library
from redemption.ledger.promises import NO_LEDGER, NOT_TRUSTED, check, load_functions, meaning_of, read_header
from redemption.ledger.standing import Standing

LOOK_SECONDS = 1.0
LOOK_SECONDS_MAX = 2.0
"""A ledger that takes longer to answer a look is not healthy."""
WIDTH_MIN = 64
WIDTH_MAX = 4096
CUSTOMERS_PER_BUCKET = 128
OUTBOX_MAX = 65_536
"""About how many calls the event stream keeps by default; older entries are trimmed."""

_LIMIT_FIELDS = {
    "limit_issued": "issued",
    "limit_redemptions": "redemptions",
    "limit_customer": "redemptions_per_customer",
    "limit_customer_day": "redemptions_per_customer_per_day",
    "limit_day": "redemptions_per_day",
    "limit_budget": "budget_minor",
}
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
        self.standing = Standing()
        pool = endpoint.pool()
        self.batcher = Batcher(
            lanes=[Lane(pool, endpoint, fence) for _ in range(LANES)],
            fence=fence,
            outbox_max=outbox_max,
            redefined=self._catalog.redefined,
            standing=self.standing,
        )
        self._offset_ms = 0.0
        self._watching: asyncio.Task[None] | None = None

    # Life

    async def start(self) -> None:
        """Start the lanes and the watch, and look for the first time."""
        self.batcher.start()
        await self.look()
        self._watching = asyncio.create_task(self._watch(), name="ledger-watch")

    async def stop(self) -> None:
        """Stop, and write down what was seen."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.batcher.stop()
        await self._client.aclose(close_connection_pool=True)
        self._save()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()
            await asyncio.to_thread(self._save)

    async def look(self) -> None:
        """Look whether the ledger keeps its promises and is the one we know."""
        try:
            async with self._asked(LOOK_SECONDS_MAX):
                await check(self._client, self._endpoint.durability, self._fence)
        except LedgerNotTrusted as error:
            # An operator may have adopted it meanwhile: then the file knows, and the next look finds all well.
            self.standing.saw(error)
            with contextlib.suppress(LedgerNotTrusted, OSError):
                self._fence.learn_adoptions()
        except ServiceError as error:
            self.standing.saw(error)
        except Exception as error:  # noqa: BLE001 - a look that fails is a finding, whatever it stumbled over
            _log.error("the ledger could not be looked at", error=repr(error))
            self.standing.saw(
                LedgerRefused("the ledger could not be looked at; its operator finds the cause in the log")
            )
        else:
            self.standing.saw(None)
        failure = self.standing.failure
        if isinstance(failure, LedgerRefused):
            self.batcher.refuse_waiting(failure)

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
        return int(time.time() * 1000 + self._offset_ms)

    def _set_clock(self, clock_ms: int) -> None:
        self._offset_ms = clock_ms - time.time() * 1000

    # Campaigns

    def cached(self, program: str, number: int) -> Campaign | None:
        """Return a campaign if its definition is at hand."""
        return self._catalog.get(program, number)

    def forget(self, program: str, number: int) -> None:
        """Drop a definition, so that it is read again."""
        self._catalog.forget(program, number)

    async def load(self, program: str, number: int) -> Campaign | None:
        """Return a campaign as it is now, or None."""
        found = await self.load_range(program, number, number)
        if not found:
            self._catalog.forget(program, number)
            return None
        return found[0]

    async def load_range(self, program: str, first: int, last: int) -> list[Campaign]:
        """Return the campaigns with numbers from first to last that exist."""
        if self._fence.mark(program) is None and not await self._open(program, birth=False):
            return []
        flat = await self._call("campaigns", program, self._fence.known(program), first, last)
        campaigns = [
            unpack_campaign(flat[position + 2], number=flat[position], version=flat[position + 1])
            for position in range(0, len(flat), 3)
        ]
        for campaign in campaigns:
            self._catalog.put(campaign)
        return campaigns

    async def create(self, campaign: Campaign, *, request: bytes, content: bytes) -> Campaign:
        """Create a campaign and return it with its number and version."""
        if not await self._open(campaign.program, birth=self._births_allowed):
            raise LedgerNotTrusted(NO_LEDGER)
        layout = {
            "width": coupon_block_width(campaign.sizing),
            "customer_buckets": customer_buckets(campaign.sizing),
        }
        fields = {**_limit_fields(campaign), **layout}
        created = await self._define(campaign, fields, offers_kept=True, request=request, content=content)
        # The request may be an old one, and the campaign another by now.
        return await self.load(campaign.program, created.number) or created

    async def update(self, campaign: Campaign, *, offers_kept: bool) -> Campaign:
        """Replace version ``campaign.version`` of a definition and return the new one."""
        return await self._define(campaign, _limit_fields(campaign), offers_kept=offers_kept, request=b"", content=b"")

    async def _define(
        self,
        campaign: Campaign,
        fields: dict[str, int | str],
        *,
        offers_kept: bool,
        request: bytes,
        content: bytes,
    ) -> Campaign:
        reply = await self._call(
            "define",
            campaign.program,
            self._fence.known(campaign.program),
            self._outbox_max,
            campaign.number,
            campaign.version,
            campaign.name,
            pack_campaign(campaign),
            int(offers_kept),
            request,
            content,
            *(part for pair in fields.items() for part in pair),
        )
        self._observe(campaign.program, reply[0])
        word = reply[1]
        if word == b"exists":
            raise AlreadyExists(f"campaign {int(reply[2])} has the name {campaign.name!r} already")
        if word == b"mismatch":
            raise RequestIdReused("request_id: stands for another request already; use a new one")
        if word == b"gone":
            raise NotFound(f"there is no campaign {campaign.number} in program {campaign.program!r}")
        if word in (b"conflict", b"minted"):
            self._catalog.forget(campaign.program, campaign.number)
            raise Conflict("the campaign was changed meanwhile: read it again and repeat the change")
        defined = replace(campaign, number=int(word), version=int(reply[2]))
        self._catalog.put(defined)
        return defined

    async def counters(self, program: str, number: int) -> Counters | None:
        """Return a campaign's counters, or None when there is no such campaign."""
        reply = await self._call("counters", program, self._fence.known(program), number)
        if not reply:
            return None
        now_ms, issued, redeemed, discount, day, today = (int(value) for value in reply[:6])
        return Counters(now_ms, issued, redeemed, discount, day, today)

    # Coupons

    async def redeem(
        self, program: str, items: Sequence[RedeemItem], *, deadline: float, again: bool
    ) -> list[RedeemReply | ServiceError]:
        """Decide orders of one program, see ``ports.Ledger``."""
        self.standing.require()
        packed = [_packed(item) for item in items]
        orders = [payload for payload in packed if payload is not None]
        futures = self.batcher.submit(program, orders, deadline=deadline, again=again) if orders else []
        try:
            if futures:
                await asyncio.wait(futures)
        except asyncio.CancelledError:
            # Nobody waits any more: what has not left yet need not.
            for future in futures:
                future.cancel()
            raise
        for item, payload in zip(items, packed, strict=True):
            if payload is None:  # perhaps its campaign is mended meanwhile: the next one reads it again
                for token in item.tokens:
                    self.forget(program, token.campaign)
        answered = iter(futures)
        return [
            Failed("cannot be packed") if payload is None else self._reply(program, item, next(answered))
            for item, payload in zip(items, packed, strict=True)
        ]

    def _reply(self, program: str, item: RedeemItem, answered: asyncio.Future[Answer]) -> RedeemReply | ServiceError:
        failure = answered.exception()
        if failure is not None:
            if isinstance(failure, ServiceError):
                return failure
            raise failure
        answer = answered.result()
        self._set_clock(answer.head.clock_ms)
        try:
            reply = codec.unpack_reply(answer.reply, item, answer.head)
        except (ValueError, IndexError, struct.error) as error:
            reply = Failed(repr(error))
        if isinstance(reply, Failed):
            _log.error("a record could not be read", program=program, cause=reply.cause)
        return reply

    async def issued_before(self, program: str, *, request: bytes, content: bytes) -> Block | None:
        """Return the block that a request got before, if it did."""
        if self._fence.mark(program) is None and not await self._open(program, birth=False):
            return None
        return await self._issue(program, self._outbox_max, 0, 0, 0, request, content, 0, 0)

    async def issue(
        self, campaign: Campaign, count: int, *, not_before: int, expires_at: int, request: bytes, content: bytes
    ) -> Block | None:
        """Take a block of serials, durably; None if the campaign changed meanwhile."""
        which = (self._outbox_max, campaign.number, campaign.version, count)
        return await self._issue(campaign.program, *which, request, content, not_before, expires_at)

    async def _issue(self, program: str, *args: bytes | int) -> Block | None:
        reply = await self._call("issue", program, self._fence.known(program), *args)
        self._observe(program, reply[0])
        word, number, count = reply[1], args[1], args[3]
        if word == b"mismatch":
            raise RequestIdReused("request_id: stands for another request already; use a new one")
        if word == b"stale":
            self._catalog.forget(program, int(number))
        if word in (b"none", b"stale"):
            return None
        if word == b"limit":
            raise LimitReached(f"count: campaign {number!r} can issue {int(reply[2])} more, not {count!r}")
        return Block(int(word), int(reply[2]), int(reply[3]))

    async def coupon(self, program: str, number: int, serial: int) -> tuple[bool, EarlierUse | None]:
        """Return whether a serial was ever issued, and the record of its use."""
        issued, record = await self._call("coupon", program, self._fence.known(program), number, serial)
        return bool(issued), codec.unpack_coupon(record) if record else None

    async def remembered(self, program: str, request: bytes) -> Remembered | None:
        """Return what was approved under a request digest, for as long as it is remembered."""
        record = await self._call("request", program, self._fence.known(program), request)
        return codec.unpack_request(record) if record else None

    # The operator's side

    async def status(self, unless_remembered: str) -> list[dict[str, str]]:
        """Return what the ledgers say of themselves: of every program that is remembered, or else of the one named."""
        rows = []
        for program in self._fence.programs() or [unless_remembered]:
            said = _pairs(await self._call("status", program))
            mark = self._fence.mark(program)
            remembered = {"remembered_epoch": mark.epoch, "remembered_seq": str(mark.seq)} if mark else {}
            header = read_header(*(said.get(name, "") for name in ("epoch", "seq", "keyset", "format")))
            trusted = self._fence.problem(mark, header) or "yes"
            rows.append({"program": program, **said, **remembered, "trusted": trusted})
        return rows

    async def adopt(self, program: str) -> dict[str, str]:
        """Accept a program's ledger as it is, empty or not, as the one to serve from now on."""
        found = await self._call(
            "adopt", program, self._fence.known(program), self._fence.keyset_id, secrets.token_hex(8)
        )
        header = _pairs(found)
        self._fence.adopt(program, header["epoch"], int(header["seq"]))
        return header

    async def _open(self, program: str, *, birth: bool) -> bool:
        """Make sure that a program's ledger is ours, or let it be born; returns whether there is one."""
        mark = self._fence.mark(program)
        epoch = secrets.token_hex(8) if birth and mark is None else b""
        found = _pairs(await self._call("open", program, self._fence.keyset_id, epoch))
        header = read_header(*(found.get(name, "") for name in ("epoch", "seq", "keyset", "format")))
        self._fence.check(program, mark, header)
        return header is not None

    def _observe(self, program: str, packed: bytes) -> None:
        """Learn from the head of a reply."""
        head = codec.unpack_head(packed)
        self._set_clock(head.clock_ms)
        self._fence.observe(program, head.epoch, head.seq)

    async def _call(self, function: str, program: str, *args: bytes | int | str) -> Any:  # noqa: ANN401
        self.standing.require()
        async with self._asked(CALL_SECONDS_MAX):
            try:
                return await self._fcall(function, program, args)
            except ResponseError as error:
                if "unction not found" not in str(error):
                    raise
                await load_functions(self._client)
                return await self._fcall(function, program, args)

    async def _fcall(self, function: str, program: str, args: Sequence[bytes | int | str]) -> Any:  # noqa: ANN401
        tag = keys.tag(program)
        return await self._client.fcall(library().name(function).decode(), 1, tag, *args)

    @asynccontextmanager
    async def _asked(self, seconds_max: float) -> AsyncIterator[None]:
        """Bound a question, and turn what the Redis client raises into what it means."""
        try:
            async with asyncio.timeout(seconds_max):
                yield
        except ResponseError as error:
            if str(error).startswith("NOTTRUSTED"):
                self.standing.met(LedgerNotTrusted(NOT_TRUSTED))
            raise meaning_of(error) from error
        except (RedisError, OSError, TimeoutError) as error:
            raise LedgerUnavailable(f"the ledger cannot be reached ({type(error).__name__})") from error


def _packed(item: RedeemItem) -> tuple[bytes, int] | None:
    """Return an order packed and its weight; None when a number of its campaign does not fit the format."""
    try:
        return codec.pack_item(item), len(item.tokens)
    except struct.error:
        _log.exception("an order cannot be packed")
        return None


def _limit_fields(campaign: Campaign) -> dict[str, int | str]:
    """Return the limits as the ledger's functions read them; an empty value removes one."""
    limits = {field: getattr(campaign.limits, name) for field, name in _LIMIT_FIELDS.items()}
    return {field: "" if value is None else value for field, value in limits.items()}


def coupon_block_width(sizing: Sizing) -> int:
    """Return how many serials share one key, so that about 64 of them will be redeemed: a power of two."""
    wanted = WIDTH_MIN * BASIS_POINTS // sizing.expected_redemption_rate_basis_points
    return min(1 << (wanted - 1).bit_length(), WIDTH_MAX)


def customer_buckets(sizing: Sizing) -> int:
    """Return over how many keys the customers are spread, so that each holds about 128: a power of two."""
    wanted = max(sizing.expected_redemptions // CUSTOMERS_PER_BUCKET, 1)
    return min(1 << (wanted - 1).bit_length(), keys.CUSTOMER_BUCKETS_MAX)


def _pairs(flat: Sequence[Any]) -> dict[str, str]:
    texts = [item.decode() if isinstance(item, bytes) else str(item) for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
