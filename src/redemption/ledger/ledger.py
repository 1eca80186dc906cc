"""The ledger as the service sees it: typed questions in, typed answers out."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import structlog
from redis.exceptions import RedisError, ResponseError

from redemption.domain.campaign import BASIS_POINTS, Campaign, Sizing
from redemption.domain.errors import (
    AlreadyExists,
    Conflict,
    LedgerUnavailable,
    LimitReached,
    NotFound,
    RequestIdReused,
    ServiceError,
)
from redemption.domain.ports import Counters, CouponRecord, Failed, RedeemItem, RedeemReply, Remembered
from redemption.ledger import codec, keys
from redemption.ledger.batcher import LANES, Answer, Batcher
from redemption.ledger.catalog import Catalog, pack_campaign, unpack_campaign
from redemption.ledger.connection import CALL_SECONDS_MAX, Endpoint, Lane, refused, verify
from redemption.ledger.fence import Fence, Header, LedgerNotTrusted
from redemption.ledger.library import library

HEALTH_SECONDS = 1.0
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
_NO_LEDGER = (
    "program {program!r} has no ledger here; if that is right, let an operator begin it: "
    "redemption ledger adopt --program {program}"
)
_NOT_ASKED_YET = LedgerUnavailable("the ledger was not asked yet")
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
        pool = endpoint.pool()
        self.batcher = Batcher(
            lanes=[Lane(pool, endpoint, fence) for _ in range(LANES)],
            fence=fence,
            outbox_max=outbox_max,
            redefined=self._catalog.redefined,
            healthy=self._report,
        )
        self._offset_ms = 0.0
        self._failure: ServiceError | None = _NOT_ASKED_YET
        self._health_changed: Callable[[ServiceError | None], Awaitable[None]] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # Life

    async def start(self, health_changed: Callable[[ServiceError | None], Awaitable[None]] | None = None) -> None:
        """Start the lanes and the watch over the ledger's health.

        Args:
            health_changed: Awaited with None when the ledger serves, with the failure when it does not.
        """
        self._health_changed = health_changed
        self.batcher.start()
        await self._watch_once()
        self._tasks.append(asyncio.create_task(self._watch(), name="ledger-health"))

    async def stop(self) -> None:
        """Stop, and write down what was seen."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.batcher.stop()
        await self._client.aclose(close_connection_pool=True)
        self._fence.save(durable=True)

    @property
    def failure(self) -> ServiceError | None:
        """Why the ledger cannot be served now, or None."""
        return self._failure

    def _report(self, failure: ServiceError | None) -> None:
        before, self._failure = self._failure, failure
        if (failure is None) == (before is None):
            return
        if failure is not None:
            _log.warning("ledger does not serve", reason=failure.reason, message=failure.message)
        elif before is not _NOT_ASKED_YET:
            _log.info("ledger serves again")
        if self._health_changed is not None:
            self._tasks = [task for task in self._tasks if not task.done()]
            self._tasks.append(asyncio.create_task(self._tell(failure)))

    async def _tell(self, failure: ServiceError | None) -> None:
        assert self._health_changed is not None, "set before the first report"
        await self._health_changed(failure)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_SECONDS)
            await self._watch_once()
            self._fence.save()

    async def _watch_once(self) -> None:
        try:
            async with self._asked():
                await verify(self._client, self._endpoint.durability, self._fence)
        except LedgerNotTrusted as error:
            # An operator may have adopted it meanwhile: then the file knows, and the next look finds all well.
            self._fence.learn_adoptions()
            self._report(error)
        except ServiceError as error:
            self._report(error)
        else:
            self._report(None)

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
        flat = await self._call("campaigns", program, first, last)
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
            raise LedgerNotTrusted(_NO_LEDGER.format(program=campaign.program))
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
        reply = await self._call("counters", program, number)
        if not reply:
            return None
        now_ms, issued, redeemed, discount, day, today = (int(value) for value in reply[:6])
        return Counters(now_ms, issued, redeemed, discount, day, today)

    # Coupons

    async def redeem(
        self, program: str, items: Sequence[RedeemItem], *, deadline: float, again: bool
    ) -> list[RedeemReply | ServiceError]:
        """Decide orders of one program, see ``ports.Ledger``."""
        payloads = [(codec.pack_item(item), len(item.tokens)) for item in items]
        futures = self.batcher.submit(program, payloads, deadline=deadline, again=again)
        try:
            await asyncio.wait(futures)
        except asyncio.CancelledError:
            # Nobody waits any more: what has not left yet need not.
            for future in futures:
                future.cancel()
            raise
        return [self._reply(program, item, future) for item, future in zip(items, futures, strict=True)]

    def _reply(self, program: str, item: RedeemItem, answered: asyncio.Future[Answer]) -> RedeemReply | ServiceError:
        failure = answered.exception()
        if failure is not None:
            if isinstance(failure, ServiceError):
                return failure
            raise failure
        answer = answered.result()
        self._set_clock(answer.head.clock_ms)
        reply = codec.unpack_reply(answer.reply, item, answer.head)
        if isinstance(reply, Failed):
            _log.error("a record could not be read", program=program, cause=reply.cause)
        return reply

    async def issue(self, campaign: Campaign, count: int, *, request: bytes, content: bytes) -> int | None:
        """Take a block of serials, durably, and return the first; None if the campaign changed meanwhile."""
        reply = await self._call(
            "issue",
            campaign.program,
            *(self._outbox_max, campaign.number, campaign.version, count, request, content),
        )
        self._observe(campaign.program, reply[0])
        word = reply[1]
        if word == b"mismatch":
            raise RequestIdReused("request_id: stands for another request already; use a new one")
        if word == b"stale":
            self._catalog.forget(campaign.program, campaign.number)
            return None
        if word == b"limit":
            raise LimitReached(f"count: campaign {campaign.number} can issue {int(reply[2])} more, not {count}")
        return int(word)

    async def coupon(self, program: str, number: int, serial: int) -> tuple[bool, CouponRecord | None]:
        """Return whether a serial was ever issued, and the record of its use."""
        issued, record = await self._call("coupon", program, number, serial)
        return bool(issued), codec.unpack_coupon(record) if record else None

    async def remembered(self, program: str, request: bytes) -> Remembered | None:
        """Return what was approved under a request digest, for as long as it is remembered."""
        record = await self._call("request", program, request)
        return codec.unpack_request(record) if record else None

    # The operator's side

    async def status(self, program: str) -> dict[str, str]:
        """Return the header of a program's ledger, and how many entries its event stream holds; empty if none."""
        return _pairs(await self._call("status", program))

    async def adopt(self, program: str) -> dict[str, str]:
        """Accept a program's ledger as it is, empty or not, as the one to serve from now on."""
        header = _pairs(await self._call("adopt", program, self._fence.keyset_id, secrets.token_hex(8)))
        self._fence.adopt(program, header["epoch"], int(header["seq"]))
        return header

    async def is_empty(self) -> bool:
        """Whether there is nothing at all in the ledger."""
        async with self._asked():
            return int(await self._client.dbsize()) == 0

    async def _open(self, program: str, *, birth: bool) -> bool:
        """Make sure that a program's ledger is ours, or let it be born; returns whether there is one."""
        mark = self._fence.mark(program)
        epoch = secrets.token_hex(8) if birth and mark is None else b""
        found = _pairs(await self._call("open", program, self._fence.keyset_id, epoch))
        header = Header(found["epoch"], int(found["seq"]), found["keyset"]) if found else None
        self._fence.check(program, mark, header)
        return header is not None

    def _observe(self, program: str, packed: bytes) -> None:
        head = codec.unpack_head(packed)
        self._set_clock(head.clock_ms)
        mark = self._fence.mark(program)
        if mark is not None and mark.epoch != head.epoch:
            raise LedgerNotTrusted(f"the ledger of program {program!r} is another one than this server remembers")
        self._fence.observe(program, head.epoch, head.seq)

    async def _call(self, function: str, program: str, *args: bytes | int | str) -> Any:  # noqa: ANN401
        async with self._asked():
            try:
                return await self._fcall(function, program, args)
            except ResponseError as error:
                if "unction not found" not in str(error):
                    raise
                await verify(self._client, self._endpoint.durability, self._fence)
                return await self._fcall(function, program, args)

    async def _fcall(self, function: str, program: str, args: Sequence[bytes | int | str]) -> Any:  # noqa: ANN401
        tag = keys.tag(program)
        return await self._client.fcall(library().name(function).decode(), 1, tag, *args)

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[None]:
        """Turn what the Redis client raises into what it means."""
        try:
            async with asyncio.timeout(CALL_SECONDS_MAX):
                yield
        except ResponseError as error:
            if str(error).startswith("NOLEDGER"):
                raise LedgerNotTrusted(
                    "this program has no ledger here; if that is right: redemption ledger adopt"
                ) from error
            raise refused(error) from error
        except (RedisError, OSError, TimeoutError) as error:
            raise LedgerUnavailable(f"the ledger cannot be reached ({type(error).__name__})") from error


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
