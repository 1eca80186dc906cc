"""Queued orders: the order in which they are sent, who waits for each, and its outcome."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import LedgerUnavailable, ServiceError
from redemption.ledger.wire.orders import NO_HEAD

PROGRAM_BYTES_MAX = 256 * 1024
"""Bytes of one program's payloads in one call."""
CHECKS_OF_A_TOKEN = 4
"""So many checks of rules take the ledger about as long as a token."""
BULK_SHARE = 4
"""Under load the remainders of big batches get at least a quarter of each call."""
GONE = LedgerUnavailable("its caller left: nobody waits for the answer")


def weight_of(tokens: int, checks: bytes) -> int:
    """Return how long the ledger works on an item: four checks of rules take about as long as a token.

    Args:
        tokens: How many tokens it has.
        checks: Its checks of rules; the first byte says how many.
    """
    return tokens + checks[0] // CHECKS_OF_A_TOKEN


class QueuedItem:
    """One order or claim that waits for its outcome.

    Attributes:
        payload: The packed order or claim, as the ledger reads it.
        weight: How long the ledger works on it, in tokens, see ``weight_of``.
        caller: Who waits for it, and the deadline.
        context: A value of its maker, who reads it again in ``on_outcome``.
        on_outcome: The callback; called once with this item, when ``outcome`` is known.
        sent: It was sent, so it may have been executed.
        outcome: The ledger's reply, or the failure; None while it waits.
        head: The head of the reply to the call that carried this item.
    """

    __slots__ = ("caller", "context", "head", "on_outcome", "outcome", "payload", "sent", "weight")

    def __init__(
        self,
        payload: bytes,
        weight: int,
        caller: CallInfo,
        context: Any,  # noqa: ANN401 - only its maker reads it
        on_outcome: "Callable[[QueuedItem], None]",
    ) -> None:
        """Make an item that was not sent yet."""
        self.payload = payload
        self.weight = weight
        self.caller = caller
        self.context = context
        self.on_outcome = on_outcome
        self.sent = False
        self.outcome: bytes | ServiceError | None = None
        self.head = NO_HEAD

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it any more: its caller left, or it has its outcome."""
        return self.caller.gone or self.outcome is not None


@dataclass(slots=True)
class Queue:
    """The waiting orders of one program in three queues: judged again, single, and remainders of big batches."""

    rejudged: deque[QueuedItem] = field(default_factory=deque)
    single: deque[QueuedItem] = field(default_factory=deque)
    bulk: deque[QueuedItem] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self.rejudged) + len(self.single) + len(self.bulk)

    def all(self) -> Iterator[QueuedItem]:
        """Iterate over everything that waits."""
        for queue in (self.rejudged, self.single, self.bulk):
            yield from queue

    def drop_abandoned(self) -> int:
        """Drop the orders that nobody waits for any more; returns how many there were."""
        before = len(self)
        for queue in (self.rejudged, self.single, self.bulk):
            wanted = [order for order in queue if not order.abandoned]
            if len(wanted) < len(queue):
                queue.clear()
                queue.extend(wanted)
        return before - len(self)

    def take(self, weight_max: int, *, at_least_one: bool) -> tuple[list[QueuedItem], list[QueuedItem]]:
        """Take the next orders, of ``weight_max`` and 256 KiB at most.

        Single orders go before the remainders of big batches, but a quarter of the weight is reserved for these, so
        that they never starve.

        Args:
            weight_max: How much to take at most, in tokens.
            at_least_one: Take the first order even when it alone is larger than that.

        Returns:
            The orders to send, and the orders that nobody waits for; neither are in the queue any more.
        """
        taken: list[QueuedItem] = []
        abandoned: list[QueuedItem] = []
        weight = size = 0
        reserved = weight_max // BULK_SHARE if self.bulk else 0
        for queue, queue_max in (
            (self.rejudged, weight_max),
            (self.single, weight_max - reserved),
            (self.bulk, weight_max),
            (self.single, weight_max),
        ):
            while queue:
                first = queue[0]
                full = weight + first.weight > queue_max or size + len(first.payload) > PROGRAM_BYTES_MAX
                if full and (taken or not at_least_one):
                    break
                queue.popleft()
                if first.abandoned:
                    abandoned.append(first)
                    continue
                taken.append(first)
                weight += first.weight
                size += len(first.payload)
        return taken, abandoned
