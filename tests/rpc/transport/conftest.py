"""The event loop of the service, listeners for the length of a test, and how much was tried, if that was asked for."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import uvloop
from rpc.transport import fuzzing
from rpc.transport.listening import Stage, listening


def pytest_terminal_summary(terminalreporter):
    if fuzzing.EXAMPLES:
        for name, number in fuzzing.tried.items():
            terminalreporter.write_line(f"{name}: {number:,}")


def pytest_asyncio_loop_factories():
    """Run these tests on the loop that the service runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def listen() -> AsyncIterator[Callable[..., Any]]:
    """Run listeners until the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Stage:
            return await stack.enter_async_context(listening(**settings))

        yield start


@pytest.fixture
async def stage(listen) -> Stage:
    """A listener with the bounds that it has by default."""
    return await listen()
