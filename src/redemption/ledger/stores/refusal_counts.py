"""Counts how often each outcome refused a coupon; sends the counts to the ledger once a second at most.

A refusal changes no coupon, so it writes nothing by itself: a flood of old coupons must not become a flood of file
syncs. A crash of the server loses the refusals of its last second.
"""

import asyncio
import contextlib
from collections import Counter

from redemption.domain.errors import ServiceError
from redemption.ledger.functions import FunctionClient
from redemption.ledger.trust.reply_errors import NoLedger

SEND_SECONDS = 1.0
RULE_DID = 4
"""What a rule did is counted under campaign 0, as its number times this, plus what it did."""
COUNTS_PER_CALL_MAX = 500
"""One call with 500 counts blocks the ledger for about half a millisecond."""
KINDS_MAX = 100_000
"""How many counts are kept while the ledger does not answer; refusals of more kinds are not counted."""


class RefusalCounts:
    """Counts refusals, and sends the counts to the ledger."""

    def __init__(self, functions: FunctionClient) -> None:
        """Build it; after ``start`` it sends."""
        self._functions = functions
        self._counts: dict[str, Counter[tuple[int, int]]] = {}
        self._kinds = 0
        self._stopping = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Send every second from now on; needs a running event loop."""
        self._sending = asyncio.create_task(self._send_every_second(), name="refusals")

    async def stop(self) -> None:
        """Send what is left, if the ledger takes it, and stop."""
        self._stopping.set()
        if self._sending is not None:
            await self._sending  # wait for a call in flight: if it were cancelled, its counts would be lost
        await self.send()

    def count(self, program: str, campaign: int, outcome: int) -> None:
        """Count that a coupon of a campaign was refused."""
        counts = self._counts.setdefault(program, Counter())
        kind = (campaign, int(outcome))  # a plain int: of an enum the Redis client would write the name
        if kind not in counts:
            if self._kinds >= KINDS_MAX:
                return
            self._kinds += 1
        counts[kind] += 1

    def count_rule(self, program: str, number: int, did: int) -> None:
        """Count what a rule of the program did."""
        self.count(program, 0, number * RULE_DID + did)

    async def send(self) -> None:
        """Add the counts to the ledger; keep those that it does not take, but not those of programs that it has not."""
        for program in list(self._counts):
            counts = self._counts.pop(program)
            self._kinds -= len(counts)
            kinds = list(counts.items())
            while kinds:
                part, kinds = kinds[:COUNTS_PER_CALL_MAX], kinds[COUNTS_PER_CALL_MAX:]
                args = [number for (campaign, outcome), count in part for number in (campaign, outcome, count)]
                try:
                    await self._functions.write("count_refusals", program, *args)
                except NoLedger:
                    break  # a caller invented the program
                except ServiceError:
                    self._keep(program, dict(part + kinds))
                    break

    def _keep(self, program: str, counts: dict[tuple[int, int], int]) -> None:
        kept = self._counts.setdefault(program, Counter())
        before = len(kept)
        kept.update(counts)
        self._kinds += len(kept) - before

    async def _send_every_second(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SEND_SECONDS):
                    await self._stopping.wait()
                    return
            await self.send()
