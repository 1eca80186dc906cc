"""Connections to the ledger: raw calls out, replies in, and the promises checked before the first one.

The Redis client's own retries are off here: it would deliver a call again whose reply was lost, and only the batcher
knows when that is safe.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import hiredis
import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from redemption.domain.errors import LedgerRefused, LedgerUnavailable
from redemption.ledger import keys
from redemption.ledger.fence import Fence, Header
from redemption.ledger.library import library

CONNECT_SECONDS_MAX = 3.0
CALL_SECONDS_MAX = 10.0
"""Longer than any healthy call by far; a stalled disk is waited for, a dead connection is not."""

_log = structlog.get_logger(__name__)
_OLDEST_VERSION = (7, 2)


Durability = Literal["strict", "fast"]
"""What "approved" promises about a crash of the ledger's machine: strict is on disk (fsync) before the answer is given,
fast is on disk within about a second."""


_PROMISES: dict[Durability, dict[str, str]] = {
    "strict": {
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "aof-use-rdb-preamble": "yes",
    },
    "fast": {"maxmemory-policy": "noeviction", "appendonly": "yes"},
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the ledger is and what is expected of it."""

    url: str
    durability: Durability

    def pool(self) -> ConnectionPool:
        """Return a pool that makes connections without retries.

        They have no timeout of their own: with one, redis-py 8 waits in a way (``asyncio.wait_for``) that on Python
        3.11 can swallow a cancellation, and with it our own timeouts and an orderly stop. Every wait on them is
        bounded here instead, by ``asyncio.timeout``.
        """
        return ConnectionPool.from_url(
            self.url,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=CONNECT_SECONDS_MAX,
            socket_timeout=None,
            max_connections=64,
            protocol=2,
        )

    def client(self) -> Redis:
        """Return an ordinary client for everything off the commit path, without retries either."""
        return Redis.from_pool(self.pool())


class Lane:
    """One connection on which commits travel."""

    def __init__(self, pool: ConnectionPool, endpoint: Endpoint, fence: Fence) -> None:
        self._pool = pool
        self._endpoint = endpoint
        self._fence = fence
        self._connection: AbstractConnection | None = None

    @property
    def is_open(self) -> bool:
        """Whether a connection stands."""
        return self._connection is not None

    async def open(self) -> None:
        """Connect, and check the promises: a ledger that came back is not believed to be the one that left.

        Raises:
            LedgerUnavailable: It cannot be reached now.
            LedgerRefused: It does not keep the promise of its durability, or is not trusted.
        """
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                await connection.connect()  # type: ignore[no-untyped-call]
            client: Redis = self._endpoint.client()
            try:
                async with asyncio.timeout(CALL_SECONDS_MAX):
                    await verify(client, self._endpoint.durability, self._fence)
            finally:
                await client.aclose(close_connection_pool=True)
        except ResponseError as error:
            await connection.disconnect(nowait=True)
            raise refused(error) from error
        except (OSError, RedisError, TimeoutError) as error:
            await connection.disconnect(nowait=True)
            raise LedgerUnavailable(f"the ledger cannot be reached ({type(error).__name__})") from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._connection = connection

    async def exchange(self, packed: Sequence[bytes], seconds_max: float) -> list[Any]:
        """Send packed calls in one write and return their replies in order; errors of a call stand in its place.

        Raises:
            ConnectionError: The connection was lost or silent too long: it is not known what was done.
        """
        connection = self._connection
        assert connection is not None, "opened before"
        try:
            async with asyncio.timeout(seconds_max):
                await connection.send_packed_command(list(packed), check_health=False)
                return [await self._reply(connection) for _ in packed]
        except (OSError, RedisError, TimeoutError) as error:
            await self.close()
            raise ConnectionError(type(error).__name__) from error

    @staticmethod
    async def _reply(connection: AbstractConnection) -> Any:  # noqa: ANN401 - a reply is what the ledger sends
        try:
            return await connection.read_response(disable_decoding=True, disconnect_on_error=False)
        except ResponseError as error:
            return error

    async def close(self) -> None:
        """Drop the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def pack_call(function: bytes, program: str, args: Sequence[bytes | int]) -> bytes:
    """Return a function call in the ledger's wire format."""
    command: Any = (b"FCALL", function, b"1", keys.tag(program), *args)
    packed: bytes = hiredis.pack_command(command)
    return packed


async def verify(client: Redis, durability: Durability, fence: Fence) -> None:
    """Check that the ledger is the one we know, keeps its promise, and knows our functions.

    Raises:
        LedgerRefused: It does not; the message says what to change.
    """
    await _check_durability(client, durability)
    loaded = library()
    try:
        await client.function_load(loaded.text)
    except ResponseError as error:
        if "already exists" not in str(error):
            raise
    for program in fence.programs():
        mark = fence.mark(program)
        fence.check(program, mark, await read_header(client, program))


async def read_header(client: Redis, program: str) -> Header | None:
    """Return what a program's ledger says of itself, or None when there is none."""
    epoch, seq, keyset_id = await client.hmget(keys.ledger(program).decode(), ["epoch", "seq", "keyset"])
    if epoch is None:
        return None
    return Header(_text(epoch), int(seq or 0), _text(keyset_id))


def refused(error: ResponseError) -> LedgerRefused:
    """Return the failure that an error reply means; what the ledger itself says goes to the log only."""
    _log.error("the ledger refused a call", error=str(error))
    return LedgerRefused("the ledger refused a call; its operator finds the cause in the log of the server")


async def _check_durability(client: Redis, durability: Durability) -> None:
    info: dict[str, Any] = await client.info("everything")
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < _OLDEST_VERSION:
        raise LedgerRefused(f"the ledger is version {version}; Redis or Valkey 7.2 or newer is needed")
    if info.get("loading"):
        raise LedgerUnavailable("the ledger is still loading its data")
    if info.get("role") not in ("master", "primary"):
        raise LedgerRefused("the ledger is a replica; give the address of the primary")
    if info.get("aof_last_write_status", "ok") != "ok":
        raise LedgerRefused("the ledger cannot write its append-only file; look at its disk")
    if durability == "strict" and (info.get("cluster_enabled") or await _under_sentinel(client)):
        raise LedgerRefused(
            "strict durability is refused where a failover is automatic (Cluster, Sentinel), because a new primary may "
            "not have what the old one had answered; use a single primary"
        )
    for name, value in _PROMISES[durability].items():
        setting = {_text(key): _text(found) for key, found in (await client.config_get(name)).items()}.get(name)
        if setting != value:
            raise LedgerRefused(
                f"the ledger has {name} {setting!r}; {durability} durability needs {value!r}: CONFIG SET {name} {value}"
            )


async def _under_sentinel(client: Redis) -> bool:
    names = [entry.get("name", "") for entry in await client.client_list()]
    return any(str(name).startswith("sentinel-") for name in names)


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
