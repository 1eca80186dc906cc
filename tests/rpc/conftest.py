"""Servers for the length of a test."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import structlog
from rpc.stage import Running, running
from waiting import SECONDS_MAX

from redemption.rpc import guard
from redemption.rpc.transport import grpcio


@pytest.fixture(autouse=True)
def fresh_log(monkeypatch):
    """Forget how other tests configured logging, so that what is logged can be captured."""
    structlog.reset_defaults()
    monkeypatch.setattr(guard, "_log", structlog.get_logger())


@pytest.fixture(autouse=True)
def stop_quickly(monkeypatch):
    """Servers stop without delay, except where a stop is what is tested; the last bytes have all the time they need."""
    monkeypatch.setattr(grpcio, "CLOSING_SECONDS_MIN", 0.0)
    monkeypatch.setattr(grpcio, "CLOSING_STEP_SECONDS", 0.0)
    monkeypatch.setattr(grpcio, "LAST_SECONDS", SECONDS_MAX)


@pytest.fixture(params=["nghttp2", "grpcio"])
def transport(request) -> str:
    """The transport: what is tested of the service holds on both."""
    return request.param


@pytest.fixture
async def run(transport) -> AsyncIterator[Callable[..., Any]]:
    """Run servers until the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(**config: Any) -> Running:
            return await stack.enter_async_context(running(transport, **config))

        yield start
