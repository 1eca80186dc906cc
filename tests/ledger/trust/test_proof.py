"""Nothing is approved that the ledger's next start would not find: real files, real kills."""

import asyncio
import contextlib
import os
import signal

import pytest
from house import House
from refused import refused, require_silence
from waiting import SECONDS_MAX, comes

from redemption.domain.errors import LedgerRefused, LedgerUnavailable, ServiceError
from redemption.domain.outcome import Outcome
from redemption.ledger.commit.batcher import LANES
from redemption.ledger.commit.lane import Lane, pack_call
from redemption.ledger.endpoint import Endpoint
from redemption.ledger.ledger import TRAIL_SECONDS
from redemption.ledger.library import library
from redemption.ledger.trust.proof import LedgerNotDurable, prove
from redemption.server.embedded_valkey import EmbeddedValkey

SLOW_MICROSECONDS = 3_000
"""How long Valkey takes for each key of its first append-only file: long enough to be seen on the way."""


@contextlib.asynccontextmanager
async def served(directory, **options):
    server = EmbeddedValkey(directory, **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def own(tmp_path):
    """A Valkey that a test may spoil and kill."""
    async with served(tmp_path / "data") as server:
        yield server


@pytest.fixture
async def shop(own, tmp_path):
    """A server on it."""
    async with House(own.url, tmp_path / "fence", program="shop") as built:
        yield built


async def filled(client, keys=650):
    """Write so many keys that the first append-only file takes a while."""
    await client.mset({f"filler:{number}": "x" for number in range(keys)})


async def turn_off(client):
    await client.config_set("appendonly", "no")


async def turn_on_slowly(client):
    await client.config_set("rdb-key-save-delay", SLOW_MICROSECONDS)
    await client.config_set("appendonly", "yes")
    await client.config_set("rdb-key-save-delay", 0)
    assert (await client.info("persistence"))["aof_rewrite_in_progress"]


async def rewritten(client):
    """Wait until the append-only file is the one that a start would read."""
    while (await client.info("persistence"))["aof_rewrite_in_progress"]:
        await asyncio.sleep(0.01)


async def fails(proving):
    """Whether it says that nothing is kept."""
    try:
        await proving
    except LedgerNotDurable as error:
        require_silence(error)
        return "aof_rewrite_in_progress" in error.for_operator
    return False


async def test_nothing_is_trusted_while_the_file_is_being_written_for_the_first_time(own, shop):
    """A proof, a check that was content before, and new connections: all say no, until the file is there."""
    lanes = []
    for durability in ("strict", "fast"):
        endpoint = Endpoint(own.url, durability)
        lanes.append(Lane(endpoint.pool(), endpoint, shop.fence))
    shop.ledger._watching.cancel()
    await shop.ledger.check()
    await prove(shop.redis)
    await filled(shop.redis)
    await turn_off(shop.redis)
    with pytest.raises(LedgerNotDurable):
        await prove(shop.redis)
    await turn_on_slowly(shop.redis)
    asked = await asyncio.gather(fails(prove(shop.redis)), *(fails(lane.open()) for lane in lanes), shop.ledger.check())
    assert asked == [True, True, True, None]
    assert isinstance(shop.ledger.health.failure, LedgerNotDurable)
    assert not any(lane.is_open for lane in lanes)
    await rewritten(shop.redis)
    for lane in lanes:
        await lane.open()
        await lane.close()
    await prove(shop.redis)
    await shop.ledger.check()
    assert shop.ledger.health.failure is None


async def test_a_call_that_meets_a_file_turned_off_is_in_doubt_at_once(own, shop):
    """Before any check: the calls themselves find out."""
    tokens = await shop.mint(await shop.campaign(), 4)
    shop.ledger._watching.cancel()
    for token in tokens[:LANES]:
        assert (await shop.redeem(token)).outcome is Outcome.APPROVED
    await turn_off(shop.redis)
    with pytest.raises(LedgerUnavailable, match="may have approved"):
        await shop.redeem(tokens[2])
    with pytest.raises(LedgerNotDurable):
        await shop.redeem(tokens[3])
    shop.ledger.health.on_check(None)  # as if a check had seen nothing
    with pytest.raises(LedgerUnavailable, match="may have approved"):
        await shop.redeem(tokens[3])
    shop.ledger.health.on_check(None)
    with refused(LedgerRefused, "CONFIG SET appendonly yes"):
        await shop.redeem(tokens[3])


async def test_what_is_minted_while_the_file_is_off_is_in_doubt(own, shop):
    campaign = await shop.campaign()
    shop.ledger._watching.cancel()
    await turn_off(shop.redis)
    with pytest.raises(LedgerUnavailable, match="may not keep what was done"):
        await shop.mint(campaign)
    assert isinstance(shop.ledger.health.failure, LedgerNotDurable)


async def test_a_call_that_was_not_executed_needs_no_proof(own):
    """What the ledger refused has changed nothing, so it is not in doubt."""
    endpoint = Endpoint(own.url, "strict")
    async with House(own.url, own.data_directory / "f", program="shop") as shop:
        lane = Lane(endpoint.pool(), endpoint, shop.fence)
        await lane.open()
        await turn_off(shop.redis)
        (refused,) = await lane.exchange([pack_call(b"nothing_of_this_name", "shop", [])], SECONDS_MAX)
        assert "unction not found" in str(refused)
        with pytest.raises(LedgerNotDurable):
            await lane.exchange([pack_call(library().name("status"), "shop", [])], SECONDS_MAX)
        assert not lane.is_open


async def test_with_fast_durability_the_fence_waits_for_the_disk(tmp_path, clock):
    """A crash that ``fast`` tolerates must leave a ledger that is trusted, by this server and by its next start."""
    async with (
        served(tmp_path / "data", durability="fast") as own,
        House(own.url, tmp_path / "fence", program="shop", durability="fast") as shop,
    ):
        *others, token = await shop.mint(await shop.campaign(), LANES + 1)
        shop.ledger._watching.cancel()
        for other in others:
            assert (await shop.redeem(other)).outcome is Outcome.APPROVED
        for _ in range(2):
            assert shop.fence.mark("shop").seq == 0
            await shop.ledger.check()
            clock.forward(TRAIL_SECONDS)
        known = shop.fence.mark("shop")
        assert known.seq == int(await shop.redis.hget(shop.key("ledger"), "seq"))
        await filled(shop.redis)
        await turn_off(shop.redis)
        await turn_on_slowly(shop.redis)
        assert (await shop.redeem(token)).outcome is Outcome.APPROVED
        await shop.ledger.check()
        assert isinstance(shop.ledger.health.failure, LedgerNotDurable)
        assert shop.fence.mark("shop") == known
        os.kill(own.pid, signal.SIGKILL)  # the approval is lost: it was younger than a second
        await own.wait()
        await own.start()
        await comes_checked(shop)
        assert (await shop.redeem(token)).outcome is Outcome.APPROVED


async def comes_checked(shop):
    """Check until all is well: connections may have to be opened again."""
    while True:
        await shop.ledger.check()
        if shop.ledger.health.failure is None:
            return


async def test_no_approval_is_lost_when_the_file_is_turned_off_and_on_under_load(own, shop):
    """The ledger is killed while the file is written for the first time: each approval that was told is still there."""
    tokens = iter(await shop.mint(await shop.campaign(), 20_000))
    told, refused, stopped = [], set(), asyncio.Event()

    async def buy(buyer):
        while not stopped.is_set():
            token = next(tokens)
            try:
                assert (await shop.redeem(token)).outcome is Outcome.APPROVED
            except ServiceError:
                refused.add(buyer)
                await asyncio.sleep(0.01)
            else:
                told.append(token)

    async with asyncio.TaskGroup() as buyers:
        for buyer in range(20):
            buyers.create_task(buy(buyer))
        await comes(lambda: len(told) > 300)
        await turn_off(shop.redis)
        await comes(lambda: len(refused) == 20)  # what was decided before the file was turned off has been told by now
        before = len(told)
        await filled(shop.redis)
        await turn_on_slowly(shop.redis)
        await comes(lambda: isinstance(shop.ledger.health.failure, LedgerNotDurable))
        await shop.ledger.check()
        assert (await shop.redis.info("persistence"))["aof_rewrite_in_progress"]
        os.kill(own.pid, signal.SIGKILL)
        await own.wait()
        assert len(told) == before, "nothing is approved while nothing would be found again"
        stopped.set()
        await own.start()  # orders in flight are asked for again now, and may be approved
    await comes_checked(shop)
    for token in told:
        assert (await shop.redeem(token)).outcome is Outcome.ALREADY_REDEEMED
