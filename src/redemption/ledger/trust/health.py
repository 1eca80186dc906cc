"""Whether the ledger may be served: the one place for what checks and calls found out."""

from collections.abc import Callable

import structlog

from redemption.domain.errors import LedgerRefused, LedgerUnavailable, ServiceError
from redemption.ledger.trust.proof import LedgerNotDurable
from redemption.ledger.trust.reply_errors import LedgerNotTrusted

_NOT_CHECKED_YET = LedgerUnavailable("the ledger was not asked yet")
_log = structlog.get_logger(__name__)


class LedgerHealth:
    """The result of the last check of the ledger, and of the calls since.

    A refusal is a wrong setting of the ledger, or a ledger that is not trusted. Only a check can end a refusal: that a
    call succeeds says nothing about fsync. During a refusal no call is sent to the ledger.
    """

    def __init__(self) -> None:
        self._checked: ServiceError | None = _NOT_CHECKED_YET
        self._replied: ServiceError | None = None
        self._last: ServiceError | None = _NOT_CHECKED_YET
        self._on_change: Callable[[bool], None] = _ignore

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
        if isinstance(self._checked, LedgerRefused):
            raise self._checked

    def on_check(self, failure: ServiceError | None) -> None:
        """Take the result of a check: None when all is well."""
        self._checked, self._replied = failure, None
        self._report()

    def on_reply(self, failure: ServiceError | None) -> None:
        """Take the result of a call: None when the ledger replied."""
        if failure is None and self._replied is None:
            return
        if isinstance(failure, LedgerNotTrusted | LedgerNotDurable):
            self._checked = failure
        self._replied = failure
        self._report()

    def _report(self) -> None:
        before, self._last = self._last, self.failure
        if (before is None) == (self._last is None):
            return
        if self._last is not None:
            cause = _cause(self._last)
            _log.warning(
                "ledger does not serve",
                reason=self._last.reason,
                message=getattr(self._last, "for_operator", self._last.message),
                **({"cause": cause} if cause else {}),
            )
        elif before is not _NOT_CHECKED_YET:
            _log.info("ledger serves again")
        self._on_change(self._last is None)


def _cause(failure: BaseException) -> str | None:
    """Return the first cause of a failure, or None when it has no other cause."""
    cause = failure
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return None if cause is failure else repr(cause)


def _ignore(_serves: bool) -> None:  # noqa: FBT001 - the callback has this one argument
    """Do nothing."""
