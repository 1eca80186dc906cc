"""Waiting for a thing, never for a time: no test may depend on how fast the machine is.

A test looks again until the thing is there. Where the code's own timing is tested, the test moves the clock itself.
"""

import asyncio
import time

SECONDS_MAX = 60.0
"""A test fails after this time. Nothing here takes a second on an idle machine; a busy one may need thirty."""


def until(what):
    """Look again until it is so, and return it."""
    wall = time.monotonic() + SECONDS_MAX
    while not (found := what()):
        assert time.monotonic() < wall, "it did not happen"
        time.sleep(0.005)
    return found


async def comes(what):
    """Look again until it is so, and return it; the event loop goes on meanwhile."""
    wall = time.monotonic() + SECONDS_MAX
    while not (found := what()):
        assert time.monotonic() < wall, "it did not happen"
        await asyncio.sleep(0.001)
    return found


async def settled():
    """Let everything run that waits for nothing but its turn of the event loop: no clock, no socket, no thread."""
    for _ in range(20):
        await asyncio.sleep(0)


class LoopClock:
    """The clock of the running event loop, which goes on by itself and which a test may put forward.

    Whatever waits on the loop for longer than the test can bear then ends at once: sleeps, deadlines, timeouts.
    """

    def __init__(self, monkeypatch):
        loop = asyncio.get_running_loop()
        real = loop.time
        self._ahead = 0.0
        monkeypatch.setattr(loop, "time", lambda: real() + self._ahead)

    def forward(self, seconds):
        """Let so many seconds be over."""
        self._ahead += seconds
