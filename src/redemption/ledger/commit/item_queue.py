"""Puts items into the batcher's queue, once the ledger may be used; and waits for single ones."""

import asyncio
from collections.abc import Sequence

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import ServiceError
from redemption.ledger.commit.batcher import Batcher
from redemption.ledger.commit.queue import QueuedItem
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.health import LedgerHealth
from redemption.ledger.trust.reply_errors import no_ledger
from redemption.ledger.wire.orders import Head


class ItemQueue:
    """The way into the batcher."""

    def __init__(self, batcher: Batcher, *, fence: Fence, health: LedgerHealth) -> None:
        """Build it.

        Args:
            batcher: Sends the items.
            fence: The last known state of each program's ledger.
            health: Whether the ledger may be used.
        """
        self._batcher = batcher
        self._fence = fence
        self._health = health

    def submit(self, program: str, items: Sequence[QueuedItem], *, rejudged: bool) -> None:
        """Put items into the queue, see ``Batcher.submit``.

        Raises:
            LedgerUnavailable: The ledger may not be used, or the program has none.
        """
        self._health.require()
        if self._fence.mark(program) is None:  # whoever judged an item read a campaign, which opened the ledger
            raise no_ledger()
        self._batcher.submit(program, items, rejudged=rejudged)

    async def ask(
        self, program: str, caller: CallInfo, payload: bytes, *, weight: int, rejudged: bool = False
    ) -> tuple[bytes, Head]:
        """Put one item into the queue, and return the ledger's reply and its head.

        Args:
            program: The item's program.
            caller: Who waits. If its task is cancelled and the item was not sent yet, it is dropped.
            payload: The packed item.
            weight: How long the ledger works on it, in tokens.
            rejudged: It was judged again and goes before others.

        Raises:
            ServiceError: The ledger did not decide it.
        """
        decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        item = QueuedItem(payload, weight, caller, decided, _report)
        self.submit(program, [item], rejudged=rejudged)
        try:
            await decided
        except asyncio.CancelledError:
            caller.gone = True
            raise
        if isinstance(item.outcome, ServiceError):
            raise item.outcome
        assert item.outcome is not None, "set before the callback"
        return item.outcome, item.head


def _report(item: QueuedItem) -> None:
    decided: asyncio.Future[None] = item.context
    if not decided.done():
        decided.set_result(None)
