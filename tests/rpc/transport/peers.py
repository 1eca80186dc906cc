"""Connections of both engines, and a caller that keeps to the windows it is given."""

import pytest
from rpc.transport.h2_engine import H2Engine
from rpc.transport.wire import ALL, PREFACE, WINDOW_BYTES, Reader, data, settings, settings_ack

from redemption.rpc.transport.http2 import Http2Bounds, Http2Connection

ENGINES = {"ngh2": Http2Connection, "h2": H2Engine}
on_both_engines = pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)


def on_ngh2_alone(why):
    """The twin is left out, for a reason that is told."""
    assert why
    return pytest.mark.parametrize("engine", [Http2Connection], ids=["ngh2"])


def begun(engine, *, window=WINDOW_BYTES, streams=100, header_bytes=16_384):
    """A connection of which the caller has heard nothing."""
    return engine(
        Http2Bounds(
            streams_max=streams,
            header_bytes_max=header_bytes,
            stream_window_bytes=WINDOW_BYTES,
            connection_window_bytes=window,
        )
    )


def opened(engine, values=None, **bounds):
    """A connection after the handshake."""
    connection = begun(engine, **bounds)
    connection.bytes_to_send(ALL)
    connection.receive(PREFACE + settings(values) + settings_ack())
    connection.bytes_to_send(ALL)
    return connection


def shown(events):
    """Events as plain values: the name, then what it says."""
    return [
        (type(event).__name__, *[getattr(event, name) for name in type(event).__match_args__ if name != "local_error"])
        for event in events
    ]


def names(events):
    return [type(event).__name__ for event in events]


class Caller:
    """The other end of an opened connection: it reads what comes, and counts the windows down and up."""

    def __init__(self, connection, window=WINDOW_BYTES):
        self.connection = connection
        self.window = self.widest = window
        self.windows = {}
        self._reader = Reader()

    def read(self):
        """What there is to read, window updates aside; and the events that came with the writing."""
        sent, events = self.connection.bytes_to_send(ALL)
        frames = []
        for each in self._reader.read(sent):
            if each[0] != "window":
                frames.append(each)
            elif each[1]:
                self.windows[each[1]] = self.windows.get(each[1], WINDOW_BYTES) + each[2]
            else:
                self.window += each[2]
                self.widest = max(self.widest, self.window)
        return frames, events

    def count(self, stream, size):
        """Count what is sent without `upload`."""
        self.window -= size
        self.windows[stream] = self.windows.get(stream, WINDOW_BYTES) - size
        assert self.window >= 0, "the connection's window is used up"

    def upload(self, stream, size):
        """Send so much on a stream, never more than the windows allow; returns what arrived."""
        arrived = 0
        self.widest = self.window
        while size:
            part = min(size, self.window, self.windows.get(stream, WINDOW_BYTES), 16_384)
            assert part > 0, f"the caller may send nothing more, and {size} bytes are left"
            self.count(stream, part)
            size -= part
            events = self.connection.receive(data(stream, bytes(part), end=not size))
            arrived += sum([len(event.data) for event in events if type(event).__name__ == "DataReceived"])
            self.read()
        return arrived
