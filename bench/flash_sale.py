"""The flash sale in one command: a server, locust that plays the sale, and the verdict.

Run it with ``make bench``. It starts a private server, plays a scenario (``bench/scenarios``) headless, and audits the
ledger afterwards. With ``--host`` it plays against your own server instead, which must be on this machine, unless you
say with ``--yes-i-own-it`` that you may load it.

Exit codes: 0 all is right; 1 a check of correctness failed; 2 an option or a file is wrong, or the server cannot be
asked; 3 a service level was missed; 4 the run was not the one that was planned; 130 interrupted before it began.
"""

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from report import RESULTS
from sale.faults import FAULTS, injected
from under_test import BENCH, redemption_server

from redemption.cli.demo.server import signals_as_interrupt
from redemption.cli.exits import INTERRUPTED, Stop
from redemption.server.embedded_valkey import EmbeddedValkey

EVENTS_MAX = 20_000_000
"""So many entries has the event stream of the server that is started, so that all of a long run can be audited."""
LOCUST = str(Path(sys.executable).with_name("locust"))


@contextmanager
def target(arguments: argparse.Namespace) -> Iterator[list[str]]:
    """Yield locust's options that name the server and its ledger; start a server, unless one is named."""
    if arguments.host:
        owned = ["--yes-i-own-it"] if arguments.i_own_it else []
        yield ["--host", arguments.host, "--ledger", arguments.ledger, *owned]
        return
    os.environ.setdefault("REDEMPTION_OUTBOX_MAX", str(EVENTS_MAX))
    fault = injected(arguments.fault) if arguments.fault else nullcontext()
    with fault, redemption_server(workers=arguments.workers) as server:
        assert server.directory is not None
        supervisor = str(server.workers[0].ppid())
        ledger = EmbeddedValkey(server.directory / "ledger").url
        yield ["--host", server.authority, "--ledger", ledger, "--watch", supervisor]


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def play(command: Sequence[str]) -> int:
    """Run locust, and return its exit code. When we are interrupted, locust ends in order and judges the run."""
    with signals_as_interrupt():
        # In a session of its own, because the terminal would interrupt it, too, and its workers.
        process = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - our own suite
        while True:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                process.terminate()  # as SIGINT does, and silently while locust is starting
            else:
                return code if code >= 0 else INTERRUPTED


def main(given: Sequence[str] | None = None) -> int:
    """Play, and return the exit code."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s [options]; --help lists them",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scenario", default="flash-sale", help="a scenario, or a file (default: flash-sale)")
    parser.add_argument("--scale", default="", help="so many times its buyers (default: as many as locust can bring)")
    parser.add_argument("--host", default="", metavar="HOST:PORT", help="your own server (default: one is started)")
    parser.add_argument("--ledger", default="", metavar="URL", help="with --host: the ledger, to audit its records")
    parser.add_argument("--yes-i-own-it", dest="i_own_it", action="store_true", help="--host may be another machine")
    parser.add_argument("--program", default="bench", help="the program (default: bench)")
    parser.add_argument("--workers", type=int, default=1, help="of the server that is started (default: 1)")
    parser.add_argument("--processes", type=int, metavar="N", help="so many processes of locust (default: one)")
    parser.add_argument("--fault", choices=FAULTS, help="start a server with this fault: the verdict must find it")
    parser.add_argument("--ui", action="store_true", help="open locust's web page on 127.0.0.1:8089 and wait there")
    parser.add_argument("--tokens", default="", metavar="FILE", help="coupons for the shoppers, one token a line")
    parser.add_argument("--tls-ca", default="", metavar="FILE", help="with --host: speak TLS, trusting this authority")
    parser.add_argument("--compare", default="", metavar="FILE", help="the .json of an earlier run of the scenario")
    parser.add_argument("--late-seconds-max", default="0.1", metavar="SECONDS", help="of one visit in a hundred")
    parser.add_argument("--slo", default=str(BENCH / "slo.yaml"), metavar="FILE", help="service levels by scenario")
    parser.add_argument("--results", default=str(RESULTS), metavar="DIR", help="(default: bench/results)")
    arguments = parser.parse_args(given)
    if arguments.host and arguments.fault:
        parser.error("--fault starts a server of its own: leave out --host")
    if arguments.ledger and not arguments.host:
        parser.error("--ledger is that of your own server: give --host, too")
    if arguments.workers < 1 or (arguments.processes is not None and arguments.processes < 1):
        parser.error("--workers and --processes are 1 or more")
    command = [LOCUST, "-f", str(BENCH / "locustfile.py"), "--loglevel", "WARNING"]
    command += ["--web-host", "127.0.0.1"] if arguments.ui else ["--headless", "--only-summary"]
    command += ["--scale", arguments.scale] if arguments.scale else ["--calibrate"]
    if arguments.processes:
        port = str(free_port())
        command += ["--processes", str(arguments.processes), "--master-bind-port", port, "--master-port", port]
    for name in ("scenario", "program", "tokens", "tls-ca", "compare", "late-seconds-max", "slo", "results"):
        command += [f"--{name}", getattr(arguments, name.replace("-", "_"))]
    try:
        with target(arguments) as options:
            return play([*command, *options])
    except Stop as stop:
        print(*stop.told, sep="\n", file=sys.stderr)
        return stop.code
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
