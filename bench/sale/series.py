"""What happened when: the numbers of a run by the second, for its report."""

import statistics
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sale.journal import PREBUILT, UNKNOWN, Entry, Journal
from sale.scenario import Scenario

POINTS = 60
"""About so many points of time has each line."""
PERCENTILES = (50, 99)


@dataclass(frozen=True, slots=True)
class Usage:
    """The CPU of a process at a moment, as a part of one core.

    Attributes:
        moment: Seconds from the beginning of the schedule.
        parts: By name, such as worker or ledger.
    """

    moment: float
    parts: dict[str, float]


@dataclass(slots=True)
class Series:
    """Lines of a run; each has a value for each moment, or None where there is none.

    Attributes:
        step: Seconds between two moments.
        moments: The middle of each step, in seconds from the beginning of the schedule.
        planned: Buyers a second, as the schedule has them.
        planned_prebuilt: Prebuilt redeems a second, as the schedule has them.
        came: Buyers a second who came.
        sent: Calls a second.
        sent_prebuilt: Those of the prebuilt-frame generator among them.
        answered: Answers a second.
        under_way: Calls under way.
        percentiles: Milliseconds, by name, of answers that came in a step; apart those of prebuilt redeems.
        in_a_call: How many redemptions a call of the ledger approved: the mean and the most, by name.
        to_claim: Coupons of the hot campaign that are left to be claimed.
        to_redeem: Redemptions that it has left.
    """

    step: float
    moments: list[float]
    planned: list[float]
    planned_prebuilt: list[float]
    came: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    sent_prebuilt: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    under_way: list[float] = field(default_factory=list)
    percentiles: dict[str, list[float | None]] = field(default_factory=dict)
    in_a_call: dict[str, list[float | None]] = field(default_factory=dict)
    to_claim: list[float] = field(default_factory=list)
    to_redeem: list[float] = field(default_factory=list)


def series_of(
    scenario: Scenario,
    journal: Journal,
    arrivals: Sequence[float],
    *,
    began: float,
    hot: int,
    issued: int,
    redemptions: int,
    calls: Sequence[tuple[float, int]] = (),
) -> Series:
    """Return the lines of a run.

    Args:
        scenario: What was played.
        journal: Every answer.
        arrivals: When buyers came, in seconds from the beginning of the schedule.
        began: The beginning of the schedule, Unix seconds.
        hot: The hot campaign.
        issued: How many of its coupons can be claimed.
        redemptions: How many redemptions it allows.
        calls: When the ledger was called, Unix seconds, and how many redemptions each call approved.
    """
    firsts = [entry for entry in journal.entries if not entry.position]
    sent = [entry.sent_at - began for entry in firsts]
    answered = [entry.sent_at + entry.seconds - began for entry in firsts]
    ends = max([scenario.seconds, *answered])
    step = max(ends / POINTS, 0.25)
    count = int(ends / step) + 1
    moments = [(index + 0.5) * step for index in range(count)]
    planned, prebuilt = ([rates.at(moment) for moment in moments] for rates in (scenario.buyers, scenario.prebuilt))
    found = Series(step, moments, planned, prebuilt)
    found.came = _per_second(arrivals, step, count)
    found.sent, found.answered = _per_second(sent, step, count), _per_second(answered, step, count)
    prebuilt_sent = [entry.sent_at - began for entry in firsts if entry.sender == PREBUILT]
    found.sent_prebuilt = _per_second(prebuilt_sent, step, count)
    sent.sort()
    answered.sort()
    found.under_way = [float(bisect_right(sent, moment) - bisect_right(answered, moment)) for moment in moments]
    for name, chosen in (
        ("", [entry for entry in firsts if entry.sender != PREBUILT]),
        (f" {PREBUILT}", [entry for entry in firsts if entry.sender == PREBUILT]),
    ):
        if chosen:
            found.percentiles |= _percentiles(name, chosen, began, step, count)
    if calls:
        found.in_a_call = _in_a_call(calls, began, step, count)
    approvals = [each for each in _approvals(journal.entries) if each.campaign == hot]
    for left, amount, is_claim in ((found.to_claim, issued, True), (found.to_redeem, redemptions, False)):
        taken = sorted(
            each.sent_at + each.seconds - began for each in approvals if (each.method == "Claim") == is_claim
        )
        left += [float(amount - bisect_right(taken, moment)) for moment in moments]
    return found


def _per_second(moments: Iterable[float], step: float, count: int) -> list[float]:
    counted = Counter(int(moment / step) for moment in moments)
    return [counted[index] / step for index in range(count)]


def _in_a_call(
    calls: Iterable[tuple[float, int]], began: float, step: float, count: int
) -> dict[str, list[float | None]]:
    by_step = defaultdict(list)
    for moment, redemptions in calls:
        by_step[int((moment - began) / step)].append(redemptions)
    steps = [by_step.get(index) for index in range(count)]
    return {
        "mean": [statistics.fmean(counts) if counts else None for counts in steps],
        "most": [float(max(counts)) if counts else None for counts in steps],
    }


def _percentiles(
    name: str, entries: Iterable[Entry], began: float, step: float, count: int
) -> dict[str, list[float | None]]:
    by_step = defaultdict(list)
    for entry in entries:
        if entry.answer != UNKNOWN:
            by_step[int((entry.sent_at + entry.seconds - began) / step)].append(entry.seconds * 1000)
    for times in by_step.values():
        times.sort()
    return {
        f"p{percent}{name}": [
            times[min(len(times) * percent // 100, len(times) - 1)] if (times := by_step.get(index)) else None
            for index in range(count)
        ]
        for percent in PERCENTILES
    }


def _approvals(entries: Iterable[Entry]) -> list[Entry]:
    """Return the first approval of each redemption and claim."""
    first: dict[str, Entry] = {}
    for entry in entries:
        if entry.approved and (entry.receipt or entry.method == "Claim"):
            first.setdefault(entry.request_id, entry)
    return list(first.values())
