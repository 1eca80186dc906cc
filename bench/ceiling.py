"""How close the service comes to its upper limits: grpcio with an empty handler, and the ledger without a server.

All cases run on one machine and take turns, so that a noisy neighbour disturbs all of them. Each figure is the median
of the rounds, each ratio the median of the ratios of the rounds. Each approval of the service is compared with its
order, and their number with the ledger's count, also for the plain version: a difference fails the run. Run it with
``make bench-ceiling``.

It exits with 1 if a server was wrong or nothing could be measured, and with 3 if an aim was missed or a case is
INVALID.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import command
import ledger_alone
from generator import Run, closed_loop, lines, open_loop
from http2 import Call, write_calls
from redis import Redis
from report import Report
from results import Aim, Results, Sample
from rich.console import Console
from rich.progress import Progress
from shop import (
    BATCH_REDEEM,
    CLAIM,
    PROGRAM,
    QUOTE,
    REDEEM,
    SIMPLE,
    GateError,
    Shape,
    Shop,
    approvals,
    batches,
    require_own,
    require_same,
)
from under_test import Cost, Neighbours, UnderTest, redemption_server, script_server, settle

from redemption.server.embedded_valkey import EmbeddedValkey
from redemption.v1.issuance_service_pb2 import ClaimResponse
from redemption.v1.outcome_pb2 import OUTCOME_APPROVED
from redemption.v1.redemption_service_pb2 import QuoteRequest, QuoteResponse

COMPILED = Path(__file__).resolve().parent.parent / ".venv-compiled" / "bin" / "python"
"""The folder of the compiled build from ``make compiled``; it is measured if it exists."""
ROUNDS = 5
SECONDS = 1.5
BATCH_SIZES = (1, 8, 64, 256)
SHAPES = (Shape(1, 20), Shape(3, 1), Shape(3, 20))
PARTS_OF_PEAK = (0.25, 0.5)
"""At 0.75 of the peak, the generator (which sends each call by itself) and the service need more than two cores."""
CONNECTIONS = 4
CONNECTIONS_TWO_WORKERS = 32
"""Many, because the system distributes connections over workers by chance."""
UNARY_UNDER_WAY = 64
BATCHES_UNDER_WAY = 8
CALIBRATIONS = 3
REDEEMS_PER_SECOND_MAX = 40_000
"""Requests are prepared for at most this many in a second of a run."""
CALLS_PER_SECOND_MAX = 20_000
EMPTY_TIMES = 5
"""Our own transport answers this many times as many empty calls, so this many times as many are prepared."""
OTHERS_PART_MAX = 0.1
"""Share of the machine's CPU; if other processes use more, the run is not reliable."""
AIMS = (
    Aim("unary against the empty handler of grpc.aio", "unary", "empty", at_least=1.9),
    Aim("CPU of a unary redeem against that handler's", "unary", "empty", at_most=0.38, figure="server_us"),
    Aim("unary against the same on grpcio", "unary", "unary grpcio", at_least=1.5),
    Aim("BatchRedeem(64) against unary", "batch 64", "unary", at_least=4),
    Aim("BatchRedeem(64) against the ledger alone", "batch 64", "ledger 64", at_least=0.6),
    Aim("strict against fast, BatchRedeem(64)", "batch 64", "fast batch 64", at_least=0.75),
    Aim("unary against the plain version", "unary", "plain", at_least=1.5),
    Aim("p99 at half the peak against the empty one's", "unary at 50%", "empty at 50%", at_most=3),
)

COMPILED_AIMS = (
    Aim("unary, compiled against interpreted", "unary compiled", "unary", at_least=1.2),
    Aim(
        "CPU, compiled against interpreted, BatchRedeem(64)",
        "batch 64 compiled",
        "batch 64",
        at_most=0.77,
        figure="server_us",
    ),
)


@dataclass(frozen=True, slots=True)
class Place:
    """A server with its shop; the empty server has none."""

    server: UnderTest
    shop: Shop | None = None
    connections: int = CONNECTIONS


class Bench:
    """Runs the measurements; starts each server when it is needed first."""

    def __init__(self, stack: ExitStack, seconds: float) -> None:
        self._stack = stack
        self._seconds = seconds
        self._peak = 0.0
        self._seed = 0
        self._plain_counted = 0

    @cached_property
    def strict(self) -> Place:
        """The service with its defaults."""
        return self._open(redemption_server())

    @cached_property
    def fast(self) -> Place:
        """The service with fast durability: it does not wait for fsync."""
        return self._open(redemption_server("fast"))

    @cached_property
    def two(self) -> Place:
        """The service with two workers."""
        return self._open(redemption_server(workers=2), CONNECTIONS_TWO_WORKERS)

    @cached_property
    def empty(self) -> Place:
        """The empty handler on grpcio's server."""
        return Place(self._stack.enter_context(script_server("empty_server.py")))

    @cached_property
    def own_empty(self) -> Place:
        """The empty handler on the service's own transport."""
        return Place(self._stack.enter_context(script_server("empty_server.py", arguments=("nghttp2",))))

    @cached_property
    def compiled(self) -> Place:
        """The service in its compiled build."""
        return self._open(redemption_server(python=str(COMPILED)))

    @cached_property
    def grpcio(self) -> Place:
        """The service on grpcio's server."""
        return self._open(redemption_server(transport="grpcio"))

    @cached_property
    def empty_two(self) -> Place:
        """The empty handler on grpcio's server, in two processes."""
        server = self._stack.enter_context(script_server("empty_server.py", workers=2))
        return Place(server, connections=CONNECTIONS_TWO_WORKERS)

    @cached_property
    def plain(self) -> Place:
        """The plain version, with the service's ledger and keys."""
        arguments = (self._ledger_url, str(self._directory / "demo.keyset"))
        starting = script_server("plain_server.py", arguments=arguments, ledger=self.strict.server)
        return Place(self._stack.enter_context(starting))

    @cached_property
    def _plain_redis(self) -> Redis:
        return self._stack.enter_context(Redis.from_url(self._ledger_url))

    @property
    def _directory(self) -> Path:
        directory = self.strict.server.directory
        assert directory is not None, "the service has one"
        return directory

    @property
    def _ledger_url(self) -> str:
        return EmbeddedValkey(self._directory / "ledger").url

    def _open(self, starting: AbstractContextManager[UnderTest], connections: int = CONNECTIONS) -> Place:
        server = self._stack.enter_context(starting)
        shop = Shop(server.authority)
        self._stack.callback(shop.close)
        return Place(server, shop, connections)

    def cases(self) -> Sequence[Mapping[str, Callable[[], Sample]]]:
        """Return the cases in groups, in the order of a round; cases that are compared are next to each other."""
        one_by_one = {
            "empty": lambda: self.unary(self.empty),
            "empty nghttp2": self.own_empty_unary,
            "unary": lambda: self.unary(self.strict),
            "unary grpcio": lambda: self.unary(self.grpcio),
            "plain": self.plain_unary,
            "fast unary": lambda: self.unary(self.fast),
        }
        batched = {"fast batch 64": lambda: self.batch(self.fast, 64)}
        if COMPILED.exists():
            one_by_one["unary compiled"] = lambda: self.unary(self.compiled)
            batched["batch 64 compiled"] = lambda: self.batch(self.compiled, 64)
        for size in sorted(BATCH_SIZES, key=lambda size: size != 64):  # noqa: PLR2004 - 64 first: it is compared with fast
            batched[f"batch {size}"] = partial(self.batch, self.strict, size)
            batched[f"ledger {size}"] = partial(self.ledger, size)
        paced: dict[str, Callable[[], Sample]] = {}
        for part in PARTS_OF_PEAK:
            paced[f"empty at {part:.0%}"] = partial(self.paced, self.empty, part)
            paced[f"unary at {part:.0%}"] = partial(self.paced, self.strict, part)
        two_workers = {
            "empty, 2 workers": lambda: self.unary(self.empty_two),
            "unary, 2 workers": lambda: self.unary(self.two),
            "batch 64, 2 workers": lambda: self.batch(self.two, 64),
        }
        shapes = {
            f"tokens: {each.tokens}, lines: {each.lines}": partial(self.unary, self.strict, each) for each in SHAPES
        }
        others = {"claim": self.claims, "quote": self.quotes}
        return [one_by_one, batched, paced, two_workers, shapes, others]

    def calibrate(self) -> float:
        """Find the peak of unary calls; latency is measured at shares of it. This also warms up the server.

        Raises:
            GateError: Calls were not answered correctly, so there is no peak.
        """
        samples = [self.unary(self.strict) for _ in range(CALIBRATIONS)]
        for place in (self.empty, self.fast, self.two, self.empty_two):
            self.unary(place)
        self.plain_unary()
        self._peak = statistics.median(sample.redeems_per_second for sample in samples)
        if any(sample.wrong for sample in samples) or not self._peak:
            raise GateError(f"no peak was found: {samples[-1].invalid}")
        return self._peak

    def unary(self, place: Place, shape: Shape = SIMPLE) -> Sample:
        """Redeem single orders, as many as possible."""
        messages = self._unary_messages(place, round(self._seconds * CALLS_PER_SECOND_MAX), shape)
        return measure(place, messages, REDEEM, under_way=UNARY_UNDER_WAY, seconds=self._seconds, tokens=shape.tokens)

    def own_empty_unary(self) -> Sample:
        """Send single orders to the empty handler, which reads none: the same orders again and again."""
        messages = self._unary_messages(self.own_empty, round(self._seconds * CALLS_PER_SECOND_MAX), SIMPLE)
        return measure(self.own_empty, messages * EMPTY_TIMES, REDEEM, under_way=UNARY_UNDER_WAY, seconds=self._seconds)

    def batch(self, place: Place, size: int) -> Sample:
        """Redeem batches of orders, as many as possible."""
        assert place.shop is not None, "the service has one"
        messages = list(batches(place.shop.requests(self._redeems_max(size)), size))
        under_way = UNARY_UNDER_WAY if size == 1 else BATCHES_UNDER_WAY
        return measure(place, messages, BATCH_REDEEM, under_way=under_way, seconds=self._seconds, redeems_per_call=size)

    def paced(self, place: Place, part: float) -> Sample:
        """Redeem single orders at random times, at a share of the peak."""
        rate = part * self._peak
        messages = self._unary_messages(place, round(1.2 * rate * self._seconds) + 100, SIMPLE)
        self._seed += 1
        settle()
        with lines(place.server.address, _calls(place, messages, REDEEM)) as opened:
            before = place.server.cost()
            run = open_loop(opened, calls_per_second=rate, seconds=self._seconds, seed=self._seed)
            cost = place.server.cost() - before
        return _sample(place, messages, run, cost, REDEEM)

    def claims(self) -> Sample:
        """Claim a coupon for each of many customers, as many as possible."""
        place = self.strict
        assert place.shop is not None
        messages = place.shop.claims(round(self._seconds * CALLS_PER_SECOND_MAX))
        return _other(place, messages, CLAIM, lambda raw: ClaimResponse.FromString(raw).outcome, self._seconds)

    def quotes(self) -> Sample:
        """Quote orders with one coupon, as many as possible."""
        place = self.strict
        assert place.shop is not None
        requests = place.shop.requests(round(self._seconds * CALLS_PER_SECOND_MAX))
        messages = [QuoteRequest(checkout=request.checkout).SerializeToString() for request in requests]
        return _other(place, messages, QUOTE, lambda raw: QuoteResponse.FromString(raw).together.outcome, self._seconds)

    def plain_unary(self) -> Sample:
        """Redeem single orders at the plain server."""
        assert self.strict.shop is not None
        sample = self.unary(self.plain)
        name = f"plain:{PROGRAM}:campaign:{self.strict.shop.campaigns[0]}"
        before, self._plain_counted = self._plain_counted, int(self._plain_redis.hget(name, "redeemed") or 0)
        require_same(sample.approved, self._plain_counted - before)
        return sample

    def ledger(self, size: int) -> Sample:
        """Call the ledger without a server, with ``size`` orders in a call."""
        server, shop, directory = self.strict.server, self.strict.shop, self._directory
        assert shop is not None
        calls = ledger_alone.pack(directory, shop.requests(self._redeems_max(size)), size)
        settle()
        before = server.cost()
        run = ledger_alone.ledger_loop(directory, calls, seconds=self._seconds)
        cost = server.cost() - before
        approved = ledger_alone.approvals(run.answers)
        shop.require_counted(approved)
        return Sample.of(run, cost, redeems_per_call=size, approved=approved)

    def _redeems_max(self, size: int) -> int:
        """Return how many orders to prepare for a case, by the number of orders in a call."""
        return round(self._seconds * min(REDEEMS_PER_SECOND_MAX, size * CALLS_PER_SECOND_MAX))

    def _unary_messages(self, place: Place, count: int, shape: Shape) -> list[bytes]:
        shop = place.shop or self.strict.shop  # the empty server does not check tokens
        assert shop is not None
        return [request.SerializeToString() for request in shop.requests(count, shape)]


def measure(
    place: Place,
    messages: Sequence[bytes],
    method: str,
    *,
    under_way: int,
    seconds: float,
    redeems_per_call: int = 1,
    tokens: int = 1,
) -> Sample:
    """Send as many calls as possible in some seconds, with a fixed number in flight.

    Raises:
        GateError: The ledger's count differs from the approvals.
    """
    each = max(under_way // place.connections, 1)
    settle()
    with lines(place.server.address, _calls(place, messages, method)) as opened:
        before = place.server.cost()
        run = closed_loop(opened, under_way=each, seconds=seconds)
        cost = place.server.cost() - before
    return _sample(place, messages, run, cost, method, redeems_per_call=redeems_per_call, tokens=tokens)


def _sample(
    place: Place,
    messages: Sequence[bytes],
    run: Run,
    cost: Cost,
    method: str,
    *,
    redeems_per_call: int = 1,
    tokens: int = 1,
) -> Sample:
    approved = approvals(run.answers, batched=method == BATCH_REDEEM)
    sample = Sample.of(run, cost, redeems_per_call=redeems_per_call, approved=approved, tokens=tokens)
    if place.shop is not None:
        place.shop.require_counted(approved, besides=sample.invalid if sample.wrong else "")
        require_own(messages, run, batched=method == BATCH_REDEEM)
    return sample


def _other(
    place: Place, messages: Sequence[bytes], method: str, outcome: Callable[[bytes], int], seconds: float
) -> Sample:
    """Send calls that redeem nothing, as many as possible."""
    settle()
    with lines(place.server.address, _calls(place, messages, method)) as opened:
        before = place.server.cost()
        run = closed_loop(opened, under_way=UNARY_UNDER_WAY // place.connections, seconds=seconds)
        cost = place.server.cost() - before
    approved = sum(outcome(raw) == OUTCOME_APPROVED for raw in run.answers)
    return Sample.of(run, cost, redeems_per_call=1, approved=approved)


def _calls(place: Place, messages: Sequence[bytes], method: str) -> list[list[Call]]:
    """Encode calls, distributed over the connections in turn."""
    return [
        write_calls(place.server.authority, method, messages[index :: place.connections])
        for index in range(place.connections)
    ]


def run_all(rounds: int, seconds: float) -> Results:
    """Run all cases in turn, ``rounds`` times."""
    with ExitStack() as stack:
        bench = Bench(stack, seconds)
        groups = bench.cases()
        breaks = [[*group][-1] for group in groups[:-1]]
        aims = (*AIMS, *COMPILED_AIMS) if COMPILED.exists() else AIMS
        results = Results("ceiling", {"rounds": rounds, "seconds": seconds}, aims, breaks=breaks)
        results.facts["unary peak, calibrated"] = f"{bench.calibrate():,.0f}/s"
        cases = {name: case for group in groups for name, case in group.items()}
        neighbours = Neighbours()
        # It is drawn only on request, not from a thread of its own that would delay calls.
        with Progress(transient=True, auto_refresh=False, console=Console(stderr=True)) as progress:
            task = progress.add_task("", total=rounds * len(cases))
            for _ in range(rounds):
                for name, case in cases.items():
                    progress.update(task, description=name, refresh=True)
                    results.add(name, _again_if_late(case))
                    progress.advance(task)
        others = neighbours.part()
        results.facts["others on this machine"] = f"{others:.0%} of its CPU"
        if others > OTHERS_PART_MAX:
            results.notes.append(f"Others took {others:.0%} of this machine's CPU: measure again when they are done.")
    return results


def _again_if_late(case: Callable[[], Sample]) -> Sample:
    """Measure a case; repeat it once if only the generator was too slow, never if the server was wrong."""
    sample = case()
    return case() if sample.invalid and not sample.wrong else sample


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and write the results; return the exit code."""

    def measure_all(arguments: argparse.Namespace) -> tuple[Report, int]:
        results = run_all(arguments.rounds, arguments.seconds)
        return results.report(), results.exit_code

    return command.run(__doc__, measure_all, rounds=ROUNDS, seconds=SECONDS, given=given)


if __name__ == "__main__":
    sys.exit(main())
