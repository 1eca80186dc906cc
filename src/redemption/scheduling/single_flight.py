"""Questions that many ask at once: who asks the same thing before it was asked shares the answer."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """At most one question with the same key is under way, and at most one more waits until that one has landed.

    Nobody boards a flight that has left: its answer may be older than the question. So what everybody learns is true of
    a moment after they asked.
    """

    def __init__(self) -> None:
        self._boarding: dict[K, asyncio.Task[V]] = {}
        self._under_way: dict[K, asyncio.Task[V]] = {}

    async def share(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        """Return the answer to a question, or raise its failure; who gives up waiting takes it from nobody else.

        Args:
            key: What tells whether two questions are the same.
            ask: Asks it.
        """
        boarding = self._boarding.get(key)
        if boarding is None:
            boarding = self._boarding[key] = asyncio.create_task(self._fly(key, ask))
        return await asyncio.shield(boarding)

    async def _fly(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        try:
            before = self._under_way.get(key)
            if before is not None:
                await asyncio.wait([before])
        finally:
            flight = self._boarding.pop(key)
        self._under_way[key] = flight
        try:
            return await ask()
        finally:
            del self._under_way[key]

    async def stop(self) -> None:
        """Give up every question, and whoever waits for it."""
        tasks = [*self._boarding.values(), *self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
