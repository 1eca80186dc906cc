"""Why tokens are refused as TOKEN_INVALID: callers get the same answer for every cause, operators get the cause.

Every cause is counted. What is logged is limited, because invalid tokens must not fill the log: junk once in ten
seconds for each cause, and the alarm of a stolen key once in ten seconds for each program, key and cause.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import structlog

LOG_SECONDS = 10.0
SUBJECTS_MAX = 1_000
"""Programs and keys whose last log entry is remembered; with more, some are logged more often."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Logged:
    """When something was logged last, and how often it occurred since."""

    again_at: float
    since: int = 0


class InvalidTokens:
    """Counts and logs the causes.

    Attributes:
        counts: How often each cause occurred since the process started.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Build it; ``now`` is a monotonic clock, in seconds."""
        self.counts: Counter[str] = Counter()
        self._now = now
        self._logged: dict[tuple[str, str, int], _Logged] = {}

    def not_genuine(self, cause: str, *, program: str) -> None:
        """Report a text that is not a genuine token of a program; ``cause`` is the check that it failed."""
        self.counts[cause] += 1
        count = self._count_to_log((cause, "", 0))
        if count:
            _log.info("tokens that are not genuine", cause=cause, count=count, program=program)

    def not_believed(self, cause: str, *, program: str, key_id: int, campaign: int, serial: int) -> None:
        """Report a correctly signed token that this ledger cannot have issued: somebody else may have a signing key.

        Args:
            cause: Why it is refused.
            program: Its program.
            key_id: The key that signed it.
            campaign: Its campaign.
            serial: Its serial.
        """
        self.counts[cause] += 1
        count = self._count_to_log((cause, program, key_id))
        if count:
            _log.critical(
                "a correctly signed token was not issued here: a signing key may be stolen",
                cause=cause,
                count=count,
                program=program,
                key_id=f"{key_id:08x}",
                campaign=campaign,
                serial=serial,
            )

    def _count_to_log(self, subject: tuple[str, str, int]) -> int:
        """Count one more occurrence; return how many there were since the last log entry, or 0 if it is too early."""
        now = self._now()
        logged = self._logged.get(subject)
        if logged is not None and now < logged.again_at:
            logged.since += 1
            return 0
        if logged is None and len(self._logged) >= SUBJECTS_MAX:
            self._logged.clear()
        self._logged[subject] = _Logged(now + LOG_SECONDS)
        return 1 if logged is None else logged.since + 1
