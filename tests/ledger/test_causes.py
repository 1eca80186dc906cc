"""Why a ledger cannot be used: each cause once, on real servers, as the one who starts the service reads it."""

import pytest
import pytest_asyncio
from certificates import write_certificate
from ledger.valkeys import READY, asking_for_certificates, free_port, offered, saying, valkey
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from waiting import SECONDS_MAX

from redemption.domain.errors import LedgerUnavailable
from redemption.ledger import ledger as module
from redemption.ledger import probe
from redemption.ledger.causes import cause_of
from redemption.ledger.endpoint import Endpoint
from redemption.ledger.ledger import RedisLedger
from redemption.ledger.place import Place
from redemption.ledger.trust.fence import Fence

ACCEPTED = "can be used"


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What the one who starts a server at a URL is told; checks that callers are told less."""
    monkeypatch.setattr(probe, "LOOK_SECONDS_MAX", SECONDS_MAX)

    async def start(url, durability):
        endpoint = Endpoint(url, durability)
        ledger = RedisLedger(endpoint, fence=Fence(tmp_path / "fence", "keyset", {}), may_create_ledger=False)
        try:
            await ledger.start()
            await ledger.require_usable("demo")
        except LedgerUnavailable as error:
            return error
        finally:
            await ledger.stop()
        return None

    async def told(url, durability="fast"):
        error = await start(url, durability)
        if error is None:
            return ACCEPTED
        assert "hunter2" not in f"{error.message} {error.for_operator} {error!r}"
        assert "127.0.0.1" not in error.message, "callers do not learn the address"
        return error.for_operator

    return told


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def open_port(tmp_path_factory):
    """The port of a Valkey that lets everybody in, and has a user who may do little."""
    async with valkey(tmp_path_factory.mktemp("open"), *READY) as port:
        async with Redis(port=port) as client:
            await client.execute_command("ACL", "SETUSER", "app", "on", ">hunter2", "~{*}*", "+@all", "-config|get")
            await client.execute_command("ACL", "SETUSER", "off", "off", ">hunter2", "~*", "+@all")
            await client.execute_command("ACL", "SETUSER", "keyless", "on", ">hunter2", "~other:*", "+@all")
        yield port


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def closed_port(tmp_path_factory):
    """The port of a Valkey whose default user has a password."""
    async with valkey(tmp_path_factory.mktemp("closed"), *READY, "--requirepass", "right") as port:
        yield port


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("redis://127.0.0.1:{open}", ACCEPTED),
        ("redis://:right@127.0.0.1:{closed}", ACCEPTED),
        ("redis://:hunter2@127.0.0.1:{closed}", "does not let the default user in: the user is unknown or off, or"),
        ("redis://bob:hunter2@127.0.0.1:{closed}", "does not let user 'bob' in: the user is unknown or off, or"),
        ("redis://off:hunter2@127.0.0.1:{open}", "does not let user 'off' in"),
        ("redis://app:other@127.0.0.1:{open}", "or the password is wrong"),
        ("redis://127.0.0.1:{closed}", "wants a password: write redis://USER:PASSWORD@HOST:PORT"),
        ("redis://:hunter2@127.0.0.1:{open}", "has no password for the default user: remove the password from the URL"),
        ("redis://127.0.0.1:{open}/99", "has no database of this number"),
        ("redis://app:hunter2@127.0.0.1:{open}", "run config|get: allow it with +config|get"),
        ("redis://keyless:hunter2@127.0.0.1:{open}", "use the keys of the program: allow them with ~{{*}}*"),
        ("redis://127.0.0.1:{free}", "refuses the connection: nothing listens there"),
        ("rediss://127.0.0.1:{free}", "refuses the connection: nothing listens there"),
        ("redis://no-such-host.invalid:6379", "has a host name that cannot be found"),
        ("unix:///nowhere/ledger.sock", "has no socket of this name"),
        (
            "rediss://127.0.0.1:{open}?ssl_ca_certs=/nowhere.pem",
            "ssl_ca_certs (/nowhere.pem) in its URL cannot be read",
        ),
    ],
)
async def test_each_cause_is_told_with_the_address(told, open_port, closed_port, url, cause):
    url = url.format(open=open_port, closed=closed_port, free=free_port())
    found = await told(url)
    assert cause.replace("{{", "{").replace("}}", "}") in found
    if cause is not ACCEPTED:
        scheme, rest = url.split("?")[0].split("/99")[0].split("://")
        assert f"{scheme}://{rest.rpartition('@')[2]}" in found


async def test_a_cluster_node_is_not_accepted_for_any_durability(told, tmp_path):
    async with valkey(tmp_path, *READY, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as port:
        for durability in ("strict", "fast"):
            assert "is a node of a cluster" in await told(f"redis://127.0.0.1:{port}", durability)


async def test_a_sentinel_is_not_taken_for_a_replica(told, tmp_path):
    configuration = tmp_path / "sentinel.conf"
    configuration.touch()
    async with valkey(tmp_path, str(configuration), "--sentinel") as port:
        assert "is a Sentinel; give the address of the primary" in await told(f"redis://127.0.0.1:{port}")


async def test_a_replica_is_told_with_its_address(told, tmp_path):
    async with valkey(tmp_path, *READY, "--replicaof", "127.0.0.1", str(free_port())) as port:
        found = await told(f"redis://127.0.0.1:{port}")
    assert "is a replica; give the address of the primary" in found
    assert f"redis://127.0.0.1:{port}" in found


async def test_a_ledger_without_a_free_connection_says_so(told, tmp_path):
    async with valkey(tmp_path, *READY, "--maxclients", "1") as port, Redis(port=port) as first:
        await first.ping()
        assert "has as many connections as it may have (maxclients)" in await told(f"redis://127.0.0.1:{port}")


async def test_a_command_that_was_switched_off_is_named(told, tmp_path):
    """Managed services do this with CONFIG."""
    async with valkey(tmp_path, *READY, "--rename-command", "CONFIG", "hidden") as port:
        assert "does not know the command CONFIG" in await told(f"redis://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("Error 111 connecting to 10.1.2.3:6379. Connection refused.", "refuses the connection: nothing listens"),
        ("Error 111 connecting to [::1]:6379. Connect call failed ('::1', 6379).", "refuses the connection"),
        ("Error -2 connecting to ledger:6379. Name or service not known.", "has a host name that cannot be found"),
        ("Error 113 connecting to 10.1.2.3:6379. No route to host.", "cannot be connected (No route to host)"),
        ("Error 2 connecting to /run/ledger.sock. No such file or directory.", "has no socket of this name"),
        ("Error connecting", "cannot be used: ConnectionError (Error connecting)"),
    ],
)
def test_an_error_of_the_client_that_lost_its_cause_is_clear_by_its_number(text, cause):
    """So it is when the client met a closed connection first, and then could not open another one."""
    error = RedisConnectionError(text)
    error.__context__ = RedisConnectionError("Connection has data")
    assert cause_of(error, Place(host="10.1.2.3")).startswith(cause)


HTTP = b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n"
DENIED = b"-DENIED Redis is running in protected mode because protected mode is enabled\r\n"


@pytest.mark.parametrize(
    ("first", "answer", "cause"),
    [
        (b"", HTTP, "is an HTTP server, not Redis"),
        (b"", b"<!DOCTYPE HTML>\n<html>", "is an HTTP server, not Redis"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", b"", "does not speak the protocol of Redis"),
        (DENIED, b"", "is in protected mode"),
        (b"-ERR max number of clients reached\r\n", b"", "maxclients"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", b"", "is still loading its data"),
    ],
)
@pytest.mark.parametrize("user", ["", ":hunter2@"])
async def test_what_is_no_ledger_is_named(told, first, answer, cause, user):
    async with saying(first, answer) as port:
        found = await told(f"redis://{user}127.0.0.1:{port}")
    assert cause in found
    assert f"redis://127.0.0.1:{port}" in found


async def test_plain_text_to_a_tls_port_is_named(told, tmp_path):
    write_certificate(tmp_path, "ledger")
    async with saying(answer=b"", tls=offered(tmp_path)) as port:
        for user in ("", ":hunter2@"):
            found = await told(f"redis://{user}127.0.0.1:{port}")
            assert f"redis://127.0.0.1:{port} speaks TLS at this port: write rediss://" in found


async def test_tls_to_a_plain_port_is_named(told, tmp_path, monkeypatch, open_port):
    """A Valkey waits for the end of the line that it takes the handshake for: nothing comes at all."""
    monkeypatch.setattr(module, "CHECK_SECONDS_MAX", 0.2)
    found = await told(f"rediss://:hunter2@127.0.0.1:{open_port}")
    assert f"rediss://127.0.0.1:{open_port} does not speak TLS at this port: write redis://" in found
    async with saying(answer=HTTP) as port:
        assert "does not speak TLS at this port" in await told(f"rediss://127.0.0.1:{port}")


async def test_a_certificate_that_is_not_trusted_is_named(told, tmp_path):
    write_certificate(tmp_path, "ledger")
    async with saying(answer=b"", tls=offered(tmp_path)) as port:
        found = await told(f"rediss://:hunter2@127.0.0.1:{port}")
        assert "shows a certificate that is not trusted (self-signed certificate): name its authority with" in found


async def test_a_ledger_that_wants_a_certificate_says_so(told, tmp_path):
    write_certificate(tmp_path, "ledger")
    with asking_for_certificates(tmp_path) as port:
        found = await told(f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path}/ledger.pem")
        assert "asks for a client's certificate: name it with ?ssl_certfile=FILE&ssl_keyfile=FILE" in found


async def test_silence_is_named(told, monkeypatch):
    """As of a firewall that drops what it does not like."""
    monkeypatch.setattr(module, "CHECK_SECONDS_MAX", 0.05)
    monkeypatch.setattr(probe, "LOOK_SECONDS_MAX", 0.05)
    async with saying() as port:
        for scheme in ("redis", "rediss"):
            found = await told(f"{scheme}://:hunter2@127.0.0.1:{port}")
            assert f"{scheme}://127.0.0.1:{port} does not answer in time" in found
