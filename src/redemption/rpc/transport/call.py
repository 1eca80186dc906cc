"""One call, from its headers to the end of its work; and what all calls of a listener share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Protocol

from redemption.domain.call_info import CallInfo
from redemption.rpc.transport.bounds import Bounds, Usage
from redemption.rpc.transport.methods import CallResult, Method, Status
from redemption.rpc.transport.turn import Turn
from redemption.rpc.transport.work_queue import WorkQueue

if TYPE_CHECKING:
    from redemption.rpc.transport.grpc_call import DialogReader, MessageReader
    from redemption.rpc.transport.http2 import Headers


@dataclass(slots=True, kw_only=True, eq=False)
class ListenerState:
    """What all connections of a listener share.

    Attributes:
        methods: The path and the method for each ``:path``.
        make_info: Makes the ``CallInfo`` of a call, from its path, its peer, the seconds to its deadline, and the time.
        turn: The connections that have to read and to write in this turn of the event loop.
        work: The queue of the calls whose work is to begin.
        under_way: The calls that wait in the queue, or whose handlers are at work.
    """

    methods: dict[bytes, tuple[str, Method]]
    make_info: Callable[[str, str, float | None, float], CallInfo]
    bounds: Bounds
    usage: Usage
    loop: asyncio.AbstractEventLoop
    turn: Turn
    work: WorkQueue
    under_way: "set[GrpcCall]" = field(default_factory=set)


class CallOwner(Protocol):
    """The connection of a call, which begins its work and ends it."""

    def begin(self, call: "GrpcCall") -> None:
        """Begin the work on the call, in a task of its own."""

    def finish(self, call: "GrpcCall", result: CallResult) -> None:
        """End the call for its handler, and for its caller if it has not ended for the caller yet."""

    def leave_short_line(self, call: "GrpcCall") -> None:
        """Stop counting the call as a short one."""

    def give_up(self, call: "GrpcCall", status: Status) -> None:
        """End the call for its caller before its handler has ended."""


class GrpcCall:
    """One call.

    A call ends twice: for its caller, when the caller gets a status or leaves; and for its handler, which may still be
    at work then. The later of the two ends frees its place among the calls and the bytes of its request.

    Attributes:
        began: When its headers came, in the event loop's time.
        expires: The deadline that its caller set; infinite when it set none.
        received: The whole request has come.
        ended: The caller has its status, or is gone.
        begun: The headers of the answer were sent, and messages follow.
        held_bytes: Bytes of its request that are in memory.
        refusal: A refusal that is decided but not sent yet: it is sent when the first data come.
        dropped_bytes: Bytes of its request that came after it was answered.
        reset_at: When to reset its stream, if it was answered before the whole request came.
        request: The message of the request, once it is complete.
        info: The ``CallInfo`` of its handler.
        task: The task that works on it, if it has one of its own.
        counts: By how much it raises the number of calls at work: 1, but 0 for a watch.
        body_bytes: Bytes of its messages, sent or waiting to be sent.
        window_bytes: By how many bytes its caller has enlarged the window of its stream.
        taken_bytes: Bytes of its messages that its caller had taken when progress was last seen.
        taken_together: Bytes that its caller had taken of all calls of the connection at that time.
        taken: That time; None when nothing waits, infinite when the stream was reset.
    """

    __slots__ = (
        "_streams",
        "began",
        "begun",
        "body_bytes",
        "compressed",
        "counts",
        "dialog",
        "dropped_bytes",
        "ended",
        "expires",
        "held_bytes",
        "info",
        "method",
        "path",
        "reader",
        "received",
        "refusal",
        "request",
        "reset_at",
        "stream_id",
        "taken",
        "taken_bytes",
        "taken_together",
        "task",
        "window_bytes",
    )

    # ``path``, ``method`` and ``compressed`` are set when its headers were read, ``info`` when the request is complete.
    path: str
    method: Method
    compressed: bool
    info: CallInfo

    def __init__(self, streams: CallOwner, stream_id: int, began: float, *, received: bool) -> None:
        """Begin a call whose headers have come."""
        self._streams = streams
        self.stream_id = stream_id
        self.began = began
        self.received = received
        self.expires = self.reset_at = inf
        self.ended = self.begun = False
        self.held_bytes = 0
        self.counts = 0
        self.body_bytes = self.window_bytes = self.taken_bytes = self.taken_together = self.dropped_bytes = 0
        self.taken: float | None = None
        self.refusal: Headers | None = None
        self.reader: MessageReader | None = None
        self.dialog: DialogReader | None = None
        self.request = b""
        self.task: asyncio.Task[None] | None = None

    def answer(self, result: CallResult) -> None:
        """End the call for its handler, and for its caller if it has not ended for the caller yet."""
        self._streams.finish(self, result)

    def leave_short_line(self) -> None:
        """Stop counting this call as a short one."""
        self._streams.leave_short_line(self)

    def begin(self) -> None:
        """Begin the work on the call, in a task of its own."""
        self._streams.begin(self)

    def give_up(self, status: Status) -> None:
        """End the call for its caller, and signal its handler that nobody waits for the answer."""
        self._streams.give_up(self, status)
