"""What is read and written in a turn of the event loop, over all connections."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

READ_SECONDS = 0.002
"""Read in one turn, all connections together: as long as the work that is begun in a turn takes. Whoever sends what is
long to read takes this part of the process, and no more. One more slice is begun while there is time left."""


BUFFER_BYTES = 256 * 1024
"""Taken from the system in one go."""
BUFFER_BYTES_SMALL = 4 * 1024
"""The same while much is unread."""
UNREAD_BYTES_MAX = 32 * 2**20
"""Much: what all connections together took from the system and have not read."""


class Reader(Protocol):
    """A connection that has something to read."""

    def read_slice(self) -> bool:
        """Read a little of it, and tell whether more is left."""


class Writer(Protocol):
    """A connection that has something to write."""

    def end_turn(self) -> None:
        """Write it."""


class Turn:
    """Remembers who has to read and to write.

    Connections read slice by slice, in turn; what they do not come to is left for the next turn. Each is written to
    once in a turn, whatever happened in it.

    Attributes:
        unread_bytes: What connections took from the system and have not read.
    """

    __slots__ = ("_armed", "_buffer", "_buffer_small", "_clock", "_loop", "_readers", "_writers", "unread_bytes")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin with nobody; the clock counts seconds."""
        self._loop = loop
        self._clock = clock
        self._readers: deque[Reader] = deque()
        self._writers: list[Writer] = []
        self._armed = False
        # One for all: what is in it is taken out before the next connection takes something.
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._buffer_small = self._buffer[:BUFFER_BYTES_SMALL]
        self.unread_bytes = 0

    @property
    def buffer(self) -> memoryview:
        """Where to put what comes from the system next."""
        return self._buffer if self.unread_bytes < UNREAD_BYTES_MAX else self._buffer_small

    def taken(self, size: int) -> bytes:
        """Return what was put there."""
        return bytes(self._buffer[:size])

    def read(self, reader: Reader) -> None:
        """Let a connection read; each asks once, until nothing is left."""
        self._readers.append(reader)
        self._arm()

    def write(self, writer: Writer) -> None:
        """Let a connection write at the end of the turn; each asks once."""
        self._writers.append(writer)
        self._arm()

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self._end)

    def _end(self) -> None:
        if self._readers:
            self._read()
        writers, self._writers = self._writers, []
        for writer in writers:
            try:
                writer.end_turn()
            except Exception as error:  # noqa: BLE001 - the others would wait for this turn for ever: each asks once
                self._tell(error)
        self._armed = False
        if self._readers or self._writers:
            self._arm()

    def _read(self) -> None:
        readers = self._readers
        until = self._clock() + READ_SECONDS
        while readers:
            reader = readers.popleft()
            try:
                if reader.read_slice():
                    readers.append(reader)
            except Exception as error:  # noqa: BLE001 - the others would wait for ever
                self._tell(error)
            if self._clock() >= until:
                return

    def _tell(self, error: Exception) -> None:
        self._loop.call_exception_handler({"message": "a turn could not be ended for all", "exception": error})
