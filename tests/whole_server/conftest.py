"""Whole servers in processes of their own; however a test ends, none of them outlives it."""

import pytest
from served import Served


@pytest.fixture
def started():
    """Start servers in directories."""
    servers = []

    def start(*arguments, **named):
        servers.append(Served(*arguments, **named))
        return servers[-1].start()

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def served(started, tmp_path):
    """A running server in an empty directory."""
    return started(tmp_path)
