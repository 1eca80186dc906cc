"""Orders and coupons in the ledger: the batcher sends orders to be decided; reads are calls of their own."""

import struct
from collections.abc import Callable, Sequence

import structlog

from redemption.domain.errors import ItemFailed, ServiceError
from redemption.domain.ports.orders import (
    CouponRecord,
    Failed,
    Outdated,
    QuoteSnapshot,
    RedeemItem,
    RedeemReply,
    ReleaseItem,
    ReleaseReply,
    Remembered,
)
from redemption.ledger.commit.item_queue import ItemQueue
from redemption.ledger.commit.queue import QueuedItem, weight_of
from redemption.ledger.functions import FunctionClient
from redemption.ledger.stores.catalog import Catalog
from redemption.ledger.stores.refusal_counts import RefusalCounts
from redemption.ledger.wire.orders import (
    Head,
    pack_asked,
    pack_item,
    pack_release,
    unpack_coupon_record,
    unpack_quote_snapshot,
    unpack_release,
    unpack_reply,
    unpack_request,
)

SNAPSHOT_COUPONS_MAX = 100
"""Coupons in one quote snapshot; it blocks the ledger as long as a commit of as many coupons."""
_RELEASE_WEIGHT = 2
"""The ledger works on a release about as long as on an order of two tokens."""
_FAILED_PARTS = 3
"""Length of the reply when a quote snapshot met a record that cannot be read."""
_UNREADABLE = "a record of one of these coupons or their campaigns cannot be read; its operator has to look"
_log = structlog.get_logger(__name__)


class OrderStore:
    """Implements ``domain.ports.orders.OrderLedger``."""

    def __init__(
        self,
        functions: FunctionClient,
        *,
        queue: ItemQueue,
        catalog: Catalog,
        redefined: Callable[[str, int, int, bytes], None],
        refusal_counts: RefusalCounts,
    ) -> None:
        """Build it.

        Args:
            functions: The ledger.
            queue: Sends orders to the ledger.
            catalog: The cached definitions.
            redefined: As of the batcher.
            refusal_counts: Counts refused coupons.
        """
        self._functions = functions
        self._queue = queue
        self._catalog = catalog
        self._redefined = redefined
        self._refusal_counts = refusal_counts

    def decide(self, program: str, items: Sequence[RedeemItem], *, rejudged: bool) -> None:
        """Decide orders of one program, see ``OrderLedger``."""
        orders: list[QueuedItem] = []
        for item in items:
            try:
                payload = pack_item(item)
            except Exception:  # noqa: BLE001 - logged with its traceback; the other orders go on
                _log.exception("an order cannot be packed", program=program)
                for token in item.tokens:  # so that the next order reads the campaign again: it may be repaired by then
                    self._catalog.forget(program, token.campaign)
                item.on_reply(item, Failed("cannot be packed"))
            else:
                orders.append(QueuedItem(payload, weight_of(len(item.tokens), item.checks), item.caller, item, _report))
        if not orders:
            return
        try:
            self._queue.submit(program, orders, rejudged=rejudged)
        except ServiceError as error:
            for order in orders:
                order.outcome = error
                _report(order)

    def count_refusal(self, program: str, number: int, outcome: int) -> None:
        """Count that a coupon of a campaign was refused, see ``OrderLedger``."""
        self._refusal_counts.count(program, number, outcome)

    def count_rule(self, program: str, number: int, did: int) -> None:
        """Count what a rule did, see ``OrderLedger``."""
        self._refusal_counts.count_rule(program, number, did)

    async def quote_snapshot(
        self,
        program: str,
        coupons: Sequence[tuple[int, int, int, bool]],
        *,
        customer: bytes | None,
        order: bytes,
        rules_version: int,
    ) -> QuoteSnapshot | Outdated:
        """Return what the ledger knows of at most 100 coupons and their campaigns, see ``OrderLedger``.

        Raises:
            ItemFailed: A record of one of them cannot be read.
        """
        if len(coupons) > SNAPSHOT_COUPONS_MAX:
            raise ValueError(f"{len(coupons)} coupons in one quote snapshot; at most {SNAPSHOT_COUPONS_MAX}")
        try:
            packed = pack_asked(coupons)
        except struct.error as error:
            _log.exception("a coupon cannot be asked about", program=program)
            for number, *_ in coupons:  # so that the next quote reads the campaign again: it may be repaired by then
                self._catalog.forget(program, number)
            raise ItemFailed(_UNREADABLE) from error
        reply = await self._functions.call("quote_snapshot", program, customer or b"", rules_version, order, packed)
        now_ms, changed = self._functions.observe(program, reply[0]).clock_ms, reply[1]
        if changed:
            for position in range(0, len(changed), 3):
                self._redefined(program, *changed[position : position + 3])
            return Outdated(now_ms)
        if len(reply) == _FAILED_PARTS:
            _log.error("a record could not be read", program=program, cause=reply[2].decode(errors="replace"))
            raise ItemFailed(_UNREADABLE)
        return unpack_quote_snapshot(now_ms, *reply[2:])

    async def release(self, item: ReleaseItem) -> ReleaseReply:
        """End a hold before it is over, see ``OrderLedger``."""
        packed, _ = await self._queue.ask(item.program, item.caller, pack_release(item), weight=_RELEASE_WEIGHT)
        reply = unpack_release(packed)
        if isinstance(reply, Failed):
            _log.error("a record could not be read", program=item.program, campaigns=[item.campaign], cause=reply.cause)
        return reply

    async def coupon(self, program: str, number: int, serial: int) -> CouponRecord:
        """Return what the ledger knows of one coupon; it does not say whether its holder was revoked."""
        return unpack_coupon_record(await self._functions.call("coupon", program, number, serial))

    async def remembered(self, program: str, request: bytes) -> Remembered | None:
        """Return the approval of a request by its digest; None when there is none or it is not remembered any more."""
        record = await self._functions.call("request", program, request)
        return unpack_request(record) if record else None


def _report(order: QueuedItem) -> None:
    """Unpack the ledger's reply to an order, and call the order's callback."""
    item: RedeemItem = order.context
    outcome = order.outcome
    assert outcome is not None, "set before the callback"
    item.on_reply(item, outcome if isinstance(outcome, ServiceError) else _reply(item, outcome, order.head))


def _reply(item: RedeemItem, packed: bytes, head: Head) -> RedeemReply:
    try:
        reply = unpack_reply(packed, item, head)
    except Exception as error:  # noqa: BLE001 - whatever the error is, the caller must be answered
        reply = Failed(repr(error))
    if isinstance(reply, Failed):
        campaigns = [token.campaign for token in item.tokens]
        _log.error("a record could not be read", program=item.program, campaigns=campaigns, cause=reply.cause)
    return reply
