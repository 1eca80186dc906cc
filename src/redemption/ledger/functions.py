"""Questions to the ledger off the commit path: one function call each, on the ordinary client, bounded in time."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from redemption.domain.errors import LedgerUnavailable, Overloaded
from redemption.ledger import keys
from redemption.ledger.commit.lane import CALL_SECONDS_MAX
from redemption.ledger.library import library
from redemption.ledger.trust.clock import Clock
from redemption.ledger.trust.durability import load_functions
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.header import HEADER_FIELDS, read_header
from redemption.ledger.trust.health import LedgerHealth
from redemption.ledger.trust.reply_errors import CLOCK_APART, LedgerClockApart, LedgerNotTrusted, error_of
from redemption.ledger.wire.orders import Head, unpack_head
from redemption.scheduling.single_flight import SingleFlight
from redemption.scheduling.work_bounds import LEDGER_CALL_WAIT_SECONDS_MAX, LEDGER_CALLS_AT_ONCE

TRIES = 3
"""Of a call that was not executed for a reason that is over by then."""
TOLD_SECONDS = 60.0
"""Why the ledger cannot be reached is logged so often at most: every caller finds out."""

_log = structlog.get_logger(__name__)


class FunctionClient:
    """FunctionClient functions of the ledger."""

    def __init__(self, client: Redis, *, fence: Fence, health: LedgerHealth, clock: Clock, outbox_max: int) -> None:
        """Build it.

        Args:
            client: The ordinary client, without retries.
            fence: What is remembered of the ledger.
            health: Told of a ledger that is not trusted; while it refuses, nothing is called.
            clock: Goes along with every call, and is set by every answer that is observed.
            outbox_max: About how many entries the event stream of a program keeps.
        """
        self._client = client
        self._fence = fence
        self._health = health
        self._clock = clock
        self._outbox_max = outbox_max
        self._places = asyncio.Semaphore(LEDGER_CALLS_AT_ONCE)
        self._openings: SingleFlight[str, bool] = SingleFlight()
        self._tell_again_at = 0.0

    async def stop(self) -> None:
        """Give up what several callers wait for together."""
        await self._openings.stop()

    async def call(self, function: str, program: str, *args: bytes | int | str) -> Any:  # noqa: ANN401
        """Call a function with what the frame of every call reads (``lua/frame.lua``) and arguments; return its reply.

        Raises:
            LedgerUnavailable: There was no answer; it is not known whether it was executed.
            LedgerRefused: It was not executed.
            Overloaded: Nor was it now: too many others wait.
        """
        self._health.require()
        async with self._place(), self.asked(CALL_SECONDS_MAX):
            for _ in range(TRIES - 1):
                try:
                    return await self._framed(function, program, args)
                except ResponseError as error:
                    if "unction not found" in str(error):
                        await load_functions(self._client)
                    elif not str(error).startswith(CLOCK_APART):  # else it may have been on its way for too long
                        raise
            return await self._framed(function, program, args)

    async def write(self, function: str, program: str, *args: bytes | int | str) -> tuple[Head, list[Any]]:
        """Call a function that writes, see ``call``; return the head of its reply, and the rest."""
        packed_head, *rest = await self.call(function, program, self._outbox_max, *args)
        return self.observe(program, packed_head), rest

    async def call_bare(self, function: str, program: str) -> Any:  # noqa: ANN401
        """Call a function that reads no frame; return its reply."""
        self._health.require()
        async with self._place(), self.asked(CALL_SECONDS_MAX):
            try:
                return await self._fcall(function, program, ())
            except ResponseError as error:
                if "unction not found" not in str(error):
                    raise
                await load_functions(self._client)
                return await self._fcall(function, program, ())

    async def _framed(self, function: str, program: str, args: Sequence[bytes | int | str]) -> Any:  # noqa: ANN401
        clock = self._clock
        frame = (self._fence.known(program), clock.own_ms(), clock.apart_ms_max)
        return await self._fcall(function, program, (*frame, *args))

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Have one of the places.

        Raises:
            Overloaded: There was none in time.
        """
        try:
            async with asyncio.timeout(LEDGER_CALL_WAIT_SECONDS_MAX):
                await self._places.acquire()
        except TimeoutError as error:
            raise Overloaded("too many questions wait for the ledger; nothing was done, ask again later") from error
        try:
            yield
        finally:
            self._places.release()

    async def _fcall(self, function: str, program: str, args: Sequence[bytes | int | str]) -> Any:  # noqa: ANN401
        tag = keys.tag(program)
        return await self._client.fcall(library().name(function).decode(), 1, tag, *args)

    def observe(self, program: str, packed_head: bytes) -> Head:
        """Learn from the head of a reply (the clock, and how far the ledger is), and return it."""
        head = unpack_head(packed_head)
        self._clock.set(head.clock_ms)
        self._fence.observe(program, head.epoch, head.seq)
        return head

    async def begun(self, program: str) -> bool:
        """Whether the program has a ledger."""
        if self._fence.mark(program) is not None:
            return True
        return await self._openings.share(program, lambda: self.open(program, birth=False))

    async def open(self, program: str, *, birth: bool) -> bool:
        """Make sure that a program's ledger is ours, or let it be born; returns whether there is one."""
        mark = self._fence.mark(program)
        epoch = secrets.token_hex(8) if birth and mark is None else b""
        found = pairs(await self.call("open", program, self._fence.keyset_id, epoch))
        header = read_header(*(found.get(name, "") for name in HEADER_FIELDS))
        self._fence.check(program, mark, header)
        return header is not None

    @asynccontextmanager
    async def asked(self, seconds_max: float) -> AsyncIterator[None]:
        """Bound a question, and turn what the Redis client raises into what it means."""
        try:
            async with asyncio.timeout(seconds_max):
                yield
        except ResponseError as error:
            meaning = error_of(error)
            if isinstance(meaning, LedgerNotTrusted | LedgerClockApart) and not str(error).startswith("NOLEDGER"):
                self._health.on_reply(meaning)
            raise meaning from error
        except (RedisError, OSError, TimeoutError) as error:
            self._tell(error)
            raise LedgerUnavailable("the ledger cannot be reached, or does not answer in time") from error

    def _tell(self, error: Exception) -> None:
        """Log why the ledger cannot be reached."""
        now = time.monotonic()
        if now >= self._tell_again_at:
            self._tell_again_at = now + TOLD_SECONDS
            _log.warning("the ledger cannot be reached", cause=repr(error))


def pairs(flat: Sequence[Any]) -> dict[str, str]:
    """Return a flat list of fields and values as a mapping."""
    texts = [item.decode() if isinstance(item, bytes) else str(item) for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
