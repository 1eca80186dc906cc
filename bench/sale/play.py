"""Plays a scenario in locust: options, what happens when a run begins and ends, and the verdict.

With one process, everything is here. With several, the master makes the campaigns, tells its workers what is sold,
collects their journals, and gives the verdict; each worker plays its part of the buyers, with coupons of its own.
"""

import json
import math
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent
import locust.stats
from locust import LoadTestShape, events
from locust.env import Environment
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner
from report import machine

from redemption.cli.exits import BAD_INPUT, Stop
from redemption.client import CallFailed, RedemptionClient
from sale.buyers import BATCH, KINDS, LEAVE_SECONDS_MAX, Buyer
from sale.empty import measure_empty
from sale.goods import OFF_MINOR, Plan, mint, minted_for, open_sale, part_of
from sale.journal import PREBUILT, Journal
from sale.ledger_records import Records, UnreadableLedger
from sale.levels import read_levels
from sale.options import address_of, content_of, kinds_of
from sale.prebuilt import Done, Generator, UnusableGenerator, Work
from sale.record import Change, as_data, changes_of, markdown, read_earlier
from sale.scenario import read_scenario
from sale.series import series_of
from sale.shift import BEGIN_SECONDS, Shift, channel, coming
from sale.summary import Lags, Summary, summary_of
from sale.usage import Watch
from sale.verdict import judge
from sale.yardstick import LOCUST_PROCESS, Empty

CALLS_EACH = 3
"""So many calls a buyer makes."""
PLANNED_PART_MAX = 0.6
"""Locust is planned to make this part of the calls that it can; above that its queue is all one measures."""
OTHER_SCENARIO = "a worker was started with another scenario, or other options, than the master"
SCALE_MAX = 1000.0
WORKERS_SECONDS_MAX = 30.0
"""Time for the last message of each worker."""
PLAN, END, LAST = "sale-plan", "sale-end", "sale-last"


class Conductor:
    """Leads the runs of this process.

    Attributes:
        whole: What the scenario's file says.
        scenario: What is played: it may have fewer buyers than the file, so that locust can bring them.
        shift: What this process plays; None in a master.
        plan: What is sold in the present run.
        journal: Every answer of the present run, of all processes.
        lags: How late visits began.
        ends_at: When the last buyer comes, in monotonic seconds.
        began: The beginning of the schedule, Unix seconds.
        planned: How many buyers the schedules of all processes have.
        prebuilt: How many prebuilt redeems the schedule has.
        generator: Who sends the prebuilt redeems of the present run; None: nobody.
        workers: How many processes play.
        code: The exit code.
    """

    def __init__(self, environment: Environment) -> None:
        options = environment.parsed_options
        self.environment = environment
        self.address = address_of(environment.host, owned=options.i_own_it)
        if not 0 < options.scale <= SCALE_MAX:
            raise Stop(BAD_INPUT, f"--scale must be more than 0 and at most {SCALE_MAX:g}; it is {options.scale:g}")
        found = read_scenario(options.scenario, list(KINDS))
        self.whole = self.scenario = found.scaled(options.scale, prebuilt=options.scale)
        self.calibrates: bool = options.calibrate
        self.factor = 1.0
        self.levels = read_levels(Path(options.slo), self.scenario.name)
        self.late_seconds_max: float = options.late_seconds_max
        self.tls = content_of(Path(options.tls_ca), "--tls-ca") if options.tls_ca else None
        tokens = (
            content_of(Path(options.tokens), "--tokens").decode(errors="replace").split() if options.tokens else None
        )
        self.brought = tokens
        self.earlier = read_earlier(Path(options.compare), self.scenario.name) if options.compare else None
        self.empty = Empty()
        self.prebuilt = 0
        self.generator: Generator | None = None
        self.done: Done | None = None
        self.cpu_seconds = 0.0
        self.workers = 1
        self.last_words: set[str] = set()
        self.program: str = options.program
        self.ledger: str = options.ledger
        self.results = Path(options.results)
        self.kinds = kinds_of(options, environment.user_classes)
        self.shift: Shift | None = None
        self.plan: Plan | None = None
        self.journal = Journal()
        self.lags = Lags()
        self.broken = ""
        self.planned = 0
        self.ends_at = math.inf
        self.interrupted = False
        self.began = 0.0
        self.supervisor: int = options.watch
        self.watch: Watch | None = None
        self.code = BAD_INPUT  # until there is a verdict
        self.text = ""

    def begin(self, **_: Any) -> None:  # noqa: ANN401 - locust's events
        """Begin a run, or end the process: locust would go on after an error."""
        try:
            self._begin()
        except (CallFailed, UnreadableLedger, UnusableGenerator) as error:
            self.give_up(f"the run cannot begin: {error}")
        except Exception:  # noqa: BLE001 - told with its traceback
            self.give_up(f"the run cannot begin: {traceback.format_exc()}")

    def _begin(self) -> None:
        """Make what is sold, and tell the workers."""
        runner = self.environment.runner
        self.journal, self.lags, self.broken, self.planned = Journal(), Lags(), "", 0
        self.ends_at, self.plan, self.code, self.text = math.inf, None, BAD_INPUT, ""
        self.generator, self.done, self.last_words = None, None, set()
        if isinstance(runner, WorkerRunner):
            return  # it was told before
        if self.ledger:
            Records(self.ledger)  # now, and not when the run is over
        self.workers = len(runner.clients.ready) if isinstance(runner, MasterRunner) else 1
        self.measure()
        prebuilt = self.scenario.prebuilt.arrivals(seed=PREBUILT)
        self.prebuilt = len(prebuilt)
        with channel(self.address, self.tls) as line:
            client = RedemptionClient(line)
            minted = sum(minted_for(self.scenario, kind, each) for kind, each in MINTED.items())
            brought = self.brought is not None
            self.plan = open_sale(
                client, self.scenario, self.program, minted=minted, prebuilt=self.prebuilt, brought=brought
            )
        if prebuilt:
            self.generator = Generator(
                Work(
                    address=self.address,
                    run=self.plan.run,
                    program=self.program,
                    campaign=self.plan.campaigns[0].number,
                    moments=list(prebuilt),
                    warm_up=self.scenario.part.warm_up,
                    file=str(Path(tempfile.gettempdir()) / f"redemption-prebuilt-{self.plan.run}.jsonl"),
                    tls=self.tls.decode() if self.tls else "",
                )
            )
        self.planned = sum(len(coming(self.scenario, self.kinds, index, self.workers)) for index in range(self.workers))
        if isinstance(runner, MasterRunner):
            self.journal.whole = False
            message = {"plan": self.plan.message(), "workers": self.workers, "scenario": self.scenario.digest}
            message["factor"] = self.factor
            for index, client_id in enumerate(sorted(each.id for each in runner.clients.ready)):
                runner.send_message(PLAN, message | {"index": index}, client_id)
        else:
            self.play(self.plan, index=0)
        self.ends_at = time.monotonic() + BEGIN_SECONDS + self.scenario.seconds
        self.began = time.time() + BEGIN_SECONDS
        if self.generator is not None:
            self.generator.begin(self.began)
        self.watch = Watch(self.supervisor)
        self.cpu_seconds = time.process_time()

    def measure(self) -> None:
        """Measure locust and the empty handler, and plan so many buyers as locust can bring."""
        self.factor, self.empty = 1.0, Empty()
        needed = self.whole.buyers.highest * CALLS_EACH / self.workers
        if self.levels.need_empty or self.calibrates:
            self.empty = measure_empty(needed, self.whole.prebuilt.highest, seconds=self.whole.seconds)
        if self.calibrates:
            ceiling = self.empty.ceilings[LOCUST_PROCESS].calls_per_second
            self.factor = min(1.0, PLANNED_PART_MAX * ceiling / needed)
        self.scenario = self.whole.scaled(self.factor)

    def told(self, environment: Environment, msg: Any, **_: Any) -> None:  # noqa: ANN401, ARG002 - locust's messages
        """Take the plan from the master, in a worker."""
        self.workers, self.scenario = msg.data["workers"], self.whole.scaled(msg.data["factor"])
        self.play(Plan.from_message(msg.data["plan"]), index=msg.data["index"])
        if self.shift is not None and self.scenario.digest != msg.data["scenario"]:
            self.shift.broken = OTHER_SCENARIO

    def play(self, plan: Plan, *, index: int) -> None:
        """Prepare what this process plays."""
        if self.shift is not None:
            self.shift.close()
        self.plan, workers = plan, self.workers
        with channel(self.address, self.tls) as line:
            client = RedemptionClient(line)
            minted = {
                kind: mint(client, plan, minted_for(self.scenario, kind, each) // workers)
                for kind, each in MINTED.items()
                if minted_for(self.scenario, kind)
            }
        self.shift = Buyer.shift = Shift(
            self.scenario, plan, self.address, self.kinds, tls=self.tls, index=index, workers=workers
        )
        self.shift.minted = minted
        if self.brought is not None:
            self.shift.brought = part_of(self.brought, index, workers)

    def report(self, client_id: str, data: dict[str, Any]) -> None:  # noqa: ARG002 - locust's events
        """Send what is new to the master, in a worker."""
        if self.shift is not None:
            data["sale"] = self.shift.take()

    def collect(self, client_id: str, data: dict[str, Any]) -> None:  # noqa: ARG002 - locust's events
        """Take what a worker sent, in the master."""
        if sent := data.get("sale"):
            self.take(sent)

    def last(self, environment: Environment, msg: Any, **_: Any) -> None:  # noqa: ANN401, ARG002 - locust's messages
        """Take the last that a worker has to send, in the master."""
        self.take(msg.data)
        self.last_words.add(msg.node_id)

    def take(self, sent: dict[str, Any]) -> None:
        """Add what a process has played."""
        self.journal.add(sent["journal"])
        self.lags.add(sent["lags"], sent["moments"])
        self.broken = self.broken or sent["broken"]

    def end_shift(self) -> dict[str, Any] | None:
        """End what this process plays, and return what is new; None: it does not play."""
        shift, self.shift = self.shift, None
        if shift is None:
            return None
        if ended := shift.end_visits():
            shift.broken = shift.broken or f"{ended:,} visits were under way when the run was ended"
        shift.close()
        return shift.take()

    def await_workers(self, runner: MasterRunner) -> None:
        """Ask each worker for the rest, and wait for it, in the master; without one the journal is not whole."""
        runner.send_message(END)  # locust fires test_stop here before its workers have stopped
        ends = time.monotonic() + WORKERS_SECONDS_MAX
        while time.monotonic() < ends:
            there = {each.id for each in runner.clients.all if each.state != STATE_MISSING}
            if there <= self.last_words:
                break
            gevent.sleep(0.05)
        self.journal.whole = len(self.last_words) == self.workers
        if not self.journal.whole:
            came = f"{len(self.last_words)} of {self.workers} processes of locust"
            self.broken = self.broken or f"only {came} have told all that they played"

    def end_generator(self) -> None:
        """Add what the prebuilt-frame generator has sent."""
        if self.generator is None:
            return
        entries, self.done = self.generator.end(now=self.interrupted)
        self.journal.entries += entries
        if len(entries) != self.prebuilt:
            self.broken = self.broken or f"{len(entries):,} of {self.prebuilt:,} prebuilt redeems were sent"
        elif self.done.late_p99 > self.late_seconds_max:
            late = f"prebuilt redeems were sent late, p99 {self.done.late_p99 * 1000:.0f} ms"
            self.broken = self.broken or f"{late}: the machine is too busy for this scenario; use --scale"

    def end(self, **_: Any) -> None:  # noqa: ANN401 - locust's events
        """Give the verdict, and write the results."""
        runner, played = self.environment.runner, self.end_shift()
        if isinstance(runner, WorkerRunner):
            if played:
                runner.send_message(LAST, played)
            return
        if self.plan is None:
            return
        if played:
            self.take(played)
        if isinstance(runner, MasterRunner):
            self.await_workers(runner)
        self.cpu_seconds = time.process_time() - self.cpu_seconds
        try:
            self.end_generator()
        except UnusableGenerator as error:
            self.journal.whole, self.broken = False, str(error)
        if self.watch is not None:
            self.watch.stop()
        self.results.mkdir(parents=True, exist_ok=True)
        file = self.results / f"{self.scenario.name}-{self.plan.run}.jsonl"
        self.journal.write(file)  # now: it is all there is when the server cannot be asked any more
        with channel(self.address, self.tls) as line:
            try:
                records = Records(self.ledger) if self.ledger else None
                verdict = judge(self.journal, self.plan, RedemptionClient(line), records)
            except (CallFailed, UnreadableLedger) as error:
                self.give_up(f"the run cannot be judged: {error}; its journal is {file}")
        summary = summary_of(
            self.scenario,
            self.journal,
            self.lags,
            verdict,
            levels=self.levels,
            empty=self.empty,
            planned=self.planned,
            broken=self.broken,
            late_seconds_max=self.late_seconds_max,
        )
        self.code = summary.code
        self.text = f"{summary.text()}\njournal    {file}"  # now: nothing that fails below may hide the verdict
        facts = self.facts(self.plan, summary)
        data = as_data(summary, facts)
        changes = changes_of(data, self.earlier) if self.earlier else []
        file.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        file.with_suffix(".md").write_text(markdown(data, changes), encoding="utf-8")
        report = file.with_suffix(".html")
        calls = records.calls if records else []
        report.write_text(self.page(summary, self.plan, facts, changes, calls), encoding="utf-8")
        self.text += f"\nreport     {report}, and .md and .json"
        if self.environment.web_ui is not None:
            self.tell()

    def facts(self, plan: Plan, summary: Summary) -> dict[str, str]:
        """Return what ran where, and what the generators cost."""
        own = summary.calls - sum(entry.sender == PREBUILT for entry in self.journal.entries)
        costs = {name: str(ceiling) for name, ceiling in self.empty.ceilings.items()}
        if own and not isinstance(self.environment.runner, MasterRunner):
            costs["locust in this run"] = f"{1e6 * self.cpu_seconds / own:,.0f} µs of CPU for each of {own:,} calls"
        if self.done is not None:
            late = f"p99 of lateness {1000 * self.done.late_p99:.1f} ms"
            costs["prebuilt redeems"] = f"{self.done.cpu_us:,.0f} µs of the generator's CPU for each; {late}"
        return {
            "server": self.address,
            "run": f"{plan.run}, program {self.program}",
            "began": datetime.fromtimestamp(self.began, UTC).isoformat(" ", "seconds"),
            "seed": str(self.scenario.part.seed),
            "processes of locust": str(self.workers),
            "buyers": "as planned"
            if self.factor == 1
            else f"{self.factor:.0%} of the plan, as many as locust can bring",
            **costs,
            **machine(),
        }

    def page(
        self,
        summary: Summary,
        plan: Plan,
        facts: dict[str, str],
        changes: list[Change],
        calls: Sequence[tuple[float, int]],
    ) -> str:
        """Return the report."""
        from sale.page import page  # noqa: PLC0415 - it draws pictures, which workers do not need

        hot = plan.campaigns[0] if plan.campaigns else None
        series = series_of(
            self.scenario,
            self.journal,
            self.lags.moments,
            began=self.began,
            hot=hot.number if hot else -1,
            issued=hot.issued - self.prebuilt if hot else 0,
            redemptions=min(hot.redemptions, hot.budget_minor // OFF_MINOR) if hot else 0,
            calls=calls,
        )
        usage = [replace(each, moment=each.moment - self.began) for each in self.watch.seen] if self.watch else []
        shown = [each for each in usage if 0 < each.moment < max(series.moments)]
        return page(summary, series, shown, facts, changes)

    def interrupt(self) -> None:
        """End the run in order: the shape sees it within a second."""
        self.interrupted, self.broken = True, "the run was interrupted"

    def quitting(self, environment: Environment, **_: Any) -> None:  # noqa: ANN401 - locust's events
        """Set the exit code: the verdict's, and not the one of locust, which knows failures only."""
        if not isinstance(environment.runner, WorkerRunner):
            environment.process_exit_code = self.code

    def tell(self, **_: Any) -> None:  # noqa: ANN401 - locust's events
        """Print the result: headless below locust's own tables, else when the run has ended."""
        if self.text:
            print(self.text, flush=True)
        self.text = ""

    def give_up(self, why: str) -> None:
        """End the process with one line."""
        print(f"bench: {why}", file=sys.stderr, flush=True)
        sys.exit(BAD_INPUT)


MINTED = {"till": BATCH, "replayer": 1}
"""Kinds of buyers whose coupons are minted before, and how many each needs."""


class Schedule(LoadTestShape):
    """Locust's shape: one user, the door, in each process. When buyers come is in the scenario's schedule."""

    conductor: Conductor

    def tick(self) -> tuple[int, float] | None:
        """Return how many users there are; None when the last visit has ended."""
        if self.conductor.interrupted:
            return None
        late = time.monotonic() - self.conductor.ends_at
        if late > LEAVE_SECONDS_MAX or (late > 0 and not self.get_current_user_count()):
            return None
        workers = len(getattr(self.runner, "clients", ())) or 1
        return workers, float(workers)


def three_digits(milliseconds: float) -> float:
    """Return a time with three digits; locust keeps whole milliseconds otherwise, and most answers here take few."""
    return float(f"{milliseconds:.3g}")


locust.stats.bucket_response_time = three_digits


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:  # noqa: ANN401 - locust's events
    """Prepare the process; the conductor hears of the runs."""
    try:
        conductor = Conductor(environment)
    except Stop as stop:
        for line in stop.told:
            print(line, file=sys.stderr, flush=True)
        sys.exit(BAD_INPUT)
    Schedule.conductor = conductor
    if environment.web_ui is None:
        # Python would raise KeyboardInterrupt in whichever visit is running.
        gevent.signal_handler(signal.SIGINT, conductor.interrupt)
    # They choose among kinds of buyers, and not among tasks: there is only one.
    environment.parsed_options.tags = environment.parsed_options.exclude_tags = None
    environment.stop_timeout = environment.stop_timeout or LEAVE_SECONDS_MAX
    environment.events.test_start.add_listener(conductor.begin)
    environment.events.test_stop.add_listener(conductor.end)
    environment.events.quitting.add_listener(conductor.quitting)
    environment.events.quit.add_listener(conductor.tell)
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.register_message(PLAN, conductor.told)
        environment.runner.register_message(END, conductor.end, concurrent=True)
        environment.events.report_to_master.add_listener(conductor.report)
    elif isinstance(environment.runner, MasterRunner):
        environment.events.worker_report.add_listener(conductor.collect)
        environment.runner.register_message(LAST, conductor.last)
