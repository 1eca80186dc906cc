"""The use cases on a ledger of their own, strict, on a directory of their own: for benchmarks without gRPC."""

import os
import platform
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from redemption import __version__
from redemption.app import Services, wire
from redemption.domain.keyset import Keyset
from redemption.ledger.connection import Endpoint
from redemption.ledger.embedded import EmbeddedValkey
from redemption.ledger.fence import Fence
from redemption.ledger.ledger import RedisLedger


@dataclass(frozen=True, slots=True)
class Private:
    """What a measurement needs."""

    services: Services
    ledger: RedisLedger
    redis: Redis
    keyset: Keyset
    url: str


@asynccontextmanager
async def private_services() -> AsyncIterator[Private]:
    """Start the use cases; what they wrote is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="redemption-bench-") as directory:
        valkey = EmbeddedValkey(Path(directory))
        await valkey.start()
        keyset = Keyset.generate(
            environment="development", development=True, now=int(time.time()), random=secrets.token_bytes
        )
        ledger = RedisLedger(
            Endpoint(valkey.url, "strict"), fence=Fence(Path(directory) / "fence", keyset.id), births_allowed=True
        )
        await ledger.start()
        redis = Redis.from_url(valkey.url, protocol=2)
        try:
            yield Private(wire(keyset, ledger), ledger, redis, keyset, valkey.url)
        finally:
            await redis.aclose()
            await ledger.stop()
            await valkey.stop()


@asynccontextmanager
async def another_server(first: Private) -> AsyncIterator[Private]:
    """Start the use cases of another server on the same ledger, with definitions at hand of its own."""
    with tempfile.TemporaryDirectory(prefix="redemption-bench-") as directory:
        fence = Fence(Path(directory) / "fence", first.keyset.id)
        ledger = RedisLedger(Endpoint(first.url, "strict"), fence=fence, births_allowed=False)
        await ledger.start()
        try:
            yield Private(wire(first.keyset, ledger), ledger, first.redis, first.keyset, first.url)
        finally:
            await ledger.stop()


def machine() -> str:
    """Return on what is measured, in one line."""
    return (
        f"redemption {__version__}, {platform.python_implementation()} {platform.python_version()}, "
        f"{os.cpu_count()} cores, {platform.machine()}; embedded valkey, strict"
    )


def percentile(sorted_values: list[float], part: float) -> float:
    """Return the value below which a part (0 to 1) of sorted values lies."""
    return sorted_values[min(int(len(sorted_values) * part), len(sorted_values) - 1)]
