"""What a run has shown, in numbers and in words: latencies, refusals, how late the generator was, and the verdict."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from latency import PERCENTILES, Histogram

from sale.journal import UNKNOWN, Journal
from sale.levels import Compared, Levels, compare
from sale.scenario import Scenario
from sale.verdict import NO_LEDGER, REDEEMING, Verdict
from sale.yardstick import Empty

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
        latencies: Of approved calls, by method. A refusal is often quicker, and would hide how long the others take; a
            call without an answer counts as its deadline. Apart what was prebuilt.
        answers: How often each answer came, by the same.
        calls: How many calls were sent.
        unexpected: How often one that nobody had to expect.
        verdict: Whether it is correct.
        levels: Service levels, and what was found.
        empty: The empty handler.
        invalid: Why the run is not the planned one; or empty.
    """

    scenario: Scenario
    visits: int
    planned: int
    lag_p99: float
    latencies: dict[str, Histogram]
    answers: dict[str, Counter[str]]
    calls: int
    unexpected: Counter[str]
    verdict: Verdict
    levels: list[Compared]
    empty: Empty
    invalid: str

    @property
    def approved(self) -> int:
        """How many redemptions callers were told are approved, repeated answers included."""
        return sum(counted["APPROVED"] for row, counted in self.answers.items() if row.startswith(REDEEMING))

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
        for name, ceiling in self.empty.ceilings.items():
            yield f"{'generator':10} {name}: {ceiling}"
        for row, counted in self.answers.items():
            histogram = self.latencies.get(row, Histogram())
            values = [f"p{part:g} {histogram.told(part)}" for part in PERCENTILES if histogram.has(part)]
            told = ", ".join(f"{answer} {count:,}" for answer, count in counted.most_common())
            yield f"{row:10} {'  '.join([*values, 'ms  ']) if values else ''} {told}"
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
        if not self.levels:
            yield f"{'not asked':10} no service levels: the file has none for {self.scenario.name}"
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
    empty: Empty,
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
        empty: The empty handler.
        planned: How many buyers the schedule has.
        broken: Why buyers could not do what was planned; or empty.
        late_seconds_max: When more than one of a hundred visits began later than this, the run is INVALID.
    """
    latencies: dict[str, Histogram] = {}
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    unexpected: Counter[str] = Counter()
    for entry in journal.entries:
        answers[entry.row][entry.answer] += 1
        if not entry.expected:
            unexpected[f"{entry.row} {entry.answer}"] += 1
        if entry.counted and (entry.approved or entry.answer == UNKNOWN):
            latencies.setdefault(entry.row, Histogram()).add(entry.waited_seconds)
    compared = compare(levels, latencies, empty, journal)
    return Summary(
        scenario,
        len(lags.seconds),
        planned,
        lags.p99,
        latencies,
        answers,
        sum(not entry.position for entry in journal.entries),
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
