"""Writes a line for each trial: the client, what was tried, and the result."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_CLIENT_WIDTH: Final = 32
_TRIED_WIDTH: Final = 68
_PROBLEM_CHARS_MAX: Final = 600


class Result(StrEnum):
    """The result of a trial."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    MISSING = "MISSING"


@dataclass(slots=True)
class Report:
    """Writes a line for each trial when it ends, and counts the results.

    Attributes:
        counts: How many trials had each result.
    """

    counts: dict[Result, int] = field(default_factory=lambda: dict.fromkeys(Result, 0))

    def tried(self, client: str, what: str, problem: str = "", note: str = "") -> None:
        """Write the result of a trial: PASS, or FAIL if there is a problem.

        Args:
            client: The client with its version.
            what: What was tried.
            problem: What went wrong; empty if nothing did.
            note: A remark for a trial that passed.
        """
        if problem:
            short = problem if len(problem) <= _PROBLEM_CHARS_MAX else problem[:_PROBLEM_CHARS_MAX] + "…"
            self._write(client, what, Result.FAIL, short)
        else:
            self._write(client, what, Result.PASS, note)

    def missing(self, client: str, install: str) -> None:
        """Write that a client is not installed, and how to install it."""
        self._write(client, "not tried", Result.MISSING, f"to install: {install}")

    def _write(self, client: str, what: str, result: Result, more: str) -> None:
        self.counts[result] += 1
        print(f"{client:<{_CLIENT_WIDTH}} {what:<{_TRIED_WIDTH}} {result:<7} {more}".rstrip(), flush=True)
