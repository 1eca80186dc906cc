"""Whatever arrives on a connection: only documented errors are raised, nothing hangs, and memory stays bounded."""

import gzip
import zlib
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from random import Random
from urllib.parse import unquote_to_bytes

from hpack import HPACKDecodingError
from hypothesis import given
from hypothesis import strategies as some
from rpc.transport.answering import BYTES_MAX, Answering
from rpc.transport.fuzzing import example, searching, tried
from rpc.transport.peers import Caller, begun, opened
from rpc.transport.wire import (
    ALL,
    CALL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    FRAME_BYTES_MAX,
    GOAWAY,
    HEADER_BYTES_MAX,
    HEADERS,
    PREFACE,
    STREAM_WINDOW,
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

from redemption.rpc.transport.grpc_call import (
    DialogReader,
    MessageReader,
    Rejected,
    framed,
    inflate,
    percent_encoded,
    read_head,
    timeout_seconds,
    trailers_of,
    whole_message,
)
from redemption.rpc.transport.http2 import ConnectionBroken, ErrorCode, Http2Connection
from redemption.rpc.transport.methods import Status

RECORDED = [bytes.fromhex(path.read_text()) for path in sorted(Path(__file__).parent.glob("recorded/*.hex"))]
HEAD = ((b":status", b"200"), (b"content-type", b"application/grpc"))
TRAILERS = ((b"grpc-status", b"0"),)
DRIVES_MAX = 100_000


class Run:
    """A connection on which anything comes, and on which everything is answered; its bounds are checked throughout."""

    def __init__(self, connection):
        self.connection = connection
        self.answering = Answering(connection)
        self.received = self.queued = self.events = 0
        self.sent = bytearray()
        self.ended = False

    def receive(self, part):
        self.received += len(part)
        try:
            events = self.connection.receive(part)
        except ConnectionBroken as broken:
            self.sent += broken.last_bytes
            self.ended = True
            return
        self.events += len(events)
        self.answering.take(events)

    def drive(self, bytes_max=ALL):
        """Write all there is, in parts of such a size."""
        for _ in range(DRIVES_MAX):
            try:
                part, events = self.connection.bytes_to_send(bytes_max)
            except ConnectionBroken as broken:
                self.sent += broken.last_bytes
                self.ended = True
                return
            assert len(part) <= bytes_max
            self.sent += part
            self.events += len(events)
            self.answering.take(events)
            if len(part) < bytes_max:
                break
        else:
            raise AssertionError("there is no end of it")
        self.answering.reset_late()

    def check(self):
        """What was written can be read, and there is no more of all than what came accounts for."""
        with suppress(HPACKDecodingError):  # a caller may forbid the table that its reader here has
            Reader().read(bytes(self.sent))
        split(bytes(self.sent))
        messages = [sum(map(len, call["messages"])) for call in self.answering.calls.values()]
        assert len(messages) <= self.received // 9
        assert max(messages, default=0) <= BYTES_MAX
        accounted = self.received + self.queued + sum(messages)
        assert self.connection.unsent_bytes <= accounted
        assert len(self.sent) <= 4_096 + 64 * self.received + accounted
        assert self.events <= 16 + self.received


def run_through(parts, *, bytes_max=ALL):
    run = Run(begun(Http2Connection))
    for part in parts:
        run.receive(part)
        run.drive(bytes_max)
    run.check()
    return run


def cut(sent, places):
    """The same in parts."""
    edges = [0, *sorted({place % (len(sent) + 1) for place in places}), len(sent)]
    return [sent[start:end] for start, end in pairwise(edges)]


places = some.lists(some.integers(0, 2**16), max_size=5)


junk_of_any_length = some.one_of(
    some.binary(max_size=100),
    some.builds(lambda seed, size: Random(seed).randbytes(size), some.integers(0, 2**32), some.integers(0, 2_000)),
)


@searching(150)
@given(junk_of_any_length, some.sampled_from([b"", PREFACE, PREFACE + settings()]), places)
def test_arbitrary_bytes(junk, first, at):
    with example("arbitrary bytes", len(junk)):
        run_through(cut(first + junk, at))


@some.composite
def mutated(draw):
    """Real traffic, with a few things done to it."""
    sent = bytearray(draw(some.sampled_from(RECORDED)))
    for _ in range(draw(some.integers(1, 6))):
        start = draw(some.integers(0, len(sent)))
        end = min(len(sent), start + draw(some.integers(0, 64)))
        kind = draw(some.integers(0, 4))
        if kind == 0 and start < len(sent):
            sent[start] ^= 1 << draw(some.integers(0, 7))
        elif kind == 1:
            del sent[start:end]
        elif kind == 2:
            sent[start:start] = sent[start:end]
        elif kind == 3:
            sent[start:end] = draw(some.binary(max_size=32))
        else:
            other = draw(some.sampled_from(RECORDED))
            sent[start:start] = other[draw(some.integers(0, len(other))) :][:200]
    return bytes(sent)


@searching(250)
@given(mutated(), places, some.sampled_from([ALL, 1, 7, 100]))
def test_real_traffic_that_was_changed(sent, at, bytes_max):
    with example("changed traffic", len(sent)):
        run_through(cut(sent, at), bytes_max=bytes_max)


streams = some.sampled_from([1, 1, 1, 1, 3, 3, 5, 7, 9, 0, 2])
fields = some.lists(
    some.tuples(
        some.sampled_from(
            [b"grpc-timeout", b"grpc-encoding", b"content-type", b"content-length", b"x-one", b"x-bin", b"te", b":path"]
        ),
        some.sampled_from(
            [b"1S", b"gzip", b"identity", b"application/grpc", b"5", b"100", b"AAEC", b"", b"\xff", b"*"]
        ),
    ),
    max_size=4,
)
bodies = some.one_of(
    some.binary(max_size=30),
    some.binary(max_size=200).map(framed),
    some.binary(max_size=200).map(lambda message: b"\1" + framed(gzip.compress(message))[1:]),
    some.integers(0, 16_384).map(bytes),
)
frames = some.one_of(
    some.builds(lambda stream, more, end: request(stream, *more, end=end), streams, fields, some.booleans()),
    some.builds(lambda stream, body, end: data(stream, body, end=end), streams, bodies, some.booleans()),
    some.builds(
        lambda stream, body, end, padding: data(stream, body[:16_000], end=end, padding=padding),
        *(streams, bodies, some.booleans(), some.integers(0, 255)),
    ),
    some.builds(reset, streams, some.integers(0, 20)),
    some.builds(window_update, streams, some.sampled_from([0, 1, 100, 65_535, 2**31 - 1])),
    some.builds(
        lambda name, value: settings({name: value}),
        some.sampled_from([1, 2, 3, STREAM_WINDOW, FRAME_BYTES_MAX, HEADER_BYTES_MAX, 8, 9, 77]),
        some.sampled_from([0, 1, 100, 4_096, 16_384, 65_535, 2**24 - 1, 2**31 - 1, 2**32 - 1]),
    ),
    some.just(settings_ack()),
    some.builds(lambda ack: ping(bytes(8), ack=ack), some.booleans()),
    some.builds(goaway, streams, some.integers(0, 20), some.binary(max_size=10)),
    some.builds(lambda stream: frame(HEADERS, 0, stream, field_block(CALL)), streams),
    some.builds(lambda stream, flags: frame(CONTINUATION, flags, stream), streams, some.sampled_from([0, END_HEADERS])),
    some.builds(frame, some.integers(0, 20), some.integers(0, 255), streams, some.binary(max_size=40)),
)
whole_calls = some.builds(
    lambda stream, body: request(stream) + data(stream, framed(body), end=True), streams, some.binary(max_size=20)
)
doings = some.one_of(
    frames,
    some.lists(some.one_of(frames, whole_calls), min_size=1, max_size=4).map(b"".join),
    some.builds(lambda stream: data(stream, end=True) + data(stream, b"x") + goaway(0), streams),
    some.builds(lambda stream: data(stream, b"rest", end=True) + goaway(0), streams),
    some.sampled_from([9, 100, ALL]),  # drive
    some.tuples(some.sampled_from(["begin", "part", "end", "answer", "refuse", "reset", "widen"]), streams),
    some.sampled_from(["ping", "notice"]),
)


def do(run, doing):
    """One step of the server."""
    connection = run.connection
    if doing == "ping":
        connection.ping(b"12345678")
        run.queued += 17
        return
    if doing == "notice":
        connection.send_shutdown_notice()
        run.queued += 17
        return
    kind, stream = doing
    stream = stream or 1
    run.queued += 2_200
    if kind == "begin":
        connection.begin_answer(stream, HEAD)
    elif kind == "part":
        connection.send_body(stream, bytes(1_000))
    elif kind == "end":
        connection.end_answer(stream, TRAILERS)
    elif kind == "answer":
        connection.answer(stream, HEAD, bytes(2_000), TRAILERS)
    elif kind == "refuse":
        connection.answer(stream, (*HEAD, *TRAILERS))
    elif kind == "reset":
        connection.reset(stream, ErrorCode.CANCEL)
    else:
        connection.widen(stream, 100_000)


@searching(400)
@given(some.lists(doings, max_size=30), places)
def test_frames_and_answers_in_any_order(steps, at):
    """And a connection that survives all that has its whole window: a new call is taken on."""
    size = sum([len(step) for step in steps if type(step) is bytes])
    with example("frames in any order", size):
        run = Run(opened(Http2Connection))
        unspent = WINDOW_BYTES
        for step in steps:
            if type(step) is bytes:
                parts = cut(step, at[:2])
                run.receive(parts[0])
                if len(parts) > 2:
                    run.drive()  # within a frame
                for part in parts[1:]:
                    run.receive(part)
                unspent -= sum([len(payload) for kind, _, _, payload in split(step) if kind == DATA])
            elif type(step) is int:
                run.drive(step)
            else:
                do(run, step)
        run.drive()
        run.check()
        if not run.ended and all(type(step) is not bytes or leaves_a_connection_open(step) for step in steps):
            tried["frames in any order, and a call after them"] += 1
            assert takes_a_call(run, 11, unspent)


def leaves_a_connection_open(sent):
    """Whether a new call may come after frames: not after a goodbye, nor within a header block."""
    return all(kind != GOAWAY and (kind != HEADERS or flags & END_HEADERS) for kind, flags, _, _ in split(sent))


def takes_a_call(run, stream, unspent):
    """Whether a caller that counted its window down to there can still upload a message that is larger than it."""
    for kind, _, of, payload in split(bytes(run.sent)):
        if (kind, of) == (WINDOW_UPDATE, 0):
            unspent += int.from_bytes(payload)
    caller = Caller(run.connection, unspent)
    run.connection.receive(request(stream))
    arrived = caller.upload(stream, 200_000)
    return unspent <= WINDOW_BYTES < caller.widest + 2 * 16_384 and arrived == 200_000


class Polite:
    """A caller that keeps to the protocol, whatever it does."""

    def __init__(self, run):
        self._run = run
        self._held = b""
        self.newest = -1
        self._open = []
        self.spent = 0

    def say(self, sent):
        self._held += sent

    def flush(self):
        """Send what was held back, in one piece."""
        held, self._held = self._held, b""
        self._run.receive(held)

    def stream(self, index):
        return self._open[index % len(self._open)] if self._open else None

    def call(self, *, end):
        self.newest += 2
        self.say(request(self.newest, end=end))
        if not end:
            self._open.append(self.newest)

    def data(self, stream, size, padding, *, end):
        self.say(data(stream, framed(bytes(size)), end=end, padding=padding))
        self.spent += 5 + size + (0 if padding is None else padding + 1)
        if end:
            self._open.remove(stream)

    def reset(self, stream):
        self.say(reset(stream))
        self._open.remove(stream)

    def lose(self, size, *, late):
        """Be reset within a frame."""
        self.call(end=False)
        sent = data(self.newest, bytes(size))
        self.say(sent[: 9 + size // 2])
        self.flush()
        self._run.connection.reset(self.newest, ErrorCode.CANCEL)
        if not late:
            self._run.drive()
        self.say(sent[9 + size // 2 :])
        self.flush()
        self.spent += size
        self._open.remove(self.newest)

    def window(self):
        """What it may still send."""
        found = [each for each in split(bytes(self._run.sent)) if (each[0], each[2]) == (WINDOW_UPDATE, 0)]
        return WINDOW_BYTES - self.spent + sum([int.from_bytes(payload) for _, _, _, payload in found])


indexes = some.integers(0, 5)
polite_steps = some.one_of(
    some.tuples(some.just("call"), some.booleans()),
    some.tuples(
        some.just("data"), indexes, some.integers(0, 3_000), some.none() | some.integers(0, 255), some.booleans()
    ),
    some.tuples(some.just("reset"), indexes),
    some.tuples(some.just("lose"), some.integers(2, 16_000), some.booleans(), some.integers(1, 10)),
    some.tuples(some.sampled_from(["begin", "part", "end", "answer", "refuse", "widen"]), some.integers(0, 20)),
    some.tuples(some.just("window"), indexes),
    some.just(("drive",)),
    some.just(("flush",)),
)


def lose_often(run, caller, size, late, times):
    for _ in range(times):
        run.drive()
        if caller.window() >= size:
            caller.lose(size, late=late)


def take_step(run, caller, step):
    kind, *rest = step
    if kind == "call":
        caller.call(end=rest[0])
    elif kind in {"drive", "flush", "lose"}:
        caller.flush()
        if kind == "drive":
            run.drive()
        elif kind == "lose":
            lose_often(run, caller, *rest)
    elif kind in {"begin", "part", "end", "answer", "refuse", "widen"}:
        do(run, (kind, 2 * rest[0] + 1))
    else:
        take_step_of_a_stream(caller, kind, *rest)


def take_step_of_a_stream(caller, kind, index, size=0, padding=None, end=False):  # noqa: FBT002 - as they are drawn
    stream = caller.stream(index)
    if stream is None:
        return
    if kind == "reset":
        caller.reset(stream)
    elif kind == "window":
        caller.say(window_update(stream, 1_000))
    elif caller.window() >= 4_000:
        caller.data(stream, size, padding, end=end)


@searching(300)
@given(some.lists(polite_steps, max_size=25), some.booleans())
def test_a_caller_that_keeps_to_the_protocol_is_served_to_the_end(steps, leaves):
    """And has its whole window in the end, whatever was reset in between."""
    with example("polite callers"):
        run = Run(opened(Http2Connection))
        caller = Polite(run)
        for step in steps:
            take_step(run, caller, step)
        if leaves:
            caller.say(goaway(0))
        caller.flush()
        run.drive()
        run.received += caller.spent
        run.check()
        assert not run.ended
        assert all(kind != GOAWAY for kind, *_ in split(bytes(run.sent)))
        if not leaves:
            assert takes_a_call(run, caller.newest + 2, WINDOW_BYTES - caller.spent)


# What gRPC adds

values = some.one_of(some.binary(max_size=40), some.sampled_from([b"1S", b"gzip", b"application/grpc", b"AAEC"]))
names = some.one_of(
    some.binary(min_size=1, max_size=12),
    some.sampled_from([b"content-type", b"grpc-encoding", b"grpc-timeout", b"x-bin", b"grpc-bin", b"-bin"]),
)


@searching(200)
@given(some.lists(some.tuples(names, values), max_size=8), some.sampled_from([b"POST", b"GET"]))
def test_any_headers_are_understood_or_refused(more, method):
    headers = ((b":method", method), (b":path", b"/s/m"), (b"content-type", b"application/grpc"), *more)
    with example("headers"), suppress(Rejected):
        seconds, _ = read_head(dict(headers))
        assert seconds is None or 0 <= seconds <= 99_999_999 * 3_600


@searching(200)
@given(some.one_of(some.binary(max_size=12), some.from_regex(rb"[0-9_]{0,10}[HMSmunhs ]?", fullmatch=True)))
def test_any_timeout_is_understood_or_refused(value):
    with example("timeouts"), suppress(Rejected):
        assert 0 <= timeout_seconds(value) <= 99_999_999 * 3_600


@searching(200)
@given(some.lists(bodies, max_size=6), some.booleans(), places)
def test_any_messages_are_read_or_refused(parts, gzip_is_named, at):
    with example("messages", sum(map(len, parts))):
        for reader in (MessageReader(compressed=gzip_is_named, bytes_max=1_000), DialogReader(bytes_max=1_000)):
            with suppress(Rejected):
                for part in cut(b"".join(parts), at):
                    whole_message(part, 1_000)
                    reader.feed(part)
                if type(reader) is MessageReader:
                    assert len(reader.message()) <= 1_000
                else:
                    reader.end()


@searching(150)
@given(some.lists(some.binary(max_size=40), max_size=6), places)
def test_messages_come_as_they_were_sent_wherever_they_are_cut(messages, at):
    sent = b"".join(map(framed, messages))
    with example("dialogs", len(sent)):
        reader = DialogReader(bytes_max=10_000)
        assert [message for part in cut(sent, at) for message in reader.feed(part)] == messages
        reader.end()


@searching(200)
@given(some.binary(max_size=300), some.integers(0, 300), places, some.integers(0, 255))
def test_any_gzip_is_unpacked_within_its_bound_or_refused(message, bytes_max, at, byte):
    packed = bytearray(gzip.compress(message))
    with example("gzip", len(packed)):
        assert inflate(bytes(packed), bytes_max) == (message if len(message) <= bytes_max else None)
        for place in at:
            packed[place % len(packed)] = byte
        with suppress(Rejected):
            unpacked = inflate(bytes(packed), bytes_max)
            assert unpacked is None or len(unpacked) <= bytes_max
            assert unpacked is None or zlib.decompress(bytes(packed), 31) == unpacked


@searching(200)
@given(some.text(some.characters(codec=None, exclude_categories=[])))
def test_any_message_travels_as_printable_ascii_and_comes_as_it_was_sent(text):
    with example("status messages"):
        encoded = percent_encoded(text)
        assert all(0x20 <= byte <= 0x7E for byte in encoded)
        assert unquote_to_bytes(encoded) == text.encode("utf-8", "replace")
        assert dict(trailers_of(Status(5, text)))[b"grpc-message"] == encoded
