"""Two clocks: our own, and an estimate of the ledger's clock, by which orders are judged."""

import time

CLOCK_APART_SECONDS_MAX = 5.0
"""The default for how far the clocks of a server and of its ledger may be apart."""


class Clock:
    """Our own clock, which is sent with every call, and an estimate of the ledger's, which every reply sets."""

    def __init__(self, apart_seconds_max: float = CLOCK_APART_SECONDS_MAX) -> None:
        """Build it.

        Args:
            apart_seconds_max: How far the two may be apart; if they differ by more, the ledger refuses calls.
        """
        self.apart_ms_max = int(apart_seconds_max * 1000)
        self._offset_ms = 0.0

    def now_ms(self) -> int:
        """Return the estimate of the ledger's clock, Unix milliseconds."""
        return int(time.time() * 1000 + self._offset_ms)

    def own_ms(self) -> int:
        """Return what our own clock reads, Unix milliseconds."""
        return int(time.time() * 1000)

    def set(self, clock_ms: int) -> None:
        """Set the estimate from a reading of the ledger's clock, Unix milliseconds."""
        self._offset_ms = clock_ms - time.time() * 1000
