"""Writes the fence down, once a second and at a stop, and refuses the ledger when that fails for some seconds."""

import time
from collections.abc import Callable

import structlog

from redemption.domain.errors import LedgerRefused
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.health import OncePerReason

UNSAVED_SECONDS_MAX = 5.0
"""For so long the fence may fail to be written. What is approved longer than that could be forgotten by everybody: this
machine after a crash, and a ledger that is restored."""
_log = structlog.get_logger(__name__)


class FenceUnsaved(LedgerRefused):
    """What this server saw of the ledger cannot be written down, so an older ledger would not be noticed later."""


class FenceSaving:
    """Saves the fence, and knows for how long that has failed, or has not come to an end."""

    def __init__(self, fence: Fence, now: Callable[[], float] = time.monotonic) -> None:
        """Build it; ``now`` is a monotonic clock, in seconds."""
        self._fence = fence
        self._now = now
        self._failing: tuple[float, str] | None = None
        self._began: float | None = None  # a disk or a network that does not answer can hold a save for ever
        self._failures = OncePerReason()

    def save(self) -> None:
        """Write what is new; a failure is logged, the same one once a minute. May run in another thread."""
        self._began = self._now()
        try:
            self._fence.save()
        except Exception as error:  # noqa: BLE001 - logged, and told by ``failure``; the next save tries again
            since, _ = self._failing or (self._now(), "")
            cause = self._cause(error)
            self._failing = since, cause
            if self._failures.allows(cause):
                _log.error("what was seen of the ledger cannot be written down", error=cause)
        else:
            self._failing = None
        finally:
            self._began = None

    def _cause(self, error: Exception) -> str:
        if isinstance(error, LedgerRefused):  # it cannot be read, and says what to do
            return error.for_operator or str(error)
        return (
            f"the fence {self._fence.path} cannot be written ({error}), so an older ledger would not be noticed after "
            "a crash. Let the server's user write this file and its directory, or free their disk; then it serves "
            "again by itself"
        )

    @property
    def failure(self) -> FenceUnsaved | None:
        """Why the ledger is not served: the fence could not be written for too long; None while it can be."""
        failing, began = self._failing, self._began
        if failing is None and began is not None:
            failing = began, self._cause(TimeoutError("its disk does not answer"))
        if failing is None or self._now() - failing[0] < UNSAVED_SECONDS_MAX:
            return None
        return FenceUnsaved(
            "this server cannot write down what it knows of the ledger; nothing was done", for_operator=failing[1]
        )
