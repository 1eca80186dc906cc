"""Where a redeem spends its time and its bytes: in the server's Python, inside the ledger's function, in the AOF.

The server is a real one under a closed loop of calls, sampled from outside by py-spy; the function is asked on a ledger
of its own, with orders that the real use case packed. Run it with ``make profile``; it leaves only its results behind.
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import aof
import uvloop
from generator import Run, closed_loop, lines
from http2 import write_calls
from lua_phases import ORDERS as CASE_ORDERS
from lua_phases import PARTS, TOP, Case, cases, timed
from prepacked import LIMITS, OFFER, Packer, send
from private import mint, open_campaign, private_services
from report import RESULTS, Report, tell, timestamp
from results import Sample
from sampler import Recorder
from shop import BATCH_REDEEM, REDEEM, GateError, Shop, approvals, batches
from stacks import Profile, at_work, collapsed, speedscope
from under_test import UnderTest, redemption_server, settle

from redemption.cli.exits import INTERRUPTED, Stop

SIZES = (1, 64)
"""Orders in a call: Redeem, and BatchRedeem."""
SECONDS = 20.0
COST_SECONDS = 3.0
"""Of the load that finds the costs, without anybody who samples, and of the one before it that warms up."""
CONNECTIONS = 4
UNDER_WAY = {1: 16, 64: 2}
"""Calls on each connection."""
REDEEMS_PER_SECOND_MAX = 15_000
ROOM = 1.3
"""Requests are made for so many times what the calibration saw."""
FUNCTIONS_SHOWN = 4
ORDERS = 6_400
"""Of which the append-only file is read."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one closed loop found: CPU microseconds a redeem of the worker's main thread, its others, and the ledger."""

    redeems_per_second: float
    main_us: float
    others_us: float
    ledger_us: float


class Bench:
    """One server under load."""

    def __init__(self, server: UnderTest, shop: Shop) -> None:
        self._server = server
        self._shop = shop
        self.worker = server.workers[0]

    def load(self, size: int, seconds: float, redeems: int, recorder: Recorder | None = None) -> Load:
        """Keep the server busy for some seconds, with calls of so many orders."""
        requests = self._shop.requests(redeems)
        messages = [each.SerializeToString() for each in requests] if size == 1 else list(batches(requests, size))
        method = REDEEM if size == 1 else BATCH_REDEEM
        calls = [
            write_calls(self._server.authority, method, messages[index::CONNECTIONS]) for index in range(CONNECTIONS)
        ]
        settle()
        with lines(self._server.address, calls) as opened:
            if recorder is not None:
                recorder.start()
            before, threads = self._server.cost(), self._threads()
            run = closed_loop(opened, under_way=UNDER_WAY[size], seconds=seconds)
            cost, spent = (
                self._server.cost() - before,
                {thread: cpu - threads.get(thread, 0.0) for thread, cpu in self._threads().items()},
            )
        approved = approvals(run.answers, batched=size > 1)
        sample = Sample.of(run, cost, redeems_per_call=size, approved=approved)
        self._shop.require_counted(approved, besides=sample.invalid if sample.wrong else "")
        if sample.wrong:
            raise GateError(sample.invalid)
        return self._load(run, size, spent, cost.ledger)

    def _threads(self) -> dict[int, float]:
        return {thread.id: thread.user_time + thread.system_time for thread in self.worker.threads()}

    def _load(self, run: Run, size: int, spent: dict[int, float], ledger: float) -> Load:
        each = 1e6 / (run.sent * size)
        main = spent.pop(self.worker.pid)
        return Load(run.calls_per_second * size, main * each, sum(spent.values()) * each, ledger * each)


def python_part(report: Report, bench: Bench, size: int, seconds: float, folder: Path) -> None:
    """Say where the server's own time goes."""
    name = "unary" if size == 1 else f"batch {size}"
    warm = bench.load(size, COST_SECONDS, round(COST_SECONDS * REDEEMS_PER_SECOND_MAX))
    plain = bench.load(size, COST_SECONDS, round(ROOM * warm.redeems_per_second * COST_SECONDS))
    with tempfile.TemporaryDirectory(prefix="redemption-bench-") as directory:
        recorder = Recorder(bench.worker.pid, seconds, Path(directory) / "stacks")
        sampled = bench.load(size, seconds, round(ROOM * warm.redeems_per_second * seconds), recorder)
        stacks = at_work(collapsed(recorder.stacks()))
    profile = Profile.of(stacks)
    total = profile.samples.total()
    rows = []
    for purpose, count in profile.samples.most_common():
        rows.append((purpose, f"{count / total:.0%}", f"{plain.main_us * count / total:.1f}"))
        for function, own in profile.functions[purpose].most_common(FUNCTIONS_SHOWN):
            rows.append((f"    {function}", f"{own / total:.1%}", f"{plain.main_us * own / total:.1f}"))
    rows.append(("the worker's main thread", "", f"{plain.main_us:.1f}"))
    rows.append(("its other threads: gRPC core's, and the fence's", "", f"{plain.others_us:.1f}"))
    rows.append(("the ledger's process", "", f"{plain.ledger_us:.1f}"))
    notes = [f"{plain.redeems_per_second:,.0f} redeems/s, {sampled.redeems_per_second:,.0f} while sampled"]
    if recorder.problem:
        notes.append(recorder.problem)
    else:
        path = folder / f"profile-{name.replace(' ', '-')}-{timestamp()}.speedscope.json"
        path.write_text(json.dumps(speedscope(stacks, name)))
        notes.append(
            f"{total:,} samples of the main thread at work; a share of 10% is good to {_error(total):.1%} either way"
        )
        notes.append(f"flame graph for https://www.speedscope.app: {path}")
    report.add(f"server, {name}: CPU of a redeem", ("", "share", "µs"), rows, *notes)
    report.data[f"server {name}"] = {**asdict(plain), "samples": profile.samples, "functions": profile.functions}


def _error(samples: int) -> float:
    """Return the standard error of a share of a tenth."""
    return math.sqrt(0.1 * 0.9 / max(samples, 1))


async def ledger_part(report: Report) -> None:
    """Say where the time of the ledger's function goes, and what is written."""
    async with private_services() as private:
        for size in SIZES:
            found, spent = await cases(private, size)
            report.add(
                f"ledger, calls of {size}: what an order costs, case by case", _CASES, _case_rows(found), _CASES_NOTE
            )
            rows = [
                (name, f"{calls / CASE_ORDERS:.2f}", f"{usec / CASE_ORDERS:.2f}")
                for name, (calls, usec) in sorted(spent.called.items(), key=lambda pair: -pair[1][1])
            ]
            report.add(f"ledger, calls of {size}: commands of an approval", ("", "calls", "µs"), rows)
            rows = []
            for functions, name in ((TOP, f"top{size}"), (PARTS, f"parts{size}")):
                rows += [
                    (f"{'    ' if functions is PARTS else ''}{function}", f"{calls:.2f}", f"{usec:.2f}")
                    for function, calls, usec in await timed(private, functions, size, name)
                ]
            report.add(f"ledger, calls of {size}: parts of the function", ("", "calls", "µs"), rows, _PARTS_NOTE)


async def written_part(report: Report) -> None:
    """Say what a redeem writes into the append-only file."""
    async with private_services() as private:
        campaign, packer = await open_campaign(private, OFFER, limits=LIMITS), Packer(private)
        for size in SIZES:
            items = await packer.items([minted.token for minted in await mint(private, campaign, ORDERS)])
            before = aof.incremental_files(private.directory)
            send(private, packer.calls(items, size))
            kinds = aof.by_kind(aof.since(private.directory, before))
            total = aof.Written()
            rows = []
            for (command, kind), written in sorted(kinds.items(), key=lambda pair: -pair[1].size):
                rows.append((f"{command} {kind}", *_written(written)))
                for name in ("commands", "keys", "values", "framing"):
                    setattr(total, name, getattr(total, name) + getattr(written, name))
            rows.append(("together", *_written(total)))
            report.add(f"append-only file, calls of {size}: bytes of a redeem", _WRITTEN, rows)


_CASES = ("", "µs", "added", "in commands", "in Lua", "commands")
_WRITTEN = ("", "commands", "bytes", "keys' names", "fields, values", "framing")
_CASES_NOTE = "In Lua: all the rest, handing arguments to commands and replies back among it."
_PARTS_NOTE = (
    "Timed one by one in a copy of the library; the clock's own time is taken off. Indented: inside decide and apply."
)


def _case_rows(found: Sequence[Case]) -> list[tuple[str, ...]]:
    rows = []
    before = 0.0
    for case in found:
        figures = (case.script_us, case.script_us - before, case.commands_us, case.lua_us, case.commands)
        rows.append((case.name, *(f"{figure:.2f}" for figure in figures)))
        before = case.script_us
    return rows


def _written(written: aof.Written) -> tuple[str, ...]:
    figures = (written.commands, written.size, written.keys, written.values, written.framing)
    return tuple(f"{figure / ORDERS:.2f}" for figure in figures)


def main() -> int:
    """Measure, print, and write down; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"of sampling each kind of call (default: {SECONDS:g})"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder to write to (default: bench/results)")
    given = parser.parse_args()
    given.results.mkdir(parents=True, exist_ok=True)
    report = Report("profile", {"durability": "strict", "sampled for": f"{given.seconds:g} s a kind of call"})
    try:
        with redemption_server() as server, closing(Shop(server.authority)) as shop:
            for size in SIZES:
                tell(f"calls of {size}: the server's Python, in {given.seconds:g} s of samples")
                python_part(report, Bench(server, shop), size, given.seconds, given.results)
        tell("the ledger's function, and the append-only file")
        uvloop.run(ledger_part(report))
        uvloop.run(written_part(report))
    except (GateError, Stop, OSError) as error:
        print(f"FAIL: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    path = report.write(given.results)  # first: the terminal may be gone
    report.print()
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
