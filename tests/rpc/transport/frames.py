"""gRPC calls made of single frames, and a client that sends exactly what it is told and keeps all that it gets."""

import asyncio
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import hpack
from rpc.transport.wire import (
    ACK,
    ALL,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RESET,
    SETTINGS,
    STREAM_WINDOW,
    WINDOW_UPDATE,
    field_block,
    frame,
    header_frames,
    ping,
    settings,
    window_update,
)
from rpc.transport.wire import data as data_frame
from waiting import SECONDS_MAX

NO_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 7, 8, 11
ECHO = "/test.Service/Echo"


def block(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return a header block of literals that change no table, so that it can be sent any number of times."""
    return field_block((name.encode(), value.encode("latin-1")) for name, value in fields)


def head(path: str = ECHO, *more: tuple[str, str], drop: str = "", **changed: str) -> list[tuple[str, str]]:
    """Return the header fields of a call; ``changed`` by name with underscores, such as ``content_type``."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    for name, value in changed.items():
        fields[(":" if name == "method" else "") + name.replace("_", "-")] = value
    fields.pop(drop, None)
    return [*fields.items(), *more]


def headers(stream_id: int, fields: Iterable[tuple[str, str]], *, end: bool = False) -> bytes:
    return header_frames(stream_id, block(fields), end=end)


def data(stream_id: int, payload: bytes, *, end: bool = False) -> bytes:
    """Return a body in frames of 16 KiB at most."""
    parts = [payload[at : at + 16_384] for at in range(0, len(payload), 16_384)] or [b""]
    return b"".join(data_frame(stream_id, part, end=end and at == len(parts) - 1) for at, part in enumerate(parts))


def prefix(size: int, flag: int = 0) -> bytes:
    """Return the five bytes that announce a message."""
    return bytes([flag]) + size.to_bytes(4, "big")


def message(payload: bytes, flag: int = 0) -> bytes:
    return prefix(len(payload), flag) + payload


def call(stream_id: int, payload: bytes = b"", path: str = ECHO, **changed: str) -> bytes:
    """Return a whole unary call."""
    return headers(stream_id, head(path, **changed)) + data(stream_id, message(payload), end=True)


@dataclass
class Answer:
    """What came back on a stream.

    Attributes:
        blocks: Its header blocks.
        body: Its DATA.
        ended: It came to its regular end.
        reset: The code with which it was reset.
        shape: The frames it consists of, for example ``HEADERS+END``.
    """

    blocks: list[dict[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset: int | None = None
    shape: list[str] = field(default_factory=list)

    @property
    def status(self) -> int | None:
        """The gRPC status; None when there was none."""
        told = self.blocks[-1].get("grpc-status") if self.blocks else None
        return None if told is None else int(told)

    @property
    def message(self) -> bytes:
        """Its one message."""
        assert self.body[:5] == b"\0" + (len(self.body) - 5).to_bytes(4, "big"), bytes(self.body[:5])
        return bytes(self.body[5:])

    @property
    def messages(self) -> list[bytes]:
        """All of its messages."""
        found, rest = [], bytes(self.body)
        while rest:
            length = int.from_bytes(rest[1:5], "big")
            found.append(rest[5 : 5 + length])
            rest = rest[5 + length :]
        return found


class RawClient:
    """One connection. It reads nothing unless told to; while it reads, it acknowledges what a polite client does.

    Attributes:
        answers: What came back, by stream.
        goaways: Last stream, code and reason of each GOAWAY.
        settings: What the server told of itself.
        pings: What the server asked.
        pongs: How many PINGs were answered.
        acknowledged: How many SETTINGS were.
        widened: By how much windows were widened, by stream.
        spent: Of the connection's window, so much was used for bodies.
        polite: Acknowledge SETTINGS and PINGs.
        end: How the connection ended, once it did: ``eof`` or ``reset``.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()  # frames of two tasks must not mix
        self._unread = b""
        self._decoder = hpack.Decoder()
        self.answers: dict[int, Answer] = {}
        self.goaways: list[tuple[int, int, bytes]] = []
        self.settings: dict[int, int] = {}
        self.pings: list[bytes] = []
        self.pongs = 0
        self.acknowledged = 0
        self.widened: dict[int, int] = {}
        self.spent = 0
        self.polite = True
        self.end = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def cut(self) -> None:
        """End the connection with a TCP reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    async def send(self, *frames: bytes) -> None:
        async with asyncio.timeout(SECONDS_MAX), self._sending:
            await self._loop.sock_sendall(self._socket, b"".join(frames))

    async def send_while_open(self, *frames: bytes) -> None:
        """Send, and stop when the server ends the connection."""
        with suppress(ConnectionError):
            await self.send(*frames)

    async def _receive(self) -> bytes:
        return await self._loop.sock_recv(self._socket, 2**18)

    async def read(self) -> bool:
        """Take what came next; False when nothing comes any more."""
        async with asyncio.timeout(SECONDS_MAX):
            try:
                received = await self._receive()
            except OSError:
                self.end = self.end or "reset"
                return False
        if not received:
            self.end = self.end or "eof"
            return False
        self._unread += received
        reply = b""
        while len(self._unread) >= 9:
            end = 9 + int.from_bytes(self._unread[:3], "big")
            if len(self._unread) < end:
                break
            kind, flags, stream_id = struct.unpack(">BBI", self._unread[3:9])
            reply += self._take(kind, flags, stream_id, self._unread[9:end])
            self._unread = self._unread[end:]
        if reply and self.polite:
            await self.send_while_open(reply)
        return True

    def _take(self, kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
        """Note a frame, and return what is said to it."""
        if kind == SETTINGS and not flags & ACK:
            pairs = struct.iter_unpack(">HI", payload)
            self.settings |= dict(pairs)
            return frame(SETTINGS, ACK)
        if kind == SETTINGS:
            self.acknowledged += 1
        elif kind == PING and not flags & ACK:
            self.pings.append(payload)
            return ping(payload, ack=True)
        elif kind == PING:
            self.pongs += 1
        elif kind == GOAWAY:
            last, code = struct.unpack(">II", payload[:8])
            self.goaways.append((last, code, payload[8:]))
        elif kind == WINDOW_UPDATE:
            self.widened[stream_id] = self.widened.get(stream_id, 0) + struct.unpack(">I", payload)[0]
        elif kind in {HEADERS, DATA, RESET}:
            self._take_answer(self.answers.setdefault(stream_id, Answer()), kind, flags, payload)
        return b""

    def _take_answer(self, answer: Answer, kind: int, flags: int, payload: bytes) -> None:
        answer.shape.append(("DATA", "HEADERS", "", "RST")[kind] + ("+END" if flags & END_STREAM else ""))
        if kind == RESET:
            answer.reset = struct.unpack(">I", payload)[0]
            return
        if kind == HEADERS:
            assert flags & END_HEADERS
            answer.blocks.append(dict(self._decoder.decode(payload)))
        else:
            answer.body += payload
        answer.ended = answer.ended or bool(flags & END_STREAM)

    async def answer(self, stream_id: int) -> Answer:
        """Read until a stream is over, and return what came on it."""
        while True:
            answer = self.answers.get(stream_id)
            if answer is not None and (answer.ended or answer.reset is not None):
                return answer
            assert await self.read(), f"the connection ended ({self.end}, {self.goaways}) before stream {stream_id} did"

    async def upload(self, stream_id: int, body: bytes, *, end: bool = True) -> None:
        """Send the body of a call within the windows that were given."""
        sent = 0
        while sent < len(body):
            room = min(65_535 + self.widened.get(stream_id, 0), 65_535 + self.widened.get(0, 0) - self.spent)
            part = body[sent : min(sent + 16_384, room)]
            if not part:
                assert await self.read(), f"the connection ended: {self.end}, {self.goaways}"
                continue
            sent += len(part)
            await self.send(data(stream_id, part, end=end and sent == len(body)))
        self.spent += len(body)

    async def ask(self, stream_id: int, payload: bytes = b"", path: str = ECHO, **changed: str) -> Answer:
        """Make a whole call, and return its answer."""
        await self.send(call(stream_id, payload, path, **changed))
        return await self.answer(stream_id)

    async def until_end(self) -> str:
        """Read until the server closes; returns how it did."""
        while await self.read():
            pass
        return self.end

    async def round_trip(self) -> None:
        """Return when the server has taken all that was sent, and its answers to that were read."""
        seen = self.pongs
        await self.send(ping())
        while self.pongs == seen:
            assert await self.read(), f"the connection ended: {self.end}, {self.goaways}"


class TlsClient(RawClient):
    """The same over TLS, which asyncio speaks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(writer.get_extra_info("socket"))
        self._reader = reader
        self._writer = writer

    def close(self) -> None:
        self._writer.transport.abort()

    async def send(self, *frames: bytes) -> None:
        self._writer.write(b"".join(frames))
        async with asyncio.timeout(SECONDS_MAX):
            await self._writer.drain()

    async def _receive(self) -> bytes:
        return await self._reader.read(2**18)


async def connect(
    port: int,
    told: dict[int, int] | None = None,
    *,
    greet: bool = True,
    receive_bytes: int | None = None,
    host: str = "127.0.0.1",
    source: str = "127.0.0.1",
    connection_window: int = ALL,
) -> RawClient:
    """Connect, and say who one is.

    Args:
        port: Where to.
        told: Settings; by default a window that nothing fills.
        greet: Say it; False says nothing at all.
        receive_bytes: The size of the system's buffer.
        host: Where to.
        source: Where from.
        connection_window: By how much the window of the connection is widened.
    """
    sock = socket.socket()
    if receive_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.bind((source, 0))
    sock.setblocking(False)
    client = RawClient(sock)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
        if greet:
            await client.send(greeting(told, connection_window))
    except BaseException:
        sock.close()
        raise
    return client


def greeting(told: dict[int, int] | None = None, connection_window: int = ALL) -> bytes:
    """Return what a client says first."""
    said = PREFACE + settings({STREAM_WINDOW: ALL} if told is None else told)
    return said + window_update(0, connection_window) if connection_window else said


def code_of(error: Any) -> str:
    """Return the name of the status that a grpcio call ended with."""
    return error.code().name
