"""The streams of one connection: their calls, and the answers to them."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from math import inf
from typing import cast

import structlog

from redemption.rpc.transport import statuses
from redemption.rpc.transport.call import GrpcCall, ListenerState
from redemption.rpc.transport.grpc_call import (
    OK_TRAILERS,
    PREFIX_BYTES,
    RESPONSE_HEADERS,
    TRAILER_BYTES_MAX,
    DialogReader,
    MessageReader,
    Rejected,
    fitting,
    framed,
    read_head,
    trailers_of,
    trailers_only,
    whole_message,
)
from redemption.rpc.transport.http2 import (
    DataReceived,
    ErrorCode,
    Headers,
    Http2Connection,
    RequestReceived,
    list_bytes,
)
from redemption.rpc.transport.methods import (
    CallResult,
    DialogMethod,
    ImmediateMethod,
    Method,
    Status,
    StreamMethod,
    UnaryMethod,
)

STREAM_WINDOW_BYTES = 65_535
"""Bytes that a caller may send on a stream before the length of the message is known and there is room for it."""
HALF_READ_SECONDS = 1.5
"""How long a caller may go on sending its request after it was answered; then its stream is reset."""
HALF_READ_MAX = 64
"""How many calls of a connection may do so; with more, the oldest are reset. They count as open streams."""
STREAM_UNSENT_BYTES = 64 * 1024
"""The next message of a stream is made when fewer bytes than this wait for the caller."""
READ_BYTES_MIN = 64 * 1024
"""A caller has to read this much of an answer, or all that waits, in ``patience_seconds``. Else it counts as not
reading: by reading a byte now and then, it could keep megabytes in memory."""
UNREAD_SECONDS_CROWDED = 5.0
"""The most of ``patience_seconds`` while over half of the room for all answers is taken."""
ANSWER_BYTES_SMALL = 64 * 1024
"""Bytes of unread answers that every connection may have, whatever the others have."""
REQUEST_BYTES_SMALL = 32 * 1024
"""Bytes of requests that every connection may have, whatever the others have: small requests always get in."""
REQUESTS_LARGE_SHARE = 0.75
"""The part of the room for requests that requests larger than a stream's window may take."""
DEADLINE_EARLY_SECONDS = 0.01
"""How much earlier than ours a caller's deadline may pass: its time began when it sent the call."""
FIELDS_USUAL = 16
"""Calls with more header fields are not refused before their headers are checked."""
TOO_MUCH_WORK = trailers_only(statuses.TOO_MUCH_WORK)
_log = structlog.get_logger(__name__)


class Streams:
    """The streams of one connection.

    Attributes:
        peer: The address of the caller, for logs.
        header_bytes_max: The longest header block that the caller accepts.
        window_bytes: The initial window of a stream, as the caller set it.
        answers: How many messages and statuses were sent.
        heads_too_large: How many calls were refused for the size of their headers, and not yet counted as misuse.
        body_bytes: Bytes of all messages that were sent.
        unsent_bytes: Those of them that wait for the caller, at the last count.
    """

    def __init__(self, http2: Http2Connection, shared: ListenerState, write_soon: Callable[[], None]) -> None:
        """Begin without streams.

        Args:
            http2: The connection.
            shared: What it shares with the other connections.
            write_soon: Called when there is something to write.
        """
        self._http2 = http2
        self._shared = shared
        self._bounds = shared.bounds
        self._usage = shared.usage
        self._now = shared.loop.time
        self._write_soon = write_soon
        self._calls: dict[int, GrpcCall] = {}
        self._half_read: dict[int, GrpcCall] = {}
        self._held_bytes = 0
        self._readers: dict[GrpcCall, asyncio.Future[None]] = {}
        self._last_stream_id = inf
        self.peer = ""
        self.header_bytes_max = TRAILER_BYTES_MAX
        self.window_bytes = STREAM_WINDOW_BYTES
        self.answers = 0
        self.heads_too_large = 0
        self.body_bytes = 0
        self.unsent_bytes = 0

    def __len__(self) -> int:
        """How many streams are open."""
        return len(self._calls)

    # What comes from the caller

    def on_request(self, event: RequestReceived) -> None:
        """Begin a call.

        A refusal because of the headers is sent when the first data have come: grpcio's asyncio client treats a status
        that comes before it has sent anything as an error of its own.

        Raises:
            Rejected: The call is refused; the exception has the answer.
        """
        stream_id = event.stream_id
        call = self._calls[stream_id] = GrpcCall(self, stream_id, self._now(), received=event.end_stream)
        if stream_id > self._last_stream_id:
            call.ended = True  # the GOAWAY said that it is ignored
            return
        fields = dict(event.headers)
        found = self._shared.methods.get(fields.get(b":path", b""))
        if (
            found is not None
            and self._shared.work.is_full(found[1])
            and len(event.headers) <= FIELDS_USUAL
            and not event.end_stream
        ):
            # Refused first, with the fewest steps: a refusal takes time from the calls that are answered.
            call.refusal = TOO_MUCH_WORK
            return
        try:
            self._read_head(call, event.headers, fields, found)
        except Rejected as rejected:
            if event.end_stream:
                raise
            call.refusal = rejected.headers
            return
        if event.end_stream:
            if type(call.method) is not DialogMethod:
                raise Rejected(trailers_only(statuses.NO_MESSAGE))
            self._on_dialog(call, call.method, b"")

    def _read_head(
        self, call: GrpcCall, headers: Headers, fields: Mapping[bytes, bytes], found: tuple[str, Method] | None
    ) -> None:
        """Read the headers of a call."""
        bounds = self._bounds
        if len(headers) > bounds.header_fields_max or list_bytes(headers) > bounds.header_bytes_max:
            self.heads_too_large += 1
            refusal = statuses.headers_too_large(bounds.header_bytes_max, bounds.header_fields_max)
            raise Rejected(trailers_only(refusal))
        seconds, call.compressed = read_head(fields)
        if found is None:
            raise Rejected(trailers_only(statuses.METHOD_UNKNOWN))
        call.path, call.method = found
        if seconds is not None:
            call.expires = call.began + seconds

    def on_data(self, event: DataReceived) -> None:
        """Take a part of a call's message; the last one starts the call.

        Raises:
            Rejected: The call is refused; the exception has the answer.
        """
        call = self._calls.get(event.stream_id)
        if call is None:
            return
        call.received = ended = event.end_stream
        data = event.data
        if call.ended or call.refusal is not None:
            self._on_data_of_refused(call, len(data))
            return
        method = call.method
        if type(method) is DialogMethod:
            self._on_dialog(call, method, data)
            return
        bytes_max = method.request_bytes_max
        reader = call.reader
        if reader is None:
            message = whole_message(data, bytes_max) if ended else None
            if message is not None:
                self._hold(call, len(message))
                call.request = message
                self._start(call)
                return
            reader = call.reader = MessageReader(compressed=call.compressed, bytes_max=bytes_max)
        announced = reader.feed(data)
        if announced is not None and announced >= STREAM_WINDOW_BYTES:
            self._require_room(announced, large=True)
            self._http2.widen(call.stream_id, PREFIX_BYTES + announced)
        self._hold(call, len(data))  # counted as it comes: a few bytes can announce a long message
        if ended:
            call.request = message = reader.message()
            call.reader = None
            if len(message) > call.held_bytes:
                self._hold(call, len(message) - call.held_bytes)
            self._start(call)

    def _on_data_of_refused(self, call: GrpcCall, size: int) -> None:
        """Send the delayed refusal, or drop data that come after the status."""
        if not call.ended:
            self._refuse(call, cast("Headers", call.refusal))
        elif call.received:
            self._half_read.pop(call.stream_id, None)
        else:
            call.dropped_bytes += size
            if call.dropped_bytes > STREAM_WINDOW_BYTES:
                call.reset_at = -inf

    def _on_dialog(self, call: GrpcCall, method: DialogMethod, data: bytes) -> None:
        """Answer each message of a dialog as it comes; end the dialog when the caller does."""
        if call.dialog is None:
            call.dialog = DialogReader(bytes_max=method.request_bytes_max)
        messages = call.dialog.feed(data)
        self._give_back(call)
        self._hold(call, call.dialog.held_bytes)
        for message in messages:
            part = method.answer(message)
            if not self._may_send(len(part)):
                raise Rejected(trailers_only(statuses.ANSWERS_UNREAD))
            self._queue_part(call, part)
        if call.received:
            call.dialog.end()
            self._begin_answer(call)
            call.ended = True
            self._send(call, b"")

    def on_trailers(self, stream_id: int) -> None:
        """Take the end of a request that has trailers; gRPC does not use them."""
        self.on_data(DataReceived(stream_id, b"", True))

    def on_window(self, stream_id: int, increment: int) -> None:
        """Note that the caller enlarged the window of a stream."""
        call = self._calls.get(stream_id)
        if call is not None:
            call.window_bytes += increment

    def on_closed(self, stream_id: int) -> None:
        """Forget a stream. Its call goes on until its handler ends."""
        call = self._calls.pop(stream_id, None)
        self._half_read.pop(stream_id, None)
        if call is not None and not call.ended:
            self._leave(call)

    def on_lost(self) -> None:
        """Forget all streams: the connection is gone."""
        for stream_id in list(self._calls):
            self.on_closed(stream_id)
        self._usage.answer_bytes -= self.unsent_bytes
        self.unsent_bytes = 0

    def is_young(self, stream_id: int, seconds: float) -> bool:
        """Whether a cancelled call is unanswered, younger than this, and was cancelled before its deadline.

        With a short deadline the end is always near. So a call with more than half of its time left also counts as
        cancelled before its deadline.
        """
        call = self._calls.get(stream_id)
        if call is None or call.ended:
            return False
        now = self._now()
        age, left = now - call.began, call.expires - now
        return age < seconds and (left > DEADLINE_EARLY_SECONDS or left > age)

    # What goes to the caller

    def refuse(self, stream_id: int, headers: Headers) -> None:
        """Answer a call that is refused, with one header block."""
        call = self._calls.get(stream_id)
        if call is not None and not call.ended:
            self._release(call)
            self._refuse(call, headers)

    def _refuse(self, call: GrpcCall, headers: Headers) -> None:
        self._end(call)
        self.answers += 1
        headers = fitting(headers, self.header_bytes_max)
        if call.begun:
            self._http2.end_answer(call.stream_id, headers[len(RESPONSE_HEADERS) :])
        else:
            self._http2.answer(call.stream_id, headers)
        self._write_soon()

    def leave_short_line(self, call: GrpcCall) -> None:
        """Stop counting a call as a short one."""
        self._shared.work.done(call)

    def finish(self, call: GrpcCall, result: CallResult) -> None:
        """Take the result of a handler, send it, and free the call's place."""
        under_way = self._shared.under_way
        if call not in under_way:
            return
        under_way.remove(call)
        self._usage.calls -= call.counts
        self._shared.work.done(call)
        self._release(call)
        if not call.ended:
            call.ended = True
            self._send(call, result)

    def give_up(self, call: GrpcCall, status: Status) -> None:
        """End a call for its caller with a status, and signal its handler that nobody waits for the answer."""
        if call.ended:
            return
        self._end(call)
        self._leave(call)
        self._send(call, status)

    def give_up_late(self, now: float) -> None:
        """End calls whose request did not arrive in time."""
        for call in list(self._calls.values()):
            if not (call.received or call.ended) and now >= min(
                call.began + self._bounds.request_seconds_max, call.expires
            ):
                if call.refusal is None:
                    self.give_up(call, statuses.REQUEST_LATE)
                else:
                    self._refuse(call, call.refusal)

    def _end(self, call: GrpcCall) -> None:
        """End a call for its caller, which may have sent only a part of the request."""
        call.ended = True
        if not call.received:
            call.reset_at = self._now() + HALF_READ_SECONDS
            self._half_read[call.stream_id] = call

    def reset_half_read(self, now: float) -> None:
        """Reset streams that were answered a while ago and whose callers still send; if too many, the oldest too.

        Not at once: most callers have sent nearly all, and some clients report a reset to their program instead of the
        answer.
        """
        if self._http2.wants_to_send:
            return  # it may be an answer, and a reset would overtake it
        surplus = len(self._half_read) - HALF_READ_MAX
        for number, call in enumerate(list(self._half_read.values())):
            if (now >= call.reset_at or number < surplus) and not self._http2.unsent_bytes_of(call.stream_id):
                self._http2.reset(call.stream_id, ErrorCode.NO_ERROR)
                self._write_soon()

    def give_up_unread(self, now: float) -> None:
        """Reset streams of which almost nothing was read for too long.

        A stream is not reset while its own window is open and the caller reads other streams of the connection: its
        data may have to wait for theirs.
        """
        if not self.count_unsent():
            return
        together = self.body_bytes - self.unsent_bytes
        patience = self.patience_seconds
        cut_off = 0
        for call in list(self._calls.values()):
            unsent = self._http2.unsent_bytes_of(call.stream_id)
            if not unsent:
                call.taken = None
                continue
            if call.taken == inf:
                continue  # its reset is queued already
            taken = call.body_bytes - unsent
            if call.taken is not None and taken - call.taken_bytes < READ_BYTES_MIN:
                if now - call.taken < patience:
                    continue
                is_open = self.window_bytes + call.window_bytes > taken
                if not is_open or together - call.taken_together < READ_BYTES_MIN:
                    cut_off += 1
                    self.body_bytes -= unsent  # the reset drops them
                    call.taken = inf
                    self._http2.reset(call.stream_id, ErrorCode.CANCEL)
                    self._write_soon()
                    continue
            call.taken, call.taken_bytes, call.taken_together = now, taken, together
        if cut_off:
            _log.warning("a caller does not read answers, which are cut off", peer=self.peer, answers=cut_off)

    @property
    def patience_seconds(self) -> float:
        """How long a caller may read almost nothing; less time when unread answers take much room."""
        bounds = self._bounds
        if self._usage.answer_bytes > bounds.answer_bytes_max / 2:
            return min(bounds.unread_seconds_max, UNREAD_SECONDS_CROWDED)
        return bounds.unread_seconds_max

    def turn_away(self) -> None:
        """End calls whose request is not complete: nothing of them was done."""
        for call in list(self._calls.values()):
            if not (call.received or call.ended):
                self.give_up(call, statuses.STOPPING_BEFORE)

    def on_written(self) -> None:
        """Do what had to wait until something was written: resets, and the next messages of streams."""
        if self._half_read:
            self.reset_half_read(self._now())
        for call, room in list(self._readers.items()):
            if self._http2.unsent_bytes_of(call.stream_id) < STREAM_UNSENT_BYTES and not room.done():
                room.set_result(None)

    def send_refusals(self) -> None:
        """Send the delayed refusals."""
        for call in list(self._calls.values()):
            if call.refusal is not None and not call.ended:
                self._refuse(call, call.refusal)

    def refuse_above(self, last_stream_id: int) -> None:
        """Ignore calls on later streams: the GOAWAY said so."""
        self._last_stream_id = last_stream_id

    # How a call is worked on

    def _start(self, call: GrpcCall) -> None:
        """Pass a call to its handler, or to the queue."""
        shared = self._shared
        now = self._now()
        method = call.method
        call.info = shared.make_info(call.path, self.peer, None if call.expires == inf else call.expires - now, now)
        if call.info.deadline <= now:
            raise Rejected(trailers_only(statuses.DEADLINE_PASSED))
        if type(method) is ImmediateMethod:
            result = method.answer(call.request, call.info)
            self._release(call)
            call.ended = True
            self._send(call, result)
            return
        if type(method) is StreamMethod and method.watch:
            shared.under_way.add(call)
            self.begin(call)
            return
        if type(method) is not DialogMethod and method.gate is not None:
            refusal = method.gate(call.info)
            if refusal is not None:
                raise Rejected(trailers_only(refusal))
        if self._usage.calls >= self._bounds.calls_max:
            raise Rejected(trailers_only(statuses.TOO_MANY_CALLS))
        if not shared.work.add(call, call.info.deadline - now):
            raise Rejected(trailers_only(statuses.TOO_MUCH_WORK))
        self._usage.calls += 1
        call.counts = 1
        shared.under_way.add(call)

    def begin(self, call: GrpcCall) -> None:
        """Begin the work on a call, in a task of its own."""
        method = call.method
        if type(method) is UnaryMethod:
            call.task = self._shared.loop.create_task(self._run(call, method))
        elif type(method) is StreamMethod:
            call.task = self._shared.loop.create_task(self._run_stream(call, method))

    async def _run(self, call: GrpcCall, method: UnaryMethod) -> None:
        result: CallResult = statuses.INTERNAL
        try:
            result = await method.answer(call.request, call.info)
        finally:
            self.finish(call, result)

    async def _run_stream(self, call: GrpcCall, method: StreamMethod) -> None:
        result: CallResult = statuses.INTERNAL
        try:
            async with aclosing(method.answer(call.request, call.info)) as results:
                async for part in results:
                    if type(part) is Status:
                        result = part
                        return
                    if not await self._send_part(call, cast("bytes", part)):
                        result = statuses.ANSWER_UNREAD
                        return
            self._begin_answer(call)
            result = b""
        finally:
            self.finish(call, result)

    async def _send_part(self, call: GrpcCall, message: bytes) -> bool:
        """Send one of many messages, wait for room for the next, and return whether there is room."""
        http2 = self._http2
        if call.ended:
            return False
        self._queue_part(call, message)
        if http2.unsent_bytes_of(call.stream_id) < STREAM_UNSENT_BYTES:
            await asyncio.sleep(0)
            return True
        room = self._readers[call] = self._shared.loop.create_future()
        try:
            async with asyncio.timeout(self._bounds.unread_seconds_max):
                await room
        except TimeoutError:
            return False
        finally:
            del self._readers[call]
        return True

    def _queue_part(self, call: GrpcCall, message: bytes) -> None:
        """Send one of many messages."""
        self._begin_answer(call)
        self.answers += 1
        self._count_body(call, message)
        self._http2.send_body(call.stream_id, framed(message))
        if len(message) > ANSWER_BYTES_SMALL:
            self.count_unsent()
        self._write_soon()

    def _begin_answer(self, call: GrpcCall) -> None:
        """Send the headers of an answer of many messages, or of none."""
        if not call.begun:
            call.begun = True
            self._http2.begin_answer(call.stream_id, RESPONSE_HEADERS)

    def _send(self, call: GrpcCall, result: CallResult) -> None:
        http2, stream_id = self._http2, call.stream_id
        self.answers += 1
        if call.begun:
            status = result if type(result) is Status else None
            trailers = OK_TRAILERS if status is None else fitting(trailers_of(status), self.header_bytes_max)
            http2.end_answer(stream_id, trailers)
        elif type(result) is bytes and self._may_send(len(result)):
            self._count_body(call, result)
            http2.answer(stream_id, RESPONSE_HEADERS, framed(result), OK_TRAILERS)
            if len(result) > ANSWER_BYTES_SMALL:
                self.count_unsent()
        else:
            status = result if type(result) is Status else statuses.ANSWERS_UNREAD
            http2.answer(stream_id, fitting(trailers_only(status), self.header_bytes_max))
        self._write_soon()

    def _count_body(self, call: GrpcCall, message: bytes) -> None:
        """Count a message that is sent."""
        size = PREFIX_BYTES + len(message)
        self.body_bytes += size
        call.body_bytes += size

    def _may_send(self, size: int) -> bool:
        """Return whether there is room for an answer of this size beside the unread ones."""
        unsent = self._http2.unsent_bytes
        if unsent + size <= ANSWER_BYTES_SMALL:
            return True
        bounds = self._bounds
        if unsent and unsent + size > bounds.answer_bytes_per_connection_max:
            return False
        return self._usage.answer_bytes + size <= bounds.answer_bytes_max

    def count_unsent(self) -> int:
        """Count the bytes of answers that wait for the caller, and return the number.

        Called at the end of each turn, and after each answer that is not small, so that the answers of one turn cannot
        exceed the limit together.
        """
        unsent = self._http2.unsent_bytes
        self._usage.answer_bytes += unsent - self.unsent_bytes
        self.unsent_bytes = unsent
        return unsent

    def _leave(self, call: GrpcCall) -> None:
        """Signal a call's handler that nobody waits for the answer."""
        call.ended = True
        if call not in self._shared.under_way:
            self._release(call)
            return
        call.info.gone = True
        if call.task is not None:
            call.task.cancel()
            # A task that is cancelled before its first step never runs, so it would not free the call's place.
            call.task.add_done_callback(lambda _: self.finish(call, statuses.INTERNAL))

    def _hold(self, call: GrpcCall, size: int) -> None:
        """Count bytes of a request that are in memory."""
        self._require_room(size, large=call.held_bytes + size >= STREAM_WINDOW_BYTES)
        self._usage.request_bytes += size
        self._held_bytes += size
        call.held_bytes += size

    def _require_room(self, size: int, *, large: bool) -> None:
        """Raise ``Rejected`` unless there is room for this many more bytes of a request."""
        here = self._held_bytes + size
        if here <= REQUEST_BYTES_SMALL:
            return
        share = REQUESTS_LARGE_SHARE if large else 1
        bounds = self._bounds
        if (
            self._usage.request_bytes + size > bounds.request_bytes_max * share
            or here > bounds.request_bytes_per_connection_max * share
        ):
            raise Rejected(trailers_only(statuses.REQUESTS_TOO_LARGE_TOGETHER))

    def _release(self, call: GrpcCall) -> None:
        """Free the memory of a request."""
        self._give_back(call)
        call.request = b""
        call.reader = call.dialog = None

    def _give_back(self, call: GrpcCall) -> None:
        """Stop counting the bytes of a request."""
        self._usage.request_bytes -= call.held_bytes
        self._held_bytes -= call.held_bytes
        call.held_bytes = 0
