"""The command line of a benchmark: rounds, seconds, folder for the results, and exit code."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from report import RESULTS, Report
from shop import GateError

from redemption.cli.exits import INTERRUPTED, Stop

SECONDS_MAX = 30.0
TRANSPORTS = ("nghttp2", "grpcio")


def run(
    description: str | None,
    measure: Callable[[argparse.Namespace], tuple[Report, int]],
    *,
    seconds: float = 0.0,
    rounds: int = 0,
    transports: bool = False,
    given: Sequence[str] | None = None,
) -> int:
    """Measure, print, and write the results; return the exit code.

    Args:
        description: The text of ``--help``.
        measure: Takes the arguments; returns the report and the exit code.
        seconds: The default for the seconds of a case in a round; 0: a case takes as long as it takes.
        rounds: The default for the number of rounds; 0: there are no rounds.
        transports: Whether there is an option to choose the transports.
        given: The arguments; None: those of the process.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds, help=f"of all cases (default: {rounds})")
    if seconds:
        told = f"of a case in a round (default: {seconds:g})"
        parser.add_argument("--seconds", type=float, default=seconds, help=told)
    parser.set_defaults(rounds=rounds or 1, seconds=seconds or 1.0)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder to write to (default: bench/results)")
    if transports:
        both = ",".join(TRANSPORTS)
        parser.add_argument("--transports", default=both, help=f"in turn (default: {both})")
    arguments = parser.parse_args(given)
    if arguments.rounds < 1 or not 0 < arguments.seconds <= SECONDS_MAX:
        parser.error(f"there is at least 1 round, and a case takes more than 0 and at most {SECONDS_MAX:g} seconds")
    if transports:
        arguments.transports = arguments.transports.split(",")
        if not set(arguments.transports) <= set(TRANSPORTS):
            parser.error(f"--transports are among {', '.join(TRANSPORTS)}")
    try:
        arguments.results.mkdir(parents=True, exist_ok=True)
        report, code = measure(arguments)
        path = report.write(arguments.results)  # before printing: the terminal may be closed
        report.print()
        print(f"written to {path}")
    except (GateError, Stop, OSError) as error:
        print(f"FAIL: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return code
