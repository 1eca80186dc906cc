"""The standard health service, for load balancers and orchestrators.

grpcio's own servicer keeps a lock while it writes to a watcher and never ends a watch: one watcher that does not read
would keep ``set`` waiting, and any watcher at all would keep a server from stopping in time.
"""

import asyncio
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health_pb2

from redemption.rpc.guard import Context

SERVICE = "grpc.health.v1.Health"
WATCHERS_MAX = 1_000
SERVICE_NAME_MAX = 256

_Response = health_pb2.HealthCheckResponse


class Health:
    """Tells whether the server takes work: all of its services, or none. It begins as NOT_SERVING."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services = frozenset(("", *services))
        self._serving = False
        self._leaving = False
        self._ended = False
        self._watchers = 0
        self._changed = asyncio.Event()

    def set_serving(self, serving: bool) -> None:  # noqa: FBT001 - it is what is set
        """Say whether work shall be sent here; after ``leave`` the answer stays no."""
        self._serving = serving and not self._leaving
        self._notify()

    def leave(self) -> None:
        """Say for good that no work shall be sent here."""
        self._leaving = True
        self.set_serving(False)

    def end_watches(self) -> None:
        """End all watches, once they were told the last."""
        self._ended = True
        self._notify()

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what gRPC calls."""
        read, write = health_pb2.HealthCheckRequest.FromString, _Response.SerializeToString
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Check": grpc.unary_unary_rpc_method_handler(self._check, read, write),
                "Watch": grpc.unary_stream_rpc_method_handler(self._watch, read, write),
            },
        )

    async def _check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service here")
        return self._response(request.service)

    async def _watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        if len(request.service) > SERVICE_NAME_MAX:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "service: is no service's name")
        if self._watchers >= WATCHERS_MAX:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watchers")
        self._watchers += 1
        try:
            told = None
            while True:
                changed = self._changed
                ended = self._ended
                response = self._response(request.service)
                if response != told:
                    await context.write(response)
                    told = response
                if ended:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
                await changed.wait()
        finally:
            self._watchers -= 1

    def _response(self, service: str) -> health_pb2.HealthCheckResponse:
        if service not in self._services:
            return _Response(status=_Response.SERVICE_UNKNOWN)
        return _Response(status=_Response.SERVING if self._serving else _Response.NOT_SERVING)

    def _notify(self) -> None:
        """Wake every watcher once; each then waits for the next event."""
        self._changed.set()
        self._changed = asyncio.Event()
