"""TLS: versions, protocols inside, which clients are accepted, and how silent connections end."""

import asyncio
import contextlib
import socket
import ssl

import grpc
import pytest
from certificates import write_certificates
from rpc.transport.frames import ENHANCE_YOUR_CALM, TlsClient, call, data, greeting, head, headers
from rpc.transport.listening import MIB, SERVICE, failure_of
from rpc.transport.wire import ping
from waiting import SECONDS_MAX, comes

from redemption.rpc.transport.tls import Tls

OK = 0
ECHO, HELD, LARGE = (SERVICE + name for name in ("Echo", "Held", "Large"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An authority, a server, a caller, and a stranger."""
    directory = tmp_path_factory.mktemp("tls")
    write_certificates(directory, "server", "caller")
    return directory


@pytest.fixture
def tls(files):
    return Tls(certificate=files / "server.pem", key=files / "server-key.pem")


@pytest.fixture
def mutual_tls(files):
    return Tls(certificate=files / "server.pem", key=files / "server-key.pem", client_ca=files / "authority.pem")


def context_of_client(files, protocols=("h2",), version=None, certificate=None):
    context = ssl.create_default_context(cafile=files / "authority.pem")
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if certificate is not None:
        context.load_cert_chain(files / f"{certificate}.pem", files / f"{certificate}-key.pem")
    return context


async def connect(stage, context):
    """Connect over TLS, and say who one is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port, ssl=context)
    client = TlsClient(reader, writer)
    stage._clients.append(client)
    await client.send(greeting())
    return client


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_versions_of_tls_are_spoken(listen, files, tls, version):
    stage = await listen(tls=tls)
    client = await connect(stage, context_of_client(files, version=version))
    assert (await client.ask(1, b"hello")).message == b"hello"
    assert len((await client.ask(3, b"3000000", LARGE)).message) == 3_000_000


async def test_an_older_version_is_not(listen, files, tls):
    stage = await listen(tls=tls)
    context = context_of_client(files)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the version of OpenSSL
        await connect(stage, context)


@pytest.mark.parametrize("protocols", [("http/1.1",), ()])
async def test_a_client_that_does_not_agree_on_http2_is_closed(listen, files, tls, protocols):
    """Python's handshake goes through without a protocol that both sides have."""
    stage = await listen(tls=tls)
    try:
        client = await connect(stage, context_of_client(files, protocols))
        await client.send(call(1))
        await client.until_end()
        assert client.answers == {}
    except OSError:
        pass
    await comes(lambda: not stage.connections)
    assert stage.seen.ran == {}


async def test_a_client_that_speaks_plain_text_is_closed(listen, files, tls):
    stage = await listen(tls=tls)
    client = await stage.client()
    await client.until_end()
    assert (await (await connect(stage, context_of_client(files))).ask(1)).status == OK


async def test_a_caller_with_a_certificate_of_the_authority_is_let_in(listen, files, mutual_tls):
    stage = await listen(tls=mutual_tls)
    client = await connect(stage, context_of_client(files, certificate="caller"))
    assert (await client.ask(1)).status == OK


@pytest.mark.parametrize("certificate", [None, "stranger"])
async def test_a_caller_without_one_is_not(listen, files, mutual_tls, certificate):
    """TLS 1.3 tells it after the handshake of the client."""
    stage = await listen(tls=mutual_tls)
    try:
        client = await connect(stage, context_of_client(files, certificate=certificate))
        await client.send(call(1))
        await client.until_end()
        assert client.answers == {}
    except OSError:
        pass
    assert stage.seen.ran == {}
    assert (await (await connect(stage, context_of_client(files, certificate="caller"))).ask(1)).status == OK


async def is_let_in(stage, context):
    """Whether a caller is answered; TLS 1.3 tells it after the handshake of the client."""
    with contextlib.suppress(OSError):
        client = await connect(stage, context)
        await client.send(call(1))
        while 1 not in client.answers and await client.read():
            pass
        return 1 in client.answers
    return False


@pytest.fixture
def changing(files, tmp_path):
    """The files of a server, which a test may replace."""
    for name in ("server.pem", "server-key.pem", "authority.pem"):
        (tmp_path / name).write_bytes((files / name).read_bytes())
    return Tls(
        certificate=tmp_path / "server.pem", key=tmp_path / "server-key.pem", client_ca=tmp_path / "authority.pem"
    )


async def test_only_the_authority_that_was_read_last_is_trusted(listen, files, changing):
    stage = await listen(tls=changing)
    caller, stranger = (context_of_client(files, certificate=name) for name in ("caller", "stranger"))
    stays = await connect(stage, caller)
    assert (await stays.ask(1)).status == OK
    assert not await is_let_in(stage, stranger)
    changing.client_ca.write_bytes((files / "stranger.pem").read_bytes())
    stage.listener.reload_certificates()
    assert await is_let_in(stage, stranger)
    assert not await is_let_in(stage, caller)
    assert (await stays.ask(3)).status == OK, "it was let in before"


@pytest.mark.parametrize("broken", ["certificate", "key", "client_ca"])
async def test_files_that_cannot_be_read_again_leave_all_old_ones_in_use(listen, files, changing, broken):
    stage = await listen(tls=changing)
    changing.client_ca.write_bytes((files / "stranger.pem").read_bytes())
    getattr(changing, broken).write_text("nothing")
    stage.listener.reload_certificates()
    assert await is_let_in(stage, context_of_client(files, certificate="caller"))
    assert not await is_let_in(stage, context_of_client(files, certificate="stranger"))


async def test_grpcio_calls_over_tls(listen, files, mutual_tls):
    stage = await listen(tls=mutual_tls)
    read = {name: (files / f"{name}.pem").read_bytes() for name in ("authority", "caller", "caller-key")}
    credentials = grpc.ssl_channel_credentials(read["authority"], read["caller-key"], read["caller"])
    async with grpc.aio.secure_channel(f"127.0.0.1:{stage.port}", credentials) as channel:
        assert await channel.unary_unary(ECHO)(bytes(3 * MIB), timeout=SECONDS_MAX) == bytes(3 * MIB)
        error = await failure_of(channel.unary_unary(SERVICE + "Small")(bytes(3 * MIB), timeout=SECONDS_MAX))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_reason_is_read_over_tls_too(listen, files, tls):
    """Though the caller goes on sending."""
    stage = await listen(tls=tls)
    client = await connect(stage, context_of_client(files))
    await client.round_trip()
    await client.send(headers(1, head(HELD)), *[ping()] * 1_000, *[data(1, bytes(16_000))] * 20)
    await client.until_end()
    assert client.goaways[-1][1:] == (ENHANCE_YOUR_CALM, b"too_many_pings")


async def test_a_stop_answers_what_runs_over_tls(listen, files, tls):
    stage = await listen(tls=tls)
    client = await connect(stage, context_of_client(files))
    await client.send(call(1, b"x", HELD))
    await comes(lambda: stage.seen.held)
    stopping = asyncio.ensure_future(stage.listener.stop(SECONDS_MAX))
    while len(client.goaways) < 2:
        await client.read()
    stage.seen.held.pop().answer(b"done")
    assert (await client.answer(1)).message == b"done"
    await client.until_end()
    await stopping


def silent_socket(port, context=None):
    """Connect, shake hands if there is a context, and never say anything again."""
    sock = socket.create_connection(("127.0.0.1", port))
    if context is None:
        return sock
    return context.wrap_socket(sock, server_hostname="127.0.0.1")


async def test_a_client_that_does_not_answer_at_the_close_is_gone_all_the_same(listen, files, tls):
    """Not by one that sends nothing after the handshake, and not by one that does not read."""
    stage = await listen(tls=tls)
    context = context_of_client(files)
    silent = await asyncio.to_thread(silent_socket, stage.port, context)
    deaf = await asyncio.to_thread(silent_socket, stage.port, context)
    deaf.sendall(greeting() + b"".join(call(number, b"3000000", LARGE) for number in range(1, 21, 2)))
    await comes(lambda: stage.connections == 2 and stage.seen.ran.get("Large") == 10)
    async with asyncio.timeout(SECONDS_MAX):
        await stage.listener.stop(0)
        await comes(lambda: not stage.connections)
    silent.close()
    deaf.close()


async def test_a_client_that_does_not_shake_hands_is_gone_when_the_listener_stops(listen, files, tls):
    stage = await listen(tls=tls, preface_seconds_max=300)
    silent = silent_socket(stage.port)
    silent.settimeout(SECONDS_MAX)
    await (await connect(stage, context_of_client(files))).round_trip()
    await stage.listener.stop(0)
    with silent, contextlib.suppress(ConnectionError):
        assert await asyncio.to_thread(silent.recv, 1) == b""


async def test_a_client_that_does_not_shake_hands_is_gone_in_time(listen, tls):
    stage = await listen(tls=tls, preface_seconds_max=0.05)
    client = await stage.client(greet=False)
    await client.until_end()


async def test_connections_that_do_not_shake_hands_are_bounded(listen, files, tls):
    """They cost a file each, as others do."""
    stage = await listen(tls=tls, connections_max=10, preface_seconds_max=300)
    silent = [await stage.client(greet=False) for _ in range(20)]
    ends = [asyncio.ensure_future(client.until_end()) for client in silent]
    await comes(lambda: sum(end.done() for end in ends) == 10)
    assert not any(end.done() for end in ends[:10])
    for end in ends[:10]:
        end.cancel()
    await asyncio.gather(*ends, return_exceptions=True)
    for client in silent[:10]:
        client.cut()
    await comes(lambda: not stage.listener._acceptors[0].shaking)
    assert (await (await connect(stage, context_of_client(files))).ask(1)).status == OK
