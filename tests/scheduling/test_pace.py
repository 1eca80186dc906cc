"""Pieces of work that follow each other by some time."""

import asyncio

import pytest

from redemption.domain.errors import Overloaded
from redemption.scheduling import pace as pace_module
from redemption.scheduling.pace import Pace

HOUR = 3600.0


def now():
    return asyncio.get_running_loop().time()


async def test_work_with_the_same_key_begins_in_order_and_some_time_apart():
    pace, begun = Pace(0.02, waiting_max=8), []

    async def work(number):
        await pace.turn("shop", now() + HOUR)
        begun.append((number, now()))

    await asyncio.gather(*(work(number) for number in range(4)))
    assert [number for number, _ in begun] == [0, 1, 2, 3]
    assert begun[3][1] - begun[0][1] >= 0.055  # the event loop's clock has a resolution


async def test_other_keys_do_not_wait():
    pace = Pace(HOUR, waiting_max=8)
    for key in ("shop", "cafe", "kiosk"):
        await pace.turn(key, now())


@pytest.mark.parametrize(("deadline", "waiting"), [(HOUR / 2, 0), (3 * HOUR, 1)], ids=["too late", "too many"])
async def test_work_whose_turn_would_come_too_late_is_refused_at_once_and_told_when_to_come_back(deadline, waiting):
    """What is refused takes no turn of others."""
    pace = Pace(HOUR, waiting_max=1)
    await pace.turn("shop", now())
    waiters = [asyncio.create_task(pace.turn("shop", now() + 3 * HOUR)) for _ in range(waiting)]
    await asyncio.sleep(0)
    for _ in range(3):
        with pytest.raises(Overloaded, match=f"{waiting} changes wait") as refused:
            await pace.turn("shop", now() + deadline)
        assert refused.value.retry_after_seconds == pytest.approx((1 + waiting) * HOUR, rel=0.1)
    for waiter in waiters:
        waiter.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)


async def test_who_left_does_not_count_as_waiting():
    pace = Pace(HOUR, waiting_max=1)
    await pace.turn("shop", now())
    for _ in range(3):
        waiter = asyncio.create_task(pace.turn("shop", now() + 9 * HOUR))
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        assert waiter.cancelled()


async def test_keys_whose_time_has_passed_are_forgotten(monkeypatch):
    monkeypatch.setattr(pace_module, "KEYS_MAX", 10)
    pace = Pace(0, waiting_max=1)
    for number in range(100):
        await pace.turn(f"shop-{number}", now())
    assert len(pace._next) <= 11
