"""Reading and writing in one turn of the event loop, over all connections."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

READ_SECONDS = 0.002
"""How long all connections together may read in one turn: as long as the work that is begun in a turn. A caller whose
data takes long to read gets this share of the process and no more. A slice is begun while there is time left."""


BUFFER_BYTES = 256 * 1024
"""The most bytes that one receive takes from the system."""
BUFFER_BYTES_SMALL = 4 * 1024
"""The same while more than ``UNREAD_BYTES_MAX`` is unread."""
UNREAD_BYTES_MAX = 32 * 2**20
"""Bytes that all connections together have taken from the system and not read; with more, they take less at once."""


class Reader(Protocol):
    """A connection that has something to read."""

    def read_slice(self) -> bool:
        """Read one slice of it, and return whether more is left."""


class Writer(Protocol):
    """A connection that has something to write."""

    def end_turn(self) -> None:
        """Write it."""


class Turn:
    """The connections that have to read and to write in a turn of the event loop.

    Connections read slice by slice, one after the other; slices for which there is no time are read in the next turn.
    Each connection writes at most once in a turn.

    Attributes:
        unread_bytes: Bytes that connections have taken from the system and not read.
    """

    __slots__ = ("_armed", "_buffer", "_buffer_small", "_clock", "_loop", "_readers", "_writers", "unread_bytes")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin without connections; the clock counts seconds."""
        self._loop = loop
        self._clock = clock
        self._readers: deque[Reader] = deque()
        self._writers: list[Writer] = []
        self._armed = False
        # One buffer for all connections: each copies its bytes out before the next one receives.
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._buffer_small = self._buffer[:BUFFER_BYTES_SMALL]
        self.unread_bytes = 0

    @property
    def buffer(self) -> memoryview:
        """Where a connection receives its next bytes."""
        return self._buffer if self.unread_bytes < UNREAD_BYTES_MAX else self._buffer_small

    def taken(self, size: int) -> bytes:
        """Return a copy of the bytes that were received there."""
        return bytes(self._buffer[:size])

    def read(self, reader: Reader) -> None:
        """Schedule a connection for reading. It calls this once, and is read until nothing is left."""
        self._readers.append(reader)
        self._arm()

    def write(self, writer: Writer) -> None:
        """Schedule a connection for writing at the end of the turn; it calls this once in a turn."""
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
            except Exception as error:  # noqa: BLE001 - the others would never write: they are scheduled once
                self._report(error)
        self._armed = False
        if self._readers or self._writers:
            self._arm()

    def _read(self) -> None:
        readers = self._readers
        ends = self._clock() + READ_SECONDS
        while readers:
            reader = readers.popleft()
            try:
                if reader.read_slice():
                    readers.append(reader)
            except Exception as error:  # noqa: BLE001 - the others would never read
                self._report(error)
            if self._clock() >= ends:
                return

    def _report(self, error: Exception) -> None:
        self._loop.call_exception_handler({"message": "a connection failed to read or write", "exception": error})
