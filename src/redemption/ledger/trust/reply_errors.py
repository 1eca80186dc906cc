"""Maps error replies of the ledger to our failures."""

from redis.exceptions import OutOfMemoryError, ReadOnlyError

from redemption.domain.errors import LedgerRefused, LedgerUnavailable, ServiceError
from redemption.ledger.permissions import LedgerForbids, forbidden

NOT_TRUSTED = (
    "the ledger is not the one that this server knows, or it forgot what the server remembers; nothing was done. Its "
    "operator finds the cause in the log"
)
CLOCK_APART = "CLOCKAPART"
"""The first word of the ledger's error reply when the clocks are apart, see ``lua/frame.lua``."""
FULL = "the ledger has no memory left for writes; nothing was done"
CLOCK_AHEAD = "the program's ledger remembers a time that has not come: a clock was ahead once"
CLOCK_AHEAD_CURE = "When the clocks are right, let an operator mend it: redemption ledger reset-clock --program NAME"
_NOT_EXECUTED_WORDS = frozenset(
    {"LOADING", "BUSY", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "MOVED", "ASK"}
)


class LedgerNotTrusted(LedgerRefused):
    """The ledger is not the one that this server knows, or it lost writes; nothing was done."""

    reason = "LEDGER_NOT_TRUSTED"


class NoLedger(LedgerNotTrusted):
    """The program has no ledger, or none that this machine knows; nothing was done."""


class LedgerUnknown(LedgerUnavailable):
    """This server remembers no ledger, and may not accept one by itself: it waits until an operator adopts one."""

    reason = "LEDGER_NOT_TRUSTED"


class LedgerNotReady(LedgerUnavailable):
    """The ledger answers that it takes no calls yet, because it is loading its data or is busy; nothing was done."""


class LedgerFull(LedgerRefused):
    """The ledger has no memory left for writes. What it remembers can still be read."""


class LedgerReadOnly(LedgerRefused):
    """The ledger accepts no writes now: it is a replica, or its disk fails."""


class LedgerClockApart(LedgerRefused):
    """The ledger's clock and this server's are too far apart to decide anything; nothing was done."""

    reason = "LEDGER_CLOCK_APART"


class LedgerClockAhead(LedgerRefused):
    """The clock that one program's ledger stored is in the future; nothing was done."""

    reason = "LEDGER_CLOCK_AHEAD"


def was_not_executed(reply: Exception) -> bool:
    """Whether an error reply says that the call was not executed, and may be by and by."""
    return str(reply).partition(" ")[0] in _NOT_EXECUTED_WORDS


def error_of(reply: Exception) -> LedgerUnavailable:
    """Return our failure for an error reply. Its text is for the log, not for the caller: ``has_unknown_text``."""
    text = str(reply)
    if was_not_executed(reply):
        return LedgerNotReady("the ledger does not take calls now")
    if text.startswith("NOLEDGER"):
        return no_ledger()
    if text.startswith("NOTTRUSTED"):
        cause = "the ledger is not the one that this machine remembers, or it forgot calls: redemption ledger status"
        return LedgerNotTrusted(NOT_TRUSTED, for_operator=cause)
    if text.startswith(CLOCK_APART):
        ledger_ms, own_ms = text.split(" ")[1:3]
        return LedgerClockApart(clocks_apart((int(ledger_ms) - int(own_ms)) / 1000))
    if text.startswith("CLOCKAHEAD"):
        message = f"{CLOCK_AHEAD}; nothing was done. Its operator finds the cure in the log"
        return LedgerClockAhead(message, for_operator=f"{CLOCK_AHEAD}. {CLOCK_AHEAD_CURE}")
    # The Redis client turns some first words into exception classes; a lane keeps them as text.
    if isinstance(reply, OutOfMemoryError) or text.startswith("OOM"):
        return LedgerFull(FULL)
    if isinstance(reply, ReadOnlyError) or text.startswith(("READONLY", "MISCONF")):
        return LedgerReadOnly("the ledger takes no writes now (read-only, or its disk fails); nothing was done")
    if refusal := forbidden(reply):
        return refusal
    return LedgerRefused("the ledger refused a call; its operator finds the cause in the log of the server")


def no_ledger() -> NoLedger:
    """Return the failure for a program that nobody began, or that this machine does not know."""
    return NoLedger(
        "this server knows no ledger of this program; nothing was done. Check the program's name; if it is right, its "
        "operator has to begin or accept its ledger",
        for_operator="this machine remembers no ledger of the program. Check the program's name; if it is right, begin "
        "or accept its ledger: redemption ledger adopt --program NAME",
    )


def has_unknown_text(failure: ServiceError) -> bool:
    """Whether the error reply behind a failure has to be logged, because the failure does not say what it said."""
    return type(failure) in (LedgerRefused, LedgerForbids)


def clocks_apart(seconds: float) -> str:
    """Return a message: by how many seconds the ledger's clock is ahead of this server's, and what to do."""
    return (
        f"the ledger's clock is {abs(seconds):,.1f} s {'ahead of' if seconds > 0 else 'behind'} this server's; nothing "
        "was done. Set the clock of the host that is wrong; then it serves again by itself"
    )
