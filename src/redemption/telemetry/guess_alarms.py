"""Alarms of guessing: a calling service whose tokens fail again and again, and a program whose codes do.

A service is never locked out for what its shoppers try; its operator is told.
"""

import time
from collections.abc import Callable

import structlog

FAILURES_MIN = 100
"""So many failed tokens and codes of one service in one program within ``WINDOW_SECONDS`` are worth an alarm."""
WINDOW_SECONDS = 60.0
SERVICES_MAX = 1_000
"""Services that are counted at a time; when there are more, counting begins anew."""
PROGRAMS_MAX = 1_000
"""Programs whose spent budgets are remembered, likewise."""
_log = structlog.get_logger(__name__)


class GuessAlarms:
    """Raises the alarms, each once in a minute at most."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Build it; ``now`` is a monotonic clock, in seconds."""
        self._now = now
        self._failures: dict[tuple[str, str], tuple[float, int]] = {}
        self._spent_until: dict[str, float] = {}

    def failed(self, program: str, principal: str, count: int) -> None:
        """Count failed tokens or codes of a calling service."""
        now, service = self._now(), (program, principal)
        since, before = self._failures.get(service, (now, 0))
        if now - since >= WINDOW_SECONDS:
            since, before = now, 0
        if service not in self._failures and len(self._failures) >= SERVICES_MAX:
            self._failures.clear()
        failures = before + count
        self._failures[service] = since, failures
        if before < FAILURES_MIN <= failures:
            _log.warning(
                "many tokens or codes of one service fail: somebody may be guessing through it",
                program=program,
                principal=principal,
                failures=failures,
                seconds=round(now - since, 1),
            )

    def code_budget_spent(self, program: str, seconds: float) -> None:
        """Report that a program's budget of failed codes is spent for so many seconds.

        It is reported once while it is spent, and once a minute at most.
        """
        now = self._now()
        if now < self._spent_until.get(program, now):
            return
        if program not in self._spent_until and len(self._spent_until) >= PROGRAMS_MAX:
            self._spent_until.clear()
        self._spent_until[program] = now + max(seconds, WINDOW_SECONDS)
        _log.warning(
            "the budget of failed exchange codes is spent: whoever failed lately waits, others are answered",
            program=program,
            seconds=round(seconds, 1),
        )
