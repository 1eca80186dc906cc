"""A connection to the ledger on which commits travel: raw calls out, replies in."""

import asyncio
from collections.abc import Sequence
from typing import Any

import hiredis
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from redemption.domain.errors import LedgerUnavailable
from redemption.ledger import keys
from redemption.ledger.endpoint import CONNECT_SECONDS_MAX, Endpoint
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.reply_errors import error_of

CALL_SECONDS_MAX = 10.0
"""Longer than any healthy call by far; a stalled disk is waited for, a dead connection is not."""
_NOT_REACHED = "the ledger cannot be reached, or does not answer in time"


class Replies(asyncio.Protocol):
    """Reads the replies to one exchange at a time."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(replyError=ResponseError)
        self._replies: list[Any] = []
        self._expected = 0
        self._answered: asyncio.Future[list[Any]] | None = None

    def expect(self, count: int, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[list[Any]]":
        """Return what will have so many replies in order, or the error that ended the connection."""
        self._replies, self._expected = [], count
        self._answered = answered = loop.create_future()
        return answered

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._replies.append(reply)
        except hiredis.ProtocolError as error:
            self.fail(ConnectionError(str(error)))
        if len(self._replies) >= self._expected and self._answered is not None and not self._answered.done():
            self._answered.set_result(self._replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self.fail(exc or ConnectionError("the ledger closed the connection"))

    def fail(self, error: Exception) -> None:
        """End the wait of whoever waits."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)


class Lane:
    """One connection on which commits travel.

    The Redis client connects: it knows TLS, users and Unix sockets. Then the lane reads and writes for itself, because
    each exchange through the client's streams costs several times what is left of it here.
    """

    def __init__(self, pool: ConnectionPool, endpoint: Endpoint, fence: Fence) -> None:
        self._pool = pool
        self._endpoint = endpoint
        self._fence = fence
        self._connection: AbstractConnection | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._replies = Replies()

    @property
    def is_open(self) -> bool:
        """Whether a connection stands."""
        return self._transport is not None and not self._transport.is_closing()

    async def open(self) -> None:
        """Connect, and check the promises: a ledger that came back is not believed to be the one that left.

        Raises:
            LedgerUnavailable: It cannot be reached now.
            LedgerRefused: It does not keep the promise of its durability, or is not trusted.
        """
        await self.close()
        self._connection = connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                await connection.connect()
            self._take_over(connection)  # at once: what ends the connection from now on is ours to notice
            client: Redis = self._endpoint.client()
            try:
                async with asyncio.timeout(CALL_SECONDS_MAX):
                    await self._endpoint.prepare(client, self._fence)
            finally:
                await client.aclose(close_connection_pool=True)
        except ResponseError as error:
            await self.close()
            raise error_of(error) from error
        except (OSError, RedisError, TimeoutError) as error:
            await self.close()
            raise LedgerUnavailable(_NOT_REACHED) from error
        except BaseException:
            await self.close()
            raise
        if not self.is_open:  # it ended meanwhile
            await self.close()
            raise LedgerUnavailable(_NOT_REACHED)

    def _take_over(self, connection: AbstractConnection) -> None:
        writer = connection._writer  # noqa: SLF001 - nothing public gives it
        assert writer is not None, "connected"
        self._transport = writer.transport
        self._replies = Replies()
        writer.transport.set_protocol(self._replies)

    async def exchange(self, packed: Sequence[bytes], seconds_max: float) -> list[Any]:
        """Send packed calls in one write and return their replies in order; errors of a call stand in its place.

        Raises:
            ConnectionError: The connection was lost or silent too long: it is not known what was done.
        """
        assert self._transport is not None, "opened before"
        loop, replies = asyncio.get_running_loop(), self._replies
        answered = replies.expect(len(packed), loop)
        silent = loop.call_later(seconds_max, replies.fail, TimeoutError())
        try:
            self._transport.write(packed[0] if len(packed) == 1 else b"".join(packed))
            return await answered
        except (OSError, TimeoutError) as error:
            await self.close()
            raise ConnectionError("lost, or silent too long") from error
        except BaseException:
            await self.close()  # a reply that comes later is not the next one's
            raise
        finally:
            silent.cancel()

    async def close(self) -> None:
        """Drop the connection."""
        connection, self._connection, self._transport = self._connection, None, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def pack_call(function: bytes, program: str, args: Sequence[bytes | int]) -> bytes:
    """Return a function call in the ledger's wire format."""
    command: Any = (b"FCALL", function, b"1", keys.tag(program), *args)
    packed: bytes = hiredis.pack_command(command)
    return packed
