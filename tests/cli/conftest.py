"""The command line, run in this process against a server that answers as told."""

from dataclasses import dataclass

import pytest
from fake_server import FakeServer

from redemption.cli.root import run


@pytest.fixture
def fake():
    server = FakeServer()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch):
    """No settings and no language of whoever runs the tests."""
    for name in ("REDEMPTION_SERVER", "REDEMPTION_PROGRAM", "REDEMPTION_LANG", "LC_ALL", "LC_MESSAGES", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")


@dataclass
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(capfd):
    """Type a command."""

    def type_(*arguments):
        capfd.readouterr()
        code = run([str(each) for each in arguments])
        said = capfd.readouterr()
        return Ended(code, said.out, said.err)

    return type_


@pytest.fixture
def ask(command, fake):
    """Type a command that asks the server."""
    return lambda *arguments: command(*arguments, "--server", fake.address)
