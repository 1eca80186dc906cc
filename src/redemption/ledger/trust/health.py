"""Whether the ledger may be served: the one place for what checks and calls found out, and where it is logged."""

import asyncio
import re
import time
from collections.abc import Callable

import structlog

from redemption.domain.errors import LedgerRefused, LedgerUnavailable, ServiceError
from redemption.ledger.trust.proof import LedgerNotDurable
from redemption.ledger.trust.reply_errors import LedgerFull, LedgerNotTrusted, has_unknown_text

_NOT_CHECKED_YET = LedgerUnavailable("the ledger was not asked yet")
_UNTIL_A_CHECK = (LedgerNotTrusted, LedgerNotDurable, LedgerFull)
"""What a call found out, and only a check can end."""
SAME_LINE_SECONDS = 60.0
"""A reason that was logged is logged again after this time at the earliest, if another one came between."""
_LINES_MAX = 64
_log = structlog.get_logger(__name__)


class OncePerReason:
    """Says which lines are to be logged: each reason once in a while, however often it is met.

    Numbers in a reason do not count: how far two clocks are apart may be another number every second.
    """

    def __init__(self) -> None:
        self._told_at: dict[str, float] = {}

    def allows(self, reason: str) -> bool:
        """Whether a line is to be logged now; if so, the same one is not for 60 s."""
        key, now = re.sub(r"\d+", "#", reason), time.monotonic()
        if now - self._told_at.get(key, -SAME_LINE_SECONDS) < SAME_LINE_SECONDS:
            return False
        if len(self._told_at) >= _LINES_MAX:
            self._told_at.clear()
        self._told_at[key] = now
        return True

    def forget(self) -> None:
        """Begin anew: the next line of each reason is allowed."""
        self._told_at.clear()


class LedgerHealth:
    """The result of the last check of the ledger, and of the calls since.

    A refusal is a wrong setting of the ledger, or a ledger that is not trusted. Only a check can end a refusal: that a
    call succeeds says nothing about fsync. During a refusal no call is sent to the ledger, with one exception: a ledger
    without memory is still asked for what it remembers.
    """

    def __init__(self) -> None:
        self._checked: ServiceError | None = _NOT_CHECKED_YET
        self._replied: ServiceError | None = None
        self._last: ServiceError | None = _NOT_CHECKED_YET
        self._on_change: Callable[[bool], None] = _ignore
        self._reasons = OncePerReason()
        self._refused_calls = OncePerReason()
        self._unanswered: LedgerUnavailable | None = None
        self._unanswered_calls = OncePerReason()

    def on_change(self, call: Callable[[bool], None]) -> None:
        """Set the callback that is called when the ledger begins or stops to serve; it gets whether it serves."""
        self._on_change = call

    @property
    def failure(self) -> ServiceError | None:
        """Why the ledger cannot be served now, or None."""
        return self._checked or self._replied

    def require(self) -> None:
        """Do nothing, or raise the present refusal.

        Raises:
            LedgerRefused: The last check, or a call since, found that the ledger must not be used.
        """
        if isinstance(self._checked, LedgerRefused) and not isinstance(self._checked, LedgerFull):
            raise self._checked

    def on_check(self, failure: ServiceError | None) -> None:
        """Take the result of a check: None when all is well."""
        unanswered, self._unanswered = self._unanswered, None
        self._checked, self._replied = failure, None
        self._report()
        if failure is None and unanswered and self._unanswered_calls.allows(unanswered.for_operator):
            _log.warning("the ledger did not answer a call, but the check after it", message=unanswered.for_operator)

    def on_reply(self, failure: ServiceError | None) -> None:
        """Take the result of a call: None when the ledger replied."""
        if failure is None and self._replied is None:
            return
        if isinstance(failure, _UNTIL_A_CHECK):
            self._checked = failure
        self._replied = failure
        self._report()

    def on_refused_call(self, reply: Exception) -> None:
        """Log an error reply whose text callers do not get: each text once a minute at most."""
        if self._refused_calls.allows(str(reply)):
            _log.error("the ledger refused a call", error=str(reply))

    def on_unanswered_call(self, failure: LedgerUnavailable) -> None:
        """Take the failure of a call. It is logged if the next check passes; else that check says what is wrong."""
        self._unanswered = failure

    def _report(self) -> None:
        before, self._last = self._last, self.failure
        if self._last is not None:
            self._log_reason(self._last)
        elif before not in (None, _NOT_CHECKED_YET):
            self._reasons.forget()
            _log.info("ledger serves again")
        if (before is None) != (self._last is None):
            self._on_change(self._last is None)

    def _log_reason(self, failure: ServiceError) -> None:
        says_all = isinstance(failure, LedgerRefused) and not has_unknown_text(failure)
        cause = None if says_all else first_cause(failure)
        message = getattr(failure, "for_operator", failure.message)
        if self._reasons.allows(f"{failure.reason} {message} {cause}"):
            _log.warning(
                "ledger does not serve",
                reason=failure.reason,
                message=message,
                **({"cause": cause} if cause else {}),
            )


def first_cause(failure: BaseException) -> str | None:
    """Return the first cause of a failure, its class and its message; None when it has no other cause.

    A cancellation is left out: it is how a timeout ends a call, and says nothing.
    """
    causes = [failure]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        if isinstance(cause, asyncio.CancelledError):
            break
        causes.append(cause)
    return None if causes[-1] is failure else cause_text(causes[-1])


def cause_text(error: BaseException) -> str:
    """Return the class of an error and its message. ``repr`` will not do: some errors of redis-py hide the message."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _ignore(_serves: bool) -> None:  # noqa: FBT001 - the callback has this one argument
    """Do nothing."""
