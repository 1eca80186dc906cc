"""The settings that a ledger must have before it is served: each one wrong once, on a real Valkey."""

import asyncio

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from refused import refused

from redemption.domain.errors import LedgerRefused
from redemption.ledger.library import library
from redemption.ledger.trust.durability import check, prepare
from redemption.ledger.trust.fence import Fence
from redemption.server.embedded_valkey import EmbeddedValkey


@pytest_asyncio.fixture
async def client(tmp_path):
    """A client of a Valkey whose settings a test may spoil."""
    server = EmbeddedValkey(tmp_path / "data")
    await server.start()
    opened = Redis.from_url(server.url, protocol=2)
    yield opened
    await opened.aclose()
    await server.stop()


@pytest.fixture
def fence(tmp_path):
    return Fence(tmp_path / "fence", "keyset", {})


@pytest.mark.parametrize(
    ("name", "value", "strict", "fast"),
    [
        ("appendfsync", "everysec", False, True),
        ("appendfsync", "no", False, False),
        ("appendonly", "no", False, False),
        ("no-appendfsync-on-rewrite", "yes", False, True),
        ("aof-use-rdb-preamble", "no", False, True),
        ("maxmemory-policy", "allkeys-lru", False, False),
    ],
)
async def test_a_setting_that_breaks_the_promise_is_refused_with_its_cure(client, fence, name, value, strict, fast):
    await prepare(client, "strict", fence, 5.0)
    (right,) = (await client.config_get(name)).values()
    await client.config_set(name, value)
    for durability, kept in (("strict", strict), ("fast", fast)):
        if kept:
            await check(client, durability, fence, 5.0)
            continue
        with refused(LedgerRefused, f"CONFIG SET {name}"):
            await check(client, durability, fence, 5.0)
    await client.config_set(name, right)
    while (await client.info("persistence"))["aof_rewrite_in_progress"]:
        await asyncio.sleep(0.01)  # Valkey does not stop while it writes its first append-only file
    await check(client, "strict", fence, 5.0)


async def test_a_replica_is_refused(client, fence):
    await client.replicaof("127.0.0.1", 1)
    with refused(LedgerRefused, "replica"):
        await check(client, "fast", fence, 5.0)


async def test_strict_is_refused_under_sentinel(client, fence):
    await client.client_setname("sentinel-0123-cmd")
    with refused(LedgerRefused, "failover"):
        await prepare(client, "strict", fence, 5.0)
    await prepare(client, "fast", fence, 5.0)


async def test_functions_are_loaded_once_beside_those_of_other_versions(client, fence):
    await client.function_load("#!lua name=redemption_other\nredis.register_function('redeem_other', function() end)")
    for _ in range(2):
        await prepare(client, "strict", fence, 5.0)
    names = {entry[entry.index(b"library_name") + 1] for entry in await client.function_list()}
    assert names == {b"redemption_other", f"redemption_{library().suffix}".encode()}
