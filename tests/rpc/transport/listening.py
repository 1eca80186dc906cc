"""A listener on a real port with methods for tests, and what they saw."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import code_pb2
from rpc.transport.frames import RawClient, connect
from waiting import SECONDS_MAX, comes

from redemption.domain.call_info import CallInfo
from redemption.rpc.server import call_info
from redemption.rpc.transport.bounds import Bounds, Usage
from redemption.rpc.transport.listener import Listener
from redemption.rpc.transport.methods import (
    Call,
    CallResult,
    DialogMethod,
    GatheredMethod,
    ImmediateMethod,
    Methods,
    Status,
    StreamMethod,
    UnaryMethod,
)
from redemption.rpc.transport.tls import Tls

MIB = 2**20
REQUEST_BYTES_MAX = 4 * MIB
SERVICE = "/test.Service/"
FAILURE = Status(code_pb2.FAILED_PRECONDITION, "é\n%\udc80", b"\x08\x09" + b"details" * 3)


@dataclass
class Seen:
    """Methods, and what they saw.

    Attributes:
        ran: How often each method was handed a call.
        gathered: How many calls came in each turn.
        held: Calls of ``Held``, which the test answers.
        order: How the requests of ``Echo`` and ``Immediate`` began, in the order in which they ran.
        infos: What the calls of ``Slow``, ``Held`` and the streams were told.
        cancelled: How many calls of ``Slow`` were cancelled.
        made: How many messages the streams made.
        closed: How many streams were closed.
        go: Lets all calls of ``Slow`` go on.
    """

    ran: dict[str, int] = field(default_factory=dict)
    gathered: list[int] = field(default_factory=list)
    held: list[Call] = field(default_factory=list)
    infos: list[CallInfo] = field(default_factory=list)
    order: list[bytes] = field(default_factory=list)
    cancelled: int = 0
    made: int = 0
    closed: int = 0
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def run(self, name: str) -> None:
        self.ran[name] = self.ran.get(name, 0) + 1

    async def echo(self, raw: bytes, _: CallInfo) -> CallResult:
        self.run("Echo")
        self.order.append(raw[:8])
        return raw

    async def slow(self, raw: bytes, info: CallInfo) -> CallResult:
        self.run("Slow")
        self.infos.append(info)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return raw

    async def large(self, raw: bytes, _: CallInfo) -> CallResult:
        self.run("Large")
        return bytes(int(raw))

    async def failing(self, _: bytes, __: CallInfo) -> CallResult:
        self.run("Failing")
        return FAILURE

    async def raising(self, _: bytes, __: CallInfo) -> CallResult:
        self.run("Raising")
        raise ValueError("nobody foresaw this")

    def begin(self, calls: Sequence[Call]) -> None:
        self.gathered.append(len(calls))
        for call in calls:
            self.run("Gathered")
            call.answer(call.request)

    def hold(self, calls: Sequence[Call]) -> None:
        for call in calls:
            self.run("Held")
            self.infos.append(call.info)
            self.held.append(call)

    def gathered_raising(self, calls: Sequence[Call]) -> None:
        self.run("GatheredRaising")
        calls[0].answer(calls[0].request)
        raise ValueError("nobody foresaw this")

    async def stream(self, raw: bytes, info: CallInfo) -> AsyncGenerator[CallResult, None]:
        """Make so many messages of so many bytes: ``3*1000``."""
        self.run("Stream")
        self.infos.append(info)
        count, size = map(int, raw.split(b"*"))
        try:
            for number in range(count):
                self.made += 1
                yield number.to_bytes(4, "big") + bytes(size - 4)
        finally:
            self.closed += 1

    async def stream_failing(self, _: bytes, __: CallInfo) -> AsyncGenerator[CallResult, None]:
        self.run("StreamFailing")
        yield b"one"
        yield FAILURE

    async def stream_raising(self, _: bytes, __: CallInfo) -> AsyncGenerator[CallResult, None]:
        self.run("StreamRaising")
        yield b"one"
        raise ValueError("nobody foresaw this")

    async def watch(self, raw: bytes, info: CallInfo) -> AsyncGenerator[CallResult, None]:
        self.run("Watch")
        self.infos.append(info)
        try:
            yield raw
            await asyncio.Event().wait()
        finally:
            self.closed += 1

    def immediate(self, raw: bytes, _: CallInfo) -> CallResult:
        self.run("Immediate")
        self.order.append(raw[:8])
        if raw == b"raise":
            raise ValueError("nobody foresaw this")
        return raw

    def dialog(self, raw: bytes) -> bytes:
        self.run("Dialog")
        return bytes(int(raw)) if raw.isdigit() else raw.upper()


def methods(seen: Seen) -> Methods:
    """Return what is served."""

    def unary(answer: Any) -> UnaryMethod:
        return UnaryMethod(request_bytes_max=REQUEST_BYTES_MAX, answer=answer)

    return {
        SERVICE + "Echo": unary(seen.echo),
        SERVICE + "Slow": unary(seen.slow),
        SERVICE + "Large": unary(seen.large),
        SERVICE + "Failing": unary(seen.failing),
        SERVICE + "Raising": unary(seen.raising),
        SERVICE + "Small": UnaryMethod(request_bytes_max=1_000, answer=seen.echo),
        SERVICE + "Gathered": GatheredMethod(request_bytes_max=REQUEST_BYTES_MAX, begin=seen.begin),
        SERVICE + "Held": GatheredMethod(request_bytes_max=REQUEST_BYTES_MAX, begin=seen.hold),
        SERVICE + "GatheredRaising": GatheredMethod(request_bytes_max=1_000, begin=seen.gathered_raising),
        SERVICE + "Stream": StreamMethod(request_bytes_max=1_000, answer=seen.stream),
        SERVICE + "StreamFailing": StreamMethod(request_bytes_max=1_000, answer=seen.stream_failing),
        SERVICE + "StreamRaising": StreamMethod(request_bytes_max=1_000, answer=seen.stream_raising),
        SERVICE + "Watch": StreamMethod(request_bytes_max=1_000, answer=seen.watch, watch=True),
        SERVICE + "Immediate": ImmediateMethod(request_bytes_max=1_000, answer=seen.immediate),
        SERVICE + "Dialog": DialogMethod(request_bytes_max=1_000, answer=seen.dialog),
    }


@dataclass
class Stage:
    """A listener, what its methods saw, and clients to it."""

    listener: Listener
    seen: Seen
    port: int
    _clients: list[RawClient] = field(default_factory=list)

    @property
    def usage(self) -> Usage:
        return self.listener.usage

    @property
    def connections(self) -> int:
        return len(self.listener._connections)

    async def client(self, *arguments: Any, **settings: Any) -> RawClient:
        """Connect a raw client that is closed with the stage."""
        client = await connect(self.port, *arguments, **settings)
        self._clients.append(client)
        return client

    def channel(self, *options: tuple[str, Any]) -> grpc.aio.Channel:
        """Open a connection of its own."""
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", [("grpc.use_local_subchannel_pool", 1), *options])

    def tick(self, seconds: float) -> None:
        """Tell all connections that so much time has passed."""
        for connection in list(self.listener._connections):
            connection.tick(asyncio.get_running_loop().time() + seconds)

    async def idle(self) -> None:
        """Return when no call is at work and nothing is held."""
        await comes(lambda: not (self.usage.calls or self.usage.request_bytes or self.usage.answer_bytes))


WAIT_SECONDS_MAX = 3600.0
"""However slow the machine is, no call waits too long, but where that is what is tested."""


@asynccontextmanager
async def listening(
    *, tls: Tls | None = None, port: int = 0, reuse_port: bool = False, **bounds: Any
) -> AsyncIterator[Stage]:
    """Run a listener for the length of a block; what is no setting of its own is one of its bounds."""
    seen = Seen()
    listener = Listener(
        methods(seen), make_info=call_info, bounds=Bounds(**{"wait_seconds_max": WAIT_SECONDS_MAX} | bounds)
    )
    stage = Stage(listener, seen, await listener.start(f"127.0.0.1:{port}", tls, reuse_port=reuse_port))
    try:
        yield stage
    finally:
        for client in stage._clients:
            client.close()
        async with asyncio.timeout(SECONDS_MAX):
            await listener.stop(0)
        for call in seen.held:
            call.answer(b"")
        await comes(lambda: not (stage.connections or stage.usage.calls))
    assert (stage.usage.calls, stage.usage.request_bytes, stage.usage.answer_bytes) == (0, 0, 0)
    assert stage.usage.connections == {}


async def failure_of(awaited: Any) -> grpc.aio.AioRpcError:
    """Return how a grpcio call fails."""
    try:
        await awaited
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call did not fail")


def resident_bytes() -> int:
    """Return how much memory this process has."""
    with open("/proc/self/statm") as statm:  # noqa: PTH123 - a Path is slower to write
        return int(statm.read().split()[1]) * 4096
