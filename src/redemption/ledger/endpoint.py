"""The ledger's address, what it must be set to, and how connections to it are made.

The Redis client's own retries are off: it would send a call again when its reply was lost, and only the batcher knows
when that is safe.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from redemption.ledger.causes import unreachable
from redemption.ledger.place import Place
from redemption.ledger.reply_text import parser_that_cleans, without_secrets
from redemption.ledger.trust.clock import CLOCK_APART_SECONDS_MAX
from redemption.ledger.trust.durability import Checked, Durability, check, prepare
from redemption.ledger.trust.fence import Fence

CONNECT_SECONDS_MAX = 3.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The ledger's address, the durability it must have, and how far its clock may be from ours."""

    url: str = field(repr=False)
    durability: Durability
    clock_apart_seconds_max: float = CLOCK_APART_SECONDS_MAX

    def pool(self) -> ConnectionPool:
        """Return a pool that makes connections without retries.

        The connections have no timeout of their own. With one, redis-py 8 waits with ``asyncio.wait_for``, which on
        Python 3.11 can lose a cancellation: then our own timeouts and an orderly stop do not work. Instead the code
        that waits on a connection bounds the wait, with ``asyncio.timeout`` or ``call_later``.
        """
        pool = ConnectionPool.from_url(
            self.url,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=CONNECT_SECONDS_MAX,
            socket_timeout=None,
            max_connections=64,
            protocol=2,
        )
        pool.connection_kwargs["parser_class"] = parser_that_cleans(_password(pool))
        return pool

    def reply_error(self) -> Callable[[str], ResponseError]:
        """Return what makes an exception of an error reply, for a reader that is not the Redis client's."""
        password = _password(self.pool())
        return lambda text: ResponseError(without_secrets(text, password))

    def place(self) -> Place:
        """Return the address without the password."""
        return Place.of(self.pool())

    def client(self) -> Redis:
        """Return an ordinary client, also without retries, for all calls that are not commits."""
        return Redis.from_pool(self.pool())

    async def prepare(self, client: Redis, fence: Fence) -> None:
        """Check everything on a new connection, and load our functions, see ``durability.prepare``."""
        await prepare(client, self.durability, fence, self.clock_apart_seconds_max)

    async def check(self, client: Redis, fence: Fence) -> Checked:
        """Check what may change while a connection is open, see ``durability.check``."""
        return await check(client, self.durability, fence, self.clock_apart_seconds_max)

    async def is_empty(self) -> bool:
        """Whether the ledger holds no key at all.

        Raises:
            LedgerUnavailable: It cannot be asked.
        """
        try:
            async with self.client() as client:
                return int(await client.dbsize()) == 0
        except (RedisError, OSError) as error:
            raise unreachable(error, self.place()) from error


def _password(pool: ConnectionPool) -> str:
    """Return the password as it is sent; empty when there is none."""
    return str(pool.connection_kwargs.get("password") or "")
