"""The one table from failures to gRPC statuses, and the details that are sent with them.

For a ``ServiceError`` the caller gets its code, its stable reason and its message. For any other exception the caller
gets INTERNAL with an id that the operator can find in the log, and never the text of the exception.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped] # no marker

from redemption.domain.errors import (
    AlreadyExists,
    ArchiveUnfinished,
    Conflict,
    DeadlinePassed,
    InvalidRequest,
    ItemFailed,
    LedgerUnavailable,
    LimitReached,
    NotBuilt,
    NotFound,
    Overloaded,
    RequestIdReused,
    ServiceError,
    Violation,
    WrongState,
)
from redemption.rpc.convert.timestamps import NANOSECONDS
from redemption.rpc.transport.methods import Status
from redemption.v1.bad_request_pb2 import BadRequestValues, FieldViolationValues, OtherField

ERROR_DOMAIN = "redemption"
"""The ``domain`` of every ``google.rpc.ErrorInfo``."""

MESSAGE_BYTES_MAX = 500
VIOLATIONS_MAX = 16
VIOLATIONS_BYTES_MAX = 3_500
"""Statuses are sent in trailers. Clients refuse more than 8 KiB of those: then the caller would see no reason."""
BAD_REQUEST_BYTES_MAX = 4_000
"""The most bytes of violations with reasons and values. The texts come first; reasons and values get what is left."""

_OVERHEAD_BYTES_MAX = 8
"""What protobuf adds to a reason and its values: tags and lengths."""


class Stopping(ServiceError):
    """The server is stopping; the message says that nothing was done, if this is certain."""

    reason = "SERVER_STOPPING"
    retry_after_seconds = 1.0


class TooLarge(ServiceError):
    """The call is too large, and will be so at every retry."""

    reason = "TOO_LARGE"


class QuotaExceeded(ServiceError):
    """The principal or the program has used up its quota of calls; nothing was done.

    Attributes:
        metadata: Whose quota it is, for programs.
    """

    reason = "QUOTA_EXCEEDED"
    retry_after_seconds = 1.0
    metadata: Mapping[str, str] = MappingProxyType({})


class MethodUnknown(ServiceError):
    """There is no such method, or it does not take this number of messages."""

    reason = "METHOD_UNKNOWN"


class EncodingUnknown(ServiceError):
    """The messages are compressed in a way that the server does not know."""

    reason = "ENCODING_UNKNOWN"


class RequestMalformed(ServiceError):
    """The call breaks a rule of the gRPC protocol."""

    reason = "REQUEST_MALFORMED"


CODES: dict[type[ServiceError], int] = {
    InvalidRequest: code_pb2.INVALID_ARGUMENT,
    NotFound: code_pb2.NOT_FOUND,
    AlreadyExists: code_pb2.ALREADY_EXISTS,
    # ABORTED: the caller has to read the campaign again before it retries.
    Conflict: code_pb2.ABORTED,
    # Not ALREADY_EXISTS, which callers take for success, nor FAILED_PRECONDITION, after which they wait and retry: the
    # calling program gave one id to two requests, and only its authors can correct that.
    RequestIdReused: code_pb2.INVALID_ARGUMENT,
    WrongState: code_pb2.FAILED_PRECONDITION,
    LimitReached: code_pb2.FAILED_PRECONDITION,
    ArchiveUnfinished: code_pb2.UNAVAILABLE,
    NotBuilt: code_pb2.UNIMPLEMENTED,
    Overloaded: code_pb2.RESOURCE_EXHAUSTED,
    TooLarge: code_pb2.RESOURCE_EXHAUSTED,
    QuotaExceeded: code_pb2.RESOURCE_EXHAUSTED,
    # gRPC documents this status also for a wrong number of messages.
    MethodUnknown: code_pb2.UNIMPLEMENTED,
    EncodingUnknown: code_pb2.UNIMPLEMENTED,
    RequestMalformed: code_pb2.INTERNAL,
    # Also for its subclasses, such as LedgerRefused: a class that is not in the table has the code of its parent.
    LedgerUnavailable: code_pb2.UNAVAILABLE,
    Stopping: code_pb2.UNAVAILABLE,
    DeadlinePassed: code_pb2.DEADLINE_EXCEEDED,
    ItemFailed: code_pb2.INTERNAL,
}


def code_of(error: ServiceError) -> int:
    """Return the ``google.rpc.Code`` of a failure; INTERNAL for one that is not in the table."""
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), code_pb2.INTERNAL)


def status_of(error: ServiceError) -> Status:
    """Return the status of a failure, with its details."""
    metadata = error.metadata if isinstance(error, QuotaExceeded) else {}
    details: list[Message] = [_error_info(error.reason, **metadata)]
    violations = _violations(error)
    if violations:
        details += _violation_details(violations)
    if error.retry_after_seconds is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=duration(error.retry_after_seconds)))
    # Most clients retry RESOURCE_EXHAUSTED, but a call that is too large will be refused every time.
    return _status(code_of(error), error.message, details, final=isinstance(error, TooLarge))


def internal_status(correlation_id: str) -> Status:
    """Return the status of an unexpected failure; the log has its details under the same id."""
    message = f"an internal error; give the operator this id: {correlation_id}"
    return _status(code_pb2.INTERNAL, message, [_error_info("INTERNAL", correlation_id=correlation_id)])


def duration(seconds: float) -> Duration:
    """Return the seconds as a ``Duration``."""
    whole, nanoseconds = divmod(round(seconds * NANOSECONDS), NANOSECONDS)
    return Duration(seconds=whole, nanos=nanoseconds)


def short(message: str) -> str:
    """Return a message, cut to ``MESSAGE_BYTES_MAX`` so that it fits into a trailer."""
    if len(message) * 4 <= MESSAGE_BYTES_MAX or len(message.encode()) <= MESSAGE_BYTES_MAX:
        return message
    return message.encode()[: MESSAGE_BYTES_MAX - 3].decode(errors="ignore") + "..."


def _violations(error: ServiceError) -> Sequence[Violation]:
    if isinstance(error, InvalidRequest):
        return error.violations
    if isinstance(error, RequestIdReused):
        return (Violation("request_id", "stands for another request; give every request its own"),)
    return ()


def _violation_details(violations: Sequence[Violation]) -> Iterator[Message]:
    bad_request = _bad_request(violations)
    values = _add_reasons(bad_request, violations)
    yield bad_request
    if any(each.ListFields() for each in values.field_violations):
        yield values


def _bad_request(violations: Sequence[Violation]) -> error_details_pb2.BadRequest:
    """Return as many of the violations as fit; the message says how many were found."""
    entries: list[error_details_pb2.BadRequest.FieldViolation] = []
    room = VIOLATIONS_BYTES_MAX
    for violation in violations:
        entry = error_details_pb2.BadRequest.FieldViolation(
            field=short(violation.field), description=short(violation.problem)
        )
        room -= entry.ByteSize()
        if room < 0 or len(entries) == VIOLATIONS_MAX:
            break
        entries.append(entry)
    return error_details_pb2.BadRequest(field_violations=entries)


def _add_reasons(bad_request: error_details_pb2.BadRequest, violations: Sequence[Violation]) -> BadRequestValues:
    """Add as many of the reasons as fit, and return the values that belong to them."""
    added = BadRequestValues()
    room = BAD_REQUEST_BYTES_MAX - bad_request.ByteSize()
    for entry, violation in zip(bad_request.field_violations, violations, strict=False):
        reason, values = violation.reason or "", _values_of(violation)
        room -= len(reason) + values.ByteSize() + _OVERHEAD_BYTES_MAX
        if room < 0:
            break
        entry.reason = reason
        added.field_violations.append(values)
    return added


def _values_of(violation: Violation) -> FieldViolationValues:
    values = violation.values
    if values is None:
        return FieldViolationValues()
    others = [OtherField(field=short(other.field), value=other.value) for other in values.others]
    return FieldViolationValues(least=values.least, most=values.most, given=values.given, others=others)


def _error_info(reason: str, **metadata: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN, metadata=metadata)


def _status(code: int, message: str, details: Iterable[Message], *, final: bool = False) -> Status:
    message = short(message)
    status = status_pb2.Status(code=code, message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return Status(code, message, status.SerializeToString(), final)
