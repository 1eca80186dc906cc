"""Which method is which handler: what every transport serves, as raw bytes in and raw bytes out."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from redemption.domain.call_info import CallInfo


@dataclass(frozen=True, slots=True)
class Status:
    """How a call ended when it did not end well.

    Attributes:
        code: A ``google.rpc.Code``.
        message: For people.
        details: A serialized ``google.rpc.Status``, for programs; may be empty.
        final: The caller's library shall not send the call again by itself.
    """

    code: int
    message: str
    details: bytes = b""
    final: bool = False


Outcome: TypeAlias = bytes | Status
"""What becomes of a call: the message that answers it, or how it failed."""


class Call(Protocol):
    """A call whose request is complete."""

    @property
    def request(self) -> bytes:
        """The request's message."""

    @property
    def info(self) -> CallInfo:
        """Who calls, and until when an answer is of use."""

    def leave_short_line(self) -> None:
        """Do not count among the short calls any longer: it waits for others of its kind."""

    def answer(self, outcome: Outcome) -> None:
        """End the call. To be done once, also when the caller is gone: it gives back the call's place."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnaryMethod:
    """Answers a message with a message, each call in a task of its own.

    Attributes:
        request_bytes_max: A longer request is refused before it is read.
        answer: It is cancelled when nobody waits for the answer any more.
    """

    request_bytes_max: int
    answer: Callable[[bytes, CallInfo], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GatheredMethod:
    """Answers a message with a message, all calls of one turn of the event loop together.

    Attributes:
        request_bytes_max: A longer request is refused before it is read.
        begin: Begins the work on calls, and sees to it that each is answered once, now or later; not a coroutine.
    """

    request_bytes_max: int
    begin: Callable[[Sequence[Call]], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImmediateMethod:
    """Answers a message with a message at once, before all other work; it must not take long.

    Attributes:
        request_bytes_max: A longer request is refused before it is read.
        answer: Not a coroutine.
    """

    request_bytes_max: int
    answer: Callable[[bytes, CallInfo], Outcome]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamMethod:
    """Answers a message with many messages.

    Attributes:
        request_bytes_max: A longer request is refused before it is read.
        answer: Is asked for the next message when the one before was taken; a ``Status`` is the last thing that it
            gives. It is closed when nobody reads any more.
        watch: It lasts as long as its caller likes, and is no call that a server counts or waits for.
    """

    request_bytes_max: int
    answer: Callable[[bytes, CallInfo], AsyncGenerator[Outcome, None]]
    watch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DialogMethod:
    """Answers each of many messages with a message, at once; it must not take long.

    Attributes:
        request_bytes_max: All messages of a call together; a longer call is refused.
        answer: Not a coroutine.
    """

    request_bytes_max: int
    answer: Callable[[bytes], bytes]


Method: TypeAlias = UnaryMethod | GatheredMethod | ImmediateMethod | StreamMethod | DialogMethod
Methods: TypeAlias = Mapping[str, Method]
"""By path, for example ``/redemption.v1.RedemptionService/Redeem``."""
