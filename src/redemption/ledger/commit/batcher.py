"""Group commit: requests that arrive while a call is in flight travel together in the next one.

One call carries many orders and costs one round trip and one fsync. Nobody waits for company: on an idle server an
order leaves at once. Under part batches form by themselves, because a call takes a while and meanwhile others arrive.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog

from redemption.domain.errors import (
    DeadlinePassed,
    LedgerRefused,
    LedgerUnavailable,
    Overloaded,
    ServiceError,
)
from redemption.ledger.commit.lane import CALL_SECONDS_MAX, pack_call
from redemption.ledger.commit.queue import GONE, Queue, QueuedItem
from redemption.ledger.library import library
from redemption.ledger.trust.clock import Clock
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.health import LedgerHealth
from redemption.ledger.trust.reply_errors import CLOCK_APART, LedgerClockApart, LedgerFull, LedgerNotTrusted, error_of
from redemption.ledger.wire.orders import unpack_head

PROGRAM_WEIGHT_MAX = 128
"""Tokens of one program in one call: a thousand would hold the ledger up for 41 ms, 64 take 2 ms."""
FLUSH_WEIGHT_MAX = 256
SECOND_FLUSH_WAITING_MIN = 64
"""With fewer waiting, a second call in flight gains nothing (measured), it only splits the batches."""
LANES = 2
SWEEP_SECONDS = 0.01
BACKOFF_SECONDS = 0.01
BACKOFF_SECONDS_MAX = 0.5

_NOT_EXECUTED_WORDS = frozenset(
    {"LOADING", "BUSY", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "MOVED", "ASK"}
)
_WHOLE_LEDGER = (LedgerFull, LedgerNotTrusted, LedgerClockApart)
"""What one call met that all others will meet as well."""
_log = structlog.get_logger(__name__)


class Transport(Protocol):
    """A connection on which calls travel, see ``connection.Lane``."""

    @property
    def is_open(self) -> bool: ...  # noqa: D102
    async def open(self) -> None: ...  # noqa: D102
    async def exchange(self, packed: list[bytes], seconds_max: float) -> list[Any]: ...  # noqa: D102
    async def close(self) -> None: ...  # noqa: D102


@dataclass(slots=True)
class FlushPart:
    """One program's part of a flush.

    Attributes:
        in_doubt: It was sent and not answered: a refusal, when it is sent again, says nothing of the first time.
        late: The ledger found our clock apart from its own once, which is also so when a call waited too long for it.
    """

    program: str
    waiting: list[QueuedItem]
    in_doubt: bool = False
    late: bool = False


class Batcher:
    """Carries orders to the ledger, many in one call, and their answers back."""

    def __init__(
        self,
        *,
        lanes: list[Transport],
        fence: Fence,
        clock: Clock,
        outbox_max: int,
        waiting_max: int,
        redefined: Callable[[str, int, int, bytes], None],
        health: LedgerHealth,
    ) -> None:
        """Build it; ``start`` makes it work.

        Args:
            lanes: Connections; each carries one call at a time.
            fence: What is remembered of the ledger.
            clock: Goes along with every call.
            outbox_max: About how many entries the event stream keeps.
            waiting_max: How many orders may wait.
            redefined: Called with program, campaign, version and definition (empty: gone) when the ledger's
                version differs.
            health: Told of every answer, and of every failure.
        """
        self._lanes = lanes
        self._fence = fence
        self._clock = clock
        self._outbox_max = outbox_max
        self._waiting_max = waiting_max
        self._redefined = redefined
        self._health = health
        self._stopping: ServiceError | None = None
        self._queues: dict[str, Queue] = {}
        self._turns: deque[str] = deque()
        self._waiting = 0
        self._in_flight: dict[int, list[FlushPart]] = {}
        self._idle: deque[asyncio.Future[None]] = deque()
        self._settled: list[QueuedItem] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.calls = 0
        self.orders = 0

    def start(self) -> None:
        """Start the lanes; needs a running event loop."""
        self._tasks = [asyncio.create_task(self._run(index), name=f"lane-{index}") for index in range(len(self._lanes))]
        self._tasks.append(asyncio.create_task(self._sweep(), name="sweep"))

    async def stop(self) -> None:
        """Stop the lanes. Callers that still wait are told that the ledger is not available."""
        self._stopping = LedgerUnavailable("the server is stopping; ask again with the same request id")
        for parts in self._in_flight.values():
            self._fail_parts(parts, self._stopping)
        self.refuse_waiting(self._stopping)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for lane in self._lanes:
            await lane.close()
        self._report_settled()

    def refuse_waiting(self, failure: ServiceError) -> None:
        """Tell everybody who still waits for a place that there is none."""
        for queue in self._queues.values():
            self._fail(queue.all(), failure)

    def submit(self, program: str, orders: Sequence[QueuedItem], *, again: bool) -> None:
        """Queue orders of one program, at least one; each is told what became of it in a later turn of the event loop.

        Args:
            program: The program.
            orders: The orders.
            again: They were judged again and go first; they had their place before and keep it.

        Raises:
            Overloaded: Too much is waiting already; nothing was queued.
            LedgerUnavailable: The server is stopping.
        """
        if self._stopping is not None:
            raise self._stopping
        if self._waiting + len(orders) > self._waiting_max and not again:
            raise Overloaded(f"{self._waiting} orders are waiting already; ask again a little later")
        queue = self._queues.get(program)
        if queue is None:
            queue = self._queues[program] = Queue()
            self._turns.append(program)
        if again:
            queue.again += orders
        else:
            weight = 0
            for order in orders:
                # The first call's worth of a big batch is as good as single orders; only what follows stands back.
                (queue.single if weight < SECOND_FLUSH_WAITING_MIN else queue.bulk).append(order)
                weight += order.weight
        self._waiting += len(orders)
        self._wake()

    def _wake(self) -> None:
        if self._idle and self._may_start():
            self._idle.popleft().set_result(None)

    def _may_start(self) -> bool:
        return self._waiting >= (SECOND_FLUSH_WAITING_MIN if self._in_flight else 1)

    async def _run(self, index: int) -> None:
        while True:
            if not self._may_start():
                idle = asyncio.get_running_loop().create_future()
                self._idle.append(idle)
                await idle
                continue
            parts: list[FlushPart] = []
            try:
                self._in_flight[index] = parts
                self._take(parts)
                await self._deliver(self._lanes[index], parts)
            except Exception:  # noqa: BLE001 - logged with its traceback
                # A defect of ours: nobody may be left waiting, and the lane goes on.
                _log.exception("flush failed")
                self._fail_parts(parts, LedgerUnavailable("the answer was lost; ask again with the same request id"))
                await self._lanes[index].close()
            finally:
                self._in_flight.pop(index, None)
                parts.clear()  # while it is idle, the lane keeps nobody's orders
                self._wake()

    def _take(self, parts: list[FlushPart]) -> None:
        """Take the next flush: programs in turn, each within its bound, all within the flush's."""
        room = FLUSH_WEIGHT_MAX
        for _ in range(len(self._turns)):
            program = self._turns.popleft()
            queue = self._queues[program]
            waiting, given_up = queue.take(min(PROGRAM_WEIGHT_MAX, room), at_least_one=not parts)
            self._waiting -= len(waiting) + len(given_up)
            if given_up:
                self._fail(given_up, GONE)  # those who came with them do not wait for them
            if queue:
                self._turns.append(program)
            else:
                del self._queues[program]
            if waiting:
                parts.append(FlushPart(program, waiting))  # at once: whatever happens now, they are told
                room -= sum([order.weight for order in waiting])
            if room <= 0:
                break

    def _pack(self, program: str, waiting: Sequence[QueuedItem]) -> bytes:
        payloads = [order.payload for order in waiting]
        frame = (self._fence.known(program), self._clock.own_ms(), self._clock.apart_ms_max, self._outbox_max)
        args: list[bytes | int] = [*frame, *payloads]
        return pack_call(library().name("batch"), program, args)

    async def _deliver(self, lane: Transport, parts: list[FlushPart]) -> None:
        """Deliver a flush until each part is answered or nobody waits for it any more.

        After a lost connection it is not known whether the calls were executed: the identical orders go again, which
        the request ids make safe.
        """
        backoff = BACKOFF_SECONDS
        failure: ServiceError | None
        while parts:
            try:
                if not lane.is_open:
                    await lane.open()
                    parts = self._wanted(parts)  # opening may have taken a while
                replies = await self._send(lane, parts)
            except LedgerRefused as error:
                self._health.on_reply(error)
                for part in parts:
                    self._refuse(part, error)
                return
            except LedgerUnavailable as error:
                failure = error
            except ConnectionError as error:
                failure = LedgerUnavailable("the connection to the ledger was lost")
                failure.__cause__ = error
                parts = [replace(part, in_doubt=True) for part in parts]
            else:
                parts, failure = await self._settle(lane, parts, replies)
                if not parts:
                    return
            self._health.on_reply(failure)
            await asyncio.sleep(backoff)
            parts = self._wanted(parts)
            backoff = min(2 * backoff, BACKOFF_SECONDS_MAX)

    def _wanted(self, parts: list[FlushPart]) -> list[FlushPart]:
        """Return what is worth sending: what nobody waits for stays at home, unless its call may have been done."""
        wanted = []
        for part in parts:
            gone = [order for order in part.waiting if order.given_up]
            if not gone or (part.in_doubt and len(gone) < len(part.waiting)):
                wanted.append(part)
                continue
            self._fail(gone, GONE)  # those who came with them do not wait for them
            left = [order for order in part.waiting if not order.given_up]
            if left:
                wanted.append(FlushPart(part.program, left))
        return wanted

    async def _send(self, lane: Transport, parts: list[FlushPart]) -> list[Any]:
        if not parts:
            return []
        packed = [self._pack(part.program, part.waiting) for part in parts]  # now, because our clock goes along
        for part in parts:
            for order in part.waiting:
                order.sent = True
        return await lane.exchange(packed, CALL_SECONDS_MAX)

    async def _settle(
        self, lane: Transport, parts: list[FlushPart], replies: list[Any]
    ) -> tuple[list[FlushPart], ServiceError | None]:
        """Hand out the replies; returns the parts that were not executed and are worth sending again, and why."""
        again: list[FlushPart] = []
        failure: ServiceError | None = None
        for part, reply in zip(parts, replies, strict=True):
            if not isinstance(reply, Exception):
                self._answer(part, reply)
                continue
            if "unction not found" in str(reply):
                await lane.close()  # opening it parts the library
                again.append(part)
            elif str(reply).startswith(CLOCK_APART) and not part.late:
                part.late = True
                again.append(part)
                failure = error_of(reply)
            elif str(reply).partition(" ")[0] in _NOT_EXECUTED_WORDS:
                again.append(part)
                failure = LedgerUnavailable("the ledger does not take calls now")
            else:
                error = error_of(reply)
                if isinstance(error, _WHOLE_LEDGER) and self._fence.mark(part.program):
                    self._health.on_reply(error)  # anything else is one program's own trouble
                self._refuse(part, error)
        if not again:
            return again, None
        for part in again:
            for order in part.waiting:
                order.sent = part.in_doubt
        return again, failure or LedgerUnavailable("the ledger is busy")

    def _answer(self, part: FlushPart, reply: list[Any]) -> None:
        head = unpack_head(reply[0])
        self._fence.observe(part.program, head.epoch, head.seq)
        self._clock.set(head.clock_ms)
        self.calls += 1
        self.orders += len(part.waiting)
        # Before the answers: who judges again shall find what changed.
        changed = reply[1]
        for position in range(0, len(changed), 3):
            try:
                self._redefined(part.program, *changed[position : position + 3])
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the others have their answers
                _log.error("a campaign cannot be read", program=part.program, error=str(error))
        for order, answer in zip(part.waiting, reply[2:], strict=True):
            if order.outcome is None:
                order.head = head
                self._settle_one(order, answer)
        self._health.on_reply(None)

    def _refuse(self, part: FlushPart, error: ServiceError) -> None:
        """Tell those who wait for a part that the ledger refused it."""
        self._fail(part.waiting, _in_doubt() if part.in_doubt else error)

    def _fail_parts(self, parts: list[FlushPart], error: ServiceError) -> None:
        for part in parts:
            self._fail(part.waiting, error)

    def _fail(self, waiting: Iterable[QueuedItem], error: ServiceError) -> None:
        for order in waiting:
            if order.outcome is None:
                self._settle_one(order, error)

    def _settle_one(self, order: QueuedItem, outcome: bytes | ServiceError) -> None:
        """Note what became of an order that waits. It is told in the next turn: the lane sends what waits first."""
        order.outcome = outcome
        if not self._settled:
            asyncio.get_running_loop().call_soon(self._report_settled)
        self._settled.append(order)

    def _report_settled(self) -> None:
        settled, self._settled = self._settled, []
        for order in settled:
            try:
                order.on_outcome(order)
            except Exception:  # noqa: BLE001 - logged with its traceback; the others are told all the same
                _log.exception("an answer of the ledger could not be told")

    async def _sweep(self) -> None:
        """Tell callers whose deadline has come, as long as the ledger does not answer, and forget those who left."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            if not self._waiting and not self._in_flight:
                continue
            self._look_through(loop.time())

    def _look_through(self, now: float) -> None:
        for parts in self._in_flight.values():
            for part in parts:
                self._expire(part.waiting, now)
        for queue in self._queues.values():
            self._expire(queue.all(), now)
            self._waiting -= queue.clear_away()

    def _expire(self, waiting: Iterable[QueuedItem], now: float) -> None:
        for order in waiting:
            if order.outcome is not None:
                continue
            if order.caller.gone:
                self._settle_one(order, GONE)
            elif now >= order.caller.deadline:
                self._settle_one(order, _in_doubt() if order.sent else _late())


def _in_doubt() -> ServiceError:
    return LedgerUnavailable(
        "the ledger did not answer in time and may have approved; ask again with the same request id"
    )


def _late() -> ServiceError:
    return DeadlinePassed("the deadline passed before the ledger could be asked; nothing was done")
