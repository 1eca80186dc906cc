"""What a call raises when it is not answered. A refused coupon is an answer: see its ``disposition``.

Three classes, by what the caller does next::

    try:
        decision = client.redeem(request).decision
    except TryAgain as error:  # keep the request, and send it again later with the same request id
        ...
    except RequestRejected as error:  # a bug of the caller, or a setting: the same request will fail every time
        ...
    except ServerFailed as error:  # let somebody look; the same request id stays safe
        ...

All of them are ``CallFailed``. gRPC's own error is their ``__cause__``.
"""

import grpc

from redemption.client.failure import ANSWER_TOO_LARGE, OVERLOADED, Failure, FieldViolation, failure_of

_IN_DOUBT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
_BROKEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)


class CallFailed(Exception):
    """A call got no answer. Catch one of its three subclasses, or this class for all of them.

    The text has the status, the reason, what is wrong, and what to do next.

    Attributes:
        failure: All that is known of it.
    """

    def __init__(self, failure: Failure) -> None:
        reason = f" ({failure.reason})" if failure.reason else ""
        remedy = f"; {failure.remedy}" if failure.remedy else ""
        super().__init__(f"{failure.code.name}{reason}: {failure.message}{remedy}")
        self.failure = failure

    def __reduce__(self) -> tuple[type["CallFailed"], tuple[Failure]]:
        """Have it copied and pickled by its failure: a pool of processes sends it to the process that waits."""
        return type(self), (self.failure,)

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC status."""
        return self.failure.code

    @property
    def reason(self) -> str:
        """The stable reason, for programs; ``docs/errors.md`` has all of them. It may be empty."""
        return self.failure.reason

    @property
    def message(self) -> str:
        """What is wrong, in words."""
        return self.failure.message

    @property
    def field(self) -> str:
        """The path of the first field that is wrong; empty if the error names none."""
        return self.failure.violations[0].field if self.failure.violations else ""

    @property
    def violations(self) -> tuple[FieldViolation, ...]:
        """All fields that are wrong, with the rules that they break."""
        return self.failure.violations

    @property
    def retry_after_seconds(self) -> float | None:
        """How long to wait before the same request is worth sending again; None when the server does not say."""
        return self.failure.retry_after_seconds


class TryAgain(CallFailed):
    """The same request, with the same request id, is worth sending again later. The channel has retried already.

    The server is overloaded, stopping or not reachable, or did not answer in time. Unless the message says that nothing
    was done, the request may have been done. Sending it again with the same request id is safe in any case.
    """


class RequestRejected(CallFailed):
    """The request is wrong, too large, not allowed, or in conflict with what is there.

    Nothing was done, unless the message says otherwise. Sent again as it is, the request will fail again; after ABORTED
    (``ETAG_MISMATCH``) read the campaign again first. ``field`` and ``violations`` say what to change, if a field is
    wrong.
    """


class ServerFailed(CallFailed):
    """The server failed, or its answer cannot be read. It is not known whether anything was done.

    The same request id stays safe, but the same request will probably fail again. With ``failure.correlation_id`` the
    operator finds the cause in the server's log.
    """


def call_failed(error: grpc.RpcError) -> CallFailed:
    """Return our exception for an error of gRPC, as the generated stubs raise it."""
    failure = failure_of(error)
    if failure.code in _BROKEN or failure.reason == ANSWER_TOO_LARGE:
        return ServerFailed(failure)
    # RESOURCE_EXHAUSTED is an overload, or something that is too large: the reason tells.
    if failure.code in _IN_DOUBT or failure.reason == OVERLOADED or failure.retry_after_seconds is not None:
        return TryAgain(failure)
    return RequestRejected(failure)
