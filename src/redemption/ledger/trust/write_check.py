"""Asks the ledger, without writing anything, whether it would take the calls that write (``lua/write_check.lua``)."""

from collections.abc import Sequence
from typing import Any

import structlog
from redis.asyncio import Redis

from redemption.domain.errors import LedgerRefused, LedgerUnavailable
from redemption.ledger import keys
from redemption.ledger.library import library
from redemption.ledger.permissions import LedgerForbids, forbids
from redemption.ledger.trust.clock import Clock
from redemption.ledger.trust.durability import load_functions
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.reply_errors import LedgerClockAhead, error_of

_EVENTS = 1
"""A bound of the event stream, which the function reads and does not use."""
_OF_ONE_PROGRAM = (LedgerRefused, LedgerClockAhead, LedgerForbids)
"""Failures that say nothing of the other programs."""
_log = structlog.get_logger(__name__)


async def refused_programs(client: Redis, programs: Sequence[str], *, fence: Fence, clock: Clock) -> dict[str, str]:
    """See whether the ledger would take calls of some programs.

    Returns:
        The programs of which it would take none, each with the reason, for the log.

    Raises:
        LedgerUnavailable: It would take no call at all: it has no memory left, or its user lacks a right, …
    """
    replies = await _ask(client, programs, fence, clock)
    if any("unction not found" in str(reply) for reply in replies):
        log_missing_functions()
        await load_functions(client)
        replies = await _ask(client, programs, fence, clock)
    failures = {program: found for program, reply in zip(programs, replies, strict=True) if (found := _failure(reply))}
    forbidding = [failure for failure in failures.values() if isinstance(failure, LedgerForbids)]
    if forbidding and len(forbidding) == len(programs):
        raise forbidding[0]
    return {program: _cause(failure) for program, failure in failures.items()}


def _failure(reply: Any) -> LedgerUnavailable | None:  # noqa: ANN401 - whatever the ledger replied
    """Return why a program's calls would be refused, or None.

    Raises:
        LedgerUnavailable: The calls of every other program would be refused, too.
    """
    if not isinstance(reply, Exception):
        return forbids([name.decode() for name in reply]) if reply else None
    failure = error_of(reply)
    failure.__cause__ = reply
    if type(failure) not in _OF_ONE_PROGRAM:
        raise failure
    return failure


def _cause(failure: LedgerUnavailable) -> str:
    """Return the reason for the log."""
    if isinstance(failure, LedgerClockAhead | LedgerForbids):
        return failure.for_operator
    return str(failure.__cause__)


def log_missing_functions() -> None:
    """Log that the ledger does not know our functions."""
    _log.info("the ledger does not have our functions (a first start, or FUNCTION FLUSH); they are loaded")


async def _ask(client: Redis, programs: Sequence[str], fence: Fence, clock: Clock) -> list[Any]:
    async with client.pipeline(transaction=False) as pipeline:
        for program in programs:
            frame = (fence.known(program), clock.own_ms(), clock.apart_ms_max, _EVENTS)
            pipeline.fcall(library().name("write_check").decode(), 1, keys.tag(program), *frame)
        found: list[Any] = await pipeline.execute(raise_on_error=False)
    return found
