"""Why a question was not answered: the rich error of a failed call, read without surprises."""

from dataclasses import dataclass
from typing import cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One thing wrong with a request: the path of the field, and what is wrong with it."""

    field: str
    problem: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a question was not answered.

    Attributes:
        code: The status of the call.
        message: What is wrong, where, and what to do next.
        reason: The server's stable reason, for programs; empty when the failure is not the server's own word.
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
    """Return what a failed call says of itself; details that cannot be read are left out."""
    call = cast("grpc.Call", error)
    reason, correlation_id = "", ""
    violations: tuple[FieldViolation, ...] = ()
    retry_after_seconds: float | None = None
    info, retry, bad = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
    try:
        for detail in _status(call).details:
            if detail.Unpack(info):
                reason = info.reason
                correlation_id = info.metadata.get("correlation_id", "")
            elif detail.Unpack(retry):
                retry_after_seconds = retry.retry_delay.ToNanoseconds() / 1e9
            elif detail.Unpack(bad):
                violations = tuple(FieldViolation(each.field, each.description) for each in bad.field_violations)
    except DecodeError:
        pass
    return Failure(
        code=call.code(),
        message=call.details() or "",
        reason=reason,
        violations=violations,
        retry_after_seconds=retry_after_seconds,
        correlation_id=correlation_id,
    )


def _status(call: grpc.Call) -> status_pb2.Status:
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            return status_pb2.Status.FromString(cast("bytes", value))
    return status_pb2.Status()
