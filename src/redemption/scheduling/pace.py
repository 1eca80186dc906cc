"""Spreads work of one kind over time: pieces with the same key follow each other by some time at least."""

import asyncio
from typing import Final

from redemption.domain.errors import Overloaded

KEYS_MAX: Final = 256
"""With more keys than this, those whose time has passed are forgotten."""


class Pace:
    """The times from which the next piece of work may begin, by key."""

    def __init__(self, seconds: float, *, waiting_max: int) -> None:
        """Begin with every key free.

        Args:
            seconds: By how much the beginnings of two pieces with the same key are apart at least.
            waiting_max: How many pieces may wait.
        """
        self._seconds = seconds
        self._waiting_max = waiting_max
        self._waiting = 0
        self._next: dict[str, float] = {}

    async def turn(self, key: str, deadline: float) -> None:
        """Wait until a piece of work may begin; pieces with the same key begin in the order of their calls.

        Args:
            key: What the work is about.
            deadline: The deadline of the wait, in the event loop's time.

        Raises:
            Overloaded: Its turn would come behind the deadline, or too many wait; it says when to try again.
        """
        now = asyncio.get_running_loop().time()
        if len(self._next) > KEYS_MAX:
            self._next = {other: at for other, at in self._next.items() if at > now}
        begins_at = max(now, self._next.get(key, now))
        if begins_at > now and (begins_at >= deadline or self._waiting >= self._waiting_max):
            error = Overloaded(f"{self._waiting} changes wait for their turn already; nothing was done, try again")
            error.retry_after_seconds = begins_at - now
            raise error
        self._next[key] = begins_at + self._seconds
        if begins_at > now:
            self._waiting += 1
            try:
                await asyncio.sleep(begins_at - now)
            finally:
                self._waiting -= 1
