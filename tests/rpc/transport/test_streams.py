"""A call, frame by frame, with a client that sends what no library would send."""

import asyncio
import gzip
import random
import zlib

import pytest
from rpc.transport.frames import CANCEL, NO_ERROR, call, data, head, headers, message, prefix
from rpc.transport.listening import MIB, SERVICE
from rpc.transport.wire import DATA, END_STREAM, HEADER_BYTES_MAX, HEADERS, PADDED, frame, ping, reset, window_update
from waiting import comes

from redemption.rpc.transport.bounds import Bounds
from redemption.rpc.transport.connection import HEADER_BYTES_TOLD
from redemption.rpc.transport.streams import HALF_READ_MAX

OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION = 0, 3, 4, 8, 9
UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 12, 13, 14
KINDS = ["Echo", "Gathered", "Immediate"]


def path(name):
    return SERVICE + name


# How an answer looks


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("payload", [b"", b"hello", bytes(900)])
async def test_an_answer_is_headers_one_message_and_trailers(stage, name, payload):
    client = await stage.client()
    answer = await client.ask(1, payload, path(name))
    assert answer.message == payload
    assert answer.shape == ["HEADERS", "DATA", "HEADERS+END"]
    assert answer.blocks == [{":status": "200", "content-type": "application/grpc"}, {"grpc-status": "0"}]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("Failing", FAILED_PRECONDITION),
        ("Raising", INTERNAL),
        ("Nothing", UNIMPLEMENTED),
    ],
)
async def test_a_failure_is_one_header_block_that_ends_the_stream(stage, name, status):
    """Not an empty DATA frame with END_STREAM, not a content-length, and never without a content-type."""
    client = await stage.client()
    answer = await client.ask(1, b"", path(name))
    assert answer.shape == ["HEADERS+END"]
    assert answer.status == status
    assert answer.blocks[0][":status"] == "200"
    assert answer.blocks[0]["content-type"] == "application/grpc"
    assert "content-length" not in answer.blocks[0]


async def test_a_message_of_a_status_travels_percent_encoded(stage):
    """A newline would break the header, a lone surrogate is not UTF-8, and ``%`` would be taken for an escape."""
    client = await stage.client()
    answer = await client.ask(1, b"", path("Failing"))
    assert answer.blocks[0]["grpc-message"] == "%C3%A9%0A%25?"


# Paths and headers


@pytest.mark.parametrize(
    "named",
    [
        "test.Service/Echo",
        "/test.Service/Echo?x",
        "//test.Service/Echo",
        "/test.Service/Echo/",
        "/test.service/echo",
        "/test.Service/%45cho",
        "/test.Service//Echo",
        "/other.Service/Echo",
        "/test.Service/",
        "/",
        "*",
        "/test.Service/Ech\xf6",
    ],
)
async def test_a_path_that_is_not_exact_never_reaches_a_handler(stage, named):
    """A path that a proxy's rules do not know must not be known here either."""
    client = await stage.client()
    await client.send(call(1, b"x", named))
    answer = await client.answer(1)
    assert answer.status == UNIMPLEMENTED or answer.reset is not None
    assert stage.seen.ran == {}
    assert (await client.ask(3, b"next")).message == b"next"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (head(content_type="application/json"), "415"),
        (head(content_type="application/grpc-web"), "415"),
        (head(content_type="application/grpcx"), "415"),
        (head(content_type=""), "415"),
        (head(drop="content-type"), "415"),
        (head(method="GET"), "405"),
        (head(method="PUT"), "405"),
    ],
)
async def test_a_request_that_is_no_grpc_call_gets_an_http_status(stage, fields, status):
    client = await stage.client()
    await client.send(headers(1, fields), data(1, message(b"x"), end=True))
    answer = await client.answer(1)
    assert (answer.blocks[0][":status"], answer.shape[0]) == (status, "HEADERS+END")
    assert stage.seen.ran == {}
    assert (await client.ask(3)).status == OK


@pytest.mark.parametrize(
    "fields",
    [
        head(drop="te"),
        head(content_type="application/grpc+proto"),
        head(content_type="application/grpc;charset=utf-8"),
        head(te="trailers, deflate"),
    ],
)
async def test_a_call_is_taken_without_what_some_proxies_leave_out(stage, fields):
    """Nginx and APISIX drop ``te``."""
    client = await stage.client()
    await client.send(headers(1, fields), data(1, message(b"x"), end=True))
    answer = await client.answer(1)
    if fields == head(te="trailers, deflate"):
        assert answer.reset is not None or answer.status == OK
    else:
        assert (answer.status, answer.message) == (OK, b"x")
    assert (await client.ask(3)).status == OK


@pytest.mark.parametrize(("fields_more", "size"), [(200, 1), (2_000, 1), (1, 17_000), (3, 40_000)])
async def test_headers_that_are_too_many_or_too_long_are_refused_on_their_stream(stage, fields_more, size):
    client, neighbour = await stage.client(), await stage.client()
    await client.send(headers(1, head(path("Held"))), data(1, message(b"before"), end=True))
    await comes(lambda: stage.seen.held)
    many = [(f"x-{number}", "v" * size) for number in range(fields_more)]
    await client.send(headers(3, head("/test.Service/Echo", *many)), data(3, message(b"x"), end=True))
    answer = await client.answer(3)
    assert (answer.status, answer.shape[0]) == (RESOURCE_EXHAUSTED, "HEADERS+END")
    stage.seen.held.pop().answer(b"after")
    assert (await client.answer(1)).message == b"after"
    assert (await client.ask(5)).status == OK
    assert (await neighbour.ask(1)).status == OK
    assert stage.seen.ran == {"Held": 1, "Echo": 2}


async def test_headers_above_the_bound_are_below_what_clients_are_told(listen):
    """A client that keeps to the bound by itself fails such calls with another status, or ends its connection."""
    stage = await listen(header_bytes_max=5_000, streams_per_connection_max=77)
    client = await stage.client()
    await client.round_trip()
    assert client.settings[HEADER_BYTES_MAX] == HEADER_BYTES_TOLD >= 4 * Bounds().header_bytes_max
    assert client.settings[3] == 77
    await client.send(headers(1, head("/test.Service/Echo", ("x-large", "h" * 60_000))), data(1, message(b"x")))
    assert (await client.answer(1)).status == RESOURCE_EXHAUSTED
    assert (await client.ask(3)).status == OK


async def test_a_refusal_for_headers_waits_until_its_caller_could_say_something(stage):
    """Some clients, such as grpcio's for asyncio, take a status that comes before their first message for a defect."""
    client = await stage.client()
    await client.send(headers(1, head("/test.Service/Nothing")), headers(3, head("/test.Service/Nothing")))
    await client.round_trip()
    assert client.answers == {}
    await client.send(data(1, b"\0"))
    assert (await client.answer(1)).status == UNIMPLEMENTED
    stage.tick(29)
    await client.round_trip()
    assert 3 not in client.answers
    stage.tick(31)
    assert (await client.answer(3)).status == UNIMPLEMENTED


async def test_details_that_a_client_does_not_take_are_left_out_and_the_status_is_kept(stage):
    """A client that takes headers of 200 bytes would lose the whole answer."""
    client = await stage.client({HEADER_BYTES_MAX: 220})
    await client.round_trip()
    answer = await client.ask(1, b"", path("Failing"))
    assert answer.status == FAILED_PRECONDITION
    assert "grpc-message" in answer.blocks[0]
    assert "grpc-status-details-bin" not in answer.blocks[0]


async def test_details_that_a_client_does_not_take_are_left_out_of_trailers_too(stage):
    client = await stage.client({HEADER_BYTES_MAX: 120})
    await client.round_trip()
    answer = await client.ask(1, b"", path("StreamFailing"))
    assert (answer.messages, answer.status) == ([b"one"], FAILED_PRECONDITION)
    assert "grpc-message" in answer.blocks[1]
    assert "grpc-status-details-bin" not in answer.blocks[1]


async def test_details_that_a_client_takes_are_sent(stage):
    client = await stage.client({HEADER_BYTES_MAX: 1_024})
    await client.round_trip()
    assert "grpc-status-details-bin" in (await client.ask(1, b"", path("Failing"))).blocks[0]


@pytest.mark.parametrize("told", ["/wAB", "/wAB,AAE", "AA==", "AA", "!!", "a", ""])
async def test_binary_metadata_is_taken_whatever_it_is(stage, told):
    client = await stage.client()
    await client.send(headers(1, head("/test.Service/Echo", ("trace-bin", told))), data(1, message(b"x"), end=True))
    assert (await client.answer(1)).status == OK


# Messages


async def send_bytes_one_by_one(client, sent):
    for at in range(len(sent)):
        await client.send(sent[at : at + 1])
        if at % 8 == 0:
            await asyncio.sleep(0)


@pytest.mark.parametrize("name", KINDS)
async def test_frames_may_come_byte_by_byte(stage, name):
    client = await stage.client()
    await client.round_trip()
    await send_bytes_one_by_one(client, call(1, b"hello", path(name)))
    assert (await client.answer(1)).message == b"hello"


@pytest.mark.parametrize("name", KINDS)
async def test_a_message_may_come_in_a_frame_for_each_byte(stage, name):
    client = await stage.client()
    sent = message(b"hello")
    frames = [data(1, sent[at : at + 1]) for at in range(len(sent) - 1)]
    await client.send(headers(1, head(path(name))), *frames, data(1, sent[-1:], end=True))
    assert (await client.answer(1)).message == b"hello"


@pytest.mark.parametrize("cut", range(1, 10))
async def test_a_message_may_be_cut_anywhere(stage, cut):
    client = await stage.client()
    sent = message(b"hello")
    await client.send(headers(1, head()), data(1, sent[:cut]), data(1, sent[cut:], end=True))
    assert (await client.answer(1)).message == b"hello"


async def test_a_message_may_end_with_an_empty_frame(stage):
    client = await stage.client()
    await client.send(headers(1, head()), data(1, message(b"hello")), data(1, b"", end=True))
    assert (await client.answer(1)).message == b"hello"


async def test_a_message_may_end_with_trailers(stage):
    client = await stage.client()
    await client.send(headers(1, head()), data(1, message(b"hello")), headers(1, [("x", "y")], end=True))
    assert (await client.answer(1)).message == b"hello"


async def test_a_message_may_be_padded(stage):
    client = await stage.client()
    sent = message(b"hello")
    padded = frame(DATA, END_STREAM | PADDED, 1, bytes([200]) + sent + bytes(200))
    await client.send(headers(1, head()), padded)
    assert (await client.answer(1)).message == b"hello"


@pytest.mark.parametrize("size", [65_530, 65_531, 100_000, MIB, 4 * MIB])
async def test_a_large_message_gets_the_window_that_it_needs(stage, size):
    """Sent as flow control allows, by a client that waits for it."""
    client = await stage.client()
    payload = bytes(range(256)) * (size // 256 + 1)
    await client.send(headers(1, head()))
    await client.upload(1, message(payload[:size]))
    assert (await client.answer(1)).message == payload[:size]


async def test_a_large_message_gets_all_of_its_window_when_it_is_announced(stage):
    """Then its sender need not wait for the way there and back after each 64 KiB."""
    client = await stage.client()
    await client.send(headers(1, head()), data(1, prefix(MIB)))
    await client.round_trip()
    assert client.widened[1] >= MIB - 65_535


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", UNIMPLEMENTED),
        (message(b"one") + message(b"two"), UNIMPLEMENTED),
        (message(b"one") + message(b""), UNIMPLEMENTED),
        (message(b"one") + b"\0", UNIMPLEMENTED),
        (message(b"hello")[:-1], INTERNAL),
        (message(b"hello")[:3], INTERNAL),
        (b"\2" + message(b"hello")[1:], INTERNAL),
        (b"\1" + message(b"hello")[1:], INTERNAL),
    ],
    ids=["none", "two", "one and an empty one", "one and a half", "cut", "cut prefix", "unknown flag", "no encoding"],
)
@pytest.mark.parametrize("ended_by", ["message", "empty frame", "trailers"])
@pytest.mark.parametrize("name", ["Echo", "Gathered", "Stream"])
async def test_a_call_that_is_not_one_message_never_reaches_a_handler(stage, name, ended_by, body, status):
    client = await stage.client()
    frames = {
        "message": data(1, body, end=True),
        "empty frame": data(1, body) + data(1, b"", end=True),
        "trailers": data(1, body) + headers(1, [("x", "y")], end=True),
    }[ended_by]
    await client.send(headers(1, head(path(name))), frames)
    answer = await client.answer(1)
    assert (answer.status, answer.shape[0]) == (status, "HEADERS+END")
    assert stage.seen.ran == {}
    assert (await client.ask(3)).status == OK


async def test_a_dialog_may_have_no_message(stage):
    client = await stage.client()
    await client.send(headers(1, head(path("Dialog")), end=True))
    answer = await client.answer(1)
    assert (answer.status, answer.messages) == (OK, [])


@pytest.mark.parametrize("name", ["Echo", "Stream"])
async def test_a_call_that_ends_with_its_headers_has_no_message(stage, name):
    client = await stage.client()
    await client.send(headers(1, head(path(name)), end=True))
    assert (await client.answer(1)).status == UNIMPLEMENTED
    assert stage.seen.ran == {}


async def test_a_message_that_is_too_long_is_refused_by_its_prefix(stage):
    """Five bytes tell; its status comes first, and the order to send no more when it still has not said all."""
    client = await stage.client()
    await client.send(headers(1, head(path("Small"))), data(1, prefix(1_001)))
    answer = await client.answer(1)
    assert (answer.status, answer.shape) == (RESOURCE_EXHAUSTED, ["HEADERS+END"])
    stage.tick(1)
    await client.round_trip()
    assert answer.reset is None
    stage.tick(2)
    await client.round_trip()
    assert (answer.reset, answer.shape) == (NO_ERROR, ["HEADERS+END", "RST"])
    assert stage.usage.request_bytes == 0


async def test_the_answer_and_the_reset_of_a_refused_upload_are_written_separately(stage, monkeypatch):
    """A client that finds both in one read sees the reset alone, without the status."""
    client = await stage.client()
    await client.round_trip()
    (connection,) = stage.listener._connections
    written = []
    inner = connection._http2.bytes_to_send

    def noted(bytes_max):
        found = inner(bytes_max)
        written.append(found[0])
        return found

    monkeypatch.setattr(type(connection._http2), "bytes_to_send", lambda _, bytes_max: noted(bytes_max))
    await client.send(headers(1, head(path("Small"))), data(1, prefix(1_001)))
    stage.tick(0)
    stage.tick(0)
    await client.answer(1)
    stage.tick(2)
    await client.round_trip()
    monkeypatch.undo()
    kinds = [{chunk[3] for chunk in split(part)} for part in written if part]
    assert [kind & {HEADERS, 3} for kind in kinds if kind & {HEADERS, 3}] == [{HEADERS}, {3}]


def split(written):
    """Return the frames of what was written."""
    frames = []
    while written:
        end = 9 + int.from_bytes(written[:3], "big")
        frames.append(written[:end])
        written = written[end:]
    return frames


async def test_what_is_in_flight_after_a_refusal_is_swallowed(stage):
    """4 MiB more of a refused upload: neighbours on the connection finish, and its window comes back."""
    client = await stage.client()
    await client.send(call(1, b"before", path("Held")))
    await comes(lambda: stage.seen.held)
    await client.send(headers(3, head(path("Small"))))
    await client.send(data(3, prefix(1_001)))
    for _ in range(3):
        await client.send(data(3, bytes(16_000)))  # what the windows allow, though nobody wants it
    stage.seen.held.pop().answer(b"after")
    assert (await client.answer(1)).message == b"after"
    assert (await client.answer(3)).status == RESOURCE_EXHAUSTED
    assert (await client.ask(5)).status == OK
    assert client.goaways == []


async def test_a_caller_that_ends_its_refused_call_is_not_reset(stage):
    """Some clients tell their program of a reset in place of the status."""
    client = await stage.client()
    await client.send(headers(1, head(path("Small"))), data(1, prefix(1_001)))
    answer = await client.answer(1)
    stage.tick(0)
    await client.send(data(1, bytes(500)), data(1, b"", end=True))
    await client.round_trip()
    stage.tick(1)
    stage.tick(2)
    await client.round_trip()
    assert (answer.status, answer.reset) == (RESOURCE_EXHAUSTED, None)


async def test_a_caller_that_goes_on_with_a_refused_call_is_reset_after_a_window(stage):
    """It may finish a message that was on the way, and does not send megabytes that nobody reads."""
    client = await stage.client()
    await client.send(headers(1, head(path("Small"))), data(1, prefix(1_001)))
    answer = await client.answer(1)
    for _ in range(4):
        await client.send(data(1, bytes(16_000)))
    await client.round_trip()
    assert answer.reset is None
    await client.send(data(1, bytes(2_000)))
    await client.round_trip()
    await client.round_trip()
    assert (answer.status, answer.reset) == (RESOURCE_EXHAUSTED, NO_ERROR)
    assert (await client.ask(3)).status == OK


async def test_a_reset_does_not_overtake_an_answer_that_cannot_be_written_yet(stage):
    client = await stage.client()
    await client.round_trip()
    (connection,) = stage.listener._connections
    connection.pause_writing()
    await client.send(headers(1, head(path("Small"))), data(1, prefix(1_001)))
    await comes(lambda: connection._streams._half_read)
    stage.tick(2)
    connection.resume_writing()
    answer = await client.answer(1)
    assert (answer.status, answer.shape[:1]) == (RESOURCE_EXHAUSTED, ["HEADERS+END"])


async def test_a_client_that_goes_on_does_not_cost_others_their_time(stage):
    client = await stage.client()
    for number in (1, 3):
        await client.send(headers(number, head(path("Small"))), data(number, prefix(1_001)))
        assert (await client.answer(number)).status == RESOURCE_EXHAUSTED
    for _ in range(5):
        await client.send(data(1, bytes(16_000)))
    await client.round_trip()
    await client.round_trip()
    assert [client.answers[number].reset for number in (1, 3)] == [NO_ERROR, None]


async def test_of_many_refused_calls_the_oldest_are_reset(stage):
    client = await stage.client()
    streams = range(1, 2 * (HALF_READ_MAX + 10), 2)
    await client.send(*[headers(number, head(path("Small"))) + data(number, prefix(1_001)) for number in streams])
    for number in streams:
        assert (await client.answer(number)).status == RESOURCE_EXHAUSTED
    await client.round_trip()
    await client.round_trip()
    assert [client.answers[number].reset for number in streams] == [NO_ERROR] * 10 + [None] * HALF_READ_MAX


async def test_pings_after_refused_calls_are_answered_as_after_others(stage):
    client = await stage.client()
    for number in range(1, 101, 2):
        assert (await client.ask(number, bytes(1_001), path("Small"))).status == RESOURCE_EXHAUSTED
        await client.send(ping())
    await client.round_trip()
    assert client.goaways == []


async def test_many_refused_calls_that_nobody_ends_leave_room_for_others(stage):
    """They count as streams until they are reset, and a connection has only so many."""
    client = await stage.client()
    for stream_id in range(1, 8_001, 2):
        await client.send(headers(stream_id, head(path("Small"))), data(stream_id, prefix(1_001)))
        assert (await client.answer(stream_id)).status == RESOURCE_EXHAUSTED
    await client.round_trip()
    assert sum(answer.reset is None for answer in client.answers.values()) < 200
    assert (await client.ask(8_003)).status == OK


async def test_refused_messages_give_their_window_back(stage):
    """Hours of refusals, and a message of 1 MiB still passes: no byte of them is lost to the connection."""
    client = await stage.client()
    body = message(bytes(1_001))[:1_000]
    for first in range(1, 24_000, 800):
        for stream_id in range(first, first + 800, 2):
            client.spent += len(body)
            await client.send(headers(stream_id, head(path("Small"))), data(stream_id, body))
            if 65_535 + client.widened.get(0, 0) - client.spent < 70_000:
                assert await client.read()
        for stream_id in range(first, first + 800, 2):
            assert (await client.answer(stream_id)).status == RESOURCE_EXHAUSTED
    last = 24_001
    await client.send(headers(last, head()))
    await client.upload(last, message(bytes(MIB)))
    assert (await client.answer(last)).message == bytes(MIB)


# Compression


async def test_a_message_may_be_deflated(stage):
    """HTTP's deflate is zlib's format."""
    client = await stage.client()
    body = message(zlib.compress(b"hello " * 100), 1)
    await client.send(headers(1, head(path("Echo"), grpc_encoding="deflate")), data(1, body, end=True))
    assert (await client.answer(1)).message == b"hello " * 100


async def test_a_message_may_be_gzipped(stage):
    client = await stage.client()
    await client.send(
        headers(1, head(grpc_encoding="gzip")), data(1, message(gzip.compress(b"hello" * 100), 1), end=True)
    )
    assert (await client.answer(1)).message == b"hello" * 100


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_a_message_need_not_be_packed_as_its_call_allows(stage, encoding):
    client = await stage.client()
    await client.send(headers(1, head(grpc_encoding=encoding)), data(1, message(b"hello"), end=True))
    assert (await client.answer(1)).message == b"hello"


@pytest.mark.parametrize("encoding", ["br", "zstd", "GZIP", "gzip,gzip", ""])
async def test_an_unknown_encoding_is_refused_and_the_known_ones_are_told(stage, encoding):
    client = await stage.client()
    await client.send(headers(1, head(grpc_encoding=encoding)), data(1, message(b"hello", 1), end=True))
    answer = await client.answer(1)
    assert answer.status == UNIMPLEMENTED
    assert answer.blocks[0]["grpc-accept-encoding"] == "identity,deflate,gzip"
    assert stage.seen.ran == {}
    assert (await client.ask(3)).status == OK


async def test_a_gzipped_message_counts_as_long_as_it_is_unpacked(stage):
    client = await stage.client()
    plain = b"".join(random.randbytes(100) + bytes(900) for _ in range(1_049))
    packed = message(gzip.compress(plain), 1)
    await client.send(headers(1, head(path("Held"), grpc_encoding="gzip")), data(1, packed, end=True))
    await comes(lambda: stage.seen.held)
    assert stage.usage.request_bytes >= MIB
    stage.seen.held.pop().answer(b"")
    assert stage.usage.request_bytes == 0


async def test_a_bomb_is_unpacked_up_to_the_bound_only(stage):
    client = await stage.client()
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(64)) + packer.flush()
    await client.send(headers(1, head(grpc_encoding="gzip")), data(1, message(bomb, 1), end=True))
    assert (await client.answer(1)).status == INTERNAL
    assert stage.seen.ran == {}
    assert stage.usage.request_bytes == 0
    assert (await client.ask(3)).status == OK


@pytest.mark.parametrize(
    "packed",
    [b"", b"hello", gzip.compress(b"hello")[:-1], gzip.compress(b"a") + b"b", gzip.compress(b"a") * 2],
    ids=["empty", "junk", "cut", "followed", "two"],
)
async def test_what_is_no_whole_gzip_is_refused(stage, packed):
    client = await stage.client()
    await client.send(headers(1, head(grpc_encoding="gzip")), data(1, message(packed, 1), end=True))
    assert (await client.answer(1)).status == INTERNAL
    assert stage.seen.ran == {}
    assert (await client.ask(3)).status == OK


# Deadlines


@pytest.mark.parametrize("told", ["0n", "0m", "00000000H", "1n", "999u", "1m", "19999u"])
async def test_a_deadline_that_has_passed_on_arrival_never_reaches_a_handler(stage, told):
    """Nor one that passes while an answer travels."""
    client = await stage.client()
    assert (await client.ask(1, b"x", grpc_timeout=told)).status == DEADLINE_EXCEEDED
    assert stage.seen.ran == {}


@pytest.mark.parametrize("told", ["1H", "99999999H", "1M", "5S", "5000m", "5000000u", "99999999n", "00000005S"])
async def test_a_deadline_may_be_told_in_every_unit(stage, told):
    client = await stage.client()
    assert (await client.ask(1, b"x", grpc_timeout=told)).status == OK


@pytest.mark.parametrize(
    "told", ["", "1", "S", "1s", "-1S", "+1S", "1_0S", "1.5S", " 1S", "999999999S", "1SS", "\xb2S"]
)
async def test_a_deadline_that_cannot_be_read_is_refused(stage, told):
    client = await stage.client()
    answer = await client.ask(1, b"x", grpc_timeout=told)
    assert answer.status == INVALID_ARGUMENT or answer.reset is not None
    assert stage.seen.ran == {}
    assert (await client.ask(3)).status == OK


@pytest.mark.parametrize("name", ["Slow", "Held", "Watch"])
async def test_a_deadline_that_passes_at_work_ends_the_call_with_its_status(stage, name):
    """Not with a reset: a client whose clock is behind would see CANCELLED."""
    client = await stage.client()
    answer = await client.ask(1, b"x", path(name), grpc_timeout="50m")
    assert answer.status == DEADLINE_EXCEEDED
    assert answer.reset is None
    await comes(lambda: stage.seen.infos[0].gone)
    assert (await client.ask(3)).status == OK
    assert stage.seen.cancelled == (name == "Slow")


async def test_a_request_that_does_not_arrive_by_its_deadline_is_refused(stage):
    client = await stage.client()
    await client.send(headers(1, head(grpc_timeout="10m")), data(1, message(bytes(70_000))[:100]))
    await client.round_trip()
    stage.tick(0.1)
    answer = await client.answer(1)
    assert (answer.status, stage.usage.request_bytes) == (DEADLINE_EXCEEDED, 0)


# Callers that leave


@pytest.mark.parametrize("name", ["Slow", "Held", "Watch"])
@pytest.mark.parametrize("leaves", ["reset", "closed", "cut"])
async def test_a_handler_is_told_that_its_caller_left(stage, name, leaves):
    client = await stage.client()
    await client.send(call(1, b"x", path(name)))
    await comes(lambda: stage.seen.infos)
    assert not stage.seen.infos[0].gone
    if leaves == "reset":
        await client.send(reset(1))
    elif leaves == "closed":
        client.close()
    else:
        client.cut()
    await comes(lambda: stage.seen.infos[0].gone)
    if name == "Held":
        assert stage.usage.calls == 1
        stage.seen.held.pop().answer(b"late")
    await stage.idle()
    assert stage.seen.cancelled == (name == "Slow")
    assert stage.seen.closed == (name == "Watch")
    if leaves == "reset":
        assert (await client.ask(3)).status == OK


@pytest.mark.parametrize("name", ["Slow", "Held", "Stream", "Watch", "Echo", "Gathered", "Immediate"])
async def test_a_call_that_is_taken_back_in_the_same_read_gives_back_its_place(stage, name):
    """Its task was made and cancelled before it ran for the first time, or was not made any more."""
    client = await stage.client()
    payload = b"3*1000" if name == "Stream" else bytes(500)
    await client.send(*(call(stream_id, payload, path(name)) + reset(stream_id) for stream_id in range(1, 200, 2)))
    await client.round_trip()
    await stage.idle()
    assert stage.seen.held == []
    assert not stage.listener._shared.under_way
    assert (await client.ask(201)).status == OK


async def test_a_call_that_is_taken_back_counts_until_its_handler_ends(listen):
    """Else a bound on calls bounds nothing: a client takes its calls back and sends the next."""
    stage = await listen(calls_max=10)
    client = await stage.client()
    await client.send(*(call(stream_id, b"x", path("Held")) for stream_id in range(1, 21, 2)))
    await comes(lambda: len(stage.seen.held) == 10)
    await client.send(*(reset(stream_id) for stream_id in range(1, 21, 2)))
    await client.send(*(call(stream_id, b"x", path("Held")) + reset(stream_id) for stream_id in range(21, 41, 2)))
    await client.round_trip()
    assert (stage.usage.calls, stage.seen.ran) == (10, {"Held": 10})
    assert (await client.ask(41)).status == RESOURCE_EXHAUSTED
    assert (await client.ask(43, b"", path("Immediate"))).status == OK
    for held in stage.seen.held:
        held.answer(b"late")
    assert (await client.ask(45)).status == OK


async def test_an_answer_comes_once_though_a_handler_answers_twice(stage):
    client = await stage.client()
    await client.send(call(1, b"x", path("Held")))
    await comes(lambda: stage.seen.held)
    held = stage.seen.held.pop()
    held.answer(b"first")
    held.answer(b"second")
    assert (await client.answer(1)).message == b"first"
    await client.round_trip()
    assert client.answers[1].shape == ["HEADERS", "DATA", "HEADERS+END"]


# Handlers that fail


@pytest.mark.parametrize(
    ("name", "payload"), [("Raising", b"x"), ("Immediate", b"raise"), ("Dialog", b"9" * 40), ("GatheredRaising", b"x")]
)
async def test_a_handler_that_raises_ends_its_call_and_no_other(stage, name, payload):
    client = await stage.client()
    await client.send(call(1, b"before", path("Held")))
    await comes(lambda: stage.seen.held)
    await client.send(
        call(3, b"first" if name == "GatheredRaising" else payload, path(name)), call(5, payload, path(name))
    )
    answers = [await client.answer(3), await client.answer(5)]
    assert [answer.status for answer in answers] == ([OK, INTERNAL] if name == "GatheredRaising" else [INTERNAL] * 2)
    stage.seen.held.pop().answer(b"after")
    assert (await client.answer(1)).message == b"after"
    assert (await client.ask(7)).status == OK
    await stage.idle()


async def test_a_defect_in_an_event_ends_its_call_and_no_other(stage, monkeypatch):
    client = await stage.client()
    await client.send(call(1, b"before", path("Held")))
    await comes(lambda: stage.seen.held)
    (connection,) = stage.listener._connections
    streams = connection._streams

    def broken(event):
        raise ValueError("nobody foresaw this")

    monkeypatch.setattr(streams, "on_data", broken)
    await client.send(call(3))
    assert (await client.answer(3)).status == INTERNAL
    monkeypatch.undo()
    stage.seen.held.pop().answer(b"after")
    assert (await client.answer(1)).message == b"after"
    assert (await client.ask(5)).status == OK


# Streams of messages


async def test_a_stream_is_headers_messages_and_trailers(stage):
    client = await stage.client()
    answer = await client.ask(1, b"3*1000", path("Stream"))
    assert [len(part) for part in answer.messages] == [1_000] * 3
    assert (answer.status, len(answer.blocks), answer.shape[-1]) == (OK, 2, "HEADERS+END")


async def test_a_stream_of_nothing_is_ok(stage):
    client = await stage.client()
    answer = await client.ask(1, b"0*1000", path("Stream"))
    assert (answer.status, answer.messages, answer.shape) == (OK, [], ["HEADERS", "HEADERS+END"])


@pytest.mark.parametrize(("name", "status"), [("StreamFailing", FAILED_PRECONDITION), ("StreamRaising", INTERNAL)])
async def test_a_stream_that_fails_half_way_ends_with_trailers(stage, name, status):
    client = await stage.client()
    answer = await client.ask(1, b"", path(name))
    assert (answer.messages, answer.status) == ([b"one"], status)
    assert ":status" not in answer.blocks[1]


async def test_a_stream_whose_reader_stops_costs_a_bounded_buffer(listen):
    """The next message is made when less than 64 KiB wait; later the caller is told, and the generator closed."""
    stage = await listen(unread_seconds_max=0.05)
    client = await stage.client({4: 0})
    await client.send(call(1, b"1000*16384", path("Stream")))
    await comes(lambda: stage.seen.closed)
    assert stage.seen.made == 4
    assert stage.usage.calls == 0
    await client.send(window_update(1, 2**20))
    answer = await client.answer(1)
    assert (len(answer.messages), answer.status) == (4, DEADLINE_EXCEEDED)


async def test_a_stream_goes_on_as_its_reader_reads(stage):
    client = await stage.client({4: 0})
    await client.send(call(1, b"100*16384", path("Stream")))
    await comes(lambda: stage.seen.made == 4)
    await client.round_trip()
    assert stage.seen.made == 4
    await client.send(window_update(1, 10_000))
    await comes(lambda: stage.seen.made == 5)
    await client.round_trip()
    assert stage.seen.made == 5
    await client.send(window_update(1, 2**21))
    answer = await client.answer(1)
    assert (len(answer.messages), answer.status) == (100, OK)


@pytest.mark.parametrize("leaves", ["reset", "closed"])
async def test_a_generator_is_closed_when_its_caller_leaves(stage, leaves):
    client = await stage.client({4: 0})
    await client.send(call(1, b"1000*16384", path("Stream")))
    await comes(lambda: stage.seen.made == 4)
    if leaves == "reset":
        await client.send(reset(1, CANCEL))
    else:
        client.close()
    await comes(lambda: stage.seen.closed)
    await stage.idle()
    assert stage.seen.infos[0].gone


async def test_a_stream_does_not_hold_up_other_calls(stage):
    """Its messages are made one a turn, however small they are."""
    client, neighbour = await stage.client(), await stage.client()
    await neighbour.round_trip()
    await client.send(call(1, b"5000*4", path("Stream")))
    await comes(lambda: stage.seen.made)
    assert (await neighbour.ask(1)).status == OK
    assert stage.seen.made < 2_000
    assert len((await client.answer(1)).messages) == 5_000


async def test_a_watch_is_no_call_that_is_counted(listen):
    stage = await listen(calls_max=1)
    client = await stage.client()
    await client.send(*(call(stream_id, b"x", path("Watch")) for stream_id in range(1, 21, 2)))
    await comes(lambda: len(stage.seen.infos) == 10)
    assert stage.usage.calls == 0
    assert (await client.ask(21)).status == OK


# Dialogs


async def test_a_dialog_answers_each_message_as_it_comes(stage):
    client = await stage.client()
    await client.send(headers(1, head(path("Dialog"))), data(1, message(b"one")))
    await until_messages(client, 1, [b"ONE"])
    await client.send(data(1, message(b"two") + message(b"three")[:6]))
    await until_messages(client, 1, [b"ONE", b"TWO"])
    await client.send(data(1, message(b"three")[6:], end=True))
    answer = await client.answer(1)
    assert (answer.messages, answer.status) == ([b"ONE", b"TWO", b"THREE"], OK)


async def until_messages(client, stream_id, expected):
    while stream_id not in client.answers or client.answers[stream_id].messages != expected:
        assert await client.read()


@pytest.mark.parametrize(
    ("then", "status"),
    [
        (data(1, message(b"cut")[:-1], end=True), INTERNAL),
        (data(1, b"\1" + message(b"flag")[1:]), INTERNAL),
        (data(1, message(bytes(1_001))), RESOURCE_EXHAUSTED),
        (data(1, message(b"9" * 40)), INTERNAL),
    ],
    ids=["cut", "compressed", "too long", "raises"],
)
async def test_a_dialog_that_fails_half_way_ends_with_trailers(stage, then, status):
    client = await stage.client()
    await client.send(headers(1, head(path("Dialog"))), data(1, message(b"one")))
    await until_messages(client, 1, [b"ONE"])
    await client.send(then)
    answer = await client.answer(1)
    assert (answer.messages, answer.status) == ([b"ONE"], status)
    assert (await client.ask(3)).status == OK


async def test_a_dialog_that_fails_while_its_reader_waits_still_ends_with_its_status(stage):
    """The order to send no more comes after the messages and the trailers, whenever those are read."""
    client = await stage.client({4: 0})
    await client.send(headers(1, head(path("Dialog"))), data(1, message(b"one")), data(1, message(b"flag", 1)))
    await client.round_trip()
    assert client.answers[1].shape == ["HEADERS"]
    await client.send(window_update(1, 1_000))
    answer = await client.answer(1)
    assert (answer.messages, answer.status) == ([b"ONE"], INTERNAL)
    stage.tick(2)
    await client.round_trip()
    assert answer.reset == NO_ERROR


async def test_the_end_of_a_dialog_may_come_with_its_last_message_or_after_it(stage):
    client = await stage.client()
    await client.send(headers(1, head(path("Dialog"))), data(1, message(b"one")), data(1, b"", end=True))
    assert (await client.answer(1)).status == OK
    await client.send(headers(3, head(path("Dialog"))), data(3, message(b"one")), headers(3, [("x", "y")], end=True))
    assert (await client.answer(3)).status == OK


async def test_ping_is_answered(stage):
    client = await stage.client()
    await client.send(ping())
    await client.round_trip()
    assert client.pongs >= 1
