"""A gRPC server with the service's own settings and nothing else of it, for what it is compared with."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.message import Message

from redemption.domain.call_info import CallInfo
from redemption.rpc.call_info import call_info
from redemption.rpc.server import REDEMPTION
from redemption.rpc.transport.bounds import Bounds
from redemption.rpc.transport.grpcio import options_of
from redemption.rpc.transport.listener import Listener
from redemption.rpc.transport.methods import Outcome, UnaryMethod
from redemption.worker import GARBAGE_THRESHOLDS

REQUEST_BYTES_MAX = 4 * 2**20

Handlers = Mapping[str, tuple[type[Message], Callable[[Any], Awaitable[Message]]]]
"""By name: what a method takes, and what answers it."""


async def serve(handlers: Handlers, port: int, transport: str = "grpcio") -> None:
    """Serve methods of RedemptionService until told to stop; the port is the first line of the output.

    Args:
        handlers: The methods.
        port: Where; 0 lets the system choose.
        transport: ``grpcio`` is grpc.aio with nothing of the service in front; ``nghttp2`` is the service's own.
    """
    bound, stop = await (_on_grpcio if transport == "grpcio" else _on_nghttp2)(handlers, port)
    gc.collect()
    gc.freeze()  # as a worker does
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    print(bound, flush=True)
    await stopping.wait()
    await stop(1)


Stop = Callable[[float], Awaitable[None]]


async def _on_grpcio(handlers: Handlers, port: int) -> tuple[int, Stop]:
    def handler(request: type[Message], answer: Callable[[Any], Awaitable[Message]]) -> grpc.RpcMethodHandler:
        async def handle(message: Message, _: object) -> Message:
            return await answer(message)

        return grpc.unary_unary_rpc_method_handler(
            handle, request.FromString, lambda response: response.SerializeToString()
        )

    server = grpc.aio.server(options=options_of(Bounds(), reuse_port=True))
    named = {name: handler(*method) for name, method in handlers.items()}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(REDEMPTION.full_name, named)])
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return bound, server.stop


async def _on_nghttp2(handlers: Handlers, port: int) -> tuple[int, Stop]:
    def method(request: type[Message], answer: Callable[[Any], Awaitable[Message]]) -> UnaryMethod:
        async def handle(raw: bytes, _: CallInfo) -> Outcome:
            written: bytes = (await answer(request.FromString(raw))).SerializeToString()
            return written

        return UnaryMethod(request_bytes_max=REQUEST_BYTES_MAX, answer=handle)

    methods = {f"/{REDEMPTION.full_name}/{name}": method(*each) for name, each in handlers.items()}
    server = Listener(methods, inform=call_info, bounds=Bounds())
    bound = await server.start(f"127.0.0.1:{port}", None, reuse_port=True)
    return bound, server.stop
