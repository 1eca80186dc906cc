"""The use cases on a private ledger in a temporary directory, with strict durability: for benchmarks without gRPC.

Also creates what these benchmarks need: campaigns, and coupons.
"""

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, Protocol

from redis.asyncio import Redis

from redemption.domain.call_info import CallInfo
from redemption.domain.campaign.campaign import Campaign, Offer
from redemption.domain.decision import Decision
from redemption.domain.errors import ServiceError
from redemption.domain.signed.check_values import check_values
from redemption.domain.signed.keyset import Keyset
from redemption.ledger.endpoint import Endpoint
from redemption.ledger.ledger import RedisLedger
from redemption.ledger.trust.fence import Fence
from redemption.server.embedded_valkey import EmbeddedValkey
from redemption.service.issuer import Minted, MintRequest
from redemption.service.pending_order import RedeemRequest
from redemption.service.use_cases import UseCases

PROGRAM = "bench"
PRINCIPAL = "bench"


def calling(principal: str = PRINCIPAL, *, deadline: float = inf) -> CallInfo:
    """Return the call info for a use case."""
    return CallInfo(principal, "bench", "", deadline)


DAY_MS = 86_400_000
REDEEM_SECONDS_MAX = 10.0


class Server(Protocol):
    """One server's use cases, and its ledger."""

    @property
    def use_cases(self) -> UseCases: ...  # noqa: D102
    @property
    def ledger(self) -> RedisLedger: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Private:
    """A private server for a measurement.

    Attributes:
        redis: An ordinary client of the same ledger.
        directory: The directory, with the ledger in ``ledger``, as ``redemption serve`` lays it out.
    """

    use_cases: UseCases
    ledger: RedisLedger
    fence: Fence
    redis: Redis
    keyset: Keyset
    url: str
    directory: Path


@asynccontextmanager
async def private_services() -> AsyncIterator[Private]:
    """Start the use cases; their files are removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="redemption-bench-") as directory:
        valkey = EmbeddedValkey(Path(directory) / "ledger")
        await valkey.start()
        keyset = Keyset.generate(
            environment="development", development=True, now=int(time.time()), random=secrets.token_bytes
        )
        fence = Fence(Path(directory) / "fence", keyset.id, check_values(keyset))
        ledger = RedisLedger(Endpoint(valkey.url, "strict"), fence=fence, may_create_ledger=True)
        await ledger.start()
        redis = Redis.from_url(valkey.url, protocol=2)
        try:
            yield Private(UseCases(keyset, ledger), ledger, fence, redis, keyset, valkey.url, Path(directory))
        finally:
            await redis.aclose()
            await ledger.stop()
            await valkey.stop()


@asynccontextmanager
async def another_server(first: Private) -> AsyncIterator[Private]:
    """Start the use cases of another server on the same ledger, with its own cache of definitions."""
    with tempfile.TemporaryDirectory(prefix="redemption-bench-") as directory:
        fence = Fence(Path(directory) / "fence", first.keyset.id, check_values(first.keyset))
        ledger = RedisLedger(Endpoint(first.url, "strict"), fence=fence, may_create_ledger=False)
        await ledger.start()
        try:
            yield replace(first, use_cases=UseCases(first.keyset, ledger), ledger=ledger, fence=fence)
        finally:
            await ledger.stop()


async def open_campaign(server: Server, offer: Offer, *, program: str = PROGRAM, **fields: Any) -> Campaign:  # noqa: ANN401 - fields of a campaign
    """Create a campaign with one offer that can be redeemed now; ``fields`` are more of its fields."""
    now_ms = server.ledger.now_ms()
    definition = Campaign(
        program=program,
        name=secrets.token_hex(8),
        currency_code="CNY",
        time_zone="Asia/Shanghai",
        starts_at_ms=now_ms - DAY_MS,
        ends_at_ms=now_ms + 30 * DAY_MS,
        offers=(offer,),
        **fields,
    )
    return await server.use_cases.campaigns.create(calling(), secrets.token_hex(8), definition)


async def mint(server: Server, campaign: Campaign, count: int, offer_index: int = 0) -> list[Minted]:
    """Mint coupons of an offer."""
    order = MintRequest(campaign.program, secrets.token_hex(8), campaign.number, offer_index, count)
    return [minted async for chunk in await server.use_cases.issuer.mint(calling(), order) for minted in chunk]


async def redeem(server: Server, attempt: RedeemRequest) -> Decision:
    """Redeem one order.

    Raises:
        ServiceError: It failed.
    """
    deadline = asyncio.get_running_loop().time() + REDEEM_SECONDS_MAX
    (result,) = await server.use_cases.redeemer.redeem_all(calling(deadline=deadline), [attempt])
    if isinstance(result, ServiceError):
        raise result
    return result
