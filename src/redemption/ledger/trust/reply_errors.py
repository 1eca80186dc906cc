"""Maps error replies of the ledger to our failures."""

import structlog
from redis.exceptions import OutOfMemoryError, ReadOnlyError

from redemption.domain.errors import LedgerRefused
from redemption.ledger.permissions import forbidden

NO_LEDGER = (
    "there is no ledger of this program here: check the program's name; if it is right, let an operator begin its "
    "ledger: redemption ledger adopt --program NAME"
)
NOT_TRUSTED = (
    "the ledger is not the one that this server knows, or it forgot what the server remembers; nothing was done. "
    "See: redemption ledger status"
)
CLOCK_APART = "CLOCKAPART"
"""The first word of the ledger's error reply when the clocks are apart, see ``lua/frame.lua``."""
CLOCK_AHEAD = "the program's ledger remembers a time that has not come: a clock was ahead once"
CLOCK_AHEAD_CURE = "When the clocks are right, let an operator mend it: redemption ledger reset-clock --program NAME"
_log = structlog.get_logger(__name__)


class LedgerNotTrusted(LedgerRefused):
    """The ledger is not the one that this server knows, or it lost writes; nothing was done."""

    reason = "LEDGER_NOT_TRUSTED"


class LedgerFull(LedgerRefused):
    """The ledger accepts no writes now: it is full or read-only."""


class LedgerClockApart(LedgerRefused):
    """The ledger's clock and this server's are too far apart to decide anything; nothing was done."""

    reason = "LEDGER_CLOCK_APART"


class LedgerClockAhead(LedgerRefused):
    """The clock that one program's ledger stored is in the future; nothing was done."""

    reason = "LEDGER_CLOCK_AHEAD"


def error_of(reply: Exception) -> LedgerRefused:
    """Return our failure for an error reply; an unknown text of the ledger goes to the log, not to the caller."""
    text = str(reply)
    if text.startswith("NOLEDGER"):
        return LedgerNotTrusted(NO_LEDGER)
    if text.startswith("NOTTRUSTED"):
        return LedgerNotTrusted(NOT_TRUSTED)
    if text.startswith(CLOCK_APART):
        ledger_ms, own_ms = text.split(" ")[1:3]
        return LedgerClockApart(clocks_apart((int(ledger_ms) - int(own_ms)) / 1000))
    if text.startswith("CLOCKAHEAD"):
        return LedgerClockAhead(f"{CLOCK_AHEAD}; nothing was done. {CLOCK_AHEAD_CURE}")
    # The Redis client turns some first words into exception classes; a lane keeps them as text.
    if isinstance(reply, ReadOnlyError | OutOfMemoryError) or text.startswith(("READONLY", "OOM", "MISCONF")):
        return LedgerFull("the ledger takes no writes now (full, or read-only); nothing was done")
    if refusal := forbidden(text):
        return refusal
    _log.error("the ledger refused a call", error=text)
    return LedgerRefused("the ledger refused a call; its operator finds the cause in the log of the server")


def clocks_apart(seconds: float) -> str:
    """Return a message: by how many seconds the ledger's clock is ahead of this server's, and what to do."""
    return (
        f"the ledger's clock is {abs(seconds):,.1f} s {'ahead of' if seconds > 0 else 'behind'} this server's; nothing "
        "was done. Set the clock of the host that is wrong; then it serves again by itself"
    )
