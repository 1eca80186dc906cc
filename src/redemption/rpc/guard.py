"""The one wall around all handlers: it parses and writes messages, counts calls, and lets no exception's text out.

It is a wrapper around each handler rather than an interceptor, because an interceptor costs every call a coroutine
more. Handlers are registered without (de)serializers, so that a message that cannot be parsed meets this wall too.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from redemption.domain.errors import DeadlinePassed, InvalidRequest, NotBuilt, Overloaded, ServiceError, Violation
from redemption.rpc.call import CallContext
from redemption.rpc.status import Stopping, internal_status, status_of

Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]
# In quotes, because grpcio's class is generic for type checkers only.
Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"

BYTES_MAX = 128 * 2**20
"""Bytes of the requests that are being answered; more are turned away, before they are parsed into much more."""
STREAMS_MAX = 64
"""Streams at once, apart from all other calls."""
STREAM_REQUEST_BYTES_MAX = 64 * 1024
STREAM_SECONDS_MAX = 600.0
WRITE_SECONDS_MAX = 30.0
"""How long one message of a stream may wait for a caller who does not read."""
CLOSING_SECONDS_MIN, CLOSING_SECONDS_MAX = 0.2, 1.0
CLOSING_STEP_SECONDS = 0.02
CLOSING_STEP_CALLS = 20
"""When no more than this come in a step, hardly any wait: gRPC hands over one in each turn of the event loop."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Unary:
    """A method that answers a message with a message."""

    request: type[Message]
    answer: Callable[[Any, CallContext], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class ServerStream:
    """A method that answers a message with many."""

    request: type[Message]
    answer: Callable[[Any, CallContext], AsyncGenerator[Message, None]]


class Guard:
    """Runs handlers, at most ``calls_max`` at a time."""

    def __init__(self, calls_max: int) -> None:
        self._calls_max = calls_max
        self._calls: set[asyncio.Task[Any]] = set()
        self._bytes = 0
        self._streams = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._cut = False
        # Written down once: when there is too much to do, saying so must cost next to nothing.
        self._refusal = status_of(Overloaded("the server has too many calls at once; nothing was done, try again"))
        self._refused = 0

    @property
    def calls(self) -> int:
        """How many calls are running."""
        return len(self._calls)

    def unary(self, name: str, method: Unary) -> Handler:
        """Return what gRPC calls for a method.

        Args:
            name: The method, for the log.
            method: What answers it.
        """
        parse, answer = method.request.FromString, method.answer

        async def handle(raw: bytes, context: Context) -> bytes:
            task = self._enter(len(raw))
            if task is None:
                return await context.abort_with_status(self._refusal)
            try:
                response = await answer(parse(raw), context)
                return response.SerializeToString()
            except BaseException as error:  # noqa: BLE001 - the wall itself; what is not ours is raised again
                await self._fail(name, method.request, error, context)
            finally:
                self._leave(task, len(raw))
                del raw  # gRPC keeps an aborted call's frames until the collector comes by

        return grpc.unary_unary_rpc_method_handler(handle)

    def server_stream(self, name: str, method: ServerStream) -> Handler:
        """Return what gRPC calls for a method that answers with many messages."""
        parse, answer = method.request.FromString, method.answer

        async def handle(raw: bytes, context: Context) -> None:
            task = self._enter(0) if self._streams < STREAMS_MAX and len(raw) <= STREAM_REQUEST_BYTES_MAX else None
            if task is None:
                await context.abort_with_status(self._refusal)
            self._streams += 1
            failure: BaseException | None = None
            bound = asyncio.timeout(STREAM_SECONDS_MAX)
            try:
                async with bound, aclosing(answer(parse(raw), context)) as messages:
                    async for message in messages:
                        await _write(message, context)
            except TimeoutError as error:
                late = DeadlinePassed(f"the stream took longer than {STREAM_SECONDS_MAX:.0f} s; ask for the rest")
                failure = late if bound.expired() else error
            except BaseException as error:  # noqa: BLE001 - the wall itself; what is not ours is raised again
                failure = error
            finally:
                # Before anything is said: the word may wait behind what the caller does not read.
                self._streams -= 1
                self._leave(task, 0)
            if failure is not None:
                await self._fail(name, method.request, failure, context)

        # With (de)serializers left out, gRPC takes and gives bytes; the coroutine writes by itself.
        return grpc.unary_stream_rpc_method_handler(handle)

    def not_built(self, name: str) -> Handler:
        """Return what gRPC calls for a method that the contract has and this version does not."""
        status = status_of(NotBuilt(f"{name} is part of the contract, but not of this version of the server"))

        async def handle(_: bytes, context: Context) -> bytes:
            return await context.abort_with_status(status)

        return grpc.unary_unary_rpc_method_handler(handle)

    async def close(self) -> None:
        """Take no new calls, and go on turning them away until hardly any come.

        gRPC, when it stops, cancels the calls that it has not handed over yet, without a word; this tells their callers
        that nothing was done. Nothing but a stop sends callers to another server, so it does not last long.
        """
        self._calls_max = 0
        self._refusal = status_of(Stopping("the server is stopping; nothing was done, ask again"))
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < CLOSING_SECONDS_MAX:
            seen = self._refused
            await asyncio.sleep(CLOSING_STEP_SECONDS)
            if elapsed >= CLOSING_SECONDS_MIN and self._refused - seen <= CLOSING_STEP_CALLS:
                break

    async def idle(self) -> None:
        """Wait until no call is running."""
        await self._idle.wait()

    async def finish(self, seconds: float) -> int:
        """Wait for the calls that are running, then cut off the rest, and return how many those were."""
        try:
            async with asyncio.timeout(seconds):
                await self.idle()
        except TimeoutError:
            self._cut = True
            late = list(self._calls)
            for task in late:
                task.cancel()
            return len(late)
        return 0

    def _enter(self, size: int) -> asyncio.Task[Any] | None:
        """Count a call in, or return None when there are too many, or too large ones together."""
        calls = self._calls
        if len(calls) >= self._calls_max or self._bytes + size > BYTES_MAX:
            self._refused += 1
            return None
        self._bytes += size
        task = asyncio.current_task()
        assert task is not None, "gRPC runs handlers in tasks"
        if not calls:
            self._idle.clear()
        calls.add(task)
        return task

    def _leave(self, task: asyncio.Task[Any], size: int) -> None:
        calls = self._calls
        self._bytes -= size
        calls.discard(task)
        if not calls:
            self._idle.set()

    async def _fail(self, name: str, request: type[Message], error: BaseException, context: Context) -> NoReturn:
        """Tell the caller about a failure."""
        if isinstance(error, ServiceError):
            status = status_of(error)
        elif isinstance(error, DecodeError):
            problem = f"is not a {request.DESCRIPTOR.full_name}: its bytes cannot be parsed"
            status = status_of(InvalidRequest([Violation("request", problem)]))
        elif isinstance(error, asyncio.CancelledError) and _cancelled():
            if not self._cut:
                raise error  # the caller is gone: nobody reads an answer
            status = status_of(
                Stopping("the server stopped before it could answer; ask again with the same request id")
            )
        elif isinstance(error, (grpc.aio.BaseError, KeyboardInterrupt, SystemExit, GeneratorExit)):
            raise error  # the transport's own, or the process is going down
        else:
            # A CancelledError that nobody asked for is one of these: passed on, it would leave the caller waiting
            # until its deadline (grpc/grpc#29248).
            correlation_id = secrets.token_hex(8)
            _log.error("a call failed", method=name, correlation_id=correlation_id, exc_info=error)
            status = internal_status(correlation_id)
        # The frames of the error hold the whole request, and gRPC holds the error.
        error.__traceback__ = None
        await context.abort_with_status(status)


async def _write(message: Message, context: Context) -> None:
    """Send a message of a stream; one that nobody reads does not hold its place for ever."""
    try:
        async with asyncio.timeout(WRITE_SECONDS_MAX):
            await context.write(message.SerializeToString())
    except TimeoutError as error:
        raise DeadlinePassed(
            f"the answer was not read for {WRITE_SECONDS_MAX:.0f} s; ask again for the rest"
        ) from error


def _cancelled() -> bool:
    """Tell whether this very call was cancelled, rather than something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
