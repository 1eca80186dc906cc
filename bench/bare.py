"""A gRPC server with the service's own settings and nothing else of it, for what it is compared with."""

import asyncio
import gc
import signal
from collections.abc import Mapping

import grpc

from redemption.rpc.server import REDEMPTION, RpcConfig
from redemption.worker import GARBAGE_THRESHOLDS


async def serve(handlers: Mapping[str, grpc.RpcMethodHandler], port: int) -> None:
    """Serve methods of RedemptionService until told to stop; the port is the first line of the output."""
    config = RpcConfig(port=port, reuse_port=True)
    server = grpc.aio.server(options=config.options)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(REDEMPTION.full_name, handlers)])
    bound = server.add_insecure_port(config.address)
    await server.start()
    gc.collect()
    gc.freeze()  # as a worker does
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    print(bound, flush=True)
    await stopping.wait()
    await server.stop(1)
