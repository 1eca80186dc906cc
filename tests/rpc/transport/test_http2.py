"""One connection as states and input. Every rule holds on both engines, unless it says why not."""

from contextlib import suppress

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from rpc.transport.peers import Caller, begun, names, on_both_engines, on_ngh2_alone, opened, shown
from rpc.transport.wire import (
    ACK,
    ALL,
    CALL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES_MAX,
    GOAWAY,
    HEADER_BYTES_MAX,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PUSH_PROMISE,
    RESET,
    SETTINGS,
    STREAM_WINDOW,
    STREAMS_MAX,
    WINDOW_BYTES,
    WINDOW_UPDATE,
    Reader,
    data,
    field_block,
    frame,
    goaway,
    ping,
    request,
    reset,
    settings,
    settings_ack,
    split,
    window_update,
)

from redemption.rpc.transport.http2 import HEADERS_UNBOUNDED, ConnectionBroken, ErrorCode, list_bytes

HEAD = ((b":status", b"200"), (b"content-type", b"application/grpc"))
TRAILERS = ((b"grpc-status", b"0"),)
REFUSED = (*HEAD, (b"grpc-status", b"8"), (b"grpc-message", b"no"))
BODY = b"\0\0\0\0\x03yes"


def last_bytes(connection, received):
    """What is written last, after the peer broke the protocol."""
    with pytest.raises(ConnectionBroken) as broken:  # noqa: PT012 - some breaches show when there is something to write
        connection.receive(received)
        connection.bytes_to_send(ALL)
    return broken.value.last_bytes


def goaway_code(words):
    """The error code of the GOAWAY in the last bytes."""
    (code,) = [payload[4:8] for kind, _, _, payload in split(words) if kind == GOAWAY]
    return int.from_bytes(code)


# How a connection begins


@on_both_engines
def test_a_connection_begins_with_its_bounds_in_one_settings_frame_and_its_window(engine):
    connection = begun(engine, window=100_000, streams=77, header_bytes=5_555)
    assert connection.wants_to_send
    first, *others = Reader().read(connection.bytes_to_send(ALL)[0])
    name, values, ack = first
    assert (name, ack) == ("settings", False)
    assert values[STREAMS_MAX] == 77
    assert values[STREAM_WINDOW] == WINDOW_BYTES
    assert values[HEADER_BYTES_MAX] == 5_555
    assert others == [("window", 0, 100_000 - WINDOW_BYTES)]
    assert not connection.wants_to_send


@on_both_engines
def test_the_bounds_are_told_once(engine):
    connection = begun(engine)
    connection.bytes_to_send(ALL)
    connection.receive(PREFACE + settings() + settings_ack())
    caller = Caller(connection)
    sent = caller.read()[0]
    for stream in range(1, 20, 2):
        connection.receive(request(stream, end=True) + settings({STREAM_WINDOW: 100_000 + stream}))
        connection.answer(stream, HEAD, BODY, TRAILERS)
        sent += [each for each in caller.read()[0] if each[0] == "settings"]
    assert sent == [("settings", {}, True)] * 11


@on_both_engines
def test_the_callers_settings_are_acknowledged_and_tell_how_long_a_header_list_it_takes(engine):
    connection = opened(engine)
    assert connection.peer_header_bytes_max == HEADERS_UNBOUNDED
    events = connection.receive(settings({HEADER_BYTES_MAX: 1_000}))
    assert names(events) == ["SettingsReceived"]
    assert events[0].settings[HEADER_BYTES_MAX] == 1_000
    assert connection.peer_header_bytes_max == 1_000
    assert Reader().read(connection.bytes_to_send(ALL)[0]) == [("settings", {}, True)]


@on_both_engines
@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
    ],
    ids=["http 1.1", "tls"],
)
def test_what_is_no_http2_is_told_so(engine, said):
    connection = begun(engine)
    connection.bytes_to_send(ALL)
    assert goaway_code(last_bytes(connection, said)) == ErrorCode.PROTOCOL_ERROR


# Calls


@on_both_engines
def test_a_call_comes_as_its_parts_in_their_order(engine):
    connection = opened(engine)
    events = connection.receive(
        request(1, (b"x-one", b"1"), (b"x-one", b"2"))
        + data(1, b"abc")
        + request(3, end=True)
        + data(1, b"de", end=True)
        + ping(b"12345678")
    )
    assert shown(events) == [
        ("RequestReceived", 1, (*CALL, (b"x-one", b"1"), (b"x-one", b"2")), False),
        ("DataReceived", 1, b"abc", False),
        ("RequestReceived", 3, CALL, True),
        ("DataReceived", 1, b"de", True),
        ("PingReceived", b"12345678"),
    ]
    assert connection.last_stream_id == 3


@on_both_engines
def test_a_call_that_ends_with_trailers_says_so(engine):
    connection = opened(engine)
    trailers = ((b"x-checksum", b"7"),)
    events = connection.receive(
        request(1) + data(1, b"abc") + frame(HEADERS, END_HEADERS | END_STREAM, 1, field_block(trailers))
    )
    assert shown(events)[1:] == [("DataReceived", 1, b"abc", False), ("TrailersReceived", 1, trailers)]


@on_both_engines
def test_an_answer_is_headers_data_and_trailers_and_its_stream_is_closed_when_they_are_written(engine):
    connection = opened(engine)
    connection.receive(request(1, end=True))
    connection.answer(1, HEAD, BODY, TRAILERS)
    assert connection.wants_to_send
    frames, events = Caller(connection).read()
    assert frames == [("headers", 1, HEAD, False), ("data", 1, BODY, False), ("headers", 1, TRAILERS, True)]
    assert shown(events) == [("StreamClosed", 1, ErrorCode.NO_ERROR)]
    assert not connection.wants_to_send


@on_both_engines
def test_an_answer_without_trailers_is_one_header_block_that_ends_the_stream(engine):
    connection = opened(engine)
    connection.receive(request(1, end=True))
    connection.answer(1, REFUSED)
    assert Caller(connection).read()[0] == [("headers", 1, REFUSED, True)]


@on_both_engines
def test_an_answer_of_no_bytes_has_its_headers_and_its_trailers(engine):
    connection = opened(engine)
    connection.receive(request(1, end=True))
    connection.answer(1, HEAD, b"", TRAILERS)
    frames = Caller(connection).read()[0]
    assert [each for each in frames if each[:3] != ("data", 1, b"")] == [
        ("headers", 1, HEAD, False),
        ("headers", 1, TRAILERS, True),
    ]
    assert sum([each[-1] for each in frames]) == 1


@on_both_engines
def test_an_answer_may_come_in_parts(engine):
    connection = opened(engine)
    caller = Caller(connection)
    connection.receive(request(1, end=True))
    connection.begin_answer(1, HEAD)
    assert caller.read()[0] == [("headers", 1, HEAD, False)]
    for part in (b"one", b"two"):
        connection.send_body(1, part)
        assert caller.read()[0] == [("data", 1, part, False)]
    connection.end_answer(1, TRAILERS)
    frames, events = caller.read()
    assert frames[-1] == ("headers", 1, TRAILERS, True)
    assert [each for each in frames[:-1] if each[:3] != ("data", 1, b"")] == []
    assert names(events) == ["StreamClosed"]


@on_both_engines
def test_answers_may_come_in_another_order_than_their_calls(engine):
    connection = opened(engine)
    connection.receive(request(1, end=True) + request(3, end=True) + request(5, end=True))
    for stream in (5, 1, 3):
        connection.answer(stream, HEAD, b"%d" % stream, TRAILERS)
    frames = Caller(connection).read()[0]
    assert {each[1]: each[2] for each in frames if each[0] == "data"} == {1: b"1", 3: b"3", 5: b"5"}


@on_both_engines
def test_a_stream_that_is_answered_before_its_call_has_said_all_is_closed_by_the_end_of_the_call(engine):
    connection = opened(engine)
    connection.receive(request(1))
    connection.answer(1, REFUSED)
    frames, events = Caller(connection).read()
    assert frames == [("headers", 1, REFUSED, True)]
    assert events == []
    events = connection.receive(data(1, b"late", end=True))
    assert names(events) == ["DataReceived", "StreamClosed"]


@on_both_engines
def test_a_real_client_is_answered(engine):
    """The peer is h2's own client: what it makes of the bytes is what a caller sees."""
    connection = begun(engine)
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    client.initiate_connection()
    client.receive_data(connection.bytes_to_send(ALL)[0])
    client.send_headers(1, CALL)
    client.send_data(1, BODY, end_stream=True)
    assert shown(connection.receive(client.data_to_send()))[-2:] == [
        ("RequestReceived", 1, CALL, False),
        ("DataReceived", 1, BODY, True),
    ]
    connection.answer(1, HEAD, BODY * 3_000, TRAILERS)
    events = client.receive_data(connection.bytes_to_send(ALL)[0])
    found = {type(event): event for event in events}
    assert tuple(found[h2.events.ResponseReceived].headers) == HEAD
    assert b"".join([event.data for event in events if type(event) is h2.events.DataReceived]) == BODY * 3_000
    assert tuple(found[h2.events.TrailersReceived].headers) == TRAILERS
    assert h2.events.StreamEnded in found


@on_both_engines
@pytest.mark.parametrize("table_bytes", [0, 64, 4_096, 65_536])
def test_answers_can_be_read_whatever_table_the_caller_keeps(engine, table_bytes):
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    client.local_settings = h2.settings.Settings(
        client=True, initial_values={h2.settings.SettingCodes.HEADER_TABLE_SIZE: table_bytes}
    )
    client.decoder.max_allowed_table_size = table_bytes
    connection = begun(engine)
    client.initiate_connection()
    client.receive_data(connection.bytes_to_send(ALL)[0])
    for stream in range(1, 20, 2):
        client.send_headers(stream, CALL, end_stream=True)
        connection.receive(client.data_to_send())
        connection.answer(stream, (*HEAD, (b"x-n", b"%d" % (stream % 4))))
        events = client.receive_data(connection.bytes_to_send(ALL)[0])
        (answer,) = [event for event in events if type(event) is h2.events.ResponseReceived]
        assert tuple(answer.headers) == (*HEAD, (b"x-n", b"%d" % (stream % 4)))


# Calls that end early

ENDS = {
    "was answered": lambda connection: connection.answer(1, HEAD, BODY, TRAILERS),
    "was refused": lambda connection: connection.answer(1, REFUSED),
    "was reset by its caller": lambda connection: connection.receive(reset(1)),
    "was reset here": lambda connection: connection.reset(1, ErrorCode.CANCEL),
}
QUEUES = {
    "an answer": lambda connection, stream: connection.answer(stream, HEAD, BODY, TRAILERS),
    "a refusal": lambda connection, stream: connection.answer(stream, REFUSED),
    "a first part": lambda connection, stream: connection.begin_answer(stream, HEAD),
    "a part": lambda connection, stream: connection.send_body(stream, BODY),
    "an end": lambda connection, stream: connection.end_answer(stream, TRAILERS),
    "a wider window": lambda connection, stream: connection.widen(stream, 100_000),
    "a reset": lambda connection, stream: connection.reset(stream, ErrorCode.NO_ERROR),
}


@on_both_engines
@pytest.mark.parametrize("queue", QUEUES.values(), ids=QUEUES)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_what_is_queued_on_a_stream_that_has_ended_is_dropped(engine, end, queue):
    connection = opened(engine)
    caller = Caller(connection)
    connection.receive(request(1, end=True) + request(3, end=True))
    end(connection)
    caller.read()
    queue(connection, 1)
    assert connection.bytes_to_send(ALL) == (b"", [])
    assert connection.unsent_bytes == 0
    connection.answer(3, HEAD, BODY, TRAILERS)
    assert caller.read()[0][-1] == ("headers", 3, TRAILERS, True)


@on_both_engines
@pytest.mark.parametrize("queue", QUEUES.values(), ids=QUEUES)
def test_what_is_queued_on_a_stream_that_never_began_is_dropped(engine, queue):
    connection = opened(engine)
    queue(connection, 99)
    assert connection.bytes_to_send(ALL) == (b"", [])


@on_both_engines
def test_a_second_answer_is_dropped(engine):
    connection = opened(engine)
    connection.receive(request(1, end=True))
    connection.answer(1, REFUSED)
    connection.answer(1, HEAD, BODY, TRAILERS)
    assert Caller(connection).read()[0] == [("headers", 1, REFUSED, True)]


@on_both_engines
def test_a_callers_reset_is_told_with_its_code_and_takes_along_what_was_queued(engine):
    connection = opened(engine, {STREAM_WINDOW: 0})
    connection.receive(request(1, end=True) + request(3, end=True))
    for stream in (1, 3):
        connection.answer(stream, HEAD, BODY, TRAILERS)
    connection.bytes_to_send(ALL)
    assert connection.unsent_bytes == 2 * len(BODY)
    events = connection.receive(reset(1, ErrorCode.CANCEL))
    assert shown(events) == [("StreamReset", 1, ErrorCode.CANCEL), ("StreamClosed", 1, ErrorCode.CANCEL)]
    assert (connection.unsent_bytes_of(1), connection.unsent_bytes) == (0, len(BODY))


@on_both_engines
def test_a_reset_in_a_later_drive_comes_after_the_answer(engine):
    connection = opened(engine)
    caller = Caller(connection)
    connection.receive(request(1) + data(1, b"half"))
    connection.answer(1, REFUSED)
    assert caller.read()[0] == [("headers", 1, REFUSED, True)]
    connection.reset(1, ErrorCode.NO_ERROR)
    frames, events = caller.read()
    assert frames == [("reset", 1, ErrorCode.NO_ERROR)]
    assert shown(events) == [("StreamClosed", 1, ErrorCode.NO_ERROR)]


@on_ngh2_alone("the twin frames at once what is queued, so nothing overtakes")
def test_a_reset_in_the_same_drive_is_all_that_the_caller_sees(engine):
    """This is why a reset has to wait: when it fails, it need no longer."""
    connection = opened(engine)
    connection.receive(request(1) + data(1, b"half"))
    connection.answer(1, REFUSED)
    connection.reset(1, ErrorCode.NO_ERROR)
    assert Caller(connection).read()[0] == [("reset", 1, ErrorCode.NO_ERROR)]


@on_both_engines
def test_a_stream_may_be_reset_before_it_is_answered_and_after(engine):
    connection = opened(engine)
    caller = Caller(connection)
    events = connection.receive(request(1) + reset(1) + request(3, end=True))
    assert names(events) == ["RequestReceived", "StreamReset", "StreamClosed", "RequestReceived"]
    connection.answer(3, REFUSED)
    caller.read()
    # The caller cannot know yet that its stream has ended.
    assert [name for name in names(connection.receive(reset(3))) if name != "StreamReset"] == []
    assert caller.read() == ([], [])


@on_ngh2_alone("h2 takes a late reset, window update or frame of data as it does, and is not asked what a stream cost")
def test_the_burst_of_resets_that_the_bounds_allow_is_no_breach_and_leaves_nothing_behind(engine):
    """The engine's own limit ends the connection, and must be far above the bound that answers politely."""
    connection = opened(engine)
    for first in range(1, 40_001, 200):
        received = [request(stream) + reset(stream) for stream in range(first, first + 200, 2)]
        events = connection.receive(b"".join(received))
        assert names(events) == ["RequestReceived", "StreamReset", "StreamClosed"] * 100
        assert connection.bytes_to_send(ALL) == (b"", [])
    assert connection.unsent_bytes == 0
    connection.receive(request(50_001, end=True))
    connection.answer(50_001, REFUSED)
    assert Caller(connection).read()[0] == [("headers", 50_001, REFUSED, True)]


# What was received is acknowledged


@on_both_engines
def test_a_caller_may_send_more_than_a_window_once_its_data_is_acknowledged(engine):
    connection = opened(engine)
    connection.receive(request(1))
    assert Caller(connection).upload(1, 2**20) == 2**20


@on_both_engines
def test_a_connection_carries_call_after_call(engine):
    connection = opened(engine)
    caller = Caller(connection)
    for stream in range(1, 1_001, 2):
        caller.count(stream, 1_000)
        connection.receive(request(stream) + data(stream, bytes(1_000), end=True))
        connection.answer(stream, HEAD, BODY, TRAILERS)
        assert names(caller.read()[1]) == ["StreamClosed"]


@on_both_engines
def test_a_wider_window_lets_a_whole_message_come_at_once(engine):
    connection = opened(engine, window=2**20)
    caller = Caller(connection, 2**20)
    caller.windows[1] = WINDOW_BYTES
    connection.receive(request(1))
    connection.widen(1, 500_000)
    caller.read()
    assert caller.windows[1] == 500_000
    for _ in range(30):
        caller.count(1, 16_384)
        assert names(connection.receive(data(1, bytes(16_384)))) == ["DataReceived"]


@on_both_engines
def test_padding_is_acknowledged_with_the_data_that_it_pads(engine):
    connection = opened(engine)
    caller = Caller(connection)
    connection.receive(request(1) + request(3))
    for _ in range(1_000):
        caller.count(1, 1 + 10 + 255)
        events = connection.receive(data(1, bytes(10), padding=255))
        assert shown(events) == [("DataReceived", 1, bytes(10), False)]
        caller.read()
    assert caller.upload(3, 2**20) == 2**20


@on_both_engines
def test_frames_of_no_byte_and_of_one_are_taken_as_they_come(engine):
    connection = opened(engine)
    caller = Caller(connection)
    connection.receive(request(1) + request(3))
    pieces = [b"", b"a", b"", b"b", b""]
    events = connection.receive(b"".join([data(1, piece) for piece in pieces]) + data(1, end=True))
    assert [event.data for event in events] == [*pieces, b""]
    assert [event.end_stream for event in events] == [False] * 5 + [True]
    received = data(3, b"x") * 1_000
    for _ in range(70):
        caller.count(3, 1_000)
        assert len(connection.receive(received)) == 1_000
        caller.read()


@on_both_engines
def test_refused_calls_cost_the_connection_nothing(engine):
    """What was left of its window after 60,000 bytes of refused calls was seen to stall a connection."""
    calls, part = (20_000, bytes(1_000)) if engine.__name__ == "Http2Connection" else (1_000, bytes(1_000))
    connection = opened(engine)
    caller = Caller(connection)
    for stream in range(1, 2 * calls, 2):
        caller.count(stream, len(part))
        connection.receive(request(stream) + data(stream, part))
        connection.answer(stream, REFUSED)
        caller.read()
        connection.reset(stream, ErrorCode.NO_ERROR)
        caller.read()
        # This was on its way when the reset was.
        caller.count(stream, len(part))
        assert connection.receive(data(stream, part)) == []
        caller.windows.clear()
    connection.receive(request(2 * calls + 1))
    assert caller.upload(2 * calls + 1, 2**20) == 2**20


@on_both_engines
def test_data_in_flight_after_our_reset_is_swallowed_and_neighbours_are_answered(engine):
    connection = opened(engine, window=2**23)
    caller = Caller(connection, 2**23)
    connection.receive(request(1) + data(1, b"x") + request(3, end=True))
    connection.answer(1, REFUSED)
    caller.read()
    connection.reset(1, ErrorCode.NO_ERROR)
    caller.read()
    for _ in range(3):
        caller.count(0, 16_384)
        assert connection.receive(data(1, bytes(16_384))) == []
    connection.receive(data(1, end=True) + window_update(1, 10) + reset(1))
    connection.answer(3, HEAD, BODY, TRAILERS)
    frames = caller.read()[0]
    assert [each for each in frames if each[1] == 3][-1] == ("headers", 3, TRAILERS, True)
    connection.receive(request(5))
    assert caller.upload(5, 2**20) == 2**20


@on_both_engines
def test_data_of_calls_that_are_reset_by_their_caller_is_acknowledged(engine):
    connection = opened(engine)
    caller = Caller(connection)
    for stream in range(1, 201, 2):
        caller.count(stream, 10_000)
        connection.receive(request(stream) + data(stream, bytes(10_000)) + reset(stream))
        caller.read()
        caller.windows.clear()
    connection.receive(request(201))
    assert caller.upload(201, 2**20) == 2**20


@on_ngh2_alone("h2 counts a stream above the limit as a breach from the first")
def test_data_of_a_stream_above_the_limit_is_acknowledged(engine):
    connection = begun(engine, streams=1)
    connection.bytes_to_send(ALL)
    connection.receive(PREFACE + settings() + request(1))
    caller = Caller(connection)
    caller.read()
    for stream in range(3, 203, 2):
        caller.count(stream, 10_000)
        assert connection.receive(request(stream) + data(stream, bytes(10_000))) == []
        assert caller.read()[0] == [("reset", stream, ErrorCode.REFUSED_STREAM)]
        caller.windows.clear()
    connection.receive(settings_ack())
    assert caller.upload(1, 2**20) == 2**20
    assert connection.last_stream_id == 1


@on_both_engines
def test_a_frame_that_is_half_received_when_its_stream_is_reset_costs_the_connection_nothing(engine):
    connection = opened(engine)
    caller = Caller(connection)
    for stream in range(1, 401, 2):
        sent = data(stream, bytes(16_000))
        caller.count(stream, 16_000)
        connection.receive(request(stream) + sent[:9_000])
        connection.answer(stream, REFUSED)
        caller.read()
        connection.reset(stream, ErrorCode.NO_ERROR)
        if stream % 4 == 1:
            caller.read()
        connection.receive(sent[9_000:])
        caller.read()
        caller.windows.clear()
        assert caller.window <= WINDOW_BYTES
    connection.receive(request(401))
    assert caller.upload(401, 2**20) == 2**20
    assert WINDOW_BYTES - 2 * 16_384 < caller.widest <= WINDOW_BYTES


@on_ngh2_alone("a message of another length than was promised ends the connection under h2")
@pytest.mark.parametrize("promised", [b"5000", b"20000"], ids=["shorter", "longer"])
def test_a_message_of_another_length_than_was_promised_costs_the_connection_nothing(engine, promised):
    """A proxy passes such a call on from one of its many clients."""
    connection = opened(engine)
    caller = Caller(connection)
    for stream in range(1, 401, 2):
        caller.count(stream, 10_000)
        connection.receive(request(stream, (b"content-length", promised)) + data(stream, bytes(10_000), end=True))
        frames, events = caller.read()
        assert frames == [("reset", stream, ErrorCode.PROTOCOL_ERROR)]
        assert names(events) == ["StreamClosed"]
        caller.windows.clear()
    connection.receive(request(401))
    assert caller.upload(401, 2**20) == 2**20
    assert WINDOW_BYTES - 2 * 16_384 < caller.widest <= WINDOW_BYTES


@on_both_engines
def test_a_caller_that_sends_while_nothing_is_written_gets_no_wider_window_for_it(engine):
    connection = opened(engine, window=2**20)
    caller = Caller(connection, 2**20)
    for stream in range(1, 33, 2):
        connection.receive(request(stream))
        for _ in range(3):
            caller.count(stream, 16_384)
            connection.receive(data(stream, bytes(16_384)))
    caller.read()
    assert 2**19 <= caller.window <= 2**20


# Windows of the caller


@on_both_engines
def test_an_answer_waits_for_the_callers_windows_and_its_trailers_with_it(engine):
    connection = opened(engine, {STREAM_WINDOW: 0})
    caller = Caller(connection)
    connection.receive(request(1, end=True) + request(3, end=True))
    connection.answer(1, HEAD, b"a" * 100, TRAILERS)
    connection.answer(3, HEAD, b"b" * 10, TRAILERS)
    assert [each[0] for each in caller.read()[0]] == ["headers", "headers"]
    assert (connection.unsent_bytes, connection.unsent_bytes_of(1), connection.unsent_bytes_of(3)) == (110, 100, 10)
    assert not connection.wants_to_send
    connection.receive(window_update(1, 30))
    assert caller.read()[0] == [("data", 1, b"a" * 30, False)]
    assert (connection.unsent_bytes, connection.unsent_bytes_of(1)) == (80, 70)
    connection.receive(window_update(1, 70))
    assert caller.read()[0] == [("data", 1, b"a" * 70, False), ("headers", 1, TRAILERS, True)]
    connection.receive(settings({STREAM_WINDOW: 10}))
    frames = caller.read()[0]
    assert frames[1:] == [("data", 3, b"b" * 10, False), ("headers", 3, TRAILERS, True)]
    assert (connection.unsent_bytes, connection.unsent_bytes_of(3)) == (0, 0)


@on_both_engines
def test_answers_share_the_connections_window(engine):
    connection = opened(engine, {STREAM_WINDOW: 2**20})
    caller = Caller(connection)
    connection.receive(request(1, end=True) + request(3, end=True))
    for stream in (1, 3):
        connection.answer(stream, HEAD, bytes(50_000), TRAILERS)
    frames = caller.read()[0]
    assert sum([len(each[2]) for each in frames if each[0] == "data"]) == WINDOW_BYTES
    assert connection.unsent_bytes == 100_000 - WINDOW_BYTES
    connection.receive(window_update(0, 2**20))
    frames += caller.read()[0]
    assert {each[1] for each in frames if each[0] == "headers" and each[3]} == {1, 3}
    assert connection.unsent_bytes == 0


@on_both_engines
def test_a_refusal_needs_no_window(engine):
    connection = opened(engine, {STREAM_WINDOW: 0})
    connection.receive(request(1))
    connection.answer(1, REFUSED)
    assert Caller(connection).read()[0] == [("headers", 1, REFUSED, True)]


@on_both_engines
@pytest.mark.parametrize("bytes_max", [1, 2, 9, 10, 100, 5_000, 16_393])
def test_output_in_small_parts_is_the_same_output(engine, bytes_max):
    def exchange(take):
        connection = opened(engine)
        connection.receive(request(1, end=True) + request(3, end=True) + ping(bytes(8)))
        connection.answer(1, HEAD, BODY * (100 if bytes_max < 10 else 4_000), TRAILERS)
        connection.answer(3, REFUSED)
        return take(connection)

    def in_parts(connection):
        parts, closed = [], []
        while not parts or parts[-1]:
            part, events = connection.bytes_to_send(bytes_max)
            assert len(part) <= bytes_max
            parts.append(part)
            closed += events
        return b"".join(parts), closed

    sent, events = exchange(in_parts)
    expected, expected_events = exchange(lambda connection: connection.bytes_to_send(ALL))
    assert sum([len(part[3]) for part in split(sent) if part[0] == DATA]) == sum(
        [len(part[3]) for part in split(expected) if part[0] == DATA]
    )
    assert sent == expected
    assert shown(events) == shown(expected_events)


@on_both_engines
def test_nothing_is_taken_when_nothing_may_be_written(engine):
    connection = opened(engine)
    connection.receive(request(1, end=True))
    connection.answer(1, REFUSED)
    assert connection.bytes_to_send(0)[0] == b""
    assert Caller(connection).read()[0] == [("headers", 1, REFUSED, True)]


# How a connection ends


@on_both_engines
def test_a_shutdown_notice_names_no_stream_and_later_calls_are_served(engine):
    connection = opened(engine)
    caller = Caller(connection)
    connection.receive(request(1, end=True))
    connection.send_shutdown_notice()
    assert caller.read()[0] == [("goaway", 2**31 - 1, ErrorCode.NO_ERROR, b"")]
    assert names(connection.receive(request(3, end=True))) == ["RequestReceived"]
    for stream in (1, 3):
        connection.answer(stream, REFUSED)
    assert len(caller.read()[0]) == 2
    assert connection.last_stream_id == 3


@on_both_engines
def test_the_final_goaway_names_the_newest_stream_and_calls_above_it_are_never_seen(engine):
    connection = opened(engine)
    caller = Caller(connection)
    connection.send_shutdown_notice()
    connection.receive(request(1, end=True) + request(3))
    connection.send_goaway()
    frames, events = caller.read()
    assert [each for each in frames if each[0] == "goaway"][-1] == ("goaway", 3, ErrorCode.NO_ERROR, b"")
    assert events == []
    assert connection.receive(request(5)) == []  # sent before the caller had read that
    for _ in range(5):
        caller.count(5, 10_000)
        assert connection.receive(data(5, bytes(10_000))) == []
        caller.read()
    assert connection.last_stream_id == 3
    assert caller.upload(3, 2**20) == 2**20
    for stream in (1, 3, 5):
        connection.answer(stream, HEAD, BODY, TRAILERS)
    frames, events = caller.read()
    assert {each[1] for each in frames if each[0] == "headers"} == {1, 3}
    assert names(events) == ["StreamClosed", "StreamClosed", "ConnectionClosed"]


@on_ngh2_alone("the twin writes the GOAWAY at once")
def test_a_call_that_comes_before_the_final_goaway_is_written_is_seen_above_its_stream_and_ended_by_it(engine):
    """After a final GOAWAY, later calls are ignored: the caller sends them again to another server."""
    connection = opened(engine)
    connection.receive(request(1))
    connection.send_goaway()
    assert names(connection.receive(request(3, end=True))) == ["RequestReceived"]
    frames, events = Caller(connection).read()
    assert frames == [("goaway", 1, ErrorCode.NO_ERROR, b"")]
    assert shown(events) == [("StreamClosed", 3, ErrorCode.REFUSED_STREAM)]


@on_ngh2_alone("h2 forgets what a stream that it was not to open is, and ends the connection")
def test_calls_that_were_in_flight_at_the_final_goaway_are_no_breach(engine):
    """Their headers still count for the table that both ends keep."""
    connection = opened(engine)
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    client.initiate_connection()
    client.data_to_send()
    client.send_headers(1, (*CALL, (b"x-first", b"one")))
    connection.receive(client.data_to_send())
    connection.send_goaway()
    connection.bytes_to_send(ALL)
    client.send_headers(3, (*CALL, (b"x-second", b"two")))
    client.send_data(3, b"half")
    assert connection.receive(client.data_to_send()) == []
    client.send_headers(1, ((b"x-second", b"two"), (b"x-first", b"one")), end_stream=True)
    events = connection.receive(client.data_to_send())
    assert shown(events) == [("TrailersReceived", 1, ((b"x-second", b"two"), (b"x-first", b"one")))]


@on_both_engines
def test_a_connection_that_is_ended_says_why_in_words(engine):
    connection = opened(engine)
    connection.receive(request(1, end=True))
    connection.send_goaway(ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings")
    assert Caller(connection).read()[0] == [("goaway", 1, ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings")]


@on_both_engines
def test_a_connection_without_calls_is_closed_by_the_final_goaway(engine):
    connection = opened(engine)
    connection.send_goaway()
    frames, events = Caller(connection).read()
    assert frames == [("goaway", 0, ErrorCode.NO_ERROR, b"")]
    assert names(events) == ["ConnectionClosed"]


@on_both_engines
def test_a_connection_that_was_ended_for_a_breach_of_bounds_is_closed_as_one_that_was_not(engine):
    """Nobody is told that the protocol was broken: it was not."""
    connection = opened(engine)
    connection.send_goaway(ErrorCode.ENHANCE_YOUR_CALM, b"too_many_resets")
    frames, events = Caller(connection).read()
    assert frames == [("goaway", 0, ErrorCode.ENHANCE_YOUR_CALM, b"too_many_resets")]
    assert names(events) == ["ConnectionClosed"]


@on_ngh2_alone("the twin takes nothing more after a breach")
def test_a_breach_in_what_was_read_with_a_breach_of_bounds_changes_nothing(engine):
    connection = opened(engine)
    connection.receive(ping(bytes(8)) + data(0, b"x"))
    connection.send_goaway(ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings")
    frames, events = Caller(connection).read()
    assert [each[0] for each in frames] == ["goaway"]
    assert names(events) == ["ConnectionClosed"]


@on_both_engines
def test_a_breach_while_a_connection_drains_is_told_as_at_other_times(engine):
    connection = opened(engine)
    connection.receive(request(1))
    connection.send_shutdown_notice()
    connection.send_goaway()
    connection.bytes_to_send(ALL)
    assert goaway_code(last_bytes(connection, data(0, b"x"))) == ErrorCode.PROTOCOL_ERROR


@on_both_engines
def test_a_ping_is_acknowledged_and_ours_is_known_again(engine):
    connection = opened(engine)
    caller = Caller(connection)
    assert shown(connection.receive(ping(b"12345678"))) == [("PingReceived", b"12345678")]
    assert caller.read()[0] == [("ping", b"12345678", True)]
    connection.ping(b"draining")
    assert caller.read()[0] == [("ping", b"draining", False)]
    assert shown(connection.receive(ping(b"draining", ack=True))) == [("PingAcknowledged", b"draining")]
    assert caller.read() == ([], [])


@on_both_engines
def test_a_caller_that_leaves_says_why_and_an_idle_connection_is_closed(engine):
    connection = opened(engine)
    events = connection.receive(goaway(0, ErrorCode.ENHANCE_YOUR_CALM, b"enough"))
    assert shown(events)[0] == ("GoAwayReceived", 0, ErrorCode.ENHANCE_YOUR_CALM, b"enough")
    assert names(events)[1:] == ["ConnectionClosed"]
    assert not connection.wants_to_send
    assert connection.bytes_to_send(ALL) == (b"", [])


@on_ngh2_alone("h2 takes the caller's GOAWAY for the end and sends nothing more")
def test_a_caller_that_leaves_is_still_answered(engine):
    connection = opened(engine)
    caller = Caller(connection)
    events = connection.receive(request(1, end=True) + goaway(0))
    assert names(events) == ["RequestReceived", "GoAwayReceived"]
    connection.answer(1, HEAD, BODY, TRAILERS)
    frames, events = caller.read()
    assert frames[-1] == ("headers", 1, TRAILERS, True)
    assert names(events) == ["StreamClosed", "ConnectionClosed"]


# Breaches


@on_ngh2_alone("h2 takes what comes before the settings")
@pytest.mark.parametrize("said", [request(1), ping(bytes(8)), settings_ack()], ids=["a call", "a ping", "an ack"])
def test_a_caller_that_does_not_begin_with_its_settings_is_told_so(engine, said):
    connection = begun(engine)
    connection.bytes_to_send(ALL)
    assert goaway_code(last_bytes(connection, PREFACE + said)) == ErrorCode.PROTOCOL_ERROR


BREACHES = {
    "data on the connection": (data(0, b"x"), {ErrorCode.PROTOCOL_ERROR}),
    "data on a stream that never began": (data(9, b"x"), {ErrorCode.PROTOCOL_ERROR, ErrorCode.STREAM_CLOSED}),
    "padding longer than its frame": (frame(DATA, PADDED, 1, b"\x05abc"), {ErrorCode.PROTOCOL_ERROR}),
    "headers on the connection": (frame(HEADERS, END_HEADERS, 0, b"\x82"), {ErrorCode.PROTOCOL_ERROR}),
    "headers on a stream that is the server's": (request(2), {ErrorCode.PROTOCOL_ERROR}),
    "headers that cannot be decoded": (
        frame(HEADERS, END_HEADERS, 3, b"\x80"),
        {ErrorCode.COMPRESSION_ERROR, ErrorCode.PROTOCOL_ERROR},
    ),
    "headers cut by another frame": (
        frame(HEADERS, 0, 3, field_block(CALL)) + ping(bytes(8)),
        {ErrorCode.PROTOCOL_ERROR},
    ),
    "headers continued on another stream": (
        frame(HEADERS, 0, 3, field_block(CALL)) + frame(CONTINUATION, END_HEADERS, 5, b""),
        {ErrorCode.PROTOCOL_ERROR},
    ),
    "a continuation of nothing": (frame(CONTINUATION, END_HEADERS, 1, b"\x82"), {ErrorCode.PROTOCOL_ERROR}),
    "a reset of the wrong length": (frame(RESET, 0, 1, b"abc"), {ErrorCode.FRAME_SIZE_ERROR}),
    "settings of the wrong length": (frame(SETTINGS, 0, 0, b"abc"), {ErrorCode.FRAME_SIZE_ERROR}),
    "settings on a stream": (frame(SETTINGS, 0, 1), {ErrorCode.PROTOCOL_ERROR}),
    "an acknowledgement with settings in it": (
        frame(SETTINGS, ACK, 0, bytes(6)),
        {ErrorCode.FRAME_SIZE_ERROR, ErrorCode.PROTOCOL_ERROR},
    ),
    "a window that cannot be": (settings({STREAM_WINDOW: 2**31}), {ErrorCode.FLOW_CONTROL_ERROR}),
    "frames that cannot be": (settings({FRAME_BYTES_MAX: 100}), {ErrorCode.PROTOCOL_ERROR}),
    "a push": (frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)), {ErrorCode.PROTOCOL_ERROR}),
    "a ping of the wrong length": (frame(PING, 0, 0, b"short"), {ErrorCode.FRAME_SIZE_ERROR}),
    "a ping on a stream": (frame(PING, 0, 1, bytes(8)), {ErrorCode.PROTOCOL_ERROR}),
    "a goaway on a stream": (frame(GOAWAY, 0, 1, bytes(8)), {ErrorCode.PROTOCOL_ERROR}),
    "a window update of nothing": (window_update(0, 0), {ErrorCode.PROTOCOL_ERROR}),
    "a window update of the wrong length": (frame(WINDOW_UPDATE, 0, 0, b"abc"), {ErrorCode.FRAME_SIZE_ERROR}),
    "a window update beyond all windows": (window_update(0, 2**31 - 1), {ErrorCode.FLOW_CONTROL_ERROR}),
    "a flood of continuations": (
        frame(HEADERS, 0, 3, field_block(CALL)) + frame(CONTINUATION, 0, 3) * 100,
        {ErrorCode.ENHANCE_YOUR_CALM, ErrorCode.PROTOCOL_ERROR},
    ),
    "a frame longer than was allowed": (data(1, bytes(16_385)), {ErrorCode.FRAME_SIZE_ERROR}),
}


@on_both_engines
@pytest.mark.parametrize(("received", "codes"), BREACHES.values(), ids=BREACHES)
def test_a_breach_ends_the_connection_with_a_goaway_and_everything_later_is_quiet(engine, received, codes):
    end_by_breach(engine, received, codes)


@on_ngh2_alone("h2 resets the stream, or says nothing")
@pytest.mark.parametrize(
    ("received", "code"),
    [
        (data(1, b"x", end=True) * 2, ErrorCode.STREAM_CLOSED),
        (reset(9), ErrorCode.PROTOCOL_ERROR),
        (window_update(9, 1), ErrorCode.PROTOCOL_ERROR),
    ],
    ids=["data after the end", "a reset of a stream that never began", "a window for one"],
)
def test_a_breach_on_a_stream_may_end_the_connection_too(engine, received, code):
    end_by_breach(engine, received, {code})


@on_ngh2_alone("h2 ends the connection")
def test_a_call_on_a_stream_below_the_newest_is_not_seen(engine):
    connection = opened(engine)
    assert names(connection.receive(request(9, end=True) + request(7, end=True))) == ["RequestReceived"]
    connection.answer(9, REFUSED)
    assert Caller(connection).read()[0] == [("headers", 9, REFUSED, True)]
    assert connection.last_stream_id == 9


def end_by_breach(engine, received, codes):
    connection = opened(engine)
    connection.receive(request(1))
    assert goaway_code(last_bytes(connection, received)) in codes
    assert not connection.wants_to_send
    for queue in QUEUES.values():
        queue(connection, 1)
    connection.ping(bytes(8))
    connection.send_shutdown_notice()
    connection.send_goaway(ErrorCode.NO_ERROR, b"again")
    assert connection.peer_header_bytes_max == HEADERS_UNBOUNDED
    assert (connection.unsent_bytes, connection.unsent_bytes_of(1), connection.last_stream_id) >= (0, 0, 1)
    with pytest.raises(ConnectionBroken):
        connection.receive(ping(bytes(8)))
    with suppress(ConnectionBroken):
        assert connection.bytes_to_send(ALL) == (b"", [])


@on_both_engines
def test_a_caller_that_sends_its_last_words_with_its_goodbye_breaks_nothing(engine):
    """A refused call may still be sending when its caller leaves."""
    connection = opened(engine)
    connection.receive(request(1))
    connection.answer(1, REFUSED)
    connection.bytes_to_send(ALL)
    events = connection.receive(data(1, b"rest", end=True) + goaway(0))
    assert sorted(names(events)) == ["ConnectionClosed", "DataReceived", "GoAwayReceived", "StreamClosed"]


@on_ngh2_alone("h2 takes the caller's GOAWAY for the end, and its settings before it")
def test_what_the_caller_takes_is_known_after_the_connection_has_ended(engine):
    connection = opened(engine)
    connection.receive(settings({HEADER_BYTES_MAX: 1_000}) + goaway(0))
    connection.bytes_to_send(ALL)
    assert connection.peer_header_bytes_max in {1_000, HEADERS_UNBOUNDED}


@on_ngh2_alone("the twin keeps last words apart")
def test_last_words_are_not_written_into_a_frame_that_was_cut(engine):
    """They would be taken for the rest of a message."""
    connection = opened(engine)
    connection.receive(request(1, end=True))
    connection.answer(1, HEAD, bytes(1_000), TRAILERS)
    connection.bytes_to_send(500)
    assert last_bytes(connection, continued(9)) == b""


def continued(times):
    """A header block in a frame and so many more."""
    block = field_block(CALL)
    return (
        frame(HEADERS, 0, 3, block)
        + frame(CONTINUATION, 0, 3, b"") * (times - 1)
        + frame(CONTINUATION, END_HEADERS, 3, b"")
    )


@on_both_engines
def test_headers_in_a_few_frames_are_one_call(engine):
    connection = opened(engine)
    assert shown(connection.receive(continued(3))) == [("RequestReceived", 3, CALL, False)]
    long = (b"x-long", b"v" * 60_000)
    assert shown(connection.receive(request(5, long))) == [("RequestReceived", 5, (*CALL, long), False)]


@on_both_engines
def test_a_header_list_beyond_what_was_told_is_given_on_so_that_its_call_alone_is_refused(engine):
    connection = opened(engine)
    more = [(b"x-%03d" % number, b"v" * 100) for number in range(300)]
    (event,) = connection.receive(request(1, *more, end=True))
    assert event.headers == (*CALL, *more)
    assert list_bytes(event.headers) > 16_384
    connection.answer(1, REFUSED)
    assert Caller(connection).read()[0] == [("headers", 1, REFUSED, True)]


@on_both_engines
@pytest.mark.parametrize(
    "block",
    [b"\x93" * 2_900, b"\x40\x01x" + b"\x7f\xa1\x1e" + b"v" * 4_000 + b"\xbe" * 27],
    ids=["2,900 fields", "110 KB"],
)
def test_the_engines_limit_of_header_lists_is_far_above_what_was_told(engine, block):
    connection = opened(engine)
    (event,) = connection.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, field_block(CALL) + block))
    assert list_bytes(event.headers) > 100_000


def test_a_header_list_is_as_long_as_its_names_and_values_and_32_bytes_for_each():
    assert list_bytes(()) == 0
    assert list_bytes(((b"ab", b"c"), (b"", b""))) == 35 + 32


@on_ngh2_alone("h2 counts no empty frames")
def test_the_engines_limit_of_empty_frames_is_far_above_what_one_message_may_have(engine):
    connection = opened(engine)
    connection.receive(request(1))
    assert len(connection.receive(data(1) * 20_000)) == 20_000
    connection.answer(1, REFUSED)
    assert Caller(connection).read()[0] == [("headers", 1, REFUSED, True)]


@on_both_engines
def test_a_header_list_above_the_engines_limit_ends_the_connection(engine):
    connection = opened(engine)
    # Twenty bytes of input for each field of 4,000: what is unpacked counts.
    bomb = b"\x40\x01x" + b"\x7f\xa1\x1e" + b"v" * 4_000 + b"\xbe" * 100
    words = last_bytes(connection, frame(HEADERS, END_HEADERS, 1, field_block(CALL) + bomb))
    assert goaway_code(words) == ErrorCode.ENHANCE_YOUR_CALM


@on_ngh2_alone("h2 counts bytes alone")
def test_header_fields_above_the_engines_limit_end_the_connection(engine):
    connection = opened(engine)
    words = last_bytes(connection, frame(HEADERS, END_HEADERS, 1, field_block(CALL) + b"\x93" * 4_200))
    assert goaway_code(words) == ErrorCode.ENHANCE_YOUR_CALM


@on_ngh2_alone("h2 has no such limit")
def test_acknowledgements_that_nobody_reads_are_bounded(engine):
    connection = opened(engine)
    assert goaway_code(last_bytes(connection, ping(bytes(8)) * 20_000)) == ErrorCode.ENHANCE_YOUR_CALM


@on_ngh2_alone("h2 ends the stream alone")
def test_a_streams_window_beyond_all_windows_is_a_breach(engine):
    connection = opened(engine)
    connection.receive(request(1, end=True) + request(3, end=True))
    assert goaway_code(last_bytes(connection, window_update(1, 2**31 - 1))) == ErrorCode.FLOW_CONTROL_ERROR


@on_both_engines
def test_data_beyond_the_connections_window_is_a_breach(engine):
    connection = opened(engine)
    streams = range(1, 9, 2)
    received = b"".join([request(stream) for stream in streams])
    received += b"".join([frame(DATA, 0, stream, bytes(16_384)) for stream in streams for _ in range(2)])
    events = connection.receive(received[: len(request(1))])
    assert names(events) == ["RequestReceived"]
    assert goaway_code(last_bytes(connection, received[len(request(1)) :])) == ErrorCode.FLOW_CONTROL_ERROR


@on_ngh2_alone("h2 counts a stream above the limit as a breach from the first")
def test_a_stream_above_the_limit_is_refused_until_the_caller_knows_the_limit_and_a_breach_afterwards(engine):
    connection = begun(engine, streams=2)
    connection.bytes_to_send(ALL)
    events = connection.receive(PREFACE + settings() + request(1) + request(3) + request(5))
    assert [event.stream_id for event in events if type(event).__name__ == "RequestReceived"] == [1, 3]
    caller = Caller(connection)
    assert ("reset", 5, ErrorCode.REFUSED_STREAM) in caller.read()[0]
    connection.receive(settings_ack())
    assert goaway_code(last_bytes(connection, request(7))) == ErrorCode.PROTOCOL_ERROR


MALFORMED = {
    "settings": frame(SETTINGS, 0, 0, b"abc"),
    "a ping": frame(PING, 0, 0, b"abc"),
    "a window update": frame(WINDOW_UPDATE, 0, 0, b"abc"),
    "a reset": frame(RESET, 0, 1, b"abc"),
    "a frame too long": frame(DATA, 0, 1, bytes(16_385)),
    "an altsvc": frame(0x0A, 0, 0, b"\xff\xffabc"),
    "an origin": frame(0x0C, 0, 0, b"\xff\xffabc"),
    "a priority update": frame(0x10, 0, 0, b"ab"),
    "padding": frame(HEADERS, PADDED | END_HEADERS, 9, b"\xff"),
}


@on_both_engines
@pytest.mark.parametrize("first", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("second", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_frame_after_the_breach_does_not_end_the_process(engine, first, second):
    """libnghttp2 before 1.68.1 stops the process here: CVE-2026-27135."""
    connection = opened(engine)
    for received in (request(1), first + second, second, second[:5]):
        try:
            connection.receive(received)
        except ConnectionBroken:
            break
    connection.send_goaway(ErrorCode.ENHANCE_YOUR_CALM)
    try:
        connection.bytes_to_send(ALL)
        connection.receive(second)
    except ConnectionBroken:
        pass
