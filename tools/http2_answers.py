#!/usr/bin/env python3
"""A tiny HTTP/2 server on the transport's own Http2Connection: every request gets headers, DATA and trailers.

tools/http2_answers.py

h2spec sends ordinary requests and expects DATA in the answer, but a gRPC server refuses them with headers only. With
this server h2spec can test how the connection handles right and wrong frames. It writes its port in one line, and ends
when its standard input is closed.
"""

import asyncio
import sys
from contextlib import suppress
from typing import cast

import uvloop

from redemption.rpc.transport.http2 import (
    ConnectionBroken,
    ConnectionClosed,
    DataReceived,
    Event,
    Http2Bounds,
    Http2Connection,
    RequestReceived,
    TrailersReceived,
)

BOUNDS = Http2Bounds(
    streams_max=100, header_bytes_max=16_384, stream_window_bytes=65_535, connection_window_bytes=2**20
)
HEADERS = ((b":status", b"200"), (b"content-type", b"text/plain"))
TRAILERS = ((b"x-end", b"1"),)
BODY = b"an answer"
WRITE_BYTES_AT_ONCE = 2**18
ANSWER_SECONDS = 0.02
"""Delay of an answer: after the answer the stream is closed, and frames on it are ignored instead of checked."""
GOODBYE_SECONDS = 0.5


class Answers(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self) -> None:
        """Build it; asyncio connects it later."""
        self._http2 = Http2Connection(BOUNDS)
        self._transport: asyncio.Transport | None = None
        self._ends = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the preface."""
        self._transport = cast("asyncio.Transport", transport)
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Drop the transport."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Handle received bytes and answer requests; close after a protocol error."""
        try:
            for event in self._http2.receive(data):
                self._on(event)
        except ConnectionBroken as broken:
            self._close(broken.last_bytes)
            return
        self._write()

    def _on(self, event: Event) -> None:
        if type(event) is ConnectionClosed:
            self._ends = True
        elif isinstance(event, TrailersReceived) or (
            isinstance(event, RequestReceived | DataReceived) and event.end_stream
        ):
            asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._answer, event.stream_id)

    def _answer(self, stream_id: int) -> None:
        self._http2.answer(stream_id, HEADERS, BODY, TRAILERS)
        self._write()

    def _write(self) -> None:
        try:
            while self._transport is not None:
                data, events = self._http2.bytes_to_send(WRITE_BYTES_AT_ONCE)
                self._transport.write(data)
                for event in events:
                    self._on(event)
                if not data:
                    break
        except ConnectionBroken as broken:
            self._close(broken.last_bytes)
        if self._ends:
            self._close(b"")

    def _close(self, last_bytes: bytes) -> None:
        """Write what is left, and close later: a close with unread input would discard what the peer has not read."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.write(last_bytes)
            with suppress(OSError):
                transport.write_eof()
            asyncio.get_running_loop().call_later(GOODBYE_SECONDS, transport.abort)


async def main() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answers, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(main())
