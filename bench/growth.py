"""Does a redeem cost more when a million coupons are used, or a hundred campaigns sell? How much does the ledger keep?

Each size has its own ledger, which is filled except for a small part. That part is used in rounds, one ledger after the
other, so that a noisy neighbour disturbs all of them, and a ratio compares figures of the same time. Then the memory of
each ledger is measured. Coupons are used in random order, as customers use them, and for comparison also in the order
of minting. Run it with ``make bench-growth``; it needs no running server and leaves only its results.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

import uvloop
from grown import CALL, KINDS, PROBE, Place
from report import MISSED, RESULTS, Report
from rich.console import Console
from rich.progress import Progress
from shop import GateError

from redemption.cli.exits import INTERRUPTED, Stop

SIZES = (10_000, 100_000, 1_000_000)
CAMPAIGNS = (1, 100)
ROUNDS = 9
UPTO_MIN = 40_000
"""The smallest value for the largest size: so this ledger is mostly filled when all kinds of calls are measured."""
SWITCH_SECONDS = 0.0005
"""Python's switch interval while one thread packs and another sends: the sender has little to do and must not wait."""
RATIO_MAX, BYTES_MAX, SCRIPT_US_MAX, AOF_BYTES_MAX = 1.2, 100, 20, 250


KINDS_OF_CALL = {
    f"calls of {CALL}": (CALL, False),
    f"calls of {CALL}, as minted": (CALL, True),
    "calls of 16": (16, False),
    "calls of 1": (1, False),
}
USUAL, IN_ORDER = list(KINDS_OF_CALL)[:2]


async def measure(sizes: Sequence[int], rounds: int) -> list[Place]:
    """Fill a ledger for each size and number of campaigns, then probe them in turn."""
    sys.setswitchinterval(SWITCH_SECONDS)
    async with AsyncExitStack() as stack:
        with Progress(transient=True, console=Console(stderr=True)) as progress:
            task = progress.add_task("", total=len(CAMPAIGNS) * sum(sizes))
            places = []
            for size in sizes:
                for campaigns in CAMPAIGNS:
                    progress.update(task, description=f"{size:,} coupons of {campaigns} campaigns")
                    all_kinds = size == sizes[-1] and campaigns == CAMPAIGNS[0]
                    place = await Place.open(stack, size, campaigns)
                    await place.fill(
                        scattered=PROBE * rounds * (len(KINDS_OF_CALL) - 1 if all_kinds else 1),
                        in_order=PROBE * rounds if all_kinds else 0,
                    )
                    places.append(place)
                    progress.advance(task, size)
            largest = places[-len(CAMPAIGNS)]
            for number in range(rounds):
                progress.update(task, description=f"round {number + 1} of {rounds}")
                for place in places:
                    await place.probe(USUAL, CALL)
                for kind, (size, in_order) in list(KINDS_OF_CALL.items())[1:]:
                    await largest.probe(kind, size, in_order=in_order)
        for place in places:
            await place.weigh()
            await place.require_counted()
    return places


def report(places: Sequence[Place], arguments: Mapping[str, int]) -> tuple[Report, bool]:
    """Return the report, and whether all aims were reached."""
    found = Report("growth", {"medians of": f"{arguments['rounds']} rounds", "redeems a probe": f"{PROBE:,}"})
    rows = [_cost_row(place.name, place, USUAL) for place in places]
    header = ("", "script µs", "(least to greatest)", "in commands", "valkey CPU", "file bytes")
    found.add(f"one redeem, in calls of {CALL}", header, rows)
    largest = places[-len(CAMPAIGNS)]
    rows = [_cost_row(kind, largest, kind) for kind in KINDS_OF_CALL]
    found.add(f"one redeem, {largest.size:,} coupons used, 1 campaign", header, rows)
    rows = []
    for place in places:
        figures = [place.weight.by_kind.get(kind, 0) for kind in KINDS]
        figures += [place.weight.together, place.weight.by_kind.get("events", 0), place.weight.resident]
        rows.append((place.name, *(f"{size:.1f}" for size in figures)))
    found.add(
        "bytes of ledger for each used coupon",
        ("", *KINDS, "together", "events", "resident"),
        rows,
        "Every key was asked (MEMORY USAGE, all elements). Resident: what the process grew by since it was empty.",
    )
    aims = _aims(places)
    found.add(
        "aims",
        ("", "found", "at most", ""),
        [(name, f"{value:.2f}", f"{most:g}", _verdict(value, most)) for name, value, most in aims],
        "Approved is what the campaigns counted, in every ledger.",
    )
    found.data = {
        "arguments": arguments,
        "places": [
            {
                "size": place.size,
                "campaigns": len(place.campaigns),
                "weight": asdict(place.weight),
                "probes": {kind: [asdict(probe) for probe in probes] for kind, probes in place.probes.items()},
            }
            for place in places
        ],
        "aims": [{"name": name, "found": value, "at_most": most} for name, value, most in aims],
    }
    return found, all(value <= most for _, value, most in aims)


def _cost_row(name: str, place: Place, kind: str) -> tuple[str, ...]:
    costs = [probe.script_us for probe in place.probes[kind]]
    figures = [f"{place.median(kind, figure):.1f}" for figure in ("script_us", "commands_us", "cpu_us", "aof_bytes")]
    return (name, figures[0], f"{min(costs):.1f} to {max(costs):.1f}", *figures[1:])


def _aims(places: Sequence[Place]) -> list[tuple[str, float, float]]:
    """Return for each aim its name, result and limit; a ratio is the median of the ratios of the rounds."""
    aims = []
    for campaigns in CAMPAIGNS:
        of_these = [place for place in places if len(place.campaigns) == campaigns]
        small, large = of_these[0], of_these[-1]
        pairs = zip(large.probes[USUAL], small.probes[USUAL], strict=True)
        ratio = statistics.median(one.cpu_us / other.cpu_us for one, other in pairs)
        aims.append((f"{large.name}: valkey CPU, ratio to {small.size:,}", ratio, RATIO_MAX))
        aims.append((f"{large.name}: bytes, {' + '.join(KINDS)}", large.weight.together, BYTES_MAX))
        for kind in (USUAL, IN_ORDER) if IN_ORDER in large.probes else (USUAL,):
            aims.append((f"{large.name}: script µs, {kind}", large.median(kind, "script_us"), SCRIPT_US_MAX))
            aims.append((f"{large.name}: file bytes, {kind}", large.median(kind, "aof_bytes"), AOF_BYTES_MAX))
    return aims


def _verdict(value: float, most: float) -> str:
    return "reached" if value <= most else "missed"


def main() -> int:
    """Measure, print, and write the results; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upto", type=int, default=SIZES[-1], help=f"the largest size (default: {SIZES[-1]:,})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of all probes (default: {ROUNDS})")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder to write to (default: bench/results)")
    given = parser.parse_args()
    if given.upto < UPTO_MIN:
        parser.error(f"--upto must be at least {UPTO_MIN:,}")
    sizes = [size for size in SIZES if size < given.upto] + [given.upto]
    try:
        places = uvloop.run(measure(sizes, given.rounds))
    except (GateError, Stop, OSError) as error:
        print(f"FAIL: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    found, reached = report(places, {"upto": given.upto, "rounds": given.rounds})
    path = found.write(given.results)  # before printing: the terminal may be closed
    found.print()
    print(f"written to {path}")
    return 0 if reached else MISSED


if __name__ == "__main__":
    sys.exit(main())
