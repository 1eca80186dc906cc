"""Whether the ledger may be served: a problem stays until the watch has seen that it is gone."""

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from refused import refused
from structlog.testing import capture_logs
from waiting import comes

from redemption.domain.errors import LedgerRefused, LedgerUnavailable
from redemption.domain.outcome import Outcome
from redemption.ledger.ledger import CHECK_SECONDS
from redemption.ledger.trust.health import LedgerHealth
from redemption.ledger.trust.reply_errors import LedgerFull, LedgerNotTrusted

LOST = LedgerUnavailable("the connection to the ledger was lost")
REFUSED = LedgerRefused("appendfsync is everysec")
FORGOT = LedgerNotTrusted("it was rolled back")


@pytest.fixture
def health():
    """A health that was checked once, and all was well."""
    checked = LedgerHealth()
    checked.on_check(None)
    return checked


def test_before_the_first_check_it_does_not_serve():
    assert isinstance(LedgerHealth().failure, LedgerUnavailable)


def test_a_call_that_is_answered_clears_a_lost_connection(health):
    health.on_reply(LOST)
    assert health.failure is LOST
    health.require()  # asking is how it is found out that it is back
    health.on_reply(None)
    assert health.failure is None


@pytest.mark.parametrize("tell", [LedgerHealth.on_check, LedgerHealth.on_reply], ids=["a check", "a call"])
def test_a_ledger_that_is_not_trusted_is_not_asked_until_a_check_finds_that_it_is(health, tell):
    tell(health, FORGOT)
    health.on_reply(None)
    assert health.failure is FORGOT
    with pytest.raises(LedgerNotTrusted):
        health.require()
    health.on_check(None)
    assert health.failure is None


def test_a_broken_promise_is_cleared_by_a_check_alone(health):
    health.on_check(REFUSED)
    health.on_reply(LOST)
    health.on_reply(None)
    assert health.failure is REFUSED
    with pytest.raises(LedgerRefused):
        health.require()


def test_only_changes_are_told(health):
    told = []
    health.on_change(told.append)
    for failure in (LOST, REFUSED, None, None, FORGOT):
        health.on_check(failure)
    assert told == [False, True, False]


async def test_broken_durability_is_not_served_until_it_is_mended(house):
    """Successful calls say nothing about fsync: only the watch clears the problem."""
    tokens = await house.mint(await house.campaign(), 2)
    await house.redeem(tokens[0])
    await house.redis.config_set("appendfsync", "everysec")
    try:
        await house.ledger.check()
        for ask in (
            lambda: house.redeem(tokens[1]),
            lambda: house.mint(house.ledger.campaigns.cached(house.program, 1)),
        ):
            with refused(LedgerRefused, "CONFIG SET appendfsync always"):
                await ask()
        assert house.ledger.health.failure is not None
    finally:
        await house.redis.config_set("appendfsync", "always")
    await house.ledger.check()
    assert (await house.redeem(tokens[1])).outcome is Outcome.APPROVED


async def test_the_watch_outlives_whatever_it_stumbles_over(house, monkeypatch, clock):
    with monkeypatch.context() as patch:
        patch.setattr(house.fence, "save", lambda: 1 / 0)
        patch.setattr(house.fence, "learn_adoptions", lambda: open("/"))  # noqa: SIM115, PTH123 - it raises
        patch.setattr("redemption.ledger.endpoint.check", lambda *_: 1 / 0)
        clock.forward(CHECK_SECONDS)
        await comes(lambda: house.ledger.health.failure)
    clock.forward(CHECK_SECONDS)
    await comes(lambda: house.ledger.health.failure is None)
    assert not house.ledger._watching.done()


def caused(failure, cause):
    """A failure with a cause, as connections have it."""
    failure.__cause__ = cause
    return failure


def test_the_log_says_why_the_ledger_does_not_serve_and_when_the_reason_changes(health):
    """Not only healthy and unhealthy: a ledger that comes back, but emptied, has another reason than before."""
    down = caused(LedgerUnavailable("the connection was lost"), caused(ConnectionError("lost"), OSError("port 6379")))
    moments = [down, down, FORGOT, FORGOT, None, None, down]
    with capture_logs() as logs:
        for failure in moments:
            health.on_check(failure)
    assert [(entry["event"], entry.get("message"), entry.get("cause")) for entry in logs] == [
        ("ledger does not serve", down.message, "OSError: port 6379"),
        ("ledger does not serve", FORGOT.message, None),
        ("ledger serves again", None, None),
        ("ledger does not serve", down.message, "OSError: port 6379"),
    ]


def test_the_class_and_the_message_of_a_cause_are_logged(health):
    """The Redis client hides the message of some errors in their ``repr``."""
    with capture_logs() as logs:
        health.on_check(
            caused(LedgerUnavailable("down"), RedisConnectionError("Error 111 connecting to 10.1.2.3:6379"))
        )
    assert [entry["cause"] for entry in logs] == ["ConnectionError: Error 111 connecting to 10.1.2.3:6379"]


def test_a_cancellation_is_no_cause_and_a_failure_that_causes_itself_ends(health):
    """A timeout cancels what waits: its cause says nothing. A cause in a circle must not be followed for ever."""
    circle = LedgerUnavailable("circle")
    circle.__cause__ = circle
    timeout = caused(LedgerUnavailable("silent"), caused(TimeoutError(), asyncio.CancelledError()))
    with capture_logs() as logs:
        health.on_check(timeout)
        health.on_check(circle)
    assert [entry.get("cause") for entry in logs] == ["TimeoutError", None]


def test_reasons_that_alternate_or_count_do_not_fill_the_log(health):
    """Two connections find out different things, many times a second; how far clocks are apart changes every time."""
    with capture_logs() as logs:
        for number in range(100):
            health.on_check(LOST)
            health.on_check(LedgerRefused(f"the clock is {number}.5 s ahead"))
    assert len(logs) == 2


def test_a_call_that_is_refused_is_logged_once_for_each_text(health):
    with capture_logs() as logs:
        for text in ("WRONGTYPE a", "WRONGTYPE a", "ERR b", "WRONGTYPE a"):
            health.on_refused_call(ResponseError(text))
    assert [entry["error"] for entry in logs] == ["WRONGTYPE a", "ERR b"]


def test_a_full_ledger_is_full_until_a_check_says_otherwise_and_is_still_asked(health):
    """Calls that succeed say nothing of it: they may have needed no write."""
    full = LedgerFull("no memory")
    for tell in (health.on_reply, health.on_check):
        tell(full)
        health.on_reply(None)
        assert health.failure is full
        health.require()
        health.on_check(None)
        assert health.failure is None
