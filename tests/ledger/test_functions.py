"""Calls beside the commit path: without a free place they are refused, and the text of an exception is only logged."""

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs
from waiting import comes, settled

from redemption.domain.errors import LedgerUnavailable, Overloaded
from redemption.ledger import functions as module
from redemption.ledger.functions import Clock, FunctionClient
from redemption.ledger.place import Place
from redemption.ledger.reachability import GRACE_SECONDS, LedgerDown, Reachability
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.health import LedgerHealth
from redemption.scheduling.work_bounds import LEDGER_CALLS_AT_ONCE

REFUSED = LedgerUnavailable("the ledger at redis://ledger.example:6379 refuses the connection")


class FakeClient:
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
def client():
    return FakeClient()


@pytest.fixture
def functions(client, tmp_path):
    health = LedgerHealth()
    health.on_check(None)
    return FunctionClient(
        client,
        fence=Fence(tmp_path / "fence", "keyset", {}),
        health=health,
        reachability=Reachability(),
        clock=Clock(),
        outbox_max=10,
        place=Place(host="ledger.example"),
    )


async def test_a_call_that_gets_no_place_in_time_is_overloaded(functions, client, monkeypatch):
    monkeypatch.setattr(module, "CALL_SECONDS_MAX", 3600.0)
    monkeypatch.setattr(module, "LEDGER_CALL_WAIT_SECONDS_MAX", 0.02)
    lucky = [asyncio.create_task(functions.call("counters", "p", 1)) for _ in range(LEDGER_CALLS_AT_ONCE)]
    await comes(lambda: client.called == LEDGER_CALLS_AT_ONCE)
    with pytest.raises(Overloaded, match="nothing was done") as raised:
        await functions.call("counters", "p", 1)
    assert raised.value.retry_after_seconds
    client.gate.set()
    monkeypatch.undo()
    assert await asyncio.gather(*lucky) == [[]] * LEDGER_CALLS_AT_ONCE
    assert await functions.call("counters", "p", 1) == []
    assert client.called == LEDGER_CALLS_AT_ONCE + 1


async def test_waiting_for_a_place_takes_nothing_from_the_time_of_the_call(functions, client, monkeypatch, clock):
    """The second one waits for nearly as long as a call may take, and then has that whole time for itself."""
    monkeypatch.setattr(module, "CALL_SECONDS_MAX", 3600.0)
    monkeypatch.setattr(module, "LEDGER_CALL_WAIT_SECONDS_MAX", 7200.0)
    functions._slots = asyncio.Semaphore(1)
    first = asyncio.create_task(functions.call("counters", "p", 1))
    await comes(lambda: client.called == 1)
    second = asyncio.create_task(functions.call("counters", "p", 1))
    await settled()
    clock.forward(3600.0)
    with pytest.raises(LedgerUnavailable, match="does not answer in time"):
        await first
    await comes(lambda: client.called == 2)
    assert not second.done()
    client.gate.set()
    assert await second == []


@pytest.mark.parametrize(
    "failure", [RedisConnectionError("10.1.2.3 secret"), OSError("secret"), TimeoutError()], ids=repr
)
async def test_why_the_ledger_did_not_answer_goes_to_the_log_and_not_to_the_caller(functions, client, failure):
    """Once, however many calls fail. When the next check fails, too, its line alone says why."""
    client.failure = failure
    client.gate.set()
    with capture_logs() as logs:
        for check in (REFUSED, None, None, None):
            for _ in range(3):
                with pytest.raises(LedgerUnavailable) as raised:
                    await functions.call("counters", "p", 1)
            functions._health.on_check(check)
    assert raised.value.message == "the ledger cannot be reached, or does not answer in time"
    not_served, served, entry = logs
    assert (not_served["event"], served["event"]) == ("ledger does not serve", "ledger serves again")
    assert "did not answer a call" in entry["event"]
    assert entry["message"].startswith("the ledger at redis://ledger.example:6379 ")


async def test_an_outage_is_one_line_of_the_log_whoever_meets_it_first(functions, client):
    client.failure = RedisConnectionError("refused")
    client.gate.set()
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(LedgerUnavailable) as raised:
                await functions.call("counters", "p", 1)
            functions._health.on_check(raised.value)
    assert [entry["event"] for entry in logs] == ["ledger does not serve"]


async def test_an_answer_that_this_process_was_too_busy_to_read_is_told_as_that(functions, client, clock):
    """The timeout itself came late: that says nothing of the ledger."""
    asking = asyncio.create_task(functions.call("counters", "p", 1))
    await comes(lambda: client.called)
    clock.forward(module.CALL_SECONDS_MAX + 5.0)
    with pytest.raises(LedgerUnavailable) as raised:
        await asking
    assert "this process was too busy to hear the ledger at redis://ledger.example:6379" in raised.value.for_operator
    assert "blocked for 5.0 s or longer" in raised.value.for_operator


async def test_concurrent_callers_ask_once_whether_a_program_has_begun(functions, client):
    client.gate.set()
    assert await asyncio.gather(*(functions.begun("nobody's") for _ in range(100))) == [False] * 100
    assert client.called == 1


async def test_while_the_ledger_is_known_to_be_down_nothing_is_called(functions, client, clock):
    """A call that is not on the commit path fails at once, too; any reply of the ledger ends that."""
    client.gate.set()
    client.failure = RedisConnectionError("refused")
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="cannot be reached"):
            await functions.call("counters", "p", 1)
    clock.forward(GRACE_SECONDS)
    for call in (lambda: functions.call("counters", "p", 1), lambda: functions.call_bare("status", "p")):
        with pytest.raises(LedgerDown, match="nothing was done"):
            await call()
    assert client.called == 2
    client.failure = None
    async with functions.bounded(60):  # as the check does
        pass
    assert await functions.call("counters", "p", 1) == []
