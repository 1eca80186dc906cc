"""A bound on what is under way at once: whoever comes beyond it is refused at once, and waits for nothing."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class ConcurrencyLimit:
    """So many places, of which one caller may have so many."""

    def __init__(self, most: int, most_of_one: int | None = None) -> None:
        """Begin with all places free.

        Args:
            most: How many there are.
            most_of_one: How many one caller may have; None: all.
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
        """Whether a caller has all the places that one may have."""
        return self._taken[caller] >= self._most_of_one

    @contextmanager
    def take(self, caller: str = "") -> Iterator[None]:
        """Have a place for the length of a block; whether there is one was asked before."""
        self._taken[caller] += 1
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]
