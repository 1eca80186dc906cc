"""Builds the objects of a server, and starts and stops it.

A server has one supervisor process (``serve``), which owns the port, the embedded ledger and the workers, and worker
processes (``worker.py``), which answer RPCs.
"""

import asyncio
import contextlib
import logging
import math
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import structlog

from redemption.domain.errors import ServiceError
from redemption.domain.signed.check_values import check_values
from redemption.domain.signed.keyset import Keyset
from redemption.ledger.endpoint import Endpoint
from redemption.ledger.ledger import RedisLedger
from redemption.ledger.operations import Operations
from redemption.ledger.trust.fence import Fence
from redemption.scheduling.quota import Quota, QuotaRules
from redemption.scheduling.work_bounds import WorkBounds
from redemption.server.core_dumps import forbid_core_dumps
from redemption.server.embedded_valkey import EmbeddedValkey, EmbeddedValkeyError
from redemption.server.keyset_file import (
    fence_path,
    make_keyset,
    may_make_keyset,
    read_keyset,
    require_apart,
    require_living_key,
)
from redemption.server.open_files import prepare_open_files
from redemption.server.seed import Seeded, seed
from redemption.server.startup import StartRefused, configure_logging, refusals, refuse
from redemption.server.supervisor import Supervisor
from redemption.service.use_cases import UseCases
from redemption.settings import OwnQuota, Settings

WORKER_ENVIRONMENT = {"GRPC_EXPERIMENTS": "-event_engine_listener"}
"""Variables of the workers' environment, unless they are set already: gRPC reads them when it is imported.

This matters only for the transport ``grpcio``: without the listener of gRPC's event engine, an RPC costs a sixth less
CPU (``docs/performance.md``).
"""

BACKLOG = 1_024
"""Connections that may wait for a worker to accept them; the system may allow fewer.

A worker sets the same number on its socket when it begins to accept (``BACKLOG`` of the listener).
"""
T = TypeVar("T")
_log = structlog.get_logger(__name__)


def ledger_at(url: str, settings: Settings, keyset: Keyset) -> RedisLedger:
    """Build the client of the ledger at an address."""
    return RedisLedger(
        Endpoint(url, settings.durability, settings.clock_apart_seconds_max),
        fence=_fence(settings, keyset),
        may_create_ledger=settings.development and settings.redis_url is None,
        outbox_max=settings.outbox_max,
        bounds=work_bounds(settings),
    )


def _fence(settings: Settings, keyset: Keyset) -> Fence:
    """Read what this machine remembers of the ledger."""
    return Fence(
        fence_path(settings),
        keyset.id,
        check_values(keyset),
        trails=settings.durability == "fast",
        learns=settings.development,
    )


def _require_writable(fence: Fence) -> None:
    """Refuse a fence that cannot be written: an older ledger would not be noticed at the next start.

    Raises:
        StartRefused: It cannot be.
    """
    try:
        fence.rewrite()
    except OSError as error:
        raise StartRefused(
            f"what this machine remembers of the ledger cannot be written to {fence.path} ({error}): let the server's "
            "user write this file and its directory, free their disk, or set REDEMPTION_FENCE to another place"
        ) from error


def work_bounds(settings: Settings) -> WorkBounds:
    """Return how much work a process takes on at a time."""
    return WorkBounds(**settings.work.model_dump())


def quota_rules(settings: Settings) -> QuotaRules | None:
    """Return how many calls principals and programs may make; None if there is no quota at all."""
    quotas = settings.quotas
    rules = QuotaRules(
        principal=_quota(quotas.principal_calls_per_second, quotas.principal_burst),
        program=_quota(quotas.program_calls_per_second, quotas.program_burst),
        principals=_own_quotas(quotas.principals),
        programs=_own_quotas(quotas.programs),
    )
    return rules if rules.of_principals or rules.of_programs else None


def _own_quotas(quotas: Mapping[str, OwnQuota | None]) -> dict[str, Quota | None]:
    return {name: None if own is None else _quota(own.calls_per_second, own.burst) for name, own in quotas.items()}


def _quota(per_second: float | None, burst: int | None) -> Quota | None:
    """Return a quota; without a burst, as many calls as in a second may come at once."""
    if per_second is None:
        return None
    return Quota(per_second, math.ceil(per_second) if burst is None else burst)


def serve(settings: Settings) -> int:
    """Run a server until it is stopped, and return the exit code."""
    configure_logging()
    forbid_core_dumps()
    try:
        with refusals():
            _require_encryption(settings)
            if settings.durability == "fast":
                _log.info(
                    "fast durability: a crash of the ledger's machine may lose about the last second, and an older "
                    "ledger is noticed only when it is four seconds behind"
                )
            require_apart(settings)
            prepare_open_files(settings)
            return asyncio.run(_supervise(settings))
    except StartRefused as refused:
        return refuse(refused)


def ledger_status(settings: Settings) -> list[dict[str, str]]:
    """Return the ledger's status, one row for each program that this machine remembers.

    Raises:
        StartRefused: It cannot be asked.
    """
    return _operate(settings, lambda ledger: ledger.status(settings.program))


def ledger_adopt(settings: Settings, program: str) -> dict[str, str]:
    """Accept a program's ledger as it is, empty or not, and return its status.

    Raises:
        StartRefused: It cannot be asked.
    """
    return _operate(settings, lambda ledger: ledger.adopt(program), accept_torn=True)


def ledger_upgrade(settings: Settings, program: str | None) -> list[dict[str, str]]:
    """Upgrade the ledger of a program to this version's format, or of all programs that this machine remembers.

    Raises:
        StartRefused: It cannot be done.
    """
    return _operate(settings, lambda ledger: ledger.upgrade(program, settings.program))


def ledger_reset_clock(settings: Settings, program: str) -> dict[str, str]:
    """Set the clock that a program's ledger remembers to the current time, and return its status.

    Raises:
        StartRefused: It cannot be done.
    """
    return _operate(settings, lambda ledger: ledger.reset_clock(program))


def _operate(settings: Settings, operation: Callable[[Operations], Awaitable[T]], *, accept_torn: bool = False) -> T:
    """Run an operation of an operator, and return its result."""

    async def operate() -> T:
        async with _operators_ledger(settings, accept_torn=accept_torn) as ledger:
            try:
                return await operation(ledger.operations)
            except ServiceError as error:
                await ledger.explain(error)
                raise

    forbid_core_dumps()
    with refusals():
        return asyncio.run(operate())


async def _supervise(settings: Settings) -> int:
    host, _, port = settings.listen.rpartition(":")
    seeded: list[Seeded | None] = []

    async def prepare(ledger_url: str) -> None:
        """Check, once for all workers, that keyset and ledger belong together, and fill a new development ledger."""
        keyset = await _keyset(settings, ledger_url)
        require_living_key(settings, keyset, int(time.time()))
        _require_writable(_fence(settings, keyset))
        ledger = ledger_at(ledger_url, settings, keyset)
        await ledger.start()
        try:
            await ledger.require_usable(settings.program)
            if ledger.health.failure is None and settings.development and settings.redis_url is None:
                seeded.append(await seed(UseCases(keyset, ledger), settings.program, ledger.now_ms()))
        finally:
            await ledger.stop()

    async def ready(address: str, worker_pids: Sequence[int]) -> None:
        _banner(settings, address, len(worker_pids), seeded[0] if seeded else None)

    supervisor = Supervisor(
        embedded=None if settings.redis_url else _embedded(settings),
        ledger_url=settings.redis_url.get_secret_value() if settings.redis_url else None,
        worker_command=[sys.executable, "-m", "redemption.worker"],
        worker_count=settings.workers,
        worker_environment={**WORKER_ENVIRONMENT, **os.environ},
        worker_config=_as_config(settings),
        host=host,
        port=int(port),
        prepare=prepare,
        ready=ready,
        backlog=BACKLOG if settings.transport == "nghttp2" else None,
        hangup_reloads=settings.tls_certificate is not None,
        # Workers end their drain by themselves; the supervisor waits this long only for a worker that hangs.
        drain_seconds=settings.drain_notice_seconds + settings.drain_seconds + 3.0,
    )
    return await supervisor.run()


async def _keyset(settings: Settings, ledger_url: str) -> Keyset:
    """Read the keyset; the first start of a development server, on an empty embedded ledger, makes one."""
    if may_make_keyset(settings):
        if await Endpoint(ledger_url, settings.durability).is_empty():
            return make_keyset(settings)
    elif not settings.development or settings.redis_url is not None or settings.keyset.exists():
        return read_keyset(settings)
    raise StartRefused(
        f"there is no keyset at {settings.keyset}, but a ledger that one has signed for: restore the keyset, or remove "
        f"{settings.data_dir} and {fence_path(settings)} to begin anew"
    )


def _embedded(settings: Settings) -> EmbeddedValkey:
    return EmbeddedValkey(
        settings.data_dir, durability=settings.durability, memory_bytes_max=settings.ledger_memory_max
    )


def _as_config(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON for a worker; the secret goes only through the worker's own pipe."""
    config = settings.model_dump(mode="json", exclude_none=True)
    if settings.redis_url:
        config["redis_url"] = settings.redis_url.get_secret_value()
    return config


@asynccontextmanager
async def _operators_ledger(settings: Settings, *, accept_torn: bool) -> AsyncIterator[RedisLedger]:
    """Open the ledger for an operator: that of the running server, or else start the embedded one for this command."""
    configure_logging(logging.WARNING)
    keyset = read_keyset(settings)
    async with contextlib.AsyncExitStack() as stack:
        if settings.redis_url:
            url = settings.redis_url.get_secret_value()
        else:
            embedded = _embedded(settings)
            url = embedded.url
            try:
                await embedded.start(accept_torn=accept_torn)
                stack.push_async_callback(embedded.stop)
            except EmbeddedValkeyError:
                # A running server has started it already: use that one.
                if not embedded.socket_path.exists():
                    raise
        ledger = ledger_at(url, settings, keyset)
        stack.push_async_callback(ledger.stop)
        yield ledger


def _banner(settings: Settings, address: str, workers: int, seeded: Seeded | None) -> None:
    """Print what a person who starts a server wants to know."""
    kind = "external" if settings.redis_url else "embedded valkey"
    promise = {"strict": "strict (fsync before answer)", "fast": "fast (on disk within a second)"}[settings.durability]
    place = "" if settings.redis_url else f", {_shown_path(settings.data_dir)}"
    listen = f"listen   {address}"
    if workers > 1:
        listen += f"   {workers} workers"
    if settings.transport != "nghttp2":
        listen += f"   transport {settings.transport}"
    if seeded:
        listen += f"   program {settings.program}   campaign {seeded.campaign} {seeded.name}"
    lines = [f"ledger   {kind}, {promise}{place}", listen]
    if seeded:
        at = "" if settings.server == address else f" --server {address}"
        tls = " --tls-ca AUTHORITY.pem" if settings.tls_certificate else ""
        lines.append(f"try      {_shown_command()} redeem {seeded.token} --order ord-1 --spend 238.00{at}{tls}")
    print("\n".join(lines), flush=True)  # noqa: T201 - this is the program's own output


def _shown_path(path: Path) -> str:
    return str(path) if path.is_absolute() else f"./{path}"


def _shown_command() -> str:
    """Return the command to type for the command line in the current directory, on the PATH or not."""
    here = Path(sys.executable).parent
    if str(here) in os.environ.get("PATH", "").split(os.pathsep):
        return "redemption"
    command = here / "redemption"
    with contextlib.suppress(ValueError):
        return str(command.relative_to(Path.cwd()))
    return str(command)


def _require_encryption(settings: Settings) -> None:
    """Refuse plain text on addresses other than loopback: tokens are money."""
    if settings.tls_certificate:
        return
    host = settings.listen.rpartition(":")[0].strip("[]")
    if host == "localhost" or _is_loopback(host):
        return
    if not settings.insecure:
        raise StartRefused(
            f"{host} can be reached from other machines, and tokens are money: give --tls-certificate and --tls-key, "
            "listen on 127.0.0.1, or insist with --insecure"
        )
    _log.warning("PLAIN TEXT beyond loopback: anybody on the way can read and use the tokens", listen=settings.listen)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
