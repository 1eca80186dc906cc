"""The second transport: the same methods on grpcio's own server.

grpcio passes on one call in each turn of the event loop, and it lacks some limits: it counts neither incomplete
messages nor unread answers, and it does not end a connection for rapid resets.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
import structlog
from google.rpc import status_pb2  # type: ignore[import-untyped] # no marker
from grpc_status import rpc_status

from redemption.domain.call_info import CallInfo
from redemption.rpc.transport import statuses
from redemption.rpc.transport.bounds import Bounds
from redemption.rpc.transport.methods import (
    CallResult,
    DialogMethod,
    GatheredMethod,
    ImmediateMethod,
    Method,
    Methods,
    Status,
    StreamMethod,
    UnaryMethod,
)
from redemption.rpc.transport.tls import Certificates, Tls

Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]
# In quotes, because grpcio's class is generic only for type checkers.
Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"
UnaryHandler: TypeAlias = Callable[[bytes, Context], Awaitable[bytes]]
StreamHandler: TypeAlias = Callable[[Any, Context], Any]
MakeInfo: TypeAlias = Callable[[str, str, float | None, float], CallInfo]

MESSAGE_BYTES_MAX = 4 * 2**20
PENDING_CALLS_MAX = 16_384
"""Calls that may wait inside grpcio. It cancels more than that without a status. Its default limits, 1,000 and 3,000
calls, are exceeded when a sale opens."""
CLOSING_SECONDS_MIN, CLOSING_SECONDS_MAX = 0.2, 1.0
CLOSING_STEP_SECONDS = 0.02
CLOSING_STEP_CALLS = 20
"""When no more calls than this come in a step, hardly any wait inside grpcio."""
LAST_SECONDS = 1.0
"""How long ended calls may take to send their last bytes, after the time for calls to finish."""
WRITE_SECONDS_MAX = 30.0
"""How long one message of a stream may wait for a caller that does not read."""
_log = structlog.get_logger(__name__)
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class GrpcioServer:
    """Serves methods, from ``start`` to ``stop``, once."""

    def __init__(self, methods: Methods, *, make_info: MakeInfo, bounds: Bounds) -> None:
        """Build it; the arguments are those of ``listener.Listener``."""
        self._methods = methods
        self._make_info = make_info
        self._bounds = bounds
        self._calls: set[asyncio.Task[Any]] = set()
        self._bytes = 0
        self._turned_away = 0
        self._stopping = self._cut = False
        self._server: grpc.aio.Server | None = None

    @property
    def calls(self) -> int:
        """How many calls are at work."""
        return len(self._calls)

    @property
    def started(self) -> bool:
        """Whether it was started."""
        return self._server is not None

    async def start(self, address: str, tls: Tls | None, *, reuse_port: bool) -> int:
        """Listen, and return the port.

        Raises:
            OSError: The address is taken, or a certificate cannot be used.
        """
        if tls is not None:
            Certificates(tls)  # raises an error that names the wrong file; grpcio does not
        server = grpc.aio.server(options=options_of(self._bounds, reuse_port=reuse_port))
        services: dict[str, dict[str, Handler]] = {}
        for path, method in self._methods.items():
            _, service, name = path.split("/")
            services.setdefault(service, {})[name] = self._handler(path, method)
        # Not registered one by one: grpc.aio then accepts calls of each method separately, which is no faster here.
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, handlers) for service, handlers in services.items()]
        )
        try:
            if tls is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, _credentials(tls))
        except RuntimeError as error:
            raise OSError(str(error)) from error
        if not port:
            raise OSError("the address or the certificate cannot be used")
        await server.start()
        self._server = server
        return port

    def reload_certificates(self) -> None:
        """Do nothing: grpcio keeps the certificates that it has."""
        _log.warning("grpcio does not read certificates again: restart the server, or use the other transport")

    async def stop(self, seconds: float) -> None:
        """Take no new calls, let running ones finish, and end those that take too long."""
        if self._server is None:
            return
        ends = time.monotonic() + seconds
        await self._turn_away()
        seconds = max(ends - time.monotonic(), 0.0)
        stopping = asyncio.create_task(self._server.stop(seconds + LAST_SECONDS))
        if self._calls:
            await asyncio.wait(self._calls, timeout=seconds)
        self._cut = True
        for task in list(self._calls):
            task.cancel()
        await stopping

    async def _turn_away(self) -> None:
        """Refuse new calls until hardly any come.

        When grpcio stops, it cancels the calls that wait inside it without a status. Here their callers get a status
        that nothing was done. Callers go to another server only when this one stops, so this takes 1 s at most.
        """
        self._stopping = True
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < CLOSING_SECONDS_MAX:
            seen = self._turned_away
            await asyncio.sleep(CLOSING_STEP_SECONDS)
            if elapsed >= CLOSING_SECONDS_MIN and self._turned_away - seen <= CLOSING_STEP_CALLS:
                break

    def _handler(self, path: str, method: Method) -> Handler:
        """Return grpcio's handler of a method. It has no (de)serializers, so it takes and returns bytes."""
        if isinstance(method, StreamMethod):
            return grpc.unary_stream_rpc_method_handler(self._stream(path, method))
        if isinstance(method, DialogMethod):
            return grpc.stream_stream_rpc_method_handler(_dialog(method))
        if isinstance(method, ImmediateMethod):
            return grpc.unary_unary_rpc_method_handler(self._immediate(path, method))
        return grpc.unary_unary_rpc_method_handler(self._unary(path, method))

    def _immediate(self, path: str, method: ImmediateMethod) -> UnaryHandler:
        async def handle(raw: bytes, context: Context) -> bytes:
            return await _ended(method.answer(raw, self._informed(path, context)), context)

        return handle

    def _unary(self, path: str, method: UnaryMethod | GatheredMethod) -> UnaryHandler:
        async def handle(raw: bytes, context: Context) -> bytes:
            info = self._informed(path, context)
            result: CallResult | None = self._refuse(raw, method, info)
            if result is None:
                task = self._enter(raw)
                try:
                    result = await _result(raw, info, method)
                except asyncio.CancelledError:
                    info.gone = True
                    if not self._cut:
                        raise  # the caller is gone
                    result = statuses.STOPPING_AT_WORK
                finally:
                    self._leave(task, raw)
            del raw  # grpcio keeps an aborted call's frames until the next garbage collection
            return await _ended(result, context)

        return handle

    def _stream(self, path: str, method: StreamMethod) -> StreamHandler:
        async def handle(raw: bytes, context: Context) -> None:
            info = self._informed(path, context)
            if method.watch:
                await _ended(await _written(raw, info, method, context), context)
                return
            result: CallResult | None = self._refuse(raw, method, info)
            if result is None:
                task = self._enter(raw)
                try:
                    result = await _written(raw, info, method, context)
                except asyncio.CancelledError:
                    info.gone = True
                    if not self._cut:
                        raise
                    result = statuses.STOPPING_AT_WORK
                finally:
                    # Before the status is sent: it may wait behind messages that the caller does not read.
                    self._leave(task, raw)
            await _ended(result, context)

        return handle

    def _informed(self, path: str, context: Context) -> CallInfo:
        now = asyncio.get_running_loop().time()
        return self._make_info(path, context.peer(), context.time_remaining(), now)

    def _refuse(self, raw: bytes, method: UnaryMethod | GatheredMethod | StreamMethod, info: CallInfo) -> Status | None:
        """Return why a call is refused, or None when it is not."""
        if self._stopping:
            self._turned_away += 1
            return statuses.STOPPING_BEFORE
        if len(raw) > method.request_bytes_max:
            return statuses.message_too_large(method.request_bytes_max)
        if len(self._calls) >= self._bounds.calls_max:
            return statuses.TOO_MANY_CALLS
        if self._bytes + len(raw) > self._bounds.request_bytes_max:
            return statuses.REQUESTS_TOO_LARGE_TOGETHER
        if info.deadline <= asyncio.get_running_loop().time():
            return statuses.DEADLINE_PASSED
        return None if method.gate is None else method.gate(info)

    def _enter(self, raw: bytes) -> asyncio.Task[Any]:
        task = asyncio.current_task()
        assert task is not None, "grpcio runs handlers in tasks"
        self._bytes += len(raw)
        self._calls.add(task)
        return task

    def _leave(self, task: asyncio.Task[Any], raw: bytes) -> None:
        self._bytes -= len(raw)
        self._calls.discard(task)


class _GatheredCall:
    """One call of a gathered method: grpcio passes on one at a time."""

    def __init__(self, request: bytes, info: CallInfo) -> None:
        self.request = request
        self.info = info
        self.result: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()

    def leave_short_line(self) -> None:
        """Do nothing: here all calls wait in one queue."""

    def answer(self, result: CallResult) -> None:
        """End the call."""
        if not self.result.done():
            self.result.set_result(result)


def options_of(bounds: Bounds, *, reuse_port: bool) -> list[tuple[str, int]]:
    """Return grpcio's options for the bounds that it can enforce."""
    return [
        ("grpc.so_reuseport", int(reuse_port)),
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_metadata_size", bounds.header_bytes_max),
        ("grpc.absolute_max_metadata_size", bounds.header_bytes_max),
        ("grpc.max_concurrent_streams", bounds.streams_per_connection_max),
        ("grpc.server.max_pending_requests", PENDING_CALLS_MAX),
        ("grpc.server.max_pending_requests_hard_limit", PENDING_CALLS_MAX),
        # Detects a caller whose machine is gone, and ends its calls.
        ("grpc.keepalive_time_ms", round(bounds.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", round(bounds.keepalive_seconds_max * 1000)),
        # Callers may ping every 10 seconds, with or without calls; by default grpcio would end their connections.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.max_connection_idle_ms", round(bounds.idle_seconds_max * 1000)),
        ("grpc.max_connection_age_ms", round(bounds.age_seconds_max * 1000)),
    ]


async def _result(raw: bytes, info: CallInfo, method: UnaryMethod | GatheredMethod) -> CallResult:
    if isinstance(method, UnaryMethod):
        return await method.answer(raw, info)
    call = _GatheredCall(raw, info)
    method.begin([call])
    return await call.result


async def _written(raw: bytes, info: CallInfo, method: StreamMethod, context: Context) -> CallResult:
    """Write the messages of a stream. Return its status, or no bytes if the stream ended well."""
    async with aclosing(method.answer(raw, info)) as results:
        async for result in results:
            if isinstance(result, Status):
                return result
            try:
                async with asyncio.timeout(WRITE_SECONDS_MAX):
                    await context.write(result)
            except TimeoutError:
                return statuses.ANSWER_UNREAD
    return b""


def _dialog(method: DialogMethod) -> StreamHandler:
    async def handle(requests: AsyncIterator[bytes], _: Context) -> AsyncIterator[bytes]:
        async for raw in requests:
            yield method.answer(raw)

    return handle


async def _ended(result: CallResult, context: Context) -> bytes:
    """Return an answer, or end the call with its status."""
    if isinstance(result, bytes):
        return result
    if result.details:
        details = rpc_status.to_status(status_pb2.Status.FromString(result.details)).trailing_metadata
    else:
        details = ()
    retry = (("grpc-retry-pushback-ms", str(result.pushback_ms)),) if result.pushback_ms else ()
    await context.abort(_CODES[result.code], result.message, (*details, *retry))
    raise AssertionError("abort raises")


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    authority = None if tls.client_ca is None else tls.client_ca.read_bytes()
    return grpc.ssl_server_credentials([pair], root_certificates=authority, require_client_auth=authority is not None)
