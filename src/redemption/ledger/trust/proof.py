"""Proves that what one connection wrote is on disk: a write, and then WAITAOF on the same connection.

Settings prove nothing. While Valkey turns its append-only file on, all settings are right, but what is written goes to
a temporary file that no start would read. WAITAOF knows. It speaks only of what its own connection wrote: for a
connection that never wrote it says "on disk", whatever is the case.
"""

from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from redemption.domain.errors import LedgerRefused, LedgerUnavailable

PROOF_MS_MAX = 1_500
"""How long a proof may take: longer than the second within which ``appendfsync everysec`` writes to disk."""
_LIBRARY = "#!lua name=redemption_proof\nredis.register_function('redemption_proof', function() return 1 end)"
WRITE = ("FUNCTION", "LOAD", "REPLACE", _LIBRARY)
"""A write that needs no key, and no right that we do not need anyway. It leaves a library that nobody calls."""
WRITE_WITHOUT_MEMORY = ("PUBLISH", "redemption_proof", "")
"""For a ledger without memory, which refuses the other one. It counts as a write; its user needs the right to do it."""
AWAIT = ("WAITAOF", 1, 0, PROOF_MS_MAX)
STILL_DURABLE = b"*4\r\n$7\r\nWAITAOF\r\n$1\r\n1\r\n$1\r\n0\r\n$1\r\n1\r\n"
"""WAITAOF of 1 ms, as it goes before the calls of a flush.

It asks about the calls before, whose replies came after their fsync. So it never waits while the promise is kept, and
costs no wake-up of its own: its reply comes together with the replies of the calls.
"""


class LedgerNotDurable(LedgerRefused):
    """The ledger does not write what it answers to a file that its next start would read.

    Nothing may be approved until a check proves the opposite. It says nothing of calls that were sent already: these
    were executed, and may be lost.
    """


async def prove(client: Redis, *, run_id: str | None = None) -> None:
    """Write something, and see that it is on disk, and with it all that the ledger wrote before.

    Args:
        client: The ledger.
        run_id: The run of the ledger that is meant: another one may have lost what was read before.

    Raises:
        LedgerNotDurable: It is not.
        LedgerUnavailable: The ledger was started again meanwhile.
        ResponseError: The ledger does not take the write.
    """
    async with client.pipeline(transaction=False) as pipeline:
        pipeline.execute_command(*WRITE)
        pipeline.execute_command(*AWAIT)
        pipeline.execute_command("INFO", "server")
        written, waited, info = await pipeline.execute(raise_on_error=False)
    require_execution(written, waited)
    require_proof(waited)
    if run_id is not None and info["run_id"] != run_id:
        raise LedgerUnavailable("the ledger was started again")


def require_execution(written: Any, waited: Any) -> None:  # noqa: ANN401 - whatever the ledger replied
    """Do nothing if the ledger took both commands of a proof; that its file is off is left to ``require_proof``.

    Raises:
        ResponseError: It did not take one of them.
    """
    for reply in (written, waited):
        if isinstance(reply, ResponseError) and "appendonly is disabled" not in str(reply):
            raise reply


def require_proof(reply: Any) -> None:  # noqa: ANN401 - whatever the ledger replied
    """Do nothing if the reply to WAITAOF says that the writes are on disk.

    Raises:
        LedgerNotDurable: They are not.
    """
    if isinstance(reply, list) and reply[0] >= 1:
        return
    error = LedgerNotDurable(
        "the ledger may not keep its answers, so none is given; its operator finds the cause in the log",
        for_operator="the ledger does not keep its answers: its append-only file is off, or is still being written for "
        "the first time (INFO persistence: aof_rewrite_in_progress). Wait until that has ended; if it stays: "
        "CONFIG SET appendonly yes",
    )
    if isinstance(reply, ResponseError):
        raise error from reply
    raise error
