"""Every exit code of the command line, and the exception that has an exit code and a message."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redemption.client import Failure

DONE = 0
"""It was done; for a coupon: approved."""
REFUSED = 1
"""A coupon was refused, something does not exist, a person did not consent, or a demo failed."""
BAD_INPUT = 2
"""The arguments or the file are wrong; nothing was done."""
UNREACHABLE = 3
"""The server cannot be reached, is too busy, or did not answer in time."""
FAILED = 4
"""The server failed, or refuses to start; or there is no room for the output."""
NOT_TRUSTED = 5
"""The ledger is not trusted; see ``redemption ledger status``."""
INTERRUPTED = 130
"""Stopped by Ctrl-C."""
PIPE_CLOSED = 141
"""The reader of the output, such as ``head``, closed the pipe; 141 is the usual code for this (SIGPIPE)."""

SUMMARY = """Exit codes: 0 done or approved, 1 refused, 2 bad usage or input, 3 the server
cannot be reached or did not answer in time, 4 the server failed or refuses to
start, 5 the ledger is not trusted, 130 interrupted, 141 nobody reads the
output any more."""

# Every status that is not here is the server's own failure.
_BY_STATUS = {
    "UNAVAILABLE": UNREACHABLE,
    "DEADLINE_EXCEEDED": UNREACHABLE,
    "RESOURCE_EXHAUSTED": UNREACHABLE,
    "CANCELLED": UNREACHABLE,
    "NOT_FOUND": REFUSED,
    "INVALID_ARGUMENT": BAD_INPUT,
    "OUT_OF_RANGE": BAD_INPUT,
    "ALREADY_EXISTS": BAD_INPUT,
    "FAILED_PRECONDITION": BAD_INPUT,
    "ABORTED": BAD_INPUT,
    "UNAUTHENTICATED": BAD_INPUT,
    "PERMISSION_DENIED": BAD_INPUT,
    "UNIMPLEMENTED": BAD_INPUT,
}


class Stop(Exception):
    """Ends the command with an exit code and a message: one line, or one line for each problem of a file."""

    def __init__(self, code: int, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.code = code
        self.lines = lines
        self.failure: Failure | None = None
        """What the server said, if a call failed."""
        self.done_before: dict[str, Any] = {}
        """With ``--json``, what was done before it failed."""

    @property
    def told(self) -> tuple[str, ...]:
        """What to print, line by line."""
        return tuple(f"redemption: {line}" for line in self.lines)

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``--json``; ``docs/command-line.md`` has the meaning of each field."""
        failure = self.failure
        return {
            "exit_code": self.code,
            "code": failure.code.name if failure else "",
            "reason": failure.reason if failure else "",
            "message": "\n".join(self.lines),
            "violations": [asdict(violation) for violation in failure.violations] if failure else [],
            "retry_after_seconds": failure.retry_after_seconds if failure else None,
            "correlation_id": failure.correlation_id if failure else "",
        }


class BadUsage(Stop):
    """The arguments are wrong; the line begins with the command."""

    def __init__(self, line: str) -> None:
        super().__init__(BAD_INPUT, line)

    @property
    def told(self) -> tuple[str, ...]:
        """What to print, line by line."""
        return self.lines


class BadFile(Stop):
    """Something is wrong with a file; the lines are FILE:LINE: FIELD: PROBLEM, which editors can read."""

    def __init__(self, *lines: str) -> None:
        super().__init__(BAD_INPUT, *lines)

    @property
    def told(self) -> tuple[str, ...]:
        """What to print, line by line."""
        return self.lines


def code_of_status(status: str) -> int:
    """Return the exit code for the name of a gRPC status."""
    return _BY_STATUS.get(status, FAILED)
