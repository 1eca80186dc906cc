"""Failures: why a request got no answer. A refusal is an answer, not a failure: see ``outcome.py``.

Each class carries the stable reason that callers may rely on; ``rpc/status.py`` maps each class to its gRPC status.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

VIOLATIONS_MAX = 50
"""The most violations that are reported; nobody reads more, and there may be hundreds of thousands."""


class ViolationReason(StrEnum):
    """Which rule a field breaks, for programs. "Other fields" are in ``ViolationValues.others``, in that order."""

    REQUIRED = "REQUIRED"
    """It must be set."""
    ONE_OF = "ONE_OF"
    """Exactly one of the other fields must be set."""
    OUT_OF_RANGE = "OUT_OF_RANGE"
    """It must be ``least`` to ``most``."""
    ZERO_LIMIT = "ZERO_LIMIT"
    """A limit must not be 0; to allow nothing, pause the campaign."""
    WRONG_COUNT = "WRONG_COUNT"
    """The list must have ``least`` to ``most`` entries; it has ``given``."""
    DUPLICATE = "DUPLICATE"
    """It is the same as the other field, an earlier entry of the list."""
    MORE_THAN_OTHER = "MORE_THAN_OTHER"
    """It must be at most the other field."""
    LESS_THAN_OTHER = "LESS_THAN_OTHER"
    """It must be at least the other field."""
    NOT_AFTER_OTHER = "NOT_AFTER_OTHER"
    """It must be later than the other field."""
    NOT_RISING = "NOT_RISING"
    """It must be more than the other field, which is of an earlier tier."""
    NO_GAIN = "NO_GAIN"
    """The tier gives no more than an earlier tier. The other fields are the earlier tier's percentage, the earlier
    tier's cap, and this tier's cap."""
    OVERLAP = "OVERLAP"
    """The slot must not begin before the other field, which is the end of the previous slot."""
    OVER_MIDNIGHT = "OVER_MIDNIGHT"
    """The slot must end later than the other field, which is its start."""
    NEVER_OPEN = "NEVER_OPEN"
    """The window must not end at the other field, which is its start."""
    ONLY_WITH_OTHER = "ONLY_WITH_OTHER"
    """It can only be set together with the other field."""
    ONLY_WITH_UNITS = "ONLY_WITH_UNITS"
    """It can only be set where the other field is MEASURE_UNITS."""
    NOT_WITH_OTHER = "NOT_WITH_OTHER"
    """It contradicts the other field; the text says why."""
    NO_LIST_PRICE = "NO_LIST_PRICE"
    """It must not be LIST, because the other field is an offer that is not computed on list prices."""
    IMMUTABLE = "IMMUTABLE"
    """It cannot change; the other fields are its parts, with their current values."""


class OtherField(NamedTuple):
    """A field that a violation depends on, and its value if that is a number."""

    field: str
    value: int | None = None


@dataclass(frozen=True, slots=True)
class ViolationValues:
    """The numbers and fields that a violation's text names.

    Attributes:
        least: The smallest number that is right.
        most: The largest number that is right.
        given: The number that is wrong.
        others: Fields that it depends on.
    """

    least: int | None = None
    most: int | None = None
    given: int | None = None
    others: tuple[OtherField, ...] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a request.

    Attributes:
        field: Path of the field in the request, for example ``checkout.order.lines[2].amount_minor``.
        problem: What is wrong with it and what would be right.
        reason: The rule that it breaks, or None where only the text says it.
        values: The reason's numbers and fields. Numbers are in the unit of their field, a duration in seconds.
    """

    field: str
    problem: str
    reason: ViolationReason | None = None
    values: ViolationValues | None = None


class ServiceError(Exception):
    """The request got no answer. Nothing was done, unless the class says that this is not known.

    Attributes:
        reason: The stable reason, in UPPER_SNAKE_CASE.
        message: What is wrong, where, and what to do next; safe to show to the caller.
        retry_after_seconds: How long to wait before a retry of the same request, or None.
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
    """What the request names does not exist."""

    reason = "NOT_FOUND"


class AlreadyExists(ServiceError):
    """One with this name exists already, and it is not the same."""

    reason = "ALREADY_EXISTS"


class Conflict(ServiceError):
    """Somebody else changed it first: read it again."""

    reason = "ETAG_MISMATCH"


class RequestIdReused(ServiceError):
    """The request id was used for a different request (for requests whose answer has no outcome)."""

    reason = "IDEMPOTENCY_MISMATCH"


class WrongState(ServiceError):
    """It is in a state that does not allow this."""

    reason = "FAILED_PRECONDITION"


class ArchiveUnfinished(ServiceError):
    """The caller's deadline came before all records of a campaign were removed; a retry continues from there."""

    reason = "ARCHIVE_UNFINISHED"
    retry_after_seconds = 0.1


class LimitReached(ServiceError):
    """A limit of the campaign does not allow what was requested."""

    reason = "LIMIT_REACHED"


class NotBuilt(ServiceError):
    """The contract defines it, but this version does not implement it."""

    reason = "NOT_IMPLEMENTED"


class Overloaded(ServiceError):
    """Too many requests wait already; nothing was done."""

    reason = "OVERLOADED"
    retry_after_seconds = 0.1


class LedgerUnavailable(ServiceError):
    """The ledger sent no reply in time. The request is in doubt: send it again with the same request id.

    Attributes:
        for_operator: The same for the operator, with the ledger's address and the cause; not for callers.
    """

    reason = "LEDGER_UNAVAILABLE"
    retry_after_seconds = 0.2

    def __init__(self, message: str, *, for_operator: str = "") -> None:
        super().__init__(message)
        self.for_operator = for_operator or message


class LedgerRefused(LedgerUnavailable):
    """The ledger cannot take writes (full, read-only, not trusted); nothing was done."""

    reason = "LEDGER_REFUSES"
    retry_after_seconds = 1.0


class DeadlinePassed(ServiceError):
    """The caller's deadline passed before the request was sent to the ledger; nothing was done."""

    reason = "DEADLINE_EXCEEDED"


class ItemFailed(ServiceError):
    """A record that this item needs cannot be read. Nothing of it was done; other items are not affected."""

    reason = "LEDGER_RECORD_UNREADABLE"
