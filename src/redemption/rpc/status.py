"""The one table from failures to gRPC statuses, and the details that travel with them.

What a caller is told about a failure is its code, a stable reason and the message of a ``ServiceError``; anything else
that went wrong is told as INTERNAL with a number to ask the operator about, and never in its own words.
"""

from collections.abc import Iterable, Iterator, Sequence

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
"""Statuses travel in trailers, and clients refuse more than 8 KiB of those: then the caller would see no reason."""
BAD_REQUEST_BYTES_MAX = 4_000
"""The violations with their reasons and values. These take only what the texts leave: no text is dropped for them."""

_OVERHEAD_BYTES_MAX = 8
"""What protobuf adds to a reason and its values: tags and lengths."""


class Stopping(ServiceError):
    """The server is stopping; the message says whether it is known that nothing was done."""

    reason = "SERVER_STOPPING"
    retry_after_seconds = 1.0


class TooLarge(ServiceError):
    """The call is larger than is taken; the same call will never be."""

    reason = "TOO_LARGE"


class MethodUnknown(ServiceError):
    """There is no such method, or not with so many messages."""

    reason = "METHOD_UNKNOWN"


class EncodingUnknown(ServiceError):
    """Messages are compressed in a way that is not known here."""

    reason = "ENCODING_UNKNOWN"


class RequestMalformed(ServiceError):
    """The call is not made as gRPC makes calls."""

    reason = "REQUEST_MALFORMED"


CODES: dict[type[ServiceError], int] = {
    InvalidRequest: code_pb2.INVALID_ARGUMENT,
    NotFound: code_pb2.NOT_FOUND,
    AlreadyExists: code_pb2.ALREADY_EXISTS,
    # ABORTED: begin again one level higher, by reading the campaign.
    Conflict: code_pb2.ABORTED,
    # Neither ALREADY_EXISTS, which callers read as "done before, all is well", nor FAILED_PRECONDITION, which they
    # wait out: the calling program gave one id to two requests, and only its authors can mend that.
    RequestIdReused: code_pb2.INVALID_ARGUMENT,
    WrongState: code_pb2.FAILED_PRECONDITION,
    LimitReached: code_pb2.FAILED_PRECONDITION,
    ArchiveUnfinished: code_pb2.UNAVAILABLE,
    NotBuilt: code_pb2.UNIMPLEMENTED,
    Overloaded: code_pb2.RESOURCE_EXHAUSTED,
    TooLarge: code_pb2.RESOURCE_EXHAUSTED,
    # The status that gRPC documents for a wrong number of messages as well.
    MethodUnknown: code_pb2.UNIMPLEMENTED,
    EncodingUnknown: code_pb2.UNIMPLEMENTED,
    RequestMalformed: code_pb2.INTERNAL,
    # And every kind of it, such as LedgerRefused: a class that is not in the table has its parent's code.
    LedgerUnavailable: code_pb2.UNAVAILABLE,
    Stopping: code_pb2.UNAVAILABLE,
    DeadlinePassed: code_pb2.DEADLINE_EXCEEDED,
    ItemFailed: code_pb2.INTERNAL,
}


def code_of(error: ServiceError) -> int:
    """Return the ``google.rpc.Code`` of a failure; INTERNAL for one that nobody gave a code."""
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), code_pb2.INTERNAL)


def status_of(error: ServiceError) -> Status:
    """Return the status of a failure, with its details."""
    details: list[Message] = [_error_info(error.reason)]
    violations = _violations(error)
    if violations:
        details += _violation_details(violations)
    if error.retry_after_seconds is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=duration(error.retry_after_seconds)))
    # RESOURCE_EXHAUSTED is worth a retry to most clients; what is too large will be so the next time.
    return _status(code_of(error), error.message, details, final=isinstance(error, TooLarge))


def internal_status(correlation_id: str) -> Status:
    """Return the status of a failure that nobody foresaw; the log has the rest under the same id."""
    message = f"an internal error; give the operator this id: {correlation_id}"
    return _status(code_pb2.INTERNAL, message, [_error_info("INTERNAL", correlation_id=correlation_id)])


def duration(seconds: float) -> Duration:
    """Return a length of time."""
    whole, nanoseconds = divmod(round(seconds * NANOSECONDS), NANOSECONDS)
    return Duration(seconds=whole, nanos=nanoseconds)


def short(message: str) -> str:
    """Return a message that fits into a trailer."""
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
    told: list[error_details_pb2.BadRequest.FieldViolation] = []
    room = VIOLATIONS_BYTES_MAX
    for violation in violations:
        entry = error_details_pb2.BadRequest.FieldViolation(
            field=short(violation.field), description=short(violation.problem)
        )
        room -= entry.ByteSize()
        if room < 0 or len(told) == VIOLATIONS_MAX:
            break
        told.append(entry)
    return error_details_pb2.BadRequest(field_violations=told)


def _add_reasons(bad_request: error_details_pb2.BadRequest, violations: Sequence[Violation]) -> BadRequestValues:
    """Add as many of the reasons as fit, and return the values that belong to them."""
    told = BadRequestValues()
    room = BAD_REQUEST_BYTES_MAX - bad_request.ByteSize()
    for entry, violation in zip(bad_request.field_violations, violations, strict=False):
        reason, values = violation.reason or "", _values_of(violation)
        room -= len(reason) + values.ByteSize() + _OVERHEAD_BYTES_MAX
        if room < 0:
            break
        entry.reason = reason
        told.field_violations.append(values)
    return told


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
