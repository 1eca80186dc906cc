"""One real ledger for the whole run; each test has a program of its own in it."""

import itertools
import signal
import tempfile
from pathlib import Path

import pytest
import pytest_asyncio
import quiet_grpc  # noqa: F401 - before anything that imports gRPC
import structlog
import thoroughness  # noqa: F401 - sets how much is tried, before the tests are read
from fake_server import FakeServer
from house import House
from waiting import SECONDS_MAX, LoopClock

from redemption.ledger import functions as calls
from redemption.ledger import ledger, reachability, watching
from redemption.ledger.commit import lane as connection
from redemption.server import embedded_valkey as embedded
from redemption.server.embedded_valkey import EmbeddedValkey

# A shell starts background jobs deaf to Ctrl-C, and what the tests start would be as deaf as they are.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
_numbers = itertools.count(1)
# A ledger that answers late, on a busy machine, must not look like one that does not answer.
for module, name in (
    (calls, "LEDGER_CALL_WAIT_SECONDS_MAX"),
    (connection, "CONNECT_SECONDS_MAX"),
    (embedded, "_ASK_SECONDS_MAX"),
    (ledger, "CHECK_SECONDS_MAX"),
    (reachability, "GRACE_SECONDS"),
    (watching, "WATCH_SECONDS"),  # where campaigns are looked at, the test says when
):
    assert hasattr(module, name)
    setattr(module, name, SECONDS_MAX)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey():
    """The embedded Valkey with strict durability, on a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="redemption-test-") as directory:
        server = EmbeddedValkey(Path(directory))
        await server.start()
        yield server
        await server.stop()


@pytest.fixture(autouse=True)
def own_logging():
    """What one test configures is not the next one's."""
    yield
    structlog.reset_defaults()


@pytest_asyncio.fixture
async def clock(monkeypatch):
    """The clock of this test's event loop, to be put forward."""
    return LoopClock(monkeypatch)


@pytest_asyncio.fixture
async def house(valkey, tmp_path):
    """The use cases on the real ledger, for a program that nobody else uses."""
    async with House(valkey.url, tmp_path / "fence", program=f"test-{next(_numbers)}") as built:
        yield built


@pytest_asyncio.fixture
async def other(house, tmp_path):
    """Another server of the same program."""
    async with house.another(tmp_path / "other") as built:
        yield built


@pytest.fixture
def fake():
    """A server for clients to talk to, which answers as the test says."""
    server = FakeServer()
    yield server
    server.stop()
