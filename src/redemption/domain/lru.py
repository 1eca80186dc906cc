"""A bounded map that forgets what was used least recently."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lru(Generic[K, V]):
    """At most ``size_max`` entries; reading one or writing one makes it the youngest."""

    __slots__ = ("_entries", "_size_max")

    def __init__(self, size_max: int) -> None:
        if size_max < 1:
            raise ValueError(f"size_max is {size_max}; a cache holds at least one entry")
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._size_max = size_max

    def get(self, key: K) -> V | None:
        """The entry, or None."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep the entry; drop the oldest if that is one too many."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size_max:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)
