"""How often each outcome was answered: counted here, and added to the ledger once a second at most.

A refusal changes nothing, so it writes nothing: a flood of old coupons must not become a flood of file syncs. What a
crash loses is what was refused in its last second.
"""

import asyncio
import contextlib
from collections import Counter

from redemption.domain.errors import ServiceError
from redemption.ledger.functions import FunctionClient

TELL_SECONDS = 1.0
AT_ONCE = 500
"""Counts in one call, which holds the ledger up for about half a millisecond."""
KINDS_MAX = 100_000
"""Counts that are kept while the ledger does not answer; what is refused beyond is not counted."""


class Refusals:
    """Counts refusals, and tells the ledger."""

    def __init__(self, functions: FunctionClient) -> None:
        """Build it; ``start`` makes it tell."""
        self._functions = functions
        self._counts: dict[str, Counter[tuple[int, int]]] = {}
        self._kinds = 0
        self._stopping = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tell the ledger from now on; needs a running event loop."""
        self._telling = asyncio.create_task(self._tell_again_and_again(), name="refusals")

    async def stop(self) -> None:
        """Tell it what is left, if it can be told, and no more."""
        self._stopping.set()
        if self._telling is not None:
            await self._telling  # a call under way ends first: given up, its counts were lost
        await self.tell()

    def count(self, program: str, campaign: int, outcome: int) -> None:
        """Count that a coupon of a campaign was refused."""
        counts = self._counts.setdefault(program, Counter())
        kind = (campaign, int(outcome))  # an enum's own number: the Redis client would write its name
        if kind not in counts:
            if self._kinds >= KINDS_MAX:
                return
            self._kinds += 1
        counts[kind] += 1

    async def tell(self) -> None:
        """Add to the ledger what was counted; what it does not take is kept."""
        for program in list(self._counts):
            counts = self._counts.pop(program)
            self._kinds -= len(counts)
            kinds = list(counts.items())
            while kinds:
                part, kinds = kinds[:AT_ONCE], kinds[AT_ONCE:]
                args = [number for (campaign, outcome), count in part for number in (campaign, outcome, count)]
                try:
                    await self._functions.write("count_refusals", program, *args)
                except ServiceError:
                    self._keep(program, dict(part + kinds))
                    break

    def _keep(self, program: str, counts: dict[tuple[int, int], int]) -> None:
        kept = self._counts.setdefault(program, Counter())
        before = len(kept)
        kept.update(counts)
        self._kinds += len(kept) - before

    async def _tell_again_and_again(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TELL_SECONDS):
                    await self._stopping.wait()
                    return
            await self.tell()
