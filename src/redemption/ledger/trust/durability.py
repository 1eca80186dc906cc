"""Checks that a ledger has the required durability and is the known one, and loads our functions into it."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from redemption.domain.errors import LedgerRefused, LedgerUnavailable
from redemption.ledger import keys
from redemption.ledger.library import library
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.header import HEADER_FIELDS, Header, read_header
from redemption.ledger.trust.reply_errors import LedgerClockApart, clocks_apart

Durability = Literal["strict", "fast"]
"""What "approved" promises if the ledger's machine crashes. strict: the approval is on disk (fsync) before the caller
is answered. fast: it is on disk within about a second."""

MEMORY_ALARM = 0.85
"""The share of the memory from which on every check warns: when the memory is full, nothing can be redeemed."""

_OLDEST_VERSION = (7, 2)
_FILE_STATE = ("run_id", "aof_enabled", "aof_rewrites", "aof_rewrite_in_progress", "aof_last_bgrewrite_status")
_INFO = ("server", "replication", "persistence", "cluster", "memory")
_SETTINGS_REQUIRED: dict[Durability, dict[str, tuple[str, ...]]] = {
    "strict": {
        "maxmemory-policy": ("noeviction",),
        "appendonly": ("yes",),
        "appendfsync": ("always",),
        "no-appendfsync-on-rewrite": ("no",),
        "aof-use-rdb-preamble": ("yes",),
    },
    "fast": {
        "maxmemory-policy": ("noeviction",),
        "appendonly": ("yes",),
        "appendfsync": ("everysec", "always"),
    },
}
"""The values that are right; a message names the first one."""
_AUTOMATIC_FAILOVER = (
    "strict durability is refused where a failover is automatic (Sentinel), because a new primary may not "
    "have what the old one had answered; use a single primary"
)
_log = structlog.get_logger(__name__)


async def prepare(client: Redis, durability: Durability, fence: Fence, clock_apart_seconds_max: float) -> None:
    """Check everything on a new connection, and load our functions.

    Raises:
        LedgerRefused: A setting of the ledger is wrong, or it is not trusted; the message says what to change.
        LedgerUnavailable: It is not ready yet.
    """
    await check(client, durability, fence, clock_apart_seconds_max)
    if durability == "strict" and await _under_sentinel(client):
        raise LedgerRefused(_AUTOMATIC_FAILOVER)
    await load_functions(client)


async def load_functions(client: Redis) -> None:
    """Load our functions; those of other versions stay."""
    try:
        await client.function_load(library().text)
    except ResponseError as error:
        if "already exists" not in str(error):
            raise


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes:
        clock_ahead: The programs whose stored clock is in the future: the ledger refuses these programs, and serves the
            others.
        headers: The headers of the remembered programs, all trusted.
        run_id: Which run of the ledger it is: each start has another one.
        file_state: The run, and what it says of its append-only file. When it changes, durability
            has to be proved again.
    """

    clock_ahead: frozenset[str]
    headers: Mapping[str, Header]
    run_id: str
    file_state: tuple[str, ...]


async def check(client: Redis, durability: Durability, fence: Fence, clock_apart_seconds_max: float) -> Checked:
    """Check what may change while a connection is open.

    Raises:
        LedgerRefused: A setting of the ledger is wrong, or it is not trusted; the message says what to change.
        LedgerUnavailable: It is not ready yet.
    """
    info, ledger_ms = await _check_state(client, clock_apart_seconds_max)
    await _check_settings(client, durability)
    programs = fence.programs()
    # Read the marks first: other calls may move them on while the headers are read.
    marks = [fence.mark(program) for program in programs]
    headers = await _read_headers(client, programs)
    for program, mark, header in zip(programs, marks, headers, strict=True):
        fence.require(program, mark, header)
    latest_ms = ledger_ms + clock_apart_seconds_max * 1000
    found = {program: header for program, header in zip(programs, headers, strict=True) if header is not None}
    clock_ahead = frozenset(program for program, header in found.items() if header.clock_ms > latest_ms)
    return Checked(clock_ahead, found, str(info["run_id"]), tuple(str(info.get(name)) for name in _FILE_STATE))


async def _check_state(client: Redis, clock_apart_seconds_max: float) -> tuple[dict[str, Any], int]:
    """Check what ``INFO`` says of the ledger; returns that, and the reading of its clock, Unix milliseconds."""
    sent_at = time.time()
    info: dict[str, Any] = await client.info(*_INFO)
    received_at = time.time()
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < _OLDEST_VERSION:
        raise LedgerRefused(f"the ledger is version {version}; Redis or Valkey 7.2 or newer is needed")
    if info.get("loading"):
        raise LedgerUnavailable("the ledger is still loading its data")
    if info.get("server_mode", info.get("redis_mode")) == "sentinel":
        raise LedgerRefused("the ledger is a Sentinel; give the address of the primary that it watches")
    if info.get("cluster_enabled"):
        raise LedgerRefused("the ledger is a node of a cluster; give the address of a single primary without one")
    if info.get("role") not in ("master", "primary"):
        raise LedgerRefused("the ledger is a replica; give the address of the primary")
    if info.get("aof_last_write_status", "ok") != "ok":
        raise LedgerRefused("the ledger cannot write its append-only file; look at its disk")
    used, most = info.get("used_memory", 0), info.get("maxmemory", 0)
    if most and used > MEMORY_ALARM * most:
        _log.warning("the ledger's memory is almost full", used_bytes=used, most_bytes=most)
    clock = info["server_time_usec"] / 1e6
    apart = max(clock - received_at, 0.0) or min(clock - sent_at, 0.0)
    if abs(apart) > clock_apart_seconds_max:
        raise LedgerClockApart(clocks_apart(apart))
    return info, int(clock * 1000)


async def _check_settings(client: Redis, durability: Durability) -> None:
    expected = _SETTINGS_REQUIRED[durability]
    found = {_text(name): _text(value) for name, value in (await client.config_get(*expected)).items()}
    for name, right in expected.items():
        if found.get(name) not in right:
            raise LedgerRefused(
                f"the ledger has {name} {found.get(name)!r}; {durability} durability needs {right[0]!r}: "
                f"CONFIG SET {name} {right[0]}"
            )


async def _read_headers(client: Redis, programs: Sequence[str]) -> list[Header | None]:
    """Return the header of each program's ledger, in one round trip; None where there is no ledger."""
    if not programs:
        return []
    pipeline = client.pipeline(transaction=False)
    for program in programs:
        pipeline.hmget(keys.ledger(program).decode(), HEADER_FIELDS)
    return [read_header(*(_text(value) if value else "" for value in found)) for found in await pipeline.execute()]


async def _under_sentinel(client: Redis) -> bool:
    names = [entry.get("name", "") for entry in await client.client_list()]
    return any(str(name).startswith("sentinel-") for name in names)


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
