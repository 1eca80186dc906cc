"""Why a call failed: the reason and the details that its error carries."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from redemption.v1.bad_request_pb2 import BadRequestValues, FieldViolationValues


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
        message: What is wrong, where, and what to do next.
        reason: The server's stable reason, for programs; empty when the failure does not come from the server.
        violations: With INVALID_ARGUMENT, the fields at fault.
        retry_after_seconds: How long to wait before the same request is worth sending again, or None.
        correlation_id: With INTERNAL, what to look for in the server's log; else empty.
    """

    code: grpc.StatusCode
    message: str
    reason: str = ""
    violations: tuple[FieldViolation, ...] = ()
    retry_after_seconds: float | None = None
    correlation_id: str = ""


def failure_of(error: grpc.RpcError) -> Failure:
    """Return why a call failed; details that cannot be parsed are left out."""
    call = cast("grpc.Call", error)
    reason, correlation_id = "", ""
    retry_after_seconds: float | None = None
    info, retry, bad = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
    values = BadRequestValues()
    try:
        status = rpc_status.from_call(call)
        for detail in status.details if status else ():
            if detail.Unpack(info):
                reason = info.reason
                correlation_id = info.metadata.get("correlation_id", "")
            elif detail.Unpack(retry):
                retry_after_seconds = retry.retry_delay.ToNanoseconds() / 1e9
            elif not detail.Unpack(bad):
                detail.Unpack(values)
    except (DecodeError, ValueError):  # damaged, or they contradict the status of the call
        pass
    return Failure(
        code=call.code(),
        message=call.details() or "",
        reason=reason,
        violations=tuple(_violations(bad, values)),
        retry_after_seconds=retry_after_seconds,
        correlation_id=correlation_id,
    )


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
