"""More calls than the service can answer: how many are answered or refused, and what happens to health checks.

Calls with deadlines of 2 s are sent at several times the service's peak, on a schedule that does not depend on the
answers; and 10,000 calls are sent at one moment. It measures how many are answered in time and how late, and how soon
the others are refused. Run it with ``make bench-overload``. It exits as ``make bench-ceiling`` does.
"""

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Event

import command
import grpc
from ceiling import Bench, Place
from generator import Run, lines, open_loop
from grpc_health.v1 import health_pb2
from http2 import write_calls
from report import MISSED, Report
from shop import REDEEM, approvals, require_own
from under_test import settle

ROUNDS = 5
SECONDS = 2.0
CALIBRATIONS = 3
CONNECTIONS = 16
TIMES_PEAK = (1.0, 1.5, 3.0, 5.0)
BURST = 10_000
BURST_CONNECTIONS = 32
AT_ONCE = 1e9
"""Calls a second; so all calls of a burst are due in its first 10 microseconds."""
TIMEOUT = "2S"
REFUSED = "RESOURCE_EXHAUSTED"
HEALTH = "/grpc.health.v1.Health/Check"
HEALTH_EVERY_SECONDS = 0.02
HEALTH_SECONDS_MAX = 5.0

GOODPUT_MIN = 0.9
P99_TIMES_MAX = 2.0
REFUSED_MS_MAX = 50.0
HEALTH_MS_MAX = 100.0


@dataclass(frozen=True, slots=True)
class CaseFigures:
    """One case in one round; times in milliseconds.

    Attributes:
        goodput: Rate of calls answered in time, as a share of the peak; of a burst, during its answers.
        p99_times: The p99 of answered calls, divided by the p99 at the peak.
        refused: How many calls were refused with the advice to retry.
        others: Other ends of calls, and how often each came.
        worker: How many processors the worker used.
    """

    offered: int
    answered: int
    goodput: float
    p50: float
    p99: float
    p99_times: float
    refused: int
    refused_p99: float
    health_max: float
    worker: float
    others: str
    invalid: str


@contextmanager
def watched_health(authority: str) -> Iterator[list[float]]:
    """Check health all the time from another process; at the end the list has the milliseconds of each check."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    ended = context.Event()
    process = context.Process(target=_watch_health, args=(authority, there, ended))
    process.start()
    found: list[float] = []
    try:
        here.recv()  # wait until it is connected
        yield found
    finally:
        ended.set()
        found += here.recv()
        process.join()


def _watch_health(authority: str, results: Pipe, ended: Event) -> None:
    request = health_pb2.HealthCheckRequest().SerializeToString()
    with grpc.insecure_channel(authority) as channel:
        check = channel.unary_unary(HEALTH)
        check(request, timeout=HEALTH_SECONDS_MAX)
        results.send(True)
        found = []
        while not ended.wait(HEALTH_EVERY_SECONDS):
            began = time.perf_counter()
            try:
                check(request, timeout=HEALTH_SECONDS_MAX)
            except grpc.RpcError:
                began -= HEALTH_SECONDS_MAX
            found.append(1000 * (time.perf_counter() - began))
        results.send(found or [0.0])


def measure(
    place: Place, rate: float, seconds: float, *, connections: int, count: int, seed: int
) -> tuple[Run, float, float]:
    """Send calls at a rate; return the run, the slowest health check in ms, and the worker's CPU seconds.

    Raises:
        GateError: An answer belongs to another order.
    """
    shop = place.shop
    assert shop is not None, "the service has one"
    messages = [request.SerializeToString() for request in shop.requests(count)]
    calls = [
        write_calls(place.server.authority, REDEEM, messages[index::connections], timeout=TIMEOUT)
        for index in range(connections)
    ]
    settle()
    with watched_health(place.server.authority) as health, lines(place.server.address, calls) as opened:
        before = place.server.cost()
        run = open_loop(opened, calls_per_second=rate, seconds=seconds, seed=seed)
        cost = place.server.cost() - before
    approved = approvals(run.answers, batched=False)
    unknown = sum(count for status, count in run.failures.items() if not status.startswith(REFUSED))
    shop.require_counted(approved, unknown=unknown)
    require_own(messages, run, batched=False)
    return run, max(health), cost.server


def figures_of(
    run: Run, health: float, worker: float, *, peak: float, seconds: float, peak_p99: float | None
) -> CaseFigures:
    """Return the figures of a run."""
    latencies = sorted(1000 * latency for latency in run.latencies)
    p50, p99 = (latencies[len(latencies) * percent // 100] if latencies else 0.0 for percent in (50, 99))
    refused = sorted(
        1000 * after for status, each in run.failed_after.items() if status.startswith(REFUSED) for after in each
    )
    others = {status: count for status, count in run.failures.items() if not status.startswith(REFUSED)}
    return CaseFigures(
        offered=run.sent,
        answered=len(latencies),
        goodput=len(latencies) / seconds / peak,
        p50=p50,
        p99=p99,
        p99_times=p99 / (peak_p99 or p99 or 1.0),
        refused=len(refused),
        refused_p99=refused[len(refused) * 99 // 100] if refused else 0.0,
        health_max=health,
        worker=worker / max(seconds, max(latencies, default=0.0) / 1000),
        others="; ".join(f"{status} ({count})" for status, count in others.items()),
        invalid=run.invalid,
    )


def run_all(rounds: int, seconds: float, transports: Sequence[str]) -> tuple[Report, bool]:
    """Measure the transports in turn; return the tables, and whether the first one reached all aims."""
    with ExitStack() as stack:
        bench = Bench(stack, SECONDS)
        places = {name: bench.strict if name == "nghttp2" else bench.grpcio for name in transports}
        peaks = {
            name: statistics.median(bench.unary(place).redeems_per_second for _ in range(CALIBRATIONS))
            for name, place in places.items()
        }
        found: dict[tuple[str, str], list[CaseFigures]] = {}
        for number in range(rounds):
            for name, place in places.items():
                at_peak: float | None = None
                for times in TIMES_PEAK:
                    rate = times * peaks[name]
                    count = round(1.1 * rate * seconds) + 100
                    run = measure(place, rate, seconds, connections=CONNECTIONS, count=count, seed=number)
                    one = figures_of(*run, peak=peaks[name], seconds=seconds, peak_p99=at_peak)
                    at_peak = at_peak or one.p99
                    found.setdefault((name, f"{times:g} x the peak"), []).append(one)
                run = measure(place, AT_ONCE, 1.0, connections=BURST_CONNECTIONS, count=BURST, seed=number)
                lasted = max(run[0].latencies, default=1.0)
                one = figures_of(*run, peak=peaks[name], seconds=lasted, peak_p99=at_peak)
                found.setdefault((name, f"{BURST:,} at once"), []).append(one)
    facts = {f"unary peak, {name}": f"{peak:,.0f}/s" for name, peak in peaks.items()}
    report = Report("overload", {"rounds": str(rounds), "seconds": f"{seconds:g}", **facts})
    reached = True
    for name in transports:
        rows = []
        for (transport, case), each in found.items():
            if transport == name:
                rows.append((case, *_figures(each)))
                reached &= name != transports[0] or _reached(each)
        report.add(f"{name}: medians of the rounds, ms", _HEADER, rows, *_notes(found, name))
    report.data = {"cases": {f"{name}: {case}": [str(one) for one in each] for (name, case), each in found.items()}}
    return report, reached


_HEADER = ("offered", "calls", "goodput", "p50", "p99", "x", "refused", "within", "health", "worker", "aims")


def _figures(each: Sequence[CaseFigures]) -> Sequence[str]:
    def median(name: str, digits: int) -> str:
        return f"{statistics.median(getattr(one, name) for one in each):,.{digits}f}"

    return (
        median("offered", 0),
        median("goodput", 2),
        median("p50", 1),
        median("p99", 1),
        median("p99_times", 1),
        median("refused", 0),
        median("refused_p99", 1),
        median("health_max", 1),
        median("worker", 2),
        "reached" if _reached(each) else "missed",
    )


def _reached(each: Sequence[CaseFigures]) -> bool:
    """Whether the medians of the rounds reach the aims."""

    def median(name: str) -> float:
        return statistics.median(getattr(one, name) for one in each)

    return (
        median("goodput") >= GOODPUT_MIN
        and median("p99_times") <= P99_TIMES_MAX
        and median("refused_p99") <= REFUSED_MS_MAX
        and median("health_max") <= HEALTH_MS_MAX
        and not any(one.others for one in each)
    )


def _notes(found: dict[tuple[str, str], list[CaseFigures]], name: str) -> Iterator[str]:
    yield f"Aims: goodput {GOODPUT_MIN} of the peak, p99 (x) {P99_TIMES_MAX:g} times that at the peak, the rest refused"
    yield f"within {REFUSED_MS_MAX:g} ms (its p99), health within {HEALTH_MS_MAX:g} ms (its slowest), nothing else."
    for (transport, case), each in found.items():
        for number, one in enumerate(each, start=1):
            if transport == name and (one.others or one.invalid):
                yield f"{case}, round {number}: {one.others or one.invalid}"


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and write the results; return the exit code."""

    def measure_all(arguments: argparse.Namespace) -> tuple[Report, int]:
        report, reached = run_all(arguments.rounds, arguments.seconds, arguments.transports)
        return report, 0 if reached else MISSED

    return command.run(__doc__, measure_all, rounds=ROUNDS, seconds=SECONDS, transports=True, given=given)


if __name__ == "__main__":
    sys.exit(main())
