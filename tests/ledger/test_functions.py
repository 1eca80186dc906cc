"""Questions off the commit path: who gets no place is told so, and Python's own words stay in the log."""

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs
from waiting import comes, settled

from redemption.domain.errors import LedgerUnavailable, Overloaded
from redemption.ledger import functions as module
from redemption.ledger.functions import Clock, FunctionClient
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.health import LedgerHealth
from redemption.scheduling.work_bounds import LEDGER_CALLS_AT_ONCE


class Straw:
    """A client whose functions wait for the gate, and then fail as a test wants."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.failure = None
        self.called = 0

    async def fcall(self, *_):
        self.called += 1
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return []


@pytest.fixture
def straw():
    return Straw()


@pytest.fixture
def functions(straw, tmp_path):
    health = LedgerHealth()
    health.on_check(None)
    return FunctionClient(straw, fence=Fence(tmp_path / "fence", "keyset"), health=health, clock=Clock(), outbox_max=10)


async def test_who_gets_no_place_in_time_is_told_that_there_is_too_much_to_do(functions, straw, monkeypatch):
    monkeypatch.setattr(module, "CALL_SECONDS_MAX", 3600.0)
    monkeypatch.setattr(module, "LEDGER_CALL_WAIT_SECONDS_MAX", 0.02)
    lucky = [asyncio.create_task(functions.call("counters", "p", 1)) for _ in range(LEDGER_CALLS_AT_ONCE)]
    await comes(lambda: straw.called == LEDGER_CALLS_AT_ONCE)
    with pytest.raises(Overloaded, match="nothing was done") as raised:
        await functions.call("counters", "p", 1)
    assert raised.value.retry_after_seconds
    straw.gate.set()
    monkeypatch.undo()
    assert await asyncio.gather(*lucky) == [[]] * LEDGER_CALLS_AT_ONCE
    assert await functions.call("counters", "p", 1) == []
    assert straw.called == LEDGER_CALLS_AT_ONCE + 1


async def test_waiting_for_a_place_takes_nothing_from_the_time_of_the_call(functions, straw, monkeypatch, clock):
    """The second waits for nearly all the time of a call, and then has all of it."""
    monkeypatch.setattr(module, "CALL_SECONDS_MAX", 3600.0)
    monkeypatch.setattr(module, "LEDGER_CALL_WAIT_SECONDS_MAX", 7200.0)
    functions._slots = asyncio.Semaphore(1)
    first = asyncio.create_task(functions.call("counters", "p", 1))
    await comes(lambda: straw.called == 1)
    second = asyncio.create_task(functions.call("counters", "p", 1))
    await settled()
    clock.forward(3600.0)
    with pytest.raises(LedgerUnavailable, match="does not answer in time"):
        await first
    await comes(lambda: straw.called == 2)
    assert not second.done()
    straw.gate.set()
    assert await second == []


@pytest.mark.parametrize(
    "failure", [RedisConnectionError("10.1.2.3 secret"), OSError("secret"), TimeoutError()], ids=repr
)
async def test_why_the_ledger_cannot_be_reached_goes_to_the_log_and_not_to_the_caller(functions, straw, failure):
    straw.failure = failure
    straw.gate.set()
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(LedgerUnavailable) as raised:
                await functions.call("counters", "p", 1)
    assert raised.value.message == "the ledger cannot be reached, or does not answer in time"
    assert [entry["cause"] for entry in logs] == [repr(failure)], "once, however many find out"


async def test_the_log_says_why_the_ledger_does_not_serve():
    health = LedgerHealth()
    health.on_check(None)
    failure = LedgerUnavailable("the connection to the ledger was lost")
    failure.__cause__ = ConnectionError("lost")
    failure.__cause__.__cause__ = OSError("the very cause")
    with capture_logs() as logs:
        health.on_reply(failure)
    (entry,) = logs
    assert (entry["message"], entry["cause"]) == (failure.message, "OSError('the very cause')")


async def test_whether_a_program_has_begun_is_asked_once_by_all_who_want_to_know(functions, straw):
    straw.gate.set()
    assert await asyncio.gather(*(functions.begun("nobody's") for _ in range(100))) == [False] * 100
    assert straw.called == 1
