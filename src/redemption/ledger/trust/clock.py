"""Two clocks: our own, and an estimate of the ledger's, by which all is judged."""

import time

CLOCK_APART_SECONDS_MAX = 5.0
"""How far the clocks of a server and of its ledger may be apart by default."""


class Clock:
    """Our own clock, which goes along with every call, and an estimate of the ledger's, set by every answer."""

    def __init__(self, apart_seconds_max: float = CLOCK_APART_SECONDS_MAX) -> None:
        """Build it.

        Args:
            apart_seconds_max: How far the two may be apart; beyond it the ledger refuses.
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
        """Take over what the ledger's clock read."""
        self._offset_ms = clock_ms - time.time() * 1000
