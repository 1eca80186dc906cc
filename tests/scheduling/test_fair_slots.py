"""Work in steps: few at a time, first come, first served, with rests while other work is busy."""

import asyncio

import pytest
from waiting import SECONDS_MAX, settled

from redemption.domain.errors import DeadlinePassed
from redemption.scheduling import fair_slots
from redemption.scheduling.fair_slots import (
    NO_SLOT,
    POSITIONS_AT_ONCE,
    STEP_SECONDS_MAX,
    STEP_SECONDS_MIN,
    FairSlots,
    finished,
)
from redemption.scheduling.work_bounds import SlotRule

STEP = 0.001


class Clock:
    """Replaces the clock and sleeping: between two steps, other work takes as long as the test says."""

    def __init__(self, monkeypatch, *, others=0.0):
        self.now = 100.0
        self.others = others
        self.rests = []
        monkeypatch.setattr(fair_slots.asyncio, "sleep", self._sleep)

    async def _sleep(self, seconds):
        self.now += seconds or self.others
        if seconds:
            self.rests.append(round(seconds, 6))

    def slot(self, slot):
        slot._now = self.time
        slot._began = self.now
        return slot

    def time(self):
        return self.now

    def steps(self, count, seconds=STEP):
        for _ in range(count):
            self.now += seconds
            yield
        return "done"


@pytest.mark.parametrize(
    ("others", "step", "rests"),
    [
        (0.0, STEP, []),
        (0.19 * STEP, STEP, []),
        (0.21 * STEP, STEP, [4 * STEP] * 6),
        (50 * STEP, STEP, [4 * STEP] * 6),
        (STEP, 0.0001, [0.0012, 0.0012]),
        (0.1, 1.0, [4 * STEP_SECONDS_MAX] * 6),
    ],
)
async def test_work_rests_in_proportion_while_others_are_busy(monkeypatch, others, step, rests):
    """Rests that are too short for the event loop are saved up; a step that the machine interrupted is none."""
    clock = Clock(monkeypatch, others=others)
    async with FairSlots(SlotRule(1, 4)).slot() as slot:
        assert await clock.slot(slot).drive(clock.steps(6, step)) == "done"
    assert clock.rests == rests


async def test_two_at_work_leave_as_much_to_others_as_one(monkeypatch):
    clock = Clock(monkeypatch, others=STEP)
    shared = FairSlots(SlotRule(2, 4))
    async with shared.slot(), shared.slot() as slot:
        await clock.slot(slot).drive(clock.steps(1))
    async with shared.slot() as slot:
        await clock.slot(slot).drive(clock.steps(1))
    assert clock.rests == [8 * STEP, 4 * STEP]


async def test_small_steps_are_done_together_until_they_are_long_enough(monkeypatch):
    """A pause after each of them would cost more than the steps."""
    clock = Clock(monkeypatch, others=STEP)
    async with FairSlots(SlotRule(1, 4)).slot() as slot:
        clock.slot(slot)
        assert await slot.drive_small_steps(clock.steps(9, STEP_SECONDS_MIN / 2.5)) == "done"
    assert len(clock.rests) == 3


async def test_without_a_slot_nothing_pauses():
    assert await NO_SLOT.drive_small_steps(iter_steps("done")) == "done" == finished(iter_steps("done"))


def iter_steps(result):
    yield
    yield
    return result


async def test_orders_are_counted_until_there_is_enough_for_a_step(monkeypatch):
    clock = Clock(monkeypatch, others=STEP)
    async with FairSlots(SlotRule(1, 4)).slot() as slot:
        clock.slot(slot)
        for _ in range(9):
            clock.now += STEP
            if slot.count(POSITIONS_AT_ONCE // 3 + 1):
                await slot.pause()
    assert len(clock.rests) == 3


async def test_work_is_served_in_the_order_in_which_it_came():
    shared, served = FairSlots(SlotRule(1, 1)), []

    async def piece(name, steps):
        for _ in range(steps):
            async with shared.slot() as slot:
                served.append(name)
                await slot.pause()

    await asyncio.gather(piece("a", 4), piece("b", 2), piece("c", 4))
    assert "".join(served) == "abcabcacac"


async def test_places_are_given_back_whatever_happens():
    shared = FairSlots(SlotRule(1, 1))

    async def failing():
        async with shared.slot():
            raise KeyError

    async def staying():
        async with shared.slot():
            await asyncio.Event().wait()

    with pytest.raises(KeyError):
        await failing()
    held, waiting = asyncio.ensure_future(staying()), asyncio.ensure_future(staying())
    await settled()
    with pytest.raises(DeadlinePassed, match="nothing was done"):
        async with shared.slot(asyncio.get_running_loop().time() + 0.01):
            pass
    for task in (waiting, held):
        task.cancel()
    await asyncio.wait([held, waiting])
    async with asyncio.timeout(SECONDS_MAX), shared.slot():
        assert shared.rest == 1
