"""The standard health service, for load balancers and orchestrators.

grpcio's own servicer holds a lock while it writes to a watcher, and never ends a watch. So one watcher that does not
read would block ``set``, and any watcher would keep a server from stopping in time.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from google.protobuf.message import DecodeError
from google.rpc import code_pb2  # type: ignore[import-untyped] # no marker
from grpc_health.v1 import health_pb2

from redemption.domain.call_info import CallInfo
from redemption.rpc.transport.methods import CallResult, ImmediateMethod, Methods, Status, StreamMethod
from redemption.scheduling.concurrency_limit import ConcurrencyLimit
from redemption.scheduling.work_bounds import WATCHERS_MAX, WATCHERS_PER_PEER_MAX

SERVICE = "grpc.health.v1.Health"
REQUEST_BYTES_MAX = 1_024

_Response = health_pb2.HealthCheckResponse
_UNKNOWN: bytes = _Response(status=_Response.SERVICE_UNKNOWN).SerializeToString()
_SERVING: bytes = _Response(status=_Response.SERVING).SerializeToString()
_NOT_SERVING: bytes = _Response(status=_Response.NOT_SERVING).SerializeToString()
_NO_SERVICE = Status(code_pb2.NOT_FOUND, "there is no such service here")
_NO_REQUEST = Status(code_pb2.INVALID_ARGUMENT, "is not a grpc.health.v1.HealthCheckRequest")
_TOO_MANY_WATCHERS = Status(
    code_pb2.RESOURCE_EXHAUSTED, "the server, or this connection, has too many watchers; end one, or use Check"
)
_STOPPING = Status(code_pb2.UNAVAILABLE, "the server is stopping")


class Health:
    """Answers whether the server accepts work. All services have the same state, which begins as NOT_SERVING."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services = frozenset(("", *services))
        self._serving = False
        self._leaving = False
        self._ended = False
        self._watchers = ConcurrencyLimit(WATCHERS_MAX, WATCHERS_PER_PEER_MAX)
        self._changed = asyncio.Event()

    def set_serving(self, serving: bool) -> None:  # noqa: FBT001 - the value to set
        """Set whether the server accepts work; after ``leave`` it stays NOT_SERVING."""
        self._serving = serving and not self._leaving
        self._notify()

    def leave(self) -> None:
        """Set NOT_SERVING for good."""
        self._leaving = True
        self.set_serving(False)

    def end_watches(self) -> None:
        """End all watches, after each was sent the last state."""
        self._ended = True
        self._notify()

    def methods(self) -> Methods:
        """Return the methods for a transport."""
        return {
            f"/{SERVICE}/Check": ImmediateMethod(request_bytes_max=REQUEST_BYTES_MAX, answer=self._check),
            f"/{SERVICE}/Watch": StreamMethod(request_bytes_max=REQUEST_BYTES_MAX, answer=self._watch, watch=True),
        }

    def _check(self, raw: bytes, _: CallInfo) -> CallResult:
        service = _service(raw)
        if service is None:
            return _NO_REQUEST
        if service not in self._services:
            return _NO_SERVICE
        return self._response(service)

    async def _watch(self, raw: bytes, info: CallInfo) -> AsyncGenerator[CallResult, None]:
        service = _service(raw)
        if service is None:
            yield _NO_REQUEST
            return
        if self._watchers.is_full or self._watchers.is_full_for(info.peer):
            yield _TOO_MANY_WATCHERS
            return
        with self._watchers.take(info.peer):
            sent = None
            while True:
                changed = self._changed
                ended = self._ended
                response = self._response(service)
                if response != sent:
                    yield response
                    sent = response
                if ended:
                    yield _STOPPING
                    return
                await changed.wait()

    def _response(self, service: str) -> bytes:
        if service not in self._services:
            return _UNKNOWN
        return _SERVING if self._serving else _NOT_SERVING

    def _notify(self) -> None:
        """Wake every watcher once; each then waits for the next event."""
        self._changed.set()
        self._changed = asyncio.Event()


def _service(raw: bytes) -> str | None:
    """Return the service that the request names, or None when the request cannot be parsed."""
    try:
        return str(health_pb2.HealthCheckRequest.FromString(raw).service)
    except DecodeError:
        return None
