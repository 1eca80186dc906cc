"""Orders that wait for the ledger: in what order they go, who waits for each, and what became of it."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import LedgerUnavailable, ServiceError
from redemption.ledger.wire.orders import NO_HEAD

PROGRAM_BYTES_MAX = 256 * 1024
"""Of one program in one call."""
BULK_SHARE = 4
"""Under part the remainders of big batches get at least a quarter of a call."""
GONE = LedgerUnavailable("its caller left: nobody waits for the answer")


class QueuedItem:
    """One order or claim that waits for its answer.

    Attributes:
        payload: What the ledger reads of it.
        weight: How many tokens it brings.
        caller: Who waits for it, and until when.
        about: What it belongs to.
        on_outcome: Called once with it, when ``outcome`` is known.
        sent: It may have been executed.
        outcome: The ledger's reply, or why there is none; None while it waits.
        head: The head of the call that carried the reply.
    """

    __slots__ = ("about", "caller", "head", "on_outcome", "outcome", "payload", "sent", "weight")

    def __init__(
        self,
        payload: bytes,
        weight: int,
        caller: CallInfo,
        about: Any,  # noqa: ANN401 - whoever made it knows what it is
        on_outcome: "Callable[[QueuedItem], None]",
    ) -> None:
        """Begin to wait."""
        self.payload = payload
        self.weight = weight
        self.caller = caller
        self.about = about
        self.on_outcome = on_outcome
        self.sent = False
        self.outcome: bytes | ServiceError | None = None
        self.head = NO_HEAD

    @property
    def given_up(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.caller.gone or self.outcome is not None


@dataclass(slots=True)
class Queue:
    """The orders of one program that wait: judged again, single, and the remainders of big batches."""

    again: deque[QueuedItem] = field(default_factory=deque)
    single: deque[QueuedItem] = field(default_factory=deque)
    bulk: deque[QueuedItem] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self.again) + len(self.single) + len(self.bulk)

    def all(self) -> Iterator[QueuedItem]:
        """Iterate over everything that waits."""
        for line in (self.again, self.single, self.bulk):
            yield from line

    def clear_away(self) -> int:
        """Drop what nobody waits for any more; returns how many that were."""
        before = len(self)
        for line in (self.again, self.single, self.bulk):
            wanted = [order for order in line if not order.given_up]
            if len(wanted) < len(line):
                line.clear()
                line.extend(wanted)
        return before - len(self)

    def take(self, weight_max: int, *, at_least_one: bool) -> tuple[list[QueuedItem], list[QueuedItem]]:
        """Take the next orders, at most so many tokens and bytes; returns also those for which nobody waits.

        A single order may be larger than what is allowed together, so ``at_least_one`` takes it all the same.

        Single orders go before the remainders of big batches, which keep a share so that they are never starved.
        """
        taken: list[QueuedItem] = []
        given_up: list[QueuedItem] = []
        weight = size = 0
        reserved = weight_max // BULK_SHARE if self.bulk else 0
        for line, line_max in (
            (self.again, weight_max),
            (self.single, weight_max - reserved),
            (self.bulk, weight_max),
            (self.single, weight_max),
        ):
            while line:
                first = line[0]
                full = weight + first.weight > line_max or size + len(first.payload) > PROGRAM_BYTES_MAX
                if full and (taken or not at_least_one):
                    break
                line.popleft()
                if first.given_up:
                    given_up.append(first)
                    continue
                taken.append(first)
                weight += first.weight
                size += len(first.payload)
        return taken, given_up
