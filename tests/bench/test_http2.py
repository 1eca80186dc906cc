"""The client's side of HTTP/2, byte for byte: what is sent when, and how received bytes are read."""

import pytest
from hpack import Decoder, Encoder
from tool_loader import load_bench

http2 = load_bench("http2")

DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
METHOD = "/some.v1.Service/Do"


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def headers(stream, fields, flags=END_HEADERS):
    return frame(HEADERS, flags, stream, Encoder().encode(list(fields.items())))


def trailers(stream, **fields):
    return headers(stream, {name.replace("_", "-"): value for name, value in fields.items()}, END_HEADERS | END_STREAM)


def begin_of_answer(stream):
    return headers(stream, {":status": "200", "content-type": "application/grpc"})


def message(stream, text, flags=0):
    return frame(DATA, flags, stream, b"\0" + len(text).to_bytes(4) + text)


def answer(stream, text):
    return begin_of_answer(stream) + message(stream, text) + trailers(stream, grpc_status="0")


def settings(**values):
    numbers = {"initial_window_size": 4, "max_frame_size": 5}
    return frame(SETTINGS, 0, 0, b"".join(numbers[name].to_bytes(2) + n.to_bytes(4) for name, n in values.items()))


def window_update(stream, more):
    return frame(WINDOW_UPDATE, 0, stream, more.to_bytes(4))


def frames(data):
    """The frames that the client sends, read by independent code."""
    found = []
    while data:
        length = int.from_bytes(data[:3])
        found.append((data[3], data[4], int.from_bytes(data[5:9]), data[9 : 9 + length]))
        assert len(found[-1][3]) == length, "a frame is not whole"
        data = data[9 + length :]
    return found


def opened(first=None):
    """A connection after the handshake."""
    connection = http2.Connection()
    connection.take()
    connection.receive(first or settings())
    connection.take()
    return connection


def str_or_nothing(value):
    """What a case of a table is called: bytes are no name."""
    return value if isinstance(value, str) else ""


def data_of(sent, stream):
    return b"".join(payload for kind, _, of, payload in sent if kind == DATA and of == stream)


def test_a_connection_begins_with_the_preface_and_opens_its_windows_wide():
    connection = http2.Connection()
    said = connection.take()
    assert said.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    first, second = frames(said[24:])
    assert first[:3] == (SETTINGS, 0, 0)
    values = {
        int.from_bytes(first[3][at : at + 2]): int.from_bytes(first[3][at + 2 : at + 6]) for at in range(0, 24, 6)
    }
    assert values == {1: 0, 2: 0, 4: 2**31 - 1, 5: 2**24 - 1}
    assert second == (WINDOW_UPDATE, 0, 0, (2**31 - 1 - 65_535).to_bytes(4))


def test_calls_may_begin_when_the_servers_settings_have_come_and_they_are_acknowledged():
    connection = http2.Connection()
    connection.take()
    assert not connection.ready
    connection.receive(frame(SETTINGS, ACK, 0))
    assert not connection.ready
    connection.receive(settings(initial_window_size=1))
    assert connection.ready
    assert connection.take() == frame(SETTINGS, ACK, 0)


def test_calls_are_written_down_as_grpc_has_them():
    messages = [b"one", b"", b"x" * 40_000]
    for index, call in enumerate(http2.write_calls("localhost:1", METHOD, messages, timeout="3S")):
        head, *parts = frames(call.frames)
        assert head[:3] == (HEADERS, END_HEADERS, 2 * index + 1)
        assert Decoder().decode(head[3]) == [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", METHOD),
            (":authority", "localhost:1"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-timeout", "3S"),
        ]
        assert [flags for _, flags, _, _ in parts] == [0] * (len(parts) - 1) + [END_STREAM]
        assert max(len(payload) for *_, payload in parts) <= 16_384
        framed = data_of(parts, call.stream)
        assert framed == b"\0" + len(messages[index]).to_bytes(4) + messages[index]
        assert call.counted == len(framed)


WHOLE = 100_000
WINDOWS = {
    "the stream's window opens, then the connection's": (
        settings(),
        [
            (b"", 65_535),
            (window_update(0, 10_000), 65_535),
            (window_update(1, 4_000), 69_535),
            (window_update(1, 50_000), 75_535),
            (window_update(0, 24_464), 99_999),
            (window_update(0, 1), WHOLE),
        ],
    ),
    "a window smaller than a frame is used as well": (
        settings(initial_window_size=10),
        [(b"", 10), (window_update(1, 5), 15), (window_update(1, 10**6), 65_535), (window_update(0, 10**6), WHOLE)],
    ),
    "no window at all": (
        settings(initial_window_size=0),
        [(b"", 0), (settings(initial_window_size=7), 7), (window_update(1, 3), 10)],
    ),
    "new settings move a window that is in use": (
        settings() + window_update(0, 10**6),
        [(b"", 65_535), (settings(initial_window_size=65_635), 65_635), (settings(initial_window_size=10**6), WHOLE)],
    ),
    "new settings can leave less than nothing": (
        settings() + window_update(0, 10**6),
        [
            (b"", 65_535),
            (settings(initial_window_size=60_000), 65_535),
            (window_update(1, 5_535), 65_535),
            (window_update(1, 1), 65_536),
        ],
    ),
    "another stream's window is not this one's": (
        settings() + window_update(0, 10**6),
        [(b"", 65_535), (window_update(3, 10**6), 65_535), (window_update(1, 10**6), WHOLE)],
    ),
    "it all goes at once where there is room": (
        settings(initial_window_size=10**6) + window_update(0, 10**6),
        [(b"", WHOLE)],
    ),
}


@pytest.mark.parametrize(("first", "steps"), WINDOWS.values(), ids=WINDOWS)
def test_no_more_is_sent_than_the_windows_allow_and_all_that_they_do(first, steps):
    connection = opened(first)
    text = bytes(range(256)) * (WHOLE // 256 + 1)
    (call,) = http2.write_calls("localhost:1", METHOD, [text[: WHOLE - 5]])
    connection.send(call)
    sent = []
    for received, expected in steps:
        assert connection.receive(received) == []
        sent += frames(connection.take())
        assert expected == len(data_of(sent, 1))
    assert data_of(sent, 1) == (b"\0" + (WHOLE - 5).to_bytes(4) + text)[: steps[-1][1]]
    ends = [flags & END_STREAM for kind, flags, _, _ in sent if kind == DATA]
    assert sum(ends) == (steps[-1][1] == WHOLE)
    assert not any(ends[:-1])


def test_calls_share_the_connections_window_in_the_order_in_which_they_began():
    connection = opened()
    for call in http2.write_calls("localhost:1", METHOD, [b"a" * 59_995, b"b" * 9_995, b"c" * 5]):
        connection.send(call)
    sent = frames(connection.take())
    assert [stream for kind, _, stream, _ in sent if kind == HEADERS] == [1, 3, 5]
    assert [len(data_of(sent, stream)) for stream in (1, 3, 5)] == [60_000, 5_535, 0]
    connection.receive(window_update(0, 4_470))
    sent = frames(connection.take())
    assert [len(data_of(sent, stream)) for stream in (1, 3, 5)] == [0, 4_465, 5]
    connection.receive(window_update(0, 5))
    assert frames(connection.take()) == [(DATA, END_STREAM, 5, b"c" * 5)]


@pytest.mark.parametrize(
    ("received", "status", "text"),
    [
        (answer(1, b"yes"), "OK", b"yes"),
        (answer(1, b""), "OK", b""),
        (
            begin_of_answer(1)
            + frame(DATA, 0, 1, b"\0\0\0")
            + frame(DATA, 0, 1, b"\0\x03ye")
            + frame(DATA, 0, 1, b"s")
            + trailers(1, grpc_status="0"),
            "OK",
            b"yes",
        ),
        (trailers(1, grpc_status="12", grpc_message="Method not found!"), "UNIMPLEMENTED: Method not found!", b""),
        (trailers(1, grpc_status="3", grpc_message="100%25 %E7%99%BE"), "INVALID_ARGUMENT: 100% 百", b""),
        (trailers(1, grpc_status="4"), "DEADLINE_EXCEEDED", b""),
        (trailers(1, grpc_status="77"), "status 77", b""),
        (
            begin_of_answer(1) + message(1, b"half") + trailers(1, grpc_status="13", grpc_message="broken"),
            "INTERNAL: broken",
            b"half",
        ),
        (headers(1, {":status": "502"}, END_HEADERS | END_STREAM), "HTTP 502 without a gRPC status", b""),
        (begin_of_answer(1) + message(1, b"yes", END_STREAM), "an answer without a status", b"yes"),
        (frame(RESET, 0, 1, (7).to_bytes(4)), "reset: REFUSED_STREAM", b""),
        (frame(RESET, 0, 1, (99).to_bytes(4)), "reset: error 99", b""),
        (begin_of_answer(1) + trailers(1, grpc_status="0"), "OK without one whole message", b""),
        (
            begin_of_answer(1) + frame(DATA, 0, 1, b"\0\0\0\0\x04yes") + trailers(1, grpc_status="0"),
            "OK without one whole message",
            b"yes",
        ),
        (
            begin_of_answer(1) + frame(DATA, 0, 1, b"\1\0\0\0\x03yes") + trailers(1, grpc_status="0"),
            "OK without one whole message",
            b"yes",
        ),
    ],
    ids=str_or_nothing,
)
def test_how_a_call_ended(received, status, text):
    for sizes in (len(received), 1, 7):
        connection = opened()
        connection.send(http2.write_calls("localhost:1", METHOD, [b"?"])[0])
        answers = []
        for start in range(0, len(received), sizes):
            answers += connection.receive(received[start : start + sizes])
        assert answers == [(0, status, text)]


def test_answers_that_come_in_another_order_are_given_to_their_calls():
    connection = opened()
    for call in http2.write_calls("localhost:1", METHOD, [b"?"] * 3):
        connection.send(call)
    assert connection.receive(answer(5, b"c") + begin_of_answer(1) + message(1, b"a") + answer(3, b"b")) == [
        (2, "OK", b"c"),
        (1, "OK", b"b"),
    ]
    assert connection.receive(trailers(1, grpc_status="0")) == [(0, "OK", b"a")]


def test_a_call_that_is_refused_before_it_is_read_ends_once_and_the_rest_of_it_is_not_sent():
    """A gRPC server answers with trailers and resets the stream after them."""
    connection = opened()
    refused, other = http2.write_calls("localhost:1", METHOD, [b"x" * 200_000, b"other"])
    connection.send(refused)
    connection.take()
    received = trailers(1, grpc_status="12", grpc_message="no") + frame(RESET, 0, 1, bytes(4))
    assert connection.receive(received) == [(0, "UNIMPLEMENTED: no", b"")]
    assert frames(connection.take()) == [(RESET, 0, 1, (8).to_bytes(4))]
    connection.receive(window_update(0, 10**6) + window_update(1, 10**6))
    assert connection.take() == b""
    connection.send(other)
    assert data_of(frames(connection.take()), 3) == b"\0\0\0\0\x05other"
    assert connection.receive(answer(3, b"yes")) == [(1, "OK", b"yes")]


@pytest.mark.parametrize(
    ("received", "told"),
    [
        (frame(GOAWAY, 0, 0, bytes(4) + (11).to_bytes(4) + b"too_many_pings"), "ENHANCE_YOUR_CALM too_many_pings"),
        (frame(GOAWAY, 0, 0, bytes(8)), "goodbye: NO_ERROR$"),
        (frame(DATA, PADDED, 1, b"\1x\0"), "pads its frames"),
        (frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\1\x88\0"), "continues or pads"),
        (frame(HEADERS, END_STREAM, 1, b"\x88"), "continues or pads"),
        (frame(HEADERS, 0, 1, b"\x88"), "continues or pads"),
        (frame(CONTINUATION, END_HEADERS, 1, b"\x88"), "frame of type 9"),
        (frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)), "frame of type 5"),
        (frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff"), "cannot be read"),
    ],
    ids=str_or_nothing,
)
def test_what_this_client_does_not_speak_ends_the_connection_and_is_named(received, told):
    connection = opened()
    connection.send(http2.write_calls("localhost:1", METHOD, [b"?"])[0])
    with pytest.raises(http2.ProtocolError, match=told):
        connection.receive(received)


@pytest.mark.parametrize(
    ("received", "sent"),
    [
        (frame(PING, 0, 0, b"12345678"), frame(PING, ACK, 0, b"12345678")),
        (frame(PING, ACK, 0, b"12345678"), b""),
        (settings(), frame(SETTINGS, ACK, 0)),
        (frame(SETTINGS, ACK, 0), b""),
        (frame(PRIORITY, 0, 1, bytes(5)), b""),
        (frame(0x77, 0, 0, b"whatever comes in another century"), b""),
    ],
    ids=str_or_nothing,
)
def test_what_the_server_says_beside_the_calls_is_answered_as_the_protocol_has_it(received, sent):
    connection = opened()
    assert connection.receive(received) == []
    assert connection.take() == sent


def test_the_window_for_answers_is_opened_again(monkeypatch):
    monkeypatch.setattr(http2, "TOP_UP_BYTES", 1000)
    connection = opened()
    for call in http2.write_calls("localhost:1", METHOD, [b"?"] * 2):
        connection.send(call)
    connection.take()
    connection.receive(answer(1, b"x" * 600))
    assert connection.take() == b""
    connection.receive(answer(3, b"x" * 600))
    assert connection.take() == window_update(0, 1210)
