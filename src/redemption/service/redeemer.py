"""Redeeming: verify the tokens, judge the order on cached campaigns, let the ledger decide, return the decision.

Every order takes this way, with one round trip to the ledger. When the ledger replies that a judgement is outdated, the
order is judged again, ``ROUNDS_MAX`` times in total at most (``judging_rounds.py``).
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import structlog

from redemption.domain.call_info import CallInfo
from redemption.domain.campaign.calendar import Days
from redemption.domain.decision import Decision
from redemption.domain.errors import (
    DeadlinePassed,
    InvalidRequest,
    ItemFailed,
    LedgerUnavailable,
    ServiceError,
)
from redemption.domain.judging.stacking import CouponJudgement, judge
from redemption.domain.order import Checkout, checkout_violations, id_fits, id_violations, positions_of
from redemption.domain.outcome import Outcome
from redemption.domain.ports.ledger import Ledger
from redemption.domain.ports.orders import (
    Failed,
    JudgedToken,
    Outdated,
    RedeemItem,
    RedeemReply,
    Refused,
)
from redemption.domain.record import record
from redemption.domain.signed.digest import Digests
from redemption.domain.signed.token import VerifiedToken
from redemption.scheduling.fair_slots import NO_SLOT, FairSlots, NoSlot, WorkSlot
from redemption.scheduling.work_bounds import REJUDGING
from redemption.service.coupon_reader import CouponReader
from redemption.service.decisions import DecisionWriter, invalid_tokens
from redemption.service.idempotency import order_digests
from redemption.service.judging_rounds import CHANGES_TOO_FAST, ROUNDS_MAX

if TYPE_CHECKING:
    from redemption.domain.campaign.campaign import Campaign

OnResult: TypeAlias = Callable[[Decision | ServiceError], None]
"""The callback for the result of a request: its decision, or the error."""

REJUDGED_TOGETHER = 32
"""The most orders that are judged again in one group."""
_SINGLE = (0,)
"""The ledger's order of a single token."""
_CALLER_LEFT = LedgerUnavailable("its caller left before it was looked at")
_UNREADABLE = "a record of this coupon or its campaign cannot be read; nothing was done, its operator has to look"
_DEFECT = "this order met a defect of the server; nothing was done, its operator has to look"
_LOST = "the answer was lost; ask again with the same request id"
_log = structlog.get_logger(__name__)


@record(frozen=True, slots=True)
class RedeemRequest:
    """A request to redeem an order."""

    request_id: str
    checkout: Checkout

    @property
    def positions(self) -> int:
        """How much work it is, see ``positions_of``."""
        order = self.checkout.order
        return positions_of(len(self.checkout.tokens), len(order.lines), len(order.shipping))


Submission: TypeAlias = tuple[RedeemRequest, CallInfo, OnResult]
"""A request, its caller, and the callback for its result."""


class PendingOrder(RedeemItem):
    """An order between the verification of its tokens and its result.

    Attributes:
        asked: The request.
        on_result: The callback for the result.
        verified: Its tokens, all genuine.
        ledger_order: The order in which the ledger counts the tokens, as indexes; the caller's order must not matter.
        campaigns: The tokens' campaigns, as last read; None for a campaign that does not exist.
        coupons: The last judgement on each token.
        rounds: How often the order was judged.
        judge_at_ms: The ledger's clock when it replied that the last judgement is outdated, Unix milliseconds.
    """

    __slots__ = ("asked", "campaigns", "coupons", "judge_at_ms", "ledger_order", "on_result", "rounds", "verified")

    def __init__(
        self,
        asked: RedeemRequest,
        caller: CallInfo,
        on_result: OnResult,
        *,
        verified: Sequence[VerifiedToken],
        ledger_order: Sequence[int],
        digests: tuple[bytes, bytes, bytes, bytes | None],
        on_reply: Callable[["PendingOrder", RedeemReply | ServiceError], None],
    ) -> None:
        super().__init__(asked.checkout.program, caller, on_reply, digests)
        self.asked = asked
        self.on_result = on_result
        self.verified = verified
        self.ledger_order = ledger_order
        self.campaigns: Sequence[Campaign | None] = ()
        self.coupons: Sequence[CouponJudgement] = ()
        self.rounds = 0
        self.judge_at_ms: int | None = None


Replied: TypeAlias = tuple[PendingOrder, RedeemReply | ServiceError]
"""An order, and the ledger's reply to it."""


class Redeemer:
    """Redeems orders of all programs."""

    def __init__(self, *, reader: CouponReader, digests: Digests, decisions: DecisionWriter, ledger: Ledger) -> None:
        self._reader = reader
        self._digests = digests
        self._decisions = decisions
        self._orders = ledger.orders
        self._campaigns = ledger.campaigns
        self._ledger = ledger
        self._days = Days()
        self._rejudging = FairSlots(REJUDGING)
        self._outdated: list[PendingOrder] = []
        self._replied: list[Replied] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def redeem(self, submissions: Iterable[Submission]) -> None:
        """Redeem orders, each independent of the others; each ``on_result`` is called once, now or later.

        This method does not wait. Orders whose campaign must be read first, and orders that must be judged again,
        continue in tasks of their own, so that they do not delay the others.
        """
        opened = [self._open(asked, caller, on_result) for asked, caller, on_result in submissions]
        ready: dict[str, list[PendingOrder]] = {}
        for order in opened:
            if order is None:
                continue
            if not self._has_campaigns(order):
                self._spawn(self._redeem_unread(order), [order])
            elif self._judge(order):
                ready.setdefault(order.program, []).append(order)
        for program, orders in ready.items():
            self._orders.redeem(program, orders, again=False)

    async def redeem_all(
        self, caller: CallInfo, requests: Sequence[RedeemRequest], slot: WorkSlot | NoSlot = NO_SLOT
    ) -> list[Decision | ServiceError]:
        """Redeem orders for one caller; return a result for each, in their order.

        Args:
            caller: Who waits for the results.
            requests: The orders.
            slot: The slot of long work; short work needs none.
        """
        results = _Results(len(requests))
        submissions = [(asked, caller, results.place(position)) for position, asked in enumerate(requests)]
        try:
            if isinstance(slot, WorkSlot):
                await self._redeem_in_slot(submissions, slot)
            else:
                self.redeem(submissions)
            return await results.all()
        except asyncio.CancelledError:
            caller.gone = True
            raise

    async def _redeem_in_slot(self, submissions: Iterable[Submission], slot: WorkSlot) -> None:
        """Redeem orders of one program in steps, so that other work can run in between."""
        orders = []
        for asked, caller, on_result in submissions:
            order = self._open(asked, caller, on_result)
            if order is not None:
                orders.append(order)
            if slot.is_step_done(asked.positions):
                await slot.pause()
        if orders:
            await self._decide_in_slot(orders[0].program, orders, slot, again=False)

    async def _decide_in_slot(
        self, program: str, orders: Iterable[PendingOrder], slot: WorkSlot, *, again: bool
    ) -> None:
        """Judge orders, have the ledger decide them, and hand over the results, in the steps of a slot."""
        inbox: asyncio.Queue[Replied] = asyncio.Queue()

        def put(order: PendingOrder, reply: RedeemReply | ServiceError) -> None:
            inbox.put_nowait((order, reply))

        judged = []
        for order in orders:
            if slot.is_step_done(order.asked.positions):
                await slot.pause()
            if (self._has_campaigns(order) or await self._load(order)) and self._judge(order):
                order.on_reply = put
                judged.append(order)
        if judged:
            self._orders.redeem(program, judged, again=again)
        for _ in judged:
            if inbox.empty():
                replied = await inbox.get()
                slot.resume()
            else:
                replied = inbox.get_nowait()
            self._settle([replied])
            if slot.is_step_done(replied[0].asked.positions):
                await slot.pause()

    async def _redeem_unread(self, order: PendingOrder) -> None:
        """Redeem an order whose campaigns are not all cached."""
        if await self._load(order) and self._judge(order):
            self._orders.redeem(order.program, [order], again=False)

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
                    _hand_over(order.on_result, _CALLER_LEFT)
            waiting = [order for order in orders if not order.caller.gone]
            orders = []
            if not waiting:
                return
            try:
                async with self._rejudging.slot(min([order.caller.deadline for order in waiting])) as slot:
                    await self._decide_in_slot(program, waiting, slot, again=True)
            except DeadlinePassed as error:
                now = asyncio.get_running_loop().time()
                for order in waiting:
                    if order.caller.deadline <= now:
                        _hand_over(order.on_result, error)
                orders = [order for order in waiting if order.caller.deadline > now]

    def _spawn(self, work: Coroutine[Any, Any, None], orders: Sequence[PendingOrder]) -> None:
        """Continue with some orders in a task of its own; an unexpected error there becomes their result."""
        task = asyncio.get_running_loop().create_task(_guarded(work, orders))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _open(self, asked: RedeemRequest, caller: CallInfo, on_result: OnResult) -> PendingOrder | None:
        """Do the checks that need neither campaign nor ledger; an order that ends here gets its result."""
        try:
            opened = self._opened(asked, caller, on_result)
        except ServiceError as error:
            opened = error
        except Exception:  # noqa: BLE001 - logged with its traceback; it must not affect other orders
            _log.exception("an order cannot be read", program=asked.checkout.program)
            opened = ItemFailed(_DEFECT)
        if isinstance(opened, PendingOrder):
            return opened
        _hand_over(on_result, opened)
        return None

    def _opened(
        self, asked: RedeemRequest, caller: CallInfo, on_result: OnResult
    ) -> PendingOrder | Decision | ServiceError:
        if caller.gone:
            return _CALLER_LEFT
        checkout = asked.checkout
        violations = checkout_violations(checkout)
        if not id_fits(asked.request_id):
            violations = [*id_violations(asked.request_id, "request_id"), *violations]
        if violations:
            return InvalidRequest(violations)
        found = self._reader.tokens(checkout)
        tokens = [token for token in found if token is not None]
        if len(tokens) < len(found):
            return invalid_tokens([token is not None for token in found], self._ledger.now_ms() // 1000)
        ledger_order: Sequence[int] = _SINGLE
        if len(tokens) > 1:
            ledger_order = sorted(range(len(tokens)), key=lambda index: (tokens[index].campaign, tokens[index].serial))
        return PendingOrder(
            asked,
            caller,
            on_result,
            verified=tokens,
            ledger_order=ledger_order,
            digests=order_digests(self._digests, caller, asked.request_id, checkout),
            on_reply=self._settle_soon,
        )

    def _has_campaigns(self, order: PendingOrder) -> bool:
        """Take the cached campaigns, and return whether all are cached."""
        cached = self._campaigns.cached
        order.campaigns = campaigns = [cached(token.program, token.campaign) for token in order.verified]
        return None not in campaigns

    async def _load(self, order: PendingOrder) -> bool:
        """Read the campaigns that are not cached; False if that fails: then the order has its result."""
        read, deadline = self._reader.current_campaign, order.caller.deadline
        try:
            order.campaigns = [
                await read(token, deadline) if campaign is None else campaign
                for token, campaign in zip(order.verified, order.campaigns, strict=True)
            ]
        except ServiceError as error:
            _hand_over(order.on_result, error)
            return False
        except Exception:  # noqa: BLE001 - logged with its traceback; it must not affect other orders
            self._give_up(order)
            return False
        return True

    def _judge(self, order: PendingOrder) -> bool:
        """Judge an order, and store in it what the ledger needs to decide; False if that fails."""
        checkout = order.asked.checkout
        customer_id = checkout.customer.customer_id
        order.rounds += 1
        try:
            judgement = judge(
                [
                    self._reader.coupon(token, campaign, customer_id) if campaign else None
                    for token, campaign in zip(order.verified, order.campaigns, strict=True)
                ],
                checkout,
                now_ms=self._ledger.now_ms() if order.judge_at_ms is None else order.judge_at_ms,
                days=self._days,
            )
            order.since_ms, order.until_ms = judgement.since_ms, judgement.until_ms
            order.coupons = judgement.coupons
            order.tokens = _judged_tokens(order, checkout.order.value_minor)
        except Exception:  # noqa: BLE001 - logged with its traceback; it must not affect other orders
            self._give_up(order)
            return False
        return True

    def _give_up(self, order: PendingOrder) -> None:
        """End an order that cannot be judged. The next order reads the campaigns again: they may be repaired then."""
        _log.exception("an order cannot be judged", program=order.program)
        for token in order.verified:
            self._campaigns.forget(token.program, token.campaign)
        _hand_over(order.on_result, ItemFailed(_UNREADABLE))

    def _settle_soon(self, order: PendingOrder, reply: RedeemReply | ServiceError) -> None:
        """Take the reply to one order; replies in the same turn of the event loop are processed together."""
        if not self._replied:
            asyncio.get_running_loop().call_soon(self._settle_replied)
        self._replied.append((order, reply))

    def _settle_replied(self) -> None:
        replied, self._replied = self._replied, []
        self._settle(replied)

    def _settle(self, replied: Sequence[Replied]) -> None:
        """Hand over the results of orders, or have them judged again.

        First all decisions are made, then all are handed over; likewise, all orders of one turn of the event loop are
        opened before any is judged. Doing the same step for many orders in a row keeps its code in the processor's
        caches, which saves a tenth of the whole time.
        """
        results = []
        for order, reply in replied:
            if not isinstance(reply, Outdated):
                results.append((order, self._result(order, reply)))
            elif order.rounds >= ROUNDS_MAX:
                results.append((order, CHANGES_TOO_FAST))
            else:
                order.judge_at_ms = reply.now_ms
                self._judge_again(order)
        for order, result in results:
            _hand_over(order.on_result, result)

    def _result(self, order: PendingOrder, reply: RedeemReply | ServiceError) -> Decision | ServiceError:
        if isinstance(reply, ServiceError):
            return reply
        if isinstance(reply, Failed):
            return ItemFailed(_UNREADABLE)
        try:
            return self._decision(order, reply)
        except Exception:  # noqa: BLE001 - logged with its traceback; it must not affect other orders
            _log.exception("a decision cannot be written", program=order.program)
            return ItemFailed("the record of this request cannot be read; its operator has to look")

    def _decision(self, order: PendingOrder, reply: RedeemReply) -> Decision:
        checkout = order.asked.checkout
        if len(order.ledger_order) == 1:
            decision = self._decisions.decision(checkout, order.verified, order.coupons, order.tokens, reply)
        else:
            verified = [order.verified[index] for index in order.ledger_order]
            coupons = [order.coupons[index] for index in order.ledger_order]
            decision = self._decisions.decision(checkout, verified, coupons, order.tokens, reply)
            decision = _in_callers_order(decision, order.ledger_order)
        if decision.outcome is not Outcome.APPROVED:
            self._count_refusals(checkout.program, decision)
            if decision.outcome is Outcome.TOKEN_INVALID and isinstance(reply, Refused):
                self._report_invalid(order, decision)
        return decision

    def _count_refusals(self, program: str, decision: Decision) -> None:
        for verdict in decision.verdicts:
            if verdict.campaign:
                self._orders.count_refusal(program, verdict.campaign, verdict.outcome)

    def _report_invalid(self, order: PendingOrder, decision: Decision) -> None:
        """Report the tokens of an order that are refused as TOKEN_INVALID although they are correctly signed."""
        for index, verdict in enumerate(decision.verdicts):
            if verdict.outcome is Outcome.TOKEN_INVALID:
                issued = order.coupons[index].outcome is Outcome.TOKEN_INVALID  # the server refused it, not the ledger
                self._reader.report_refused(order.verified[index], order.campaigns[index], issued=issued)


def _judged_tokens(order: PendingOrder, order_value_minor: int) -> tuple[JudgedToken, ...]:
    """Return the tokens as the ledger reads them; the first token of each campaign carries the order's value."""
    tokens, before = [], None
    for index in order.ledger_order:
        token, campaign, judged = order.verified[index], order.campaigns[index], order.coupons[index]
        clock = judged.clock
        tokens.append(
            # Positional arguments, in the order of the fields: keyword arguments cost half as much again.
            JudgedToken(
                token.campaign,
                token.key_id,
                token.serial,
                judged.discount_minor,
                judged.merchant_basis_points,
                judged.parts,
                campaign.version if campaign else 0,
                judged.outcome,
                judged.merchant_minor,
                0 if token.campaign == before else order_value_minor,
                token.offer_index,
                clock.day,
                clock.slot,
                clock.slot_limit,
                token.holder_bound,
                clock.slot_carries,
            )
        )
        before = token.campaign
    return tuple(tokens)


def _hand_over(on_result: OnResult, result: Decision | ServiceError) -> None:
    """Call a callback with its result; if the callback fails, other orders are not affected."""
    try:
        on_result(result)
    except Exception:  # noqa: BLE001 - logged with its traceback
        _log.exception("the result of an order could not be handed over")


async def _guarded(work: Coroutine[Any, Any, None], orders: Sequence[PendingOrder]) -> None:
    """Await some work for orders; if it fails, each order gets a result (a second result for one order is ignored)."""
    try:
        await work
    except BaseException as error:
        if isinstance(error, Exception):
            _log.exception("orders were left without an answer", program=orders[0].program)
        for order in orders:
            _hand_over(order.on_result, LedgerUnavailable(_LOST))
        if not isinstance(error, Exception):
            raise


class _Results:
    """The results of the orders of one RPC, each at its position."""

    def __init__(self, count: int) -> None:
        self._results: list[Decision | ServiceError | None] = [None] * count
        self._left = count
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not count:
            self._done.set_result(None)

    def place(self, position: int) -> OnResult:
        """Return the callback for the result at one position."""
        return partial(self._put, position)

    def _put(self, position: int, result: Decision | ServiceError) -> None:
        if self._results[position] is not None:
            return
        self._results[position] = result
        self._left -= 1
        if not self._left and not self._done.done():
            self._done.set_result(None)

    async def all(self) -> list[Decision | ServiceError]:
        """Wait until all results are there, and return them."""
        await self._done
        return cast("list[Decision | ServiceError]", self._results)


def _in_callers_order(decision: Decision, ledger_order: Sequence[int]) -> Decision:
    verdicts = [decision.verdicts[place] for place, _ in sorted(enumerate(ledger_order), key=lambda pair: pair[1])]
    return replace(decision, verdicts=tuple(verdicts))
