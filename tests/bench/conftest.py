"""The empty handler in a process of its own, and a server that says what it was asked."""

import asyncio

import grpc
import pytest
import pytest_asyncio
from tool_loader import load_bench

under_test = load_bench("under_test")


@pytest.fixture(scope="session")
def empty():
    with under_test.script_server("empty_server.py") as server:
        yield server


class Echo:
    """Answers with what it was asked, and counts."""

    def __init__(self):
        self.port = 0
        self.under_way = 0
        self.under_way_max = 0

    @property
    def address(self):
        return "127.0.0.1", self.port

    async def answer(self, request, _):
        self.under_way += 1
        self.under_way_max = max(self.under_way, self.under_way_max)
        await asyncio.sleep(0)  # the others may come in
        self.under_way -= 1
        return request


@pytest_asyncio.fixture
async def echo():
    """Run it on this test's own loop; the generator then runs in a thread."""
    echo = Echo()
    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler("t", {"Echo": grpc.unary_unary_rpc_method_handler(echo.answer)})
    server.add_generic_rpc_handlers([handler])
    echo.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield echo
    await server.stop(None)
