"""What is written of each trial: who tried what, and how it went."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_CLIENT_WIDTH: Final = 32
_TRIED_WIDTH: Final = 68
_PROBLEM_CHARS_MAX: Final = 600


class Result(StrEnum):
    """How a trial went."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    MISSING = "MISSING"


@dataclass(slots=True)
class Report:
    """Writes a line for each trial as it ends, and counts.

    Attributes:
        counts: How many trials went which way.
    """

    counts: dict[Result, int] = field(default_factory=lambda: dict.fromkeys(Result, 0))

    def tried(self, client: str, what: str, problem: str = "", note: str = "") -> None:
        """Tell how a trial went: well unless there is a problem.

        Args:
            client: Who, with the version.
            what: What was tried.
            problem: What went wrong.
            note: What else is worth knowing when it went well.
        """
        if problem:
            short = problem if len(problem) <= _PROBLEM_CHARS_MAX else problem[:_PROBLEM_CHARS_MAX] + "…"
            self._write(client, what, Result.FAIL, short)
        else:
            self._write(client, what, Result.PASS, note)

    def missing(self, client: str, install: str) -> None:
        """Tell that a client is not here, and how to get it."""
        self._write(client, "not tried", Result.MISSING, f"to install: {install}")

    def _write(self, client: str, what: str, result: Result, more: str) -> None:
        self.counts[result] += 1
        print(f"{client:<{_CLIENT_WIDTH}} {what:<{_TRIED_WIDTH}} {result:<7} {more}".rstrip(), flush=True)
