"""What the streams of one connection become: calls, and answers to them."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from math import inf
from typing import cast

import structlog

from redemption.rpc.transport import statuses
from redemption.rpc.transport.call import GrpcCall, Shared
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
    DialogMethod,
    ImmediateMethod,
    Method,
    Outcome,
    Status,
    StreamMethod,
    UnaryMethod,
)

STREAM_WINDOW_BYTES = 65_535
"""What a caller may send of a call before its message's length is known and there is room for it."""
HALF_READ_SECONDS = 1.5
"""A caller that was answered may go on with its request for so long before its stream is reset."""
HALF_READ_MAX = 64
"""So many calls of a connection may do so; with more, the oldest are reset. They count as streams."""
STREAM_UNSENT_BYTES = 64 * 1024
"""Of a stream of messages: the next one is made when less than this waits for the caller."""
READ_BYTES_MIN = 64 * 1024
"""A caller has to read this much of an answer, or all that waits, in ``patience_seconds``; else it counts as not
reading: with a byte now and then it would hold megabytes."""
UNREAD_SECONDS_CROWDED = 5.0
"""Who reads next to nothing is borne so long while half of the room for all answers is taken."""
ANSWER_BYTES_SMALL = 64 * 1024
"""So much of unread answers every connection may have, whatever the others have."""
REQUEST_BYTES_SMALL = 32 * 1024
"""So much of requests every connection may have, whatever the others have: nobody can keep small requests out."""
REQUESTS_LARGE_SHARE = 0.75
"""Of the room for requests, those that are larger than a stream's window get so much."""
DEADLINE_EARLY_SECONDS = 0.01
"""A caller's clock runs ahead: its call was on the way when ours began."""
FIELDS_USUAL = 16
"""Calls with more header fields are looked at more closely."""
TOO_MUCH_WORK = trailers_only(statuses.TOO_MUCH_WORK)
_log = structlog.get_logger(__name__)


class Streams:
    """The streams of one connection.

    Attributes:
        peer: Where they come from, for logs.
        header_bytes_max: The longest header block that their caller takes.
        window_bytes: What their caller takes on a stream before it widens the window.
        answers: How many messages and statuses were sent.
        heads_too_large: How many calls were refused for the size of their headers, and not yet counted.
        body_bytes: Bytes of all messages that were sent.
        unsent_bytes: Bytes of those that wait for the caller, as they were counted last.
    """

    def __init__(self, http2: Http2Connection, shared: Shared, write_soon: Callable[[], None]) -> None:
        """Begin with none.

        Args:
            http2: The connection.
            shared: What it shares with others.
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

        What is refused for its headers is told when some of its message has come: grpcio's asyncio client takes a
        status that comes before it could say anything for a defect.

        Raises:
            Rejected: It is answered with this instead.
        """
        stream_id = event.stream_id
        call = self._calls[stream_id] = GrpcCall(self, stream_id, self._now(), received=event.end_stream)
        if stream_id > self._last_stream_id:
            call.ended = True  # the protocol told its caller that it was never looked at
            return
        fields = dict(event.headers)
        found = self._shared.methods.get(fields.get(b":path", b""))
        if (
            found is not None
            and self._shared.work.is_full(found[1])
            and len(event.headers) <= FIELDS_USUAL
            and not event.end_stream
        ):
            # First of all and by the shortest way: what a refusal costs is lost to the calls that are answered.
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
        """Take what the headers of a call say."""
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
            Rejected: It is answered with this instead.
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
        self._hold(call, len(data))  # counted as it comes: a few bytes can announce much
        if ended:
            call.request = message = reader.message()
            call.reader = None
            if len(message) > call.held_bytes:
                self._hold(call, len(message) - call.held_bytes)
            self._start(call)

    def _on_data_of_refused(self, call: GrpcCall, size: int) -> None:
        """Send the refusal that was held back, or drop data that comes after the status."""
        if not call.ended:
            self._refuse(call, cast("Headers", call.refusal))
        elif call.received:
            self._half_read.pop(call.stream_id, None)
        else:
            call.dropped_bytes += size
            if call.dropped_bytes > STREAM_WINDOW_BYTES:
                call.reset_at = -inf

    def _on_dialog(self, call: GrpcCall, method: DialogMethod, data: bytes) -> None:
        """Answer each message of a dialog as it comes, and its end with an end."""
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
        """Take the end of a call that has trailers of its own; they say nothing to us."""
        self.on_data(DataReceived(stream_id, b"", True))

    def on_window(self, stream_id: int, increment: int) -> None:
        """Note that the caller takes more on a stream."""
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
        """Whether a call that is taken back began so shortly ago, has time left, and was not answered.

        The shortest deadlines are always near: a call that has not had half of its time has time left.
        """
        call = self._calls.get(stream_id)
        if call is None or call.ended:
            return False
        now = self._now()
        age, left = now - call.began, call.expires - now
        return age < seconds and (left > DEADLINE_EARLY_SECONDS or left > age)

    # What goes to the caller

    def refuse(self, stream_id: int, headers: Headers) -> None:
        """Answer a call that is not handed on, with one header block."""
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
        """Do not count a call among the short ones any longer."""
        self._shared.work.done(call)

    def finish(self, call: GrpcCall, outcome: Outcome) -> None:
        """Take what a handler says of its call, and give back the call's place."""
        under_way = self._shared.under_way
        if call not in under_way:
            return
        under_way.remove(call)
        self._usage.calls -= call.counts
        self._shared.work.done(call)
        self._release(call)
        if not call.ended:
            call.ended = True
            self._send(call, outcome)

    def give_up(self, call: GrpcCall, status: Status) -> None:
        """End a call for its caller, who has not left; its handler is told that nobody waits."""
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
        """End a call for its caller, who may have said half."""
        call.ended = True
        if not call.received:
            call.reset_at = self._now() + HALF_READ_SECONDS
            self._half_read[call.stream_id] = call

    def reset_half_read(self, now: float) -> None:
        """Let callers say no more that were answered a while ago, and the oldest when there are too many.

        Not at once: most have said nearly all, and some clients tell their program of a reset instead of the answer.
        """
        if self._http2.wants_to_send:
            return  # it may be an answer, which a reset would overtake
        surplus = len(self._half_read) - HALF_READ_MAX
        for number, call in enumerate(list(self._half_read.values())):
            if (now >= call.reset_at or number < surplus) and not self._http2.unsent_bytes_of(call.stream_id):
                self._http2.reset(call.stream_id, ErrorCode.NO_ERROR)
                self._write_soon()

    def give_up_unread(self, now: float) -> None:
        """Reset streams of which next to nothing was read for too long, though others of the connection are.

        A stream is spared whose caller would take more of it, while the connection is busy: it has to wait for others.
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
                continue  # its reset is on the way
            taken = call.body_bytes - unsent
            if call.taken is not None and taken - call.taken_bytes < READ_BYTES_MIN:
                if now - call.taken < patience:
                    continue
                is_open = self.window_bytes + call.window_bytes > taken
                if not is_open or together - call.taken_together < READ_BYTES_MIN:
                    cut_off += 1
                    self.body_bytes -= unsent  # they are dropped, not taken
                    call.taken = inf
                    self._http2.reset(call.stream_id, ErrorCode.CANCEL)
                    self._write_soon()
                    continue
            call.taken, call.taken_bytes, call.taken_together = now, taken, together
        if cut_off:
            _log.warning("a caller does not read answers, which are cut off", peer=self.peer, answers=cut_off)

    @property
    def patience_seconds(self) -> float:
        """How long a caller may read next to nothing; less when many do."""
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
        """Go on with what waited until something was written."""
        if self._half_read:
            self.reset_half_read(self._now())
        for call, room in list(self._readers.items()):
            if self._http2.unsent_bytes_of(call.stream_id) < STREAM_UNSENT_BYTES and not room.done():
                room.set_result(None)

    def tell_refusals(self) -> None:
        """Send the refusals that were held back."""
        for call in list(self._calls.values()):
            if call.refusal is not None and not call.ended:
                self._refuse(call, call.refusal)

    def refuse_above(self, last_stream_id: int) -> None:
        """Look at no call on a later stream: its caller was told so."""
        self._last_stream_id = last_stream_id

    # How a call is worked on

    def _start(self, call: GrpcCall) -> None:
        """Hand a call on."""
        shared = self._shared
        now = self._now()
        method = call.method
        call.info = shared.inform(call.path, self.peer, None if call.expires == inf else call.expires - now, now)
        if call.info.deadline <= now:
            raise Rejected(trailers_only(statuses.DEADLINE_PASSED))
        if type(method) is ImmediateMethod:
            outcome = method.answer(call.request, call.info)
            self._release(call)
            call.ended = True
            self._send(call, outcome)
            return
        if type(method) is StreamMethod and method.watch:
            shared.under_way.add(call)
            self.begin(call)
            return
        if self._usage.calls >= self._bounds.calls_max:
            raise Rejected(trailers_only(statuses.TOO_MANY_CALLS))
        if not shared.work.add(call, call.info.deadline - now):
            raise Rejected(trailers_only(statuses.TOO_MUCH_WORK))
        self._usage.calls += 1
        call.counts = 1
        shared.under_way.add(call)

    def begin(self, call: GrpcCall) -> None:
        """Begin the work on a call that has a task of its own."""
        method = call.method
        if type(method) is UnaryMethod:
            call.task = self._shared.loop.create_task(self._run(call, method))
        elif type(method) is StreamMethod:
            call.task = self._shared.loop.create_task(self._run_stream(call, method))

    async def _run(self, call: GrpcCall, method: UnaryMethod) -> None:
        outcome: Outcome = statuses.INTERNAL
        try:
            outcome = await method.answer(call.request, call.info)
        finally:
            self.finish(call, outcome)

    async def _run_stream(self, call: GrpcCall, method: StreamMethod) -> None:
        outcome: Outcome = statuses.INTERNAL
        try:
            async with aclosing(method.answer(call.request, call.info)) as outcomes:
                async for part in outcomes:
                    if type(part) is Status:
                        outcome = part
                        return
                    if not await self._send_part(call, cast("bytes", part)):
                        outcome = statuses.ANSWER_UNREAD
                        return
            self._begin_answer(call)
            outcome = b""
        finally:
            self.finish(call, outcome)

    async def _send_part(self, call: GrpcCall, message: bytes) -> bool:
        """Send one of many messages, wait until there is room for the next, and tell whether there is."""
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

    def _send(self, call: GrpcCall, outcome: Outcome) -> None:
        http2, stream_id = self._http2, call.stream_id
        self.answers += 1
        if call.begun:
            status = outcome if type(outcome) is Status else None
            trailers = OK_TRAILERS if status is None else fitting(trailers_of(status), self.header_bytes_max)
            http2.end_answer(stream_id, trailers)
        elif type(outcome) is bytes and self._may_send(len(outcome)):
            self._count_body(call, outcome)
            http2.answer(stream_id, RESPONSE_HEADERS, framed(outcome), OK_TRAILERS)
            if len(outcome) > ANSWER_BYTES_SMALL:
                self.count_unsent()
        else:
            status = outcome if type(outcome) is Status else statuses.ANSWERS_UNREAD
            http2.answer(stream_id, fitting(trailers_only(status), self.header_bytes_max))
        self._write_soon()

    def _count_body(self, call: GrpcCall, message: bytes) -> None:
        """Count a message that is sent."""
        size = PREFIX_BYTES + len(message)
        self.body_bytes += size
        call.body_bytes += size

    def _may_send(self, size: int) -> bool:
        """Tell whether there is room for an answer beside those that are not read."""
        unsent = self._http2.unsent_bytes
        if unsent + size <= ANSWER_BYTES_SMALL:
            return True
        bounds = self._bounds
        if unsent and unsent + size > bounds.answer_bytes_per_connection_max:
            return False
        return self._usage.answer_bytes + size <= bounds.answer_bytes_max

    def count_unsent(self) -> int:
        """Count the bytes of answers that wait for the caller, and return how many they are.

        At the end of each turn, and after each answer that is not small: those of a turn are bounded together.
        """
        unsent = self._http2.unsent_bytes
        self._usage.answer_bytes += unsent - self.unsent_bytes
        self.unsent_bytes = unsent
        return unsent

    def _leave(self, call: GrpcCall) -> None:
        """Let a call's handler know that nobody waits."""
        call.ended = True
        if call not in self._shared.under_way:
            self._release(call)
            return
        call.info.gone = True
        if call.task is not None:
            call.task.cancel()
            # A task that is cancelled before it ran for the first time runs never, and gives nothing back by itself.
            call.task.add_done_callback(lambda _: self.finish(call, statuses.INTERNAL))

    def _hold(self, call: GrpcCall, size: int) -> None:
        """Count bytes of a request that are here."""
        self._require_room(size, large=call.held_bytes + size >= STREAM_WINDOW_BYTES)
        self._usage.request_bytes += size
        self._held_bytes += size
        call.held_bytes += size

    def _require_room(self, size: int, *, large: bool) -> None:
        """Require room for so many bytes more of a request."""
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
        """Let go of a request."""
        self._give_back(call)
        call.request = b""
        call.reader = call.dialog = None

    def _give_back(self, call: GrpcCall) -> None:
        """Count the bytes of a request no longer."""
        self._usage.request_bytes -= call.held_bytes
        self._held_bytes -= call.held_bytes
        call.held_bytes = 0
