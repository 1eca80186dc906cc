"""One connection on the event loop: reading and writing, and the bounds in bytes and in time."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import structlog

from redemption.rpc.transport import statuses
from redemption.rpc.transport.bounds import TokenBucket
from redemption.rpc.transport.call import Shared
from redemption.rpc.transport.grpc_call import TRAILER_BYTES_MAX, Rejected, trailers_only
from redemption.rpc.transport.http2 import (
    ConnectionBroken,
    ConnectionClosed,
    DataReceived,
    ErrorCode,
    Event,
    Headers,
    Http2Bounds,
    Http2Connection,
    PingAcknowledged,
    PingReceived,
    RequestReceived,
    SettingsReceived,
    StreamClosed,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from redemption.rpc.transport.streams import STREAM_WINDOW_BYTES, Streams

CONNECTION_WINDOW_BYTES = 8 * 2**20
"""What a caller may send on all streams before any of it was acknowledged, which is done as it is read."""
HEADER_BYTES_TOLD = 64 * 1024
"""What callers are told as the longest header list: what the engine takes in one value, far above what a call may have.

A client that is told the latter fails longer calls by itself, as INTERNAL, and grpc-java then resets a stream that it
never opened, which has to end the connection (RFC 9113, section 6.4), and with it everybody's calls."""
READ_BYTES_AT_ONCE = 4 * 1024
"""Read in one slice: a dozen calls. The worst that can be in it, 130 headers that stand for 60 KB each, takes 3 ms."""
READ_BODY_BYTES_AT_ONCE = 32 * 1024
"""The same while a body comes: slices become longer one by one."""
READ_BODY_EVENTS_MAX = 2
"""A full slice with at most so many events is taken for a part of a body, and the next slice may be twice as long."""
WRITE_BYTES_AT_ONCE = 256 * 1024
WRITE_BUFFER_BYTES = 256 * 1024
"""Written and not taken by the system; with more, nothing is written until it has gone."""
YOUNG_SECONDS = 0.1
"""Taking back a call that is older than this is not held against its caller: its deadline may have passed."""
RESET_BURST_SECONDS = 5
PING_BURST = 20
SETTINGS_PER_SECOND, SETTINGS_BURST = 10, 100
"""Of one caller: each may touch every stream. Clients that fit their windows to the way send some in a second."""
GOODBYE_SECONDS_MAX = 1.0
"""How long a caller may take to answer a farewell."""
AGE_SPREAD = 0.1
_INITIAL_WINDOW_SIZE = 4
_DRAIN_PING = b"draining"
_ALIVE_PING = b"alive?\0\0"
_log = structlog.get_logger(__name__)


class GrpcConnection(asyncio.BufferedProtocol):
    """The server's end of one connection."""

    def __init__(
        self, shared: Shared, opened: Callable[["GrpcConnection"], bool], closed: Callable[["GrpcConnection"], None]
    ) -> None:
        """Build what serves a connection, once it is made.

        Args:
            shared: What it shares with others.
            opened: Called when it is made; tells whether there is room for it.
            closed: Called when it is gone.
        """
        bounds = shared.bounds
        now = shared.loop.time()
        self._shared = shared
        self._opened = opened
        self._closed = closed
        self._bounds = bounds
        self._now = shared.loop.time
        self._http2 = Http2Connection(
            Http2Bounds(
                streams_max=bounds.streams_per_connection_max,
                header_bytes_max=HEADER_BYTES_TOLD,
                stream_window_bytes=STREAM_WINDOW_BYTES,
                connection_window_bytes=CONNECTION_WINDOW_BYTES,
            )
        )
        self._streams = Streams(self._http2, shared, self.write_soon)
        self._streams.header_bytes_max = TRAILER_BYTES_MAX
        self._resets = TokenBucket(
            bounds.resets_per_second_max, bounds.resets_per_second_max * RESET_BURST_SECONDS, now
        )
        self._pings = TokenBucket(bounds.pings_per_second_max, PING_BURST, now)
        self._settings = TokenBucket(SETTINGS_PER_SECOND, SETTINGS_BURST, now)
        self._transport: asyncio.Transport | None = None
        self.address = ""
        self._unread = b""
        self._read_bytes = 0
        self._slice_bytes = READ_BYTES_AT_ONCE
        self._unsent_bytes = 0
        self._taken_bytes = 0
        self._heard = self._used = self._taken = now
        self._retires = now + bounds.age_seconds_max * random.uniform(1 - AGE_SPREAD, 1 + AGE_SPREAD)  # noqa: S311
        self._asked: float | None = None
        self._notified: float | None = None
        self._closing: float | None = None
        self._sent_seen = self._answers_ticked = 0
        self._greeted = self._queued = self._full = self._paused = self._parting = self._ending = self._leaving = False

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there is no room for it or it does not speak HTTP/2."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple):
            self.address, self._streams.peer = name[0], f"{name[0]}:{name[1]}"
        room = self._opened(self)
        tls = transport.get_extra_info("ssl_object")
        if not room:
            # Without a word: a client that has seen one connects again at once, and grpcio's thousands of times.
            self._transport.abort()
        elif tls is not None and tls.selected_alpn_protocol() != "h2":
            # Python's handshake goes through without a protocol that both sides have.
            self._transport.abort()
        else:
            self.write_soon()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Let go of everything: nobody is there any more."""
        self._drop_unread()
        self._transport = None
        self._streams.on_lost()
        self._closed(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Tell where to put what comes."""
        return self._shared.turn.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came. It is read in this turn if there is time, else in the next ones."""
        if self._ending:
            return
        turn = self._shared.turn
        data = turn.taken(nbytes)
        turn.unread_bytes += nbytes
        self._heard = self._now()
        self._asked = None
        if self._unread:
            self._unread = self._unread[self._read_bytes :] + data
            self._read_bytes = 0
            if not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
        else:
            self._unread = data
            turn.read(self)

    def eof_received(self) -> bool:
        """Close when the caller does: what it asked is not answered on half a connection."""
        return False

    def pause_writing(self) -> None:
        """Write nothing more until the system has taken what was written."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on writing."""
        self._full = False
        self._taken = self._now()
        self.write_soon()

    # What the turn and the listener call

    def write_soon(self) -> None:
        """Write at the end of this turn."""
        if not self._queued:
            self._queued = True
            self._shared.turn.write(self)

    def read_slice(self) -> bool:
        """Read a little of what came, and tell whether more is left."""
        if self._ending or not self._unread:
            self._drop_unread()
            return False
        data, begin = self._unread, self._read_bytes
        end = begin + self._slice_bytes
        if end < len(data):
            self._read_bytes = end
            self._shared.turn.unread_bytes -= self._slice_bytes
        else:
            self._drop_unread()
        try:
            self._read(memoryview(data)[begin:end] if begin or end < len(data) else data)
        except BaseException:
            self.abort()  # it would never read again
            raise
        self.write_soon()
        return bool(self._unread)

    def _drop_unread(self) -> None:
        """Keep nothing of what came, and let more come."""
        self._shared.turn.unread_bytes -= len(self._unread) - self._read_bytes
        self._unread, self._read_bytes = b"", 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def end_turn(self) -> None:
        """Write what there is."""
        self._queued = False
        if self._transport is not None:
            self._write()

    def tick(self, now: float) -> None:
        """Look after what has to happen in time. To be called about once a second."""
        if self._transport is None:
            return
        if self._has_expired(now):
            self._transport.abort()
            return
        if self._ending:
            return
        bounds = self._bounds
        self._streams.reset_half_read(now)
        self._streams.give_up_late(now)
        if not self._full:
            self._streams.give_up_unread(now)
        if self._streams or self._streams.answers != self._answers_ticked:
            self._answers_ticked = self._streams.answers
            self._used = now
        if self._asked is None and now - self._heard >= bounds.keepalive_seconds:
            self._asked = now
            self._http2.ping(_ALIVE_PING)
            self.write_soon()
        if self._notified is None:
            if now >= self._retires or now - self._used >= bounds.idle_seconds_max:
                self.retire()
        elif now - self._notified >= GOODBYE_SECONDS_MAX:
            self._part()

    def _has_expired(self, now: float) -> bool:
        """Whether to wait for the caller no longer."""
        bounds = self._bounds
        if self._closing is not None:
            return now - self._closing >= GOODBYE_SECONDS_MAX
        if not self._greeted and now - self._used >= bounds.preface_seconds_max:
            return True
        if self._asked is not None and now - self._asked >= bounds.keepalive_seconds_max:
            return True
        # While the system takes nothing, what the caller reads of it is not seen from here.
        patience = bounds.unread_seconds_max if self._full else self._streams.patience_seconds
        if (self._full or self._unsent_bytes) and now - self._taken >= patience:
            _log.warning("a caller does not read its answers and is cut off", peer=self._streams.peer)
            return True
        return False

    def retire(self) -> None:
        """Ask the caller to go elsewhere; what it asks until it has heard of it is answered."""
        if self._notified is None and self._transport is not None and not self._ending:
            self._notified = self._now()
            self._http2.send_shutdown_notice()
            self._http2.ping(_DRAIN_PING)
            self.write_soon()

    @property
    def parting(self) -> bool:
        """Whether no further call is looked at."""
        return self._parting or self._ending

    def turn_away(self) -> None:
        """End the calls whose requests are not complete."""
        self._streams.turn_away()

    def abort(self) -> None:
        """End it without a word."""
        if self._transport is not None:
            self._transport.abort()

    # The rest is its own business

    def _read(self, data: bytes | memoryview) -> None:
        streams = self._streams
        try:
            events = self._http2.receive(data)
        except ConnectionBroken as broken:
            self._break(broken)
            return
        if len(data) == self._slice_bytes and len(events) <= READ_BODY_EVENTS_MAX:
            self._slice_bytes = min(2 * self._slice_bytes, READ_BODY_BYTES_AT_ONCE)
        else:
            self._slice_bytes = READ_BYTES_AT_ONCE
        for event in events:
            try:
                if type(event) is DataReceived:
                    streams.on_data(event)
                elif type(event) is RequestReceived:
                    streams.on_request(event)
                elif type(event) is StreamClosed:
                    streams.on_closed(event.stream_id)
                else:
                    self._on_rare(event)
            except Rejected as rejected:
                self._refuse(event, rejected.headers)
            except Exception:  # noqa: BLE001 - the loop closes a connection that raises, and with it everybody's calls
                _log.exception("a frame could not be handled", peer=streams.peer)
                self._refuse(event, trailers_only(statuses.INTERNAL))
        if streams.heads_too_large:
            # They are as cheap to send as calls that are taken back, and cost more: HPACK names a field by one byte.
            self._on_misuse(b"too_many_large_headers", streams.heads_too_large)
            streams.heads_too_large = 0

    def _refuse(self, event: Event, headers: Headers) -> None:
        """Answer the call to which an event belongs; one that belongs to none has nobody to be told."""
        stream_id = getattr(event, "stream_id", None)
        if stream_id is not None:
            self._streams.refuse(stream_id, headers)

    def _on_rare(self, event: Event) -> None:
        """Handle what does not come with every call."""
        if type(event) is StreamReset:
            if self._streams.is_young(event.stream_id, YOUNG_SECONDS):
                self._on_misuse(b"too_many_resets")
        elif type(event) is PingReceived:
            self._on_ping()
        elif type(event) is PingAcknowledged:
            if event.opaque_data == _DRAIN_PING:
                self._part()
        elif type(event) is SettingsReceived:
            self._on_settings(event)
        elif type(event) is WindowUpdated:
            self._streams.on_window(event.stream_id, event.increment)
        elif type(event) is TrailersReceived:
            self._streams.on_trailers(event.stream_id)
        elif type(event) is ConnectionClosed:
            self._close()

    def _on_settings(self, event: SettingsReceived) -> None:
        self._greeted = True
        self._streams.window_bytes = event.settings.get(_INITIAL_WINDOW_SIZE, self._streams.window_bytes)
        self._streams.header_bytes_max = min(self._http2.peer_header_bytes_max, TRAILER_BYTES_MAX)
        if not self._settings.take(self._now()):
            self._end(ErrorCode.ENHANCE_YOUR_CALM, b"too_many_settings")

    def _on_misuse(self, reason: bytes, count: int = 1) -> None:
        """Count calls that cost their caller next to nothing, and end the connection when there are too many."""
        if not self._resets.take(self._now(), count):
            self._end(ErrorCode.ENHANCE_YOUR_CALM, reason)

    def _on_ping(self) -> None:
        sent = self._streams.answers + self._streams.body_bytes - self._streams.unsent_bytes
        if sent != self._sent_seen:
            # Some clients measure the way with a PING after each answer, and after each part of a long one.
            self._sent_seen = sent
            self._pings.refill()
        if not self._pings.take(self._now()):
            self._end(ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings")

    def _write(self) -> None:
        if self._full or self._transport is None:
            return
        try:
            data, events = self._http2.bytes_to_send(WRITE_BYTES_AT_ONCE)
        except ConnectionBroken as broken:
            self._break(broken)
            return
        if data:
            self._transport.write(data)
        for event in events:
            if type(event) is StreamClosed:
                self._streams.on_closed(event.stream_id)
            else:
                self._on_rare(event)
        if len(data) >= WRITE_BYTES_AT_ONCE:
            self.write_soon()  # others have their turn in between
        else:
            self._streams.on_written()
        self._count_unsent()
        if self._ending or (self._parting and not self._streams and not self._http2.wants_to_send):
            self._close()

    def _count_unsent(self) -> None:
        """Count the answers that wait for the caller, and note when it last took something of any of them."""
        unsent = self._streams.count_unsent()
        taken = self._streams.body_bytes - unsent
        if taken != self._taken_bytes or not self._unsent_bytes:
            self._taken_bytes = taken
            self._taken = self._now()
        self._unsent_bytes = unsent

    def _part(self) -> None:
        """Name the last stream that is served, and close when all of them have ended."""
        if not self._parting:
            self._parting = True
            self._http2.send_goaway()
            self._streams.refuse_above(self._http2.last_stream_id)
            self._streams.tell_refusals()
            self.write_soon()

    def _end(self, code: ErrorCode, reason: bytes) -> None:
        """End the connection now, with a word to the caller."""
        if not self._ending:
            self._ending = True
            self._http2.send_goaway(code, reason)
            self.write_soon()

    def _break(self, broken: ConnectionBroken) -> None:
        """End a connection whose protocol is broken."""
        if self._transport is not None and self._closing is None:
            self._transport.write(broken.last_words)
            self._ending = True
            self._close()

    def _close(self) -> None:
        """Write what is left, and wait a moment for the caller to read it: closing with unread input destroys it.

        An end that is nobody's fault waits until what was written has left: it may be answers to a slow reader.
        """
        if self._transport is None or self._closing is not None:
            return
        self._drop_unread()
        if not self._ending:
            self._leaving = self._ending = True
            self._asked = None  # what it says is heard no longer
            if self._transport.get_write_buffer_size():
                self._taken = self._now()
                self._transport.set_write_buffer_limits(0)  # to be told when all has left
        if self._leaving and self._transport.get_write_buffer_size():
            return
        self._closing = self._now()
        if self._transport.can_write_eof():
            with suppress(OSError):  # the caller was quicker
                self._transport.write_eof()
        else:
            self._transport.close()
