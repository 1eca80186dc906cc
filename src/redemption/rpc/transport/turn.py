"""What is done at the end of each turn of the event loop, over all connections."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from redemption.rpc.transport.methods import Call, GatheredMethod


class Writer(Protocol):
    """A connection that has something to write, or that goes on reading."""

    def end_turn(self) -> None:
        """Write it."""


class Turn:
    """Gathers the calls that became complete in a turn of the event loop, and the connections that have to write.

    The first of them arms it, so nobody waits for company: what arrived together is worked on together, and each
    connection is written to once.
    """

    __slots__ = ("_armed", "_begin", "_calls", "_loop", "_writers")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, begin: Callable[[GatheredMethod, Sequence[Call]], None]
    ) -> None:
        """Build it.

        Args:
            loop: The event loop.
            begin: Called with a method and all of its calls of a turn.
        """
        self._loop = loop
        self._begin = begin
        self._calls: dict[GatheredMethod, list[Call]] = {}
        self._writers: list[Writer] = []
        self._armed = False

    def add(self, method: GatheredMethod, call: Call) -> None:
        """Take a call that is complete."""
        calls = self._calls.get(method)
        if calls is None:
            calls = self._calls[method] = []
            self._arm()
        calls.append(call)

    def write(self, writer: Writer) -> None:
        """Let a connection write at the end of the turn; each asks once."""
        self._writers.append(writer)
        self._arm()

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self._end)

    def _end(self) -> None:
        self._armed = False
        if self._calls:
            gathered, self._calls = self._calls, {}
            for method, calls in gathered.items():
                try:
                    self._begin(method, calls)
                except Exception as error:  # noqa: BLE001 - the other methods' calls have nothing to do with it
                    self._tell(error)
        writers, self._writers = self._writers, []
        for writer in writers:
            try:
                writer.end_turn()
            except Exception as error:  # noqa: BLE001 - the others would wait for this turn for ever: each asks once
                self._tell(error)

    def _tell(self, error: Exception) -> None:
        self._loop.call_exception_handler({"message": "a turn could not be ended for all", "exception": error})
