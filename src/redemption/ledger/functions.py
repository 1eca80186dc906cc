"""Function calls to the ledger that are not commits: one at a time each, on the ordinary client, with a timeout."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from redemption.domain.errors import LedgerUnavailable, Overloaded
from redemption.ledger import keys
from redemption.ledger.causes import LedgerUnreachable, not_heard, refused, unreachable
from redemption.ledger.commit.lane import CALL_SECONDS_MAX
from redemption.ledger.library import library
from redemption.ledger.permissions import LedgerForbids
from redemption.ledger.place import Place
from redemption.ledger.reachability import Reachability
from redemption.ledger.trust.clock import Clock
from redemption.ledger.trust.durability import Durability, load_functions
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.header import HEADER_FIELDS, read_header
from redemption.ledger.trust.health import LedgerHealth
from redemption.ledger.trust.proof import AWAIT, LedgerNotDurable, require_proof
from redemption.ledger.trust.reply_errors import (
    CLOCK_APART,
    LedgerClockApart,
    LedgerNotReady,
    LedgerNotTrusted,
    has_unknown_text,
)
from redemption.ledger.trust.write_check import log_missing_functions
from redemption.ledger.wire.orders import Head, unpack_head
from redemption.scheduling.single_flight import SingleFlight
from redemption.scheduling.work_bounds import LEDGER_CALL_WAIT_SECONDS_MAX, LEDGER_CALLS_AT_ONCE

TRIES = 3
"""How often a call is sent at most, when it was not executed and the reason may be gone by then."""
LATE_SECONDS_MAX = 0.5
"""A timeout that comes later than this says that the event loop was blocked, and nothing of the ledger."""


class FunctionClient:
    """Calls functions of the ledger."""

    def __init__(
        self,
        client: Redis,
        *,
        fence: Fence,
        health: LedgerHealth,
        reachability: Reachability,
        clock: Clock,
        outbox_max: int,
        place: Place,
        durability: Durability = "strict",
    ) -> None:
        """Build it.

        Args:
            client: The ordinary client, without retries.
            durability: With ``strict``, each write is proved to be on disk before it is answered.
            fence: The last known state of each program's ledger.
            health: Is informed when the ledger is not trusted; while the ledger is refused, nothing is called.
            reachability: Gets whether the ledger answers; while it is known to be down, nothing is called.
            clock: Its reading is sent with every call; every head of a reply sets it.
            outbox_max: About how many entries the event stream of a program keeps.
            place: The ledger's address, for the log.
        """
        self._client = client
        self._fence = fence
        self._health = health
        self._reachability = reachability
        self._clock = clock
        self._outbox_max = outbox_max
        self._place = place
        self._is_strict = durability == "strict"
        self._slots = asyncio.Semaphore(LEDGER_CALLS_AT_ONCE)
        self._openings: SingleFlight[str, bool] = SingleFlight()

    async def stop(self) -> None:
        """Cancel the calls that several callers share."""
        await self._openings.stop()

    async def call(self, function: str, program: str, *args: bytes | int | str) -> Any:  # noqa: ANN401
        """Call a function with the frame's arguments (``lua/frame.lua``) and its own; return its reply.

        Raises:
            LedgerUnavailable: There was no reply; it is not known whether the call was executed.
            LedgerDown: The ledger is known to be down; the call was not sent.
            LedgerRefused: The call was not executed.
            Overloaded: The call was not sent, because too many others wait.
        """
        return await self._call(self._fcall, function, program, args)

    async def _call(self, send: "_Send", function: str, program: str, args: Sequence[bytes | int | str]) -> Any:  # noqa: ANN401
        async with self._turn():
            for _ in range(TRIES - 1):
                try:
                    return await self._framed(send, function, program, args)
                except ResponseError as error:
                    if "unction not found" in str(error):
                        await self._load_again()
                    # CLOCKAPART is retried too: perhaps the call was only on its way for too long.
                    elif not str(error).startswith(CLOCK_APART):
                        raise
            return await self._framed(send, function, program, args)

    async def write(self, function: str, program: str, *args: bytes | int | str) -> tuple[Head, list[Any]]:
        """Call a function that writes, see ``call``; return the head of its reply and the rest of the reply."""
        send = self._fcall_proved if self._is_strict else self._fcall
        packed_head, *rest = await self._call(send, function, program, (self._outbox_max, *args))
        self._reachability.on_reply()
        return self.observe(program, packed_head), rest

    async def call_bare(self, function: str, program: str) -> Any:  # noqa: ANN401
        """Call a function that reads no frame; return its reply."""
        async with self._turn():
            try:
                return await self._fcall(function, program, ())
            except ResponseError as error:
                if "unction not found" not in str(error):
                    raise
                await self._load_again()
                return await self._fcall(function, program, ())

    async def _load_again(self) -> None:
        log_missing_functions()
        await load_functions(self._client)

    async def _framed(self, send: "_Send", function: str, program: str, args: Sequence[bytes | int | str]) -> Any:  # noqa: ANN401
        clock = self._clock
        frame = (self._fence.known(program), clock.own_ms(), clock.apart_ms_max)
        return await send(function, program, (*frame, *args))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Let one call be sent, with a timeout; while the ledger is refused or known to be down, none is."""
        self._health.require()
        self._reachability.require()
        try:
            async with self._slot(), self.bounded(CALL_SECONDS_MAX):
                yield
        except LedgerUnreachable as error:
            self._health.on_unanswered_call(error)
            raise

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Hold one of the slots for calls at the same time.

        Raises:
            Overloaded: No slot was free in time.
        """
        try:
            async with asyncio.timeout(LEDGER_CALL_WAIT_SECONDS_MAX):
                await self._slots.acquire()
        except TimeoutError as error:
            raise Overloaded("too many questions wait for the ledger; nothing was done, ask again later") from error
        try:
            yield
        finally:
            self._slots.release()

    async def _fcall(self, function: str, program: str, args: Sequence[bytes | int | str]) -> Any:  # noqa: ANN401
        tag = keys.tag(program)
        return await self._client.fcall(library().name(function).decode(), 1, tag, *args)

    async def _fcall_proved(self, function: str, program: str, args: Sequence[bytes | int | str]) -> Any:  # noqa: ANN401
        """Call a function, and see that what it wrote is on disk.

        Raises:
            LedgerUnavailable: It was executed, but may not be kept.
        """
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.fcall(library().name(function).decode(), 1, keys.tag(program), *args)
            pipeline.execute_command(*AWAIT)
            reply, waited = await pipeline.execute(raise_on_error=False)
        if isinstance(reply, Exception):
            raise reply
        try:
            require_proof(waited)
        except LedgerNotDurable as error:
            self._health.on_reply(error)
            raise LedgerUnavailable(
                "the ledger may not keep what was done; ask again with the same request id"
            ) from error
        return reply

    def observe(self, program: str, packed_head: bytes) -> Head:
        """Read the head of a reply, note the clock and the sequence number in it, and return it."""
        head = unpack_head(packed_head)
        self._clock.set(head.clock_ms)
        self._fence.observe(program, head.epoch, head.seq)
        return head

    async def begun(self, program: str) -> bool:
        """Whether the program has a ledger."""
        if self._fence.mark(program) is not None:
            return True
        return await self._openings.share(program, lambda: self.open(program, create=False))

    async def open(self, program: str, *, create: bool) -> bool:
        """Check that a program's ledger is the known one, or create it if ``create``; returns whether there is one."""
        mark = self._fence.mark(program)
        epoch = secrets.token_hex(8) if create and mark is None else b""
        values = self._fence.check_values
        checks = [text for value in values.items() for text in value]
        found = pairs(await self.call("open", program, self._fence.keyset_id, epoch, *checks))
        header = read_header(*(found.get(name, "") for name in HEADER_FIELDS))
        stored = dict.fromkeys(found.get("keyset_differs", "").split(), "")
        # Compared first: from the fence's check on, the ledger counts as known.
        self._fence.require_keyset(program, header, stored)
        self._fence.check(program, mark, header)
        if header is not None:
            self._fence.remember_keyset(program)
        return header is not None

    async def stored_check_values(self, programs: Sequence[str]) -> list[dict[str, str]]:
        """Return the check values of our keyset that the ledger of each program has stored, by their names."""
        names = list(self._fence.check_values)
        if not names or not programs:
            return [{} for _ in programs]
        pipeline = self._client.pipeline(transaction=False)
        for program in programs:
            pipeline.hmget(keys.keyset(program).decode(), names)
        async with self.bounded(CALL_SECONDS_MAX):
            replies: list[list[bytes | None]] = await pipeline.execute()
        return [
            {name: value.decode() for name, value in zip(names, found, strict=True) if value is not None}
            for found in replies
        ]

    @asynccontextmanager
    async def bounded(self, seconds_max: float) -> AsyncIterator[None]:
        """Give a call a timeout, and replace the errors of the Redis client by ours."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds_max
        try:
            async with asyncio.timeout_at(ends_at):
                yield
            self._reachability.on_read()
        except ResponseError as error:
            meaning = refused(error, self._place)
            if isinstance(meaning, LedgerNotReady):
                self._reachability.on_failure()
            else:
                self._reachability.on_read()
            if isinstance(meaning, LedgerNotTrusted | LedgerClockApart | LedgerForbids) and not str(error).startswith(
                "NOLEDGER"
            ):
                self._health.on_reply(meaning)
            elif has_unknown_text(meaning):
                self._health.on_refused_call(error)
            raise meaning from error
        except (RedisError, OSError, TimeoutError) as error:
            self._reachability.on_failure()
            late_seconds = loop.time() - ends_at
            if isinstance(error, TimeoutError) and late_seconds > LATE_SECONDS_MAX:
                raise not_heard(late_seconds, self._place) from error
            raise unreachable(error, self._place) from error


_Send: TypeAlias = Callable[[str, str, Sequence[bytes | int | str]], Awaitable[Any]]


def pairs(flat: Sequence[Any]) -> dict[str, str]:
    """Return a flat list of fields and values as a mapping."""
    texts = [item.decode() if isinstance(item, bytes) else str(item) for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
