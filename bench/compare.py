"""Two results of one bench side by side: medians, the ratio B/A, and where the rounds of both leave no doubt.

A ``*`` stands behind a ratio when every round of one lies beyond every round of the other, of five at least: chance
alone does that once in 126 times. Cases that follow a schedule have no ratio of their rates, and one of their latencies
only if the rates are about the same. Run it with ``make bench-compare A=… B=…``, each a JSON file of bench/results.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import print_table, wide_console
from results import Sample, measured, told

BAD_INPUT = 2
ROUNDS_MIN = 5
RATES_APART_MAX = 0.05
"""Of two schedules, as a part of the slower: above it, latencies at one rate would be held against those at another."""
RATE, P99 = "redeems_per_second", "p99_ms"
FIGURES = ((RATE, "redeems/s", 0), ("server_us", "server µs", 1), (P99, "p99 ms", 2))


class BadInput(Exception):
    """A file that cannot be compared; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Written:
    """What one file holds."""

    path: Path
    bench: str
    machine: Mapping[str, str]
    facts: Mapping[str, str]
    arguments: Mapping[str, Any]
    cases: Mapping[str, Sequence[Sample]]

    @property
    def text(self) -> str:
        """Where it comes from, in one line."""
        given = ", ".join(f"{name} {value}" for name, value in {**self.arguments, **self.facts}.items())
        return f"{self.path.name}: commit {self.machine.get('commit')}, {given}; {self.where}"

    @property
    def where(self) -> str:
        """On what it was measured."""
        return ", ".join(f"{name} {self.machine.get(name)}" for name in ("processor", "cores", "python"))


def read(path: Path) -> Written:
    """Read a file that a bench wrote.

    Raises:
        BadInput: There is none, or it is something else.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {error}") from error
    try:
        cases = {name: [Sample(**sample) for sample in samples] for name, samples in content["cases"].items()}
        for samples in cases.values():
            told(samples, 99)
            if not samples or not all(math.isfinite(value) for sample in samples for value in _figures(sample)):
                raise ValueError  # noqa: TRY301 - told below, like everything else that is no sample
        machine, facts, arguments = (dict(content[name]) for name in ("machine", "facts", "arguments"))
        return Written(path, content["bench"], machine, facts, arguments, cases)
    except Exception as error:
        raise BadInput(f"{path} is no result of a bench that can be compared") from error


def _figures(sample: Sample) -> Sequence[float]:
    return [getattr(sample, figure) for figure in (*(name for name, _, _ in FIGURES), "late_ms")]


def rows(a: Written, b: Written) -> list[list[str]]:
    """Return a row for each case that both have.

    Raises:
        BadInput: They are of two benches, or have no case in common.
    """
    if a.bench != b.bench:
        raise BadInput(f"{a.path} is of the bench {a.bench}, {b.path} of {b.bench}")
    common = [name for name in a.cases if name in b.cases]
    if not common:
        raise BadInput(f"{a.path} and {b.path} have no case in common")
    return [
        [
            name,
            *(cell for figure, _, digits in FIGURES for cell in _cells(a.cases[name], b.cases[name], figure, digits)),
        ]
        for name in common
    ]


def _cells(a: Sequence[Sample], b: Sequence[Sample], figure: str, digits: int) -> tuple[str, str, str]:
    """Return both medians and their ratio, as far as there are any."""
    in_a, in_b = (
        [getattr(sample, figure) for sample in samples] if figure != P99 or told(samples, 99) else []
        for samples in (measured(a), measured(b))
    )
    invalid = "INVALID" if figure == RATE else ""
    cells = [f"{statistics.median(values):,.{digits}f}" if values else invalid for values in (in_a, in_b)]
    if not in_a or not in_b or not statistics.median(in_a) or not _comparable(a, b, figure):
        return cells[0], cells[1], ""
    apart = min(len(in_a), len(in_b)) >= ROUNDS_MIN and (min(in_a) > max(in_b) or min(in_b) > max(in_a))
    ratio = statistics.median(in_b) / statistics.median(in_a)
    return cells[0], cells[1], f"{ratio:.2f}{'*' if apart else ' '}"


def _comparable(a: Sequence[Sample], b: Sequence[Sample], figure: str) -> bool:
    """Tell whether a ratio says anything: the rate of a schedule is what was asked for, not what was found."""
    if not any(sample.late_ms for sample in (*a, *b)):
        return True
    rates = sorted(statistics.median(sample.redeems_per_second for sample in measured(samples)) for samples in (a, b))
    return figure != RATE and rates[1] <= rates[0] * (1 + RATES_APART_MAX)


def main(given: Sequence[str] | None = None) -> int:
    """Print the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=Path, metavar="A", help="a JSON file of bench/results")
    parser.add_argument("b", type=Path, metavar="B", help="another")
    arguments = parser.parse_args(given)
    try:
        a, b = read(arguments.a), read(arguments.b)
        compared = rows(a, b)
    except BadInput as error:
        print(f"bench-compare: {error}", file=sys.stderr)
        return BAD_INPUT
    console = wide_console()
    for letter, written in (("A", a), ("B", b)):
        console.print(f"{letter}: {written.text}", markup=False, soft_wrap=True)
    if a.where != b.where:
        console.print("These are two machines: the ratios compare more than the code.")
    header = ("case", *(cell for _, name, _ in FIGURES for cell in (f"{name}\nA", "\nB", "\nB/A ")))
    marked = f"* marks spreads of {ROUNDS_MIN} rounds or more that do not overlap"
    print_table(console, f"Medians of the rounds; {marked}", header, compared)
    if min(len(samples) for written in (a, b) for samples in written.cases.values()) < ROUNDS_MIN:
        console.print(f"With fewer than {ROUNDS_MIN} rounds most of these ratios are chance.")
    for written, other in ((a, b), (b, a)):
        alone = [name for name in written.cases if name not in other.cases]
        if alone:
            console.print(f"only in {written.path.name}: {', '.join(alone)}", markup=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
