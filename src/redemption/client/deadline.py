"""A deadline for every call that has none.

gRPC's service config can hold a timeout, but a timeout of 2 s there ends after anything from 0.5 to 1.5 s
(grpc/grpc#34547 and #40633; measured with 1.85.1). A timeout that is passed with the call is exact, so these
interceptors pass one.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, cast

import grpc
import grpc.aio

_Details = TypeVar("_Details", grpc.ClientCallDetails, grpc.aio.ClientCallDetails)

MINT_DEADLINE_SECONDS = 600.0
"""A million tokens take a while to stream."""


class Deadline(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """For blocking channels."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.ClientCallDetails, Any], Any],
        client_call_details: grpc.ClientCallDetails,
        request: Any,  # noqa: ANN401 - whatever the method takes
    ) -> Any:  # noqa: ANN401
        """Add the deadline."""
        return continuation(_limited(client_call_details, self._seconds), request)

    def intercept_unary_stream(
        self,
        continuation: Callable[[grpc.ClientCallDetails, Any], Any],
        client_call_details: grpc.ClientCallDetails,
        request: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Add the deadline of a stream."""
        return continuation(_limited(client_call_details, max(self._seconds, MINT_DEADLINE_SECONDS)), request)


class AioDeadline(grpc.aio.UnaryUnaryClientInterceptor):
    """For calls of asyncio channels."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[grpc.aio.UnaryUnaryCall[Any, Any]]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,  # noqa: ANN401
    ) -> grpc.aio.UnaryUnaryCall[Any, Any]:
        """Add the deadline."""
        return await continuation(_limited(client_call_details, self._seconds), request)


class AioStreamDeadline(grpc.aio.UnaryStreamClientInterceptor):
    """For streams of asyncio channels, which need one interceptor for each kind of call."""

    def __init__(self, seconds: float) -> None:
        self._seconds = max(seconds, MINT_DEADLINE_SECONDS)

    async def intercept_unary_stream(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[grpc.aio.UnaryStreamCall[Any, Any]]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,  # noqa: ANN401
    ) -> AsyncIterator[Any] | grpc.aio.UnaryStreamCall[Any, Any]:
        """Add the deadline."""
        return await continuation(_limited(client_call_details, self._seconds), request)


def _limited(details: _Details, seconds: float) -> _Details:
    # Blocking and asyncio details are both named tuples, although their declared types do not say so.
    return details if details.timeout is not None else cast("Any", details)._replace(timeout=seconds)
