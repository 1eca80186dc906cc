"""A connection to the ledger for commits: packed calls out, replies in."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from redemption.domain.errors import LedgerUnavailable
from redemption.ledger import keys
from redemption.ledger.causes import NOT_REACHED, refused, unreachable
from redemption.ledger.endpoint import CONNECT_SECONDS_MAX, Endpoint
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.proof import (
    AWAIT,
    STILL_DURABLE,
    WRITE,
    WRITE_WITHOUT_MEMORY,
    require_execution,
    require_proof,
)

CALL_SECONDS_MAX = 10.0
"""Far longer than any healthy call: long enough for a stalled disk, and a dead connection is noticed."""


class Replies(asyncio.Protocol):
    """The protocol of a connection; reads the replies to one exchange at a time."""

    def __init__(self, reply_error: Callable[[str], ResponseError]) -> None:
        self._reader = hiredis.Reader(replyError=reply_error)
        self._replies: list[Any] = []
        self._expected = 0
        self._pending: asyncio.Future[list[Any]] | None = None

    def expect(self, count: int, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[list[Any]]":
        """Return a future for ``count`` replies in order; it fails with the error that ended the connection."""
        self._replies, self._expected = [], count
        self._pending = pending = loop.create_future()
        return pending

    def data_received(self, data: bytes) -> None:
        """Read the replies in the received bytes; complete the future when all are there."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._replies.append(reply)
        except hiredis.ProtocolError as error:
            self.fail(ConnectionError(str(error)))
        if len(self._replies) >= self._expected and self._pending is not None and not self._pending.done():
            self._pending.set_result(self._replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the future that is pending."""
        self.fail(exc or ConnectionError("the ledger closed the connection"))

    def fail(self, error: Exception) -> None:
        """Fail the future that is pending, if there is one."""
        if self._pending is not None and not self._pending.done():
            self._pending.set_exception(error)


class Lane:
    """One connection that carries commits.

    The Redis client opens the connection: it knows TLS, users and Unix sockets. Then the lane takes over the transport,
    because an exchange through the client's own streams costs several times as much.

    Under ``strict`` every exchange begins with a question that is answered at once: is what this connection wrote
    before on disk? If not, the append-only file was turned off, and the exchange fails (``trust/proof.py``).
    """

    def __init__(self, pool: ConnectionPool, endpoint: Endpoint, fence: Fence) -> None:
        self._pool = pool
        self._endpoint = endpoint
        self._is_strict = endpoint.durability == "strict"
        self._fence = fence
        self._reply_error = endpoint.reply_error()
        self._connection: AbstractConnection | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._replies = Replies(self._reply_error)

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        return self._transport is not None and not self._transport.is_closing()

    async def open(self) -> None:
        """Connect, and check the ledger again: after a lost connection it may be another one.

        Raises:
            LedgerUnavailable: The ledger cannot be reached now.
            LedgerRefused: The ledger does not have the required durability, or is not trusted.
            LedgerNotDurable: What this connection wrote did not reach the disk.
        """
        await self.close()
        self._connection = connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                await connection.connect()
            self._take_over(connection)  # before the checks, so that the lane notices if the connection ends meanwhile
            client: Redis = self._endpoint.client()
            try:
                async with asyncio.timeout(CALL_SECONDS_MAX):
                    await self._endpoint.prepare(client, self._fence)
            finally:
                await client.aclose(close_connection_pool=True)
            if self.is_open:  # else it ended during the checks
                await self._prove()
        except ResponseError as error:
            await self.close()
            raise refused(error, self._endpoint.place()) from error
        except (OSError, RedisError, TimeoutError) as error:
            await self.close()
            raise unreachable(error, self._endpoint.place()) from error
        except BaseException:
            await self.close()
            raise
        if not self.is_open:
            await self.close()
            raise LedgerUnavailable(NOT_REACHED)

    def _take_over(self, connection: AbstractConnection) -> None:
        writer = connection._writer  # noqa: SLF001 - there is no public way to the transport
        assert writer is not None, "connected"
        self._transport = writer.transport
        self._replies = Replies(self._reply_error)
        writer.transport.set_protocol(self._replies)

    async def _prove(self) -> None:
        """Write something on this very connection and see that it is on disk; WAITAOF knows of no other one."""
        for write in (WRITE, WRITE_WITHOUT_MEMORY):
            commands: tuple[Any, Any] = (write, AWAIT)
            written, waited = await self.exchange([_packed(each) for each in commands], CALL_SECONDS_MAX)
            if not str(written).startswith("OOM"):
                break
        require_execution(written, waited)
        require_proof(waited)

    async def exchange(self, packed: Sequence[bytes], seconds_max: float) -> list[Any]:
        """Send packed calls in one write; return the replies in order, error replies as exceptions in the list.

        Raises:
            ConnectionError: The connection was lost, or no reply came in time: the calls are in doubt.
            LedgerNotDurable: The ledger executed calls, but does not keep what it writes: they are in doubt.
        """
        assert self._transport is not None, "opened before"
        loop, replies = asyncio.get_running_loop(), self._replies
        if self._is_strict:
            packed = (STILL_DURABLE, *packed)
        pending = replies.expect(len(packed), loop)
        timeout = loop.call_later(seconds_max, replies.fail, TimeoutError())
        try:
            self._transport.write(packed[0] if len(packed) == 1 else b"".join(packed))
            found = await pending
            if self._is_strict:
                waited = found.pop(0)
                if (type(waited) is not list or not waited[0]) and not _none_executed(found):
                    require_proof(waited)
            return found  # noqa: TRY300 - no ``else``: a failed proof closes the connection, too
        except (OSError, TimeoutError) as error:
            await self.close()
            raise ConnectionError("lost, or silent too long") from error
        except BaseException:
            await self.close()  # a late reply must not be read as the reply to the next call
            raise
        finally:
            timeout.cancel()

    async def close(self) -> None:
        """Drop the connection."""
        connection, self._connection, self._transport = self._connection, None, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def _none_executed(replies: Sequence[Any]) -> bool:
    return all(isinstance(reply, ResponseError) for reply in replies)


def _packed(command: Any) -> bytes:  # noqa: ANN401 - the words of a command
    packed: bytes = hiredis.pack_command(command)
    return packed


def pack_call(function: bytes, program: str, args: Sequence[bytes | int]) -> bytes:
    """Return a function call in the ledger's wire format."""
    return _packed((b"FCALL", function, b"1", keys.tag(program), *args))
