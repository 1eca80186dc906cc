"""Redeem calls that come close after one another, answered in one go.

A redeem takes 65 µs of Python in a tight loop and 100 between two calls of gRPC, which push its code and data out of
the processor's caches. So calls wait a few milliseconds for each other while the process is busy, and are then
converted, verified and judged one after the other, carried to the ledger together, and answered one after the other.
While the process is not busy, nobody waits, nor does a caller who is alone.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from redemption.domain.ports import Caller
from redemption.v1 import redemption_service_pb2 as messages

GATHER_SECONDS_MAX = 0.006
"""How long after the calls before the next ones leave when the process is as busy as can be."""
BUSY_MIN = 0.4
"""Processor seconds in a second from which on calls wait for each other: the longer, the busier."""
BUSY_MAX = 0.8
BUSY_WINDOW_SECONDS = 0.02
REQUEST_BYTES_MAX = 8 * 1024
"""A larger one goes alone: what goes together is kept until nobody waits for any of it."""
DEADLINE_SLICE_SECONDS = 0.02
"""Calls in one go share the earliest of their deadlines, so these are about the same."""
CALLS_MAX = 32
POSITIONS_MAX = 500
"""Positions of orders (lines and fees, for each token) in one go: 2 ms of work."""
TOKENS_MAX = 64
"""Tokens in one go: what goes beyond is carried to the ledger like the rest of a big batch."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Call:
    """A call that waits for its answer.

    Attributes:
        tokens: How many it brings.
        positions: How much work it is.
        caller: Who waits.
        answer: Its answer or its failure; cancelled when the caller left.
        work: What works on it and its company, if it has any.
    """

    request: messages.RedeemRequest
    tokens: int
    positions: int
    principal: str
    caller: Caller
    answer: "asyncio.Future[messages.RedeemResponse]"
    work: asyncio.Task[None] | None = None

    @property
    def kind(self) -> Hashable:
        """What calls that are answered in one go have in common."""
        if self.request.ByteSize() > REQUEST_BYTES_MAX:
            return id(self)
        return self.principal, self.request.checkout.program, int(self.caller.deadline / DEADLINE_SLICE_SECONDS)


class Busyness:
    """How much of a processor this process takes."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, cpu: Callable[[], float] = time.process_time
    ) -> None:
        """Begin to watch; both clocks count seconds."""
        self._clock = clock
        self._cpu = cpu
        self._began = clock()
        self._cpu_began = cpu()
        self._share = 0.0

    def share(self) -> float:
        """Return processor seconds in a second, over the last 20 ms or more."""
        elapsed = self._clock() - self._began
        if elapsed >= BUSY_WINDOW_SECONDS:
            spent = self._cpu()
            self._share = (spent - self._cpu_began) / elapsed
            self._began += elapsed
            self._cpu_began = spent
        return self._share


class Crowd:
    """Brings calls together while the process is busy."""

    def __init__(self, answer: Callable[[Sequence[Call]], Coroutine[Any, Any, None]], busyness: Busyness) -> None:
        """Begin with nobody.

        Args:
            answer: Answers calls of one kind: their answers are where they belong when it returns.
            busyness: How busy the process is.
        """
        self._answer = answer
        self._busyness = busyness
        self._callers = 0
        self._waiting: deque[Call] = deque()
        self._gathering = False
        self._left = 0.0
        self._tasks: dict[asyncio.Task[None], Sequence[Call]] = {}

    async def answer(self, call: Call) -> messages.RedeemResponse:
        """Answer a call: at once, or with others that come before it is time to leave. Who is alone never waits."""
        self._callers += 1
        try:
            if self._gathering:
                self._waiting.append(call)
                return await call.answer
            now = time.monotonic()
            wait = self._left + self._gather_seconds() - now if self._callers > 1 else 0.0
            if wait > 0:
                self._waiting.append(call)
                self._gathering = True
                asyncio.get_running_loop().call_later(wait, self._leave)
            else:
                self._left = now
                await self._answer([call])
            return await call.answer
        except asyncio.CancelledError:
            call.caller.gone = True
            self._give_up(call.work)
            raise
        finally:
            self._callers -= 1

    def _gather_seconds(self) -> float:
        busy = (self._busyness.share() - BUSY_MIN) / (BUSY_MAX - BUSY_MIN)
        return GATHER_SECONDS_MAX * min(max(busy, 0.0), 1.0)

    def _leave(self) -> None:
        """Let those go who wait, as many as are worked on without a pause."""
        taken: list[Call] = []
        try:
            self._take(taken)
            self._begin(taken)
        except Exception as error:  # noqa: BLE001 - whatever it is: those who come later shall not wait for ever
            for call in taken:
                if call.work is None and not call.answer.done():
                    call.answer.set_exception(error)
        finally:
            asyncio.get_running_loop().call_soon(self._gone)

    def _begin(self, taken: Sequence[Call]) -> None:
        """Begin to work on calls, each kind in a task of its own."""
        loop = asyncio.get_running_loop()
        kinds: dict[Hashable, list[Call]] = {}
        for call in taken:
            kinds.setdefault(call.kind, []).append(call)
        for calls in kinds.values():
            task = loop.create_task(self._answer(calls))
            task.add_done_callback(self._done)
            self._tasks[task] = calls
            for call in calls:
                call.work = task

    def _gone(self) -> None:
        """Go on with the rest, or begin to gather: what has left was begun by now."""
        if self._waiting:
            self._leave()
        else:
            self._gathering = False
            self._left = time.monotonic()

    def _give_up(self, work: asyncio.Task[None] | None) -> None:
        """End work for which nobody waits any more: whoever left has given back the place among all calls."""
        if work is not None and work in self._tasks and all(call.answer.done() for call in self._tasks[work]):
            work.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        """Leave nobody waiting, whatever happened."""
        calls = self._tasks.pop(task)
        failure = None if task.cancelled() else task.exception()
        if failure is not None and all(call.answer.done() for call in calls):
            _log.error("orders could not be answered, and nobody waits for them", exc_info=failure)
        for call in calls:
            if call.answer.done():
                continue
            if failure is None:
                call.answer.cancel()  # the guard tells apart who left and who was left
            else:
                call.answer.set_exception(failure)

    def _take(self, taken: list[Call]) -> None:
        """Take those who go next, without those who have left."""
        tokens = positions = 0
        while self._waiting and len(taken) < CALLS_MAX:
            first = self._waiting[0]
            if first.answer.done():
                self._waiting.popleft()
                continue
            tokens += first.tokens
            positions += first.positions
            if taken and (positions > POSITIONS_MAX or tokens > TOKENS_MAX):
                break
            taken.append(self._waiting.popleft())
