"""Logs who is refused because of a quota: once when it begins, and once when it has ended; never for each call."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

QUIET_SECONDS = 10.0
"""After this time without a refusal, it has ended."""
NAMES_MAX = 100
"""The most names that are told at a time: callers may invent names, and must not fill the log."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Refused:
    """What is known of a name that is refused: since when, how often, and when last."""

    since: float
    calls: int
    last: float


def _call_later(seconds: float, callback: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, callback)


class QuotaLog:
    """Logs who is refused."""

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], None]], None] = _call_later,
    ) -> None:
        """Build it.

        Args:
            now: A monotonic clock, in seconds.
            call_later: Calls a function after some seconds.
        """
        self._now = now
        self._call_later = call_later
        self._refused: dict[tuple[str, str], _Refused] = {}
        self._untold = 0
        self._armed = False

    def refused(self, whose: str, name: str) -> None:
        """Note that a call was refused."""
        now = self._now()
        found = self._refused.get((whose, name))
        if found is not None:
            found.calls += 1
            found.last = now
            return
        if len(self._refused) >= NAMES_MAX:
            if not self._untold:
                _log.warning("calls over a quota are refused: more names than are told", told=NAMES_MAX)
            self._untold += 1
            return
        self._refused[whose, name] = _Refused(now, 1, now)
        _log.warning("calls over a quota are refused", quota=whose, name=name)
        self._arm()

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            self._call_later(QUIET_SECONDS, self._check)

    def _check(self) -> None:
        """Tell what has ended, and look again later while something has not."""
        self._armed = False
        now = self._now()
        for (whose, name), found in list(self._refused.items()):
            if now - found.last >= QUIET_SECONDS:
                del self._refused[whose, name]
                seconds = round(found.last - found.since, 1)
                _log.info(
                    "calls are not over the quota any more",
                    quota=whose,
                    name=name,
                    refused=found.calls,
                    seconds=seconds,
                )
        if self._refused:
            self._arm()
        elif self._untold:
            _log.info("calls are not over a quota any more: names that were not told", refused=self._untold)
            self._untold = 0
