"""One call, from its headers to the end of its work; and what all calls of a listener share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Protocol

from redemption.domain.call_info import CallInfo
from redemption.rpc.transport.bounds import Bounds, Usage
from redemption.rpc.transport.methods import Method, Outcome, Status
from redemption.rpc.transport.turn import Turn
from redemption.rpc.transport.work_queue import WorkQueue

if TYPE_CHECKING:
    from redemption.rpc.transport.grpc_call import DialogReader, MessageReader
    from redemption.rpc.transport.http2 import Headers


@dataclass(slots=True, kw_only=True, eq=False)
class Shared:
    """What all connections of a listener share.

    Attributes:
        methods: The path and the method for each ``:path``.
        inform: Makes what a handler is told, of path, peer, the seconds that the caller gives, and the time.
        turn: Who has to read and to write in this turn of the event loop.
        work: What begins the work on calls.
        under_way: The calls that were handed on and whose handlers are at work.
    """

    methods: dict[bytes, tuple[str, Method]]
    inform: Callable[[str, str, float | None, float], CallInfo]
    bounds: Bounds
    usage: Usage
    loop: asyncio.AbstractEventLoop
    turn: Turn
    work: WorkQueue
    under_way: "set[GrpcCall]" = field(default_factory=set)


class Ends(Protocol):
    """The connection of a call, which begins its work and ends it."""

    def begin(self, call: "GrpcCall") -> None:
        """Begin the work on it, in a task of its own."""

    def finish(self, call: "GrpcCall", outcome: Outcome) -> None:
        """End it for its handler, and for its caller unless that is done."""

    def leave_short_line(self, call: "GrpcCall") -> None:
        """Do not count it among the short calls any longer."""

    def give_up(self, call: "GrpcCall", status: Status) -> None:
        """End it for its caller before its handler does."""


class GrpcCall:
    """One call.

    It ends twice: for its caller, with a status or because the caller left; and for its handler, which may still be at
    work then. Its place among the calls, and the bytes of its request, are given back by the later of the two.

    Attributes:
        began: When its headers came, in the event loop's time.
        expires: When its caller gives up; infinite when it named no time.
        received: Its caller has said all.
        ended: Its caller has a status, or is gone.
        begun: The headers of its answer were sent: messages follow.
        held_bytes: What is held of its request.
        refusal: A refusal that is decided and not sent: it goes out when the first data come.
        dropped_bytes: What its caller said since it was answered.
        reset_at: When its caller, who was answered, may say no more.
        request: Its message, once it is complete.
        info: What its handler is told.
        task: What works on it, if that is a task of its own.
        counts: How many of the calls at once it is: a watch is none.
        body_bytes: Bytes of its messages that were sent or wait.
        window_bytes: By how much its caller has widened its window.
        taken_bytes: What its caller had taken of its messages when that was last more than before.
        taken_together: What its caller had taken of all calls of the connection at that time.
        taken: That time; None when nothing waits, infinite when what waits was given up.
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

    # Set once its headers were understood, and once it is handed on.
    path: str
    method: Method
    compressed: bool
    info: CallInfo

    def __init__(self, streams: Ends, stream_id: int, began: float, *, received: bool) -> None:
        """Begin a call whose headers came."""
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

    def answer(self, outcome: Outcome) -> None:
        """End the call for its handler, and for its caller unless that is done."""
        self._streams.finish(self, outcome)

    def leave_short_line(self) -> None:
        """Do not count among the short calls any longer."""
        self._streams.leave_short_line(self)

    def begin(self) -> None:
        """Begin the work on the call, in a task of its own."""
        self._streams.begin(self)

    def give_up(self, status: Status) -> None:
        """End the call for its caller before its handler does, which is told that nobody waits."""
        self._streams.give_up(self, status)
