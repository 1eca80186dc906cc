"""The options that the suite adds to those of locust; ``given.py`` checks them."""

from argparse import ArgumentParser
from pathlib import Path

from locust import events

from sale.levels import FILE as LEVELS

BENCH = Path(__file__).parent.parent
PROGRAM = "bench"
SCENARIO = "smoke"
LATE_SECONDS_MAX = 0.1


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
