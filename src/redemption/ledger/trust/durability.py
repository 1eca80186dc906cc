"""Checks that a ledger has the required durability and is the known one, and loads our functions into it."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from redemption.domain.errors import LedgerRefused
from redemption.ledger import keys
from redemption.ledger.library import library
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.header import HEADER_FIELDS, Header, read_header
from redemption.ledger.trust.reply_errors import LedgerClockApart, LedgerNotReady, clocks_apart

Durability = Literal["strict", "fast"]
"""What "approved" promises if the ledger's machine crashes. strict: the approval is on disk (fsync) before the caller
is answered. fast: it is on disk within about a second."""

MEMORY_ALARM = 0.85
"""The share of the memory from which on the log warns: when the memory is full, nothing can be redeemed."""

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


async def prepare(client: Redis, durability: Durability, fence: Fence, clock_apart_seconds_max: float) -> None:
    """Check everything on a new connection, and load our functions.

    Raises:
        LedgerRefused: A setting of the ledger is wrong, or it is not trusted; the message says what to change.
        LedgerUnavailable: It is not ready yet.
    """
    await check(client, durability, fence, clock_apart_seconds_max)
    if durability == "strict" and await _under_sentinel(client):
        raise _unfit(_AUTOMATIC_FAILOVER)
    await load_functions(client)


async def load_functions(client: Redis) -> None:
    """Load our functions; those of other versions stay."""
    try:
        await client.function_load(library().text)
    except ResponseError as error:
        # A ledger without memory says so before it looks whether it has them.
        if "already exists" not in str(error) and not await client.function_list(f"redemption_{library().suffix}"):
            raise


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes:
        headers: The headers of the remembered programs, all trusted.
        run_id: Which run of the ledger it is: each start has another one.
        file_state: The run, and what it says of its append-only file. When it changes, durability
            has to be proved again.
        memory_share: The part of its memory that it uses, 0.0 to about 1.0; 0.0 without a limit.
    """

    headers: Mapping[str, Header]
    run_id: str
    file_state: tuple[str, ...]
    memory_share: float


async def check(client: Redis, durability: Durability, fence: Fence, clock_apart_seconds_max: float) -> Checked:
    """Check what may change while a connection is open.

    Raises:
        LedgerRefused: A setting of the ledger is wrong, or it is not trusted; the message says what to change.
        LedgerUnavailable: It is not ready yet.
    """
    info = await _check_state(client, clock_apart_seconds_max)
    await _check_settings(client, durability)
    programs = fence.programs()
    # Read the marks first: other calls may move them on while the headers are read.
    marks = [fence.mark(program) for program in programs]
    headers = await _read_headers(client, programs)
    for program, mark, header in zip(programs, marks, headers, strict=True):
        fence.require(program, mark, header)
    found = {program: header for program, header in zip(programs, headers, strict=True) if header is not None}
    most = info.get("maxmemory", 0)
    return Checked(
        headers=found,
        run_id=str(info["run_id"]),
        file_state=tuple(str(info.get(name)) for name in _FILE_STATE),
        memory_share=info.get("used_memory", 0) / most if most else 0.0,
    )


async def _check_state(client: Redis, clock_apart_seconds_max: float) -> dict[str, Any]:
    """Check what ``INFO`` says of the ledger, and return it."""
    sent_at = time.time()
    info: dict[str, Any] = await client.info(*_INFO)
    received_at = time.time()
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < _OLDEST_VERSION:
        raise _unfit(f"the ledger is version {version}; Redis or Valkey 7.2 or newer is needed")
    if info.get("loading"):
        raise LedgerNotReady("the ledger is still loading its data")
    if info.get("server_mode", info.get("redis_mode")) == "sentinel":
        raise _unfit("the ledger is a Sentinel; give the address of the primary that it watches")
    if info.get("cluster_enabled"):
        raise _unfit("the ledger is a node of a cluster; give the address of a single primary without one")
    if info.get("role") not in ("master", "primary"):
        raise _unfit("the ledger is a replica; give the address of the primary")
    if info.get("aof_last_write_status", "ok") != "ok":
        raise _unfit("the ledger cannot write its append-only file; look at its disk")
    clock = info["server_time_usec"] / 1e6
    apart = max(clock - received_at, 0.0) or min(clock - sent_at, 0.0)
    if abs(apart) > clock_apart_seconds_max:
        raise LedgerClockApart(clocks_apart(apart))
    return info


async def _check_settings(client: Redis, durability: Durability) -> None:
    expected = _SETTINGS_REQUIRED[durability]
    found = {_text(name): _text(value) for name, value in (await client.config_get(*expected)).items()}
    for name, right in expected.items():
        if found.get(name) not in right:
            raise _unfit(
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


def _unfit(cause: str) -> LedgerRefused:
    """Return the failure of a ledger that is not as the service needs it; the cause is for the operator alone."""
    return LedgerRefused(
        "the ledger is not set up as this server needs it; nothing was done. Its operator finds the cause in the log",
        for_operator=cause,
    )


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
