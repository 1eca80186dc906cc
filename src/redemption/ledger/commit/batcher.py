"""Group commit: orders and claims that arrive while a call is in flight are sent together in the next call.

One call carries many orders and costs one round trip and one fsync. No order waits until a batch is full: on an idle
server it is sent at once. Under load batches form by themselves, because other orders arrive while a call is in flight.

An *order* here is any queued item: an order or a claim.
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
from redemption.ledger.permissions import LedgerForbids
from redemption.ledger.reachability import Reachability
from redemption.ledger.trust.clock import Clock
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.health import LedgerHealth
from redemption.ledger.trust.proof import LedgerNotDurable
from redemption.ledger.trust.reply_errors import (
    CLOCK_APART,
    FULL,
    LedgerClockApart,
    LedgerFull,
    LedgerNotReady,
    LedgerNotTrusted,
    LedgerReadOnly,
    error_of,
    has_unknown_text,
)
from redemption.ledger.trust.write_check import log_missing_functions
from redemption.ledger.wire.orders import unpack_head

PROGRAM_WEIGHT_MAX = 128
"""Tokens of one program in one call: a thousand would block the ledger for 41 ms, 64 for 2 ms."""
FLUSH_WEIGHT_MAX = 256
"""Tokens of all programs in one flush."""
SECOND_FLUSH_WAITING_MIN = 64
"""With fewer orders waiting, a second flush in flight gains nothing (measured); it only makes the batches smaller."""
LANES = 2
SWEEP_SECONDS = 0.01
BACKOFF_SECONDS = 0.01
BACKOFF_SECONDS_MAX = 0.5

_WHOLE_LEDGER = (LedgerFull, LedgerReadOnly, LedgerForbids, LedgerNotTrusted, LedgerClockApart)
"""Failures that every other call to the ledger will meet, too."""
_log = structlog.get_logger(__name__)


class LaneProtocol(Protocol):
    """A connection that carries calls, see ``lane.Lane``."""

    @property
    def is_open(self) -> bool: ...  # noqa: D102
    async def open(self) -> None: ...  # noqa: D102
    async def exchange(self, packed: list[bytes], seconds_max: float) -> list[Any]: ...  # noqa: D102
    async def close(self) -> None: ...  # noqa: D102


@dataclass(slots=True)
class FlushPart:
    """One program's part of a flush: it is one call.

    Attributes:
        waiting: The orders in the call.
        in_doubt: The call was sent and got no reply, so it may have been executed. If it is sent again and refused,
            that says nothing about the first time.
        clock_refused: The ledger refused the call once because the clocks were apart. This also happens when the call
            was on its way for too long, so it is sent once more.
        without_writes: The ledger refused the call because it has no memory left. It is sent once more, to be answered
            as far as nothing has to be written.
    """

    program: str
    waiting: list[QueuedItem]
    in_doubt: bool = False
    clock_refused: bool = False
    without_writes: bool = False


class Batcher:
    """Sends orders to the ledger, many in one call, and hands each its reply."""

    def __init__(
        self,
        *,
        lanes: list[LaneProtocol],
        fence: Fence,
        clock: Clock,
        outbox_max: int,
        waiting_max: int,
        redefined: Callable[[str, int, int, bytes], None],
        health: LedgerHealth,
        reachability: Reachability,
    ) -> None:
        """Build it; ``start`` makes it work.

        Args:
            lanes: Connections; each carries one call at a time.
            fence: The last known state of each program's ledger.
            clock: Its reading is sent with every call.
            outbox_max: About how many entries the event stream keeps.
            waiting_max: How many orders may wait.
            redefined: Called with program, campaign, version and definition when the ledger has another version of a
                campaign than an order was judged by; the definition is empty when the campaign does not exist.
                Campaign 0 stands for the program's rules; then the definition is what changed in them.
            health: Gets the result of every call.
            reachability: Gets whether the ledger answers. While it is known to be down, orders that were not sent fail.
        """
        self._lanes = lanes
        self._fence = fence
        self._clock = clock
        self._outbox_max = outbox_max
        self._waiting_max = waiting_max
        self._redefined = redefined
        self._health = health
        self._reachability = reachability
        self._stopping: ServiceError | None = None
        self._queues: dict[str, Queue] = {}
        self._rotation: deque[str] = deque()
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
        """Stop the lanes. Callers that still wait are answered that the ledger is not available."""
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
        """Answer all orders that are queued and not in flight with a failure."""
        for queue in self._queues.values():
            self._fail(queue.all(), failure)

    def submit(self, program: str, orders: Sequence[QueuedItem], *, rejudged: bool) -> None:
        """Queue orders of one program, at least one; each gets its outcome in a later turn of the event loop.

        Args:
            program: The program.
            orders: The orders.
            rejudged: They were judged again. They go first, and are accepted above ``waiting_max``: they waited before.

        Raises:
            Overloaded: Too many orders wait already; nothing was queued.
            LedgerUnavailable: The server is stopping, or the ledger is known to be down; nothing was queued.
        """
        if self._stopping is not None:
            raise self._stopping
        if self._reachability.lost_at is not None:
            self._reachability.require()
        if self._waiting + len(orders) > self._waiting_max and not rejudged:
            raise Overloaded(f"{self._waiting} orders are waiting already; ask again a little later")
        queue = self._queues.get(program)
        if queue is None:
            queue = self._queues[program] = Queue()
            self._rotation.append(program)
        if rejudged:
            queue.rejudged += orders
        else:
            weight = 0
            for order in orders:
                # The first 64 tokens of a big batch are queued like single orders; only the rest has lower priority.
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
                self._take_next(parts)
                await self._deliver(self._lanes[index], parts)
            except Exception:  # noqa: BLE001 - logged with its traceback
                # A bug of ours: answer every caller, and let the lane go on.
                _log.exception("flush failed")
                self._fail_parts(parts, LedgerUnavailable("the answer was lost; ask again with the same request id"))
                await self._lanes[index].close()
            finally:
                self._in_flight.pop(index, None)
                parts.clear()  # an idle lane must not keep orders in memory
                self._wake()

    def _take_next(self, parts: list[FlushPart]) -> None:
        """Take the next flush from the queues, program by program (round robin), within both weight limits."""
        room = FLUSH_WEIGHT_MAX
        for _ in range(len(self._rotation)):
            program = self._rotation.popleft()
            queue = self._queues[program]
            waiting, abandoned = queue.take(min(PROGRAM_WEIGHT_MAX, room), at_least_one=not parts)
            self._waiting -= len(waiting) + len(abandoned)
            if abandoned:
                self._fail(abandoned, GONE)  # now: orders that were submitted with them must not wait for them
            if queue:
                self._rotation.append(program)
            else:
                del self._queues[program]
            if waiting:
                parts.append(FlushPart(program, waiting))  # before anything can fail: ``_run`` answers what is in parts
                room -= sum([order.weight for order in waiting])
            if room <= 0:
                break

    def _pack(self, part: FlushPart) -> bytes:
        program, function = part.program, "batch_without_writes" if part.without_writes else "batch"
        payloads = [order.payload for order in part.waiting]
        frame = (self._fence.known(program), self._clock.own_ms(), self._clock.apart_ms_max, self._outbox_max)
        args: list[bytes | int] = [*frame, *payloads]
        return pack_call(library().name(function), program, args)

    async def _deliver(self, lane: LaneProtocol, parts: list[FlushPart]) -> None:
        """Send a flush until the ledger replied to each part, or nobody waits for it any more.

        After a lost connection it is not known whether the calls were executed. The same orders are sent again; the
        request ids make that idempotent.
        """
        backoff, losses = BACKOFF_SECONDS, 0
        failure: ServiceError | None
        while parts:
            try:
                if not lane.is_open:
                    await lane.open()
                    parts = self._still_wanted(parts)  # opening may have taken a while
                replies = await self._send(lane, parts)
            except LedgerRefused as error:
                self._reachability.on_reply()
                self._health.on_reply(error)
                for part in parts:
                    self._refuse(part, error)
                return
            except LedgerUnavailable as error:
                failure = error
            except ConnectionError as error:
                # One connection was closed: whether the ledger is down shows when it is opened again.
                self._reachability.on_failure()
                failure = _lost(error) if losses else None
                losses += 1
                parts = [replace(part, in_doubt=True) for part in parts]
            else:
                parts, failure = await self._settle(lane, parts, replies)
                if not parts:
                    return
            self._report_failure(failure)
            await asyncio.sleep(backoff)
            parts = self._still_wanted(parts)
            backoff = min(2 * backoff, BACKOFF_SECONDS_MAX)

    def _report_failure(self, failure: ServiceError | None) -> None:
        if failure is None:
            return
        if not isinstance(failure, LedgerRefused):
            self._reachability.on_failure()
        self._health.on_reply(failure)

    def _still_wanted(self, parts: list[FlushPart]) -> list[FlushPart]:
        """Return the parts to send, without the orders that nobody waits for.

        A part in doubt keeps them as long as anybody waits for one of its orders: they may have been executed.
        """
        wanted = []
        for part in parts:
            gone = [order for order in part.waiting if order.abandoned]
            if not gone or (part.in_doubt and len(gone) < len(part.waiting)):
                wanted.append(part)
                continue
            self._fail(gone, GONE)  # now: orders that were submitted with them must not wait for them
            left = [order for order in part.waiting if not order.abandoned]
            if left:
                wanted.append(FlushPart(part.program, left))
        return wanted

    async def _send(self, lane: LaneProtocol, parts: list[FlushPart]) -> list[Any]:
        if not parts:
            return []
        # Packed just before sending: a call carries the reading of our clock.
        packed = [self._pack(part) for part in parts]
        for part in parts:
            for order in part.waiting:
                order.sent = True
        try:
            return await lane.exchange(packed, CALL_SECONDS_MAX)
        except LedgerNotDurable:
            for part in parts:
                part.in_doubt = True  # executed, but perhaps not kept
            raise

    async def _settle(
        self, lane: LaneProtocol, parts: list[FlushPart], replies: list[Any]
    ) -> tuple[list[FlushPart], ServiceError | None]:
        """Handle the replies; returns the parts that were not executed and are to be sent again, and the failure."""
        again: list[FlushPart] = []
        failure: ServiceError | None = None
        for part, reply in zip(parts, replies, strict=True):
            if not isinstance(reply, Exception):
                self._handle_reply(part, reply)
            elif "unction not found" in str(reply):
                log_missing_functions()
                await lane.close()  # opening it again loads the library
                again.append(part)
            elif str(reply).startswith(CLOCK_APART) and not part.clock_refused:
                part.clock_refused = True
                again.append(part)
            else:
                error = error_of(reply)
                error.__cause__ = reply
                if isinstance(error, LedgerNotReady) or self._prepare_read(part, error):
                    again.append(part)
                    failure = error
                else:
                    self._refuse_call(part, error, reply)
        if not again:
            return again, None
        for part in again:
            for order in part.waiting:
                order.sent = part.in_doubt
        return again, failure

    def _prepare_read(self, part: FlushPart, error: ServiceError) -> bool:
        """Have a call that a full ledger refused sent once more, for what needs no write; False if it is not."""
        if not isinstance(error, LedgerFull) or part.without_writes or part.in_doubt:
            return False
        self._reachability.on_reply()
        part.without_writes = True
        return True

    def _refuse_call(self, part: FlushPart, error: ServiceError, reply: Exception) -> None:
        self._reachability.on_reply()
        if isinstance(error, _WHOLE_LEDGER) and self._fence.mark(part.program):
            self._health.on_reply(error)  # any other failure is of this program only
        elif has_unknown_text(error):
            self._health.on_refused_call(reply)
        self._refuse(part, error)

    def _handle_reply(self, part: FlushPart, reply: list[Any]) -> None:
        head = unpack_head(reply[0])
        self._fence.observe(part.program, head.epoch, head.seq)
        self._clock.set(head.clock_ms)
        self.calls += 1
        self.orders += len(part.waiting)
        # Before the outcomes: an order that is judged again must find the new definitions.
        changed = reply[1]
        for position in range(0, len(changed), 3):
            try:
                self._redefined(part.program, *changed[position : position + 3])
            except Exception as error:  # noqa: BLE001 - logged; the orders still get their replies
                _log.error("a campaign cannot be read", program=part.program, error=str(error))
        outcomes = _of_full_ledger(reply[2:]) if part.without_writes else reply[2:]
        for order, outcome in zip(part.waiting, outcomes, strict=True):
            if order.outcome is None:
                order.head = head
                self._settle_one(order, outcome)
        if self._reachability.lost_at is not None:
            self._reachability.on_reply()
        self._health.on_reply(None)

    def _refuse(self, part: FlushPart, error: ServiceError) -> None:
        """Fail a part that the ledger refused; if it was sent before, the failure is that it is in doubt."""
        self._fail(part.waiting, _in_doubt() if part.in_doubt else error)

    def _fail_parts(self, parts: list[FlushPart], error: ServiceError) -> None:
        for part in parts:
            self._fail(part.waiting, error)

    def _fail(self, waiting: Iterable[QueuedItem], error: ServiceError) -> None:
        for order in waiting:
            if order.outcome is None:
                self._settle_one(order, error)

    def _settle_one(self, order: QueuedItem, outcome: bytes | ServiceError) -> None:
        """Set the outcome of an order. Its callback runs in the next turn of the event loop: the lane sends first."""
        order.outcome = outcome
        if not self._settled:
            asyncio.get_running_loop().call_soon(self._report_settled)
        self._settled.append(order)

    def _report_settled(self) -> None:
        settled, self._settled = self._settled, []
        for order in settled:
            try:
                order.on_outcome(order)
            except Exception:  # noqa: BLE001 - logged with its traceback; the other callbacks still run
                _log.exception("an order's callback failed")

    async def _sweep(self) -> None:
        """Every 10 ms, answer callers who need not wait any longer, and drop orders of callers who left."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            if not self._waiting and not self._in_flight:
                continue
            self._expire_all(loop.time())

    def _expire_all(self, now: float) -> None:
        down = self._reachability.failure()
        for parts in self._in_flight.values():
            for part in parts:
                self._expire(part.waiting, now, down)
        for queue in self._queues.values():
            self._expire(queue.all(), now, down)
            self._waiting -= queue.drop_abandoned()

    def _expire(self, waiting: Iterable[QueuedItem], now: float, down: ServiceError | None) -> None:
        for order in waiting:
            if order.outcome is not None:
                continue
            if order.caller.gone:
                self._settle_one(order, GONE)
            elif now >= order.caller.deadline:
                self._settle_one(order, _in_doubt() if order.sent else _late())
            elif down is not None and not order.sent:
                self._settle_one(order, down)


def _lost(error: ConnectionError) -> LedgerUnavailable:
    failure = LedgerUnavailable("the connection to the ledger was lost")
    failure.__cause__ = error
    return failure


def _of_full_ledger(replies: Sequence[bytes]) -> list[bytes | ServiceError]:
    """Return the outcomes of orders in a call without writes: F stands for one that would have to be written."""
    return [LedgerFull(FULL) if reply == b"F" else reply for reply in replies]


def _in_doubt() -> ServiceError:
    return LedgerUnavailable(
        "the ledger did not answer in time and may have approved; ask again with the same request id"
    )


def _late() -> ServiceError:
    return DeadlinePassed("the deadline passed before the ledger could be asked; nothing was done")
