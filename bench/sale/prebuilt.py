"""Redemptions that were encoded before the run, sent by a process of their own: the peak that locust cannot play.

A call of locust costs many times what the service needs to answer it. The prebuilt-frame generator (``generator.py``)
costs a few microseconds a call, so on the same machine it brings what locust cannot, and measures the service and not
itself. Its calls are of the same sale: coupons of the hot campaign, at random moments of the same schedule, each answer
in the same journal.

The process is started with ``python -m sale.prebuilt``. It reads one line of JSON, prepares, answers ``ready``, reads
the Unix time of the beginning, plays, and answers with one line of JSON.
"""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
from generator import Run, closed_loop, lines, on_schedule, open_loop
from http2 import Call, write_calls
from latency import Histogram
from shop import REDEEM, order_request

from redemption.client import MintRequest, RedeemRequest, RedeemResponse, RedemptionClient
from sale.answers import APPROVED, SOLD_OUT, of_decision
from sale.journal import DEADLINE_SECONDS, PREBUILT, UNKNOWN, Entry, Journal, read_journal

BENCH = Path(__file__).parent.parent
CONNECTIONS = 8
CEILING_SECONDS = 1.0
CEILING_CALLS = 30_000
UNDER_WAY = 16
END_SECONDS_MAX = 300.0
"""Time to send what is left, to read all answers and to write them."""
MINT_SECONDS_MAX = 120.0


@dataclass(frozen=True, slots=True)
class Work:
    """What the process has to send.

    Attributes:
        address: Host and port of the server.
        run: A name of the run.
        program: The program.
        campaign: The campaign whose coupons are redeemed.
        moments: When, in seconds from the beginning.
        warm_up: Answers count from then on, in seconds from the beginning.
        file: Where the journal is written.
        tls: The authority that signed the server's certificate, as PEM; empty: no TLS.
    """

    address: str
    run: str
    program: str
    campaign: int
    moments: list[float]
    warm_up: float
    file: str
    tls: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What the process has to say, besides its journal.

    Attributes:
        cpu_us: Microseconds of CPU for each call.
        late_p99: How late it sent calls, in seconds: the 99th percentile.
        failures: How often calls failed, by status.
    """

    cpu_us: float
    late_p99: float
    failures: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """What the generator can do against the empty handler.

    Attributes:
        calls_per_second: At most.
        cpu_us: Microseconds of CPU for each call then.
        latencies: At the rate that was asked for.
    """

    calls_per_second: float
    cpu_us: float
    latencies: Histogram


class UnusableGenerator(Exception):
    """The process could not begin, or did not end well; the message says why."""


class Generator:
    """The process, seen from locust's."""

    def __init__(self, work: Work) -> None:
        """Start it, and wait until all its calls are prepared.

        Raises:
            UnusableGenerator: It cannot.
        """
        self._work = work
        self._process = _start(asdict(work))
        if self._process.stdout.readline().strip() != "ready":  # type: ignore[union-attr] - a pipe
            _, err = self._process.communicate(timeout=END_SECONDS_MAX)
            raise UnusableGenerator(f"the prebuilt-frame generator cannot begin: {_last_line(err)}")

    def begin(self, began: float) -> None:
        """Let it play from a moment on, Unix seconds."""
        _say(self._process, repr(began))

    def end(self, *, now: bool) -> tuple[list[Entry], Done]:
        """Wait until it has played; or end it now. Returns its answers.

        Raises:
            UnusableGenerator: It has ended with an error.
        """
        if now:
            self._process.terminate()
        try:
            out, err = self._process.communicate(timeout=END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise UnusableGenerator("the prebuilt-frame generator did not end") from None
        if self._process.returncode:
            raise UnusableGenerator(f"the prebuilt-frame generator has ended: {_last_line(err)}")
        file = Path(self._work.file)
        entries = read_journal(file).entries
        file.unlink()
        return entries, Done(**json.loads(out))


def measure(address: str, calls_per_second: float, seconds: float) -> Measured:
    """Measure the generator against a server that does nothing.

    Args:
        address: Of that server.
        calls_per_second: The rate at which its latencies are wanted.
        seconds: For how long.
    """
    process = _start({"address": address, "calls_per_second": calls_per_second, "seconds": seconds})
    out, err = process.communicate(timeout=END_SECONDS_MAX + seconds)
    if process.returncode:
        raise UnusableGenerator(f"the prebuilt-frame generator cannot be measured: {_last_line(err)}")
    found = json.loads(out)
    return Measured(found["calls_per_second"], found["cpu_us"], Histogram.decode(found["latencies"]))


def _start(job: dict[str, Any]) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-m", "sale.prebuilt"],
        cwd=BENCH,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # an interrupt of the terminal is locust's; it ends this process in order
    )
    _say(process, json.dumps(job))
    return process


def _say(process: "subprocess.Popen[str]", line: str) -> None:
    process.stdin.write(line + "\n")  # type: ignore[union-attr] - a pipe
    process.stdin.flush()  # type: ignore[union-attr]


def _last_line(err: str) -> str:
    return (err.strip().splitlines() or ["it said nothing"])[-1]


def _calls(address: str, requests: Sequence[RedeemRequest]) -> list[list[Call]]:
    return [
        write_calls(
            address,
            REDEEM,
            [request.SerializeToString() for request in requests[first::CONNECTIONS]],
            timeout=f"{DEADLINE_SECONDS:.0f}S",
        )
        for first in range(CONNECTIONS)
    ]


def _socket_address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _measure(job: dict[str, Any]) -> dict[str, Any]:
    """Find how many calls a second it can send, and the latencies at a rate."""
    address, rate, seconds = job["address"], job["calls_per_second"], job["seconds"]
    requests = [order_request(f"{number:06}-empty", ["x" * 86], 1) for number in range(CEILING_CALLS)]
    with lines(_socket_address(address), _calls(address, requests)) as opened:
        most = closed_loop(opened, under_way=UNDER_WAY, seconds=CEILING_SECONDS)
    needed = requests[: int(rate * seconds * 1.2) + 100]
    with lines(_socket_address(address), _calls(address, needed)) as opened:
        paced = open_loop(opened, calls_per_second=rate, seconds=seconds, seed=1)
    return {
        "calls_per_second": most.calls_per_second,
        "cpu_us": 1e6 * most.cpu_seconds / max(most.sent, 1),
        "latencies": paced.histogram().encode(),
    }


def _play(work: Work) -> Done:
    """Mint, prepare, wait for the beginning, play, and write the journal."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    locust = os.getppid()
    requests = _requests(work)
    calls = _calls(work.address, requests)
    tls = ssl.create_default_context(cadata=work.tls) if work.tls else None
    if tls is not None:
        tls.set_alpn_protocols(["h2"])
    with lines(_socket_address(work.address), calls, tls) as opened:
        print("ready", flush=True)
        began = float(sys.stdin.readline())
        wait = began - time.time()
        run = on_schedule(
            opened, [moment + wait for moment in work.moments], stopped=lambda: bool(stopped) or os.getppid() != locust
        )
    if os.getppid() != locust:
        sys.exit("locust has gone")  # nobody would read the journal
    entries = _entries(work, requests[: len(run.lags)], run, began)
    Journal(entries).write(Path(work.file))
    return Done(1e6 * run.cpu_seconds / max(len(entries), 1), run.late_seconds, dict(run.failures))


def _requests(work: Work) -> list[RedeemRequest]:
    options = [("grpc.use_local_subchannel_pool", 1)]
    credentials = grpc.ssl_channel_credentials(work.tls.encode()) if work.tls else None
    opened = (
        grpc.secure_channel(work.address, credentials, options)
        if credentials
        else grpc.insecure_channel(work.address, options)
    )
    with opened as channel:
        asked = MintRequest(
            program=work.program,
            request_id=f"{work.run}-prebuilt",
            campaign=work.campaign,
            count=len(work.moments),
        )
        parts = RedemptionClient(channel).mint(asked, timeout=MINT_SECONDS_MAX)
        tokens = [each.token for part in parts for each in part.tokens]
    requests = []
    for number, token in enumerate(tokens):
        request = order_request(f"{number:06}-{work.run}-prebuilt", [token], 1)
        request.checkout.program = work.program
        requests.append(request)
    return requests


def _entries(work: Work, requests: Sequence[RedeemRequest], run: Run, began: float) -> list[Entry]:
    """Return an entry for each call that was sent; those without an answer took as long as the deadline."""
    found: dict[int, tuple[float, bytes]] = {
        asked: (latency, answer) for asked, latency, answer in zip(run.asked, run.latencies, run.answers, strict=True)
    }
    entries = []
    for number, (request, moment) in enumerate(zip(requests, work.moments, strict=False)):
        seconds, answer = found.get(number, (DEADLINE_SECONDS, None))
        told = {"answer": UNKNOWN} if answer is None else of_decision(RedeemResponse.FromString(answer).decision)
        entries.append(
            Entry(
                "Redeem",
                request.request_id,
                sent_at=began + moment,
                seconds=seconds,
                expected=told["answer"] in (APPROVED, *SOLD_OUT),
                counted=moment >= work.warm_up,
                campaign=work.campaign,
                customer=request.checkout.customer.customer_id,
                token=request.checkout.tokens[0],
                sender=PREBUILT,
                **told,
            )
        )
    return entries


def main() -> None:
    """Do what the first line of the standard input says."""
    job = json.loads(sys.stdin.readline())
    answer = asdict(_play(Work(**job))) if "run" in job else _measure(job)
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
