"""One ledger that is filled to a size, asked what a redeem costs now, and weighed."""

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
"""Orders in a call."""
PROBE = 512
"""Orders of one probe: few beside the smallest size, and 10 ms of work at least."""
MINT_AT_ONCE = 100_000
PACK_AT_ONCE = 64 * CALL
MEMORY_AT_ONCE = 1_000
SETTLE_SECONDS = 0.3
"""For the ledger's own figures of its memory, which it takes every tenth of a second."""
KINDS = ("used", "customer", "request")
"""Kinds of keys that grow with every coupon, and are not trimmed."""


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes for each used coupon: of keys by kind, and of all that the process took since it was empty."""

    by_kind: Mapping[str, float] = field(default_factory=dict)
    resident: float = 0.0

    @property
    def together(self) -> float:
        """Of those kinds that grow with every coupon."""
        return sum(self.by_kind.get(kind, 0) for kind in KINDS)


@dataclass(frozen=True, slots=True)
class Probe:
    """What one redeem cost.

    Attributes:
        script_us: Inside the ledger's function; when others have the processor, that counts too.
        commands_us: Of these, inside the commands that the function called.
        cpu_us: CPU of the whole process.
        aof_bytes: Of the append-only file.
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
        scattered: Coupons for probes, from everywhere.
        in_order: Coupons for probes, in the order in which they were minted.
        probes: What was found, by the kind of call.
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
        """Start a ledger with campaigns that expect, together, so many redemptions."""
        private = await stack.enter_async_context(private_services())
        await private.redis.config_set("auto-aof-rewrite-percentage", 0)  # the file tells what was written
        sizing = Sizing(expected_redemptions=size // campaigns)
        opened = [await open_campaign(private, OFFER, limits=LIMITS, sizing=sizing) for _ in range(campaigns)]
        return cls(size, private, opened, Packer(private))

    async def fill(self, *, scattered: int, in_order: int) -> None:
        """Use all coupons but so many; one block of orders is packed while another is sent."""
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
        """Find out what is kept for each coupon that was used."""
        by_kind = await self._bytes_by_kind()
        resident = await self._resident() - self.empty_bytes
        self.weight = Weight({kind: size / self.approved for kind, size in by_kind.items()}, resident / self.approved)

    async def mint(self, count: int) -> list[str]:
        """Mint coupons, as many of each campaign; so many at least."""
        each = -(-count // len(self.campaigns))
        return [one.token for campaign in self.campaigns for one in await mint(self.private, campaign, each)]

    async def probe(self, kind: str, size: int, *, in_order: bool = False) -> None:
        """Use some more coupons in calls of a size, and note what that cost."""
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
        """Hold what was approved against what the campaigns' counters say.

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
        """How tables call it."""
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
        """Sum what MEMORY USAGE says of every key, by its kind."""
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
