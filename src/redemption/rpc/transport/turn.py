"""What is written at the end of a turn of the event loop, over all connections."""

import asyncio
from typing import Protocol


class Writer(Protocol):
    """A connection that has something to write, or that goes on reading."""

    def end_turn(self) -> None:
        """Write it."""


class Turn:
    """Remembers who has to write, so that each connection is written to once in a turn, whatever happened in it."""

    __slots__ = ("_loop", "_writers")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin with nobody."""
        self._loop = loop
        self._writers: list[Writer] = []

    def write(self, writer: Writer) -> None:
        """Let a connection write at the end of the turn; each asks once."""
        if not self._writers:
            self._loop.call_soon(self._end)
        self._writers.append(writer)

    def _end(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            try:
                writer.end_turn()
            except Exception as error:  # noqa: BLE001 - the others would wait for this turn for ever: each asks once
                self._tell(error)

    def _tell(self, error: Exception) -> None:
        self._loop.call_exception_handler({"message": "a turn could not be ended for all", "exception": error})
