"""What gRPC adds to HTTP/2: message framing, deadlines and statuses. Pure functions, no socket.

The rules are those of https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""

import base64
import re
import zlib
from collections.abc import Mapping
from functools import lru_cache

from redemption.rpc.transport import statuses
from redemption.rpc.transport.http2 import Headers, list_bytes
from redemption.rpc.transport.methods import Status

PREFIX_BYTES = 5
"""Before each message: a flag (1: compressed) and the length, four bytes, big-endian."""
CONTENT_TYPE = b"application/grpc"
RESPONSE_HEADERS = ((b":status", b"200"), (b"content-type", CONTENT_TYPE))
OK_TRAILERS = ((b"grpc-status", b"0"),)
TRAILER_BYTES_MAX = 8 * 1024
"""Common clients take no more as headers or trailers, and end the call without its status."""
FRAME_BYTES_MEAN = 64
FRAMES_FREE = 256
"""A message may come in so many frames, and in one more for each 64 bytes of it."""
INFLATED_BYTES_FREE = 64 * 1024
INFLATED_TIMES_MAX = 64
"""A compressed message may become so many times as long, and 64 KiB in any case. An order becomes three to ten times as
long, a batch of orders that are alike up to fifty; a few bytes that become megabytes are made to cost the server its
time."""
_ENCODINGS = frozenset((b"identity", b"gzip", b"deflate"))
_ACCEPTED_ENCODINGS = ((b"grpc-accept-encoding", b"identity,deflate,gzip"),)
_NO_RETRY = (b"grpc-retry-pushback-ms", b"-1")
_COMPRESSED = 1
_ANY_WINDOW = 47
"""For zlib: gzip or zlib's own format, which HTTP calls deflate, as the message says."""

_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_PLAIN = frozenset(range(0x20, 0x7F)) - {ord("%")}
"""What a message may hold as it is."""


class Rejected(Exception):
    """A call is not taken on.

    Attributes:
        headers: The whole answer: one header block that ends the stream.
    """

    def __init__(self, headers: Headers) -> None:
        super().__init__(headers)
        self.headers = headers


def read_head(fields: Mapping[bytes, bytes]) -> tuple[float | None, bool]:
    """Return what the headers of a call say: its time in seconds, and whether messages may be compressed.

    Raises:
        Rejected: It is no gRPC call, or one that cannot be understood.
    """
    content_type = fields.get(b"content-type", b"")
    if fields[b":method"] != b"POST":
        raise Rejected(_http_error(b"405", statuses.NO_POST))
    if content_type != CONTENT_TYPE and not _is_grpc(content_type):
        raise Rejected(_http_error(b"415", statuses.NO_GRPC))
    encoding = fields.get(b"grpc-encoding", b"identity")
    if encoding not in _ENCODINGS:
        raise Rejected((*trailers_only(statuses.ENCODING_UNKNOWN), *_ACCEPTED_ENCODINGS))
    timeout = fields.get(b"grpc-timeout")
    return None if timeout is None else timeout_seconds(timeout), encoding != b"identity"


def timeout_seconds(value: bytes) -> float:
    """Return what ``grpc-timeout`` says; zero means that the deadline has passed.

    Raises:
        Rejected: It is not written as the protocol says.
    """
    found = _TIMEOUT.fullmatch(value)
    if found is None:
        raise Rejected(trailers_only(statuses.TIMEOUT_MALFORMED))
    return int(found[1]) * _UNIT_SECONDS[found[2]]


class MessageReader:
    """Puts a call's one message together from the parts in which it comes."""

    __slots__ = ("_bytes_max", "_compressed", "_frames", "_held_bytes", "_is_packed", "_length", "_parts")

    def __init__(self, *, compressed: bool, bytes_max: int) -> None:
        """Begin with nothing; the message may be compressed or not, and have so many bytes."""
        self._compressed = compressed
        self._bytes_max = bytes_max
        self._parts: list[bytes] = []  # without the prefix, once the length is known
        self._held_bytes = 0
        self._frames = 0
        self._length: int | None = None
        self._is_packed = False

    def feed(self, data: bytes) -> int | None:
        """Take a part; returns how long the message will be when this part tells.

        Raises:
            Rejected: The message is not to be had.
        """
        self._parts.append(data)
        self._held_bytes += len(data)
        self._frames += 1
        if self._frames > FRAMES_FREE + self._held_bytes // FRAME_BYTES_MEAN:
            raise Rejected(trailers_only(statuses.SCATTERED_MESSAGE))
        announced = None
        if self._length is None:
            if self._held_bytes < PREFIX_BYTES:
                return None
            begin = b"".join(self._parts)
            announced = self._length = _message_length(begin, compressed=self._compressed)
            if announced > self._bytes_max:
                raise Rejected(trailers_only(statuses.message_too_large(self._bytes_max)))
            self._is_packed = bool(begin[0])
            self._parts = [begin[PREFIX_BYTES:]]
        if self._held_bytes > PREFIX_BYTES + self._length:
            raise Rejected(trailers_only(statuses.SEVERAL_MESSAGES))
        return announced

    def message(self) -> bytes:
        """Return the message, now that the caller has said all.

        Raises:
            Rejected: It is not there, not whole, or longer than it may be when it is unpacked.
        """
        if self._length is None or self._held_bytes < PREFIX_BYTES + self._length:
            raise Rejected(trailers_only(statuses.CUT_MESSAGE if self._held_bytes else statuses.NO_MESSAGE))
        message = b"".join(self._parts)
        if not self._is_packed:
            return message
        most = min(self._bytes_max, max(INFLATED_BYTES_FREE, INFLATED_TIMES_MAX * self._length))
        unpacked = inflate(message, most)
        if unpacked is None:
            refusal = statuses.INFLATES if most < self._bytes_max else statuses.message_too_large(self._bytes_max)
            raise Rejected(trailers_only(refusal))
        return unpacked


class DialogReader:
    """Takes the messages of a call of many messages out of the parts in which they come."""

    __slots__ = ("_bytes_max", "_data", "_taken")

    def __init__(self, *, bytes_max: int) -> None:
        """Begin with nothing; all messages together may have so many bytes."""
        self._bytes_max = bytes_max
        self._data = bytearray()
        self._taken = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take a part, and return the messages that are complete with it.

        Raises:
            Rejected: There is no going on.
        """
        held = self._data
        held += data
        self._taken += len(data)
        if self._taken > self._bytes_max:
            raise Rejected(trailers_only(statuses.message_too_large(self._bytes_max)))
        messages = []
        while len(held) >= PREFIX_BYTES:
            end = PREFIX_BYTES + _message_length(held, compressed=False)
            if len(held) < end:
                break
            messages.append(bytes(held[PREFIX_BYTES:end]))
            del held[:end]
        return messages

    @property
    def held_bytes(self) -> int:
        """Bytes of a message that is not complete."""
        return len(self._data)

    def end(self) -> None:
        """Take the end.

        Raises:
            Rejected: It came in the middle of a message.
        """
        if self._data:
            raise Rejected(trailers_only(statuses.CUT_MESSAGE))


def whole_message(data: bytes, bytes_max: int) -> bytes | None:
    """Return the message that a call's only frame holds; None when it is not as simple as that."""
    length = len(data) - PREFIX_BYTES
    if 0 <= length <= bytes_max and not data[0] and int.from_bytes(data[1:PREFIX_BYTES], "big") == length:
        return data[PREFIX_BYTES:]
    return None


def inflate(data: bytes, bytes_max: int) -> bytes | None:
    """Return what was compressed, or None when it is longer than ``bytes_max``: no more than that is ever unpacked.

    Raises:
        Rejected: It is not whole, or something follows it.
    """
    unpacker = zlib.decompressobj(_ANY_WINDOW)
    try:
        message = unpacker.decompress(data, bytes_max + 1)
    except zlib.error:
        message = b""
    else:
        if len(message) > bytes_max:
            return None
    if not unpacker.eof or unpacker.unused_data or unpacker.unconsumed_tail:
        raise Rejected(trailers_only(statuses.NOT_COMPRESSED))
    return message


def _message_length(prefix: bytes | bytearray, *, compressed: bool) -> int:
    """Return how many bytes follow a message's prefix."""
    if prefix[0] and (prefix[0] != _COMPRESSED or not compressed):
        raise Rejected(trailers_only(statuses.COMPRESSED_UNNAMED))
    return int.from_bytes(prefix[1:PREFIX_BYTES], "big")


def framed(message: bytes) -> bytes:
    """Return a message as it travels."""
    return b"\0" + len(message).to_bytes(4, "big") + message


@lru_cache(maxsize=256)
def trailers_of(status: Status) -> Headers:
    """Return the trailers that end a call."""
    fields = [(b"grpc-status", b"%d" % status.code), (b"grpc-message", percent_encoded(status.message))]
    if status.details:
        fields.append((b"grpc-status-details-bin", base64.b64encode(status.details).rstrip(b"=")))
    if status.final:
        fields.append(_NO_RETRY)
    return tuple(fields)


@lru_cache(maxsize=256)
def trailers_only(status: Status) -> Headers:
    """Return the one header block that answers a call which has no message to answer with."""
    return (*RESPONSE_HEADERS, *trailers_of(status))


def fitting(fields: Headers, bytes_max: int) -> Headers:
    """Return fields without their details, and without their message, when they would be longer than the peer takes.

    With the code alone a program still knows what happened; with trailers that are too long it knows nothing.
    """
    for name in (b"grpc-status-details-bin", b"grpc-message"):
        if list_bytes(fields) <= bytes_max:
            return fields
        fields = tuple([field for field in fields if field[0] != name])
    return fields


def percent_encoded(message: str) -> bytes:
    """Return a message as ``grpc-message`` carries it."""
    raw = message.encode("utf-8", "replace")
    return b"".join([b"%c" % byte if byte in _PLAIN else b"%%%02X" % byte for byte in raw])


def _is_grpc(content_type: bytes) -> bool:
    kind = content_type.partition(b";")[0].strip().lower()
    return kind in {CONTENT_TYPE, b"application/grpc+proto"}


def _http_error(http_status: bytes, status: Status) -> Headers:
    """Return the answer to a request that is no gRPC call; a gRPC client reads the status in it all the same."""
    return ((b":status", http_status), (b"content-type", CONTENT_TYPE), *trailers_of(status))
