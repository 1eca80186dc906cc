"""Long work in small steps: others work in between, and while they have much to do, it rests."""

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import TypeVar

from redemption.domain.errors import DeadlinePassed, Overloaded

T = TypeVar("T")
OTHERS_SHARE_MIN = 0.2
"""When others worked for so long, compared with a step, before the next step could begin, they are busy."""
REST_SECONDS_MIN = 0.001
"""Shorter rests are saved up: the event loop counts whole milliseconds, and would not rest at all."""
STEP_SECONDS_MAX = 0.002
"""What takes longer than this was not the step itself: the machine had other things to do meanwhile."""
POSITIONS_AT_ONCE = 500
"""Positions of orders (lines and fees, for each token) that are worked on in one step, in about 2 ms."""


class FairSlots:
    """Paces one kind of work in a process.

    Without it, the steps of many pieces of work would follow each other at once, and everybody else would wait for as
    many steps as there are pieces.
    """

    def __init__(self, *, at_once: int, rest: int, waiting_max: int | None = None) -> None:
        """Begin with all places free.

        Args:
            at_once: So many pieces of work are in slot at a time, first come, first served.
            rest: While others are busy, so many times the time of all steps is left to them.
            waiting_max: How many may wait for a place; None: any number.
        """
        self._places = asyncio.Semaphore(at_once)
        self._rest = rest
        self._waiting_max = waiting_max
        self._waiting = 0
        self._at_work = 0

    @asynccontextmanager
    async def slot(self, deadline: float | None = None) -> AsyncIterator["WorkSlot"]:
        """Wait for a place, and hold it for the length of a block: never while waiting for a caller.

        Args:
            deadline: Until when to wait for it, in the event loop's time.

        Raises:
            DeadlinePassed: It did not come in time.
            Overloaded: Too many wait already.
        """
        if self._waiting_max is not None and self._waiting >= self._waiting_max:
            raise Overloaded(f"{self._waiting} large requests are waiting already; nothing was done, try again")
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._places.acquire()
        except TimeoutError as error:
            raise DeadlinePassed("the deadline passed while others were served; nothing was done") from error
        finally:
            self._waiting -= 1
        self._at_work += 1
        try:
            yield WorkSlot(self)
        finally:
            self._at_work -= 1
            self._places.release()

    @property
    def rest(self) -> int:
        """How many times its own time a step leaves to others when they are busy."""
        return self._rest * self._at_work


class WorkSlot:
    """One piece of work while it is in slot."""

    def __init__(self, pace: FairSlots) -> None:
        self._slots = pace
        self._now = asyncio.get_running_loop().time
        self._began = self._now()
        self._owed = 0.0
        self._positions = 0

    def resume(self) -> None:
        """Count from here: what went by since the last step was waiting, not work."""
        self._began = self._now()

    async def pause(self) -> None:
        """End a step: let others work, and rest while they have much to do."""
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

    async def after(self, positions: int) -> None:
        """Count what was worked on of orders, and pause when that is enough for a step."""
        self._positions += positions
        if self._positions >= POSITIONS_AT_ONCE:
            self._positions = 0
            await self.pause()

    async def drive(self, steps: Generator[None, None, T]) -> T:
        """Do something, pausing wherever it yields, and return what it returns."""
        while True:
            try:
                next(steps)
            except StopIteration as done:
                value: T = done.value
                return value
            await self.pause()
