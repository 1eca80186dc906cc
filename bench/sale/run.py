"""What is known of one run while it is played, and the files that are written of it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sale.goods import OFF_MINOR, Plan
from sale.journal import Journal
from sale.prebuilt import Done, Generator
from sale.record import as_data, changes_of, markdown
from sale.scenario import Scenario
from sale.series import Usage, series_of
from sale.summary import Lags, Summary
from sale.yardstick import Empty


@dataclass(slots=True)
class Run:
    """A run.

    Attributes:
        scenario: What is played: it may have fewer buyers than was asked, so that locust can bring them.
        part: This part of the buyers that were asked for.
        workers: How many processes of locust play.
        empty: The empty handler, as the generators see it.
        plan: What is sold; None until it is made.
        planned: How many buyers the schedules of all processes have.
        prebuilt: How many prebuilt redeems the schedule has.
        generator: Who sends these; None: nobody.
        done: What the generator said at the end.
        journal: Every answer, of all processes.
        lags: How late visits began.
        began: The beginning of the schedule, Unix seconds.
        ends_at: When the last buyer comes, in monotonic seconds.
        cpu_seconds: CPU of this process until the run began, and then during it.
        last_words: The workers that have sent all they played.
        broken: Why it is not the planned run; or empty.
    """

    scenario: Scenario
    part: float = 1.0
    workers: int = 1
    empty: Empty = field(default_factory=Empty)
    plan: Plan | None = None
    planned: int = 0
    prebuilt: int = 0
    generator: Generator | None = None
    done: Done | None = None
    journal: Journal = field(default_factory=Journal)
    lags: Lags = field(default_factory=Lags)
    began: float = 0.0
    ends_at: float = math.inf
    cpu_seconds: float = 0.0
    last_words: set[str] = field(default_factory=set)
    broken: str = ""

    def blame(self, why: str) -> None:
        """Say why this is not the planned run; what was said first stays."""
        self.broken = self.broken or why

    def take(self, sent: Mapping[str, Any]) -> None:
        """Add what a process has played; not what is of another run."""
        if self.plan is None or sent["run"] != self.plan.run:
            return
        self.journal.add(sent["journal"])
        self.lags.add(sent["lags"], sent["moments"])
        self.blame(sent["broken"])

    def end_generator(self, *, now: bool, late_seconds_max: float) -> None:
        """Add what the prebuilt-frame generator has sent; or end it now.

        Raises:
            UnusableGenerator: It has ended with an error.
        """
        if self.generator is None:
            return
        entries, self.done = self.generator.end(now=now)
        self.journal.entries += entries
        if len(entries) != self.prebuilt:
            self.blame(f"{len(entries):,} of {self.prebuilt:,} prebuilt redeems were sent")
        if self.done.late_p99 > late_seconds_max:
            late = f"prebuilt redeems were sent late, p99 {self.done.late_p99 * 1000:.0f} ms"
            self.blame(f"{late}: the machine is too busy for this scenario; use --scale")


def write(
    file: Path,
    run: Run,
    summary: Summary,
    facts: Mapping[str, str],
    *,
    usage: Sequence[Usage],
    calls: Sequence[tuple[float, int]],
    earlier: Mapping[str, Any] | None,
) -> Path:
    """Write a run as JSON, as Markdown and as a page; returns the page.

    Args:
        file: Its journal; the others have the same name.
        run: The run.
        summary: What it has shown.
        facts: What ran where.
        usage: The CPU of all processes, at moments in Unix seconds.
        calls: When the ledger was called, Unix seconds, and how many redemptions each call approved.
        earlier: The data of an earlier run, to be compared with.
    """
    from sale.page import page  # noqa: PLC0415 - it draws pictures, which workers do not need

    data = as_data(summary, facts)
    changes = changes_of(data, earlier) if earlier else []
    file.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    file.with_suffix(".md").write_text(markdown(data, changes), encoding="utf-8")
    hot = run.plan.campaigns[0] if run.plan and run.plan.campaigns else None
    series = series_of(
        run.scenario,
        run.journal,
        run.lags.moments,
        began=run.began,
        hot=hot.number if hot else -1,
        issued=hot.issued - run.prebuilt if hot else 0,
        redemptions=min(hot.redemptions, hot.budget_minor // OFF_MINOR) if hot else 0,
        calls=calls,
    )
    moments = [replace(each, moment=each.moment - run.began) for each in usage]
    shown = [each for each in moments if 0 < each.moment < max(series.moments)]
    written = file.with_suffix(".html")
    written.write_text(page(summary, series, shown, facts, changes), encoding="utf-8")
    return written
