"""One connection on the event loop: reading, writing, and the limits in bytes and in time."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import structlog

from redemption.rpc.transport import statuses
from redemption.rpc.transport.bounds import TokenBucket
from redemption.rpc.transport.call import ListenerState
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
"""Bytes that a caller may send on all streams before any are acknowledged. They are acknowledged when they are read."""
HEADER_BYTES_TOLD = 64 * 1024
"""The longest header list, as it is announced to callers: what the engine accepts in one value, far above the limit.

If the limit itself were announced, clients would fail longer calls by themselves, as INTERNAL. grpc-java then also
resets a stream that it never opened, which must end the connection (RFC 9113, section 6.4) and all calls on it."""
READ_BYTES_AT_ONCE = 4 * 1024
"""Bytes read in one slice: a dozen calls. The worst content, 130 headers that decode to 60 KB each, takes 3 ms."""
READ_BODY_BYTES_AT_ONCE = 32 * 1024
"""The most bytes of a slice while a body comes: each slice is twice as long as the one before, up to this."""
READ_BODY_EVENTS_MAX = 2
"""A full slice with no more events than this counts as a part of a body, and the next slice may be twice as long."""
WRITE_BYTES_AT_ONCE = 256 * 1024
WRITE_BUFFER_BYTES = 256 * 1024
"""Bytes that are written and not yet taken by the system; with more, writing stops until the system takes some."""
YOUNG_SECONDS = 0.1
"""Cancelling a call that is older than this does not count as misuse: its deadline may have passed."""
RESET_BURST_SECONDS = 5
PING_BURST = 20
SETTINGS_PER_SECOND, SETTINGS_BURST = 10, 100
"""SETTINGS of one caller: each may change all its streams. Clients that adapt their windows send some in a second."""
CLOSE_SECONDS_MAX = 1.0
"""How long a caller may take to acknowledge the PING after a GOAWAY, and to close its side of the connection."""
AGE_SPREAD = 0.1
_INITIAL_WINDOW_SIZE = 4
_DRAIN_PING = b"draining"
_ALIVE_PING = b"alive?\0\0"
_log = structlog.get_logger(__name__)


class GrpcConnection(asyncio.BufferedProtocol):
    """The server's side of one connection."""

    def __init__(
        self,
        shared: ListenerState,
        opened: Callable[["GrpcConnection"], bool],
        closed: Callable[["GrpcConnection"], None],
    ) -> None:
        """Build the protocol of a connection.

        Args:
            shared: What it shares with the other connections.
            opened: Called when the connection is made; returns whether there is room for it.
            closed: Called when the connection is lost.
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
        self._received_at = self._used_at = self._taken = now
        self._retires = now + bounds.age_seconds_max * random.uniform(1 - AGE_SPREAD, 1 + AGE_SPREAD)  # noqa: S311
        self._keepalive_sent_at: float | None = None
        self._notice_sent_at: float | None = None
        self._closing: float | None = None
        self._sent_seen = self._answers_ticked = 0
        self._settings_received = self._queued = self._is_buffer_full = self._paused = False
        self._last_goaway_sent = self._ending = self._ends_cleanly = False

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or close a connection for which there is no room or which does not speak HTTP/2."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple):
            self.address, self._streams.peer = name[0], f"{name[0]}:{name[1]}"
        room = self._opened(self)
        tls = transport.get_extra_info("ssl_object")
        if not room:
            # No GOAWAY: clients that receive one connect again at once, and grpcio's do so thousands of times.
            self._transport.abort()
        elif tls is not None and tls.selected_alpn_protocol() != "h2":
            # Python's handshake succeeds even if the two sides have no protocol in common.
            self._transport.abort()
        else:
            self.write_soon()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Free everything: the caller is gone."""
        self._drop_unread()
        self._transport = None
        self._streams.on_lost()
        self._closed(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Return where to put what comes next."""
        return self._shared.turn.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came. It is read in this turn of the event loop if there is time, else in the next ones."""
        if self._ending:
            return
        turn = self._shared.turn
        data = turn.taken(nbytes)
        turn.unread_bytes += nbytes
        self._received_at = self._now()
        self._keepalive_sent_at = None
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
        """Close when the caller closes its side: its open calls are not answered."""
        return False

    def pause_writing(self) -> None:
        """Stop writing until the system has taken what was written."""
        self._is_buffer_full = True

    def resume_writing(self) -> None:
        """Resume writing."""
        self._is_buffer_full = False
        self._taken = self._now()
        self.write_soon()

    # What ``Turn`` and the listener call

    def write_soon(self) -> None:
        """Write at the end of this turn of the event loop."""
        if not self._queued:
            self._queued = True
            self._shared.turn.write(self)

    def read_slice(self) -> bool:
        """Read one slice of what came, and return whether more is left."""
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
            self.abort()  # nothing would schedule its next read
            raise
        self.write_soon()
        return bool(self._unread)

    def _drop_unread(self) -> None:
        """Drop what came and was not read, and resume receiving."""
        self._shared.turn.unread_bytes -= len(self._unread) - self._read_bytes
        self._unread, self._read_bytes = b"", 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def end_turn(self) -> None:
        """Write what is queued."""
        self._queued = False
        if self._transport is not None:
            self._write()

    def tick(self, now: float) -> None:
        """Enforce the limits in time. Must be called about once a second."""
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
        if not self._is_buffer_full:
            self._streams.give_up_unread(now)
        if self._streams or self._streams.answers != self._answers_ticked:
            self._answers_ticked = self._streams.answers
            self._used_at = now
        if self._keepalive_sent_at is None and now - self._received_at >= bounds.keepalive_seconds:
            self._keepalive_sent_at = now
            self._http2.ping(_ALIVE_PING)
            self.write_soon()
        if self._notice_sent_at is None:
            if now >= self._retires or now - self._used_at >= bounds.idle_seconds_max:
                self.retire()
        elif now - self._notice_sent_at >= CLOSE_SECONDS_MAX:
            self._send_last_goaway()

    def _has_expired(self, now: float) -> bool:
        """Whether the connection has to be closed now because its caller took too long."""
        bounds = self._bounds
        if self._closing is not None:
            return now - self._closing >= CLOSE_SECONDS_MAX
        if not self._settings_received and now - self._used_at >= bounds.preface_seconds_max:
            return True
        if self._keepalive_sent_at is not None and now - self._keepalive_sent_at >= bounds.keepalive_seconds_max:
            return True
        # While the system takes nothing, it is unknown whether the caller reads.
        patience = bounds.unread_seconds_max if self._is_buffer_full else self._streams.patience_seconds
        if (self._is_buffer_full or self._unsent_bytes) and now - self._taken >= patience:
            _log.warning("a caller does not read its answers and is cut off", peer=self._streams.peer)
            return True
        return False

    def retire(self) -> None:
        """Ask the caller to open a new connection; calls that it sends before it gets this notice are answered."""
        if self._notice_sent_at is None and self._transport is not None and not self._ending:
            self._notice_sent_at = self._now()
            self._http2.send_shutdown_notice()
            self._http2.ping(_DRAIN_PING)
            self.write_soon()

    @property
    def parting(self) -> bool:
        """Whether new calls are ignored."""
        return self._last_goaway_sent or self._ending

    def turn_away(self) -> None:
        """End the calls whose requests are not complete."""
        self._streams.turn_away()

    def abort(self) -> None:
        """Close it at once, without a GOAWAY."""
        if self._transport is not None:
            self._transport.abort()

    # Private

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
            except Exception:  # noqa: BLE001 - if it passed, the loop would close the connection with all its calls
                _log.exception("a frame could not be handled", peer=streams.peer)
                self._refuse(event, trailers_only(statuses.INTERNAL))
        if streams.heads_too_large:
            # They are as cheap to send as cancelled calls, and cost more to read: in HPACK, one byte can name a field.
            self._on_misuse(b"too_many_large_headers", streams.heads_too_large)
            streams.heads_too_large = 0

    def _refuse(self, event: Event, headers: Headers) -> None:
        """Refuse the call to which an event belongs; an event without a call needs no answer."""
        stream_id = getattr(event, "stream_id", None)
        if stream_id is not None:
            self._streams.refuse(stream_id, headers)

    def _on_rare(self, event: Event) -> None:
        """Handle an event that does not come with every call."""
        if type(event) is StreamReset:
            if self._streams.is_young(event.stream_id, YOUNG_SECONDS):
                self._on_misuse(b"too_many_resets")
        elif type(event) is PingReceived:
            self._on_ping()
        elif type(event) is PingAcknowledged:
            if event.opaque_data == _DRAIN_PING:
                self._send_last_goaway()
        elif type(event) is SettingsReceived:
            self._on_settings(event)
        elif type(event) is WindowUpdated:
            self._streams.on_window(event.stream_id, event.increment)
        elif type(event) is TrailersReceived:
            self._streams.on_trailers(event.stream_id)
        elif type(event) is ConnectionClosed:
            self._close()

    def _on_settings(self, event: SettingsReceived) -> None:
        self._settings_received = True
        self._streams.window_bytes = event.settings.get(_INITIAL_WINDOW_SIZE, self._streams.window_bytes)
        self._streams.header_bytes_max = min(self._http2.peer_header_bytes_max, TRAILER_BYTES_MAX)
        if not self._settings.take(self._now()):
            self._end(ErrorCode.ENHANCE_YOUR_CALM, b"too_many_settings")

    def _on_misuse(self, reason: bytes, count: int = 1) -> None:
        """Count calls that cost their caller almost nothing, and end the connection when there are too many."""
        if not self._resets.take(self._now(), count):
            self._end(ErrorCode.ENHANCE_YOUR_CALM, reason)

    def _on_ping(self) -> None:
        sent = self._streams.answers + self._streams.body_bytes - self._streams.unsent_bytes
        if sent != self._sent_seen:
            # Some clients send a PING after each answer, and after each part of a long one, to measure the round trip.
            self._sent_seen = sent
            self._pings.refill()
        if not self._pings.take(self._now()):
            self._end(ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings")

    def _write(self) -> None:
        if self._is_buffer_full or self._transport is None:
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
            self.write_soon()  # in the next turn of the event loop, so that others write in between
        else:
            self._streams.on_written()
        self._count_unsent()
        if self._ending or (self._last_goaway_sent and not self._streams and not self._http2.wants_to_send):
            self._close()

    def _count_unsent(self) -> None:
        """Count the bytes of answers that the caller has not taken, and note when it last took some."""
        unsent = self._streams.count_unsent()
        taken = self._streams.body_bytes - unsent
        if taken != self._taken_bytes or not self._unsent_bytes:
            self._taken_bytes = taken
            self._taken = self._now()
        self._unsent_bytes = unsent

    def _send_last_goaway(self) -> None:
        """Send the GOAWAY that names the last stream to be served; close when all streams have ended."""
        if not self._last_goaway_sent:
            self._last_goaway_sent = True
            self._http2.send_goaway()
            self._streams.refuse_above(self._http2.last_stream_id)
            self._streams.send_refusals()
            self.write_soon()

    def _end(self, code: ErrorCode, reason: bytes) -> None:
        """End the connection now, with a GOAWAY that has the reason."""
        if not self._ending:
            self._ending = True
            self._http2.send_goaway(code, reason)
            self.write_soon()

    def _break(self, broken: ConnectionBroken) -> None:
        """End a connection whose caller broke the protocol."""
        if self._transport is not None and self._closing is None:
            self._transport.write(broken.last_bytes)
            self._ending = True
            self._close()

    def _close(self) -> None:
        """Write what is left, and wait for the caller to read it: closing while input is unread would destroy it.

        If the caller did nothing wrong, first wait until all is sent: it may be answers to a slow reader.
        """
        if self._transport is None or self._closing is not None:
            return
        self._drop_unread()
        if not self._ending:
            self._ends_cleanly = self._ending = True
            self._keepalive_sent_at = None  # the acknowledgement would not be read
            if self._transport.get_write_buffer_size():
                self._taken = self._now()
                self._transport.set_write_buffer_limits(0)  # so that resume_writing is called when all has left
        if self._ends_cleanly and self._transport.get_write_buffer_size():
            return
        self._closing = self._now()
        if self._transport.can_write_eof():
            with suppress(OSError):  # the caller closed first
                self._transport.write_eof()
        else:
            self._transport.close()
