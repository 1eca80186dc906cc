"""A lane sends calls in one write, reads the replies in order, and does not use a failed connection again."""

import asyncio
import ssl
from contextlib import suppress

import pytest
from certificates import write_certificate
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from waiting import SECONDS_MAX, comes, settled

from redemption.domain.errors import LedgerUnavailable
from redemption.ledger import endpoint
from redemption.ledger.commit.lane import Lane, pack_call
from redemption.ledger.endpoint import Endpoint
from redemption.ledger.keys import ledger as header_key
from redemption.ledger.trust.fence import Fence


@pytest.fixture
async def lane(valkey, tmp_path):
    endpoint = Endpoint(valkey.url, "strict")
    built = Lane(endpoint.pool(), endpoint, Fence(tmp_path / "fence", "keyset", {}))
    await built.open()
    yield built
    await built.close()


def command(*words):
    """A command in the ledger's wire format."""
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def test_an_endpoint_does_not_show_its_password():
    assert "hunter2" not in repr(Endpoint("redis://:hunter2@127.0.0.1", "strict"))


async def test_replies_come_in_the_order_of_the_calls_and_errors_in_their_place(lane):
    calls = [command("ECHO", "a"), pack_call(b"nothing_of_this_name", "p", []), command("ECHO", "b")]
    first, refused, last = await lane.exchange(calls, SECONDS_MAX)
    assert (first, last) == (b"a", b"b")
    assert isinstance(refused, ResponseError)
    assert "unction not found" in str(refused)


async def test_a_reply_that_comes_in_pieces_is_put_together(lane):
    text = "x" * 3_000_000
    assert await lane.exchange([command("ECHO", text), command("ECHO", "end")], SECONDS_MAX) == [text.encode(), b"end"]


async def test_a_connection_that_the_ledger_ends_is_lost_and_can_be_opened_again(lane):
    with pytest.raises(ConnectionError):
        await lane.exchange([command("QUIT"), command("ECHO", "never")], SECONDS_MAX)
    assert not lane.is_open
    await lane.open()
    assert await lane.exchange([command("ECHO", "again")], SECONDS_MAX) == [b"again"]


async def test_a_connection_that_ends_while_nobody_waits_is_not_open(lane):
    await lane.exchange([command("QUIT")], SECONDS_MAX)
    await comes(lambda: not lane.is_open)


async def test_a_connection_that_ends_while_it_is_opened_is_not_taken_for_open(lane, valkey, monkeypatch):
    """Nobody would read its end, and the first call would wait until its time limit."""
    (number,) = await lane.exchange([command("CLIENT", "ID")], SECONDS_MAX)

    async def prepare(client, *_):
        newest = max(int(each["id"]) for each in await client.client_list() if each["cmd"] != "client|list")
        assert newest > number
        await client.client_kill_filter(_id=str(newest))
        await comes(lambda: not lane.is_open)

    monkeypatch.setattr(endpoint, "prepare", prepare)
    with pytest.raises(LedgerUnavailable):
        await lane.open()
    assert not lane.is_open


async def test_a_silent_ledger_is_given_up_and_its_late_reply_meets_nobody(lane, valkey):
    key = header_key("nobody")
    with pytest.raises(ConnectionError):
        await lane.exchange([command("BLPOP", key.decode(), "0")], 0.05)
    assert not lane.is_open
    await lane.open()
    async with Redis.from_url(valkey.url) as other:
        await other.rpush(key, "late")
        await other.delete(key)
    assert await lane.exchange([command("ECHO", "mine")], SECONDS_MAX) == [b"mine"]


async def test_a_cancelled_exchange_leaves_no_reply_to_the_next(lane):
    silent = [command("BLPOP", header_key("nobody").decode(), "0")]
    waiting = asyncio.create_task(lane.exchange(silent, SECONDS_MAX))
    await settled()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not lane.is_open


async def pipe(reader, writer):
    """Hand on what comes."""
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_a_lane_reads_for_itself_over_tls_too(valkey, tmp_path):
    write_certificate(tmp_path, "ledger")
    offered = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    offered.load_cert_chain(tmp_path / "ledger.pem", tmp_path / "ledger-key.pem")

    served = []

    async def serve(reader, writer):
        served.append(asyncio.current_task())
        behind = await asyncio.open_unix_connection(valkey.socket_path)
        await asyncio.gather(pipe(reader, behind[1]), pipe(behind[0], writer))
        await behind[1].wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=offered)
    port = server.sockets[0].getsockname()[1]
    endpoint = Endpoint(f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path / 'ledger.pem'}", "strict")
    lane = Lane(endpoint.pool(), endpoint, Fence(tmp_path / "fence", "keyset", {}))
    await lane.open()
    text = "x" * 300_000
    assert await lane.exchange([command("ECHO", text), command("ECHO", "end")], SECONDS_MAX) == [text.encode(), b"end"]
    await lane.close()
    assert not lane.is_open
    server.close()
    await asyncio.gather(*served)
