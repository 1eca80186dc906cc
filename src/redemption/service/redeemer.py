"""Redeeming: verify the tokens, judge the order on cached campaigns, let the ledger decide, say what it decided.

One way, one round trip. Two answers of the ledger turn back: a campaign changed, or its clock lies outside the
interval for which the judgement holds. Then the order is judged again, a few times at most.
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
    NotFound,
    ServiceError,
)
from redemption.domain.judging.stacking import CouponJudgement, judge
from redemption.domain.order import Checkout, checkout_violations, id_fits, id_violations, positions_of
from redemption.domain.outcome import Outcome
from redemption.domain.ports.orders import (
    Failed,
    JudgedToken,
    Ledger,
    Outdated,
    RedeemItem,
    RedeemReply,
)
from redemption.domain.record import record
from redemption.domain.signed.digest import DigestKind, Digests
from redemption.domain.signed.token import TokenVerifier, VerifiedToken
from redemption.scheduling.fair_slots import FairSlots, WorkSlot
from redemption.service.coupon_reader import CouponReader
from redemption.service.decisions import Answers, Redeemed, invalid_tokens
from redemption.service.request_identity import checkout_content

if TYPE_CHECKING:
    from redemption.domain.campaign.campaign import Campaign

Tell: TypeAlias = Callable[[Decision | ServiceError], None]
"""Takes what became of an attempt."""

ROUNDS_MAX = 6
JUDGED_AGAIN_TOGETHER = 32
JUDGED_AGAIN_AT_ONCE = 8
"""So many orders are judged again together, and so many of these groups at a time. If all went together, judging them
would take so long that a campaign which is edited all the time has changed again before the last one is judged."""
_CHANGES = "the campaign changes faster than it can be judged; ask again with the same request id"
_IN_TURN = (0,)
"""The turns of an order with one token."""
_LEFT = LedgerUnavailable("its caller left before it was looked at")
_UNREADABLE = "a record of this coupon or its campaign cannot be read; nothing was done, its operator has to look"
_DEFECT = "this order met a defect of the server; nothing was done, its operator has to look"
_LOST = "the answer was lost; ask again with the same request id"
_log = structlog.get_logger(__name__)


@record(frozen=True, slots=True)
class Attempt:
    """One try to redeem an order."""

    request_id: str
    checkout: Checkout

    @property
    def positions(self) -> int:
        """How much work it is, see ``positions_of``."""
        order = self.checkout.order
        return positions_of(len(self.checkout.tokens), len(order.lines), len(order.shipping))


Order: TypeAlias = tuple[Attempt, CallInfo, Tell]
"""An attempt, who waits for it, and what takes what becomes of it."""


class Case(RedeemItem):
    """One attempt, from the moment at which its tokens proved genuine until it is told what became of it.

    Attributes:
        attempt: What is asked.
        tell: Takes what became of it in the end.
        verified: Its tokens, all genuine.
        turns: In which order the ledger counts them, as indexes: the caller's own must not matter.
        campaigns: What they belong to, as it was last read; None for one of no campaign.
        coupons: How they were judged last.
        rounds: How often it was judged.
        judged_at_ms: The ledger's clock when it turned the last judgement back, Unix milliseconds.
    """

    __slots__ = ("attempt", "campaigns", "coupons", "judged_at_ms", "rounds", "tell", "turns", "verified")

    def __init__(
        self,
        attempt: Attempt,
        caller: CallInfo,
        tell: Tell,
        *,
        verified: Sequence[VerifiedToken],
        turns: Sequence[int],
        digests: tuple[bytes, bytes, bytes, bytes | None],
        told: Callable[["Case", RedeemReply | ServiceError], None],
    ) -> None:
        super().__init__(attempt.checkout.program, caller, told, digests)
        self.attempt = attempt
        self.tell = tell
        self.verified = verified
        self.turns = turns
        self.campaigns: Sequence[Campaign | None] = ()
        self.coupons: Sequence[CouponJudgement] = ()
        self.rounds = 0
        self.judged_at_ms: int | None = None


Replied: TypeAlias = tuple[Case, RedeemReply | ServiceError]
"""A case, and the ledger's reply to it."""


class Redeemer:
    """Redeems orders of all programs."""

    def __init__(self, *, verifier: TokenVerifier, digests: Digests, answers: Answers, ledger: Ledger) -> None:
        self._reader = CouponReader(verifier=verifier, ledger=ledger)
        self._digests = digests
        self._answers = answers
        self._ledger = ledger
        self._days = Days()
        self._rejudging = FairSlots(at_once=JUDGED_AGAIN_AT_ONCE, rest=0)
        self._outdated: list[Case] = []
        self._replied: list[Replied] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def redeem(self, orders: Iterable[Order]) -> None:
        """Redeem orders, each by itself; what becomes of each is told once, now or later.

        Nothing here waits. Orders whose campaign has to be read first, and those that have to be judged again, go on
        in tasks of their own: they hold nobody up.
        """
        opened = [self._open(attempt, caller, tell) for attempt, caller, tell in orders]
        ready: dict[str, list[Case]] = {}
        for case in opened:
            if case is None:
                continue
            if not self._has_campaigns(case):
                self._spawn(self._redeem_unread(case), [case])
            elif self._judge(case):
                ready.setdefault(case.program, []).append(case)
        for program, cases in ready.items():
            self._ledger.redeem(program, cases, again=False)

    async def redeem_all(
        self, caller: CallInfo, attempts: Sequence[Attempt], *, slot: WorkSlot | None = None
    ) -> list[Decision | ServiceError]:
        """Redeem orders for one caller; failures stand in their place.

        Args:
            caller: Who waits.
            attempts: What is asked.
            slot: In which slot much work is done; little needs none.
        """
        results = _Results(len(attempts))
        orders = [(attempt, caller, results.place(position)) for position, attempt in enumerate(attempts)]
        try:
            if slot is None:
                self.redeem(orders)
            else:
                await self._redeem_in_slot(orders, slot)
            return await results.all()
        except asyncio.CancelledError:
            caller.gone = True
            raise

    async def _redeem_in_slot(self, orders: Iterable[Order], slot: WorkSlot) -> None:
        """Redeem orders of one program that are much work, while others work in between."""
        cases = []
        for attempt, caller, tell in orders:
            case = self._open(attempt, caller, tell)
            if case is not None:
                cases.append(case)
            await slot.after(attempt.positions)
        if cases:
            await self._decide_in_slot(cases[0].program, cases, slot, again=False)

    async def _decide_in_slot(self, program: str, cases: Iterable[Case], slot: WorkSlot, *, again: bool) -> None:
        """Judge orders, have the ledger decide them, and tell them, while others work in between."""
        inbox: asyncio.Queue[Replied] = asyncio.Queue()

        def put(case: Case, reply: RedeemReply | ServiceError) -> None:
            inbox.put_nowait((case, reply))

        judged = []
        for case in cases:
            await slot.after(case.attempt.positions)
            if (self._has_campaigns(case) or await self._load(case)) and self._judge(case):
                case.told = put
                judged.append(case)
        if judged:
            self._ledger.redeem(program, judged, again=again)
        for _ in judged:
            if inbox.empty():
                replied = await inbox.get()
                slot.resume()
            else:
                replied = inbox.get_nowait()
            self._settle([replied])
            await slot.after(replied[0].attempt.positions)

    async def _redeem_unread(self, case: Case) -> None:
        """Redeem an order whose campaigns are not all at hand."""
        if await self._load(case) and self._judge(case):
            self._ledger.redeem(case.program, [case], again=False)

    def _put_again(self, case: Case) -> None:
        """Have an order judged again, together with those that the ledger turned back with it."""
        if not self._outdated:
            asyncio.get_running_loop().call_soon(self._begin_again)
        self._outdated.append(case)

    def _begin_again(self) -> None:
        outdated, self._outdated = self._outdated, []
        programs: dict[str, list[Case]] = {}
        for case in outdated:
            programs.setdefault(case.program, []).append(case)
        for program, cases in programs.items():
            for start in range(0, len(cases), JUDGED_AGAIN_TOGETHER):
                together = cases[start : start + JUDGED_AGAIN_TOGETHER]
                self._spawn(self._decide_again(program, together), together)

    async def _decide_again(self, program: str, cases: list[Case]) -> None:
        """Judge orders again when they have a slot; who waits too long for it is told so."""
        while cases:
            for case in cases:
                if case.caller.gone:
                    _hand(case.tell, _LEFT)
            waiting = [case for case in cases if not case.caller.gone]
            cases = []
            if not waiting:
                return
            try:
                async with self._rejudging.slot(min([case.caller.deadline for case in waiting])) as slot:
                    await self._decide_in_slot(program, waiting, slot, again=True)
            except DeadlinePassed as error:
                now = asyncio.get_running_loop().time()
                for case in waiting:
                    if case.caller.deadline <= now:
                        _hand(case.tell, error)
                cases = [case for case in waiting if case.caller.deadline > now]

    def _spawn(self, work: Coroutine[Any, Any, None], cases: Sequence[Case]) -> None:
        """Go on with some orders in a task of its own; a defect there is told to them."""
        task = asyncio.get_running_loop().create_task(_guarded(work, cases))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def find_by_request(self, caller: CallInfo, program: str, request_id: str) -> list[Redeemed]:
        """Tell what was approved under a request id.

        Raises:
            NotFound: Nothing, or it is no longer remembered.
        """
        request = self._digests.for_program(program).digest(
            DigestKind.REQUEST, caller.principal.encode(), request_id.encode()
        )
        remembered = await self._ledger.remembered(program, request)
        if remembered is None or not remembered.answer:
            raise NotFound("nothing was approved under this request id in the last 24 hours")
        return self._answers.redeemed(program, remembered)

    async def find_by_receipt(self, caller: CallInfo, program: str, redemption_id: str) -> Redeemed:
        """Tell what became of a redemption.

        Raises:
            NotFound: It is no receipt of this program, or the coupon was given back and used again since.
        """
        receipt = self._answers.read_receipt(redemption_id, program=program)
        if receipt is not None:
            record = (await self._ledger.coupon(program, receipt.campaign, receipt.serial)).use
            if record and (record.generation, record.redeemed_at) == (
                receipt.generation,
                receipt.redeemed_at,
            ):
                return Redeemed(redemption_id, receipt, record.discount_minor)
        raise NotFound("redemption_id: is not the receipt of a redemption of this program")

    def _open(self, attempt: Attempt, caller: CallInfo, tell: Tell) -> Case | None:
        """Verify everything that needs neither campaign nor ledger: a forged token ends here, and is told."""
        try:
            opened = self._opened(attempt, caller, tell)
        except ServiceError as error:
            opened = error
        except Exception:  # noqa: BLE001 - logged with its traceback; one order's defect is its own
            _log.exception("an order cannot be read", program=attempt.checkout.program)
            opened = ItemFailed(_DEFECT)
        if isinstance(opened, Case):
            return opened
        _hand(tell, opened)
        return None

    def _opened(self, attempt: Attempt, caller: CallInfo, tell: Tell) -> Case | Decision | ServiceError:
        if caller.gone:
            return _LEFT
        checkout = attempt.checkout
        violations = checkout_violations(checkout)
        if not id_fits(attempt.request_id):
            violations = [*id_violations(attempt.request_id, "request_id"), *violations]
        if violations:
            return InvalidRequest(violations)
        found = self._reader.tokens(checkout)
        tokens = [token for token in found if token is not None]
        if len(tokens) < len(found):
            return invalid_tokens([token is not None for token in found], self._ledger.now_ms() // 1000)
        turns: Sequence[int] = _IN_TURN
        if len(tokens) > 1:
            turns = sorted(range(len(tokens)), key=lambda index: (tokens[index].campaign, tokens[index].serial))
        digests = self._digests.for_program(checkout.program).of_order(
            caller.principal,
            attempt.request_id,
            checkout_content("redeem", checkout),
            checkout.order.order_id,
            checkout.customer.customer_id,
        )
        return Case(attempt, caller, tell, verified=tokens, turns=turns, digests=digests, told=self._settle_soon)

    def _has_campaigns(self, case: Case) -> bool:
        """Take the campaigns that are at hand, and tell whether these are all."""
        cached = self._ledger.cached
        case.campaigns = campaigns = [cached(token.program, token.campaign) for token in case.verified]
        return None not in campaigns

    async def _load(self, case: Case) -> bool:
        """Read the campaigns that are not at hand; when that fails the order is told, and it is over."""
        load, deadline = self._reader.load, case.caller.deadline
        try:
            case.campaigns = [
                await load(token, deadline) if campaign is None else campaign
                for token, campaign in zip(case.verified, case.campaigns, strict=True)
            ]
        except ServiceError as error:
            _hand(case.tell, error)
            return False
        except Exception:  # noqa: BLE001 - logged with its traceback; one order's defect is its own
            self._give_up(case)
            return False
        return True

    def _judge(self, case: Case) -> bool:
        """Judge an order at this moment, and write down what the ledger needs to decide it; else it is over."""
        checkout = case.attempt.checkout
        customer_id = checkout.customer.customer_id
        case.rounds += 1
        try:
            judgement = judge(
                [
                    self._reader.coupon(token, campaign, customer_id) if campaign else None
                    for token, campaign in zip(case.verified, case.campaigns, strict=True)
                ],
                checkout,
                now_ms=self._ledger.now_ms() if case.judged_at_ms is None else case.judged_at_ms,
                days=self._days,
            )
            case.since_ms, case.until_ms = judgement.since_ms, judgement.until_ms
            case.coupons = judgement.coupons
            case.tokens = _judged_tokens(case, checkout.order.value_minor)
        except Exception:  # noqa: BLE001 - logged with its traceback; one order's defect is its own
            self._give_up(case)
            return False
        return True

    def _give_up(self, case: Case) -> None:
        """Tell that an order cannot be judged. Perhaps its campaign is mended meanwhile: the next one reads it anew."""
        _log.exception("an order cannot be judged", program=case.program)
        for token in case.verified:
            self._ledger.forget(token.program, token.campaign)
        _hand(case.tell, ItemFailed(_UNREADABLE))

    def _settle_soon(self, case: Case, reply: RedeemReply | ServiceError) -> None:
        """Take the reply to one order; those that come together are worked on together."""
        if not self._replied:
            asyncio.get_running_loop().call_soon(self._settle_replied)
        self._replied.append((case, reply))

    def _settle_replied(self) -> None:
        replied, self._replied = self._replied, []
        self._settle(replied)

    def _settle(self, replied: Sequence[Replied]) -> None:
        """Tell what became of orders, or have them judged again.

        All are decided first and told then, as all of one turn are opened before they are judged: what is done with
        one order right after the other finds its code in the caches, which saves a tenth of the whole.
        """
        decided = []
        for case, reply in replied:
            if not isinstance(reply, Outdated):
                decided.append((case, self._decision(case, reply)))
            elif case.rounds >= ROUNDS_MAX:
                decided.append((case, LedgerUnavailable(_CHANGES)))
            else:
                case.judged_at_ms = reply.now_ms
                self._put_again(case)
        for case, result in decided:
            _hand(case.tell, result)

    def _decision(self, case: Case, reply: RedeemReply | ServiceError) -> Decision | ServiceError:
        if isinstance(reply, ServiceError):
            return reply
        if isinstance(reply, Failed):
            return ItemFailed(_UNREADABLE)
        try:
            return self._decided(case, reply)
        except Exception:  # noqa: BLE001 - logged with its traceback; one item's defect is its own
            _log.exception("what was decided cannot be told", program=case.program)
            return ItemFailed("the record of this request cannot be read; its operator has to look")

    def _decided(self, case: Case, reply: RedeemReply) -> Decision:
        checkout = case.attempt.checkout
        if len(case.turns) == 1:
            decision = self._answers.decision(checkout, case.verified, case.coupons, case.tokens, reply)
        else:
            verified = [case.verified[index] for index in case.turns]
            coupons = [case.coupons[index] for index in case.turns]
            decision = self._answers.decision(checkout, verified, coupons, case.tokens, reply)
            decision = _in_callers_order(decision, case.turns)
        if decision.outcome is not Outcome.APPROVED:
            self._count_refusals(checkout.program, decision)
        return decision

    def _count_refusals(self, program: str, decision: Decision) -> None:
        for verdict in decision.verdicts:
            if verdict.campaign:
                self._ledger.count_refusal(program, verdict.campaign, verdict.outcome)


def _judged_tokens(case: Case, order_value_minor: int) -> tuple[JudgedToken, ...]:
    """Write down the tokens of an order, which counts once for each campaign: those of one follow each other."""
    tokens, before = [], None
    for index in case.turns:
        token, campaign, judged = case.verified[index], case.campaigns[index], case.coupons[index]
        clock = judged.clock
        tokens.append(
            # By position, in the order of its definition: by keyword it costs half as much again.
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


def _hand(tell: Tell, result: Decision | ServiceError) -> None:
    """Tell what became of an order; when that fails, the others are told all the same."""
    try:
        tell(result)
    except Exception:  # noqa: BLE001 - logged with its traceback
        _log.exception("what became of an order could not be told")


async def _guarded(work: Coroutine[Any, Any, None], cases: Sequence[Case]) -> None:
    """Do something for orders, and leave none of them waiting, whatever happens; who was told already is not told."""
    try:
        await work
    except BaseException as error:
        if isinstance(error, Exception):
            _log.exception("orders were left without an answer", program=cases[0].program)
        for case in cases:
            _hand(case.tell, LedgerUnavailable(_LOST))
        if not isinstance(error, Exception):
            raise


class _Results:
    """What becomes of the orders of one call, each in its place."""

    def __init__(self, count: int) -> None:
        self._results: list[Decision | ServiceError | None] = [None] * count
        self._left = count
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not count:
            self._done.set_result(None)

    def place(self, position: int) -> Tell:
        """Return what takes the result of one of them."""
        return partial(self._put, position)

    def _put(self, position: int, result: Decision | ServiceError) -> None:
        if self._results[position] is not None:
            return
        self._results[position] = result
        self._left -= 1
        if not self._left and not self._done.done():
            self._done.set_result(None)

    async def all(self) -> list[Decision | ServiceError]:
        """Wait until all are there, and return them."""
        await self._done
        return cast("list[Decision | ServiceError]", self._results)


def _in_callers_order(decision: Decision, turns: Sequence[int]) -> Decision:
    verdicts = [decision.verdicts[place] for place, _ in sorted(enumerate(turns), key=lambda pair: pair[1])]
    return replace(decision, verdicts=tuple(verdicts))
