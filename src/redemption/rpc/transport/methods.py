"""The kinds of methods that every transport serves. They take and return raw bytes."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, final

from redemption.domain.call_info import CallInfo


@dataclass(frozen=True, slots=True)
class Status:
    """How a failed call ended.

    Attributes:
        code: A ``google.rpc.Code``.
        message: For people.
        details: A serialized ``google.rpc.Status``, for programs; may be empty.
        final: The caller's gRPC library must not retry the call.
        wait_ms: How long the caller's gRPC library waits before it retries the call; 0 leaves it to the library.
    """

    code: int
    message: str
    details: bytes = b""
    final: bool = False
    wait_ms: int = 0

    @property
    def pushback_ms(self) -> int:
        """The value of gRPC's trailer ``grpc-retry-pushback-ms``: -1 forbids a retry. 0 means no trailer."""
        return -1 if self.final else self.wait_ms


CallResult: TypeAlias = bytes | Status
"""The end of a call: the message that answers it, or how it failed."""


class Call(Protocol):
    """A call whose request is complete."""

    @property
    def request(self) -> bytes:
        """The request's message."""

    @property
    def info(self) -> CallInfo:
        """Who calls, and the deadline of the answer."""

    def leave_short_line(self) -> None:
        """Stop counting this call as a short one: it waits for a slot."""

    def answer(self, result: CallResult) -> None:
        """End the call. Must be called once, even if the caller is gone: it frees the call's place."""


Gate: TypeAlias = Callable[[CallInfo], Status | None]
"""Returns why a call is refused before anything is done for it, or None. It must not take long."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnaryMethod:
    """Answers one message with one message, each call in a task of its own.

    Attributes:
        request_bytes_max: A longer request is refused before it is read.
        answer: The handler. It is cancelled when nobody waits for the answer any more.
        gate: Refuses a call before it waits for its work to begin; None lets all pass.
    """

    request_bytes_max: int
    answer: Callable[[bytes, CallInfo], Awaitable[CallResult]]
    gate: Gate | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GatheredMethod:
    """Answers one message with one message, all calls of one turn of the event loop together.

    Attributes:
        request_bytes_max: A longer request is refused before it is read.
        begin: The handler. It must answer each call once, now or later; not a coroutine.
        gate: Refuses a call before it waits for its work to begin; None lets all pass.
    """

    request_bytes_max: int
    begin: Callable[[Sequence[Call]], None]
    gate: Gate | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImmediateMethod:
    """Answers one message with one message at once, before all other work; it must not take long.

    Attributes:
        request_bytes_max: A longer request is refused before it is read.
        answer: The handler; not a coroutine.
    """

    request_bytes_max: int
    answer: Callable[[bytes, CallInfo], CallResult]


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamMethod:
    """Answers one message with many messages.

    Attributes:
        request_bytes_max: A longer request is refused before it is read.
        answer: The handler. It makes a message when the one before was taken. A ``Status`` is the last thing it yields.
            It is closed when nobody reads any more.
        watch: The call lasts until its caller ends it. It is not counted as a call at work, and a stop does not wait
            for it.
        gate: Refuses a call before it waits for its work to begin, unless it is a watch; None lets all pass.
    """

    request_bytes_max: int
    answer: Callable[[bytes, CallInfo], AsyncGenerator[CallResult, None]]
    watch: bool = False
    gate: Gate | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DialogMethod:
    """Answers each of many messages with one message, at once; it must not take long.

    Attributes:
        request_bytes_max: The limit of all messages of a call together; a longer call is refused.
        answer: The handler; not a coroutine.
    """

    request_bytes_max: int
    answer: Callable[[bytes], bytes]


Method: TypeAlias = UnaryMethod | GatheredMethod | ImmediateMethod | StreamMethod | DialogMethod
Methods: TypeAlias = Mapping[str, Method]
"""Methods by path, for example ``/redemption.v1.RedemptionService/Redeem``."""
