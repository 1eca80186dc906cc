"""The results of a benchmark: samples, their medians and spread, and ratios compared with aims."""

import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from generator import Run
from latency import PERCENTILES, Histogram, enough
from report import MISSED, Part, Report
from under_test import Cost

ROUNDS_MIN = 3
"""With fewer rounds a ratio may be chance."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One case in one round. Latencies in milliseconds, costs in microseconds of CPU for each redeem.

    Attributes:
        late_ms: How late the generator itself sent calls, the 99th percentile; 0 without a schedule.
        approved: Redemptions that the answers approve.
        expected: Redemptions that they would approve if none were refused.
        failures: How often calls failed, by status.
        histogram: The latencies, see ``latency.py``.
        invalid: Why it does not count, or empty.
    """

    redeems_per_second: float
    server_us: float
    ledger_us: float
    generator_us: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    late_ms: float
    approved: int
    expected: int
    failures: Mapping[str, int]
    histogram: str
    invalid: str

    @classmethod
    def of(cls, run: Run, cost: Cost, *, redeems_per_call: int, approved: int, tokens: int = 1) -> "Sample":
        """Return the sample of a run; each redeem has ``tokens`` tokens."""
        histogram = run.histogram()
        redeems = max(run.sent, 1) * redeems_per_call
        expected = len(run.latencies) * redeems_per_call * tokens
        p50, p99, p999 = map(histogram.ms, PERCENTILES)
        return cls(
            redeems_per_second=run.calls_per_second * redeems_per_call,
            server_us=1e6 * cost.server / redeems,
            ledger_us=1e6 * cost.ledger / redeems,
            generator_us=1e6 * run.cpu_seconds / redeems,
            p50_ms=p50,
            p99_ms=p99,
            p999_ms=p999,
            late_ms=run.late_seconds * 1000,
            approved=approved,
            expected=expected,
            failures=dict(run.failures),
            histogram=histogram.encode(),
            invalid=_wrong(run, approved, expected) or run.invalid,
        )

    @property
    def wrong(self) -> bool:
        """Whether calls failed or were refused. Then the case must not be measured again, which would hide it."""
        return bool(self.failures) or self.approved != self.expected


def _wrong(run: Run, approved: int, expected: int) -> str:
    if run.failures:
        named = "; ".join(f"{status} ({count})" for status, count in run.failures.most_common(3))
        return f"{sum(run.failures.values())} of {run.sent} calls failed: {named}"
    if approved != expected:
        return f"{approved} of {expected} redemptions were approved: a refusal costs less"
    return ""


def has_percentile(samples: Sequence[Sample], percent: float) -> bool:
    """Whether enough calls are above a percentile, so that it can be printed."""
    return enough(sum(len(Histogram.decode(sample.histogram)) for sample in samples), percent)


def measured(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples that count; none if half of them or more do not count."""
    valid = [sample for sample in samples if not sample.invalid]
    return valid if 2 * len(valid) > len(samples) else []


@dataclass(frozen=True, slots=True)
class Aim:
    """A ratio of one figure of two cases, with its lower or upper limit.

    Attributes:
        figure: The figure's name in ``Sample``; if unset, the throughput for ``at_least``, p99 for ``at_most``.
    """

    name: str
    case: str
    against: str
    at_least: float | None = None
    at_most: float | None = None
    figure: str = ""

    def ratio(self, case: Sample, against: Sample) -> float:
        """Return the ratio in one round."""
        figure = self.figure or ("redeems_per_second" if self.at_most is None else "p99_ms")
        return float(getattr(case, figure) / getattr(against, figure))

    def reached(self, ratio: float) -> bool:
        """Whether a ratio reaches the aim."""
        return ratio <= self.at_most if self.at_most is not None else ratio >= (self.at_least or 0)

    @property
    def text(self) -> str:
        """The aim as text."""
        return f"{self.at_most:g} or less" if self.at_most is not None else f"{self.at_least:g} or more"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The median of an aim's ratios, and their minimum and maximum; None if too few rounds count."""

    aim: Aim
    ratio: float | None
    least: float = 0.0
    greatest: float = 0.0

    @property
    def figures(self) -> Sequence[str]:
        """Its numbers as text."""
        return ("", "") if self.ratio is None else (f"{self.ratio:.2f}", f"{self.least:.2f} to {self.greatest:.2f}")

    @property
    def word(self) -> str:
        """The result in a word."""
        if self.ratio is None:
            return "INVALID"
        return "reached" if self.aim.reached(self.ratio) else "missed"


@dataclass(slots=True)
class Results:
    """All samples of a run."""

    bench: str
    arguments: Mapping[str, Any]
    aims: Sequence[Aim]
    facts: dict[str, str] = field(default_factory=dict)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    breaks: Collection[str] = ()
    """Cases after which the table has an empty line."""
    notes: list[str] = field(default_factory=list)
    """Remarks on the ratios."""

    def add(self, case: str, sample: Sample) -> None:
        """Add the sample of one round to a case."""
        self.samples.setdefault(case, []).append(sample)

    def verdicts(self) -> list[Verdict]:
        """Compare the ratios with the aims; a round counts if both of its samples count."""
        found = []
        for aim in self.aims:
            rounds = zip(self.samples[aim.case], self.samples[aim.against], strict=True)
            ratios = [aim.ratio(*pair) for pair in rounds if not (pair[0].invalid or pair[1].invalid)]
            if 2 * len(ratios) <= len(self.samples[aim.case]):
                found.append(Verdict(aim, None))
            else:
                found.append(Verdict(aim, statistics.median(ratios), min(ratios), max(ratios)))
        return found

    @property
    def wrong(self) -> bool:
        """Whether a server did something wrong."""
        return any(sample.wrong for samples in self.samples.values() for sample in samples)

    @property
    def reached(self) -> bool:
        """Whether all aims were reached and every case was measured."""
        return all(verdict.word == "reached" for verdict in self.verdicts()) and all(
            measured(samples) for samples in self.samples.values()
        )

    @property
    def exit_code(self) -> int:
        """The exit code: 1 if a server was wrong, MISSED if an aim was missed or a case not measured, else 0."""
        if self.wrong:
            return 1
        return 0 if self.reached else MISSED

    def report(self) -> Report:
        """Return the tables for people, and all samples for JSON."""
        found = Report(self.bench, self.facts)
        rows: list[Sequence[str]] = [(name, *_figures(samples)) for name, samples in self.samples.items()]
        found.parts = [
            Part(
                "Medians of the rounds; µs of CPU for each redeem, latency in ms",
                _HEADER,
                rows,
                _LEGEND,
                breaks=self.breaks,
            ),
            Part(
                "Ratios",
                ("ratio", "median", "least to greatest", "aim", ""),
                [(each.aim.name, *each.figures, each.aim.text, each.word) for each in self.verdicts()],
                [*self._invalid(), *self._notes()],
            ),
        ]
        found.data = {
            "arguments": self.arguments,
            "verdicts": [{**asdict(verdict), "word": verdict.word} for verdict in self.verdicts()],
            "cases": {name: [asdict(sample) for sample in samples] for name, samples in self.samples.items()},
        }
        return found

    def _notes(self) -> Iterable[str]:
        rounds = max(map(len, self.samples.values()), default=0)
        if rounds < ROUNDS_MIN:
            yield f"A verdict of fewer than {ROUNDS_MIN} rounds is chance."
        yield from self.notes

    def _invalid(self) -> Iterable[str]:
        """Return a line for each sample that does not count, the server's errors first."""
        lines = [
            (not sample.wrong, f"{_word(sample)}: {name}, round {number}: {sample.invalid}")
            for name, samples in self.samples.items()
            for number, sample in enumerate(samples, start=1)
            if sample.invalid
        ]
        return [line for _, line in sorted(lines, key=lambda each: each[0])]


def _word(sample: Sample) -> str:
    return "FAILED" if sample.wrong else "INVALID"


_LEGEND = (
    "±%: half of what lies between the rounds. server, ledger, client: CPU of their processes.",
    "late: p99 of the generator's own lateness. No percentile where fewer than 10 calls lie beyond it.",
)
_HEADER = ("case", "redeems/s", "±%", "server", "ledger", "client", "p50", "p99", "p99.9", "late")


def _figures(samples: Sequence[Sample]) -> Sequence[str]:
    counted = measured(samples)
    if any(sample.wrong for sample in samples):
        return ("FAILED", *[""] * (len(_HEADER) - 2))
    if not counted:
        return ("INVALID", *[""] * (len(_HEADER) - 2))

    def median(figure: Callable[[Sample], float], digits: int) -> str:
        return f"{statistics.median(map(figure, counted)):,.{digits}f}"

    rates = [sample.redeems_per_second for sample in counted]
    return (
        median(lambda sample: sample.redeems_per_second, 0),
        f"{50 * (max(rates) - min(rates)) / statistics.median(rates):.0f}" if len(rates) > 1 else "",
        median(lambda sample: sample.server_us, 1),
        median(lambda sample: sample.ledger_us, 1),
        median(lambda sample: sample.generator_us, 1),
        median(lambda sample: sample.p50_ms, 2),
        median(lambda sample: sample.p99_ms, 2) if has_percentile(counted, 99) else "",
        median(lambda sample: sample.p999_ms, 2) if has_percentile(counted, 99.9) else "",
        median(lambda sample: sample.late_ms, 2) if any(sample.late_ms for sample in counted) else "",
    )
