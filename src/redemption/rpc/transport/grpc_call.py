"""What gRPC adds to HTTP/2: message framing, deadlines and statuses. No socket and no event loop.

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
"""The prefix of each message: one byte of flags (1: compressed), and the length in four bytes, big-endian."""
CONTENT_TYPE = b"application/grpc"
RESPONSE_HEADERS = ((b":status", b"200"), (b"content-type", CONTENT_TYPE))
OK_TRAILERS = ((b"grpc-status", b"0"),)
TRAILER_BYTES_MAX = 8 * 1024
"""Common clients refuse longer headers or trailers, and end the call without its status."""
FRAME_BYTES_MEAN = 64
FRAMES_FREE = 256
"""A message may come in this many frames, and in one more for every 64 bytes of it."""
INFLATED_BYTES_FREE = 64 * 1024
INFLATED_TIMES_MAX = 64
"""A compressed message may become this many times as long, and 64 KiB in any case. An order becomes 3 to 10 times as
long, and a batch of similar orders up to 50 times. A few bytes that become megabytes are an attack."""
_ENCODINGS = frozenset((b"identity", b"gzip", b"deflate"))
_ACCEPTED_ENCODINGS = ((b"grpc-accept-encoding", b"identity,deflate,gzip"),)
_COMPRESSED = 1
_ANY_WINDOW = 47
"""For zlib: detect from the data whether it is gzip or zlib's own format, which HTTP calls deflate."""

_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_PLAIN = frozenset(range(0x20, 0x7F)) - {ord("%")}
"""The bytes of a status message that are not percent-encoded."""


class Rejected(Exception):
    """A call is refused.

    Attributes:
        headers: The whole answer: one header block that ends the stream.
    """

    def __init__(self, headers: Headers) -> None:
        super().__init__(headers)
        self.headers = headers


def read_head(fields: Mapping[bytes, bytes]) -> tuple[float | None, bool]:
    """Return what the headers of a call hold: its timeout in seconds, and whether messages may be compressed.

    Raises:
        Rejected: It is not a gRPC call, or its headers are malformed or not supported.
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
    """Return the seconds of a ``grpc-timeout``; zero means that the deadline has passed.

    Raises:
        Rejected: Its format is wrong.
    """
    found = _TIMEOUT.fullmatch(value)
    if found is None:
        raise Rejected(trailers_only(statuses.TIMEOUT_MALFORMED))
    return int(found[1]) * _UNIT_SECONDS[found[2]]


class MessageReader:
    """Joins the one message of a call from the parts in which it comes."""

    __slots__ = ("_bytes_max", "_compressed", "_frames", "_held_bytes", "_is_packed", "_length", "_parts")

    def __init__(self, *, compressed: bool, bytes_max: int) -> None:
        """Begin without data; ``compressed`` allows a compressed message, ``bytes_max`` limits its length."""
        self._compressed = compressed
        self._bytes_max = bytes_max
        self._parts: list[bytes] = []  # without the prefix, once the length is known
        self._held_bytes = 0
        self._frames = 0
        self._length: int | None = None
        self._is_packed = False

    def feed(self, data: bytes) -> int | None:
        """Take a part. Return the length of the message if this part completes the prefix, else None.

        Raises:
            Rejected: The message breaks a rule or a limit.
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
        """Return the message, after the caller has sent everything.

        Raises:
            Rejected: It is missing, incomplete, or too long when it is unpacked.
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
    """Splits the data of a call into its messages, for a method that takes many messages."""

    __slots__ = ("_bytes_max", "_data", "_taken")

    def __init__(self, *, bytes_max: int) -> None:
        """Begin without data; ``bytes_max`` limits all messages together."""
        self._bytes_max = bytes_max
        self._data = bytearray()
        self._taken = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take a part, and return the messages that it completes.

        Raises:
            Rejected: The messages are too long, or compressed.
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
        """Bytes of an incomplete message."""
        return len(self._data)

    def end(self) -> None:
        """Note that the caller has sent everything.

        Raises:
            Rejected: The last message is incomplete.
        """
        if self._data:
            raise Rejected(trailers_only(statuses.CUT_MESSAGE))


def whole_message(data: bytes, bytes_max: int) -> bytes | None:
    """Return the message of a call whose data is one frame; None unless it is one plain message, not too long."""
    length = len(data) - PREFIX_BYTES
    if 0 <= length <= bytes_max and not data[0] and int.from_bytes(data[1:PREFIX_BYTES], "big") == length:
        return data[PREFIX_BYTES:]
    return None


def inflate(data: bytes, bytes_max: int) -> bytes | None:
    """Return the unpacked data, or None when it is longer than ``bytes_max``: unpacking stops there.

    Raises:
        Rejected: The data is damaged or incomplete, or other data follows it.
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
    """Return a message with its prefix, uncompressed."""
    return b"\0" + len(message).to_bytes(4, "big") + message


@lru_cache(maxsize=256)
def trailers_of(status: Status) -> Headers:
    """Return the trailers that end a call."""
    fields = [(b"grpc-status", b"%d" % status.code), (b"grpc-message", percent_encoded(status.message))]
    if status.details:
        fields.append((b"grpc-status-details-bin", base64.b64encode(status.details).rstrip(b"=")))
    if status.pushback_ms:
        fields.append((b"grpc-retry-pushback-ms", b"%d" % status.pushback_ms))
    return tuple(fields)


@lru_cache(maxsize=256)
def trailers_only(status: Status) -> Headers:
    """Return the one header block that answers a call with a status and no message."""
    return (*RESPONSE_HEADERS, *trailers_of(status))


def fitting(fields: Headers, bytes_max: int) -> Headers:
    """Return the fields, without the details, and then without the message, if they are longer than the peer accepts.

    With the code alone, a caller still knows the kind of failure; with trailers that are too long, it knows nothing.
    """
    for name in (b"grpc-status-details-bin", b"grpc-message"):
        if list_bytes(fields) <= bytes_max:
            return fields
        fields = tuple([field for field in fields if field[0] != name])
    return fields


def percent_encoded(message: str) -> bytes:
    """Return a status message, encoded for ``grpc-message``."""
    raw = message.encode("utf-8", "replace")
    return b"".join([b"%c" % byte if byte in _PLAIN else b"%%%02X" % byte for byte in raw])


def _is_grpc(content_type: bytes) -> bool:
    kind = content_type.partition(b";")[0].strip().lower()
    return kind in {CONTENT_TYPE, b"application/grpc+proto"}


def _http_error(http_status: bytes, status: Status) -> Headers:
    """Return the answer to a request that is not a gRPC call; a gRPC client can still read the status in it."""
    return ((b":status", http_status), (b"content-type", CONTENT_TYPE), *trailers_of(status))
