"""Bytes of ledger per redeemed coupon, by kind of key, and what a redeem costs inside the ledger.

Every coupon is redeemed by another customer, with another request, one line and one token an order: the dearest case.
Run it with ``make bench-memory``; it needs no running server and leaves nothing behind.
"""

import argparse
import asyncio
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvloop
from private import machine, private_services
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from redemption.app import Services
from redemption.domain.benefit import amount_off
from redemption.domain.campaign import Campaign, Limits, Offer, Sizing
from redemption.domain.decision import Decision
from redemption.domain.order import Checkout, Customer, Line, Order
from redemption.domain.outcome import Outcome
from redemption.service.issuer import MintOrder
from redemption.service.redeemer import Attempt

PROGRAM = "bench"
BATCHES = (1, 16, 64)
BYTES_AIM = 100
AIMED_AT = ("used", "customer", "request")
MINT_AT_ONCE = 100_000
SCRIPT_CALLS = 300
DAY_MS = 86_400_000
CHUNK = 64


@dataclass(frozen=True, slots=True)
class Bench:
    """What a measurement needs."""

    services: Services
    redis: Redis
    campaign: Campaign

    async def redeem(self, tokens: list[str], first: int) -> None:
        """Redeem each token by an order, a request and a customer of its own."""
        attempts = [self._attempt(token, first + index) for index, token in enumerate(tokens)]
        deadline = asyncio.get_running_loop().time() + 10
        for result in await self.services.redeemer.redeem_all("bench", PROGRAM, attempts, deadline=deadline):
            if not isinstance(result, Decision) or result.outcome is not Outcome.APPROVED:
                sys.exit(f"a redeem of the bench was not approved: {result}")

    @staticmethod
    def _attempt(token: str, number: int) -> Attempt:
        order = Order(f"order-{number}", "CNY", (Line("1", 1, 238_00, 238_00),))
        return Attempt(f"request-{number}", Checkout(PROGRAM, (token,), order, Customer(f"customer-{number}")))

    async def mint(self, count: int) -> list[str]:
        """Mint tokens."""
        tokens: list[str] = []
        while len(tokens) < count:
            size = min(MINT_AT_ONCE, count - len(tokens))
            order = MintOrder(PROGRAM, secrets.token_hex(8), self.campaign.number, 0, size)
            tokens += [
                minted.token async for chunk in await self.services.issuer.mint("bench", order) for minted in chunk
            ]
        return tokens


@asynccontextmanager
async def private_ledger(coupons: int) -> AsyncIterator[Bench]:
    """Start a strict ledger on a directory of its own, with one campaign."""
    async with private_services() as private:
        campaign = await private.services.campaigns.create(
            "bench", "create", definition(private.ledger.now_ms(), coupons)
        )
        yield Bench(private.services, private.redis, campaign)


def definition(now_ms: int, coupons: int) -> Campaign:
    """A campaign of which every coupon is redeemed, with limits of every kind."""
    return Campaign(
        program=PROGRAM,
        name="bench",
        currency_code="CNY",
        time_zone="Asia/Shanghai",
        starts_at_ms=now_ms - DAY_MS,
        ends_at_ms=now_ms + 30 * DAY_MS,
        offers=(Offer(amount_off(200_00, 50_00)),),
        limits=Limits(
            redemptions=10**9,
            redemptions_per_customer=5,
            redemptions_per_customer_per_day=5,
            redemptions_per_day=10**9,
            budget_minor=10**15,
        ),
        sizing=Sizing(expected_redemptions=coupons),
    )


async def bytes_by_kind(redis: Redis) -> dict[str, int]:
    """Sum what the ledger's own MEMORY USAGE says, by kind of key."""
    total: dict[str, int] = {}
    async for name in redis.scan_iter(count=1000):
        kind = name.split(b":")[1].decode()
        total[kind] = total.get(kind, 0) + await redis.memory_usage(name, samples=0)
    return total


async def script_cost(bench: Bench, tokens: list[str], first: int, batch: int) -> float:
    """Return the microseconds a redeem takes inside the ledger's function, in calls of so many."""
    await bench.redis.config_resetstat()
    for start in range(0, len(tokens), batch):
        await bench.redeem(tokens[start : start + batch], first + start)
    stats = (await bench.redis.info("commandstats"))["cmdstat_fcall"]
    return float(stats["usec"]) / len(tokens)


async def aof_bytes(redis: Redis) -> int:
    """Return how many bytes the append-only file has."""
    return int((await redis.info("persistence"))["aof_current_size"])


async def measure(coupons: int) -> int:
    """Measure and print; returns the exit code."""
    console = Console()
    console.print(f"{machine()}; {coupons:,} redemptions")
    async with private_ledger(coupons) as bench:
        tokens = await bench.mint(coupons)
        aof_before, began = await aof_bytes(bench.redis), time.perf_counter()
        for start in range(0, coupons, CHUNK):
            await bench.redeem(tokens[start : start + CHUNK], start)
        seconds = time.perf_counter() - began
        aof = (await aof_bytes(bench.redis) - aof_before) / coupons
        total = await bytes_by_kind(bench.redis)
        table = Table("key kind", "bytes", "bytes per coupon", title="memory")
        for column in table.columns[1:]:
            column.justify = "right"
        for kind, size in sorted(total.items(), key=lambda pair: -pair[1]):
            table.add_row(kind, f"{size:,}", f"{size / coupons:.1f}")
        per_coupon = sum(total.get(kind, 0) for kind in AIMED_AT) / coupons
        verdict = "reached" if per_coupon <= BYTES_AIM else "missed"
        table.add_row(" + ".join(AIMED_AT), "", f"{per_coupon:.1f}", style="bold")
        console.print(table)
        console.print(f"aim: {BYTES_AIM} bytes or less per coupon for {', '.join(AIMED_AT)}: {verdict}")
        console.print(f"append-only file: {aof:.0f} bytes per redeem in calls of {CHUNK}; {coupons / seconds:,.0f}/s\n")
        table = Table("orders in a call", "µs per redeem", "ratio to 64", title="cost inside the ledger")
        for column in table.columns:
            column.justify = "right"
        costs = {}
        first = coupons
        for batch in BATCHES:
            more = await bench.mint(batch * SCRIPT_CALLS)
            costs[batch] = await script_cost(bench, more, first, batch)
            first += len(more)
        for batch, cost in costs.items():
            table.add_row(str(batch), f"{cost:.1f}", f"{cost / costs[BATCHES[-1]]:.2f}")
        console.print(table)
    return 0 if per_coupon <= BYTES_AIM else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coupons", type=int, default=100_000, help="how many redemptions (default: 100,000)")
    sys.exit(uvloop.run(measure(parser.parse_args().coupons)))
