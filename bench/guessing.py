"""Somebody guesses tokens, and then exchange codes, at full speed, on one device; shoppers at the same address buy.

First nobody guesses, then somebody guesses tokens, then exchange codes: each time the shoppers' latency and how many of
their orders were approved. Then somebody guesses alone: what it costs the ledger. How the guesses were answered shows
how many were judged before the guesser was locked out. Run it with ``make bench-guessing``; it needs no running
server and leaves only its results.

It exits with 1 if a shopper was refused or the guesser was not locked out within the bound of docs/anti-abuse.md.
"""

import argparse
import multiprocessing
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection as Pipe

import command
from generator import Run, closed_loop, lines, open_loop
from http2 import write_calls
from latency import PERCENTILES
from redis import Redis
from report import Report
from shop import CLAIM, PROGRAM, REDEEM, GateError, Shop
from under_test import UnderTest, redemption_server

from redemption.server.embedded_valkey import EmbeddedValkey
from redemption.v1.issuance_service_pb2 import ClaimRequest, ClaimResponse
from redemption.v1.outcome_pb2 import Outcome
from redemption.v1.redemption_service_pb2 import RedeemRequest, RedeemResponse

SECONDS = 10.0
GUESSES = 100_000
WORKERS = 2
CONNECTIONS = 4
UNDER_WAY = 16
SHOPPERS_PER_SECOND = 200.0
FAILURES = 10
"""So many failed tokens lock a device out, by default."""
ADDRESS = "192.0.2.7"
GROWTH_MAX = 2**20


@dataclass(frozen=True, slots=True)
class Kind:
    """What somebody guesses: the method, how a guess is made, and how its answer is read."""

    method: str
    guess: Callable[[str, int], bytes]
    outcome: Callable[[bytes], int]


def _token(who: str, number: int) -> bytes:
    request = RedeemRequest(request_id=f"guess-{number}")
    checkout = request.checkout
    checkout.program = PROGRAM
    checkout.tokens.append("AQ" + secrets.token_urlsafe(60)[:62])
    checkout.order.order_id, checkout.order.currency_code = f"guess-{number}", "CNY"
    checkout.order.lines.add(line_id="1", quantity=1, amount_minor=1)
    checkout.customer.customer_id, checkout.risk.device_id, checkout.risk.network_address = who, who, ADDRESS
    return request.SerializeToString()


def _code(who: str, number: int) -> bytes:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    request = ClaimRequest(program=PROGRAM, request_id=f"code-{number}")
    request.code = "".join(secrets.choice(alphabet) for _ in range(16))
    request.customer.customer_id, request.risk.device_id, request.risk.network_address = who, who, ADDRESS
    return request.SerializeToString()


KINDS = {
    "tokens": Kind(REDEEM, _token, lambda raw: RedeemResponse.FromString(raw).decision.outcome),
    "exchange codes": Kind(CLAIM, _code, lambda raw: ClaimResponse.FromString(raw).outcome),
}


def _guess(address: tuple[str, int], kind: str, seconds: float, results: Pipe) -> None:
    """Guess for some seconds, or until all guesses are used; send how often each outcome was answered, and the rate."""
    of = KINDS[kind]
    who = secrets.token_hex(4)
    guesses = [
        write_calls(
            f"{address[0]}:{address[1]}", of.method, map(partial(of.guess, who), range(first, GUESSES, CONNECTIONS))
        )
        for first in range(CONNECTIONS)
    ]
    with lines(address, guesses) as opened:
        results.send("ready")
        run = closed_loop(opened, under_way=UNDER_WAY, seconds=seconds)
    outcomes = Counter(Outcome.Name(of.outcome(raw)).removeprefix("OUTCOME_") for raw in run.answers)
    results.send((outcomes + run.failures, run.calls_per_second))


@contextmanager
def guessing(server: UnderTest, kind: str | None, seconds: float) -> Iterator[list[tuple[Counter[str], float]]]:
    """Have somebody guess, in another process; at the end the list has how it was answered."""
    found: list[tuple[Counter[str], float]] = []
    if kind is None:
        yield found
        return
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_guess, args=(server.address, kind, seconds, there))
    process.start()
    try:
        here.recv()
        yield found
        found.append(here.recv())
    finally:
        process.join()


@dataclass(frozen=True, slots=True)
class Spent:
    """What the ledger has done: calls of functions, bytes of its append-only file, entries of its event stream."""

    calls: int
    aof_bytes: int
    events: int

    @classmethod
    def by(cls, server: UnderTest) -> "Spent":
        """Read the figures."""
        assert server.directory is not None
        with Redis.from_url(EmbeddedValkey(server.directory / "ledger").url, protocol=2) as redis:
            stats = redis.info("commandstats")
            calls = sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("fcall", "fcall_ro"))
            persistence = redis.info("persistence")
            return cls(calls, persistence["aof_current_size"], redis.xlen(f"{{{PROGRAM}}}:events"))


def shoppers(server: UnderTest, requests: Sequence[RedeemRequest], seconds: float, seed: int) -> Run:
    """Let shoppers buy at random times."""
    for number, request in enumerate(requests):
        request.checkout.risk.device_id, request.checkout.risk.network_address = f"phone {seed}-{number}", ADDRESS
    calls = [
        write_calls(server.authority, REDEEM, [one.SerializeToString() for one in requests[first::CONNECTIONS]])
        for first in range(CONNECTIONS)
    ]
    with lines(server.address, calls) as opened:
        return open_loop(opened, calls_per_second=SHOPPERS_PER_SECOND, seconds=seconds, seed=seed)


def measure(arguments: argparse.Namespace) -> tuple[Report, int]:
    """Measure all cases; return the report and the exit code."""
    seconds = arguments.seconds
    rows, notes, wrong = [], [], False
    with redemption_server(workers=WORKERS) as server:
        shop = Shop(server.authority, campaigns=1)
        for seed, kind in enumerate((None, *KINDS)):
            requests = shop.requests(int(2 * SHOPPERS_PER_SECOND * seconds) + CONNECTIONS)
            with guessing(server, kind, seconds) as found:
                run = shoppers(server, requests, seconds, seed)
            approved = sum(
                RedeemResponse.FromString(raw).decision.outcome == Outcome.OUTCOME_APPROVED for raw in run.answers
            )
            wrong = wrong or approved < run.sent
            histogram = run.histogram()
            latencies = [f"{histogram.ms(part):.1f}" for part in PERCENTILES]
            rows.append((f"{kind or 'nobody'}", f"{run.sent:,}", f"{approved / run.sent:.2%}", *latencies))
            for outcomes, rate in found:
                notes.append(f"{kind}: {_told(outcomes)}; {rate:,.0f} a second")
        alone = []
        for kind in KINDS:
            before = Spent.by(server)
            with guessing(server, kind, seconds) as found:
                pass
            after = Spent.by(server)
            ((outcomes, rate),) = found
            grown = after.aof_bytes - before.aof_bytes
            alone.append(
                (
                    kind,
                    f"{outcomes.total():,}",
                    f"{rate:,.0f}",
                    f"{after.calls - before.calls:,}",
                    f"{grown / 1024:,.0f}",
                    f"{after.events - before.events}",
                )
            )
            judged = outcomes["TOKEN_INVALID"] + outcomes["CODE_INVALID"]
            notes.append(f"alone, {kind}: {_told(outcomes)}")
            wrong = wrong or grown > GROWTH_MAX * seconds / 60 or judged > outcomes.total() / 10
        shop.close()
    report = Report(
        "guessing", {"workers": str(WORKERS), "seconds": f"{seconds:g}", "shoppers": f"{SHOPPERS_PER_SECOND:g}/s"}
    )
    header = ("somebody guesses", "orders", "approved", "p50 ms", "p99", "p99.9")
    report.add("shoppers at the guesser's address", header, rows, *notes[: len(KINDS)])
    header = ("alone", "guesses", "a second", "ledger calls", "KiB of file", "events")
    report.add("what guessing costs the ledger", header, alone, *notes[len(KINDS) :])
    if wrong:
        raise GateError("a shopper was refused, or a guesser was not locked out: " + "; ".join(notes))
    return report, 0


def _told(outcomes: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in outcomes.most_common())


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and write the results; return the exit code."""
    return command.run(__doc__, measure, seconds=SECONDS, given=given)


if __name__ == "__main__":
    sys.exit(main())
