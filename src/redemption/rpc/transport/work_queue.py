"""Calls that wait to be worked on: first come, first served, and no more than are answered in time.

A server that takes on all work ends up working on calls whose callers have given up. So the wait of a call is estimated
when it comes, from what waits before it and what that took lately, and a call that would wait too long is refused at
once, which costs a small part of answering it. A bound in time holds on slow machines and on fast ones.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from redemption.rpc.transport.methods import Call, GatheredMethod, Method

UNIT_BYTES = 512
"""A call counts as one unit of work, and one more for so many bytes of its request: two orders of a batch."""
PATIENCE = 1 / 8
"""Calls of other than gathered methods may wait longer in proportion to their work, by a part of the bound for each
unit: their callers expect it."""
UNITS_AT_ONCE = 32
"""Begun in one turn of the event loop: 2 ms of work. Then what came meanwhile is read, and refused if need be."""
SHORT_BYTES_MAX = 2_048
"""A gathered call with a longer request waits with those of other methods: a large order takes a turn among large ones,
and meanwhile small ones may not wait for its place."""
SHORT_UNDER_WAY_MAX = 128
"""Short gathered calls whose handlers are at work: with more, only their wait grows."""
SECONDS_EACH_FIRST = 0.0001
"""What a unit takes until it was measured."""
SMOOTHING = 0.1
"""How much the newest measure counts."""
GROWTH_MAX = 2.0
"""One measure is taken for at most so many times what was known: a single pause says little about the calls to come."""


class QueuedCall(Call, Protocol):
    """A call that waits."""

    method: Method
    ended: bool

    def begin(self) -> None:
        """Begin the work on it, in a task of its own."""


class Line:
    """Calls that wait one after the other, and how long the next one will."""

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
        """How long a call that comes now will wait."""
        return self._units * self._seconds_each

    def add(self, call: QueuedCall) -> None:
        """Take a call."""
        units = units_of(call.request)
        self._units += units
        self._calls.append((call, units))

    def take(self, calls_max: int, now: float) -> list[QueuedCall]:
        """Give the next calls: a turn's work, or one that is larger.

        What a unit takes is learnt from the time since the last ones were given. To be called in the turn after those,
        or, when no more may be begun then, as soon as they may.
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

    Short calls of gathered methods wait in a line of their own, and all others in another: long work and short work do
    not wait for each other, and a ledger that is silent holds up only those who wait for it.
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
            begin: Begins the work on calls of one method; one that has ended meanwhile need only be answered.
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
        """Whether every short call of a gathered method would wait too long; others may be larger, and more patient."""
        return type(method) is GatheredMethod and self._short.wait_seconds > self._wait_seconds_max

    def add(self, call: QueuedCall, seconds: float) -> bool:
        """Take a call whose request is complete, or tell that it would wait too long.

        Args:
            call: The call.
            seconds: How long its caller will wait at most.
        """
        most = self._wait_seconds_max
        line = self._short
        if not _is_short(call):
            most *= 1 + PATIENCE * units_of(call.request)
            line = self._others
        if line.wait_seconds > min(most, seconds):
            return False
        line.add(call)
        if not self._armed:
            self._arm()
        return True

    def done(self, call: QueuedCall) -> None:
        """Take note that the work on a call has ended, or waits for something else than the ledger."""
        self._short_under_way.discard(call)
        if self._short and not self._armed:
            self._arm()

    def _arm(self) -> None:
        self._armed = True
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Begin what is worked on without a pause, and come back in the next turn."""
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
            except Exception as error:  # noqa: BLE001 - the other methods' calls have nothing to do with it
                self._loop.call_exception_handler({"message": "calls could not be begun", "exception": error})
        self._arm()  # after the first steps of what was begun, and also when none waits: to learn what these took


def units_of(request: bytes) -> int:
    """Return how much work a request is."""
    return 1 + len(request) // UNIT_BYTES


def _is_short(call: QueuedCall) -> bool:
    return type(call.method) is GatheredMethod and len(call.request) <= SHORT_BYTES_MAX
