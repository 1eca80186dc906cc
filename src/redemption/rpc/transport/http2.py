"""One HTTP/2 connection without a socket: bytes in, events out; frames in, bytes out. Only this file uses ngh2.

libnghttp2 does framing, HPACK, flow control and the checks of RFC 9113. This file adds what libnghttp2 leaves to its
user: it acknowledges received data, keeps a reset from overtaking an answer, and closes the connection in order.
Another engine can replace it: the tests of this file also run on the pure-Python h2.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from struct import pack
from typing import TypeAlias

from ngh2 import (
    Configuration,
    Connection,
    ConnectionClosed,
    DataReceived,
    DenialOfServiceError,
    ErrorCode,
    Event,
    GoAwayReceived,
    NGH2Error,
    PingAcknowledged,
    PingReceived,
    RequestReceived,
    Role,
    Setting,
    SettingsReceived,
    StreamClosed,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)

__all__ = [
    "ConnectionBroken",
    "ConnectionClosed",
    "DataReceived",
    "ErrorCode",
    "Event",
    "GoAwayReceived",
    "Headers",
    "Http2Bounds",
    "Http2Connection",
    "PingAcknowledged",
    "PingReceived",
    "RequestReceived",
    "SettingsReceived",
    "StreamClosed",
    "StreamReset",
    "TrailersReceived",
    "WindowUpdated",
]

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

FIELD_OVERHEAD_BYTES = 32
"""The bytes that a header field counts in addition to its name and value (RFC 9113, section 6.5.2)."""
HEADERS_UNBOUNDED = 2**32 - 1
"""The bytes of headers that a peer accepts when it names no limit."""
_GOAWAY_TYPE = 7
_FRAME_BYTES_MAX = 16_384
_WINDOW_MAX = 2**31 - 1

# The engine's own limits are the last resort: each ends the whole connection. So all are far above our own bounds,
# which refuse a single call.
_ENGINE_HEADER_BYTES_MAX = 128 * 1024
_ENGINE_HEADER_FIELDS_MAX = 4_096
_ENGINE_RESETS = (100_000, 20_000)
_ENGINE_GLITCHES = (100_000, 10_000)
_ENGINE_UNSENT_ACKNOWLEDGEMENTS_MAX = 10_000


class ConnectionBroken(Exception):
    """The peer broke the protocol, and the connection cannot be used any more.

    After this, nothing is received, and queued data is dropped.

    Attributes:
        last_bytes: The last bytes to write before the connection is closed.
    """

    def __init__(self, message: str, last_bytes: bytes) -> None:
        super().__init__(message)
        self.last_bytes = last_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Http2Bounds:
    """The limits that are sent to the peer when a connection begins.

    Attributes:
        streams_max: Open streams.
        header_bytes_max: The length of a header list, counted as in RFC 9113.
        stream_window_bytes: Bytes that may be sent on a stream before any are acknowledged.
        connection_window_bytes: The same for all streams together.
    """

    streams_max: int
    header_bytes_max: int
    stream_window_bytes: int
    connection_window_bytes: int


class Http2Connection:
    """The server's side of one connection."""

    __slots__ = (
        "_cut",
        "_ended",
        "_engine",
        "_last_stream_id",
        "_lost_bytes",
        "_window_bytes",
        "_window_bytes_min",
    )

    def __init__(self, bounds: Http2Bounds) -> None:
        """Begin a connection; ``bytes_to_send`` has the first bytes to write."""
        self._engine = Connection(
            Role.SERVER,
            Configuration(
                auto_window_update=False,
                max_inbound_header_list_size=_ENGINE_HEADER_BYTES_MAX,
                max_inbound_header_count=_ENGINE_HEADER_FIELDS_MAX,
                stream_reset_rate_limit=_ENGINE_RESETS,
                glitch_rate_limit=_ENGINE_GLITCHES,
                max_outbound_ack=_ENGINE_UNSENT_ACKNOWLEDGEMENTS_MAX,
            ),
        )
        self._engine.initiate_connection(
            {
                Setting.MAX_CONCURRENT_STREAMS: bounds.streams_max,
                Setting.INITIAL_WINDOW_SIZE: bounds.stream_window_bytes,
                Setting.MAX_HEADER_LIST_SIZE: bounds.header_bytes_max,
                Setting.NO_RFC7540_PRIORITIES: 1,
            }
        )
        self._window_bytes = bounds.connection_window_bytes
        # All bytes are acknowledged as they come, except those of a frame that is half received. The engine sends a
        # WINDOW_UPDATE when half of the window is acknowledged. So when all is written, the caller may send at least
        # this many bytes. If it may not, then the engine lost count of some: it does not count a frame that it drops,
        # which is one half received when its stream is reset, or one that ends a message with a wrong content-length.
        self._window_bytes_min = self._window_bytes - self._window_bytes // 2 - _FRAME_BYTES_MAX
        self._engine.set_local_window_size(self._window_bytes)
        self._lost_bytes = 0
        self._last_stream_id = 0
        self._cut = False
        self._ended = False

    @property
    def last_stream_id(self) -> int:
        """The newest stream that the peer opened; 0 when it opened none."""
        return self._last_stream_id

    @property
    def peer_header_bytes_max(self) -> int:
        """The longest header list that the peer accepts, counted as in RFC 9113."""
        try:
            return self._engine.remote_settings.get(Setting.MAX_HEADER_LIST_SIZE, HEADERS_UNBOUNDED)
        except NGH2Error:
            return HEADERS_UNBOUNDED

    @property
    def unsent_bytes(self) -> int:
        """Bytes of all bodies that wait for the peer's windows."""
        return self._engine.queued_body_size()

    def unsent_bytes_of(self, stream_id: int) -> int:
        """Bytes of one body that wait for the peer's windows."""
        return self._engine.queued_body_size(stream_id)

    @property
    def wants_to_send(self) -> bool:
        """Whether ``bytes_to_send`` would return bytes."""
        try:
            return self._engine.want_write
        except NGH2Error:
            return False

    def receive(self, data: bytes | memoryview) -> list[Event]:
        """Take bytes from the peer, and return their events.

        Bytes of bodies are acknowledged at once: whether there is room for a message is decided earlier, when its
        length is announced.

        Raises:
            ConnectionBroken: The connection has to be closed.
        """
        engine = self._engine
        try:
            engine.receive_data(data)
        except NGH2Error as error:
            code = ErrorCode.ENHANCE_YOUR_CALM if isinstance(error, DenialOfServiceError) else ErrorCode.PROTOCOL_ERROR
            # If the last write ended within a frame, a GOAWAY would be read as the rest of that frame.
            last_bytes = b"" if self._cut else _goaway(self._last_stream_id, code)
            raise ConnectionBroken(str(error), last_bytes) from error
        events = engine.events()
        try:
            for event in events:
                if type(event) is DataReceived:
                    if event.data:
                        engine.acknowledge_received_data(len(event.data), event.stream_id)
                elif type(event) is RequestReceived:
                    self._last_stream_id = event.stream_id
        except NGH2Error:  # these bytes ended the connection: nothing can be acknowledged
            return events
        return events

    def bytes_to_send(self, bytes_max: int) -> tuple[bytes, list[Event]]:
        """Return at most ``bytes_max`` bytes to write now, and the events of writing them.

        Raises:
            ConnectionBroken: The connection has to be closed. The engine answers many errors of the peer with a GOAWAY
                of its own, and only reports them when that is written.
        """
        engine = self._engine
        try:
            data = engine.data_to_send(bytes_max)
            events = engine.events()
            if events and type(last := events[-1]) is ConnectionClosed:
                if self._ended or last.error_code == ErrorCode.NO_ERROR:
                    return data, events
                raise ConnectionBroken(f"error {last.error_code}: {last.debug_data!r}", data)
            self._cut = len(data) == bytes_max
            if not self._cut and self._return_lost_bytes():
                data += engine.data_to_send(bytes_max - len(data))
                self._cut = len(data) == bytes_max
        except NGH2Error as error:
            raise ConnectionBroken(str(error), b"") from error
        return data, events

    def _return_lost_bytes(self) -> bool:
        """Return to the caller the bytes of its window that the engine lost count of; return whether there were any."""
        engine = self._engine
        try:
            lost_bytes = self._window_bytes_min - engine.local_window_size
        except NGH2Error:  # the connection has ended
            return False
        if lost_bytes <= 0:
            return False
        self._lost_bytes = min(self._lost_bytes + lost_bytes, _WINDOW_MAX - self._window_bytes)
        # The engine does not report a smaller window to the caller, but remembers the difference. When the window is
        # enlarged again, the caller gets what exceeds that difference: the bytes that were lost since.
        engine.set_local_window_size(self._window_bytes + self._lost_bytes)
        engine.set_local_window_size(self._window_bytes)
        return True

    def answer(self, stream_id: int, headers: Headers, body: bytes = b"", trailers: Headers = ()) -> None:
        """Queue a whole answer; without trailers, the answer is the headers alone.

        Here and in all other methods, data for a stream that has ended is dropped: nobody would read it.
        """
        engine = self._engine
        try:
            if trailers:
                engine.send_response(stream_id, headers)
                engine.send_data(stream_id, body)
                engine.send_trailers(stream_id, trailers)
            else:
                engine.send_response(stream_id, headers, end_stream=True)
        except NGH2Error:
            return

    def begin_answer(self, stream_id: int, headers: Headers) -> None:
        """Queue the headers of an answer that is sent in parts."""
        with suppress(NGH2Error):
            self._engine.send_response(stream_id, headers)

    def send_body(self, stream_id: int, data: bytes) -> None:
        """Queue a part of an answer that was begun."""
        with suppress(NGH2Error):
            self._engine.send_data(stream_id, data)

    def end_answer(self, stream_id: int, trailers: Headers) -> None:
        """Queue the end of an answer that was begun."""
        with suppress(NGH2Error):
            self._engine.send_trailers(stream_id, trailers)

    def widen(self, stream_id: int, window_bytes: int) -> None:
        """Enlarge the window of a stream: the bytes that the peer may send without an acknowledgement."""
        with suppress(NGH2Error):
            self._engine.set_local_window_size(window_bytes, stream_id=stream_id)

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """End a stream in both directions. What is queued on it is lost, so an answer has to be written before."""
        with suppress(NGH2Error):
            self._engine.reset_stream(stream_id, code)

    def ping(self, data: bytes) -> None:
        """Send a PING with these eight bytes."""
        with suppress(NGH2Error):
            self._engine.ping(data)

    def send_shutdown_notice(self) -> None:
        """Ask the peer to open no more streams; streams that it opens before it gets this are still served."""
        with suppress(NGH2Error):
            self._engine.send_shutdown_notice()

    def send_goaway(self, code: ErrorCode = ErrorCode.NO_ERROR, debug_data: bytes = b"") -> None:
        """Send a GOAWAY: no stream after the newest one is served."""
        self._ended = code != ErrorCode.NO_ERROR
        with suppress(NGH2Error):
            self._engine.send_goaway(code, last_stream_id=self._last_stream_id, debug_data=debug_data)


def list_bytes(headers: Headers) -> int:
    """Return the length of a header list, counted as in RFC 9113, section 6.5.2."""
    return sum([len(name) + len(value) for name, value in headers]) + FIELD_OVERHEAD_BYTES * len(headers)


def _goaway(last_stream_id: int, code: ErrorCode) -> bytes:
    """Return a GOAWAY frame (RFC 9113, section 6.8); an engine that has failed does not write one."""
    payload = pack(">II", last_stream_id, code)
    return len(payload).to_bytes(3, "big") + pack(">BBI", _GOAWAY_TYPE, 0, 0) + payload
