"""Why a call failed: the reason and the details that its error carries, or what gRPC's own errors mean."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from redemption.v1.bad_request_pb2 import BadRequestValues, FieldViolationValues

OVERLOADED = "OVERLOADED"
"""The server has too much to do. Of all RESOURCE_EXHAUSTED, only this one, or one with RetryInfo, is worth a retry."""
UNREACHABLE = "UNREACHABLE"
"""UNAVAILABLE, and not said by the server: no connection, or it was lost."""
NO_ANSWER = "NO_ANSWER"
"""DEADLINE_EXCEEDED, and not said by the server: the caller's gRPC library stopped waiting."""
TOO_LARGE = "TOO_LARGE"
"""The request is too large, says the server, or the caller's gRPC library."""
HEADERS_TOO_LARGE = "HEADERS_TOO_LARGE"
"""The metadata of the request, or of the answer, is too large, says a gRPC library."""
ANSWER_TOO_LARGE = "ANSWER_TOO_LARGE"
"""The answer is longer than the channel accepts. What was asked for may have been done."""

SAME_REQUEST_ID = "send the same request again, with the same request id"
_REMEDIES = {
    UNREACHABLE: f"check that a server is there, then {SAME_REQUEST_ID}",
    NO_ANSWER: f"it is not known whether anything was done; {SAME_REQUEST_ID}",
    TOO_LARGE: "send less in one call; the same request will fail every time",
    HEADERS_TOO_LARGE: "send less metadata; the same call will fail every time",
    ANSWER_TOO_LARGE: f"raise grpc.max_receive_message_length of the channel, then {SAME_REQUEST_ID}",
}
"""What to do next after an error of a gRPC library; the messages of the server say it by themselves."""

# The texts of gRPC's core, which Python uses; a server on grpcio sends them too. The first that is found counts.
_TOO_LARGE_TEXTS = (
    (re.compile("CLIENT: Received message larger than max"), ANSWER_TOO_LARGE),
    (re.compile("message larger than max"), TOO_LARGE),
    (re.compile("metadata size exceeds"), HEADERS_TOO_LARGE),
)


@dataclass(frozen=True, slots=True)
class OtherField:
    """A field that a violation depends on: its path, and its value if that is a number."""

    field: str
    value: int | None = None


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One thing wrong with a request.

    Numbers are in the unit of their field: minor units, basis points, minutes of the day, seconds of a duration,
    entries of a list.

    Attributes:
        field: The path of the field.
        problem: What is wrong with it, as text.
        reason: The rule that it breaks, for programs; empty where only the text says it.
        least: The smallest number that is right, or None.
        most: The largest number that is right, or None.
        given: The number that is wrong, or None.
        others: The fields that it depends on.
    """

    field: str
    problem: str
    reason: str = ""
    least: int | None = None
    most: int | None = None
    given: int | None = None
    others: tuple[OtherField, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call failed.

    Attributes:
        code: The status of the call.
        message: What is wrong, where, and what to do next; or the text of a gRPC library.
        reason: The stable reason, for programs. ``docs/errors.md`` has all of them. It is empty when the error comes
            from neither the server nor the gRPC library, for example from a proxy.
        violations: With INVALID_ARGUMENT, the fields at fault.
        retry_after_seconds: How long to wait before the same request is worth sending again, or None.
        correlation_id: With INTERNAL, what to look for in the server's log; else empty.
        quota: With the reason ``QUOTA_EXCEEDED``, whose quota it is: ``principal`` or ``program``; else empty.
        remedy: What to do next, if the message is the text of a gRPC library; else empty.
    """

    code: grpc.StatusCode
    message: str
    reason: str = ""
    violations: tuple[FieldViolation, ...] = ()
    retry_after_seconds: float | None = None
    correlation_id: str = ""
    remedy: str = ""
    quota: str = ""


def failure_of(error: grpc.RpcError) -> Failure:
    """Return why a call of a generated stub failed; details that cannot be parsed are left out."""
    call = cast("grpc.Call", error)
    reason, correlation_id, quota = "", "", ""
    retry_after_seconds: float | None = None
    info, retry, bad = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
    values = BadRequestValues()
    try:
        status = rpc_status.from_call(call)
        for detail in status.details if status else ():
            if detail.Unpack(info):
                reason = info.reason
                correlation_id = info.metadata.get("correlation_id", "")
                quota = info.metadata.get("quota", "")
            elif detail.Unpack(retry):
                retry_after_seconds = retry.retry_delay.ToNanoseconds() / 1e9
            elif not detail.Unpack(bad):
                detail.Unpack(values)
    except (DecodeError, ValueError):  # damaged, or they contradict the status of the call
        pass
    code, message, remedy = call.code(), call.details() or "", ""
    if not reason:
        reason = _reason_of_library(code, message)
        remedy = _REMEDIES.get(reason, "")
    return Failure(
        code=code,
        message=message,
        reason=reason,
        violations=tuple(_violations(bad, values)),
        retry_after_seconds=retry_after_seconds,
        correlation_id=correlation_id,
        remedy=remedy,
        quota=quota,
    )


def _reason_of_library(code: grpc.StatusCode, message: str) -> str:
    """Return the reason for an error that has none; empty when it is not known."""
    if code is grpc.StatusCode.UNAVAILABLE:
        return UNREACHABLE
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return NO_ANSWER
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return next((reason for text, reason in _TOO_LARGE_TEXTS if text.search(message)), "")
    return ""


def _violations(bad: error_details_pb2.BadRequest, values: BadRequestValues) -> Iterator[FieldViolation]:
    """Yield the violations, each with the values that belong to it; there can be fewer values than violations."""
    for index, violation in enumerate(bad.field_violations):
        found = values.field_violations[index] if index < len(values.field_violations) else FieldViolationValues()
        yield FieldViolation(
            violation.field,
            violation.description,
            reason=violation.reason,
            least=_number(found, "least"),
            most=_number(found, "most"),
            given=_number(found, "given"),
            others=tuple(OtherField(other.field, _number(other, "value")) for other in found.others),
        )


def _number(message: Message, name: str) -> int | None:
    return cast("int", getattr(message, name)) if message.HasField(name) else None
