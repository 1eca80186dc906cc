"""Service levels: what ``bench/slo.yaml`` asks of a scenario, and whether a run keeps it."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from latency import Histogram, needed

from redemption.cli.input.source_file import Group, Problem, Scalar, Source, read_source, unknown_field
from sale.journal import PREBUILT, Entry, Journal
from sale.scenario import FOLDER as SCENARIOS
from sale.yardstick import Empty

CLOSE = 0.8
"""How like a scenario a name is that is taken for a slip; others may be scenarios of the user's own."""
FILE = Path(__file__).parent.parent / "slo.yaml"
METHODS = ("Redeem", f"Redeem ({PREBUILT})", "BatchRedeem", "Claim", "Quote")
"""Rows of latencies: methods as locust called them, and the redeems of the prebuilt-frame generator."""
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9}
ERRORS, GOODPUT = "errors", "goodput"
_BOUND = re.compile(r"(?P<number>[0-9]{1,6}(?:\.[0-9]{1,4})?)(?P<unit>us|ms|s|x)")
_PART = re.compile(r"(?P<number>[0-9]{1,3}(?:\.[0-9]{1,4})?) ?%")
_GOODPUT = re.compile(rf"{_PART.pattern} within (?P<time>[0-9]{{1,6}})(?P<unit>ms|s)")
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_HUNDRED = 100


class Bound(NamedTuple):
    """What a percentile may be at most: milliseconds, or so many times that of the empty handler."""

    number: float
    is_ratio: bool

    def text(self) -> str:
        """Return it as files have it."""
        return f"{self.number:g}{'x' if self.is_ratio else ' ms'}"


class Goodput(NamedTuple):
    """This part of the calls has to get an answer that had to be expected, within so many milliseconds."""

    part: float
    within_ms: float


@dataclass(frozen=True, slots=True)
class Levels:
    """What is asked of a scenario.

    Attributes:
        latencies: By method and percentile, such as p99.
        errors: The part of calls that may fail; None: not asked.
        goodput: The part of calls that has to be answered well and in time; None: not asked.
    """

    latencies: Mapping[str, Mapping[str, Bound]]
    errors: float | None = None
    goodput: Goodput | None = None

    @property
    def need_empty(self) -> bool:
        """Whether the empty handler has to be measured."""
        return any(bound.is_ratio for of_method in self.latencies.values() for bound in of_method.values())


NOTHING_ASKED = Levels({})


class Compared(NamedTuple):
    """One level and what was found; ``kept`` is None when there were too few calls to say."""

    name: str
    asked: str
    found: str
    kept: bool | None


def compare(levels: Levels, latencies: Mapping[str, Histogram], empty: Empty, journal: Journal) -> list[Compared]:
    """Compare a run with what is asked of it."""
    found = []
    for method, bounds in levels.latencies.items():
        for name, bound in bounds.items():
            beside = empty.beside(method)
            found.append(_compared(f"{method} {name}", bound, PERCENTILES[name], latencies.get(method), beside))
    if levels.errors is not None:
        part = _part_of(journal.entries, lambda entry: not entry.expected)
        found.append(Compared(ERRORS, f"at most {levels.errors:.4%}", f"{part:.4%}", part <= levels.errors))
    if levels.goodput is not None:
        asked, within_ms = levels.goodput
        counted = [entry for entry in journal.entries if entry.counted]
        part = _part_of(counted, lambda entry: entry.expected and entry.seconds * 1000 <= within_ms)
        found.append(Compared(GOODPUT, f"at least {asked:.2%} within {within_ms:g} ms", f"{part:.2%}", part >= asked))
    return found


def _part_of(entries: Sequence[Entry], counts: Callable[[Entry], bool]) -> float:
    return sum(counts(entry) for entry in entries) / len(entries) if entries else 0.0


def _compared(
    name: str, bound: Bound, percent: float, latencies: Histogram | None, empty: Histogram | None
) -> Compared:
    asked = f"at most {bound.text()}"
    calls = len(latencies) if latencies is not None else 0
    if latencies is None or not latencies.has(percent):
        return Compared(name, asked, f"too few calls ({calls:,} of {needed(percent):,})", None)
    value = latencies.ms(percent)
    if not bound.is_ratio:
        return Compared(name, asked, f"{value:.2f} ms", value <= bound.number)
    if empty is None:
        return Compared(name, asked, f"{value:.2f} ms; the empty handler was not measured", None)
    if not empty.has(percent):
        return Compared(
            name,
            asked,
            f"{value:.2f} ms; too few calls of the empty handler ({len(empty):,} of {needed(percent):,})",
            None,
        )
    beside = empty.ms(percent)
    ratio = value / beside
    return Compared(name, asked, f"{ratio:.1f}x ({value:.2f} of {beside:.2f} ms)", ratio <= bound.number)


def read_levels(file: Path, scenario: str) -> Levels:
    """Read what a file asks of a scenario; nothing, if it does not name it. The whole file is checked.

    Raises:
        BadFile: It cannot be read, or a part of it is wrong; each problem with its line.
    """
    source = read_source(file)
    problems: list[Problem] = []
    levels = {name: _levels(source, name, problems) for name in source.root.fields}
    known = [scenario, *(each.stem for each in SCENARIOS.glob("*.yaml"))]
    problems += [
        Problem((name,), f"is no scenario; did you mean {close[0]}?")
        for name in levels
        if name not in known and (close := get_close_matches(name, known, 1, CLOSE))
    ]
    if problems:
        raise source.stop(problems)
    return levels.get(scenario, NOTHING_ASKED)


def _levels(source: Source, scenario: str, problems: list[Problem]) -> Levels:
    node = source.root.fields[scenario]
    if not isinstance(node, Group):
        problems.append(Problem((scenario,), f"must have methods ({', '.join(METHODS)}), {ERRORS} or {GOODPUT}"))
        return NOTHING_ASKED
    latencies: dict[str, dict[str, Bound]] = {}
    errors = goodput = None
    for name, value in node.fields.items():
        if name == ERRORS:
            errors = _part(value, (scenario, name), problems)
        elif name == GOODPUT:
            goodput = _goodput(value, (scenario, name), problems)
        elif name not in METHODS:
            problems.append(Problem((scenario, name), unknown_field(name, (*METHODS, ERRORS, GOODPUT))))
        else:
            latencies[name] = dict(_bounds(value, (scenario, name), problems))
    return Levels(latencies, errors, goodput)


def _bounds(node: Any, path: tuple[str, ...], problems: list[Problem]) -> Iterator[tuple[str, Bound]]:  # noqa: ANN401 - a node
    if not isinstance(node, Group):
        problems.append(Problem(path, "must have percentiles, such as {p50: 5x, p99: 20ms}"))
        return
    for name, value in node.fields.items():
        text = value.text if isinstance(value, Scalar) else ""
        found = _BOUND.fullmatch(text.replace(" ", ""))
        if name not in PERCENTILES:
            problems.append(Problem((*path, name), unknown_field(name, PERCENTILES)))
        elif found is None or not float(found["number"]):
            problems.append(
                Problem((*path, name), f"must be a time or a ratio, such as 20ms or 5x; it is {text[:40]!r}")
            )
        else:
            number, unit = float(found["number"]), found["unit"]
            yield name, Bound(number * _MS.get(unit, 1.0), unit == "x")


def _part(node: Any, path: tuple[str, ...], problems: list[Problem]) -> float | None:  # noqa: ANN401 - a node
    text = node.text if isinstance(node, Scalar) else ""
    found = _PART.fullmatch(text)
    if found is None or float(found["number"]) > _HUNDRED:
        problems.append(Problem(path, f"must be a part such as 0.1%; it is {text[:40]!r}"))
        return None
    return float(found["number"]) / _HUNDRED


def _goodput(node: Any, path: tuple[str, ...], problems: list[Problem]) -> Goodput | None:  # noqa: ANN401 - a node
    text = node.text if isinstance(node, Scalar) else ""
    found = _GOODPUT.fullmatch(text)
    if found is None or float(found["number"]) > _HUNDRED:
        problems.append(Problem(path, f"must be a part and a time, such as 99% within 250ms; it is {text[:40]!r}"))
        return None
    return Goodput(float(found["number"]) / _HUNDRED, float(found["time"]) * _MS[found["unit"]])
