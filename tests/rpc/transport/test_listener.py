"""How connections begin and end: too many of them, and a stop that loses nothing."""

import asyncio
import os
import resource
import socket
import sys
from asyncio.subprocess import PIPE
from collections import Counter

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rpc.transport.frames import (
    NO_ERROR,
    SECONDS_MAX,
    RawClient,
    call,
    data,
    greeting,
    head,
    headers,
    message,
    prefix,
)
from rpc.transport.listening import MIB, SERVICE, failure_of, methods
from rpc.transport.wire import ping
from waiting import comes

from redemption.rpc.health import Health
from redemption.rpc.server import call_info
from redemption.rpc.transport import listener
from redemption.rpc.transport.bounds import Bounds
from redemption.rpc.transport.listener import FILES_RESERVED, Listener

OK, UNAVAILABLE = 0, 14
LAST_STREAM_ID = 2**31 - 1
ECHO, HELD, SLOW, LARGE, WATCH = (SERVICE + name for name in ("Echo", "Held", "Slow", "Large", "Watch"))


# Connections at once


@pytest.mark.parametrize("bound", ["connections_max", "connections_per_address_max"])
async def test_a_connection_too_many_is_closed_and_the_operator_is_told(listen, bound):
    """Without any bytes: after a SETTINGS frame clients connect again at once, grpcio's hundreds of times a second."""
    stage = await listen(**{bound: 3})
    clients = [await stage.client() for _ in range(3)]
    for client in clients:
        await client.round_trip()
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            refused = await stage.client()
            await refused.until_end()
            assert (refused.settings, refused.goaways) == ({}, [])
            refused.close()
    assert [(each["bound"], each["log_level"]) for each in logged] == [(bound, "warning")]
    assert stage.seen.ran == {}
    for client in clients:
        assert (await client.ask(1)).status == OK
    clients[0].close()
    await comes(lambda: stage.connections == 2)
    assert (await (await stage.client()).ask(1)).status == OK


async def test_connections_are_bounded_for_each_address_by_itself(listen):
    stage = await listen(connections_per_address_max=1)
    for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
        assert (await (await stage.client(source=source)).ask(1)).status == OK
        refused = await stage.client(source=source)
        await refused.until_end()
        assert refused.settings == {}
    assert set(stage.usage.connections) == {"127.0.0.1", "127.0.0.2", "127.0.0.3"}


async def test_a_refused_connection_is_not_waited_for(listen):
    """It may stay open at its other end."""
    stage = await listen(connections_max=1)
    client, refused = await stage.client(), await stage.client()
    await client.round_trip()
    await refused.until_end()
    await comes(lambda: stage.connections == 1)


async def test_a_client_whose_connection_is_refused_is_told_at_once(listen):
    """After SETTINGS and GOAWAY this client made hundreds of connections a second, until its deadline."""
    stage = await listen(connections_max=1)
    await (await stage.client()).round_trip()
    async with stage.channel() as channel:
        failure = await failure_of(channel.unary_unary(ECHO)(b"", timeout=SECONDS_MAX))
    assert failure.code() is grpc.StatusCode.UNAVAILABLE


CROWD = """
import resource, socket, sys
port, count = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
connections = []
for _ in range(count):
    connection = socket.create_connection(("127.0.0.1", port))
    connections.append(connection)
for connection in connections:
    try:
        connection.recv(1)
    except ConnectionError:
        pass
print("answered", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def few_files():
    """This process may open 300 files more than it has, of which listeners leave some to others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are what is needed
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + FILES_RESERVED + 300, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_connections_leave_files_for_other_things(few_files, stage):
    """However many come, and though none of them closes what was refused: the ledger can still be reached."""
    neighbour = await stage.client()
    await neighbour.round_trip()
    crowd = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CROWD, str(stage.port), "700", stdin=PIPE, stdout=PIPE
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            assert await crowd.stdout.readline() == b"answered\n"
        await neighbour.round_trip()
        spare = []
        try:
            spare.extend(os.dup(0) for _ in range(40))
        finally:
            for number in spare:
                os.close(number)
        assert (await neighbour.ask(1)).status == OK
    finally:
        await crowd.communicate(b"\n")


@pytest.fixture
def limit(monkeypatch):
    """Let listeners believe that the process may open so many files."""

    def believed(files):
        monkeypatch.setattr(resource, "getrlimit", lambda _: (files, resource.RLIM_INFINITY))

    return believed


async def test_where_files_are_not_limited_the_bounds_are(limit, listen):
    limit(resource.RLIM_INFINITY)
    with structlog.testing.capture_logs() as logged:
        stage = await listen(connections_max=2)
    assert logged == []
    for _ in range(2):
        assert (await (await stage.client()).ask(1)).status == OK
    refused = await stage.client()
    await refused.until_end()
    assert refused.settings == {}


@pytest.mark.parametrize("files", [40, FILES_RESERVED])
async def test_one_connection_is_kept_however_few_files_there_are(limit, listen, files):
    """A start with so few is refused; the limit may be lowered afterwards."""
    limit(files)
    stage = await listen(connections_max=10)
    assert (await (await stage.client()).ask(1)).status == OK
    await (await stage.client()).until_end()


# The end of it


async def test_stop_answers_what_was_handed_on_and_tells_the_rest(stage):
    client = await stage.client()
    await client.send(call(1, b"x", HELD), call(3, b"y", HELD))
    await comes(lambda: len(stage.seen.held) == 2)
    stopping = asyncio.ensure_future(stage.listener.stop(SECONDS_MAX))
    while not client.goaways:
        await client.read()
    assert client.goaways == [(LAST_STREAM_ID, NO_ERROR, b"")]
    while len(client.goaways) < 2:
        await client.read()
    assert client.goaways[1] == (3, NO_ERROR, b"")
    await client.send(call(5, b"late"))
    for held in stage.seen.held:
        held.answer(b"done")
    assert [(await client.answer(number)).message for number in (1, 3)] == [b"done"] * 2
    assert await client.until_end() == "eof"
    client.close()
    await stopping
    assert stage.seen.ran == {"Held": 2}


async def test_stop_answers_what_comes_until_the_notice_is_acknowledged(stage):
    """Also when that takes longer than the answers to all that ran before, and the new call longer than a farewell."""
    client = await stage.client()
    await client.round_trip()
    client.polite = False
    stopping = asyncio.ensure_future(stage.listener.stop(SECONDS_MAX))
    while not client.pings:
        await client.read()
    assert (await client.ask(1)).status == OK
    await client.send(call(3, b"x", HELD), ping(client.pings[0], ack=True))
    await comes(lambda: stage.seen.held)
    while len(client.goaways) < 2:
        await client.read()
    assert client.goaways[1] == (3, NO_ERROR, b"")
    (connection,) = stage.listener._connections
    await asyncio.wait([stopping], timeout=2.2)  # longer than the farewells of a connection without calls
    assert not stopping.done()
    assert connection._transport is not None
    stage.seen.held.pop().answer(b"done")
    assert (await client.answer(3)).message == b"done"
    client.close()
    await stopping


@pytest.mark.parametrize("name", ["Slow", "Held", "Watch", "Stream"])
async def test_stop_cuts_off_what_takes_too_long_and_says_so(stage, name):
    client = await stage.client({4: 0} if name == "Stream" else None)
    await client.send(call(1, b"1000*16384" if name == "Stream" else b"x", SERVICE + name))
    await comes(lambda: stage.seen.infos)
    stopping = asyncio.ensure_future(stage.listener.stop(0))
    if name == "Stream":
        await comes(lambda: stage.seen.infos[0].gone)
    else:
        assert (await client.answer(1)).status == UNAVAILABLE
        assert await client.until_end() == "eof"
    client.close()
    await stopping
    assert stage.seen.infos[0].gone


async def test_stop_tells_who_has_not_said_all(stage):
    """Nothing was done, so its caller may ask again; half a message is not waited for."""
    client = await stage.client()
    await client.send(headers(1, head()), data(1, prefix(1_000)), headers(3, head(SERVICE + "Dialog")))
    await client.round_trip()
    stopping = asyncio.ensure_future(stage.listener.stop(SECONDS_MAX))
    answers = [await client.answer(1), await client.answer(3)]
    assert [answer.status for answer in answers] == [UNAVAILABLE] * 2
    assert "nothing was done" in answers[0].blocks[0]["grpc-message"]
    assert await client.until_end() == "eof"
    client.close()
    await stopping


async def test_stop_is_not_held_up_by_who_says_nothing(stage):
    """Not by a connection that sends nothing, not by one that never reads, and not by health watches."""
    silent = await stage.client(greet=False)
    deaf = await stage.client(receive_bytes=4_096)
    await deaf.send(*(call(number, b"3000000", LARGE) for number in range(1, 11, 2)))
    watching = await stage.client()
    await watching.send(*(call(number, b"x", WATCH) for number in range(1, 21, 2)))
    await comes(lambda: len(stage.seen.infos) == 10 and stage.seen.ran.get("Large") == 5 and stage.connections == 3)
    async with asyncio.timeout(SECONDS_MAX / 2):
        await stage.listener.stop(SECONDS_MAX)
    await comes(lambda: not stage.connections)
    await silent.until_end()


async def test_stop_takes_no_new_connections(stage):
    client = await stage.client()
    await client.send(call(1, b"x", HELD))
    await comes(lambda: stage.seen.held)
    stopping = asyncio.ensure_future(stage.listener.stop(SECONDS_MAX))
    while not client.goaways:
        await client.read()
    with pytest.raises(ConnectionError):
        await stage.client()
    stage.seen.held.pop().answer(b"x")
    client.close()
    await stopping


async def test_stop_serves_connections_that_wait_to_be_accepted(stage):
    """They are in the system's queue when the socket closes: none of them is reset."""
    clients = []
    for _ in range(50):
        sock = socket.create_connection(("127.0.0.1", stage.port))  # at once: the event loop does not see it
        sock.sendall(greeting() + call(1, b"x"))
        sock.setblocking(False)
        clients.append(RawClient(sock))
    stage._clients.extend(clients)
    stopping = asyncio.ensure_future(stage.listener.stop(SECONDS_MAX))
    ends = await asyncio.gather(*(client.until_end() for client in clients))
    for client in clients:
        client.close()
    await stopping
    assert set(ends) == {"eof"}
    assert {client.answers[1].status for client in clients} == {OK}


async def test_stop_before_start_does_nothing(stage):
    await Listener({}, make_info=stage.listener._make_info, bounds=stage.listener._bounds).stop(1)


async def test_the_clock_goes_on_after_a_defect(stage, monkeypatch):
    """A connection whose tick fails is ended; calls of all others still expire."""
    monkeypatch.setattr(listener, "TICK_SECONDS", 0)
    broken = await stage.client()
    await broken.round_trip()
    (connection,) = stage.listener._connections
    client = await stage.client()
    connection._http2 = None
    connection._retires = 0
    await broken.until_end()
    assert (await client.ask(1, b"x", HELD, grpc_timeout="30m")).status == 4


def break_sending(call):
    """Let nothing of a call's connection be sent any more."""

    def send(*_):
        raise ValueError("nobody foresaw this")

    call._streams._send = send


async def test_the_clock_goes_on_after_a_call_that_cannot_be_ended(stage):
    """All others still learn that their deadlines have passed."""
    broken, client = await stage.client(), await stage.client()
    await broken.send(call(1, b"x", HELD, grpc_timeout="30m"))
    await comes(lambda: stage.seen.held)
    break_sending(stage.seen.held[0])
    await comes(lambda: stage.seen.infos[0].gone)
    assert (await client.ask(1, b"x", HELD, grpc_timeout="30m")).status == 4


async def test_a_stop_goes_on_after_a_call_that_cannot_be_ended(stage):
    broken, client = await stage.client(), await stage.client()
    await broken.send(call(1, b"x", HELD))
    await comes(lambda: stage.seen.held)
    break_sending(stage.seen.held[0])
    await client.send(call(1, b"x", HELD))
    await comes(lambda: len(stage.seen.held) == 2)
    stopping = asyncio.ensure_future(stage.listener.stop(0))
    assert (await client.answer(1)).status == UNAVAILABLE
    client.close()
    broken.close()
    await stopping


# With clients that send again by themselves


async def call_on_and_on(channel, answers, stopped):
    """Call as fast as answers come, and count how the calls ended."""
    echo = channel.unary_unary(ECHO)
    while not stopped.is_set():
        try:
            await echo(b"x", timeout=SECONDS_MAX)
        except grpc.aio.AioRpcError as error:
            answers[error.code().name, error.details()] += 1
        else:
            answers["OK"] += 1


async def test_stop_under_load_loses_nothing(listen):
    """Four clients call on and on while one listener after the other stops and the next takes its place.

    Each call is answered once, though the clients send again by themselves what the protocol refuses: nothing of that
    was handed on.
    """
    first = await listen(reuse_port=True)
    answers = Counter()
    stopped = asyncio.Event()
    channels = [first.channel() for _ in range(4)]
    calling = [
        asyncio.ensure_future(call_on_and_on(channel, answers, stopped)) for channel in channels for _ in range(10)
    ]
    stages = [first]
    for _ in range(5):
        before = answers["OK"]
        await comes(lambda before=before: answers["OK"] > before + 100 or len(answers) > 1)
        stages.append(await listen(reuse_port=True, port=first.port))
        await stages[-2].listener.stop(SECONDS_MAX)
    stopped.set()
    async with asyncio.timeout(SECONDS_MAX):
        await asyncio.gather(*calling)
    for channel in channels:
        await channel.close()
    assert list(answers) == ["OK"]
    assert sum(stage.seen.ran.get("Echo", 0) for stage in stages) == answers["OK"]


async def test_ten_health_watches_do_not_hold_up_a_stop():
    health = Health(["test.Service"])
    serving = Listener(health.methods(), make_info=call_info, bounds=Bounds())
    port = await serving.start("127.0.0.1:0", None, reuse_port=False)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        names = ["", "test.Service", *["unknown"] * 8]
        watches = [stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=SECONDS_MAX) for name in names]
        for watch, name in zip(watches, names, strict=True):
            expected = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN if name == "unknown" else 2
            assert (await watch.read()).status == expected
        async with asyncio.timeout(SECONDS_MAX / 2):
            await serving.stop(SECONDS_MAX)
        for watch in watches:
            error = await failure_of(watch.read())
            assert error.code() is grpc.StatusCode.UNAVAILABLE
    await comes(lambda: not serving._connections)


async def test_unread_input_does_not_cost_the_last_answers(stage):
    """A TCP reset would: the caller is still sending when the connection closes."""
    client = await stage.client()
    await client.send(call(1, b"x", HELD), headers(3, head()), data(3, prefix(3 * MIB)))
    await comes(lambda: stage.seen.held)
    stopping = asyncio.ensure_future(stage.listener.stop(SECONDS_MAX))

    async def upload():
        for _ in range(100):
            await client.send_while_open(data(3, bytes(16_000)))

    uploading = asyncio.ensure_future(upload())
    stage.seen.held.pop().answer(bytes(100_000))
    assert await client.until_end() == "eof"
    assert len(client.answers[1].message) == 100_000
    assert len(client.goaways) == 2
    await uploading
    client.close()
    await stopping


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open(stage):
    taken = Listener(methods(stage.seen), make_info=stage.listener._make_info, bounds=stage.listener._bounds)
    with pytest.raises(OSError, match="in use"):
        await taken.start(f"127.0.0.1:{stage.port}", None, reuse_port=False)
    await taken.stop(1)
    assert not taken.started


async def test_a_port_can_be_shared(listen, stage):
    one = Listener(methods(stage.seen), make_info=stage.listener._make_info, bounds=stage.listener._bounds)
    two = Listener(methods(stage.seen), make_info=stage.listener._make_info, bounds=stage.listener._bounds)
    port = await one.start("127.0.0.1:0", None, reuse_port=True)
    assert await two.start(f"127.0.0.1:{port}", None, reuse_port=True) == port
    await one.stop(0)
    await two.stop(0)


async def test_every_address_of_a_host_is_served(stage):
    both = Listener(methods(stage.seen), make_info=stage.listener._make_info, bounds=stage.listener._bounds)
    port = await both.start("localhost:0", None, reuse_port=False)
    async with grpc.aio.insecure_channel(f"localhost:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        assert await channel.unary_unary(ECHO)(message(b"x"), timeout=SECONDS_MAX) == message(b"x")
    await both.stop(0)
    await comes(lambda: not both._connections)


async def test_memory_goes_back_to_the_system_when_much_less_is_held_than_before(listen, monkeypatch):
    """The C library keeps it otherwise: 380 MB after an attack that was long over."""
    trimmed = []
    monkeypatch.setattr(listener, "_malloc_trim", trimmed.append)
    monkeypatch.setattr(listener, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(listener, "TRIM_BYTES", 1_000_000)
    stage = await listen()
    client = await stage.client({4: 0})
    await client.send(call(1, b"2000000", LARGE))
    await comes(lambda: stage.listener._held_bytes_most >= 2_000_000)
    assert trimmed == []
    client.close()
    await comes(lambda: trimmed)
    await stage.idle()
    ticks, trim = [], stage.listener._trim
    monkeypatch.setattr(stage.listener, "_trim", lambda: ticks.append(trim()))
    await comes(lambda: len(ticks) >= 3)
    assert trimmed == [0]
