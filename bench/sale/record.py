"""A run as data: JSON for programs and for a later comparison, Markdown for a pull request."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from latency import PERCENTILES, Histogram

from redemption.cli.exits import BAD_INPUT, Stop
from sale.journal import PREBUILT
from sale.summary import Summary
from sale.yardstick import LOCUST, OF_PREBUILT

FORMAT = "redemption-flash-sale-2"


@dataclass(frozen=True, slots=True)
class Change:
    """How a percentile has changed since an earlier run.

    Attributes:
        name: Method and percentile.
        before: Milliseconds.
        now: Milliseconds.
        own_ratio: Their ratio divided by that of the empty handler, so without what the machine changed; None: unknown.
    """

    name: str
    before: float
    now: float
    own_ratio: float | None

    @property
    def ratio(self) -> float:
        """How many times as long it takes now."""
        return self.now / self.before


def as_data(summary: Summary, facts: Mapping[str, str]) -> dict[str, Any]:
    """Return a run as JSON has it."""
    histograms = {**summary.latencies, **summary.empty.latencies}
    return {
        "format": FORMAT,
        "scenario": summary.scenario.name,
        "verdict": summary.word,
        "exit_code": summary.code,
        "facts": dict(facts),
        "calls": summary.calls,
        "ceilings": {name: asdict(ceiling) for name, ceiling in summary.empty.ceilings.items()},
        "visits": summary.visits,
        "visits_planned": summary.planned,
        "late_p99_ms": 1000 * summary.lag_p99,
        "checks": [asdict(check) | {"wrong": list(check.wrong)} for check in summary.verdict.checks],
        "not_checked": list(summary.verdict.not_checked),
        "levels": [level._asdict() for level in summary.levels],
        "answers": {method: dict(counted) for method, counted in summary.answers.items()},
        "unexpected": dict(summary.unexpected),
        "latencies": {name: _latency(histogram) for name, histogram in histograms.items()},
    }


def _latency(histogram: Histogram) -> dict[str, Any]:
    """Return the percentiles, None where too few calls are above one, and all of it as text."""
    values = {f"p{part:g}_ms": histogram.ms(part) if histogram.has(part) else None for part in PERCENTILES}
    return {"count": len(histogram), **values, "histogram": histogram.encode()}


def markdown(data: Mapping[str, Any], changes: list[Change]) -> str:
    """Return what a pull request shows of a run."""
    facts = data["facts"]
    where = f"{facts.get('processor', '')}, {facts.get('cores', '?')} cores, commit {facts.get('commit', 'unknown')}"
    lines = [
        f"### Flash-sale bench: {data['scenario']}: **{data['verdict']}**",
        "",
        f"{data['visits']:,} buyers, {data['calls']:,} calls, lateness p99 {data['late_p99_ms']:.1f} ms; {where}",
        "",
        "| | answers | p50 ms | p99 ms | p99.9 ms |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, found in data["latencies"].items():
        values = " | ".join(Histogram.decode(found["histogram"]).told(part) for part in PERCENTILES)
        lines.append(f"| {name} | {found['count']:,} | {values} |")
    lines += ["", "| | check or level | |", "|---|---|---|"]
    for check in data["checks"]:
        lines.append(f"| {'**wrong**' if check['wrong'] else 'right'} | {check['name']} | {check['looked_at']} |")
    for level in data["levels"]:
        word = "too few" if level["kept"] is None else "kept" if level["kept"] else "**missed**"
        lines.append(f"| {word} | {level['name']}, {level['asked']} | {level['found']} |")
    lines += [f"| not looked at | {each} | |" for each in data["not_checked"]]
    if changes:
        lines += [
            "",
            "| since the earlier run | before ms | now ms | ratio | machine left out |",
            "|---|--:|--:|--:|--:|",
        ]
        for each in changes:
            own = "" if each.own_ratio is None else f"{each.own_ratio:.2f}"
            lines.append(f"| {each.name} | {each.before:.2f} | {each.now:.2f} | {each.ratio:.2f} | {own} |")
    return "\n".join(lines) + "\n"


def read_earlier(file: Path, scenario: str) -> dict[str, Any]:
    """Read the JSON of an earlier run of the same scenario.

    Raises:
        Stop: There is none in the file, or it is of another scenario.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Stop(BAD_INPUT, f"{file}: cannot be read: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise Stop(BAD_INPUT, f"{file}: is no run of this bench; give the .json of an earlier run")
    if data["scenario"] != scenario:
        raise Stop(BAD_INPUT, f"{file}: is a run of {data['scenario']}, and this one is of {scenario}")
    return data


def changes_of(data: Mapping[str, Any], earlier: Mapping[str, Any]) -> list[Change]:
    """Compare a run with an earlier one.

    What the empty handler has changed is the machine's doing; the other times are told with and without it.
    """
    before, now = earlier["latencies"], data["latencies"]
    found = []
    for name in (each for each in now if each in before):
        beside = OF_PREBUILT if PREBUILT in name else LOCUST
        for part in PERCENTILES:
            key = f"p{part:g}_ms"
            ratio, machine = _ratio(now, before, name, key), _ratio(now, before, beside, key)
            if ratio is None:
                continue
            own_ratio = None if machine is None or name == beside else ratio / machine
            found.append(Change(f"{name} p{part:g}", before[name][key], now[name][key], own_ratio))
    return found


def _ratio(now: Mapping[str, Any], before: Mapping[str, Any], name: str, key: str) -> float | None:
    """Return how a percentile has changed; None if one of the runs cannot tell it."""
    values = [run.get(name, {}).get(key) for run in (now, before)]
    return values[0] / values[1] if all(values) else None
