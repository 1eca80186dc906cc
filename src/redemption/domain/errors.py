"""Failures: why a question could not be answered. A refusal is an answer, not a failure: see ``outcome``.

Each class carries the stable reason that callers may rely on; ``rpc/status.py`` gives each its gRPC status.
"""

from collections.abc import Sequence
from dataclasses import dataclass

VIOLATIONS_MAX = 50
"""More than anybody reads at once; a request may hold hundreds of thousands of mistakes."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a request.

    Attributes:
        field: Path of the field in the request, for example ``checkout.order.lines[2].amount_minor``.
        problem: What is wrong with it and what would be right.
    """

    field: str
    problem: str


class ServiceError(Exception):
    """The question was not answered; nothing was done, unless the class says that this is not known.

    Attributes:
        reason: The stable reason, in UPPER_SNAKE_CASE.
        message: What is wrong, where, and what to do next; safe to show to the caller.
        retry_after_seconds: How long to wait before the same request is worth sending again, or None.
    """

    reason = "INTERNAL"
    retry_after_seconds: float | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(ServiceError):
    """The request itself is wrong; the same request will never work."""

    reason = "INVALID_REQUEST"

    def __init__(self, violations: Sequence[Violation]) -> None:
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(f"{first.field}: {first.problem}{more}")
        self.violations = tuple(violations)


class NotFound(ServiceError):
    """There is no such thing."""

    reason = "NOT_FOUND"


class AlreadyExists(ServiceError):
    """There is one already, and it is not the same."""

    reason = "ALREADY_EXISTS"


class Conflict(ServiceError):
    """Somebody else changed it first: read it again."""

    reason = "ETAG_MISMATCH"


class RequestIdReused(ServiceError):
    """The request id stands for another request already (for requests whose answer has no outcome)."""

    reason = "IDEMPOTENCY_MISMATCH"


class WrongState(ServiceError):
    """It is in a state that does not allow this."""

    reason = "FAILED_PRECONDITION"


class ArchiveUnfinished(ServiceError):
    """The caller's deadline came before all records of a campaign were removed; ask again, and it goes on there."""

    reason = "ARCHIVE_UNFINISHED"
    retry_after_seconds = 0.1


class LimitReached(ServiceError):
    """A limit of the campaign leaves no room for what was asked."""

    reason = "LIMIT_REACHED"


class NotBuilt(ServiceError):
    """The contract has it, this version does not."""

    reason = "NOT_IMPLEMENTED"


class Overloaded(ServiceError):
    """Too much is waiting already; nothing was done."""

    reason = "OVERLOADED"
    retry_after_seconds = 0.1


class LedgerUnavailable(ServiceError):
    """The ledger did not answer in time. It is not known whether it was done: ask again with the same request id."""

    reason = "LEDGER_UNAVAILABLE"
    retry_after_seconds = 0.2


class LedgerRefused(LedgerUnavailable):
    """The ledger cannot take writes (full, read-only, not trusted); nothing was done."""

    reason = "LEDGER_REFUSES"
    retry_after_seconds = 1.0


class DeadlinePassed(ServiceError):
    """The caller's deadline passed before the request was sent to the ledger; nothing was done."""

    reason = "DEADLINE_EXCEEDED"


class ItemFailed(ServiceError):
    """This one item met a record that it could not read; nothing of it was done, its neighbours are unharmed."""

    reason = "LEDGER_RECORD_UNREADABLE"
