"""Runs orders: opens and judges them, asks the ledger, judges again what is outdated, and hands over the results.

A use case that decides orders runs them here (today only redeeming); what differs between them is in ``OrderUseCase``.
Most orders need no task of their own. These have one: an order whose campaign must be read first, a large order or
batch, and orders that are judged again.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import structlog

from redemption.domain.call_info import CallInfo
from redemption.domain.decision import Decision
from redemption.domain.errors import DeadlinePassed, ItemFailed, LedgerUnavailable, ServiceError
from redemption.domain.ports.orders import Mismatch, Outdated, RedeemReply, Refused
from redemption.domain.steps import finished
from redemption.scheduling.fair_slots import NO_SLOT, FairSlots, NoSlot, WorkSlot
from redemption.scheduling.work_bounds import LARGE_ORDER_POSITIONS, REJUDGING
from redemption.service.judging_rounds import ROUNDS_MAX, changes_too_fast
from redemption.service.pending_order import (
    OnResult,
    PendingOrder,
    RedeemRequest,
    Replied,
    Results,
    Submission,
    hand_over,
)

REJUDGED_TOGETHER = 32
"""The most orders that are judged again in one group."""
CALLER_LEFT = LedgerUnavailable("its caller left before it was looked at")
_LOST = "the answer was lost; ask again with the same request id"
_LATE = "the deadline passed before the order was judged; nothing was done"
T = TypeVar("T")
_log = structlog.get_logger(__name__)


class OrderUseCase(Protocol):
    """What one use case does with its orders. Only ``load`` and ``result`` may raise."""

    def open(
        self,
        asked: RedeemRequest,
        caller: CallInfo,
        on_result: OnResult,
        on_reply: Callable[[PendingOrder, RedeemReply | ServiceError], None],
    ) -> PendingOrder | None:
        """Do the checks that need neither campaign nor ledger; None if the order has its result already."""

    def take_campaigns(self, order: PendingOrder) -> bool:
        """Take the cached campaigns, and return whether all are cached."""

    async def load(self, order: PendingOrder) -> bool:
        """Read the campaigns that are not cached; False if the order has its result already."""

    def judge(self, order: PendingOrder) -> bool:
        """Judge an order, and store in it what the ledger needs to decide; False if it has its result already."""

    def judge_steps(self, order: PendingOrder) -> Generator[None, None, bool]:
        """Judge an order in steps, see ``judge``."""

    def without_dead(self, order: PendingOrder, reply: Refused) -> Generator[None, None, Refused]:
        """Return the refusal of an order as it is when coupons that the ledger refuses take nothing; in steps."""

    def ask(self, program: str, orders: Sequence[PendingOrder], *, rejudged: bool) -> None:
        """Have the ledger decide orders; those that were judged again go before others."""

    def take_earlier_form(self, order: PendingOrder) -> bool:
        """Give an order its content in the form of earlier versions; False if it had that form already."""

    def result(self, order: PendingOrder, reply: RedeemReply | ServiceError) -> Decision | ServiceError:
        """Return the result that a reply of the ledger, which is not ``Outdated``, means; may raise."""


class OrderRounds:
    """Runs the orders of one use case."""

    def __init__(self, use_case: OrderUseCase) -> None:
        self._use_case = use_case
        self._rejudging = FairSlots(REJUDGING)
        self._outdated: list[PendingOrder] = []
        self._replied: list[Replied] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, submissions: Iterable[Submission]) -> None:
        """Run orders, each independent of the others; each ``on_result`` is called, now or later.

        After an error in the server it may be called twice; only the first result counts.

        This method does not wait. Orders whose campaign must be read first, and orders that must be judged again,
        continue in tasks of their own, so that they do not delay the others.
        """
        opened = [
            self._use_case.open(asked, caller, on_result, self._settle_soon) for asked, caller, on_result in submissions
        ]
        ready: dict[str, list[PendingOrder]] = {}
        for order in opened:
            if order is None:
                continue
            if not self._use_case.take_campaigns(order):
                self._spawn(self._run_unread(order), [order])
            elif self._use_case.judge(order):
                ready.setdefault(order.program, []).append(order)
        for program, orders in ready.items():
            self._use_case.ask(program, orders, rejudged=False)

    async def run_all(
        self, caller: CallInfo, requests: Sequence[RedeemRequest], slot: WorkSlot | NoSlot = NO_SLOT
    ) -> list[Decision | ServiceError]:
        """Run orders for one caller; return a result for each, in their order.

        Args:
            caller: Who waits for the results.
            requests: The orders.
            slot: The slot of long work; short work needs none.
        """
        results = Results(len(requests))
        submissions = [(asked, caller, results.place(position)) for position, asked in enumerate(requests)]
        try:
            if isinstance(slot, WorkSlot):
                await self._run_in_slot(submissions, slot)
            else:
                self.begin(submissions)
            return await results.all()
        except asyncio.CancelledError:
            caller.gone = True
            raise

    async def _run_in_slot(self, submissions: Iterable[Submission], slot: WorkSlot) -> None:
        """Run orders of one program in steps, so that other work can run in between."""
        orders = []
        for asked, caller, on_result in submissions:
            order = self._use_case.open(asked, caller, on_result, self._settle_soon)
            if order is not None:
                orders.append(order)
            if slot.count(asked.positions):
                await slot.pause()
        if orders:
            await self._decide_in_slot(orders[0].program, orders, slot, rejudged=False)

    async def _decide_in_slot(
        self, program: str, orders: Iterable[PendingOrder], slot: WorkSlot, *, rejudged: bool
    ) -> None:
        """Judge orders, have the ledger decide them, and hand over the results, in the steps of a slot."""
        inbox: asyncio.Queue[Replied] = asyncio.Queue()

        def put(order: PendingOrder, reply: RedeemReply | ServiceError) -> None:
            inbox.put_nowait((order, reply))

        judged = []
        for order in orders:
            if slot.count(order.asked.positions):
                await slot.pause()
            if await self._judge_in_slot(order, slot):
                order.on_reply = put
                judged.append(order)
        if judged:
            self._use_case.ask(program, judged, rejudged=rejudged)
        for _ in judged:
            if inbox.empty():
                order, reply = await inbox.get()
                slot.resume()
            else:
                order, reply = inbox.get_nowait()
            await self._settle_in_slot(order, reply, slot)
            if slot.count(order.asked.positions):
                await slot.pause()

    async def _judge_in_slot(self, order: PendingOrder, slot: WorkSlot) -> bool:
        if not (self._use_case.take_campaigns(order) or await self._use_case.load(order)):
            return False
        return bool(await _until_deadline(order, slot, self._use_case.judge_steps(order)))

    async def _settle_in_slot(self, order: PendingOrder, reply: RedeemReply | ServiceError, slot: WorkSlot) -> None:
        if isinstance(reply, Refused):
            told = await _until_deadline(order, slot, self._use_case.without_dead(order, reply))
            if told is None:
                return
            reply = told
        self._settle([(order, reply)])

    async def _run_unread(self, order: PendingOrder) -> None:
        """Run an order whose campaigns are not all cached."""
        if await self._use_case.load(order) and self._use_case.judge(order):
            self._use_case.ask(order.program, [order], rejudged=False)

    def _judge_again(self, order: PendingOrder) -> None:
        """Have an order judged again, in a group with others that are outdated at the same time."""
        if not self._outdated:
            asyncio.get_running_loop().call_soon(self._begin_again)
        self._outdated.append(order)

    def _begin_again(self) -> None:
        outdated, self._outdated = self._outdated, []
        programs: dict[str, list[PendingOrder]] = {}
        for order in outdated:
            programs.setdefault(order.program, []).append(order)
        for program, orders in programs.items():
            for start in range(0, len(orders), REJUDGED_TOGETHER):
                together = orders[start : start + REJUDGED_TOGETHER]
                self._spawn(self._decide_again(program, together), together)

    async def _decide_again(self, program: str, orders: list[PendingOrder]) -> None:
        """Judge orders again when a slot is free; an order whose deadline passes first gets DeadlinePassed."""
        while orders:
            for order in orders:
                if order.caller.gone:
                    hand_over(order.on_result, CALLER_LEFT)
            waiting = [order for order in orders if not order.caller.gone]
            orders = []
            if not waiting:
                return
            try:
                async with self._rejudging.slot(min([order.caller.deadline for order in waiting])) as slot:
                    await self._decide_in_slot(program, waiting, slot, rejudged=True)
            except DeadlinePassed as error:
                now = asyncio.get_running_loop().time()
                for order in waiting:
                    if order.caller.deadline <= now:
                        hand_over(order.on_result, error)
                orders = [order for order in waiting if order.caller.deadline > now]

    def _spawn(self, work: Coroutine[Any, Any, None], orders: Sequence[PendingOrder]) -> None:
        """Continue with some orders in a task of its own; an unexpected error there becomes their result."""
        task = asyncio.get_running_loop().create_task(_guarded(work, orders))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _result(self, order: PendingOrder, reply: RedeemReply | ServiceError) -> Decision | ServiceError:
        try:
            return self._use_case.result(order, reply)
        except Exception:  # noqa: BLE001 - logged with its traceback; it must not affect other orders
            _log.exception("a decision cannot be made", program=order.program)
            return ItemFailed("the record of this request cannot be read; its operator has to look")

    def _settle_soon(self, order: PendingOrder, reply: RedeemReply | ServiceError) -> None:
        """Take the reply to one order; replies in the same turn of the event loop are processed together."""
        if not self._replied:
            asyncio.get_running_loop().call_soon(self._settle_replied)
        self._replied.append((order, reply))

    def _settle_replied(self) -> None:
        replied, self._replied = self._replied, []
        for place, (order, reply) in enumerate(replied):
            if isinstance(reply, Refused):
                replied[place] = order, finished(self._use_case.without_dead(order, reply))
        self._settle(replied)

    def _settle(self, replied: Sequence[Replied]) -> None:
        """Hand over the results of orders, or have them judged again.

        First all decisions are made, then all are handed over; likewise, all orders of one turn of the event loop are
        opened before any is judged. Doing the same step for many orders in a row keeps its code in the processor's
        caches, which saves a tenth of the whole time.
        """
        results = []
        for order, reply in replied:
            if isinstance(reply, Mismatch) and order.rounds < ROUNDS_MAX and self._use_case.take_earlier_form(order):
                self._judge_again(order)
            elif not isinstance(reply, Outdated):
                results.append((order, self._result(order, reply)))
            elif order.rounds >= ROUNDS_MAX:
                results.append((order, changes_too_fast()))
            else:
                order.judge_at_ms = reply.now_ms
                self._judge_again(order)
        for order, result in results:
            hand_over(order.on_result, result)


async def _until_deadline(order: PendingOrder, slot: WorkSlot, steps: Generator[None, None, T]) -> T | None:
    """Do work on an order in the steps of a slot; None if its deadline passes first: then it has its result."""
    if order.asked.positions < LARGE_ORDER_POSITIONS:
        return finished(steps)
    try:
        async with asyncio.timeout_at(order.caller.deadline):
            return await slot.drive_small_steps(steps)
    except TimeoutError:
        hand_over(order.on_result, DeadlinePassed(_LATE))
        return None


async def _guarded(work: Coroutine[Any, Any, None], orders: Sequence[PendingOrder]) -> None:
    """Await some work for orders; if it fails, each order gets a result (a second result for one order is ignored)."""
    try:
        await work
    except BaseException as error:
        if isinstance(error, Exception):
            _log.exception("orders were left without an answer", program=orders[0].program)
        for order in orders:
            hand_over(order.on_result, LedgerUnavailable(_LOST))
        if not isinstance(error, Exception):
            raise
