"""What programs see that call through grpcio, synchronous and asynchronous."""

import asyncio
from collections import Counter

import grpc
import pytest
from rpc.transport.listening import FAILURE, MIB, SERVICE, failure_of
from waiting import SECONDS_MAX, comes

ECHO, FAILING, HELD, LARGE, SLOW, STREAM = (
    SERVICE + name for name in ("Echo", "Failing", "Held", "Large", "Slow", "Stream")
)


@pytest.fixture
async def channel(stage):
    async with stage.channel() as opened:
        yield opened


@pytest.mark.parametrize("size", [0, 1, 16_379, 65_536, MIB, 4 * MIB])
async def test_messages_of_all_sizes_come_back(stage, channel, size):
    payload = bytes(range(256)) * (size // 256 + 1)
    echo = channel.unary_unary(ECHO)
    if size == 4 * MIB:
        error = await failure_of(echo(payload[:size] + b"x", timeout=SECONDS_MAX))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    size = min(size, 4 * MIB - 5)  # what the client receives
    assert await echo(payload[:size], timeout=SECONDS_MAX) == payload[:size]


async def test_a_status_arrives_with_its_message_and_details(channel):
    error = await failure_of(channel.unary_unary(FAILING)(b"", timeout=SECONDS_MAX))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert error.details() == "é\n%?"
    assert dict(error.trailing_metadata())["grpc-status-details-bin"] == FAILURE.details


async def test_a_status_arrives_though_its_details_are_more_than_the_client_takes(stage):
    async with stage.channel(("grpc.max_metadata_size", 220), ("grpc.absolute_max_metadata_size", 280)) as channel:
        await channel.unary_unary(ECHO)(b"", timeout=SECONDS_MAX)
        error = await failure_of(channel.unary_unary(FAILING)(b"", timeout=SECONDS_MAX))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "grpc-status-details-bin" not in dict(error.trailing_metadata())


@pytest.mark.parametrize("path", [SERVICE + "Nothing", "/other.Service/Echo", SERVICE + "Echo?x", "/" + ECHO])
async def test_an_unknown_method_is_unimplemented(stage, channel, path):
    error = await failure_of(channel.unary_unary(path)(b"", timeout=SECONDS_MAX))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert stage.seen.ran == {}


@pytest.mark.parametrize("compression", list(grpc.Compression))
async def test_a_message_may_be_compressed(stage, channel, compression):
    payload = b"hello" * 10_000
    assert await channel.unary_unary(ECHO)(payload, timeout=SECONDS_MAX, compression=compression) == payload


async def test_metadata_may_be_binary(channel):
    metadata = (("trace-bin", b"\x00\xff\x10"), ("request-id", "r"), ("trace-bin", b""))
    assert await channel.unary_unary(ECHO)(b"x", metadata=metadata, timeout=SECONDS_MAX) == b"x"


async def test_metadata_without_measure_is_refused(stage, channel):
    many = tuple((f"field-{number}", "v") for number in range(200))
    error = await failure_of(channel.unary_unary(ECHO)(b"x", metadata=many, timeout=SECONDS_MAX))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await channel.unary_unary(ECHO)(b"x", timeout=SECONDS_MAX) == b"x"
    assert stage.seen.ran == {"Echo": 1}


async def test_short_deadlines_are_exceeded_and_never_cancelled(stage, channel):
    """1,000 at once, on one connection, which they do not end."""
    slow = channel.unary_unary(SLOW)
    await channel.unary_unary(ECHO)(b"x", timeout=SECONDS_MAX)
    (connection,) = stage.listener._connections
    calls = [slow(b"x", timeout=0.03 + 0.00015 * number) for number in range(1_000)]
    codes = Counter([(await failure_of(call)).code().name for call in calls])
    # A slow machine refuses some at once: it sees that it will not begin them in their time.
    assert set(codes) <= {"DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
    assert codes["DEADLINE_EXCEEDED"]
    assert await channel.unary_unary(ECHO)(b"x", timeout=SECONDS_MAX) == b"x"
    assert list(stage.listener._connections) == [connection]
    await stage.idle()
    assert all(info.gone for info in stage.seen.infos)


async def test_a_handler_is_told_of_the_deadline(stage, channel):
    call = channel.unary_unary(SLOW)(b"x", timeout=3)
    await comes(lambda: stage.seen.infos)
    left = stage.seen.infos[0].deadline - asyncio.get_running_loop().time()
    assert 0 < left < 3
    stage.seen.go.set()
    assert await call == b"x"


@pytest.mark.parametrize("path", [SLOW, HELD])
async def test_a_cancelled_call_is_cancelled_here_too(stage, channel, path):
    call = channel.unary_unary(path)(b"x", timeout=SECONDS_MAX)
    await comes(lambda: stage.seen.infos)
    call.cancel()
    await comes(lambda: stage.seen.infos[0].gone)
    for held in stage.seen.held:
        held.answer(b"late")
    await stage.idle()
    assert stage.seen.cancelled == (path == SLOW)


async def test_a_stream_is_read_to_its_end(channel):
    parts = [len(part) async for part in channel.unary_stream(STREAM)(b"300*20000", timeout=SECONDS_MAX)]
    assert parts == [20_000] * 300


async def test_a_stream_that_is_not_read_makes_no_more_than_windows_allow(stage):
    """The client's own buffers and ours; then the generator waits."""
    async with stage.channel(("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536)) as channel:
        stream = channel.unary_stream(STREAM)(b"2000*16384", timeout=SECONDS_MAX)
        await stream.read()
        for _ in range(100):
            made = stage.seen.made
            await channel.unary_unary(ECHO)(b"x", timeout=SECONDS_MAX)
        assert made == stage.seen.made < 200
        stream.cancel()
        await comes(lambda: stage.seen.closed)


async def test_a_dialog_is_held(channel):
    dialog = channel.stream_stream(SERVICE + "Dialog")(timeout=SECONDS_MAX)
    for word in (b"one", b"two"):
        await dialog.write(word)
        assert await dialog.read() == word.upper()
    await dialog.done_writing()
    assert await dialog.read() is grpc.aio.EOF
    assert await dialog.code() is grpc.StatusCode.OK


async def test_an_upload_that_is_refused_ends_with_its_status(stage):
    """And never with the reset that tells the client to send no more.

    By the synchronous client: the asynchronous one may lose the status by itself while it writes.
    """

    def parts():
        yield bytes(1_001)
        while True:
            yield bytes(100_000)

    def use():
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{stage.port}", options) as channel:
            for _ in range(20):
                with pytest.raises(grpc.RpcError) as raised:
                    channel.stream_unary(SERVICE + "Small")(parts(), timeout=SECONDS_MAX)
                yield raised.value.code().name

    assert Counter(await asyncio.to_thread(lambda: list(use()))) == {"RESOURCE_EXHAUSTED": 20}
    await stage.idle()


async def test_two_messages_are_unimplemented(stage, channel):
    async def parts():
        yield b"one"
        yield b"two"

    error = await failure_of(channel.stream_unary(ECHO)(parts(), timeout=SECONDS_MAX))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert stage.seen.ran == {}


async def test_calls_of_many_connections_are_all_answered(stage):
    channels = [stage.channel() for _ in range(20)]
    calls = [channel.unary_unary(ECHO)(b"%d" % at, timeout=SECONDS_MAX) for channel in channels for at in range(50)]
    assert await asyncio.gather(*calls) == [b"%d" % at for _ in channels for at in range(50)]
    for channel in channels:
        await channel.close()


async def test_the_synchronous_client_sees_the_same(stage):
    """From a thread, as programs that are not asynchronous do."""

    def use():
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{stage.port}", options) as channel:
            assert channel.unary_unary(ECHO)(bytes(MIB), timeout=SECONDS_MAX) == bytes(MIB)
            assert len(list(channel.unary_stream(STREAM)(b"100*20000", timeout=SECONDS_MAX))) == 100
            codes = []
            for path, payload, seconds in (
                (FAILING, b"", SECONDS_MAX),
                (SLOW, b"", 0.05),
                (SERVICE + "Nothing", b"", SECONDS_MAX),
                (SERVICE + "Small", bytes(2 * MIB), SECONDS_MAX),
            ):
                with pytest.raises(grpc.RpcError) as raised:
                    channel.unary_unary(path)(payload, timeout=seconds)
                codes.append(raised.value.code().name)
            return codes

    assert await asyncio.to_thread(use) == [
        "FAILED_PRECONDITION",
        "DEADLINE_EXCEEDED",
        "UNIMPLEMENTED",
        "RESOURCE_EXHAUSTED",
    ]


async def test_a_client_goes_elsewhere_without_losing_a_call(listen):
    """Its connection reaches its age in the middle of its calls; it opens another by itself."""
    stage = await listen(age_seconds_max=1_000, keepalive_seconds=10_000)
    async with stage.channel() as channel:
        echo = channel.unary_unary(ECHO)
        for _ in range(5):
            calls = [asyncio.ensure_future(echo(b"x", timeout=SECONDS_MAX)) for _ in range(50)]
            await comes(lambda calls=calls: any(call.done() for call in calls))
            stage.tick(1_101)
            assert await asyncio.gather(*calls) == [b"x"] * 50
    assert stage.seen.ran["Echo"] == 250
