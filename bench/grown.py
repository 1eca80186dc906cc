"""Fills a ledger to a size, then measures the cost of a redeem and the bytes that are kept."""

import asyncio
import random
import statistics
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from prepacked import APPROVED, LIMITS, OFFER, Packer, Spent, send
from private import PROGRAM, Private, calling, mint, open_campaign, private_services
from shop import GateError

from redemption.domain.campaign.campaign import Campaign, Sizing
from redemption.ledger import keys

CALL = 64
"""Orders in one call."""
PROBE = 512
"""Orders in one probe: few compared with the smallest size, and at least 10 ms of work."""
MINT_AT_ONCE = 100_000
PACK_AT_ONCE = 64 * CALL
MEMORY_AT_ONCE = 1_000
SETTLE_SECONDS = 0.3
"""A wait for the ledger's own memory figures, which it updates every tenth of a second."""
KINDS = ("used", "customer", "request")
"""Kinds of keys that grow with each used coupon and are not trimmed."""


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes for each used coupon: of the keys by kind, and of the process since it was empty."""

    by_kind: Mapping[str, float] = field(default_factory=dict)
    resident: float = 0.0

    @property
    def together(self) -> float:
        """The sum for the kinds in ``KINDS``."""
        return sum(self.by_kind.get(kind, 0) for kind in KINDS)


@dataclass(frozen=True, slots=True)
class Probe:
    """What one redeem cost.

    Attributes:
        script_us: Time inside the ledger's function; it includes time in which other processes had the processor.
        commands_us: The part of it inside the commands that the function called.
        cpu_us: CPU of the whole process.
        aof_bytes: Bytes in the append-only file.
    """

    script_us: float
    commands_us: float
    cpu_us: float
    aof_bytes: float


@dataclass(slots=True)
class Place:
    """One ledger of some size.

    Attributes:
        empty_bytes: Memory of the process before it was filled.
        approved: How many redemptions its replies approved.
        scattered: Coupons for probes, in random order.
        in_order: Coupons for probes, in the order in which they were minted.
        probes: The probes, by the kind of call.
    """

    size: int
    private: Private
    campaigns: Sequence[Campaign]
    packer: Packer
    empty_bytes: int = 0
    weight: Weight = field(default_factory=Weight)
    approved: int = 0
    scattered: list[str] = field(default_factory=list)
    in_order: list[str] = field(default_factory=list)
    probes: dict[str, list[Probe]] = field(default_factory=dict)

    @classmethod
    async def open(cls, stack: AsyncExitStack, size: int, campaigns: int) -> "Place":
        """Start a ledger with campaigns that together expect a number of redemptions."""
        private = await stack.enter_async_context(private_services())
        await private.redis.config_set("auto-aof-rewrite-percentage", 0)  # a rewrite would change the file's size
        sizing = Sizing(expected_redemptions=size // campaigns)
        opened = [await open_campaign(private, OFFER, limits=LIMITS, sizing=sizing) for _ in range(campaigns)]
        return cls(size, private, opened, Packer(private))

    async def fill(self, *, scattered: int, in_order: int) -> None:
        """Use all coupons except some for probes; one block of orders is packed while another is sent."""
        self.empty_bytes = await self._resident()
        self.in_order = await self.mint(in_order) if in_order else []
        left = self.size - in_order
        kept_part = scattered / left
        sending: asyncio.Future[None] | None = None
        while left:
            tokens = await self.mint(min(MINT_AT_ONCE, left))
            left = max(left - len(tokens), 0)
            random.shuffle(tokens)
            kept = round(kept_part * len(tokens))
            self.scattered += tokens[:kept]
            for first in range(kept, len(tokens), PACK_AT_ONCE):
                calls = self.packer.calls(await self.packer.items(tokens[first : first + PACK_AT_ONCE]), CALL)
                if sending is not None:
                    await sending
                sending = asyncio.get_running_loop().run_in_executor(None, partial(self._send, calls))
        if sending is not None:
            await sending
        random.shuffle(self.scattered)

    async def weigh(self) -> None:
        """Measure how many bytes are kept for each used coupon."""
        by_kind = await self._bytes_by_kind()
        resident = await self._resident() - self.empty_bytes
        self.weight = Weight({kind: size / self.approved for kind, size in by_kind.items()}, resident / self.approved)

    async def mint(self, count: int) -> list[str]:
        """Mint at least a number of coupons, the same number of each campaign."""
        each = -(-count // len(self.campaigns))
        return [one.token for campaign in self.campaigns for one in await mint(self.private, campaign, each)]

    async def probe(self, kind: str, size: int, *, in_order: bool = False) -> None:
        """Use some more coupons in calls of a size, and note the cost."""
        supply = self.in_order if in_order else self.scattered
        tokens = supply[:PROBE]
        del supply[:PROBE]
        calls = self.packer.calls(await self.packer.items(tokens), size)
        before = await Spent.by(self.private)
        self._send(calls)
        spent = await Spent.by(self.private) - before
        found = (spent.script_us, spent.called_us, spent.cpu_us, spent.aof_bytes)
        self.probes.setdefault(kind, []).append(Probe(*(figure / PROBE for figure in found)))

    async def require_counted(self) -> None:
        """Compare the approvals with the campaigns' counters.

        Raises:
            GateError: They differ.
        """
        stats = [
            await self.private.use_cases.campaigns.stats(calling(), PROGRAM, each.number) for each in self.campaigns
        ]
        counted = sum(each.redeemed for each in stats)
        if counted != self.approved:
            raise GateError(f"{self.approved} redemptions were approved, the campaigns counted {counted}")

    @property
    def name(self) -> str:
        """Its name in tables."""
        count = len(self.campaigns)
        return f"{self.size:,} coupons, {count} campaign{'s' if count > 1 else ''}"

    def median(self, kind: str, figure: str) -> float:
        """Return the median of a figure over all rounds."""
        return float(statistics.median(getattr(probe, figure) for probe in self.probes[kind]))

    def _send(self, calls: Sequence[bytes]) -> None:
        answers = send(self.private, calls).answers
        refused = [answer for answer in answers if answer[:1] != APPROVED]
        if refused:
            raise GateError(f"{len(refused)} of {len(answers)} orders were not approved: {refused[0]!r}")
        self.approved += len(answers)

    async def _resident(self) -> int:
        await asyncio.sleep(SETTLE_SECONDS)
        return int((await self.private.redis.info("memory"))["used_memory_rss"])

    async def _bytes_by_kind(self) -> dict[str, int]:
        """Return the sum of MEMORY USAGE over all keys, by kind."""
        names = [name async for name in self.private.redis.scan_iter(count=MEMORY_AT_ONCE)]
        total: dict[str, int] = {}
        for start in range(0, len(names), MEMORY_AT_ONCE):
            asking = self.private.redis.pipeline(transaction=False)
            part = names[start : start + MEMORY_AT_ONCE]
            for name in part:
                asking.memory_usage(name, samples=0)
            for name, size in zip(part, await asking.execute(), strict=True):
                kind = keys.kind(name)
                total[kind] = total.get(kind, 0) + size
        return total
