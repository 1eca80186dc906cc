"""Shared reads: no answer is older than the question, and a caller that leaves does not affect the others."""

import asyncio

import pytest
from waiting import settled

from redemption.scheduling.single_flight import SingleFlight


class Asked:
    """A question that is answered, with the number of the time that it was asked, once the gate opens."""

    def __init__(self):
        self.times = 0
        self.gate = asyncio.Event()

    async def __call__(self):
        self.times += 1
        number = self.times
        await self.gate.wait()
        if isinstance(self.gate, Broken):
            raise ValueError(number)  # noqa: TRY004 - it is no matter of types
        return number


class Broken(asyncio.Event):
    """A gate behind which the question fails."""


@pytest.fixture
def asked():
    return Asked()


def start(flights, key, asked, count=1):
    return [asyncio.create_task(flights.share(key, asked)) for _ in range(count)]


async def test_concurrent_callers_share_one_question(asked):
    waiting = start(SingleFlight(), "a", asked, 100)
    asked.gate.set()
    assert await asyncio.gather(*waiting) == [1] * 100


async def test_later_callers_share_the_next_question_which_waits_for_the_first(asked):
    """A read that is running may be older than a change that the later caller must see."""
    flights = SingleFlight()
    first = start(flights, "a", asked)
    await settled()
    later = start(flights, "a", asked, 2)
    await settled()
    later += start(flights, "a", asked)
    await settled()
    assert asked.times == 1
    asked.gate.set()
    assert await asyncio.gather(*first, *later) == [1, 2, 2, 2]


async def test_different_questions_do_not_wait_for_each_other(asked):
    flights = SingleFlight()
    waiting = [*start(flights, "a", asked), *start(flights, "b", asked)]
    await settled()
    assert asked.times == 2
    asked.gate.set()
    assert await asyncio.gather(*waiting) == [1, 2]


async def test_a_cancelled_caller_does_not_affect_the_others(asked):
    flights = SingleFlight()
    first, second = start(flights, "a", asked, 2)
    await settled()
    (third,) = start(flights, "a", asked)
    await settled()
    first.cancel()
    third.cancel()
    (fourth,) = start(flights, "a", asked)
    await settled()
    asked.gate.set()
    assert (await second, await fourth, asked.times) == (1, 2, 2)
    assert first.cancelled()
    assert third.cancelled()


async def test_a_failure_is_raised_to_all_callers_and_the_next_one_asks_again(asked):
    flights = SingleFlight()
    asked.gate = Broken()
    waiting = start(flights, "a", asked, 3)
    asked.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(result) for result in results] == ["1"] * 3
    asked.gate = asyncio.Event()
    asked.gate.set()
    assert await flights.share("a", asked) == 2


async def test_nothing_is_kept_after_a_question_was_answered(asked):
    flights = SingleFlight()
    waiting = [*start(flights, "a", asked, 2), *start(flights, "b", asked)]
    await settled()
    waiting += start(flights, "a", asked)
    asked.gate.set()
    await asyncio.gather(*waiting)
    assert (flights._waiting, flights._under_way) == ({}, {})


async def test_a_stop_leaves_nobody_waiting(asked):
    flights = SingleFlight()
    waiting = start(flights, "a", asked)
    await settled()
    waiting += start(flights, "a", asked)
    await settled()
    await flights.stop()
    await asyncio.wait(waiting)
    assert [task.cancelled() for task in waiting] == [True, True]
