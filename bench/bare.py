"""A gRPC server with the service's settings and none of its code, for the servers that it is compared with."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from redemption.domain.call_info import CallInfo
from redemption.rpc.server import REDEMPTION, call_info
from redemption.rpc.transport.bounds import Bounds
from redemption.rpc.transport.grpcio import options_of
from redemption.rpc.transport.listener import Listener
from redemption.rpc.transport.methods import CallResult, UnaryMethod
from redemption.rpc.transport.tls import Tls
from redemption.worker import GARBAGE_THRESHOLDS

REQUEST_BYTES_MAX = 4 * 2**20
WAIT_SECONDS_MAX = 60.0
"""Long, so that no call is refused because of too much work: grpc.aio refuses none, either."""

Handlers = Mapping[str, tuple[type[Message], Callable[[Any], Awaitable[Message]]]]
"""Method name → the class of its request, and its handler."""


async def serve(handlers: Handlers, port: int, transport: str = "grpcio", *certificate: str) -> None:
    """Serve methods of RedemptionService until stopped; the port is the first line of the output.

    Args:
        handlers: The methods.
        port: The port; 0 lets the system choose.
        transport: ``grpcio`` is grpc.aio without the service's transport; ``nghttp2`` is the service's transport.
        *certificate: The files of a certificate and of its key, for TLS.
    """
    tls = Tls(certificate=Path(certificate[0]), key=Path(certificate[1])) if certificate else None
    bound, stop = await (_on_grpcio if transport == "grpcio" else _on_nghttp2)(handlers, port, tls)
    gc.collect()
    gc.freeze()  # as a worker of the service does
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    print(bound, flush=True)
    await stopping.wait()
    await stop(1)


Stop = Callable[[float], Awaitable[None]]


async def _on_grpcio(handlers: Handlers, port: int, tls: Tls | None) -> tuple[int, Stop]:
    def handler(request: type[Message], answer: Callable[[Any], Awaitable[Message]]) -> grpc.RpcMethodHandler:
        async def handle(message: Message, _: object) -> Message:
            return await answer(message)

        return grpc.unary_unary_rpc_method_handler(
            handle, request.FromString, lambda response: response.SerializeToString()
        )

    server = grpc.aio.server(options=options_of(Bounds(), reuse_port=True))
    named = {name: handler(*method) for name, method in handlers.items()}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(REDEMPTION.full_name, named)])
    if tls is None:
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
    else:
        pair = tls.key.read_bytes(), tls.certificate.read_bytes()
        bound = server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials([pair]))
    await server.start()
    return bound, server.stop


async def _on_nghttp2(handlers: Handlers, port: int, tls: Tls | None) -> tuple[int, Stop]:
    def method(request: type[Message], answer: Callable[[Any], Awaitable[Message]]) -> UnaryMethod:
        async def handle(raw: bytes, _: CallInfo) -> CallResult:
            written: bytes = (await answer(request.FromString(raw))).SerializeToString()
            return written

        return UnaryMethod(request_bytes_max=REQUEST_BYTES_MAX, answer=handle)

    methods = {f"/{REDEMPTION.full_name}/{name}": method(*each) for name, each in handlers.items()}
    server = Listener(methods, make_info=call_info, bounds=Bounds(wait_seconds_max=WAIT_SECONDS_MAX))
    bound = await server.start(f"127.0.0.1:{port}", tls, reuse_port=True)
    return bound, server.stop
