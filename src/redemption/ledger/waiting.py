"""Orders that wait for the ledger: in what order they go, who waits for each, and what became of it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import LedgerUnavailable, ServiceError
from redemption.ledger.codec import Head

PROGRAM_BYTES_MAX = 256 * 1024
"""Of one program in one call."""
BULK_SHARE = 4
"""Under load the remainders of big batches get at least a quarter of a call."""
GONE = LedgerUnavailable("its caller left: nobody waits for the answer")


class Answer(NamedTuple):
    """The ledger's reply to one order, with the head of the call that carried it."""

    head: Head
    reply: bytes


class Delivery:
    """Orders that were brought together, and what became of each.

    Attributes:
        left: Nobody waits for any of them any more: what was not sent need not be.
    """

    __slots__ = ("_changed", "_fresh", "_settled", "_waiting", "left")

    def __init__(self, count: int) -> None:
        self._settled = bytearray(count)
        self._waiting = count
        self._fresh: list[tuple[int, Answer | ServiceError]] = []
        self._changed: asyncio.Future[None] | None = None
        self.left = False

    def is_settled(self, index: int) -> bool:
        """Whether it is known what became of an order."""
        return bool(self._settled[index])

    def settle(self, index: int, answer: Answer | ServiceError) -> None:
        """Take what became of one order, unless it is known already."""
        if self._settled[index]:
            return
        self._settled[index] = 1
        self._waiting -= 1
        self._fresh.append((index, answer))
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def parts(self) -> AsyncGenerator[list[tuple[int, Answer | ServiceError]], None]:
        """Give what became of the orders, as it becomes known: what is known at one moment together."""
        try:
            while self._fresh or self._waiting:
                if not self._fresh:
                    self._changed = asyncio.get_running_loop().create_future()
                    await self._changed
                fresh, self._fresh = self._fresh, []
                yield fresh
        finally:
            self.left = True


@dataclass(slots=True, eq=False)
class Waiting:
    """One order that waits for its answer.

    Attributes:
        weight: How many tokens it brings.
        caller: Who waits for it, and until when.
        delivery: Where its answer goes, at its index.
        sent: It may have been executed.
    """

    payload: bytes
    weight: int
    caller: CallInfo
    delivery: Delivery
    index: int
    sent: bool = False

    @property
    def given_up(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.caller.gone or self.delivery.left or self.delivery.is_settled(self.index)

    def settle(self, answer: Answer | ServiceError) -> None:
        """Take what became of it."""
        self.delivery.settle(self.index, answer)


@dataclass(slots=True)
class Queue:
    """The orders of one program that wait: judged again, single, and the remainders of big batches."""

    again: deque[Waiting] = field(default_factory=deque)
    single: deque[Waiting] = field(default_factory=deque)
    bulk: deque[Waiting] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self.again) + len(self.single) + len(self.bulk)

    def all(self) -> Iterator[Waiting]:
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

    def take(self, weight_max: int, *, at_least_one: bool) -> tuple[list[Waiting], int]:
        """Take the next orders, at most so many tokens and bytes; returns how many left the queue, too.

        A single order may be larger than what is allowed together, so ``at_least_one`` takes it all the same.

        Single orders go before the remainders of big batches, which keep a share so that they are never starved.
        """
        taken: list[Waiting] = []
        weight = size = left = 0
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
                left += 1
                if first.given_up:
                    first.settle(GONE)  # those who came with it do not wait for it
                    continue
                taken.append(first)
                weight += first.weight
                size += len(first.payload)
        return taken, left
