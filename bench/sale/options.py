"""The options that the suite adds to those of locust."""

import re
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from locust import events

from redemption.cli.exits import BAD_INPUT, Stop
from sale.buyers import KINDS, Buyer
from sale.levels import FILE as LEVELS

BENCH = Path(__file__).parent.parent
PROGRAM = "bench"
SCENARIO = "smoke"
ADDRESS = "127.0.0.1:50051"
LOOPBACK = ("127.", "localhost", "[::1]")
LATE_SECONDS_MAX = 0.1
PORT_MAX = 65_535
_TOKEN = re.compile(r"[A-Za-z0-9_-]{40,}")


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    """Add the options; each is also a line of locust's configuration file, and a variable that begins with LOCUST_."""
    group = parser.add_argument_group("flash sale")
    group.add_argument(
        "--scenario",
        default=SCENARIO,
        metavar="NAME",
        env_var="LOCUST_SCENARIO",
        help="a scenario of bench/scenarios, or a file (default: smoke)",
    )
    group.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="FACTOR",
        env_var="LOCUST_SCALE",
        help="so many times its buyers and prebuilt redeems (default: 1)",
    )
    group.add_argument(
        "--calibrate",
        action="store_true",
        env_var="LOCUST_CALIBRATE",
        help="measure first what locust can do here, and let fewer buyers come if it could not bring them all",
    )
    group.add_argument(
        "--program",
        default=PROGRAM,
        metavar="NAME",
        env_var="LOCUST_PROGRAM",
        help="the program (tenant); the run makes campaigns of its own in it",
    )
    group.add_argument(
        "--ledger",
        default="",
        metavar="URL",
        env_var="LOCUST_LEDGER",
        help="the ledger, to audit its records: redis:// or unix://",
    )
    group.add_argument(
        "--late-seconds-max",
        type=float,
        default=LATE_SECONDS_MAX,
        metavar="SECONDS",
        env_var="LOCUST_LATE_SECONDS_MAX",
        help="the run is INVALID when more than one of a hundred visits begins later than this (default: 0.1)",
    )
    group.add_argument(
        "--slo",
        default=str(LEVELS),
        metavar="FILE",
        env_var="LOCUST_SLO",
        help="service levels by scenario (default: bench/slo.yaml)",
    )
    group.add_argument(
        "--results",
        default=str(BENCH / "results"),
        metavar="DIR",
        env_var="LOCUST_RESULTS",
        help="where the journal is written (default: bench/results)",
    )
    group.add_argument(
        "--tokens",
        default="",
        metavar="FILE",
        env_var="LOCUST_TOKENS",
        help="coupons of your own for the shoppers, one token a line, not bound to customers; then they do not claim",
    )
    group.add_argument(
        "--tls-ca",
        default="",
        metavar="FILE",
        env_var="LOCUST_TLS_CA",
        help="speak TLS, trusting this PEM file's authority",
    )
    group.add_argument(
        "--compare",
        default="",
        metavar="FILE",
        env_var="LOCUST_COMPARE",
        help="the .json of an earlier run of the same scenario: the report shows what has changed",
    )
    group.add_argument(
        "--watch",
        type=int,
        default=0,
        metavar="PID",
        env_var="LOCUST_WATCH",
        help="the process id of the server, if it is on this machine: the report shows its CPU",
    )
    group.add_argument(
        "--yes-i-own-it",
        dest="i_own_it",
        action="store_true",
        help="the server may be another machine: you may load it",
    )


def kinds_of(options: Namespace, user_classes: Sequence[type[Buyer]]) -> list[str]:
    """Return the kinds of buyers who come: those of the classes that were named, by --tags, or all.

    Raises:
        Stop: A tag is no kind of buyers, or there are none left.
    """
    tags, without = options.tags or [], options.exclude_tags or []
    for each in (*tags, *without):
        if each not in KINDS:
            raise Stop(BAD_INPUT, f"--tags are kinds of buyers: {', '.join(KINDS)}; there is no {each!r}")
    kinds = [each.kind for each in user_classes]
    chosen = [kind for kind in kinds if (not tags or kind in tags) and kind not in without]
    if not chosen:
        raise Stop(BAD_INPUT, "--tags and --exclude-tags leave no kind of buyers")
    return chosen


def address_of(host: str | None, *, owned: bool) -> str:
    """Return host and port of the server.

    Raises:
        Stop: It is another machine, and nobody said that it is theirs.
    """
    address = (host or ADDRESS).removeprefix("grpc://").removeprefix("http://").rstrip("/")
    if not address.startswith(LOOPBACK) and not owned:
        raise Stop(BAD_INPUT, f"{address} is another machine: is it yours to load? then say so with --yes-i-own-it")
    port = address.rpartition(":")[2]
    if not port.isascii() or not port.isdigit() or not 0 < int(port) <= PORT_MAX:
        raise Stop(BAD_INPUT, f"--host must be HOST:PORT, such as {ADDRESS}; it is {address!r}")
    return address


def content_of(file: Path, option: str) -> bytes:
    """Return what is in a file.

    Raises:
        Stop: It cannot be read, or there is nothing in it.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Stop(BAD_INPUT, f"{option}: {file}: cannot be read: {error.strerror}") from error
    if not content.strip():
        raise Stop(BAD_INPUT, f"{option}: {file}: is empty")
    return content


def tokens_of(file: Path) -> list[str]:
    """Return the tokens of a file, one a line.

    Raises:
        Stop: It cannot be read, or a line is no token.
    """
    tokens = content_of(file, "--tokens").decode(errors="replace").split()
    for number, token in enumerate(tokens, start=1):
        if not _TOKEN.fullmatch(token):
            raise Stop(BAD_INPUT, f"--tokens: {file}: token {number} is none: {token[:40]!r}")
    return tokens


def folder_of(name: str) -> Path:
    """Return the folder for the results; it is made if there is none.

    Raises:
        Stop: It cannot be written to.
    """
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise Stop(BAD_INPUT, f"--results: {folder}: cannot be written to: {error.strerror}") from error
    return folder
