"""The only builder: it wires the objects of a server and owns start, drain and stop.

A server is one supervisor process (``serve``), which keeps the port, the embedded ledger and the workers, and worker
processes (``python -m redemption.app``), which serve.
"""

import asyncio
import contextlib
import gc
import json
import logging
import os
import secrets
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import structlog
import uvloop

from redemption.domain.digest import Digests
from redemption.domain.errors import ServiceError
from redemption.domain.keyset import Keyset, KeysetError
from redemption.domain.token import TokenVerifier
from redemption.ledger.connection import Endpoint
from redemption.ledger.embedded import EmbeddedValkey, EmbeddedValkeyError
from redemption.ledger.fence import Fence, Header, LedgerNotTrusted
from redemption.ledger.ledger import RedisLedger
from redemption.seed import Seeded, seed
from redemption.service.answer import Answers
from redemption.service.campaigns import Campaigns
from redemption.service.issuer import Issuer
from redemption.service.redeemer import Redeemer
from redemption.settings import Settings
from redemption.supervisor import ListenError, Supervisor

EXIT_FAILED = 4
EXIT_NOT_TRUSTED = 5

_log = structlog.get_logger(__name__)


class StartRefused(Exception):
    """The server does not start like this; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases, wired."""

    redeemer: Redeemer
    issuer: Issuer
    campaigns: Campaigns


def serve(settings: Settings) -> int:
    """Run a server until it is told to stop, and return the exit code."""
    _configure_logging()
    try:
        _require_encryption(settings)
        return asyncio.run(_supervise(settings))
    except LedgerNotTrusted as error:
        return _refuse(error.message, EXIT_NOT_TRUSTED)
    except ServiceError as error:
        return _refuse(error.message, EXIT_FAILED)
    except (StartRefused, KeysetError, ListenError, EmbeddedValkeyError, OSError) as error:
        return _refuse(str(error), EXIT_FAILED)


def ledger_status(settings: Settings) -> list[dict[str, str]]:
    """Return what the ledger says of itself, one row for each program that this machine remembers."""

    async def status() -> list[dict[str, str]]:
        async with _offline_ledger(settings) as (ledger, fence):
            rows = []
            for program in fence.programs() or [settings.program]:
                mark = fence.mark(program)
                said = await ledger.status(program)
                header = Header(said["epoch"], int(said["seq"]), said["keyset"]) if "epoch" in said else None
                remembered = {"epoch": mark.epoch, "seq": str(mark.seq)} if mark else {}
                rows.append(
                    {
                        "program": program,
                        **said,
                        **{f"remembered_{name}": value for name, value in remembered.items()},
                        "trusted": fence.problem(mark, header) or "yes",
                    }
                )
            return rows

    return asyncio.run(status())


def ledger_adopt(settings: Settings, program: str) -> dict[str, str]:
    """Accept a program's ledger as it is, empty or not, and return what it says of itself."""

    async def adopt() -> dict[str, str]:
        async with _offline_ledger(settings) as (ledger, _):
            return await ledger.adopt(program)

    return asyncio.run(adopt())


def wire(keyset: Keyset, ledger: RedisLedger) -> Services:
    """Build the use cases."""
    verifier = TokenVerifier(keyset)
    digests = Digests(keyset.privacy_root, environment=keyset.environment)
    answers = Answers(keyset)
    return Services(
        redeemer=Redeemer(verifier=verifier, digests=digests, answers=answers, ledger=ledger),
        issuer=Issuer(keyset=keyset, verifier=verifier, digests=digests, answers=answers, ledger=ledger),
        campaigns=Campaigns(digests=digests, ledger=ledger),
    )


# The supervisor's side


async def _supervise(settings: Settings) -> int:
    host, _, port = settings.listen.rpartition(":")
    seeded: list[Seeded] = []

    async def prepare(ledger_url: str) -> None:
        """Make sure, once for all workers, that keyset and ledger belong together, and begin a fresh program."""
        keyset = await _keyset(settings, ledger_url)
        ledger = _ledger(settings, keyset, ledger_url)
        await ledger.start()
        try:
            if ledger.failure is not None:
                raise ledger.failure
            if settings.development and settings.redis_url is None:
                seeded.append(await seed(wire(keyset, ledger), settings.program, ledger.now_ms()))
        finally:
            await ledger.stop()

    async def ready(address: str, worker_pids: Sequence[int]) -> None:
        _banner(settings, address, len(worker_pids), seeded[0] if seeded else None)

    embedded = None if settings.redis_url else _embedded(settings)
    supervisor = Supervisor(
        embedded=embedded,
        ledger_url=settings.redis_url.get_secret_value() if settings.redis_url else None,
        worker_command=[sys.executable, "-m", "redemption.app"],
        worker_count=settings.workers,
        worker_config=_as_config(settings),
        host=host,
        port=int(port),
        prepare=prepare,
        ready=ready,
        # Workers end their drain by themselves; the supervisor's patience is only for one that hangs.
        drain_seconds=settings.drain_notice_seconds + settings.drain_seconds + 2.0,
    )
    return await supervisor.run()


def _banner(settings: Settings, address: str, workers: int, seeded: Seeded | None) -> None:
    """Print what a person who starts a server wants to know, and where nobody watches, log it."""
    kind = "external" if settings.redis_url else "embedded valkey"
    promise = {"strict": "strict (fsync before answer)", "fast": "fast (on disk within a second)"}[settings.durability]
    place = "" if settings.redis_url else f", {_told_path(settings.data_dir)}"
    lines = [f"ledger   {kind}, {promise}{place}"]
    listen = f"listen   {address}"
    if workers > 1:
        listen += f"   {workers} workers"
    if seeded:
        listen += f"   program {settings.program}   campaign {seeded.campaign} {seeded.name}"
    lines.append(listen)
    if seeded:
        lines.append(f"try      {_told_command()} redeem {seeded.token} --order ord-1 --spend 238.00")
    print("\n".join(lines), flush=True)  # noqa: T201 - this is the program's own output


def _told_path(path: Path) -> str:
    return str(path) if path.is_absolute() else f"./{path}"


def _told_command() -> str:
    """Return how to call the command line from where the person stands, on the PATH or not."""
    here = Path(sys.executable).parent
    if str(here) in os.environ.get("PATH", "").split(os.pathsep):
        return "redemption"
    command = here / "redemption"
    with contextlib.suppress(ValueError):
        return str(command.relative_to(Path.cwd()))
    return str(command)


def _refuse(message: str, code: int) -> int:
    print(f"redemption: {message}", file=sys.stderr)  # noqa: T201 - one clear line, for a person
    return code


def _require_encryption(settings: Settings) -> None:
    """Refuse plain text beyond loopback: tokens are money."""
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise StartRefused("tls_certificate and tls_key go together: give both, or none")
    if settings.tls_client_ca and not settings.tls_certificate:
        raise StartRefused("tls_client_ca needs tls_certificate and tls_key as well")
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


# Keys and ledger, on either side


async def _keyset(settings: Settings, ledger_url: str) -> Keyset:
    """Read the keyset; the very first start of a development server, on an empty embedded ledger, makes one."""
    if settings.keyset.exists():
        return _read_keyset(settings)
    if not settings.development:
        raise StartRefused(f"there is no keyset at {settings.keyset}: set REDEMPTION_KEYSET to the file with the keys")
    if settings.redis_url is not None:
        raise StartRefused(
            f"there is no keyset at {settings.keyset}, and a development one is only made for an embedded ledger"
        )
    keyset = Keyset.generate(
        environment=settings.environment, development=True, now=int(time.time()), random=secrets.token_bytes
    )
    if _fence_path(settings).exists() or not await _ledger(settings, keyset, ledger_url).is_empty():
        raise StartRefused(
            f"there is no keyset at {settings.keyset}, but a ledger that was signed for by one: restore the keyset, or "
            f"remove {settings.data_dir} and {_fence_path(settings)} to begin anew"
        )
    _write_new(settings.keyset, keyset.to_json())
    return keyset


def _write_new(path: Path, content: bytes) -> None:
    """Write a secret that must not exist yet, for our eyes only, and wait until it is on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read_keyset(settings: Settings) -> Keyset:
    path = settings.keyset
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise StartRefused(f"{path} can be read by others: chmod 600 {path}")
    try:
        keyset = Keyset.from_json(path.read_bytes())
    except KeysetError as error:
        raise StartRefused(f"{path}: {error}") from error
    if keyset.environment != settings.environment:
        raise StartRefused(
            f"{path} is of environment {keyset.environment!r}, this server of {settings.environment!r}: "
            "use the keyset that belongs to it"
        )
    if keyset.development and not (settings.development and settings.redis_url is None):
        raise StartRefused(f"{path} is a development keyset: it serves an embedded ledger in development, nothing else")
    return keyset


def _fence_path(settings: Settings) -> Path:
    return settings.fence or settings.keyset.with_name(settings.keyset.name + ".fence")


def _embedded(settings: Settings) -> EmbeddedValkey:
    return EmbeddedValkey(
        settings.data_dir, durability=settings.durability, memory_bytes_max=settings.ledger_memory_max
    )


def _ledger(settings: Settings, keyset: Keyset, url: str) -> RedisLedger:
    return RedisLedger(
        Endpoint(url, settings.durability),
        fence=Fence(_fence_path(settings), keyset.id),
        births_allowed=settings.development and settings.redis_url is None,
        outbox_max=settings.outbox_max,
    )


@asynccontextmanager
async def _offline_ledger(settings: Settings) -> AsyncIterator[tuple[RedisLedger, Fence]]:
    """Open the ledger for an operator: the running server's, or for the moment an embedded one of our own."""
    _configure_logging(logging.WARNING)
    if not settings.keyset.exists():
        raise StartRefused(f"there is no keyset at {settings.keyset}: set REDEMPTION_KEYSET to the file with the keys")
    keyset = _read_keyset(settings)
    fence = Fence(_fence_path(settings), keyset.id)
    async with contextlib.AsyncExitStack() as stack:
        url = settings.redis_url.get_secret_value() if settings.redis_url else None
        if url is None:
            embedded = _embedded(settings)
            url = embedded.url
            try:
                await embedded.start()
                stack.push_async_callback(embedded.stop)
            except EmbeddedValkeyError:
                if not embedded.socket_path.exists():
                    raise
                # A running server keeps it: ask that one.
        ledger = RedisLedger(Endpoint(url, settings.durability), fence=fence, births_allowed=False)
        yield ledger, fence


# The worker's side


def work() -> int:
    """Serve as one worker process of a supervisor, and return the exit code."""
    _configure_logging()
    orders = json.loads(sys.stdin.buffer.readline())
    settings = Settings(**orders["config"])
    try:
        return uvloop.run(_work(settings, orders))
    except LedgerNotTrusted as error:
        return _refuse(error.message, EXIT_NOT_TRUSTED)
    except ServiceError as error:
        return _refuse(error.message, EXIT_FAILED)
    except (StartRefused, KeysetError, OSError) as error:
        return _refuse(str(error), EXIT_FAILED)


async def _work(settings: Settings, orders: dict[str, Any]) -> int:
    from redemption.rpc.server import RpcConfig, RpcServer  # noqa: PLC0415 - gRPC belongs to workers alone

    stopping = _stop_signal()
    keyset = _read_keyset(settings)
    ledger = _ledger(settings, keyset, orders["ledger_url"])
    services = wire(keyset, ledger)
    server = RpcServer(
        redeemer=services.redeemer,
        issuer=services.issuer,
        campaigns=services.campaigns,
        config=RpcConfig(
            host=orders["host"],
            port=orders["port"],
            reuse_port=True,
            tls_certificate=_read(settings.tls_certificate),
            tls_key=_read(settings.tls_key),
            tls_client_ca=_read(settings.tls_client_ca),
            reflection=settings.development if settings.reflection is None else settings.reflection,
            concurrent_calls_max=settings.concurrent_calls_max,
            drain_notice_seconds=settings.drain_notice_seconds,
        ),
    )

    async def health_changed(failure: ServiceError | None) -> None:
        await server.set_serving(failure is None)

    await ledger.start(health_changed)
    await server.start()
    await health_changed(ledger.failure)
    # What exists now lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    await stopping.wait()
    await server.drain(settings.drain_seconds)
    _log.info(
        "stopped",
        worker=orders["index"],
        orders=ledger.batcher.orders,
        calls=ledger.batcher.calls,
        orders_per_call=round(ledger.batcher.orders / max(ledger.batcher.calls, 1), 1),
    )
    await ledger.stop()
    return 0


def _stop_signal() -> asyncio.Event:
    """Return an event that is set by SIGTERM, or when the supervisor is gone (the end of stdin)."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is the supervisor's to handle
    loop.add_reader(sys.stdin.fileno(), _on_stdin, stopping)
    return stopping


def _on_stdin(stopping: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stopping.set()


def _read(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None


def _as_config(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON for a worker; only its own pipe carries the secret."""
    config = settings.model_dump(mode="json", exclude_none=True)
    if settings.redis_url:
        config["redis_url"] = settings.redis_url.get_secret_value()
    return config


def _configure_logging(level: int = logging.INFO) -> None:
    """Log to stderr: lines for people on a terminal, JSON for programs elsewhere."""
    people = sys.stderr.isatty()
    # Plain tracebacks: the pretty ones show local variables, and those hold tokens and keys.
    plain = structlog.dev.plain_traceback
    renderer: Any = (
        structlog.dev.ConsoleRenderer(exception_formatter=plain) if people else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if people else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


if __name__ == "__main__":
    sys.exit(work())
