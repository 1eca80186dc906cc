"""Warnings of rules that count as many subjects as they may, so that they do not count new ones."""

import time
from collections.abc import Callable

import structlog

SAME_RULE_SECONDS = 60.0
"""A rule is told of again after this time at the earliest."""
RULES_MAX = 1_000
"""Rules that are remembered at a time; when there are more, remembering begins anew."""
_log = structlog.get_logger(__name__)


class FullRules:
    """Logs the warnings, of each rule one in a minute at most."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Build it; ``now`` is a monotonic clock, in seconds."""
        self._now = now
        self._told_at: dict[tuple[str, str], float] = {}

    def met(self, program: str, rule: str) -> None:
        """Note that a rule could not count a request."""
        now, which = self._now(), (program, rule)
        told_at = self._told_at.get(which)
        if told_at is not None and now - told_at < SAME_RULE_SECONDS:
            return
        if len(self._told_at) >= RULES_MAX:
            self._told_at.clear()
        self._told_at[which] = now
        _log.warning(
            "a rule counts as many subjects as it may, and lets others pass: somebody may be inventing names; "
            "a rule of customers or networks, or a shorter period, helps",
            program=program,
            rule=rule,
        )
