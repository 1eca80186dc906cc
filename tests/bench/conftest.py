"""The empty handler in a process of its own, a server that returns its requests, and time without other load."""

import asyncio
import math
import selectors
from operator import itemgetter
from types import SimpleNamespace

import grpc
import pytest
import pytest_asyncio
from tool_loader import load_bench
from waiting import SECONDS_MAX

generator, under_test = load_bench("generator"), load_bench("under_test")


@pytest.fixture(scope="session")
def empty():
    with under_test.script_server("empty_server.py") as server:
        yield server


class SteadyTime:
    """The generator's time, which goes on only while it waits: nothing that the machine does takes any of it.

    While calls are under way it stands still until something comes, which takes a step. While the server is stalled,
    or nothing is under way, it goes on at once to what is due next.
    """

    def __init__(self, monkeypatch):
        self.step = 0.0001
        self.now, self.worked, self.stalled = 0.0, 0.0, False
        self._events = []
        seconds = {"perf_counter": lambda: self.now, "process_time": lambda: self.worked}
        monkeypatch.setattr(generator, "time", SimpleNamespace(**seconds))
        steady = SimpleNamespace(**vars(selectors) | {"SelectSelector": lambda: _SteadySelector(self)})
        monkeypatch.setattr(generator, "selectors", steady)

    def at(self, moment, do):
        """Call something at a moment, in seconds from the beginning, with the lines."""
        self._events.append((moment, do))

    def select(self, selector, pause):
        """Wait for what a selector waits for, in this time."""
        lines = [key.data for key in selector.get_map().values()]
        waits = any(line.under_way for line in lines) and not self.stalled
        found = selector.select(SECONDS_MAX if waits else 0.0)
        next_event = min([moment for moment, _ in self._events], default=math.inf)
        self.now += self.step if found else max(min(pause, next_event - self.now), self.step)
        for moment, do in sorted(self._events, key=itemgetter(0)):
            if moment <= self.now:
                self._events.remove((moment, do))
                do(lines)
        return found


class _SteadySelector(selectors.EpollSelector):
    def __init__(self, time):
        super().__init__()
        self._time = time

    def select(self, pause):
        return self._time.select(super(), pause)


@pytest.fixture
def steady(monkeypatch):
    return SteadyTime(monkeypatch)


class Echo:
    """Returns each request as its answer, and counts."""

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
