"""The clock bound: no call decides anything while the clocks of server and ledger are apart."""

import time

import pytest
import pytest_asyncio
from builders.calls import calling
from builders.times import DAY_MS
from ledger.desk import Desk
from refused import require_silence
from structlog.testing import capture_logs
from waiting import comes

from redemption.domain.errors import ServiceError
from redemption.domain.outcome import Outcome
from redemption.domain.request_identity import RequestIdentity
from redemption.ledger.ledger import CHECK_SECONDS
from redemption.ledger.trust.clock import CLOCK_APART_SECONDS_MAX
from redemption.ledger.trust.reply_errors import LedgerClockAhead, LedgerClockApart


@pytest_asyncio.fixture
async def strict(house, tmp_path):
    """A server of the same program with the bound that is the default."""
    async with house.another(tmp_path / "strict", clock_apart_seconds_max=CLOCK_APART_SECONDS_MAX) as server:
        yield Desk(server)


@pytest.fixture
def shifted(monkeypatch):
    """Moves this process's clock; the ledger's stays."""
    right = time.time

    def shift(seconds):
        monkeypatch.setattr(time, "time", lambda: right() + seconds)

    return shift


def every_call(desk, campaign, order):
    """A call of every kind of function, each of which must be refused."""
    house, identity = desk.house, RequestIdentity("x", bytes(10), bytes(8))
    return (
        lambda: desk.send(order),
        lambda: desk.ledger.revocation.revoke_serials(house.program, campaign.number, 0, 1, identity=identity),
        lambda: desk.ledger.revocation.revoke_customer(house.program, campaign.number, bytes(8), identity=identity),
        lambda: desk.ledger.campaigns.update(campaign, principal="x", offers_kept=True),
        lambda: house.mint(campaign),
        lambda: house.campaign(name="another"),
        lambda: desk.ledger.campaigns.archive(campaign, principal="x", now_ms=0),
        lambda: desk.ledger.campaigns.remove_archived(house.program, campaign.number, principal="x"),
        lambda: desk.quote_snapshot((campaign, 0)),
        lambda: desk.ledger.orders.coupon(house.program, campaign.number, 0),
        lambda: house.campaigns.get(calling(), house.program, campaign.number),
        lambda: house.stats(campaign),
    )


async def failure_of(call):
    """The error of a call; the error of an order is in its place."""
    try:
        found = await call()
    except ServiceError as error:
        return error
    return found[0] if isinstance(found, list) else found


@pytest.mark.parametrize(
    "seconds", [-2 * 86_400, -CLOCK_APART_SECONDS_MAX - 1, CLOCK_APART_SECONDS_MAX + 1, 3 * 365 * 86_400]
)
async def test_while_the_clocks_are_apart_nothing_is_decided_and_nothing_written(strict, shifted, seconds):
    campaign = await strict.campaign()
    order = strict.order(strict.token(campaign, 0))
    before = await strict.house.dump()
    shifted(seconds)
    for call in every_call(strict, campaign, order):
        strict.ledger.health.on_check(None)  # as if the watch had seen nothing
        failure = await failure_of(call)
        assert isinstance(failure, LedgerClockApart), failure
        told = f"{'behind' if seconds > 0 else 'ahead of'} this server's; nothing was done"
        assert told in failure.message
    assert await strict.house.dump() == before
    shifted(0)
    strict.ledger.health.on_check(None)
    assert await strict.ranks(order) == [[400]]


@pytest.mark.parametrize("seconds", [-CLOCK_APART_SECONDS_MAX + 1, CLOCK_APART_SECONDS_MAX - 1])
async def test_a_difference_within_the_bound_hurts_nobody(strict, shifted, seconds):
    campaign = await strict.campaign()
    shifted(seconds)
    assert await strict.rank(campaign, 0) == 400


async def test_the_watch_finds_it_out_and_that_it_is_over(strict, shifted, clock):
    """Without a call: health says so."""
    health = []
    strict.ledger.health.on_change(health.append)
    shifted(60)
    clock.forward(CHECK_SECONDS)
    await comes(lambda: health == [False])
    assert "60.0 s behind this server's" in strict.ledger.health.failure.message
    shifted(0)
    clock.forward(CHECK_SECONDS)
    await comes(lambda: health == [False, True])


async def test_a_clock_that_is_ahead_of_both_is_mended_by_its_operator(strict):
    strict.ledger._watching.cancel()  # it would be the first to find out
    campaign = await strict.campaign()
    order = strict.order(strict.token(campaign, 0))
    ahead = int(time.time() * 1000) + 3 * 365 * DAY_MS
    await strict.house.set_clock(ahead)
    before = await strict.house.dump()
    (refused,) = await strict.send(order)
    assert isinstance(refused, LedgerClockAhead)
    assert "redemption ledger reset-clock --program" in refused.for_operator
    require_silence(refused)
    assert await strict.house.dump() == before
    with capture_logs() as log:
        for _ in range(3):
            await strict.ledger.check()
    assert [entry["program"] for entry in log if "program" in entry] == [strict.program], "told once"
    assert "every program" in strict.ledger.health.failure.message, "it is the only one"
    assert "reset-clock" in (await strict.ledger.operations.status(strict.program))[0]["trusted"]
    row = await strict.ledger.operations.reset_clock(strict.program)
    assert abs(int(row["clock_ms"]) - time.time() * 1000) < 60_000
    with capture_logs() as log:
        await strict.ledger.check()
    assert [entry["event"] for entry in log] == ["the program is served again", "ledger serves again"]
    assert await strict.ranks(order) == [[400]]


async def test_generations_that_began_in_the_future_began_now(strict):
    """Else they would be read and kept until that time."""
    campaign = await strict.campaign()
    assert await strict.rank(campaign, 0) == 400
    header = strict.house.key("ledger")
    ahead = int(time.time() * 1000) + 30 * DAY_MS
    await strict.redis.hset(
        header, mapping={"clock_ms": ahead, "generations": f"2:4096:{ahead} 1:4096:{ahead - DAY_MS}"}
    )
    await strict.ledger.operations.reset_clock(strict.program)
    begun = [int(part.split(b":")[2]) for part in (await strict.redis.hget(header, "generations")).split()]
    assert max(begun) <= time.time() * 1000
    order = strict.order(strict.token(campaign, 1))
    assert await strict.ranks(order) == [[400]]
    assert type((await strict.send(order))[0]).__name__ == "Remembered"


async def test_a_clock_that_is_right_is_not_touched(strict):
    await strict.campaign()
    before = await strict.house.dump()
    await strict.ledger.operations.reset_clock(strict.program)
    assert await strict.house.dump() == before


async def test_a_call_that_waited_too_long_for_the_ledger_is_no_wrong_clock(strict, monkeypatch):
    """A disk that stalls for some seconds: the call is sent once more, with our clock as it is by then."""
    campaign = await strict.campaign()
    right, late = strict.ledger._clock.own_ms, []
    monkeypatch.setattr(strict.ledger._clock, "own_ms", lambda: right() - (late.pop() if late else 0))
    late.append(60_000)
    assert await strict.rank(campaign, 0) == 400
    late.append(60_000)
    assert (await strict.ledger.orders.coupon(strict.program, campaign.number, 0)).now.use
    assert late == []
    assert strict.ledger.health.failure is None


async def test_the_ledgers_clock_decides(house):
    """A server whose estimate of it is two days ahead judges wrongly, is told so, and judges again."""
    campaign = await house.campaign(starts_at_ms=house.ledger.now_ms() + DAY_MS)
    (token,) = await house.mint(campaign, not_before_ms=0)
    house.ledger._clock.set(house.ledger.now_ms() + 2 * DAY_MS)
    assert (await house.redeem(token)).outcome is Outcome.CAMPAIGN_NOT_STARTED


async def test_the_clock_never_runs_backwards(house):
    (token,) = await house.mint(await house.campaign())
    ahead = int(time.time() * 1000) + 60_000
    await house.set_clock(ahead)
    assert (await house.redeem(token)).decided_at == ahead // 1000
