"""A claim rush (秒杀抢券): many customers claim one coupon each from a campaign that has too few.

The claims go through the use cases and the ledger's batcher in one process; gRPC is left out, because it costs the same
for each call. The benchmark checks that exactly as many claims are approved as there are coupons, that no customer has
two, and that the ledger's records agree. Run it with ``make bench-claims``; it needs no running server and leaves
nothing behind.
"""

import argparse
import asyncio
import random
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass

import uvloop
from private import PROGRAM, Private, calling, open_campaign, percentile, private_services
from redis.asyncio import Redis
from report import machine_line

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.campaign import Campaign, Limits, Offer, Sizing
from redemption.domain.judging.claiming import Claim, OfferWanted
from redemption.domain.order import Customer
from redemption.domain.outcome import Outcome
from redemption.domain.signed.token import TokenVerifier, VerifiedToken
from redemption.service.claimer import Claimed

SECONDS_MAX = 120.0
ROUND_TRIPS = 2_000


@dataclass(frozen=True, slots=True)
class Rush:
    """How many customers claim, how many coupons there are, and how many claims are in flight."""

    claims: int
    customers: int
    coupons: int
    callers: int


@dataclass(frozen=True, slots=True)
class Result:
    """The result; ``latencies`` in seconds."""

    seconds: float
    answers: list[tuple[str, Claimed]]
    latencies: list[float]
    orders_per_call: float


async def run(rush: Rush) -> int:
    """Run the rush, print the result, and return the exit code."""
    async with private_services() as private:
        limits = Limits(issued=rush.coupons, claims_per_customer=1)
        sizing = Sizing(expected_redemptions=rush.coupons)
        campaign = await open_campaign(private, Offer(amount_off(200_00, 50_00)), limits=limits, sizing=sizing)
        ceiling = await _calls_per_second(private.redis)
        result = await _play(rush, private, campaign)
        findings = _wrong_answers(rush, result, TokenVerifier(private.keyset))
        findings += await _wrong_records(rush, private.redis, campaign)
    _print(rush, result, ceiling, findings)
    return 1 if findings else 0


async def _play(rush: Rush, private: Private, campaign: Campaign) -> Result:
    """Send all customers' claims, repeated and in random order, with a fixed number in flight."""
    claims = [f"customer-{number % rush.customers}" for number in range(rush.claims)]
    random.Random(7).shuffle(claims)  # noqa: S311 - the same order in every run
    coming = iter(enumerate(claims))
    answers: list[tuple[str, Claimed]] = []
    latencies: list[float] = []
    deadline = asyncio.get_running_loop().time() + SECONDS_MAX

    async def caller() -> None:
        for number, customer in coming:
            claim = Claim(PROGRAM, f"claim-{number}", OfferWanted(campaign.number, 0), Customer(customer))
            began = time.perf_counter()
            answers.append((customer, await private.use_cases.claimer.claim(calling(deadline=deadline), claim)))
            latencies.append(time.perf_counter() - began)

    batcher = private.ledger.batcher
    calls, orders = batcher.calls, batcher.orders
    began = time.perf_counter()
    async with asyncio.timeout(SECONDS_MAX):
        await asyncio.gather(*(caller() for _ in range(rush.callers)))
    seconds = time.perf_counter() - began
    per_call = (batcher.orders - orders) / max(batcher.calls - calls, 1)
    return Result(seconds, answers, latencies, per_call)


async def _calls_per_second(redis: Redis) -> float:
    """Return how many durable writes a second this ledger does with one call at a time, measured in the same run."""
    began = time.perf_counter()
    for number in range(ROUND_TRIPS):
        await redis.set("{ceiling}", number)
    return ROUND_TRIPS / (time.perf_counter() - began)


def _wrong_answers(rush: Rush, result: Result, verifier: TokenVerifier) -> list[str]:
    """Return the errors in the answers, one line for each."""
    findings = []
    approved = [(customer, claimed) for customer, claimed in result.answers if claimed.outcome is Outcome.APPROVED]
    expected = min(rush.coupons, rush.customers)
    if len(approved) != expected:
        findings.append(f"{len(approved):,} coupons were handed out, not {expected:,}")
    if len(result.answers) != rush.claims:
        findings.append(f"{rush.claims - len(result.answers):,} claims were not answered")
    greedy = [customer for customer, count in Counter(customer for customer, _ in approved).items() if count > 1]
    if greedy:
        findings.append(f"{len(greedy):,} customers have more than one")
    serials = set()
    for customer, claimed in approved:
        token = verifier.verify(claimed.token, program=PROGRAM)
        if not isinstance(token, VerifiedToken) or not verifier.holder_matches(token, customer):
            findings.append(f"the token of {customer} is not theirs")
        else:
            serials.add(token.serial)
    if serials != set(range(len(approved))):
        findings.append("the serials are not those from 0 on, each once")
    return findings


async def _wrong_records(rush: Rush, redis: Redis, campaign: Campaign) -> list[str]:
    """Return the differences between the ledger's records and the answers, one line for each."""
    expected = min(rush.coupons, rush.customers)
    fields = ("issued", "claimed", "issued:0", "issued_day")
    counted = await redis.hmget(f"{{{PROGRAM}}}:campaign:{campaign.number}", fields)
    findings = [
        f"the counter {field} is {value!r}, not {expected}"
        for field, value in zip(fields, counted, strict=True)
        if int(value or 0) != expected
    ]
    claims = []
    async for key in redis.scan_iter(f"{{{PROGRAM}}}:claims:{campaign.number}:*"):
        claims += [struct.unpack(">BI", value)[1] for value in await redis.hvals(key)]
    if len(claims) != expected or set(claims) != {1}:
        findings.append(f"the claims of customers are counted as {sum(claims):,} by {len(claims):,}")
    return findings


def _print(rush: Rush, result: Result, ceiling: float, findings: list[str]) -> None:
    counted = Counter(claimed.outcome.name for _, claimed in result.answers)
    latencies = sorted(result.latencies) or [0.0]
    per_second = len(result.answers) / result.seconds
    waits = [f"{percentile(latencies, part) * 1000:.1f} ms" for part in (0.5, 0.99, 1.0)]
    print(f"{machine_line()}; embedded valkey, strict")
    print(f"{rush.claims:,} claims by {rush.customers:,} customers, 1 each, for {rush.coupons:,} coupons, ", end="")
    print(f"{rush.callers} at once")
    print(f"{per_second:,.0f} claims/s in {result.seconds:.1f} s; {result.orders_per_call:.1f} orders per call")
    print(f"{per_second / ceiling:.1f} times the {ceiling:,.0f}/s that single durable writes reach in this run")
    print(f"waiting   p50 {waits[0]}   p99 {waits[1]}   most {waits[2]}")
    print("answers   " + ", ".join(f"{count:,} {name}" for name, count in counted.most_common()))
    for finding in findings:
        print(f"WRONG     {finding}")
    print("FAIL" if findings else f"PASS      exactly {counted['APPROVED']:,}, nobody has two, the records agree")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claims", type=int, default=20_000, help="how many claims (default: 20,000)")
    parser.add_argument("--customers", type=int, default=5_000, help="by how many customers (default: 5,000)")
    parser.add_argument("--coupons", type=int, default=3_000, help="for how many coupons (default: 3,000)")
    parser.add_argument("--callers", type=int, default=512, help="how many wait at once (default: 512)")
    given = parser.parse_args()
    sys.exit(uvloop.run(run(Rush(given.claims, given.customers, given.coupons, given.callers))))
