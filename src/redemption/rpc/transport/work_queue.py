"""The queue of calls that wait for their work to begin: first come, first served, with a limit on the waiting time.

A server that accepts all work ends up working on calls whose callers have given up. So the wait of a call is estimated
when it comes, from the work that waits before it and the time that such work took lately. A call that would wait too
long is refused at once; a refusal costs a small part of an answer. A limit in time fits slow machines and fast ones.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from redemption.rpc.transport.methods import Call, GatheredMethod, Method

UNIT_BYTES = 512
"""A call is one unit of work, and one more for each 512 bytes of its request, which are two orders of a batch."""
WAIT_PER_UNIT = 1 / 8
"""A call that is not short may wait longer: by this part of the limit for each unit of its work. Its caller expects
that."""
UNITS_AT_ONCE = 32
"""Units begun in one turn of the event loop: 2 ms of work. Then the calls that came meanwhile are read or refused."""
SHORT_BYTES_MAX = 2_048
"""A gathered call with a longer request waits in the line of the other methods: a large order waits for a slot, and
small ones must not wait behind it."""
SHORT_UNDER_WAY_MAX = 128
"""The most short calls whose handlers are at work: with more, they would only wait longer."""
SECONDS_EACH_FIRST = 0.0001
"""The time of a unit before any was measured."""
SMOOTHING = 0.1
"""The weight of the newest measurement in the average."""
GROWTH_MAX = 2.0
"""A measurement counts as at most this many times the average: one pause says little about the calls to come."""


class QueuedCall(Call, Protocol):
    """A call that waits in the queue."""

    method: Method
    ended: bool

    def begin(self) -> None:
        """Begin the work on the call, in a task of its own."""


class Line:
    """One line of waiting calls, and the estimated wait of the next one."""

    __slots__ = ("_begun_units", "_calls", "_seconds_each", "_since", "_units")

    def __init__(self) -> None:
        self._calls: deque[tuple[QueuedCall, int]] = deque()
        self._units = 0
        self._seconds_each = SECONDS_EACH_FIRST
        self._since = 0.0
        self._begun_units = 0

    def __len__(self) -> int:
        """How many calls wait."""
        return len(self._calls)

    @property
    def wait_seconds(self) -> float:
        """The estimated wait of a call that comes now."""
        return self._units * self._seconds_each

    def add(self, call: QueuedCall) -> None:
        """Add a call."""
        units = units_of(call.request)
        self._units += units
        self._calls.append((call, units))

    def take(self, calls_max: int, now: float) -> list[QueuedCall]:
        """Remove and return the next calls: ``UNITS_AT_ONCE`` of work, or one call that is larger.

        The time since the last calls were returned is the measurement of a unit. So this must be called in the turn
        after those calls, or, if no more may be begun then, as soon as they may.
        """
        if self._begun_units:
            measured = min((now - self._since) / self._begun_units, GROWTH_MAX * self._seconds_each)
            self._seconds_each += SMOOTHING * (measured - self._seconds_each)
        calls = self._calls
        taken: list[QueuedCall] = []
        units = 0
        while calls and len(taken) < calls_max:
            call, each = calls[0]
            if taken and units + each > UNITS_AT_ONCE:
                break
            units += each
            taken.append(call)
            calls.popleft()
        self._units -= units
        self._since, self._begun_units = now, units
        return taken


class WorkQueue:
    """Begins the work on calls, some in each turn of the event loop.

    Short calls of gathered methods wait in one line, and all other calls in another. So long work and short work do not
    wait for each other, and a silent ledger holds up only the calls that need it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        begin: Callable[[Method, Sequence[QueuedCall]], None],
        *,
        wait_seconds_max: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Build it.

        Args:
            loop: The event loop.
            begin: Begins the work on calls of one method; a call that has ended meanwhile only has to be answered.
            wait_seconds_max: How long a call may wait.
            clock: Counts seconds.
        """
        self._loop = loop
        self._begin = begin
        self._wait_seconds_max = wait_seconds_max
        self._clock = clock
        self._short = Line()
        self._others = Line()
        self._short_under_way: set[QueuedCall] = set()
        self._armed = False

    def is_full(self, method: Method) -> bool:
        """Whether a short call of this gathered method would wait too long now. False for other methods."""
        return type(method) is GatheredMethod and self._short.wait_seconds > self._wait_seconds_max

    def add(self, call: QueuedCall, seconds: float) -> bool:
        """Add a call whose request is complete, or return False because it would wait too long.

        Args:
            call: The call.
            seconds: The time left until its deadline.
        """
        wait_seconds_max = self._wait_seconds_max
        line = self._short
        if not _is_short(call):
            wait_seconds_max *= 1 + WAIT_PER_UNIT * units_of(call.request)
            line = self._others
        if line.wait_seconds > min(wait_seconds_max, seconds):
            return False
        line.add(call)
        if not self._armed:
            self._arm()
        return True

    def done(self, call: QueuedCall) -> None:
        """Stop counting a call as short and at work: its work has ended, or waits for a slot."""
        self._short_under_way.discard(call)
        if self._short and not self._armed:
            self._arm()

    def _arm(self) -> None:
        self._armed = True
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Begin the next calls, and return in the next turn of the event loop."""
        self._armed = False
        now = self._clock()
        taken = self._others.take(UNITS_AT_ONCE, now)
        room = SHORT_UNDER_WAY_MAX - len(self._short_under_way)
        if room > 0:
            short = self._short.take(room, now)
            self._short_under_way.update(short)
            taken += short
        if not taken:
            return
        methods: dict[Method, list[QueuedCall]] = {}
        for call in taken:
            methods.setdefault(call.method, []).append(call)
        for method, calls in methods.items():
            try:
                self._begin(method, calls)
            except Exception as error:  # noqa: BLE001 - the calls of the other methods must begin
                self._loop.call_exception_handler({"message": "calls could not be begun", "exception": error})
        self._arm()  # runs after the first steps of these calls; also if none waits: it measures their time


def units_of(request: bytes) -> int:
    """Return how many units of work a request is."""
    return 1 + len(request) // UNIT_BYTES


def _is_short(call: QueuedCall) -> bool:
    return type(call.method) is GatheredMethod and len(call.request) <= SHORT_BYTES_MAX
