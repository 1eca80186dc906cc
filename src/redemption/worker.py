"""One worker process of a server: ``python -m redemption.worker``, started by the supervisor."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
from typing import Any

import structlog
import uvloop

from redemption.app import ledger_at, quota_rules, work_bounds
from redemption.rpc.server import RpcConfig, RpcServer
from redemption.rpc.transport.bounds import KEPT_BY_GRPCIO, Bounds
from redemption.rpc.transport.tls import Tls
from redemption.server.core_dumps import forbid_core_dumps
from redemption.server.keyset_file import read_keyset
from redemption.server.startup import StartRefused, configure_logging, refusals
from redemption.service.use_cases import UseCases
from redemption.settings import BoundSettings, Settings

GARBAGE_THRESHOLDS = (20_000, 20, 100)
"""Requests make almost no reference cycles; with the default of 700, looking for them takes 4 % of a request's CPU."""
HEARTBEAT_SECONDS = 1.0
_log = structlog.get_logger(__name__)


def work() -> int:
    """Serve until stopped, and return the exit code."""
    configure_logging()
    forbid_core_dumps()
    orders = json.loads(sys.stdin.buffer.readline())
    try:
        with refusals():
            return uvloop.run(_work(Settings(**orders["config"]), orders))
    except StartRefused as refused:
        _tell({"refused": str(refused)})  # the supervisor says it, as the last line of the start
        return refused.exit_code


async def _work(settings: Settings, orders: dict[str, Any]) -> int:
    stopping = _stop_signal()
    if orders["index"] == 0:
        _warn_of_bounds(settings)
    keyset = read_keyset(settings)
    ledger = ledger_at(orders["ledger_url"], settings, keyset)
    server = RpcServer(UseCases(keyset, ledger, work_bounds(settings)), _rpc_config(settings, orders))
    ledger.health.on_change(server.set_serving)
    await ledger.start()
    await server.start()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, server.reload_certificates)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # blocked by the supervisor: it would have ended us
    # What exists now lives as long as the process, so the garbage collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    _tell({"ready": True})
    beating = asyncio.create_task(_beat(), name="heartbeat")
    await stopping.wait()
    await server.drain(settings.drain_seconds)
    orders_each, calls = ledger.batcher.orders, ledger.batcher.calls
    _log.info(
        "stopped",
        worker=orders["index"],
        orders=orders_each,
        calls=calls,
        orders_per_call=round(orders_each / max(calls, 1), 1),
    )
    await ledger.stop()
    beating.cancel()
    return 0


def _tell(report: dict[str, Any]) -> None:
    """Tell the supervisor something in a line of JSON."""
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


async def _beat() -> None:
    """Tell the supervisor once a second that the event loop goes on."""
    out = sys.stdout.fileno()
    os.set_blocking(out, False)  # a supervisor that does not read must not stop us
    while True:
        with contextlib.suppress(OSError):
            os.write(out, b'{"alive": true}\n')
        await asyncio.sleep(HEARTBEAT_SECONDS)


def _rpc_config(settings: Settings, orders: dict[str, Any]) -> RpcConfig:
    return RpcConfig(
        host=orders["host"],
        port=orders["port"],
        sockets=tuple(orders["sockets"]),
        reuse_port=True,
        tls=_tls(settings),
        transport=settings.transport,
        reflection=settings.development if settings.reflection is None else settings.reflection,
        bounds=Bounds(calls_max=settings.concurrent_calls_max, **settings.bounds.model_dump()),
        work=work_bounds(settings),
        quotas=quota_rules(settings),
        drain_notice_seconds=settings.drain_notice_seconds,
    )


def _warn_of_bounds(settings: Settings) -> None:
    """Warn of bounds that are set, but not kept by the transport."""
    default = BoundSettings()
    changed = {name for name, value in settings.bounds.model_dump().items() if value != getattr(default, name)}
    ignored = sorted(changed - KEPT_BY_GRPCIO)
    if settings.transport == "grpcio" and ignored:
        _log.warning("grpcio's server does not keep these bounds; docs/transport.md tells what to do", bounds=ignored)


def _tls(settings: Settings) -> Tls | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return Tls(certificate=settings.tls_certificate, key=settings.tls_key, client_ca=settings.tls_client_ca)


def _stop_signal() -> asyncio.Event:
    """Return an event that is set by SIGTERM, or when the supervisor is gone (the end of stdin)."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # the supervisor handles Ctrl-C
    loop.add_reader(sys.stdin.fileno(), _on_stdin, stopping)
    return stopping


def _on_stdin(stopping: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stopping.set()


if __name__ == "__main__":
    sys.exit(work())
