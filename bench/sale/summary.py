"""What a run has shown, in numbers and in words: latencies, refusals, how late the generator was, and the verdict."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hdrh.histogram import HdrHistogram

from sale.journal import UNKNOWN, Journal
from sale.levels import Compared, Levels, compare
from sale.scenario import Scenario
from sale.verdict import NO_LEDGER, REDEEMING, Verdict

HIGHEST_US = 60_000_000
PERCENTILES = (50.0, 99.0, 99.9)
PASS, FAIL, MISSED, INVALID = 0, 1, 3, 4


class Lags:
    """How late visits began, in seconds, and when, in seconds from the beginning of the schedule."""

    def __init__(self) -> None:
        self.seconds = array("d")
        self.moments = array("d")

    def add(self, seconds: Iterable[float], moments: Iterable[float]) -> None:
        """Add those of a process."""
        self.seconds.extend(seconds)
        self.moments.extend(moments)

    @property
    def p99(self) -> float:
        """The 99th percentile; 0 without visits."""
        return sorted(self.seconds)[len(self.seconds) * 99 // 100] if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a run.

    Attributes:
        scenario: What was played.
        visits: How many buyers came.
        planned: How many the schedule has.
        lag_p99: How late their visits began, the 99th percentile, in seconds.
        latencies: By method, in microseconds.
        answers: How often each answer came, by method.
        unexpected: How often one that nobody had to expect.
        verdict: Whether it is correct.
        levels: Service levels, and what was found.
        empty: The latencies of the empty handler, in microseconds; None: not measured.
        invalid: Why the run is not the planned one; or empty.
    """

    scenario: Scenario
    visits: int
    planned: int
    lag_p99: float
    latencies: dict[str, HdrHistogram]
    answers: dict[str, Counter[str]]
    unexpected: Counter[str]
    verdict: Verdict
    levels: list[Compared]
    empty: HdrHistogram | None
    invalid: str

    @property
    def approved(self) -> int:
        """How many redemptions callers were told are approved, repeated answers included."""
        return sum(counted["APPROVED"] for method, counted in self.answers.items() if method in REDEEMING)

    @property
    def word(self) -> str:
        """The result in a word."""
        if not self.verdict.passed:
            return "FAIL"
        if self.invalid:
            return "INVALID"
        if self.missed:
            return "MISSED"
        return "PASS (API only)" if NO_LEDGER in self.verdict.not_checked else "PASS"

    @property
    def code(self) -> int:
        """The exit code."""
        if not self.verdict.passed:
            return FAIL
        if self.invalid:
            return INVALID
        return MISSED if self.missed else PASS

    @property
    def missed(self) -> list[str]:
        """The service levels that were missed."""
        return [each.name for each in self.levels if each.kept is False]

    def text(self) -> str:
        """Return it for people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"\n{self.scenario.name}: {self.scenario.part.description}"
        late = 1000 * self.lag_p99
        yield f"{'visits':10} {self.visits:,} of {self.planned:,}; p99 of lateness {late:.1f} ms"
        for method, histogram in self.latencies.items():
            times = ("p50", "p99", "p99.9")
            values = [
                f"{name} {histogram.get_value_at_percentile(part) / 1000:.2f}"
                for name, part in zip(times, PERCENTILES, strict=True)
            ]
            told = ", ".join(f"{answer} {count:,}" for answer, count in self.answers[method].most_common())
            yield f"{method:10} {'  '.join(values)} ms   {told}"
        if self.unexpected:
            yield f"unexpected {', '.join(f'{name} {count:,}' for name, count in self.unexpected.most_common())}"
        there, missing = self.verdict.resolved
        if there or missing:
            told = f"{there + missing:,} redemptions were looked up: {there:,} had been done, {missing:,} had not"
            yield f"{'no answer':10} {told}"
        for check in self.verdict.checks:
            yield f"{'WRONG' if check.wrong else 'right':10} {check.name} ({check.looked_at})"
            yield from (f"{'':10}   {each}" for each in check.wrong)
        yield from (f"{'not looked':10} {each}" for each in self.verdict.not_checked)
        for level in self.levels:
            word = "too few" if level.kept is None else "kept" if level.kept else "MISSED"
            yield f"{word:10} {level.name}: {level.found}; {level.asked}"
        if self.invalid:
            yield f"INVALID    {self.invalid}"
        yield f"{'verdict':10} {self.word}"


def summary_of(
    scenario: Scenario,
    journal: Journal,
    lags: Lags,
    verdict: Verdict,
    *,
    levels: Levels,
    empty: HdrHistogram | None,
    planned: int,
    broken: str,
    late_seconds_max: float,
) -> Summary:
    """Sum up a run.

    Args:
        scenario: What was played.
        journal: Every answer.
        lags: How late visits began.
        verdict: Whether it is correct.
        levels: What is asked of it.
        empty: The latencies of the empty handler, in microseconds.
        planned: How many buyers the schedule has.
        broken: Why buyers could not do what was planned; or empty.
        late_seconds_max: When more than one of a hundred visits began later than this, the run is INVALID.
    """
    latencies: dict[str, HdrHistogram] = {}
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    unexpected: Counter[str] = Counter()
    for entry in journal.entries:
        answers[entry.method][entry.answer] += 1
        if not entry.expected:
            unexpected[f"{entry.method} {entry.answer}"] += 1
        if entry.counted and entry.answer != UNKNOWN:
            histogram = latencies.setdefault(entry.method, HdrHistogram(1, HIGHEST_US, 3))
            histogram.record_value(min(max(1, round(entry.seconds * 1e6)), HIGHEST_US))
    compared = compare(levels, latencies, empty, calls=len(journal.entries), errors=unexpected.total())
    return Summary(
        scenario,
        len(lags.seconds),
        planned,
        lags.p99,
        latencies,
        answers,
        unexpected,
        verdict,
        compared,
        empty,
        _invalid(lags, planned, late_seconds_max, broken),
    )


def _invalid(lags: Lags, planned: int, late_seconds_max: float, broken: str) -> str:
    if broken:
        return broken
    if len(lags.seconds) != planned or not planned:
        return f"{len(lags.seconds):,} of {planned:,} buyers came"
    if lags.p99 > late_seconds_max:
        late = f"visits began late, p99 {lags.p99 * 1000:.0f} ms"
        return f"{late}: locust is too slow for this scenario; use --scale or --processes"
    return ""
