"""A shift: what one locust process plays of a run. It has the moments at which buyers arrive, connections and coupons.

Buyers arrive on a schedule that does not depend on the answers, as in a shop (an open model). So locust's user is the
door of the shop, one in each process: it waits for the next buyer and lets the visit begin beside those under way. A
visit begins late when this process has no time for it. The shift notes that, and when too many are late the run is
INVALID: the load was another one than was planned.
"""

import contextlib
import random
import time
import traceback
from array import array
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import gevent
import grpc
from gevent import Greenlet
from gevent.pool import Pool

from redemption.client import CallFailed, RedemptionClient, RequestRejected
from sale.goods import Plan, Wishes
from sale.journal import DEADLINE_SECONDS, UNKNOWN, Entry, Journal
from sale.scenario import Scenario

CONNECTIONS = 4
BEGIN_SECONDS = 1.0
"""Time between the start of a run and the first moment of its schedule, for locust to be ready."""
SETTLE_SECONDS = 2.0
"""Time for calls that nobody waits for any more, so that a look-up sees what they did."""
VISITS_MAX = 5_000
"""So many visits are under way in one process at most."""
_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0)]
_Answer = TypeVar("_Answer")


def channel(address: str, tls: bytes | None = None, *, number: int = 0) -> grpc.Channel:
    """Return a connection without retries: each answer is noted, also a failure. Each number has one of its own."""
    options = [*_OPTIONS, ("bench", number)]
    if tls is None:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(tls), options)


def coming(scenario: Scenario, kinds: Sequence[str], index: int, workers: int) -> list[tuple[float, str]]:
    """Return when the buyers of one of several workers come, in seconds from the beginning, and their kinds."""
    buyers = {kind: share for kind, share in scenario.part.buyers.items() if kind in kinds}
    return sorted(
        (moment, kind)
        for kind, share in buyers.items()
        for moment in scenario.buyers.arrivals(share=share / workers, seed=f"{kind} {index} of {workers}")
    )


class Shift:
    """What this process plays.

    Attributes:
        scenario: What is played.
        plan: What is sold.
        draw: The choices of its buyers.
        wishes: Which campaign a buyer wants.
        journal: Every answer.
        minted: Coupons for buyers who do not claim, by kind.
        brought: Coupons from a file, for shoppers, who then do not claim; None: they claim.
        lags: Seconds between each buyer's moment and the beginning of the visit.
        moments: When each visit began, in seconds from the beginning of the schedule.
        visits: The visits under way, and calls that are made beside one.
        is_over: No buyer is let in any more.
        broken: Why buyers could not do what was planned: coupons are used up, or the bench has a defect; or empty.
    """

    def __init__(
        self,
        scenario: Scenario,
        plan: Plan,
        address: str,
        kinds: Sequence[str],
        *,
        tls: bytes | None = None,
        index: int = 0,
        workers: int = 1,
    ) -> None:
        """Prepare it.

        Args:
            scenario: What is played.
            plan: What is sold.
            address: Host and port of the server.
            kinds: The kinds of buyers who come; others of the scenario stay at home.
            tls: The authority that signed the server's certificate, as PEM; None: no TLS.
            index: Which of the workers this is, from 0.
            workers: How many there are.
        """
        self.scenario = scenario
        self.plan = plan
        self.draw = random.Random(f"{scenario.part.seed} choices {index}")  # noqa: S311 - the same in every run
        self.wishes = Wishes(plan.campaigns, self.draw)
        self.journal = Journal()
        self.minted: dict[str, list[str]] = {}
        self.brought: list[str] | None = None
        self.lags, self.moments = array("d"), array("d")
        self.broken = ""
        self._names = 0
        self._index = index
        self._channels = [channel(address, tls, number=each) for each in range(CONNECTIONS)]
        self._clients = [RedemptionClient(channel) for channel in self._channels]
        self.visits = Pool(VISITS_MAX)
        self.is_over = False
        self._coming = iter(coming(scenario, kinds, index, workers))
        self._began = time.monotonic() + BEGIN_SECONDS

    def close(self) -> None:
        """Close the connections; the visits have ended."""
        for channel in self._channels:
            channel.close()

    @property
    def client(self) -> RedemptionClient:
        """A client on one of the connections."""
        return self._clients[self._names % len(self._clients)]

    @property
    def is_counted(self) -> bool:
        """Whether the warm-up is over."""
        return time.monotonic() - self._began >= self.scenario.part.warm_up

    def name(self) -> str:
        """Return a name that nobody else has, for a buyer or a request."""
        self._names += 1
        return f"{self.plan.run}-{self._index}-{self._names}"

    def await_buyer(self) -> str:
        """Wait until the next buyer arrives, and return the kind; an empty text: there is none any more."""
        moment, kind = next(self._coming, (0.0, ""))
        if not kind:
            return ""
        due = self._began + moment
        gevent.sleep(max(due - time.monotonic(), 0.0))
        if self.is_over:
            return ""
        self.lags.append(max(time.monotonic() - due, 0.0))
        self.moments.append(time.monotonic() - self._began)
        return kind

    def begin(self, visit: Callable[[], Any]) -> Greenlet:
        """Begin a visit, or a part of one, beside those under way; wait, and so be late, when there are too many."""
        return self.visits.spawn(self._live, visit)

    def end_visits(self) -> int:
        """Let nobody in any more, and end the visits that are under way; their calls are noted as UNKNOWN.

        Returns:
            How many there were.
        """
        self.is_over = True
        count = len(self.visits)
        if count:
            self.visits.kill()
            gevent.sleep(SETTLE_SECONDS)
        return count

    def take(self) -> dict[str, Any]:
        """Return what is new since the last call, as locust sends it to its master."""
        new = {
            "run": self.plan.run,
            "journal": self.journal.take(),
            "lags": list(self.lags),
            "moments": list(self.moments),
            "broken": self.broken,
        }
        del self.lags[:], self.moments[:]
        return new

    def begin_unheard(self, call: Callable[..., Any], request: Any) -> None:  # noqa: ANN401 - of any method
        """Make a call whose answer nobody hears."""

        def ask() -> None:
            with contextlib.suppress(CallFailed):
                call(request, timeout=DEADLINE_SECONDS)

        self.visits.spawn(ask)

    def _live(self, visit: Callable[[], Any]) -> None:
        try:
            visit()
        except Exception:
            self.broken = self.broken or traceback.format_exc().strip().splitlines()[-1]
            raise  # gevent prints it

    def think(self) -> None:
        """Wait as long as a buyer thinks."""
        think = self.scenario.part.think
        if think.median:
            gevent.sleep(think.median * self.draw.lognormvariate(0.0, think.spread))

    def ask(
        self,
        method: str,
        call: Callable[..., _Answer],
        request: Any,  # noqa: ANN401 - of any method
        read: Callable[[_Answer], Sequence[dict[str, Any]]],
        asked: Sequence[dict[str, Any]],
        *,
        expected: Sequence[str],
        sender: str,
        timeout: float = DEADLINE_SECONDS,
    ) -> tuple[_Answer | None, list[Entry]]:
        """Make one call and note its answers.

        Args:
            method: The method of the contract.
            call: The client's method.
            request: The request.
            read: Returns the fields of an entry that the answer says, for each order in it.
            asked: The fields of an entry that are known before, for each order in the request.
            expected: The answers that this buyer has to expect.
            sender: The kind of buyer.
            timeout: The deadline, in seconds.

        Returns:
            The answer, None if there was none; and the entries of the journal.
        """
        counted, sent_at, began = self.is_counted, time.time(), time.perf_counter()
        answer: _Answer | None = None
        found: Sequence[dict[str, Any]] = [{"answer": UNKNOWN}] * len(asked)  # also when the visit is ended meanwhile
        try:
            answer = call(request, timeout=timeout)
            told = read(answer)
            if len(told) == len(asked):
                found = told
        except CallFailed as error:
            if isinstance(error, RequestRejected):
                found = [{"answer": error.code.name}] * len(asked)
        finally:
            seconds = time.perf_counter() - began
            entries = [
                Entry(
                    method,
                    sent_at=sent_at,
                    seconds=seconds,
                    expected=told["answer"] in expected,
                    counted=counted and not position,
                    sender=sender,
                    position=position,
                    **known,
                    **told,
                )
                for position, (known, told) in enumerate(zip(asked, found, strict=True))
            ]
            for entry in entries:
                self.journal.note(entry)
        return answer, entries
