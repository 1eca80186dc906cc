"""A server to talk to."""

import pytest
from fake_server import FakeServer


@pytest.fixture
def fake():
    server = FakeServer()
    yield server
    server.stop()
