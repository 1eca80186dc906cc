"""Is the load that the generator makes like other clients' load? The same empty handler, driven by three of them.

Our own generator, ``h2load`` of nghttp2 if it is installed (it sends one request again and again), and a plain
``grpc.aio`` client in a process of its own take turns, with as many calls under way. What clients cost differs, and so
does how fast they are; what has to agree is the server's CPU for each request, within a fifth. ``grpc.aio`` is so much
slower that our generator follows it at its rate: a server that has less to do takes more for each request. Run it with
``make bench-generator``.
"""

import argparse
import asyncio
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import grpc
import uvloop
from generator import closed_loop, lines, open_loop
from http2 import write_calls
from report import RESULTS, Report, tell
from shop import REDEEM, order_request
from under_test import UnderTest, script_server, settle

from redemption.cli.exits import INTERRUPTED

ROUNDS = 5
SECONDS = 1.0
SECONDS_MAX = 30.0
CONNECTIONS = 4
UNDER_WAY = 16
"""On each connection."""
APART_MAX = 0.2
"""How far from 1 the ratio of what two clients cost the server may be."""
CALLS_PER_SECOND_MAX = 20_000
TOKEN = "c" * 64
"""As long as a real one; the empty handler looks at nothing."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one client found in one round.

    Attributes:
        sent: Calls that the server was asked for.
        calls_per_second: Calls that were answered.
        p50_ms: The median of the latency.
        wrong: What went wrong, or empty.
    """

    sent: int
    calls_per_second: float
    p50_ms: float
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """What one client found, and what it cost the server."""

    found: Found
    server_us: float


def messages() -> Iterator[bytes]:
    """Write requests, every one another, all of one length."""
    number = 0
    while True:
        number += 1
        yield order_request(f"{number:06}", [TOKEN], 1).SerializeToString()


def ours(server: UnderTest, seconds: float, *, calls_per_second: float | None = None) -> Found:
    """Drive the server with our own generator, as fast as it goes or at a rate."""
    count, each = round(seconds * CALLS_PER_SECOND_MAX / CONNECTIONS), messages()
    calls = [write_calls(server.authority, REDEEM, [next(each) for _ in range(count)]) for _ in range(CONNECTIONS)]
    with lines(server.address, calls) as opened:
        if calls_per_second is None:
            run = closed_loop(opened, under_way=UNDER_WAY, seconds=seconds)
        else:
            run = open_loop(opened, calls_per_second=calls_per_second, seconds=seconds, seed=round(calls_per_second))
    return Found(
        run.sent,
        run.calls_per_second,
        run.histogram().get_value_at_percentile(50) / 1000,
        ", ".join(run.failures) or run.invalid,
    )


def h2load(server: UnderTest, seconds: float) -> Found:
    """Drive the server with h2load."""
    message = next(messages())
    with tempfile.TemporaryDirectory(prefix="redemption-bench-") as directory:
        body, log = Path(directory) / "body", Path(directory) / "log"
        body.write_bytes(b"\x00" + len(message).to_bytes(4) + message)
        command = [
            "h2load",
            "-c",
            str(CONNECTIONS),
            "-m",
            str(UNDER_WAY),
            "-D",
            f"{round(seconds * 1000)}ms",
            "--warm-up-time=0",
        ]
        command += [
            "-d",
            str(body),
            "-H",
            "content-type: application/grpc",
            "-H",
            "te: trailers",
            "-H",
            "grpc-timeout: 10S",
        ]
        command += [f"--log-file={log}", f"http://{server.authority}{REDEEM}"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own words
        taken_us = [int(line.split()[2]) for line in log.read_text().splitlines()]
    started, succeeded, failed = (_number(told, rf"(\d+) {word}") for word in ("started", "succeeded", "failed"))
    wrong = f"{failed} failed" if failed else ""
    if _number(told, r"\((\d+)\) data") < succeeded * len(message) / 2:
        wrong = "answers without a message"  # a refusal of gRPC's is a success of HTTP's
    return Found(started, succeeded / seconds, statistics.median(taken_us or [0]) / 1000, wrong)


def grpc_aio(server: UnderTest, seconds: float) -> Found:
    """Drive the server with a plain client of grpc.aio, in a process of its own."""
    command = [sys.executable, __file__, "--client-of", server.authority, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own program
    return Found(**json.loads(done.stdout))


async def client(authority: str, seconds: float) -> Found:
    """Be that client."""
    taken: list[float] = []
    failures: set[str] = set()
    each = messages()
    channels = [
        grpc.aio.insecure_channel(authority, options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(CONNECTIONS)
    ]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    began = time.perf_counter()

    async def caller(channel: grpc.aio.Channel) -> None:
        redeem = channel.unary_unary(REDEEM)
        while (at := time.perf_counter()) < began + seconds:
            try:
                await redeem(next(each), timeout=10)
                taken.append(time.perf_counter() - at)
            except grpc.aio.AioRpcError as error:
                failures.add(error.code().name)

    await asyncio.gather(*(caller(channel) for channel in channels for _ in range(UNDER_WAY)))
    lasted = time.perf_counter() - began
    for channel in channels:
        await channel.close()
    p50 = statistics.median(taken or [0]) * 1000
    return Found(len(taken), len(taken) / lasted, p50, ", ".join(sorted(failures)))


def check(names: Sequence[str], rounds: int, seconds: float) -> dict[str, list[Round]]:
    """Let clients take turns, another one first in each round; returns what each found."""
    results: dict[str, list[Round]] = {name: [] for name in names}

    def turn(name: str, client: Callable[[UnderTest, float], Found]) -> Found:
        settle()
        before = server.cost()
        found = client(server, seconds)
        cost = server.cost() - before
        results.setdefault(name, []).append(Round(found, 1e6 * cost.server / max(found.sent, 1)))
        return found

    with script_server("empty_server.py") as server:
        ours(server, seconds / 2)  # so that it is warm
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            for index in range(len(names)):
                name = names[(index + number) % len(names)]
                found = turn(name, CLIENTS[name])
                if name == SLOW:
                    turn(FOLLOWING, partial(ours, calls_per_second=max(found.calls_per_second, 1.0)))
    return results


CLIENTS = {"ours": ours, "h2load": h2load, "grpc.aio": grpc_aio}
SLOW, FOLLOWING = "grpc.aio", "ours, at its rate"
PAIRS = (("ours", "h2load"), (FOLLOWING, SLOW))
"""What is held against what."""


def agrees(ratios: Sequence[float]) -> bool:
    """Whether two clients cost the server about the same, by the median of the rounds' own ratios."""
    return abs(statistics.median(ratios) - 1) <= APART_MAX


def report(results: Mapping[str, Sequence[Round]], facts: Mapping[str, str]) -> tuple[Report, bool]:
    """Return what was found, and whether all is well."""
    costs = {name: [each.server_us for each in rounds] for name, rounds in results.items()}
    notes = []
    good = True
    for name, rounds in results.items():
        for wrong in {each.found.wrong for each in rounds if each.found.wrong}:
            good = False
            notes.append(f"INVALID: {name}: {wrong}")
    for name, other in PAIRS:
        if other not in costs:
            continue
        ratios = [one / another for one, another in zip(costs[name], costs[other], strict=True)]
        same = agrees(ratios)
        good = good and same
        notes.append(
            f"server CPU of a request, {name} against {other}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to "
            f"{max(ratios):.2f}): {'agrees within' if same else 'DIFFERS by more than'} {APART_MAX:.0%}"
        )
    found = Report("generator", facts)
    found.add(
        f"The empty handler, {CONNECTIONS} connections with {UNDER_WAY} calls under way; medians of the rounds",
        ("client", "requests/s", "p50 ms", "server µs", "least to greatest"),
        [
            (
                name,
                f"{statistics.median(each.found.calls_per_second for each in rounds):,.0f}",
                f"{statistics.median(each.found.p50_ms for each in rounds):.2f}",
                f"{statistics.median(cost):.1f}",
                f"{min(cost):.1f} to {max(cost):.1f}",
            )
            for (name, rounds), cost in zip(results.items(), costs.values(), strict=True)
        ],
        *notes,
    )
    found.data = {"rounds": {name: [asdict(each) for each in rounds] for name, rounds in results.items()}}
    return found, good


def _number(text: str, pattern: str) -> int:
    found = re.search(pattern, text)
    if found is None:
        sys.exit(f"h2load did not say what was expected of it: {pattern}")
    return int(found[1])


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of all clients (default: {ROUNDS})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of a client's turn (default: {SECONDS:g})")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder to write to (default: bench/results)")
    parser.add_argument("--client-of", metavar="ADDRESS", help=argparse.SUPPRESS)
    arguments = parser.parse_args(given)
    if arguments.rounds < 1 or not 0 < arguments.seconds <= SECONDS_MAX:
        parser.error(f"there is at least 1 round, and a turn takes more than 0 and at most {SECONDS_MAX:g} seconds")
    if arguments.client_of:
        found = uvloop.run(client(arguments.client_of, arguments.seconds))
        print(json.dumps({name: getattr(found, name) for name in found.__slots__}))
        return 0
    names = list(CLIENTS)
    if shutil.which("h2load") is None:
        names.remove("h2load")
        print("h2load is not installed (on Debian: nghttp2-client): it is left out")
    try:
        results = check(names, arguments.rounds, arguments.seconds)
    except subprocess.CalledProcessError as error:
        print(f"FAIL: {error.cmd[0]} ended with {error.returncode}: {error.stderr}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    found, good = report(results, {"rounds": str(arguments.rounds), "seconds": f"{arguments.seconds:g}"})
    path = found.write(arguments.results)  # first: the terminal may be gone
    found.print()
    print(f"written to {path}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
