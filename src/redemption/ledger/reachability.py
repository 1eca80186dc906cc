"""Since when the ledger does not answer. After a short grace no call waits for it any more.

A connection may be lost for a moment, and most calls can wait for the next one. But a ledger that stays away must not
hold every caller until their deadlines: then checkouts would wait, and calls would pile up. So after the grace, calls
that were not sent yet fail at once, until the ledger replies to anybody: to the check that runs every second, or to a
call that is sent again.

A ledger may answer reads and take no writes (``CLIENT PAUSE … WRITE``). Only the check and calls that write find that
out. So when a check got no answer, an answered read does not end the failure.
"""

import asyncio

from redemption.domain.errors import LedgerUnavailable

GRACE_SECONDS = 1.0
"""For so long after the first failure calls wait for a new connection; the embedded ledger needs half of it."""


class LedgerDown(LedgerUnavailable):
    """The ledger has not answered for longer than the grace. The request was not sent to it: nothing was done."""

    retry_after_seconds = 1.0


class Reachability:
    """Since when the ledger does not answer.

    Attributes:
        lost_at: The event loop's time of the first failure since the last reply; None while the ledger answers.
    """

    def __init__(self) -> None:
        self.lost_at: float | None = None
        self._check_failed = False

    def on_failure(self) -> None:
        """Note that the ledger could not be reached, or did not answer."""
        if self.lost_at is None:
            self.lost_at = asyncio.get_running_loop().time()

    def on_failed_check(self) -> None:
        """Note that a check got no answer to one of its questions, perhaps only to whether writes are taken."""
        self._check_failed = True
        self.on_failure()

    def on_read(self) -> None:
        """Note that the ledger answered a read; it may still take no writes."""
        if not self._check_failed:
            self.lost_at = None

    def on_reply(self) -> None:
        """Note that the ledger answered a whole check or a call that writes, whatever it said."""
        self._check_failed = False
        self.lost_at = None

    def failure(self) -> LedgerDown | None:
        """Return the failure for a call that was not sent yet; None while it may wait."""
        if self.lost_at is None:
            return None
        seconds = asyncio.get_running_loop().time() - self.lost_at
        if seconds < GRACE_SECONDS:
            return None
        return LedgerDown(
            f"the ledger has not answered for {seconds:.0f} s; nothing was done. Ask again with the same request id"
        )

    def require(self) -> None:
        """Do nothing, or raise the failure for a call that was not sent yet.

        Raises:
            LedgerDown: The ledger has not answered for longer than the grace.
        """
        failure = self.failure()
        if failure is not None:
            raise failure
