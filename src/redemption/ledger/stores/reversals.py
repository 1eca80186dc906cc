"""Reversals in the ledger: they travel with orders."""

import struct

import structlog

from redemption.domain.ports.orders import Failed
from redemption.domain.ports.reversals import ReverseItem, ReverseReply
from redemption.ledger.commit.item_queue import ItemQueue
from redemption.ledger.wire.reversals import pack_reversal, unpack_reversal

_WEIGHT = 2
"""The ledger works on a reversal about as long as on an order of two tokens."""
_log = structlog.get_logger(__name__)


class ReversalStore:
    """Implements ``domain.ports.reversals.ReversalLedger``."""

    def __init__(self, queue: ItemQueue) -> None:
        self._queue = queue

    async def reverse(self, item: ReverseItem) -> ReverseReply:
        """Give a redemption back, wholly or in part, see ``ReversalLedger``."""
        packed, head = await self._queue.ask(item.program, item.caller, pack_reversal(item), weight=_WEIGHT)
        try:
            reply = unpack_reversal(packed, head)
        except (ValueError, struct.error) as error:
            reply = Failed(repr(error))
        if isinstance(reply, Failed):
            _log.error("a record could not be read", program=item.program, campaigns=[item.campaign], cause=reply.cause)
        return reply
