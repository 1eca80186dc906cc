"""A minimal HTTP/2 client: gRPC calls are encoded as frames before a run, and answers are parsed as little as possible.

A general client needs more CPU for a call than the server that it measures. This one knows its calls before the run:
headers are compressed without state (RFC 7541, section 6.2.2), stream ids ascend (RFC 9113, section 5.1.1), and of an
answer only the frame headers, the bytes of the message and the status are read. It has no sockets: bytes in, bytes out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

from grpc import StatusCode
from hpack import Decoder, HPACKError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_BYTES_MAX = 16_384
WINDOW_DEFAULT = 65_535
WINDOW_MAX = 2**31 - 1
TOP_UP_BYTES = 2**30
"""After this many received bytes the connection's window is opened again."""

_DATA, _HEADERS, _RESET, _SETTINGS, _PUSH_PROMISE, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0, 1, *range(3, 10)
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 1, 1, 4, 8
_HEADER_TABLE_SIZE, _ENABLE_PUSH, _INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE = 1, 2, 4, 5
_FRAME_HEAD_BYTES = 9
_MESSAGE_HEAD_BYTES = 5
_CANCEL = 8
_ERRORS = (
    *("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED"),
    *("FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"),
)
"""RFC 9113, section 7."""
_STATUSES = {str(code.value[0]): code.name for code in StatusCode}
_TOLD_CHARS_MAX = 120


class Call(NamedTuple):
    """One call as it is sent: its stream, all its frames, and how many of its bytes count for the server's windows."""

    stream: int
    frames: bytes
    counted: int


class ProtocolError(Exception):
    """The server ended the connection, or sent something that this client does not support."""


class Answer(NamedTuple):
    """How one call ended: its index, "OK" or the error, and the message if there was one."""

    call: int
    status: str
    message: bytes


def write_calls(authority: str, method: str, messages: Iterable[bytes], *, timeout: str = "10S") -> list[Call]:
    """Encode calls as the bytes that one connection sends, in this order.

    Args:
        authority: The server's host and port.
        method: The full path of the method.
        messages: The serialised requests.
        timeout: The timeout, in the format of ``grpc-timeout``.
    """
    # :method POST and :scheme http are in the static table; everything else is a literal without indexing.
    block = b"\x83\x86" + b"".join(
        [
            b"\x04" + _text(method),
            b"\x01" + _text(authority),
            b"\x0f\x10" + _text("application/grpc"),
            *(b"\x00" + _text(name) + _text(value) for name, value in (("te", "trailers"), ("grpc-timeout", timeout))),
        ]
    )
    return [_call(block, 2 * index + 1, message) for index, message in enumerate(messages)]


class Connection:
    """The client's side of one connection: what to send now, and which calls have ended.

    Calls are identified by their position in the result of ``write_calls``. The server's limit of concurrent streams is
    ignored: the server refuses calls above it, and a refused call makes the run invalid.
    """

    def __init__(self) -> None:
        self.ready = False
        """Whether the server's settings were received: then calls may begin."""
        settings = _settings(
            {
                _HEADER_TABLE_SIZE: 0,  # so that the same headers are always the same bytes
                _ENABLE_PUSH: 0,
                _INITIAL_WINDOW_SIZE: WINDOW_MAX,
                _MAX_FRAME_SIZE: 2**24 - 1,
            }
        )
        self._out = [PREFACE, settings, _window_update(0, WINDOW_MAX - WINDOW_DEFAULT)]
        self._in = bytearray()
        self._messages: dict[int, bytes] = {}  # calls in flight → received bytes of their answers
        self._statuses: dict[bytes, str] = {}
        self._received = 0
        self._window = WINDOW_DEFAULT
        self._stream_window = WINDOW_DEFAULT
        self._held: dict[int, _Held] = {}

    def send(self, call: Call) -> None:
        """Begin a call: queue what the server's windows allow now, and the rest when they allow it."""
        stream, frames, counted = call
        self._messages[stream] = b""
        if counted <= self._stream_window and counted <= self._window:
            self._window -= counted
            self._out.append(frames)
            return
        head, data = _taken_apart(frames)
        self._out.append(head)
        self._held[stream] = _Held(memoryview(data), self._stream_window)
        self._release()

    def take(self) -> bytes:
        """Return the bytes to send."""
        out, self._out = self._out, []
        return out[0] if len(out) == 1 else b"".join(out)

    def receive(self, data: bytes) -> list[Answer]:
        """Parse bytes from the server; return the calls that ended with them.

        Raises:
            ProtocolError: The connection cannot be used any more.
        """
        buffer = self._in
        buffer += data
        answers: list[Answer] = []
        position, end = 0, len(buffer)
        while end - position >= _FRAME_HEAD_BYTES:
            head = int.from_bytes(buffer[position : position + _FRAME_HEAD_BYTES])
            after = position + _FRAME_HEAD_BYTES + (head >> 48)
            if after > end:
                break
            payload = bytes(buffer[position + _FRAME_HEAD_BYTES : after])
            answer = self._read(head >> 40 & 0xFF, head >> 32 & 0xFF, head & WINDOW_MAX, payload)
            if answer is not None:
                answers.append(answer)
            position = after
        del buffer[:position]
        if self._received > TOP_UP_BYTES:
            self._out.append(_window_update(0, self._received))
            self._received = 0
        return answers

    def _read(self, kind: int, flags: int, stream: int, payload: bytes) -> Answer | None:
        """Parse a frame; return the answer that ends with it, or None."""
        if kind == _DATA:
            if flags & _PADDED:
                raise ProtocolError("the server pads its frames")
            self._received += len(payload)
            if stream in self._messages:
                self._messages[stream] += payload
            return self._ended(stream, "an answer without a status") if flags & _END_STREAM else None
        if kind == _HEADERS:
            if flags & ~_END_STREAM != _END_HEADERS:
                raise ProtocolError("the server continues or pads its headers")
            return self._ended(stream, self._status(payload)) if flags & _END_STREAM else None
        if kind == _RESET:
            return self._ended(stream, f"reset: {_error(payload)}")
        self._control(kind, flags, stream, payload)
        return None

    def _ended(self, stream: int, status: str) -> Answer | None:
        """Return how a call ended; None if it had ended already: a server that answers early also resets the stream."""
        framed = self._messages.pop(stream, None)
        if framed is None:
            return None
        if self._held.pop(stream, None):
            self._out.append(_frame(_RESET, 0, stream, _CANCEL.to_bytes(4)))
        if status == "OK" and not _whole(framed):
            status = "OK without one whole message"
        return Answer(stream >> 1, status, framed[_MESSAGE_HEAD_BYTES:])

    def _status(self, block: bytes) -> str:
        """Return the status in a block of trailers; cached, because most blocks are the same bytes."""
        status = self._statuses.get(block)
        if status is None:
            try:
                headers = dict(Decoder().decode(block))
            except HPACKError as error:
                raise ProtocolError(f"the server's headers cannot be read: {error}") from error
            status = self._statuses[block] = _status_of(headers)
        return status

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACK:
            self._out.append(_frame(_SETTINGS, _ACK, 0, b""))
            for position in range(0, len(payload), 6):
                if int.from_bytes(payload[position : position + 2]) == _INITIAL_WINDOW_SIZE:
                    self._resize(int.from_bytes(payload[position + 2 : position + 6]))
            self.ready = True
        elif kind == _PING and not flags & _ACK:
            self._out.append(_frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW_UPDATE:
            more = int.from_bytes(payload) & WINDOW_MAX
            if not stream:
                self._window += more
            elif stream in self._held:
                self._held[stream].window += more
            self._release()
        elif kind == _GOAWAY:
            why = payload[8:].decode(errors="replace")
            raise ProtocolError(f"the server says goodbye: {_error(payload[4:8])} {why}".rstrip())
        elif kind in {_PUSH_PROMISE, _CONTINUATION}:
            raise ProtocolError(f"the server sends a frame of type {kind}")

    def _resize(self, window: int) -> None:
        for held in self._held.values():
            held.window += window - self._stream_window
        self._stream_window = window
        self._release()

    def _release(self) -> None:
        """Queue bytes that were held back, as far as the windows allow now."""
        for stream, held in list(self._held.items()):
            while (size := min(len(held.data), held.window, self._window, FRAME_BYTES_MAX)) > 0:
                part, held.data = held.data[:size].tobytes(), held.data[size:]
                held.window -= size
                self._window -= size
                self._out.append(_frame(_DATA, 0 if held.data else _END_STREAM, stream, part))
            if not held.data:
                del self._held[stream]


@dataclass(slots=True)
class _Held:
    """The rest of a call that the windows do not allow yet, and the room in the stream's window, in bytes."""

    data: memoryview
    window: int


def _call(block: bytes, stream: int, message: bytes) -> Call:
    framed = b"\x00" + len(message).to_bytes(_MESSAGE_HEAD_BYTES - 1) + message
    frames = [_frame(_HEADERS, _END_HEADERS, stream, block)]
    for start in range(0, len(framed), FRAME_BYTES_MAX):
        last = start + FRAME_BYTES_MAX >= len(framed)
        frames.append(_frame(_DATA, _END_STREAM if last else 0, stream, framed[start : start + FRAME_BYTES_MAX]))
    return Call(stream, b"".join(frames), len(framed))


def _taken_apart(frames: bytes) -> tuple[bytes, bytes]:
    """Return the HEADERS frame of a call, and the content of its DATA frames."""
    parts = []
    position = 0
    while position < len(frames):
        after = position + _FRAME_HEAD_BYTES + int.from_bytes(frames[position : position + 3])
        parts.append(frames[position:after])
        position = after
    return parts[0], b"".join(part[_FRAME_HEAD_BYTES:] for part in parts[1:])


def _whole(framed: bytes) -> bool:
    """Whether these bytes are exactly one complete message that is not compressed."""
    return framed[:1] == b"\x00" and int.from_bytes(framed[1:_MESSAGE_HEAD_BYTES]) == len(framed) - _MESSAGE_HEAD_BYTES


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def _settings(values: dict[int, int]) -> bytes:
    payload = b"".join(name.to_bytes(2) + value.to_bytes(4) for name, value in values.items())
    return _frame(_SETTINGS, 0, 0, payload)


def _window_update(stream: int, more: int) -> bytes:
    return _frame(_WINDOW_UPDATE, 0, stream, more.to_bytes(4))


def _text(text: str) -> bytes:
    raw = text.encode()
    assert len(raw) < 127, "longer lengths are written otherwise"  # noqa: PLR2004 - RFC 7541, section 5.1
    return bytes((len(raw),)) + raw


def _status_of(headers: dict[str, str]) -> str:
    """Return the status in the last headers of an answer."""
    status = headers.get("grpc-status")
    if status is None:
        return f"HTTP {headers.get(':status', 'status missing')} without a gRPC status"
    name = _STATUSES.get(status, f"status {status}")
    message = unquote(headers.get("grpc-message", ""))[:_TOLD_CHARS_MAX]
    return f"{name}: {message}" if message and name != "OK" else name


def _error(payload: bytes) -> str:
    code = int.from_bytes(payload)
    return _ERRORS[code] if code < len(_ERRORS) else f"error {code}"
