"""Runs long work in small steps: little of it at a time, with other work in between.

A worker is one event loop: while it does one thing, everybody waits. So long work needs a slot. There are few slots of
each kind, given first come, first served; without slots, the steps of much long work would follow each other without a
gap. In its slot, work pauses after each step; while other work is busy, it also sleeps.
"""

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import TypeVar

from redemption.domain.errors import DeadlinePassed, Overloaded
from redemption.domain.steps import finished
from redemption.scheduling.work_bounds import SlotRule

T = TypeVar("T")
OTHERS_SHARE_MIN = 0.2
"""Other work is busy if it ran for at least this part of a step's time before the next step could begin."""
REST_SECONDS_MIN = 0.001
"""Shorter rests are added up until they reach this: the event loop counts whole milliseconds, and would not sleep."""
STEP_SECONDS_MAX = 0.002
"""A step counts as at most this long: if it took longer, the machine was doing something else."""
STEP_SECONDS_MIN = 0.001
"""Small steps are done together until they took this long: a pause costs a turn of the event loop."""
POSITIONS_AT_ONCE = 500
"""Positions of orders (lines and fees, for each token) in one step, which takes about 2 ms."""


class FairSlots:
    """The slots for one kind of long work in a process."""

    def __init__(self, rule: SlotRule, *, waiting_max: int | None = None) -> None:
        """Begin with all slots free.

        Args:
            rule: How many slots there are, and how the work in them rests.
            waiting_max: How many may wait for a slot; None means any number.
        """
        self._free = asyncio.Semaphore(rule.at_once)
        self._rest = rule.rest
        self._waiting_max = waiting_max
        self._waiting = 0
        self._taken = 0

    @asynccontextmanager
    async def slot(self, deadline: float | None = None) -> AsyncIterator["WorkSlot"]:
        """Wait for a slot, and hold it during a block. Never hold it while waiting for a caller.

        Args:
            deadline: The deadline of the wait, in the event loop's time.

        Raises:
            DeadlinePassed: No slot was free in time.
            Overloaded: Too many wait already.
        """
        if self._waiting_max is not None and self._waiting >= self._waiting_max:
            raise Overloaded(f"{self._waiting} large requests are waiting already; nothing was done, try again")
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._free.acquire()
        except TimeoutError as error:
            raise DeadlinePassed("the deadline passed while others were served; nothing was done") from error
        finally:
            self._waiting -= 1
        self._taken += 1
        try:
            yield WorkSlot(self)
        finally:
            self._taken -= 1
            self._free.release()

    @property
    def rest(self) -> int:
        """How many times a step's own time is left to other work after the step, while that is busy."""
        return self._rest * self._taken


class WorkSlot:
    """A piece of long work while it has a slot."""

    def __init__(self, slots: FairSlots) -> None:
        self._slots = slots
        self._now = asyncio.get_running_loop().time
        self._began = self._now()
        self._owed = 0.0
        self._positions = 0

    def resume(self) -> None:
        """Start the step's time now: the time since the last step was waiting, not work."""
        self._began = self._now()

    def count(self, positions: int) -> bool:
        """Count positions of orders that are done, and return True each time when they are enough for a step."""
        self._positions += positions
        if self._positions < POSITIONS_AT_ONCE:
            return False
        self._positions = 0
        return True

    async def pause(self) -> None:
        """End a step: let other work run, and sleep while it is busy."""
        stopped = self._now()
        worked = min(stopped - self._began, STEP_SECONDS_MAX)
        await asyncio.sleep(0)
        self._began = self._now()
        if self._began - stopped > worked * OTHERS_SHARE_MIN:
            self._owed += worked * self._slots.rest
            if self._owed >= REST_SECONDS_MIN:
                await asyncio.sleep(self._owed)
                self._owed = 0.0
                self._began = self._now()

    async def drive(self, steps: Generator[None, None, T]) -> T:
        """Run a generator, pause at each yield, and return its result."""
        return await self._drive(steps, seconds_min=0)

    async def drive_small_steps(self, steps: Generator[None, None, T]) -> T:
        """Run a generator, pause at the yields at which ``STEP_SECONDS_MIN`` have passed, and return its result."""
        return await self._drive(steps, seconds_min=STEP_SECONDS_MIN)

    async def _drive(self, steps: Generator[None, None, T], *, seconds_min: float) -> T:
        while True:
            try:
                next(steps)
            except StopIteration as done:
                value: T = done.value
                return value
            if self._now() - self._began >= seconds_min:
                await self.pause()


class NoSlot:
    """Takes the place of a slot for short work, which runs without a pause."""

    def count(self, _positions: int) -> bool:
        """Return False: short work has only one step."""
        return False

    def resume(self) -> None:
        """Do nothing: no time is counted."""

    async def pause(self) -> None:
        """Do nothing."""

    async def drive_small_steps(self, steps: Generator[None, None, T]) -> T:
        """Run a generator without a pause, and return its result."""
        return finished(steps)


NO_SLOT = NoSlot()
