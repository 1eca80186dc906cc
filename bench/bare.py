"""A gRPC server with the service's own settings and nothing else of it, for what it is compared with."""

import asyncio
import gc
import signal
from collections.abc import Mapping

import grpc

from redemption.rpc.server import REDEMPTION
from redemption.rpc.transport.bounds import Bounds
from redemption.rpc.transport.grpcio import options_of
from redemption.worker import GARBAGE_THRESHOLDS


async def serve(handlers: Mapping[str, grpc.RpcMethodHandler], port: int) -> None:
    """Serve methods of RedemptionService until told to stop; the port is the first line of the output."""
    server = grpc.aio.server(options=options_of(Bounds(), reuse_port=True))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(REDEMPTION.full_name, handlers)])
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    gc.collect()
    gc.freeze()  # as a worker does
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    print(bound, flush=True)
    await stopping.wait()
    await server.stop(1)
