"""Where the ledger is, what is expected of it, and how connections to it are made.

The Redis client's own retries are off: it would deliver a call again whose reply was lost, and only the batcher knows
when that is safe.
"""

from dataclasses import dataclass

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from redemption.ledger.trust.clock import CLOCK_APART_SECONDS_MAX
from redemption.ledger.trust.durability import Durability, check, prepare
from redemption.ledger.trust.fence import Fence

CONNECT_SECONDS_MAX = 3.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the ledger is and what is expected of it."""

    url: str
    durability: Durability
    clock_apart_seconds_max: float = CLOCK_APART_SECONDS_MAX

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

    async def prepare(self, client: Redis, fence: Fence) -> None:
        """Check everything at a new connection, and part our functions, see ``promises.prepare``."""
        await prepare(client, self.durability, fence, self.clock_apart_seconds_max)

    async def check(self, client: Redis, fence: Fence) -> set[str]:
        """Check what may change while a connection stands, see ``promises.check``."""
        return await check(client, self.durability, fence, self.clock_apart_seconds_max)

    async def is_empty(self) -> bool:
        """Whether there is nothing at all in the ledger."""
        async with self.client() as client:
            return int(await client.dbsize()) == 0
