"""HTTP/2 frames made and read by hand: also those that no library would send."""

from hpack import Decoder

DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STREAMS_MAX, STREAM_WINDOW, FRAME_BYTES_MAX, HEADER_BYTES_MAX = 3, 4, 5, 6
"""Settings."""
WINDOW_BYTES = 65_535
"""A window before anything was said about it."""
ALL = 2**30
"""More than any test sends."""

CALL = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/some.v1.Service/Do"),
    (b":authority", b"localhost"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
)


def frame(kind, flags=0, stream=0, payload=b""):
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def field_block(fields):
    """Literals without indexing: no state is shared with other blocks."""
    return b"".join([b"\0" + _text(name) + _text(value) for name, value in fields])


def _text(text):
    """A string without Huffman's code; its length has a prefix of 7 bits (RFC 7541, section 5)."""
    length, size = len(text), b""
    if length < 127:
        return bytes((length,)) + text
    length -= 127
    while length >= 128:
        size += bytes((length % 128 + 128,))
        length //= 128
    return b"\x7f" + size + bytes((length,)) + text


def header_frames(stream, block, *, end=False):
    """A block of headers, in as many frames as it needs."""
    parts = [block[start : start + 16_384] for start in range(0, len(block), 16_384)] or [b""]
    kinds = [HEADERS] + [CONTINUATION] * (len(parts) - 1)
    flags = [END_STREAM * end] + [0] * (len(parts) - 1)
    flags[-1] |= END_HEADERS
    return b"".join([frame(kind, flag, stream, part) for kind, flag, part in zip(kinds, flags, parts, strict=True)])


def request(stream, *more, fields=CALL, end=False):
    """A call's headers."""
    return header_frames(stream, field_block((*fields, *more)), end=end)


def data(stream, payload=b"", *, end=False, padding=None):
    if padding is None:
        return frame(DATA, END_STREAM * end, stream, payload)
    return frame(DATA, END_STREAM * end | PADDED, stream, bytes((padding,)) + payload + bytes(padding))


def settings(values=None):
    values = values or {}
    return frame(SETTINGS, 0, 0, b"".join([name.to_bytes(2) + value.to_bytes(4) for name, value in values.items()]))


def settings_ack():
    return frame(SETTINGS, ACK, 0)


def reset(stream, code=8):
    return frame(RESET, 0, stream, code.to_bytes(4))


def ping(payload=b"12345678", *, ack=False):
    return frame(PING, ACK * ack, 0, payload)


def goaway(last_stream, code=0, debug=b""):
    return frame(GOAWAY, 0, 0, last_stream.to_bytes(4) + code.to_bytes(4) + debug)


def window_update(stream, more):
    return frame(WINDOW_UPDATE, 0, stream, more.to_bytes(4))


def split(sent):
    """The whole frames that were sent, as (kind, flags, stream, payload)."""
    frames = []
    at = 0
    while at < len(sent):
        end = at + 9 + int.from_bytes(sent[at : at + 3])
        assert end <= len(sent), "a frame is not whole"
        frames.append((sent[at + 3], sent[at + 4], int.from_bytes(sent[at + 5 : at + 9]), sent[at + 9 : end]))
        at = end
    return frames


class Reader:
    """Says what frames mean, with one HPACK table for the whole connection."""

    def __init__(self):
        self._decoder = Decoder()

    def read(self, sent):
        return [self._meaning(*each) for each in split(sent)]

    def _meaning(self, kind, flags, stream, payload):
        if kind == HEADERS:
            assert flags & END_HEADERS, "continued headers"
            return ("headers", stream, tuple(self._decoder.decode(payload, raw=True)), bool(flags & END_STREAM))
        if kind == DATA:
            return ("data", stream, payload, bool(flags & END_STREAM))
        if kind == RESET:
            return ("reset", stream, int.from_bytes(payload))
        if kind == GOAWAY:
            return ("goaway", int.from_bytes(payload[:4]), int.from_bytes(payload[4:8]), payload[8:])
        if kind == WINDOW_UPDATE:
            return ("window", stream, int.from_bytes(payload))
        if kind == PING:
            return ("ping", payload, bool(flags & ACK))
        assert kind == SETTINGS
        values = {
            int.from_bytes(payload[at : at + 2]): int.from_bytes(payload[at + 2 : at + 6])
            for at in range(0, len(payload), 6)
        }
        return ("settings", values, bool(flags & ACK))
