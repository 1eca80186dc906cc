"""The statuses of the transport itself: for calls that reach no handler, or end without the handler's answer."""

from redemption.domain.errors import DeadlinePassed, InvalidRequest, Overloaded, ServiceError, Violation
from redemption.rpc.status import EncodingUnknown, MethodUnknown, RequestMalformed, Stopping, TooLarge, status_of
from redemption.rpc.transport.methods import Status

NO_POST = status_of(InvalidRequest([Violation(":method", "gRPC calls are POST requests")]))
NO_GRPC = status_of(InvalidRequest([Violation("content-type", "must be application/grpc or application/grpc+proto")]))
ENCODING_UNKNOWN = status_of(EncodingUnknown("grpc-encoding: must be identity, gzip or deflate"))
TIMEOUT_MALFORMED = status_of(
    InvalidRequest([Violation("grpc-timeout", "must be 1 to 8 digits and one of H, M, S, m, u, n, for example 1500m")])
)
METHOD_UNKNOWN = status_of(MethodUnknown("there is no such method; paths are exact, as in /package.Service/Method"))
NO_MESSAGE = status_of(MethodUnknown("the call has no message, and every method takes one"))
SEVERAL_MESSAGES = status_of(MethodUnknown("the call has more than one message, and no method takes several"))
CUT_MESSAGE = status_of(RequestMalformed("the call ended in the middle of its message"))
SCATTERED_MESSAGE = status_of(RequestMalformed("the message comes in too many frames for its length"))
INFLATES = status_of(RequestMalformed("the message is compressed to less than a 64th of its length; send it as it is"))
NOT_COMPRESSED = status_of(RequestMalformed("a message is flagged as compressed, and is no whole gzip or deflate"))
COMPRESSED_UNNAMED = status_of(
    RequestMalformed("a message is flagged as compressed, but the call names no grpc-encoding")
)
TOO_MANY_CALLS = status_of(Overloaded("the server has too many calls at once; nothing was done, try again"))
TOO_MUCH_WORK = status_of(Overloaded("the server has more work than it can do in time; nothing was done, try again"))
REQUESTS_TOO_LARGE_TOGETHER = status_of(
    Overloaded("too many bytes of requests are waiting for their answers; nothing was done, try again")
)
ANSWERS_UNREAD = status_of(
    Overloaded("too many bytes of answers are waiting to be read; read them, then ask again with the same request id")
)
DEADLINE_PASSED = status_of(DeadlinePassed("the deadline passed before the request was looked at; nothing was done"))
DEADLINE_PASSED_AT_WORK = status_of(
    DeadlinePassed("the deadline passed before there was an answer; ask again with the same request id")
)
REQUEST_LATE = status_of(DeadlinePassed("the request did not arrive in time; nothing was done"))
ANSWER_UNREAD = status_of(DeadlinePassed("the answer was not read in time; ask again for the rest"))
STOPPING_BEFORE = status_of(Stopping("the server is stopping; nothing was done, ask again"))
STOPPING_AT_WORK = status_of(Stopping("the server stopped before it could answer; ask again with the same request id"))
INTERNAL = status_of(ServiceError("an internal error; the operator's log has more"))


def headers_too_large(bytes_max: int, fields_max: int) -> Status:
    """Return the status for a call whose headers are too many or too long."""
    return status_of(
        TooLarge(f"the call's headers must be at most {fields_max} fields and {bytes_max} bytes; send less metadata")
    )


def message_too_large(bytes_max: int) -> Status:
    """Return the status for a message that is longer than its method accepts."""
    return status_of(TooLarge(f"the request must be at most {bytes_max} bytes; send less in one call"))
