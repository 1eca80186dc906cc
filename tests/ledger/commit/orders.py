"""Orders for the batcher, and the replies to them."""

import asyncio

from redemption.ledger.commit.queue import QueuedItem


class Together:
    """What became of orders that were submitted together.

    Attributes:
        answers: A reply or a failure in the place of each; None while it waits.
        done: Ends when none of them waits any more.
    """

    def __init__(self, count):
        self.answers = [None] * count
        self.done = asyncio.get_running_loop().create_future()

    def put(self, order):
        assert self.answers[order.context] is None, "told once"
        self.answers[order.context] = order.outcome
        if None not in self.answers:
            self.done.set_result(None)


def submitted(batcher, program, orders, *, rejudged=False):
    """Submit orders, for each its payload, the number of its tokens, and who waits for it."""
    together = Together(len(orders))
    batcher.submit(
        program, [QueuedItem(*order, place, together.put) for place, order in enumerate(orders)], rejudged=rejudged
    )
    return together
