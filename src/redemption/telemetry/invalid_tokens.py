"""Why tokens are refused as TOKEN_INVALID: a caller gets one answer whatever the cause, the operator gets the cause.

Causes are counted, and each is logged at most once in ten seconds: whoever sends junk must not fill the log.
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
        counts: How often each cause was met since the process started.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Build it; ``now`` is a clock that only runs forward, in seconds."""
        self.counts: Counter[str] = Counter()
        self._now = now
        self._log_again_at: dict[str, float] = {}
        self._logged: Counter[str] = Counter()

    def not_genuine(self, cause: str, *, program: str) -> None:
        """Take a text that is no genuine token of a program; ``cause`` is the check that it failed."""
        self.counts[cause] += 1
        if self._may_log(cause):
            _log.info("tokens that are not genuine", cause=cause, count=self._since_last(cause), program=program)

    def not_believed(self, cause: str, *, program: str, key_id: int, campaign: int, serial: int) -> None:
        """Take a correctly signed token that cannot be ours, or no longer is: somebody else may have our key.

        Args:
            cause: Why it is not believed.
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
        """Return how often a cause was met since it was logged last."""
        count = self.counts[cause] - self._logged[cause]
        self._logged[cause] = self.counts[cause]
        return count
