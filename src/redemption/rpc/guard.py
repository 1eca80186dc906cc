"""The wrapper of all handlers: it parses and writes messages, limits streams, and turns exceptions into statuses.

Where there are quotas, it counts calls right after they are parsed. The text of an unexpected exception is only
logged; no caller sees it. The guard takes a method of the contract and returns a method of raw bytes, which any
transport can serve.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from google.protobuf.message import DecodeError, Message

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import DeadlinePassed, InvalidRequest, Overloaded, ServiceError, Violation
from redemption.rpc.quotas import MethodQuota, Quotas
from redemption.rpc.status import Stopping, internal_status, status_of
from redemption.rpc.transport.methods import (
    Call,
    CallResult,
    Gate,
    GatheredMethod,
    Method,
    Status,
    StreamMethod,
    UnaryMethod,
)
from redemption.scheduling.concurrency_limit import ConcurrencyLimit
from redemption.scheduling.work_bounds import STREAMS_PER_PEER_MAX, WorkBounds

STREAM_SECONDS_MAX = 600.0
UNCOUNTED_BYTES_MAX = 16 * 1024
"""Parsing a message of this size takes 0.4 ms at most, whatever is in it: less than to count a large one."""

_STOPPED = Stopping("the server stopped before it could answer; ask again with the same request id")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Unary:
    """A method that answers one message with one message.

    Attributes:
        request: The type of the request.
        answer: The handler.
        request_bytes_max: A longer request is refused before it is parsed.
        read: Parses a request that is longer than ``parsed_bytes_max``, in steps, so that others work in between.
        parsed_bytes_max: The longest request that is parsed in one step.
        count: Refuses the bytes of a request above ``UNCOUNTED_BYTES_MAX`` that has too many entries, before it is
            parsed.
    """

    request: type[Message]
    answer: Callable[[Any, CallInfo], Awaitable[Message]]
    request_bytes_max: int
    read: Callable[[bytes, CallInfo], Awaitable[Message]] | None = None
    parsed_bytes_max: int = 0
    count: Callable[[bytes], None] | None = None


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A method that answers one message with one message, and parses the request itself, when it has a slot for it.

    So at most as many requests are in memory as parsed messages as there are slots. They can take fifty times the
    memory of their bytes.

    Attributes:
        request: The type of the request.
        answer: The handler; it gets the bytes of the request, and what parses them. This may raise: then the call is
            refused, and the handler lets the exception pass.
        request_bytes_max: A longer request is refused before it is parsed.
    """

    request: type[Message]
    answer: Callable[[bytes, CallInfo, Callable[[bytes], Any]], Awaitable[Message]]
    request_bytes_max: int


@dataclass(frozen=True, slots=True)
class Gathered:
    """A method that answers one message with one message, and gets all calls of a turn of the event loop together.

    Attributes:
        request: The type of the request.
        begin: The handler. It must answer each of the calls, now or later; not a coroutine.
        request_bytes_max: A longer request is refused before it is parsed.
        count: Refuses the bytes of a request above ``UNCOUNTED_BYTES_MAX`` that has too many entries, before it is
            parsed.
    """

    request: type[Message]
    begin: Callable[[Sequence["PendingCall"]], None]
    request_bytes_max: int
    count: Callable[[bytes], None] | None = None


@dataclass(frozen=True, slots=True)
class ServerStream:
    """A method that answers one message with many.

    Attributes:
        request: The type of the request.
        answer: The handler.
        request_bytes_max: A longer request is refused before it is parsed.
    """

    request: type[Message]
    answer: Callable[[Any, CallInfo], AsyncGenerator[Message, None]]
    request_bytes_max: int


@dataclass(slots=True, eq=False)
class PendingCall:
    """One call of a gathered method.

    Attributes:
        request: The parsed request.
        answered: The call has its answer or its status.
    """

    request: Any
    _call: Call
    _fail: Callable[[BaseException], Status]
    answered: bool = False

    @property
    def info(self) -> CallInfo:
        """Who calls, and the deadline of the answer."""
        return self._call.info

    def leave_short_line(self) -> None:
        """Stop counting this call as a short one: it waits for a slot."""
        self._call.leave_short_line()

    def answer(self, response: Message) -> None:
        """Answer the call."""
        if not self.answered:
            raw = response.SerializeToString()  # before ``answered`` is set: if it raises, ``fail`` can still answer
            self.answered = True
            self._call.answer(raw)

    def fail(self, error: BaseException) -> None:
        """End the call with a failure."""
        if not self.answered:
            status = self._fail(error)
            self.answered = True
            self._call.answer(status)


class _OverQuota(Exception):
    """A request is refused after it was parsed by the handler of an ``Unparsed`` method."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status = status


class Guard:
    """Turns methods of the contract into methods of raw bytes."""

    def __init__(self, bounds: WorkBounds, quotas: Quotas | None = None) -> None:
        """Build it; ``quotas`` is None where there are none, and then costs nothing."""
        self._quotas = quotas
        self._streams = ConcurrencyLimit(bounds.streams_max, STREAMS_PER_PEER_MAX)
        # Made once: an overloaded server must refuse a call at almost no cost.
        self._too_many_streams = status_of(Overloaded("the server has too many streams at once; try again"))
        self._too_many_streams_here = status_of(
            Overloaded("this connection has too many streams at once; end one, or open another connection")
        )

    def unary(self, name: str, method: Unary) -> Method:
        """Return the method for a transport.

        Args:
            name: The name of the method, for the log.
            method: The method of the contract.
        """
        parse, answer, read, count = method.request.FromString, method.answer, method.read, method.count
        quota = self._quota_of(name, method.request)

        async def handle(raw: bytes, info: CallInfo) -> CallResult:
            try:
                if count is not None and len(raw) > UNCOUNTED_BYTES_MAX:
                    count(raw)
                if read is None or len(raw) <= method.parsed_bytes_max:
                    request = parse(raw)
                else:
                    request = await read(raw, info)
                if quota is not None and (refusal := quota.take(info, request)) is not None:
                    return refusal
                response = await answer(request, info)
                return response.SerializeToString()
            except BaseException as error:  # noqa: BLE001 - no exception may pass, see _failed
                return _failed(name, method.request, error)

        return UnaryMethod(request_bytes_max=method.request_bytes_max, answer=handle, gate=_gate_of(quota))

    def unparsed(self, name: str, method: Unparsed) -> Method:
        """Return the method for a transport, for a method that parses its requests itself."""
        parse, answer = method.request.FromString, method.answer
        quota = self._quota_of(name, method.request)

        async def handle(raw: bytes, info: CallInfo) -> CallResult:
            parse_here = parse if quota is None else partial(_parse_and_count, parse, quota, info)
            try:
                return (await answer(raw, info, parse_here)).SerializeToString()
            except _OverQuota as refused:
                return refused.status
            except BaseException as error:  # noqa: BLE001 - no exception may pass, see _failed
                return _failed(name, method.request, error)

        return UnaryMethod(request_bytes_max=method.request_bytes_max, answer=handle, gate=_gate_of(quota))

    def gathered(self, name: str, method: Gathered) -> Method:
        """Return the method for a transport, for calls that are answered together."""
        parse, begin, count = method.request.FromString, method.begin, method.count
        quota = self._quota_of(name, method.request)

        def failed(error: BaseException) -> Status:
            return _failed(name, method.request, error)

        def handle(calls: Sequence[Call]) -> None:
            pending: list[PendingCall] = []
            for call in calls:
                try:
                    if count is not None and len(call.request) > UNCOUNTED_BYTES_MAX:
                        count(call.request)
                    request = parse(call.request)
                    if quota is not None and (refusal := quota.take(call.info, request)) is not None:
                        call.answer(refusal)
                        continue
                    pending.append(PendingCall(request, call, failed))
                except (DecodeError, InvalidRequest) as error:
                    call.answer(failed(error))
            try:
                begin(pending)
            except BaseException as error:
                stops = _is_of_the_process(error)
                for unanswered in pending:
                    unanswered.fail(_STOPPED if stops else error)
                if stops:
                    raise

        return GatheredMethod(request_bytes_max=method.request_bytes_max, begin=handle, gate=_gate_of(quota))

    def server_stream(self, name: str, method: ServerStream) -> Method:
        """Return the method for a transport, for a method that answers with many messages."""
        parse, answer = method.request.FromString, method.answer
        quota = self._quota_of(name, method.request)

        async def handle(raw: bytes, info: CallInfo) -> AsyncGenerator[CallResult, None]:
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
                    request = parse(raw)
                    if quota is not None and (refusal := quota.take(info, request)) is not None:
                        yield refusal
                        return
                    async with aclosing(answer(request, info)) as messages:
                        async for message in messages:
                            yield message.SerializeToString()
                            if asyncio.get_running_loop().time() >= ends:
                                too_long = f"the stream took {STREAM_SECONDS_MAX:.0f} s; ask for the rest"
                                failure = DeadlinePassed(too_long)
                                break
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - no exception may pass, see _failed
                    failure = error
            if failure is not None:
                yield _failed(name, method.request, failure)

        return StreamMethod(request_bytes_max=method.request_bytes_max, answer=handle, gate=_gate_of(quota))

    def _quota_of(self, name: str, request: type[Message]) -> MethodQuota | None:
        return None if self._quotas is None else self._quotas.of(name, request)


def _gate_of(quota: MethodQuota | None) -> Gate | None:
    return None if quota is None else quota.gate


def _parse_and_count(parse: Callable[[bytes], Message], quota: MethodQuota, info: CallInfo, raw: bytes) -> Message:
    """Parse a request and count it.

    Raises:
        _OverQuota: It is over a quota.
    """
    request = parse(raw)
    refusal = quota.take(info, request)
    if refusal is not None:
        raise _OverQuota(refusal)
    return request


def _failed(name: str, request: type[Message], error: BaseException) -> Status:
    """Return the status of a failed call. An exception that ends the task or the process is raised again."""
    if isinstance(error, ServiceError):
        status = status_of(error)
    elif isinstance(error, DecodeError):
        problem = f"is not a {request.DESCRIPTOR.full_name}: its bytes cannot be parsed"
        status = status_of(InvalidRequest([Violation("request", problem)]))
    elif _is_of_the_process(error):
        raise error
    else:
        # Also a CancelledError when this task is not cancelled: raised again, it would end the call without a status.
        correlation_id = secrets.token_hex(8)
        _log.error("a call failed", method=name, correlation_id=correlation_id, exc_info=error)
        status = internal_status(correlation_id)
    # The frames in the traceback keep the whole request in memory.
    error.__traceback__ = None
    return status


def _is_of_the_process(error: BaseException) -> bool:
    """Whether an exception means that this task is cancelled or that the process stops."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0  # this task is cancelled, and not only what it awaited
    return isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit))
