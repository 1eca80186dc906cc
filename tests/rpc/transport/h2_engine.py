"""What `Http2Connection` does, on the pure-Python h2: the tests of http2.py run on this as well.

It is no faster than it needs to be, and it frames what is queued at once, not when it is asked for its bytes.
"""

from contextlib import suppress
from types import MappingProxyType

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    PingAckReceived,
    PingReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame
from rpc.transport.wire import WINDOW_BYTES

from redemption.rpc.transport import http2
from redemption.rpc.transport.http2 import HEADERS_UNBOUNDED, ConnectionBroken, ErrorCode

STREAM_ID_MAX = 2**31 - 1
HEADER_BYTES_MAX = 128 * 1024


class _Answer:
    """What is still to be sent on a stream."""

    def __init__(self):
        self.body = bytearray()
        self.trailers = None
        self.ended = False
        self.request_ended = False


class H2Engine:
    """The server's end of one connection."""

    def __init__(self, bounds):
        self._h2 = H2Connection(
            H2Configuration(client_side=False, validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self._h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: bounds.streams_max,
                SettingCodes.INITIAL_WINDOW_SIZE: bounds.stream_window_bytes,
                SettingCodes.MAX_HEADER_LIST_SIZE: bounds.header_bytes_max,
            },
        )
        self._h2.initiate_connection()
        self._h2.decoder.max_header_list_size = HEADER_BYTES_MAX
        if bounds.connection_window_bytes > WINDOW_BYTES:
            self._h2.increment_flow_control_window(bounds.connection_window_bytes - WINDOW_BYTES)
        self._out = bytearray()
        self._events = []
        self._streams = {}
        self._header_bytes_max = HEADERS_UNBOUNDED
        self._served = STREAM_ID_MAX
        self._leaving = self._broken = self._closed = False
        self._code = ErrorCode.NO_ERROR
        self.last_stream_id = 0

    @property
    def peer_header_bytes_max(self):
        return self._header_bytes_max

    @property
    def unsent_bytes(self):
        return sum([len(answer.body) for answer in self._streams.values()])

    def unsent_bytes_of(self, stream_id):
        answer = self._streams.get(stream_id)
        return 0 if answer is None else len(answer.body)

    @property
    def wants_to_send(self):
        self._collect()
        return bool(self._out)

    def receive(self, data):
        if self._broken or self._closed:
            raise ConnectionBroken("it has ended", b"")
        try:
            found = self._h2.receive_data(data)
        except ProtocolError as error:
            self._broken = True
            words = self._h2.data_to_send() or GoAwayFrame(0, error_code=error.error_code).serialize()
            raise ConnectionBroken(str(error), words) from error
        for event in found:
            self._take(event)
        for stream_id in list(self._streams):
            self._flush(stream_id)
        self._close_when_done()
        events, self._events = self._events, []
        return events

    def bytes_to_send(self, bytes_max):
        self._collect()
        self._close_when_done()
        data = bytes(self._out[:bytes_max])
        del self._out[:bytes_max]
        events, self._events = self._events, []
        return data, events

    def answer(self, stream_id, headers, body=b"", trailers=()):
        answer = self._streams.get(stream_id)
        if answer is None or answer.ended:
            return
        if trailers:
            self.begin_answer(stream_id, headers)
            self.send_body(stream_id, body)
            self.end_answer(stream_id, trailers)
        else:
            with suppress(ProtocolError):
                self._h2.send_headers(stream_id, headers, end_stream=True)
                answer.ended = True
                self._forget_when_done(stream_id)

    def begin_answer(self, stream_id, headers):
        if stream_id in self._streams:
            with suppress(ProtocolError):
                self._h2.send_headers(stream_id, headers)

    def send_body(self, stream_id, data):
        if stream_id in self._streams:
            self._streams[stream_id].body += data
            self._flush(stream_id)

    def end_answer(self, stream_id, trailers):
        if stream_id in self._streams:
            self._streams[stream_id].trailers = trailers
            self._flush(stream_id)

    def widen(self, stream_id, window_bytes):
        if stream_id in self._streams:
            more = window_bytes - self._h2.remote_flow_control_window(stream_id)
            with suppress(ProtocolError):
                self._h2.increment_flow_control_window(more, stream_id)

    def reset(self, stream_id, code):
        if self._streams.pop(stream_id, None) is not None:
            with suppress(ProtocolError):
                self._h2.reset_stream(stream_id, code)
                self._events.append(http2.StreamClosed(stream_id, code, None))

    def ping(self, data):
        with suppress(ProtocolError):
            self._h2.ping(data)

    def send_shutdown_notice(self):
        self._goaway(STREAM_ID_MAX, ErrorCode.NO_ERROR, b"")

    def send_goaway(self, code=ErrorCode.NO_ERROR, debug_data=b""):
        self._leaving = True
        self._code = code
        self._served = self.last_stream_id
        self._goaway(self._served, code, debug_data)

    def _goaway(self, last_stream_id, code, debug_data):
        """Write the frame past h2, which takes nothing more after one of its own."""
        if not self._broken:
            self._collect()
            frame = GoAwayFrame(0, last_stream_id=last_stream_id, error_code=code, additional_data=debug_data)
            self._out += frame.serialize()

    def _collect(self):
        self._out += self._h2.data_to_send()

    def _take(self, event):
        """Understand one event of h2's."""
        if type(event) is DataReceived:
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if (getattr(event, "stream_id", None) or 0) <= self._served:
            take = self._TAKES.get(type(event))
            if take is not None:
                take(self, event)

    def _on_request(self, event):
        self.last_stream_id = event.stream_id
        self._streams[event.stream_id] = _Answer()
        headers = tuple([(bytes(name), bytes(value)) for name, value in event.headers])
        self._events.append(http2.RequestReceived(event.stream_id, headers, event.stream_ended is not None))

    def _on_data(self, event):
        if event.stream_id in self._streams:
            self._events.append(http2.DataReceived(event.stream_id, event.data, event.stream_ended is not None))

    def _on_trailers(self, event):
        self._events.append(http2.TrailersReceived(event.stream_id, tuple(event.headers)))

    def _on_end(self, event):
        if event.stream_id in self._streams:
            self._streams[event.stream_id].request_ended = True
            self._forget_when_done(event.stream_id)

    def _on_reset(self, event):
        if self._streams.pop(event.stream_id, None) is not None:
            if event.remote_reset:
                self._events.append(http2.StreamReset(event.stream_id, event.error_code))
            self._events.append(http2.StreamClosed(event.stream_id, event.error_code, None))

    def _on_settings(self, event):
        values = {int(name): changed.new_value for name, changed in event.changed_settings.items()}
        self._header_bytes_max = values.get(SettingCodes.MAX_HEADER_LIST_SIZE, self._header_bytes_max)
        self._events.append(http2.SettingsReceived(values))

    def _on_ping(self, event):
        self._events.append(http2.PingReceived(event.ping_data))

    def _on_ping_ack(self, event):
        self._events.append(http2.PingAcknowledged(event.ping_data))

    def _on_window(self, event):
        self._events.append(http2.WindowUpdated(event.stream_id, event.delta))

    def _on_goaway(self, event):
        self._leaving = True
        self._code = event.error_code
        debug_data = event.additional_data or b""
        self._events.append(http2.GoAwayReceived(event.last_stream_id, event.error_code, debug_data))

    _TAKES = MappingProxyType(
        {
            RequestReceived: _on_request,
            DataReceived: _on_data,
            TrailersReceived: _on_trailers,
            StreamEnded: _on_end,
            StreamReset: _on_reset,
            RemoteSettingsChanged: _on_settings,
            PingReceived: _on_ping,
            PingAckReceived: _on_ping_ack,
            WindowUpdated: _on_window,
            ConnectionTerminated: _on_goaway,
        }
    )

    def _flush(self, stream_id):
        """Send as much of an answer as the windows allow."""
        answer = self._streams.get(stream_id)
        if answer is None or answer.ended:
            return
        with suppress(ProtocolError):
            while answer.body:
                room = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
                if room <= 0:
                    return
                self._h2.send_data(stream_id, bytes(answer.body[:room]))
                del answer.body[:room]
            if answer.trailers is not None:
                self._h2.send_headers(stream_id, answer.trailers, end_stream=True)
                answer.ended = True
                self._forget_when_done(stream_id)

    def _forget_when_done(self, stream_id):
        answer = self._streams[stream_id]
        if answer.ended and answer.request_ended:
            del self._streams[stream_id]
            self._events.append(http2.StreamClosed(stream_id, ErrorCodes.NO_ERROR, None))

    def _close_when_done(self):
        if self._leaving and not (self._streams or self._closed or self._broken):
            self._closed = True
            self._events.append(http2.ConnectionClosed(self._code, b""))
