"""Whether the ledger may be served: a problem stays until the watch has seen that it is gone."""

import pytest
from structlog.testing import capture_logs
from waiting import comes

from redemption.domain.errors import LedgerRefused, LedgerUnavailable
from redemption.domain.outcome import Outcome
from redemption.ledger.ledger import CHECK_SECONDS
from redemption.ledger.trust.health import LedgerHealth
from redemption.ledger.trust.reply_errors import LedgerNotTrusted

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
            with pytest.raises(LedgerRefused, match="CONFIG SET appendfsync always"):
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
