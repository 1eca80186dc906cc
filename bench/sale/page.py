"""The report of a run as one page: it needs no network, no script, and nothing beside it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from latency import PERCENTILES, Histogram

from sale.charts import Line, latencies, over_time
from sale.journal import PREBUILT
from sale.record import Change
from sale.scenario import Scenario
from sale.series import Series, Usage
from sale.summary import Summary
from sale.usage import NAMES

_LATENCY_NOTE = """Of approved calls, without the warm-up: a refusal is often quicker, and would hide how long the
others take. A call without an answer counts as 5 seconds, its deadline. The empty handler is a server that does
nothing, called in the same way. What locust calls has locust's own time in it; prebuilt redeems are sent by a generator
that needs a small part of its CPU, so theirs is the service's."""
_TONES = {"PASS": "good", "PASS (API only)": "good", "FAIL": "bad", "MISSED": "bad", "INVALID": "warn"}
_MAIN = ("Redeem", f"Redeem ({PREBUILT})", "Claim", "Quote")


def page(
    summary: Summary, series: Series, usage: Sequence[Usage], facts: Mapping[str, str], changes: Sequence[Change] = ()
) -> str:
    """Return the page of a run; ``changes`` are those since an earlier one."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
    )
    context: dict[str, Any] = {
        "title": f"Flash-sale bench: {summary.scenario.name}",
        "description": summary.scenario.part.description,
        "word": summary.word,
        "tone": _TONES[summary.word],
        "why": list(_why(summary)),
        "numbers": [
            ("buyers came", f"{summary.visits:,}"),
            ("calls", f"{summary.calls:,}"),
            ("calls a second, at most", f"{max(series.sent):,.0f}"),
            ("redemptions approved", f"{summary.approved:,}"),
            ("lateness of visits, p99", f"{1000 * summary.lag_p99:.1f} ms"),
        ],
        "checks": summary.verdict.checks,
        "not_checked": summary.verdict.not_checked,
        "levels": summary.levels,
        "pictures": list(_pictures(summary, series, usage)),
        "latency_note": _LATENCY_NOTE,
        "percentiles": [f"p{part:g}" for part in PERCENTILES],
        "latencies": list(_latencies(summary)),
        "answers": list(_answers(summary)),
        "changes": changes,
        "facts": list(facts.items()),
    }
    return templates.get_template("page.html").render(context)


def _why(summary: Summary) -> Iterator[str]:
    """Say in sentences what the verdict comes from."""
    wrong = [check.name for check in summary.verdict.checks if check.wrong]
    if wrong:
        yield f"Does not hold: {'; '.join(wrong)}."
    else:
        yield f"Each of {len(summary.verdict.checks)} checks of correctness holds."
    if summary.invalid:
        yield f"The run is not the one that was planned: {summary.invalid}."
    if summary.missed:
        yield f"Service levels were missed: {', '.join(summary.missed)}."
    elif kept := sum(each.kept is True for each in summary.levels):
        too_few = len(summary.levels) - kept
        besides = f"; for {too_few} there were too few calls" if too_few else ""
        yield f"{kept} service levels are kept{besides}."
    there, missing = summary.verdict.resolved
    if there or missing:
        yield f"{there + missing:,} redemptions got no answer: {there:,} turned out to be done, {missing:,} not."


def _pictures(summary: Summary, series: Series, usage: Sequence[Usage]) -> Iterator[tuple[str, str, str]]:
    """Yield the pictures, each with its heading and what it shows."""
    phases = _phases(summary.scenario)
    moments = series.moments

    def lines(title: str, unit: str, *drawn: Line, log: bool = False) -> str:
        return over_time(title, unit, moments, drawn, phases, log=log)

    planned, came = Line("planned", series.planned), Line("came", series.came)
    yield (
        "Buyers",
        "How many came a second, and how many the schedule has. They come at random, so the lines differ a little.",
        lines("Buyers a second", "buyers a second", planned, came),
    )
    yield (
        "Calls",
        "Calls that were sent and answered, a second. Where the lines part, answers were late, or did not come.",
        lines("Calls a second", "calls a second", Line("sent", series.sent), Line("answered", series.answered)),
    )
    if any(series.planned_prebuilt):
        prebuilt = Line("planned, prebuilt", series.planned_prebuilt)
        yield (
            "Prebuilt redeems",
            "Redeems of the prebuilt-frame generator a second, beside those of the buyers.",
            lines("Prebuilt redeems a second", "redeems a second", prebuilt, Line("sent", series.sent_prebuilt)),
        )
    percentiles = [Line(name, values) for name, values in series.percentiles.items()]
    yield (
        "Latency over time",
        "Of all answers that came in each step, refusals too.",
        lines("Latency over time", "ms", *percentiles, log=True),
    )
    yield (
        "Latency",
        "How often each latency came, on a logarithmic scale.",
        latencies(
            "Histogram of latencies", {name: summary.latencies[name] for name in _MAIN if name in summary.latencies}
        ),
    )
    yield (
        "Calls under way",
        "Sent and not answered yet, at a moment.",
        lines("Calls under way", "calls", Line("under way", series.under_way)),
    )
    if any(series.to_redeem):
        left = Line("to claim", series.to_claim), Line("to redeem", series.to_redeem)
        yield (
            "Stock",
            "What the hot campaign has left: coupons to be claimed, and redemptions.",
            lines("Stock of the hot campaign", "coupons", *left),
        )
    if series.in_a_call:
        yield (
            "Batches",
            "How many redemptions one call of the ledger approved, and one fsync made durable.",
            lines(
                "Redemptions in a call of the ledger",
                "redemptions",
                *(Line(name, values) for name, values in series.in_a_call.items()),
            ),
        )
    if usage:
        names = sorted({name for each in usage for name in each.parts}, key=NAMES.index)
        drawn = [Line(name, [100 * each.parts.get(name, 0.0) for each in usage]) for name in names]
        yield (
            "CPU",
            "Of one core; the generators share the cores with the server.",
            over_time("CPU", "% of a core", [each.moment for each in usage], drawn, phases),
        )


def _phases(scenario: Scenario) -> dict[str, float]:
    begins, found = 0.0, {}
    for phase in scenario.part.phases:
        found[phase.name] = begins
        begins += phase.lasts
    return found


def _latencies(summary: Summary) -> Iterator[list[str]]:
    found: dict[str, Histogram] = {**summary.latencies, **summary.empty.latencies}
    for name, histogram in found.items():
        yield [name, f"{len(histogram):,}", *(histogram.told(part) for part in PERCENTILES)]


def _answers(summary: Summary) -> Iterator[tuple[str, str, str]]:
    for method, counted in summary.answers.items():
        for answer, count in counted.most_common():
            name = f"{method} {answer}"
            unexpected = summary.unexpected[name]
            told = f"{unexpected:,} nobody had to expect" if unexpected else ""
            yield name, f"{count:,}", told
