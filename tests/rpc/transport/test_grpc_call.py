"""What gRPC adds to HTTP/2, rule by rule."""

import base64
import gzip
import random
import tracemalloc
import zlib

import pytest
from google.rpc import code_pb2
from rpc.transport.wire import CALL

from redemption.rpc.transport import statuses
from redemption.rpc.transport.grpc_call import (
    FRAME_BYTES_MEAN,
    FRAMES_FREE,
    OK_TRAILERS,
    PREFIX_BYTES,
    RESPONSE_HEADERS,
    DialogReader,
    MessageReader,
    Rejected,
    fitting,
    framed,
    inflate,
    percent_encoded,
    read_head,
    timeout_seconds,
    trailers_of,
    trailers_only,
    whole_message,
)
from redemption.rpc.transport.http2 import list_bytes
from redemption.rpc.transport.methods import Status

OK, INVALID_ARGUMENT, UNIMPLEMENTED, INTERNAL, RESOURCE_EXHAUSTED = b"0", b"3", b"12", b"13", b"8"
BYTES_MAX = 1_000


def rejection(act, *arguments):
    """The answer with which something is not taken on."""
    with pytest.raises(Rejected) as rejected:
        act(*arguments)
    return rejected.value.headers


def status_of(headers):
    """A gRPC status, from an answer that has to be one header block with HTTP status 200."""
    assert headers[: len(RESPONSE_HEADERS)] == RESPONSE_HEADERS
    return dict(headers)[b"grpc-status"]


def head(**changes):
    """A call's headers with some of them changed; None leaves one out."""
    fields = dict(CALL)
    for name, value in changes.items():
        fields[(":method" if name == "method" else name.replace("_", "-")).encode()] = value
    return {name: value for name, value in fields.items() if value is not None}


# The head of a call


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (head(), (None, False)),
        (head(te=None), (None, False)),
        (head(te=b"gzip"), (None, False)),
        (head(content_type=b"application/grpc+proto"), (None, False)),
        (head(content_type=b"application/grpc;charset=utf-8"), (None, False)),
        (head(content_type=b"application/grpc+proto ; v=1"), (None, False)),
        (head(content_type=b"Application/GRPC"), (None, False)),
        (head(grpc_encoding=b"identity"), (None, False)),
        (head(grpc_encoding=b"gzip"), (None, True)),
        (head(grpc_timeout=b"1500m"), (1.5, False)),
        (head(grpc_timeout=b"0n"), (0.0, False)),
        (head(grpc_accept_encoding=b"br", grpc_encoding=None), (None, False)),
    ],
)
def test_the_head_says_time_and_compression(headers, expected):
    assert read_head(headers) == expected


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"post", b"POST ", b""])
def test_another_http_method_is_answered_with_405(method):
    headers = rejection(read_head, head(method=method))
    assert headers[:2] == ((b":status", b"405"), (b"content-type", b"application/grpc"))
    assert dict(headers)[b"grpc-status"] == INVALID_ARGUMENT


def test_a_tunnel_which_has_no_path_is_answered_with_405():
    assert rejection(read_head, {b":method": b"CONNECT", b":authority": b"localhost"})[0] == (b":status", b"405")


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        b"",
        b"application/json",
        b"application/grpc-web",
        b"application/grpc-web+proto",
        b"application/grpc+json",
        b"application/grpc+",
        b"application/grpcx",
        b"text/plain;application/grpc",
        b"\xff\xfe",
    ],
)
def test_another_content_type_is_answered_with_415(content_type):
    headers = rejection(read_head, head(content_type=content_type))
    assert headers[:2] == ((b":status", b"415"), (b"content-type", b"application/grpc"))
    assert dict(headers)[b"grpc-status"] == INVALID_ARGUMENT


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"snappy", b"GZIP", b"", b"identity,gzip"])
def test_an_unknown_encoding_is_unimplemented_and_the_known_ones_are_told(encoding):
    headers = rejection(read_head, head(grpc_encoding=encoding))
    assert status_of(headers) == UNIMPLEMENTED
    assert dict(headers)[b"grpc-accept-encoding"] == b"identity,deflate,gzip"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1H", 3_600.0),
        (b"1M", 60.0),
        (b"1S", 1.0),
        (b"1m", 0.001),
        (b"1u", 0.000_001),
        (b"1n", 0.000_000_001),
        (b"99999999H", 359_999_996_400.0),
        (b"99999999n", 0.099_999_999),
        (b"0m", 0.0),
        (b"0H", 0.0),
        (b"00000000S", 0.0),
        (b"00000012S", 12.0),
    ],
)
def test_a_timeout_is_digits_and_a_unit(value, seconds):
    assert timeout_seconds(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"m", b"1", b"1h", b"1s", b"1ms", b"-1m", b"+1m", b" 1m", b"1m ", b"1 m", b"1m\n", b"1.5S", b"1e3m"),
        *(b"1_0m", b"123456789m", b"000000001m", b"0x1m", b"1,2m", b"\xd9\xa1m", b"1m1m", b"\0m"),
    ],
)
def test_a_timeout_that_is_written_otherwise_is_an_invalid_argument(value):
    assert status_of(rejection(timeout_seconds, value)) == INVALID_ARGUMENT
    assert status_of(rejection(read_head, head(grpc_timeout=value))) == INVALID_ARGUMENT


# Messages


def fed(reader, *parts):
    return [reader.feed(part) for part in parts]


@pytest.mark.parametrize("message", [b"", b"x", b"hello", bytes(BYTES_MAX)])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 100, 10_000])
def test_a_message_may_come_in_any_parts_and_its_length_is_told_once(message, size):
    reader = MessageReader(compressed=False, bytes_max=BYTES_MAX)
    sent = framed(message)
    size = max(size, len(sent) // FRAMES_FREE + 1)
    told = fed(reader, *[sent[start : start + size] for start in range(0, len(sent), size)])
    assert [each for each in told if each is not None] == [len(message)]
    assert told.index(len(message)) == (PREFIX_BYTES - 1) // size
    assert reader.message() == message


def test_parts_of_no_bytes_change_nothing():
    reader = MessageReader(compressed=False, bytes_max=BYTES_MAX)
    told = fed(reader, b"", b"\0\0", b"", b"\0\0\2", b"", b"ab", b"")
    assert told == [None, None, None, 2, None, None, None]
    assert reader.message() == b"ab"


def test_a_message_that_is_too_long_is_refused_by_the_five_bytes_that_say_so():
    reader = MessageReader(compressed=False, bytes_max=BYTES_MAX)
    prefix = b"\0" + (BYTES_MAX + 1).to_bytes(4)
    assert reader.feed(prefix[:4]) is None
    headers = rejection(reader.feed, prefix[4:])
    assert headers == trailers_only(statuses.message_too_large(BYTES_MAX))
    assert status_of(headers) == RESOURCE_EXHAUSTED


@pytest.mark.parametrize("gzip_is_named", [False, True])
@pytest.mark.parametrize(
    ("flag", "rejected"), [(0, (False, False)), (1, (True, False)), (2, (True, True)), (0x80, (True, True))]
)
def test_a_message_may_be_flagged_as_compressed_when_the_call_names_an_encoding(flag, rejected, gzip_is_named):
    reader = MessageReader(compressed=gzip_is_named, bytes_max=BYTES_MAX)
    prefix = bytes((flag, 0, 0, 0, 3))
    if rejected[gzip_is_named]:
        assert status_of(rejection(reader.feed, prefix)) == INTERNAL
    else:
        assert reader.feed(prefix) == 3


def test_a_call_that_names_an_encoding_may_still_send_its_message_as_it_is():
    reader = MessageReader(compressed=True, bytes_max=BYTES_MAX)
    reader.feed(framed(b"plain"))
    assert reader.message() == b"plain"


def test_a_compressed_message_is_unpacked():
    reader = MessageReader(compressed=True, bytes_max=BYTES_MAX)
    packed = gzip.compress(bytes(BYTES_MAX))
    assert reader.feed(b"\1" + len(packed).to_bytes(4) + packed) == len(packed)
    assert reader.message() == bytes(BYTES_MAX)


@pytest.mark.parametrize("packed", [b"", b"no gzip", gzip.compress(b"x")[:-1]], ids=["empty", "junk", "cut"])
def test_what_is_flagged_as_compressed_and_is_not_is_an_internal_error(packed):
    reader = MessageReader(compressed=True, bytes_max=BYTES_MAX)
    reader.feed(b"\1" + len(packed).to_bytes(4) + packed)
    assert status_of(rejection(reader.message)) == INTERNAL


@pytest.mark.parametrize(("zeros", "refused"), [(60_000, False), (100_000, True)])
def test_a_gzipped_message_that_becomes_far_longer_is_refused_unless_it_stays_small(zeros, refused):
    packed = gzip.compress(bytes(zeros))
    reader = MessageReader(compressed=True, bytes_max=1_000_000)
    reader.feed(b"\1" + len(packed).to_bytes(4) + packed)
    if refused:
        assert rejection(reader.message) == trailers_only(statuses.INFLATES)
    else:
        assert reader.message() == bytes(zeros)


def test_a_large_gzipped_message_of_an_ordinary_kind_is_unpacked():
    """It becomes ten times as long."""
    plain = b"".join(random.Random(number).randbytes(100) + bytes(900) for number in range(1_000))
    packed = gzip.compress(plain)
    reader = MessageReader(compressed=True, bytes_max=1_000_000)
    reader.feed(b"\1" + len(packed).to_bytes(4) + packed)
    assert reader.message() == plain


def test_a_message_that_is_too_long_once_unpacked_is_refused_as_one_that_came_so_long():
    reader = MessageReader(compressed=True, bytes_max=BYTES_MAX)
    packed = gzip.compress(bytes(BYTES_MAX + 1))
    reader.feed(b"\1" + len(packed).to_bytes(4) + packed)
    assert rejection(reader.message) == trailers_only(statuses.message_too_large(BYTES_MAX))


@pytest.mark.parametrize(
    "parts",
    [
        [framed(b"one") + framed(b"two")],
        [framed(b"one"), framed(b"two")],
        [framed(b"one") + b"\0"],
        [framed(b""), b"\0"],
        [framed(b"one"), b"t"],
    ],
)
def test_a_second_message_is_refused_as_soon_as_it_begins(parts):
    reader = MessageReader(compressed=False, bytes_max=BYTES_MAX)
    fed(reader, *parts[:-1])
    assert rejection(reader.feed, parts[-1]) == trailers_only(statuses.SEVERAL_MESSAGES)
    assert status_of(trailers_only(statuses.SEVERAL_MESSAGES)) == UNIMPLEMENTED


@pytest.mark.parametrize(
    ("sent", "refusal", "code"),
    [
        (b"", statuses.NO_MESSAGE, UNIMPLEMENTED),
        (b"\0", statuses.CUT_MESSAGE, INTERNAL),
        (b"\0\0\0\0", statuses.CUT_MESSAGE, INTERNAL),
        (b"\0\0\0\0\1", statuses.CUT_MESSAGE, INTERNAL),
        (framed(b"hello")[:-1], statuses.CUT_MESSAGE, INTERNAL),
    ],
)
def test_a_call_that_ends_before_its_message_does_is_refused(sent, refusal, code):
    reader = MessageReader(compressed=False, bytes_max=BYTES_MAX)
    if sent:
        reader.feed(sent)
    assert rejection(reader.message) == trailers_only(refusal)
    assert status_of(trailers_only(refusal)) == code


def test_a_message_may_come_in_frames_of_64_bytes():
    message = bytes(100_000)
    sent = framed(message)
    reader = MessageReader(compressed=False, bytes_max=len(message))
    fed(reader, *[sent[start : start + FRAME_BYTES_MEAN] for start in range(0, len(sent), FRAME_BYTES_MEAN)])
    assert reader.message() == message


def test_a_byte_a_frame_is_borne_a_little_longer_than_the_free_frames_last():
    sent = framed(bytes(BYTES_MAX))
    reader = MessageReader(compressed=False, bytes_max=BYTES_MAX)
    borne = FRAMES_FREE + FRAMES_FREE // FRAME_BYTES_MEAN
    fed(reader, *[sent[at : at + 1] for at in range(borne)])
    assert rejection(reader.feed, b"x") == trailers_only(statuses.SCATTERED_MESSAGE)


def test_empty_frames_count_as_well():
    reader = MessageReader(compressed=False, bytes_max=BYTES_MAX)
    fed(reader, *[b""] * FRAMES_FREE)
    assert rejection(reader.feed, b"") == trailers_only(statuses.SCATTERED_MESSAGE)


def test_a_message_is_held_once_however_it_comes():
    message = bytes(4 * 2**20)
    sent = framed(message)
    reader = MessageReader(compressed=False, bytes_max=len(message))
    tracemalloc.start()
    try:
        for start in range(0, len(sent), 1_000):
            reader.feed(sent[start : start + 1_000])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.3 * len(message)
    assert reader.message() == message


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (framed(b"hello"), b"hello"),
        (framed(b""), b""),
        (framed(bytes(BYTES_MAX)), bytes(BYTES_MAX)),
        (framed(bytes(BYTES_MAX + 1)), None),
        (b"", None),
        (b"\0\0\0\0", None),
        (framed(b"hello")[:-1], None),
        (framed(b"hello") + b"x", None),
        (framed(b"one") + framed(b"two"), None),
        (b"\1\0\0\0\1x", None),
        (b"\0\0\0\0\2x", None),
        (b"\0\xff\xff\xff\xffx", None),
    ],
)
def test_a_frame_is_a_whole_message_when_there_is_nothing_to_think_about(sent, expected):
    assert whole_message(sent, BYTES_MAX) == expected


@pytest.mark.parametrize("size", [1, 2, 5, 7, 1_000])
def test_the_messages_of_a_dialog_come_as_they_are_complete(size):
    messages = [b"", b"one", b"two" * 20, b"", b"three"]
    sent = b"".join([framed(message) for message in messages])
    reader = DialogReader(bytes_max=BYTES_MAX)
    got = []
    for start in range(0, len(sent), size):
        got += reader.feed(sent[start : start + size])
    reader.end()
    assert got == messages


def test_a_dialog_is_bounded_in_all_and_each_message_by_that():
    reader = DialogReader(bytes_max=100)
    for _ in range(10):
        assert reader.feed(framed(b"hello")) == [b"hello"]
    assert rejection(reader.feed, b"\0") == trailers_only(statuses.message_too_large(100))


@pytest.mark.parametrize(
    ("sent", "refusal"),
    [(b"\1\0\0\0\0", INTERNAL), (b"\2\0\0\0\0", INTERNAL), (b"\xff\0\0\0\0", INTERNAL)],
)
def test_a_dialog_has_no_compressed_messages(sent, refusal):
    assert status_of(rejection(DialogReader(bytes_max=100).feed, sent)) == refusal


@pytest.mark.parametrize("sent", [b"\0", framed(b"hello")[:-1], framed(b"hello") + b"\0\0\0\0\1"])
def test_a_dialog_that_ends_within_a_message_is_refused(sent):
    reader = DialogReader(bytes_max=100)
    reader.feed(sent)
    assert rejection(reader.end) == trailers_only(statuses.CUT_MESSAGE)


# Compression


@pytest.mark.parametrize("message", [b"", b"x", bytes(BYTES_MAX - 1), bytes(range(250)) * 4])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_what_was_gzipped_is_unpacked_up_to_the_bound(message, level):
    assert inflate(gzip.compress(message, level), BYTES_MAX) == message


@pytest.mark.parametrize("beyond", [1, 2, 100, 10**6])
def test_what_is_longer_than_the_bound_is_not_unpacked(beyond):
    assert inflate(gzip.compress(bytes(BYTES_MAX + beyond)), BYTES_MAX) is None


def test_a_bomb_costs_no_more_than_the_bound():
    bomb = gzip.compress(bytes(50 * 2**20), 9)
    tracemalloc.start()
    try:
        assert inflate(bomb, 2**16) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**16 + len(bomb) + 2**17


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"x",
        b"\x1f\x8b",
        b"not gzip at all",
        gzip.compress(b"hello")[:10],
        gzip.compress(b"hello")[:-1],
        gzip.compress(b"hello")[:-8],
        gzip.compress(b"hello") + b"\0",
        gzip.compress(b"hello") * 2,
        gzip.compress(b"hello")[:-8] + bytes(8),
        zlib.compress(b"hello", wbits=-15),
    ],
    ids=[
        *("nothing", "a byte", "the beginning of a head", "text", "a head alone", "a byte short", "no checksum"),
        *("a byte more", "two of them", "a wrong checksum", "raw"),
    ],
)
def test_what_is_no_whole_gzip_is_an_internal_error(packed):
    assert status_of(rejection(inflate, packed, BYTES_MAX)) == INTERNAL


# Statuses


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", b""),
        ("plain words, and ~!", b"plain words, and ~!"),
        ("100%", b"100%25"),
        ("é\n%", b"%C3%A9%0A%25"),
        ("优惠券", b"%E4%BC%98%E6%83%A0%E5%88%B8"),
        ("🎟", b"%F0%9F%8E%9F"),
        ("\x00\x1f\x7f\x80", b"%00%1F%7F%C2%80"),
        ("a\r\nb: c", b"a%0D%0Ab: c"),
        ("\udc80", b"?"),
        ("é\n%\udc80", b"%C3%A9%0A%25?"),
    ],
)
def test_a_message_travels_as_printable_ascii(message, expected):
    assert percent_encoded(message) == expected


def test_every_character_but_the_printable_ones_and_the_percent_sign_is_encoded():
    for code in range(0x300):
        encoded = percent_encoded(chr(code))
        assert (encoded == chr(code).encode()) == (0x20 <= code <= 0x7E and chr(code) != "%")
        assert all(0x20 <= byte <= 0x7E for byte in encoded)


def test_trailers_are_code_and_message():
    assert trailers_of(Status(5, "no such campaign")) == (
        (b"grpc-status", b"5"),
        (b"grpc-message", b"no such campaign"),
    )
    assert OK_TRAILERS == ((b"grpc-status", OK),)


def test_details_travel_as_base64_without_padding():
    fields = dict(trailers_of(Status(5, "no", b"\0\1\2\3")))
    assert fields[b"grpc-status-details-bin"] == b"AAECAw"
    assert base64.b64decode(b"AAECAw==") == b"\0\1\2\3"


@pytest.mark.parametrize(
    ("final", "wait_ms", "expected"), [(True, 0, b"-1"), (True, 250, b"-1"), (False, 250, b"250"), (False, 0, None)]
)
def test_a_status_tells_the_callers_library_when_to_try_again_or_never(final, wait_ms, expected):
    fields = dict(trailers_of(Status(14, "no", final=final, wait_ms=wait_ms)))
    assert fields.get(b"grpc-retry-pushback-ms") == expected


def test_a_call_without_a_message_is_answered_with_the_headers_and_trailers_in_one():
    status = Status(5, "no", b"details", final=True)
    assert trailers_only(status) == (*RESPONSE_HEADERS, *trailers_of(status))


def test_details_are_dropped_when_the_caller_takes_no_such_length():
    fields = trailers_only(Status(8, "no", bytes(600), final=True))
    assert fitting(fields, list_bytes(fields)) == fields
    short = fitting(fields, list_bytes(fields) - 1)
    assert short == tuple([field for field in fields if field[0] != b"grpc-status-details-bin"])
    assert status_of(short) == RESOURCE_EXHAUSTED
    assert dict(short)[b"grpc-retry-pushback-ms"] == b"-1"


def test_what_fits_is_left_as_it_is():
    fields = trailers_only(Status(8, "no"))
    assert fitting(fields, 8_192) == fields


def test_the_message_is_dropped_too_before_the_status_is_lost():
    """A message of 500 bytes of Chinese has 1,500 when it is encoded."""
    fields = trailers_only(Status(8, "券" * 160, b"details", final=True))
    short = fitting(fields, 1_024)
    assert list_bytes(short) <= 1_024
    assert status_of(short) == RESOURCE_EXHAUSTED
    assert dict(short)[b"grpc-retry-pushback-ms"] == b"-1"
    assert b"grpc-message" not in dict(short)


@pytest.mark.parametrize("bytes_max", [0, 1, 100])
def test_the_status_is_kept_whatever_the_caller_takes(bytes_max):
    assert status_of(fitting(trailers_only(Status(8, "no", b"details")), bytes_max)) == RESOURCE_EXHAUSTED


def test_every_refusal_of_the_transport_fits_what_common_clients_take():
    every = [value for value in vars(statuses).values() if type(value) is Status]
    every += [statuses.headers_too_large(10**9, 10**9), statuses.message_too_large(10**9)]
    assert len(every) > 10
    for status in every:
        assert status.code != code_pb2.OK
        assert list_bytes(trailers_only(status)) <= 8_192
