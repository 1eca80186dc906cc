"""Long work in small steps: few pieces of it at a time, and others work in between.

A worker is one event loop: whatever it does in one go keeps everybody waiting. So long work needs a slot. There are few
slots of each kind, given out first come, first served; without them many pieces of work would take their steps one
right after the other. In its slot, work pauses after each step; while others are busy, it rests as well.
"""

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import TypeVar

from redemption.domain.errors import DeadlinePassed, Overloaded
from redemption.scheduling.work_bounds import SlotRule

T = TypeVar("T")
OTHERS_SHARE_MIN = 0.2
"""Others are busy when they worked for so long, compared with a step, before the next step could begin."""
REST_SECONDS_MIN = 0.001
"""Shorter rests are added up first: the event loop counts whole milliseconds, and would not rest at all."""
STEP_SECONDS_MAX = 0.002
"""A step counts as at most so long: whatever took longer was the machine, doing other things."""
POSITIONS_AT_ONCE = 500
"""Positions of orders (lines and fees, for each token) that are worked on in one step, in about 2 ms."""


class FairSlots:
    """The slots for one kind of long work in a process."""

    def __init__(self, rule: SlotRule, *, waiting_max: int | None = None) -> None:
        """Begin with all slots free.

        Args:
            rule: How many slots there are, and how the work in them rests.
            waiting_max: How many may wait for a slot; None: any number.
        """
        self._free = asyncio.Semaphore(rule.at_once)
        self._rest = rule.rest
        self._waiting_max = waiting_max
        self._waiting = 0
        self._taken = 0

    @asynccontextmanager
    async def slot(self, deadline: float | None = None) -> AsyncIterator["WorkSlot"]:
        """Wait for a slot, and hold it for the length of a block: never while waiting for a caller.

        Args:
            deadline: Until when to wait for it, in the event loop's time.

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
        """How many times its own time a step leaves to others when they are busy."""
        return self._rest * self._taken


class WorkSlot:
    """One piece of work while it has a slot."""

    def __init__(self, slots: FairSlots) -> None:
        self._slots = slots
        self._now = asyncio.get_running_loop().time
        self._began = self._now()
        self._owed = 0.0
        self._positions = 0

    def resume(self) -> None:
        """Count from here: the time since the last step was waiting, not work."""
        self._began = self._now()

    def is_step_done(self, positions: int) -> bool:
        """Count positions of orders that were worked on, and tell whether that is enough for a step."""
        self._positions += positions
        if self._positions < POSITIONS_AT_ONCE:
            return False
        self._positions = 0
        return True

    async def pause(self) -> None:
        """End a step: let others work, and rest while they are busy."""
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
        """Run a generator, pausing wherever it yields, and return what it returns."""
        while True:
            try:
                next(steps)
            except StopIteration as done:
                value: T = done.value
                return value
            await self.pause()


class NoSlot:
    """What short work has in place of a slot: it is done in one go."""

    def is_step_done(self, _positions: int) -> bool:
        """Tell that no step ends here."""
        return False

    async def pause(self) -> None:
        """Never happens: no step ends."""


NO_SLOT = NoSlot()
