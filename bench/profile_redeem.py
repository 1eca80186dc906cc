"""The cost of a redeem, and a flame graph of the worker: a private server under a closed loop of calls.

It prints the CPU of the worker and of the ledger, and the bytes of the append-only file; py-spy records the flame
graphs. Run it with ``make profile``; it leaves only its results behind.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import aof
import command
from ceiling import BATCHES_UNDER_WAY, REDEEMS_PER_SECOND_MAX, UNARY_UNDER_WAY, Place, measure
from report import Report, tell, timestamp
from results import Sample
from shop import BATCH_REDEEM, REDEEM, GateError, Shop, batches
from under_test import redemption_server

SIZES = {"unary": 1, "batch-64": 64}
"""Orders in one call: of Redeem, and of BatchRedeem."""
SECONDS = 10.0
COST_SECONDS = 3.0
"""Seconds of the load that measures the costs without py-spy, and of the load before it that warms up."""
BEGIN_SECONDS = 2.0
"""Time for py-spy to begin."""
END_SECONDS_MAX = 30.0
"""Time for py-spy to write the flame graph."""
SPARE = 1.3
"""Requests are prepared for this many times the rate of the warm-up."""
PY_SPY = [str(Path(sys.executable).with_name("py-spy")), "record", "--native", "--format", "speedscope", "--rate", "25"]
"""A sample with native frames stops the worker for 4 to 8 ms; without them transport and loop look like one frame."""


def written_down(shop: Shop, size: int, redeems: float) -> list[bytes]:
    """Return encoded calls, with ``size`` orders in each."""
    requests = shop.requests(round(redeems))
    return [each.SerializeToString() for each in requests] if size == 1 else list(batches(requests, size))


def load(place: Place, size: int, seconds: float, messages: Sequence[bytes]) -> Sample:
    """Keep the server busy for some seconds.

    Raises:
        GateError: Calls failed or were refused, or the ledger's count differs from the approvals.
    """
    method, under_way = (REDEEM, UNARY_UNDER_WAY) if size == 1 else (BATCH_REDEEM, BATCHES_UNDER_WAY)
    sample = measure(place, messages, method, under_way=under_way, seconds=seconds, redeems_per_call=size)
    if sample.wrong:
        raise GateError(sample.invalid)
    return sample


def sampler(tool: Sequence[str], pid: int, seconds: float, path: Path) -> subprocess.Popen[str]:
    """Start py-spy on a process."""
    given = [*tool, "--pid", str(pid), "--duration", f"{max(seconds, 1):.0f}", "--output", str(path)]
    return subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603 - a tool of this environment


def problem(sampling: subprocess.Popen[str]) -> str:
    """Wait until the flame graph is written; return an empty text, or one line that says why there is none."""
    try:
        said, _ = sampling.communicate(timeout=END_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        sampling.kill()
        said, _ = sampling.communicate()
    if "ermission" in said or "ptrace" in said:
        return "py-spy may not look at the worker (ptrace is not permitted): be root, or give it CAP_SYS_PTRACE"
    return f"py-spy failed: {' '.join(said.split())}" if sampling.returncode else ""


def profile(report: Report, name: str, seconds: float, folder: Path) -> None:
    """Measure one kind of call on a new server, and add the result to the report."""
    size = SIZES[name]
    tell(f"{name}: what a redeem costs, then {seconds:g} s of samples")
    path = folder / f"profile-{name}-{timestamp()}.speedscope.json"
    with redemption_server() as server, closing(Shop(server.authority)) as shop:
        assert server.directory is not None
        place = Place(server, shop)
        warm = load(place, size, COST_SECONDS, written_down(shop, size, COST_SECONDS * REDEEMS_PER_SECOND_MAX))
        rate = SPARE * warm.redeems_per_second
        messages = written_down(shop, size, rate * COST_SECONDS)
        before = aof.incremental_files(server.directory)
        cost = load(place, size, COST_SECONDS, messages)
        kinds = aof.by_kind(aof.since(server.directory, before))
        messages = written_down(shop, size, rate * (BEGIN_SECONDS + seconds))
        sampling = sampler(PY_SPY, server.workers[0].pid, seconds, path)
        load(place, size, BEGIN_SECONDS + seconds, messages)
        graph = problem(sampling) or f"flame graph for https://www.speedscope.app: {path}"
    written = {" ".join(kind): each.size / cost.approved for kind, each in kinds.items()}
    figures = {"µs of CPU, worker": cost.server_us, "µs of CPU, ledger": cost.ledger_us}
    figures |= {"bytes of append-only file": sum(written.values())}
    figures |= {f"    {kind}": written[kind] for kind in sorted(written, key=lambda kind: -written[kind])}
    rows = [(figure, f"{value:.1f}") for figure, value in figures.items()]
    report.add(f"{name}: one redeem, of {cost.redeems_per_second:,.0f} a second", ("", "each"), rows, graph)
    report.data[name] = {**asdict(cost), "aof_bytes": written}


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and write the results; return the exit code."""

    def measure_all(arguments: argparse.Namespace) -> tuple[Report, int]:
        report = Report("profile", {"durability": "strict", "sampled for": f"{arguments.seconds:g} s a kind of call"})
        for name in SIZES:
            profile(report, name, arguments.seconds, arguments.results)
        return report, 0

    return command.run(__doc__, measure_all, seconds=SECONDS, given=given)


if __name__ == "__main__":
    sys.exit(main())
