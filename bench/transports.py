"""Compares the service's own transport with grpcio's server: the cost of a call whose handler does nothing.

Both run the same empty handler, in processes of their own, and the cases take turns: many calls on few connections, one
call on each of 1,000 connections, in plain text and over TLS, a single caller, calls at a rate, and messages of 4 MiB.
Run it with ``make bench-transports``. It exits as ``make bench-ceiling`` does.
"""

import argparse
import datetime as dt
import ipaddress
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import command
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from generator import closed_loop, lines, open_loop
from http2 import write_calls
from report import Report
from results import Aim, Results, Sample
from shop import BATCH_REDEEM, REDEEM, order_request
from under_test import Neighbours, UnderTest, script_server, settle

from redemption.v1.redemption_service_pb2 import BatchRedeemRequest

ROUNDS = 5
SECONDS = 1.5
CONNECTIONS, UNDER_WAY = 4, 64
MANY = 1_000
RATES = (2_000, 300)
LARGE_BYTES = 4 * 2**20 - 64
CALLS_PER_SECOND_MAX = 100_000
LARGE_PER_SECOND_MAX = 400
TRANSPORTS = ("nghttp2", "grpcio")
TOKEN = "c" * 64
"""As long as a real token; the empty handler does not read it."""


def messages() -> Iterator[bytes]:
    """Return serialised requests that are all different and have the same length."""
    number = 0
    while True:
        number += 1
        yield order_request(f"{number:06}", [TOKEN], 1).SerializeToString()


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write the files of a certificate for 127.0.0.1 and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = dt.datetime.now(dt.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, private


class Bench:
    """Empty handlers on both transports, in plain text and over TLS."""

    def __init__(self, stack: ExitStack, seconds: float) -> None:
        self._seconds = seconds
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="redemption-bench-")))
        files = [str(file) for file in certificate(folder)]
        self._tls = ssl.create_default_context(cafile=files[0])
        self._tls.set_alpn_protocols(["h2"])
        self._plain_servers = {
            name: stack.enter_context(script_server("empty_server.py", arguments=(name,))) for name in TRANSPORTS
        }
        self._tls_servers = {
            name: stack.enter_context(script_server("empty_server.py", arguments=(name, *files))) for name in TRANSPORTS
        }

    def cases(self) -> Mapping[str, Callable[[], Sample]]:
        """Return the cases; cases that are compared are next to each other."""
        found: dict[str, Callable[[], Sample]] = {}
        for name in TRANSPORTS:
            found[f"{UNDER_WAY} under way, {name}"] = partial(self.closed, name, CONNECTIONS, UNDER_WAY // CONNECTIONS)
        for name in TRANSPORTS:
            found[f"{MANY:,} connections, {name}"] = partial(self.closed, name, MANY, 1)
        for name in TRANSPORTS:
            found[f"{MANY:,} connections, TLS, {name}"] = partial(self.closed, name, MANY, 1, tls=True)
        for name in TRANSPORTS:
            found[f"a lone caller, {name}"] = partial(self.closed, name, 1, 1)
        for rate in RATES:
            for name in TRANSPORTS:
                found[f"{rate:,} a second, {name}"] = partial(self.paced, name, rate)
        for name in TRANSPORTS:
            found[f"4 MiB, {name}"] = partial(self.large, name)
        return found

    def closed(self, name: str, connections: int, under_way: int, *, tls: bool = False) -> Sample:
        """Keep a number of calls in flight on each connection."""
        server = (self._tls_servers if tls else self._plain_servers)[name]
        count = round(self._seconds * CALLS_PER_SECOND_MAX / connections)
        return self._measure(server, connections, count, under_way, tls=self._tls if tls else None)

    def paced(self, name: str, rate: int) -> Sample:
        """Send calls at a rate."""
        server = self._plain_servers[name]
        count = round(1.3 * rate * self._seconds / CONNECTIONS) + 20
        each = messages()
        written = [
            write_calls(server.authority, REDEEM, [next(each) for _ in range(count)]) for _ in range(CONNECTIONS)
        ]
        settle()
        with lines(server.address, written) as opened:
            before = server.cost()
            run = open_loop(opened, calls_per_second=rate, seconds=self._seconds, seed=rate)
            cost = server.cost() - before
        return Sample.of(run, cost, redeems_per_call=1, approved=len(run.latencies))

    def large(self, name: str) -> Sample:
        """Send one large message after the other."""
        server = self._plain_servers[name]
        message = BatchRedeemRequest(program="p" * LARGE_BYTES).SerializeToString()
        count = round(self._seconds * LARGE_PER_SECOND_MAX)
        settle()
        with lines(server.address, [write_calls(server.authority, BATCH_REDEEM, [message] * count)]) as opened:
            before = server.cost()
            run = closed_loop(opened, under_way=1, seconds=self._seconds)
            cost = server.cost() - before
        return Sample.of(run, cost, redeems_per_call=1, approved=len(run.latencies))

    def _measure(
        self, server: UnderTest, connections: int, count: int, under_way: int, *, tls: ssl.SSLContext | None
    ) -> Sample:
        each = messages()
        written = [
            write_calls(server.authority, REDEEM, [next(each) for _ in range(count)]) for _ in range(connections)
        ]
        settle()
        with lines(server.address, written, tls) as opened:
            before = server.cost()
            run = closed_loop(opened, under_way=under_way, seconds=self._seconds)
            cost = server.cost() - before
        return Sample.of(run, cost, redeems_per_call=1, approved=len(run.latencies))


def _aim(name: str, case: str, figure: str, at_most: float) -> Aim:
    return Aim(name, f"{case}, nghttp2", f"{case}, grpcio", at_most=at_most, figure=figure)


AIMS = (
    _aim("CPU, 64 calls under way", "64 under way", "server_us", 0.2),
    _aim("CPU, 1,000 connections of one call", "1,000 connections", "server_us", 0.35),
    _aim("CPU, the same over TLS", "1,000 connections, TLS", "server_us", 0.35),
    _aim("p50 of a lone caller", "a lone caller", "p50_ms", 1.0),
    _aim("p99 at 2,000 calls a second", "2,000 a second", "p99_ms", 1.0),
    _aim("CPU of a message of 4 MiB", "4 MiB", "server_us", 1.0),
)


def run_all(rounds: int, seconds: float) -> Results:
    """Run all cases in turn, ``rounds`` times."""
    with ExitStack() as stack:
        bench = Bench(stack, seconds)
        cases = bench.cases()
        breaks = [name for name in cases if name.endswith("grpcio")][:-1]
        results = Results("transports", {"rounds": rounds, "seconds": seconds}, AIMS, breaks=breaks)
        neighbours = Neighbours()
        for _ in range(rounds):
            for name, case in cases.items():
                results.add(name, case())
        results.facts["others on this machine"] = f"{neighbours.part():.0%} of its CPU"
    return results


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and write the results; return the exit code."""

    def measure_all(arguments: argparse.Namespace) -> tuple[Report, int]:
        results = run_all(arguments.rounds, arguments.seconds)
        return results.report(), results.exit_code

    return command.run(__doc__, measure_all, rounds=ROUNDS, seconds=SECONDS, given=given)


if __name__ == "__main__":
    sys.exit(main())
