"""Calls with the types of their messages, which raise the exceptions of ``errors``; one class for each kind of call."""

import re
from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any, Generic, TypeAlias, TypeVar, cast

import grpc
from google.protobuf.message import Message

from redemption.client.errors import call_failed

Request = TypeVar("Request")
Response = TypeVar("Response")
_HEADER = re.compile("[a-z0-9_.-]+")
Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]
"""Headers of a call; the name of a binary one ends with ``-bin``."""


class _CallOf(Generic[Request, Response]):
    """What all kinds of calls have in common."""

    def __init__(self, call: Any, request_type: type[Message]) -> None:  # noqa: ANN401 - gRPC's calls have no types
        self._call = call
        self._request_type = request_type

    def _start(self, request: Request, timeout: float | None, metadata: Metadata | None) -> Any:  # noqa: ANN401
        if not isinstance(request, self._request_type):
            raise TypeError(f"this call takes a {self._request_type.__name__}, not a {type(request).__name__}")
        for name, value in metadata or ():
            if not _HEADER.fullmatch(name) or isinstance(value, bytes) != name.endswith("-bin"):
                raise ValueError(f"metadata has the header {name!r}: use a-z, 0-9 and -_. ; bytes only with -bin")
        return self._call(request, timeout=timeout, metadata=metadata)


class Call(_CallOf[Request, Response]):
    """A blocking call."""

    def __call__(self, request: Request, *, timeout: float | None = None, metadata: Metadata | None = None) -> Response:
        """Send the request, and return the answer.

        Args:
            request: The request.
            timeout: The deadline in seconds, retries included; None means the channel's.
            metadata: Headers for the server.

        Raises:
            CallFailed: There was no answer; one of its three subclasses says what to do.
        """
        try:
            return cast("Response", self._start(request, timeout, metadata))
        except grpc.RpcError as error:
            raise call_failed(error) from error


class StreamCall(_CallOf[Request, Response]):
    """A blocking call that answers with several messages."""

    def __call__(
        self, request: Request, *, timeout: float | None = None, metadata: Metadata | None = None
    ) -> Generator[Response, None, None]:
        """Send the request at the first iteration, and yield the messages; closing the iterator cancels the call.

        Args:
            request: The request.
            timeout: The deadline of the whole stream in seconds; None means ten minutes.
            metadata: Headers for the server.

        Raises:
            CallFailed: While iterating: the stream broke, and there may be more messages.
        """
        stream = self._start(request, timeout, metadata)
        try:
            yield from stream
        except grpc.RpcError as error:
            raise call_failed(error) from error
        finally:
            stream.cancel()


class AsyncCall(_CallOf[Request, Response]):
    """A call with asyncio."""

    async def __call__(
        self,
        request: Request,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - gRPC tells the server the deadline
        metadata: Metadata | None = None,
    ) -> Response:
        """Send the request, and return the answer. When the task is cancelled, the call is too.

        Args:
            request: The request.
            timeout: The deadline in seconds, retries included; None means the channel's.
            metadata: Headers for the server.

        Raises:
            CallFailed: There was no answer; one of its three subclasses says what to do.
        """
        try:
            return cast("Response", await self._start(request, timeout, metadata))
        except grpc.RpcError as error:
            raise call_failed(error) from error


class AsyncStreamCall(_CallOf[Request, Response]):
    """A call with asyncio that answers with several messages."""

    async def __call__(
        self,
        request: Request,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - gRPC tells the server the deadline
        metadata: Metadata | None = None,
    ) -> AsyncGenerator[Response, None]:
        """Send the request at the first iteration, and yield the messages; closing the iterator cancels the call.

        Args:
            request: The request.
            timeout: The deadline of the whole stream in seconds; None means ten minutes.
            metadata: Headers for the server.

        Raises:
            CallFailed: While iterating: the stream broke, and there may be more messages.
        """
        stream = self._start(request, timeout, metadata)
        try:
            async for message in stream:
                yield message
        except grpc.RpcError as error:
            raise call_failed(error) from error
        finally:
            stream.cancel()
