"""What velocity and accounts rules cost: redeems in calls of 64, with none, one, three and six rules.

Each number of rules has a ledger of its own. They take turns, so that a noisy neighbour disturbs all of them, and a
ratio compares figures of the same round. Every order has another customer and another request, and is one of many
devices, networks, payment instruments and persons: the dearest case, because no two orders of a call share a subject.
Run it with ``make bench-rules``; it needs no running server and leaves only its results.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from prepacked import APPROVED, LIMITS, OFFER, Packer, Spent, send
from private import PROGRAM, Private, mint, open_campaign, private_services
from report import MISSED, RESULTS, Report
from shop import GateError

from redemption.cli.exits import INTERRUPTED, Stop
from redemption.domain.order import Customer, RiskContext
from redemption.domain.risk.rules import AccountsRule, Rules, VelocityRule
from redemption.domain.risk.subjects import SubjectKind
from redemption.ledger import keys

ROUNDS = 15
CALL = 64
PROBE = 2_048
FILLED = 100_000
"""Coupons that are used before: a redeem costs less in an almost empty ledger."""
FILLED_AT_ONCE = 64 * CALL
SUBJECTS = 100_000
RATIO_MAX = 1.3
BYTES_MAX = 100
MINUTE_MS = 60_000
HIGH = 100_000
"""A limit that nobody reaches."""


def _rate(name: str, subject: SubjectKind) -> VelocityRule:
    return VelocityRule(name, subject, HIGH, MINUTE_MS, HIGH)


RATES = tuple(
    _rate(kind.name.lower(), kind) for kind in (SubjectKind.DEVICE, SubjectKind.CUSTOMER, SubjectKind.NETWORK)
)
MORE = (_rate("payment", SubjectKind.PAYMENT), _rate("person", SubjectKind.PERSON))
ACCOUNTS = (AccountsRule("farm", SubjectKind.DEVICE, 50, 60),)
CASES = {
    "no rules": Rules(),
    "1 rule: device": Rules(velocity=RATES[:1]),
    "3: device, customer, network": Rules(velocity=RATES),
    "6: and payment, person, accounts a device": Rules(velocity=RATES + MORE, accounts=ACCOUNTS),
}
NONE, _, THREE, _ = CASES


def context(name: str) -> tuple[Customer, RiskContext]:
    """Return a customer of an order's own, on one of many devices."""
    of = [random.randrange(SUBJECTS) for _ in range(4)]  # noqa: S311 - subjects of a measurement
    address = f"10.{of[1] >> 16 & 255}.{of[1] >> 8 & 255}.{of[1] & 255}"
    customer = Customer(f"customer-{name}", person_id=f"person-{of[3]}")
    return customer, RiskContext(f"device-{of[0]}", address, f"card-{of[2]}")


@dataclass(frozen=True, slots=True)
class Probe:
    """What one redeem cost: microseconds, redeems a second of the ledger alone, bytes of the append-only file."""

    script_us: float
    cpu_us: float
    each_second: float
    aof_bytes: float


@dataclass(slots=True)
class Place:
    """One ledger with its rules."""

    private: Private
    packer: Packer
    tokens: list[str]
    probes: list[Probe] = field(default_factory=list)
    subject_bytes: float = 0.0

    @classmethod
    async def open(cls, stack: AsyncExitStack, rules: Rules, count: int) -> "Place":
        """Start a ledger, set its rules, and mint coupons."""
        private = await stack.enter_async_context(private_services())
        await private.redis.config_set("auto-aof-rewrite-percentage", 0)  # a rewrite would change the file's size
        campaign = await open_campaign(private, OFFER, limits=LIMITS)
        if rules.in_force:
            await private.ledger.rules.define(PROGRAM, rules.numbered(), expected=0, what="applied", principal="bench")
        await private.ledger.rules.load(PROGRAM)
        minted = await mint(private, campaign, count)
        return cls(private, Packer(private, context), [one.token for one in minted])

    async def redeem(self, count: int) -> float:
        """Use some coupons; returns how many seconds the ledger took."""
        tokens, self.tokens = self.tokens[:count], self.tokens[count:]
        calls = self.packer.calls(await self.packer.items(tokens), CALL)
        began = time.perf_counter()
        answers = send(self.private, calls).answers
        seconds = time.perf_counter() - began
        refused = [answer for answer in answers if answer[:1] != APPROVED]
        if refused or len(answers) != count:
            raise GateError(f"{len(refused)} of {count} orders were not approved: {refused[:1]!r}")
        return seconds

    async def probe(self) -> None:
        """Use some more coupons, and note the cost."""
        before = await Spent.by(self.private)
        seconds = await self.redeem(PROBE)
        spent = await Spent.by(self.private) - before
        self.probes.append(
            Probe(spent.script_us / PROBE, spent.cpu_us / PROBE, PROBE / seconds, spent.aof_bytes / PROBE)
        )

    async def weigh(self) -> None:
        """Measure the bytes of the fullest hash of a velocity rule, for each subject."""
        weights = []
        for key in await self.private.redis.keys(keys.tag(PROGRAM) + b":velocity:*"):
            size, count = await self.private.redis.memory_usage(key, samples=0), await self.private.redis.hlen(key)
            weights.append((count, size / count))
        self.subject_bytes = max(weights)[1] if weights else 0.0


async def measure(rounds: int, filled: int) -> dict[str, Place]:
    """Fill a ledger for each number of rules, then probe them in turn."""
    async with AsyncExitStack() as stack:
        places = {}
        for name, rules in CASES.items():
            places[name] = await Place.open(stack, rules, filled + rounds * PROBE)
            for first in range(0, filled, FILLED_AT_ONCE):
                await places[name].redeem(min(FILLED_AT_ONCE, filled - first))
        for _ in range(rounds):
            for place in places.values():
                await place.probe()
        for place in places.values():
            await place.weigh()
    return places


def report(places: dict[str, Place], rounds: int, filled: int) -> tuple[Report, bool]:
    """Return the report, and whether all aims were reached."""
    facts = {"medians of": f"{rounds} rounds", "redeems a probe": f"{PROBE:,}", "calls of": str(CALL)}
    found = Report("rules", facts | {"used before": f"{filled:,}"})
    none = places[NONE]
    rows = []
    ratios: dict[str, float] = {}
    for name, place in places.items():
        ratios[name] = _ratio(place.probes, none.probes)
        figures = [_median(place.probes, figure) for figure in ("script_us", "cpu_us", "each_second", "aof_bytes")]
        script_us, cpu_us, each_second, aof_bytes = figures
        rows.append(
            (
                name,
                f"{script_us:.1f}",
                f"{ratios[name]:.2f}",
                f"{cpu_us:.1f}",
                f"{each_second:,.0f}",
                f"{aof_bytes:.0f}",
                f"{place.subject_bytes:.0f}" if place.subject_bytes else "",
            )
        )
    header = ("", "script µs", "ratio", "CPU", "redeems/s", "file bytes", "bytes/subject")
    found.add("one redeem", header, rows, "redeems/s: of the ledger alone, with strict durability")
    heaviest = places[THREE].subject_bytes
    aims = [
        ("three rules: script, ratio to none", ratios[THREE], RATIO_MAX),
        ("bytes of ledger for a live subject", heaviest, BYTES_MAX),
    ]
    verdicts = [
        (name, f"{value:.2f}", f"{most:g}", "reached" if value <= most else "missed") for name, value, most in aims
    ]
    found.add("aims", ("", "found", "at most", ""), verdicts)
    found.data = {"places": {name: [vars_of(probe) for probe in place.probes] for name, place in places.items()}}
    return found, all(value <= most for _, value, most in aims)


def vars_of(probe: Probe) -> dict[str, float]:
    """Return the figures of a probe by their names."""
    return {name: getattr(probe, name) for name in Probe.__slots__}


def _ratio(probes: Sequence[Probe], base: Sequence[Probe]) -> float:
    return statistics.median(one.script_us / other.script_us for one, other in zip(probes, base, strict=True))


def _median(probes: Sequence[Probe], figure: str) -> float:
    return float(statistics.median(getattr(probe, figure) for probe in probes))


def main() -> int:
    """Measure, print, and write the results; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of all probes (default: {ROUNDS})")
    parser.add_argument("--filled", type=int, default=FILLED, help=f"coupons used before (default: {FILLED:,})")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder to write to (default: bench/results)")
    given = parser.parse_args()
    try:
        places = uvloop.run(measure(given.rounds, given.filled))
    except (GateError, Stop, OSError) as error:
        print(f"FAIL: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    found, reached = report(places, given.rounds, given.filled)
    path = found.write(given.results)
    found.print()
    print(f"written to {path}")
    return 0 if reached else MISSED


if __name__ == "__main__":
    sys.exit(main())
