"""Plays a scenario in locust: options, what happens when a run begins and ends, and the verdict.

With one process, everything is here. With several, the master makes the campaigns, tells its workers what is sold,
collects their journals, and gives the verdict; each worker plays its part of the buyers, with coupons of its own.
"""

import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent
import locust.stats
from gevent import Greenlet
from locust import LoadTestShape, events
from locust.env import Environment
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner
from report import machine

import sale.options  # noqa: F401 - it adds them
from redemption.cli.exits import BAD_INPUT, INTERRUPTED, Stop
from redemption.client import CallFailed, RedemptionClient
from sale.buyers import BATCH, KINDS, LEAVE_SECONDS_MAX, Buyer
from sale.empty import measure_empty
from sale.given import address_of, content_of, folder_of, kinds_of, tokens_of
from sale.goods import Plan, mint, open_sale, part_of
from sale.journal import PREBUILT
from sale.ledger_records import Records, UnreadableLedger
from sale.levels import read_levels
from sale.prebuilt import Generator, UnusableGenerator, Work
from sale.record import read_earlier
from sale.run import Run, write
from sale.scenario import read_scenario
from sale.shift import BEGIN_SECONDS, Shift, channel, coming
from sale.summary import Summary, summary_of
from sale.usage import Watch
from sale.verdict import judge
from sale.yardstick import LOCUST_PROCESS

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
        scenario: What is asked for.
        run: What is known of the present run; without a plan there is none.
        beginning: Who begins a run now; None: nobody.
        is_judging: Whether a run has been played, and its verdict is worked out.
        shift: What this process plays; None in a master.
        code: The exit code.
    """

    def __init__(self, environment: Environment) -> None:
        options = environment.parsed_options
        self.environment = environment
        self.address = address_of(environment.host, owned=options.i_own_it)
        if not 0 < options.scale <= SCALE_MAX:
            raise Stop(BAD_INPUT, f"--scale must be more than 0 and at most {SCALE_MAX:g}; it is {options.scale:g}")
        found = read_scenario(options.scenario, list(KINDS))
        self.scenario = found.scaled(options.scale, prebuilt=options.scale)
        self.calibrates: bool = options.calibrate
        self.levels = read_levels(Path(options.slo), self.scenario.name)
        self.late_seconds_max: float = options.late_seconds_max
        self.tls = content_of(Path(options.tls_ca), "--tls-ca") if options.tls_ca else None
        self.brought = tokens_of(Path(options.tokens)) if options.tokens else None
        self.earlier = read_earlier(Path(options.compare), self.scenario.name) if options.compare else None
        self.program: str = options.program
        self.ledger: str = options.ledger
        self.results = folder_of(options.results)
        self.kinds = kinds_of(options, [each.kind for each in environment.user_classes], list(KINDS))
        self.supervisor: int = options.watch
        self.run = Run(self.scenario)
        self.beginning: Greenlet | None = None
        self.is_judging = False
        self.shift: Shift | None = None
        self.watch: Watch | None = None
        self.interrupted = False
        self.code = INTERRUPTED  # until there is a verdict
        self.text = ""

    def begin(self, **_: Any) -> None:  # noqa: ANN401 - locust's events
        """Begin a run, or end the process: locust would go on after an error."""
        self.beginning = gevent.getcurrent()
        try:
            self._begin()
        except KeyboardInterrupt:
            self.give_up("interrupted before the run began", INTERRUPTED)
        except CallFailed as error:
            self.give_up(f"the run cannot begin: {self.address} answers {error}")
        except (UnreadableLedger, UnusableGenerator) as error:
            self.give_up(f"the run cannot begin: {error}")
        except Exception:  # noqa: BLE001 - told with its traceback
            self.give_up(f"the run cannot begin: {traceback.format_exc()}")
        finally:
            self.beginning = None

    def _begin(self) -> None:
        """Make what is sold, and tell the workers."""
        runner = self.environment.runner
        if isinstance(runner, WorkerRunner):
            return  # it was told before
        if self.ledger:
            Records(self.ledger).close()  # now, and not when the run is over
        self.code, self.text, self.interrupted = BAD_INPUT, "", False
        self.run = run = self.measured(len(runner.clients.ready) if isinstance(runner, MasterRunner) else 1)
        moments = run.scenario.prebuilt.arrivals(seed=PREBUILT)
        run.prebuilt = len(moments)
        with channel(self.address, self.tls) as line:
            client = RedemptionClient(line)
            minted = sum(self.minted(run, index).total() for index in range(run.workers))
            brought = self.brought is not None
            run.plan = open_sale(
                client, run.scenario, self.program, minted=minted, prebuilt=run.prebuilt, brought=brought
            )
        if moments:
            run.generator = Generator(
                Work(
                    address=self.address,
                    run=run.plan.run,
                    program=self.program,
                    campaign=run.plan.campaigns[0].number,
                    moments=list(moments),
                    warm_up=run.scenario.part.warm_up,
                    file=str(Path(tempfile.gettempdir()) / f"redemption-prebuilt-{run.plan.run}.jsonl"),
                    tls=self.tls.decode() if self.tls else "",
                )
            )
        run.planned = sum(len(coming(run.scenario, self.kinds, index, run.workers)) for index in range(run.workers))
        if isinstance(runner, MasterRunner):
            run.journal.whole = False
            message = {"plan": run.plan.message(), "workers": run.workers, "part": run.part}
            message["scenario"] = run.scenario.digest
            for index, client_id in enumerate(sorted(each.id for each in runner.clients.ready)):
                runner.send_message(PLAN, message | {"index": index}, client_id)
        else:
            self.play(run.plan, index=0)
        run.ends_at = time.monotonic() + BEGIN_SECONDS + run.scenario.seconds
        run.began = time.time() + BEGIN_SECONDS
        if run.generator is not None:
            run.generator.begin(run.began)
        self.watch = Watch(self.supervisor)
        run.cpu_seconds = time.process_time()

    def measured(self, workers: int) -> Run:
        """Measure locust and the empty handler, and return a run with so many buyers as locust can bring."""
        run, needed = Run(self.scenario, workers=workers), self.scenario.buyers.highest * CALLS_EACH / workers
        if self.levels.need_empty or self.calibrates:
            run.empty = measure_empty(needed, self.scenario.prebuilt.highest, seconds=self.scenario.seconds)
        if self.calibrates:
            ceiling = run.empty.ceilings[LOCUST_PROCESS].calls_per_second
            run.part = min(1.0, PLANNED_PART_MAX * ceiling / needed)
            run.scenario = self.scenario.scaled(run.part)
        return run

    def told(self, environment: Environment, msg: Any, **_: Any) -> None:  # noqa: ANN401, ARG002 - locust's messages
        """Take the plan from the master, in a worker."""
        told = msg.data
        part = told["part"]
        scenario = self.scenario.scaled(part) if part < 1 else self.scenario
        self.run = Run(scenario, part, told["workers"])
        try:
            self.play(Plan.from_message(told["plan"]), index=told["index"])
        except CallFailed as error:
            self.give_up(f"this worker cannot play: {error}")
        if self.shift is not None and scenario.digest != told["scenario"]:
            self.shift.broken = OTHER_SCENARIO

    def play(self, plan: Plan, *, index: int) -> None:
        """Prepare what this process plays."""
        if self.shift is not None:
            self.shift.close()
        run = self.run
        run.plan = plan
        with channel(self.address, self.tls) as line:
            client = RedemptionClient(line)
            minted = {kind: mint(client, plan, count) for kind, count in self.minted(run, index).items()}
        self.shift = Buyer.shift = Shift(
            run.scenario, plan, self.address, self.kinds, tls=self.tls, index=index, workers=run.workers
        )
        self.shift.minted = minted
        if self.brought is not None:
            self.shift.brought = part_of(self.brought, index, run.workers)

    def minted(self, run: Run, index: int) -> Counter[str]:
        """Return how many coupons a process needs for each kind of buyers who do not claim."""
        comes = Counter(kind for _, kind in coming(run.scenario, self.kinds, index, run.workers))
        return Counter({kind: each * comes[kind] for kind, each in MINTED.items() if comes[kind]})

    def report(self, client_id: str, data: dict[str, Any]) -> None:  # noqa: ARG002 - locust's events
        """Send what is new to the master, in a worker."""
        if self.shift is not None:
            data["sale"] = self.shift.take()

    def collect(self, client_id: str, data: dict[str, Any]) -> None:  # noqa: ARG002 - locust's events
        """Take what a worker sent, in the master."""
        if sent := data.get("sale"):
            self.run.take(sent)

    def last(self, environment: Environment, msg: Any, **_: Any) -> None:  # noqa: ANN401, ARG002 - locust's messages
        """Take the last that a worker has to send, in the master."""
        self.run.take(msg.data)
        if self.run.plan is not None and msg.data["run"] == self.run.plan.run:
            self.run.last_words.add(msg.node_id)

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
        run, ends = self.run, time.monotonic() + WORKERS_SECONDS_MAX
        while time.monotonic() < ends:
            there = {each.id for each in runner.clients.all if each.state != STATE_MISSING}
            if there <= run.last_words:
                break
            gevent.sleep(0.05)
        run.journal.whole = len(run.last_words) == run.workers
        if not run.journal.whole:
            came = f"{len(run.last_words)} of {run.workers} processes of locust"
            run.blame(f"only {came} have told all that they played")

    def end(self, **_: Any) -> None:  # noqa: ANN401 - locust's events
        """Give the verdict, and write the results; locust may fire this more than once."""
        runner, run = self.environment.runner, self.run
        if run.plan is None or self.is_judging:
            return
        self.is_judging = True
        try:
            played = self.end_shift()
            if isinstance(runner, WorkerRunner):
                if played:
                    runner.send_message(LAST, played)
                return
            if played:
                run.take(played)
            self.collect_rest(run)
            self.judge(run, run.plan)
            if self.environment.web_ui is not None:
                self.tell()
        finally:
            self.run, self.is_judging = Run(self.scenario), False

    def collect_rest(self, run: Run) -> None:
        """Wait for what the workers and the prebuilt-frame generator have played, or end them when the run is ended."""
        runner = self.environment.runner
        if isinstance(runner, MasterRunner):
            self.await_workers(runner)
        run.cpu_seconds = time.process_time() - run.cpu_seconds
        early = self.interrupted or time.monotonic() < run.ends_at
        try:
            run.end_generator(now=early, late_seconds_max=self.late_seconds_max)
        except UnusableGenerator as error:
            run.journal.whole, run.broken = False, str(error)
        if self.watch is not None:
            self.watch.stop()

    def judge(self, run: Run, plan: Plan) -> None:
        """Give the verdict on what was played, and write the results."""
        file = self.results / f"{run.scenario.name}-{plan.run}.jsonl"
        run.journal.write(file)  # now: it is all there is when the server cannot be asked any more
        with channel(self.address, self.tls) as line:
            try:
                records = Records(self.ledger) if self.ledger else None
                verdict = judge(run.journal, plan, RedemptionClient(line), records)
            except (CallFailed, UnreadableLedger) as error:
                self.give_up(f"the run cannot be judged: {error}; its journal is {file}")
        summary = summary_of(
            run.scenario,
            run.journal,
            run.lags,
            verdict,
            levels=self.levels,
            empty=run.empty,
            planned=run.planned,
            broken=run.broken,
            late_seconds_max=self.late_seconds_max,
        )
        self.code = summary.code
        self.text = f"{summary.text()}\njournal    {file}"  # now: nothing that fails below may hide the verdict
        usage = self.watch.seen if self.watch is not None else []
        calls = records.calls if records else []
        facts = self.facts(run, plan, summary)
        page = write(file, run, summary, facts, usage=usage, calls=calls, earlier=self.earlier)
        compared = "; it has the comparison" if self.earlier else ""
        self.text += f"\nreport     {page}, and .md and .json{compared}"

    def facts(self, run: Run, plan: Plan, summary: Summary) -> dict[str, str]:
        """Return what ran where, and what the generators cost."""
        own = summary.calls - sum(entry.sender == PREBUILT for entry in run.journal.entries)
        costs = {name: str(ceiling) for name, ceiling in run.empty.ceilings.items()}
        if own and not isinstance(self.environment.runner, MasterRunner):
            costs["locust in this run"] = f"{1e6 * run.cpu_seconds / own:,.0f} µs of CPU for each of {own:,} calls"
        if run.done is not None:
            late = f"p99 of lateness {1000 * run.done.late_p99:.1f} ms"
            costs["prebuilt redeems"] = f"{run.done.cpu_us:,.0f} µs of the generator's CPU for each; {late}"
            failed = ", ".join(f"{count:,} {status}" for status, count in run.done.failures.items())
            costs |= {"prebuilt redeems that failed": failed} if failed else {}
        return {
            "server": self.address,
            "run": f"{plan.run}, program {self.program}",
            "began": datetime.fromtimestamp(run.began, UTC).isoformat(" ", "seconds"),
            "seed": str(run.scenario.part.seed),
            "processes of locust": str(run.workers),
            "buyers": "all" if run.part == 1 else f"{run.part:.0%} of those asked for, as many as locust can bring",
            **costs,
            **machine(),
        }

    def interrupt(self) -> None:
        """End the run in order, as after its last buyer; or the process, if there is no run."""
        if self.is_judging:
            print("bench: the run has ended, and its verdict is worked out", file=sys.stderr, flush=True)
            return
        if self.beginning is not None:
            gevent.kill(self.beginning, KeyboardInterrupt, block=False)
            return
        if is_played := self.run.plan is not None:
            self.interrupted, self.run.broken = True, "the run was interrupted"
        if self.environment.web_ui is not None:
            self.environment.web_ui.greenlet.kill(block=False)  # locust waits for it, and then ends all
        elif not is_played or isinstance(self.environment.runner, WorkerRunner):
            self.end()
            self.give_up("interrupted", INTERRUPTED)

    def quitting(self, environment: Environment, **_: Any) -> None:  # noqa: ANN401 - locust's events
        """Set the exit code: the verdict's, and not the one of locust, which knows failures only."""
        self.end()  # after SIGTERM a run is still under way
        if not isinstance(environment.runner, WorkerRunner):
            environment.process_exit_code = self.code

    def tell(self, **_: Any) -> None:  # noqa: ANN401 - locust's events
        """Print the result: headless below locust's own tables, else when the run has ended."""
        if self.text:
            print(self.text, flush=True)
        self.text = ""

    def give_up(self, why: str, code: int = BAD_INPUT) -> None:
        """End the process with one line."""
        print(f"bench: {why}", file=sys.stderr, flush=True)
        sys.exit(code)


MINTED = {"till": BATCH, "replayer": 1}
"""Kinds of buyers whose coupons are minted before, and how many each buyer needs."""


class Schedule(LoadTestShape):
    """Locust's shape: one user, the door, in each process. When buyers come is in the scenario's schedule."""

    conductor: Conductor

    def tick(self) -> tuple[int, float] | None:
        """Return how many users there are; None when the last visit has ended."""
        if self.conductor.interrupted:
            return None
        late = time.monotonic() - self.conductor.run.ends_at
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
    # Python would raise KeyboardInterrupt in whichever visit is running. Workers that locust has forked get what the
    # terminal sends to their master, which tells them when to end.
    forked = environment.parsed_options.processes and isinstance(environment.runner, WorkerRunner)
    gevent.signal_handler(signal.SIGINT, (lambda: None) if forked else conductor.interrupt)
    gevent.signal_handler(signal.SIGTERM, conductor.interrupt)
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
