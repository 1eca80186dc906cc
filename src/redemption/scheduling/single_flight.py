"""One read for many callers that want the same at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """At most one read with the same key is under way, and at most one more waits for it to end.

    A caller never joins a read that was already sent: it may be older than the caller's request. So every value is
    from a moment after its caller requested it.
    """

    def __init__(self) -> None:
        self._waiting: dict[K, asyncio.Task[V]] = {}
        self._under_way: dict[K, asyncio.Task[V]] = {}

    async def share(self, key: K, read: Callable[[], Awaitable[V]]) -> V:
        """Return what a read returns, or raise what it raises; a cancelled caller does not affect the others.

        Args:
            key: Two reads with the same key are the same.
            read: Starts the read.
        """
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = asyncio.create_task(self._run(key, read))
        return await asyncio.shield(waiting)

    async def _run(self, key: K, read: Callable[[], Awaitable[V]]) -> V:
        try:
            before = self._under_way.get(key)
            if before is not None:
                await asyncio.wait([before])
        finally:
            task = self._waiting.pop(key)
        self._under_way[key] = task
        try:
            return await read()
        finally:
            del self._under_way[key]

    async def stop(self) -> None:
        """Cancel every read, and every caller that waits for one."""
        tasks = [*self._waiting.values(), *self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
