"""Whether the ledger may be served: the one owner of the question, whoever finds out first."""

from collections.abc import Callable

import structlog

from redemption.domain.errors import LedgerRefused, LedgerUnavailable, ServiceError
from redemption.ledger.trust.fence import LedgerNotTrusted

_NOT_ASKED_YET = LedgerUnavailable("the ledger was not asked yet")
_log = structlog.get_logger(__name__)


class Standing:
    """What the watch saw when it last looked, and what traffic met since.

    Only the watch can clear a refusal (a broken promise, an untrusted ledger): that a call went through says nothing
    about fsync. While one stands, nothing is asked of the ledger.
    """

    def __init__(self) -> None:
        self._seen: ServiceError | None = _NOT_ASKED_YET
        self._met: ServiceError | None = None
        self._told: ServiceError | None = _NOT_ASKED_YET
        self._changed: Callable[[bool], None] = _nobody

    def tell(self, changed: Callable[[bool], None]) -> None:
        """Have somebody called with whether the ledger serves, whenever that changes."""
        self._changed = changed

    @property
    def failure(self) -> ServiceError | None:
        """Why the ledger cannot be served now, or None."""
        return self._seen or self._met

    def require(self) -> None:
        """Let a call pass, unless a refusal stands.

        Raises:
            LedgerRefused: It stands.
        """
        if isinstance(self._seen, LedgerRefused):
            raise self._seen

    def saw(self, failure: ServiceError | None) -> None:
        """Take the watch's verdict: None when all is well."""
        self._seen, self._met = failure, None
        self._tell()

    def met(self, failure: ServiceError | None) -> None:
        """Take what a call met: None when it was answered."""
        if failure is None and self._met is None:
            return
        if isinstance(failure, LedgerNotTrusted):
            self._seen = failure
        self._met = failure
        self._tell()

    def _tell(self) -> None:
        before, self._told = self._told, self.failure
        if (before is None) == (self._told is None):
            return
        if self._told is not None:
            cause = _cause(self._told)
            _log.warning(
                "ledger does not serve",
                reason=self._told.reason,
                message=self._told.message,
                **({"cause": cause} if cause else {}),
            )
        elif before is not _NOT_ASKED_YET:
            _log.info("ledger serves again")
        self._changed(self._told is None)


def _cause(failure: BaseException) -> str | None:
    """Return what a failure comes from in the end, or None when it says all itself."""
    cause = failure
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return None if cause is failure else repr(cause)


def _nobody(_serves: bool) -> None:  # noqa: FBT001 - it is what is told
    """Tell nobody."""
