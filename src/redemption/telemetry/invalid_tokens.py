"""Why tokens are refused as TOKEN_INVALID: callers get the same answer for every cause, operators get the cause.

Causes are counted, and each cause is logged at most once in ten seconds: invalid tokens must not fill the log.
"""

import time
from collections import Counter
from collections.abc import Callable

import structlog

LOG_SECONDS = 10.0
_log = structlog.get_logger(__name__)


class InvalidTokens:
    """Counts and logs the causes.

    Attributes:
        counts: How often each cause occurred since the process started.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Build it; ``now`` is a monotonic clock, in seconds."""
        self.counts: Counter[str] = Counter()
        self._now = now
        self._log_again_at: dict[str, float] = {}
        self._logged: Counter[str] = Counter()

    def not_genuine(self, cause: str, *, program: str) -> None:
        """Report a text that is not a genuine token of a program; ``cause`` is the check that it failed."""
        self.counts[cause] += 1
        if self._may_log(cause):
            _log.info("tokens that are not genuine", cause=cause, count=self._since_last(cause), program=program)

    def not_believed(self, cause: str, *, program: str, key_id: int, campaign: int, serial: int) -> None:
        """Report a correctly signed token that this ledger never issued: somebody else may have a signing key.

        Args:
            cause: Why it is refused.
            program: Its program.
            key_id: The key that signed it.
            campaign: Its campaign.
            serial: Its serial.
        """
        self.counts[cause] += 1
        if self._may_log(cause):
            _log.critical(
                "a correctly signed token was never issued: a signing key may be stolen",
                cause=cause,
                count=self._since_last(cause),
                program=program,
                key_id=f"{key_id:08x}",
                campaign=campaign,
                serial=serial,
            )

    def _may_log(self, cause: str) -> bool:
        now = self._now()
        if now < self._log_again_at.get(cause, 0.0):
            return False
        self._log_again_at[cause] = now + LOG_SECONDS
        return True

    def _since_last(self, cause: str) -> int:
        """Return how often a cause occurred since it was last logged."""
        count = self.counts[cause] - self._logged[cause]
        self._logged[cause] = self.counts[cause]
        return count
