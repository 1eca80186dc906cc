"""The one wall around all handlers: it parses and writes messages, bounds streams, and lets no exception's text out.

What goes in is a method of the contract; what comes out is a method of raw bytes, for any transport.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import structlog
from google.protobuf.message import DecodeError, Message

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import DeadlinePassed, InvalidRequest, NotBuilt, Overloaded, ServiceError, Violation
from redemption.rpc.request_limits import MESSAGE_BYTES_MAX
from redemption.rpc.status import Stopping, internal_status, status_of
from redemption.rpc.transport.methods import (
    Call,
    GatheredMethod,
    ImmediateMethod,
    Method,
    Outcome,
    Status,
    StreamMethod,
    UnaryMethod,
)
from redemption.scheduling.concurrency_limit import ConcurrencyLimit
from redemption.scheduling.work_bounds import STREAMS_PER_PEER_MAX, WorkBounds

STREAM_SECONDS_MAX = 600.0

_STOPPED = Stopping("the server stopped before it could answer; ask again with the same request id")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Unary:
    """A method that answers a message with a message.

    Attributes:
        request: What is received.
        answer: What answers it.
        request_bytes_max: A longer request is refused before it is read.
        read: Parses a request that is longer than ``parsed_bytes_max``, while others work in between.
        parsed_bytes_max: What is parsed in one go.
    """

    request: type[Message]
    answer: Callable[[Any, CallInfo], Awaitable[Message]]
    request_bytes_max: int
    read: Callable[[bytes, CallInfo], Awaitable[Message]] | None = None
    parsed_bytes_max: int = 0


@dataclass(frozen=True, slots=True)
class Gathered:
    """A method that answers a message with a message, for all calls of a turn of the event loop in one go.

    Attributes:
        request: What is received.
        begin: Sees to it that each of the calls is answered, now or later; not a coroutine.
        request_bytes_max: A longer request is refused before it is read.
    """

    request: type[Message]
    begin: Callable[[Sequence["PendingCall"]], None]
    request_bytes_max: int


@dataclass(frozen=True, slots=True)
class ServerStream:
    """A method that answers a message with many.

    Attributes:
        request: What is received.
        answer: What answers it.
        request_bytes_max: A longer request is refused before it is read.
    """

    request: type[Message]
    answer: Callable[[Any, CallInfo], AsyncGenerator[Message, None]]
    request_bytes_max: int


@dataclass(slots=True, eq=False)
class PendingCall:
    """One call of a gathered method.

    Attributes:
        request: What is asked.
        answered: Nothing is left to be said.
    """

    request: Any
    _call: Call
    _fail: Callable[[BaseException], Status]
    answered: bool = False

    @property
    def info(self) -> CallInfo:
        """Who calls, and until when an answer is of use."""
        return self._call.info

    def leave_short_line(self) -> None:
        """Do not count among the short calls any longer: it waits for others of its kind."""
        self._call.leave_short_line()

    def answer(self, response: Message) -> None:
        """Answer the call."""
        if not self.answered:
            raw = response.SerializeToString()  # first: a defect here is still to be told
            self.answered = True
            self._call.answer(raw)

    def fail(self, error: BaseException) -> None:
        """End the call with a failure."""
        if not self.answered:
            status = self._fail(error)
            self.answered = True
            self._call.answer(status)


class Guard:
    """Makes methods of raw bytes."""

    def __init__(self, bounds: WorkBounds) -> None:
        self._streams = ConcurrencyLimit(bounds.streams_max, STREAMS_PER_PEER_MAX)
        # Written down once: when there is too much to do, saying so must cost next to nothing.
        self._too_many_streams = status_of(Overloaded("the server has too many streams at once; try again"))
        self._too_many_streams_here = status_of(
            Overloaded("this connection has too many streams at once; end one, or open another connection")
        )

    def unary(self, name: str, method: Unary) -> Method:
        """Return what a transport serves.

        Args:
            name: The method, for the log.
            method: What answers it.
        """
        parse, answer, read = method.request.FromString, method.answer, method.read

        async def handle(raw: bytes, info: CallInfo) -> Outcome:
            try:
                if read is None or len(raw) <= method.parsed_bytes_max:
                    request = parse(raw)
                else:
                    request = await read(raw, info)
                response = await answer(request, info)
                return response.SerializeToString()
            except BaseException as error:  # noqa: BLE001 - the wall itself; what is not ours is raised again
                return _failed(name, method.request, error)

        return UnaryMethod(request_bytes_max=method.request_bytes_max, answer=handle)

    def gathered(self, name: str, method: Gathered) -> Method:
        """Return what a transport serves, for calls that are answered together."""
        parse, begin = method.request.FromString, method.begin

        def failed(error: BaseException) -> Status:
            return _failed(name, method.request, error)

        def handle(calls: Sequence[Call]) -> None:
            asked: list[PendingCall] = []
            for call in calls:
                try:
                    asked.append(PendingCall(parse(call.request), call, failed))
                except DecodeError as error:
                    call.answer(failed(error))
            try:
                begin(asked)
            except BaseException as error:
                stops = _is_of_the_process(error)
                for left in asked:
                    left.fail(_STOPPED if stops else error)
                if stops:
                    raise

        return GatheredMethod(request_bytes_max=method.request_bytes_max, begin=handle)

    def server_stream(self, name: str, method: ServerStream) -> Method:
        """Return what a transport serves, for a method that answers with many messages."""
        parse, answer = method.request.FromString, method.answer

        async def handle(raw: bytes, info: CallInfo) -> AsyncGenerator[Outcome, None]:
            if self._streams.is_full_for(info.peer):
                yield self._too_many_streams_here
                return
            if self._streams.is_full:
                yield self._too_many_streams
                return
            failure: BaseException | None = None
            ends = asyncio.get_running_loop().time() + STREAM_SECONDS_MAX
            with self._streams.take(info.peer):
                try:
                    async with aclosing(answer(parse(raw), info)) as messages:
                        async for message in messages:
                            yield message.SerializeToString()
                            if asyncio.get_running_loop().time() >= ends:
                                too_long = f"the stream took {STREAM_SECONDS_MAX:.0f} s; ask for the rest"
                                failure = DeadlinePassed(too_long)
                                break
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - the wall itself; what is not ours is raised again
                    failure = error
            if failure is not None:
                yield _failed(name, method.request, failure)

        return StreamMethod(request_bytes_max=method.request_bytes_max, answer=handle)

    def not_built(self, name: str) -> Method:
        """Return what a transport serves for a method that the contract has and this version does not."""
        status = status_of(NotBuilt(f"{name} is part of the contract, but not of this version of the server"))

        def handle(_: bytes, __: CallInfo) -> Outcome:
            return status

        return ImmediateMethod(request_bytes_max=MESSAGE_BYTES_MAX, answer=handle)


def _failed(name: str, request: type[Message], error: BaseException) -> Status:
    """Return what a caller is told about a failure; what is no failure of the call is raised again."""
    if isinstance(error, ServiceError):
        status = status_of(error)
    elif isinstance(error, DecodeError):
        problem = f"is not a {request.DESCRIPTOR.full_name}: its bytes cannot be parsed"
        status = status_of(InvalidRequest([Violation("request", problem)]))
    elif _is_of_the_process(error):
        raise error
    else:
        # A CancelledError that nobody asked for is one of these: passed on, it would end the call without a status.
        correlation_id = secrets.token_hex(8)
        _log.error("a call failed", method=name, correlation_id=correlation_id, exc_info=error)
        status = internal_status(correlation_id)
    # The frames of the error hold the whole request.
    error.__traceback__ = None
    return status


def _is_of_the_process(error: BaseException) -> bool:
    """Whether an exception means that nobody waits for an answer, or that the process is going down."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0  # this very task, rather than what it waited for
    return isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit))
