"""A bound on how much runs at once: more than that is refused at once and does not wait."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class ConcurrencyLimit:
    """A fixed number of places, and the most of them that one caller may have."""

    def __init__(self, most: int, most_of_one: int | None = None) -> None:
        """Begin with all places free.

        Args:
            most: The number of places.
            most_of_one: The most places that one caller may have; None means all.
        """
        self._most = most
        self._most_of_one = most if most_of_one is None else most_of_one
        self._taken: Counter[str] = Counter()
        self.taken = 0

    @property
    def is_full(self) -> bool:
        """Whether no place is free."""
        return self.taken >= self._most

    def is_full_for(self, caller: str) -> bool:
        """Whether a caller has the most places that one caller may have."""
        return self._taken[caller] >= self._most_of_one

    @contextmanager
    def take(self, caller: str = "") -> Iterator[None]:
        """Take a place during a block. The caller has checked that one is free."""
        assert not self.is_full, "the caller of this asked before"
        assert not self.is_full_for(caller), "the caller of this asked before"
        self._taken[caller] += 1
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]
