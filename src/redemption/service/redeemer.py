"""Redeeming: verify the tokens, judge the order on cached campaigns, let the ledger decide, say what it decided.

One way, one round trip. Two answers of the ledger turn back: a campaign changed, or its clock lies outside the
interval for which the judgement holds. Then the order is judged again, a few times at most.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TypeAlias

import structlog

from redemption.domain.calendar import Days
from redemption.domain.campaign import Campaign
from redemption.domain.decision import Decision
from redemption.domain.digest import DigestKind, Digests
from redemption.domain.errors import (
    DeadlinePassed,
    InvalidRequest,
    ItemFailed,
    LedgerUnavailable,
    NotFound,
    ServiceError,
)
from redemption.domain.order import Checkout, checkout_violations, id_violations
from redemption.domain.ports import (
    AnsweredToken,
    Caller,
    Failed,
    JudgedToken,
    Ledger,
    Outdated,
    RedeemItem,
    RedeemReply,
)
from redemption.domain.record import record
from redemption.domain.stacking import CouponJudgement, Judgement, judge
from redemption.domain.token import TokenVerifier, VerifiedToken
from redemption.service.answer import Answers, Redeemed, invalid_tokens
from redemption.service.content import checkout_content
from redemption.service.coupons import CouponReader
from redemption.service.pace import Pace, Turn

Tell: TypeAlias = Callable[[int, Decision | ServiceError], None]
"""Takes an attempt's position, and what became of it."""

ROUNDS_MAX = 6
JUDGED_AGAIN_AT_ONCE = 8
"""Calls whose orders are judged again at a time. If all went together, judging them would take so long that a campaign
which is edited all the time has changed again before the last one is judged."""
_CHANGES = "the campaign changes faster than it can be judged; ask again with the same request id"
_UNREADABLE = "a record of this coupon or its campaign cannot be read; nothing was done, its operator has to look"
_log = structlog.get_logger(__name__)


@record(frozen=True, slots=True)
class Attempt:
    """One try to redeem an order."""

    request_id: str
    checkout: Checkout

    @property
    def positions(self) -> int:
        """How much work it is: the order's lines and fees, for each token."""
        order = self.checkout.order
        return len(self.checkout.tokens) * (len(order.lines) + len(order.shipping))


@dataclass(slots=True)
class Case:
    """One attempt on its way to the ledger.

    Attributes:
        position: Where it stands in the batch.
        tokens: Its tokens, all genuine.
        turns: In which order the ledger counts them, as indexes: the caller's own must not matter.
        caller: Who waits for it.
        judgement: The newest judgement.
    """

    position: int
    attempt: Attempt
    tokens: tuple[VerifiedToken, ...]
    turns: tuple[int, ...]
    digests: tuple[bytes, bytes, bytes, bytes | None]
    caller: Caller
    judgement: Judgement | None = None


class Redeemer:
    """Redeems orders of all programs."""

    def __init__(self, *, verifier: TokenVerifier, digests: Digests, answers: Answers, ledger: Ledger) -> None:
        self._reader = CouponReader(verifier=verifier, ledger=ledger)
        self._digests = digests
        self._answers = answers
        self._ledger = ledger
        self._days = Days()
        self._again = Pace(at_once=JUDGED_AGAIN_AT_ONCE, rest=0)

    async def redeem_all(
        self, principal: str, program: str, attempts: Sequence[Attempt], *, deadline: float, turn: Turn | None = None
    ) -> list[Decision | ServiceError]:
        """Redeem orders for one caller; failures stand in their place. See ``redeem_each``.

        Args:
            principal: Who calls.
            program: The program of all of them.
            attempts: What is asked.
            deadline: Until when to wait for the ledger, in the event loop's time.
            turn: In which turn much work is done; little needs none.
        """
        found: dict[int, Decision | ServiceError] = {}
        callers = [Caller(deadline)] * len(attempts)
        await self.redeem_each(principal, program, attempts, callers, found.__setitem__, turn=turn)
        return [found[position] for position in range(len(attempts))]

    async def redeem_each(
        self,
        principal: str,
        program: str,
        attempts: Sequence[Attempt],
        callers: Sequence[Caller],
        tell: Tell,
        *,
        turn: Turn | None = None,
    ) -> None:
        """Redeem orders of one program, each by itself, and tell what became of each as soon as it is known.

        What needs a campaign that is not at hand holds up nobody else, unless it is worked on in a turn; what is judged
        again holds up nobody. Of an order whose caller is gone nothing needs to be told.

        Args:
            principal: Who calls; request ids of different principals are different.
            program: The program of all of them.
            attempts: What is asked.
            callers: For each attempt, who waits for it.
            tell: Called with each attempt's position and what became of it.
            turn: In which turn much work is done; little needs none.
        """
        ready: list[Case] = []
        unread: list[Case] = []
        for position, (attempt, caller) in enumerate(zip(attempts, callers, strict=True)):
            opened = self._open_alone(principal, position, attempt, caller)
            if turn is not None:
                await turn.after(attempt.positions)
            if not isinstance(opened, Case):
                tell(position, opened)
            elif all(self._ledger.cached(token.program, token.campaign) for token in opened.tokens):
                ready.append(opened)
            else:
                unread.append(opened)
        if turn is not None or not (ready and unread):
            await self._decide(program, ready + unread, tell, turn)
            return
        async with asyncio.TaskGroup() as group:
            for cases in (ready, unread):
                group.create_task(self._decide(program, cases, tell, turn))

    async def _decide(self, program: str, waiting: list[Case], tell: Tell, turn: Turn | None) -> None:
        """Judge orders and have the ledger decide them, until each is told whose caller is there."""
        now_ms: int | None = None
        failure: ServiceError = LedgerUnavailable(_CHANGES)
        for round_number in range(ROUNDS_MAX):
            waiting = [case for case in waiting if not case.caller.gone]
            if not waiting:
                return
            again = round_number > 0
            deadline = min([case.caller.deadline for case in waiting])
            try:
                async with self._again.turn(deadline) if again else nullcontext():
                    judged = await self._judge_all(waiting, now_ms, tell, turn)
                    replies = await self._replies(program, judged, again=again) if judged else ()
                    if turn is not None:
                        turn.resume()
            except DeadlinePassed as error:
                failure = error
                break
            waiting = []
            for (case, item), reply in zip(judged, replies, strict=True):
                if isinstance(reply, Outdated):
                    now_ms = reply.now_ms
                    waiting.append(case)
                    continue
                tell(case.position, self._result(case, item, reply))
                if turn is not None:
                    await turn.after(case.attempt.positions)
        for case in waiting:
            tell(case.position, failure)

    async def _replies(
        self, program: str, judged: Sequence[tuple[Case, RedeemItem]], *, again: bool
    ) -> Sequence[RedeemReply | ServiceError]:
        """Have the ledger decide; when it answers nothing at all, that is everybody's failure."""
        items = [item for _, item in judged]
        callers = [case.caller for case, _ in judged]
        try:
            return await self._ledger.redeem(program, items, callers, again=again)
        except ServiceError as error:
            return [error] * len(items)

    async def find_by_request(self, principal: str, program: str, request_id: str) -> list[Redeemed]:
        """Tell what was approved under a request id.

        Raises:
            NotFound: Nothing, or it is no longer remembered.
        """
        request = self._digests.for_program(program).digest(DigestKind.REQUEST, principal.encode(), request_id.encode())
        remembered = await self._ledger.remembered(program, request)
        if remembered is None or not remembered.answer:
            raise NotFound("nothing was approved under this request id in the last 24 hours")
        return self._answers.redeemed(program, remembered)

    async def find_by_receipt(self, program: str, redemption_id: str) -> Redeemed:
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

    async def _judge_all(
        self,
        waiting: Sequence[Case],
        now_ms: int | None,
        tell: Tell,
        turn: Turn | None,
    ) -> list[tuple[Case, RedeemItem]]:
        """Judge what waits; one that cannot be judged is told its failure and does not hurt the others."""
        judged = []
        for case in waiting:
            if turn is not None:
                await turn.after(case.attempt.positions)
            try:
                judged.append((case, await self._item(case, now_ms)))
            except ServiceError as error:
                tell(case.position, error)
            except Exception:  # noqa: BLE001 - logged with its traceback; one item's defect is its own
                _log.exception("an order cannot be judged", program=case.attempt.checkout.program)
                for token in case.tokens:  # perhaps it was mended meanwhile: the next one reads it again
                    self._ledger.forget(token.program, token.campaign)
                tell(case.position, ItemFailed(_UNREADABLE))
        return judged

    def _open_alone(
        self, principal: str, position: int, attempt: Attempt, caller: Caller
    ) -> Case | Decision | ServiceError:
        """Open an attempt so that a defect that it meets is its own."""
        try:
            return self._open(principal, position, attempt, caller)
        except Exception:  # noqa: BLE001 - logged with its traceback
            _log.exception("an order cannot be read", program=attempt.checkout.program)
            return ItemFailed("this order met a defect of the server; nothing was done, its operator has to look")

    def _open(self, principal: str, position: int, attempt: Attempt, caller: Caller) -> Case | Decision | ServiceError:
        """Verify everything that needs neither campaign nor ledger: a forged token ends here."""
        checkout = attempt.checkout
        violations = list(id_violations(attempt.request_id, "request_id"))
        violations += checkout_violations(checkout)
        if violations:
            return InvalidRequest(violations)
        try:
            found = self._reader.tokens(checkout)
        except ServiceError as error:
            return error
        tokens = tuple(token for token in found if token is not None)
        if len(tokens) < len(found):
            return invalid_tokens([token is not None for token in found], self._ledger.now_ms() // 1000)
        turns = tuple(sorted(range(len(tokens)), key=lambda index: (tokens[index].campaign, tokens[index].serial)))
        return Case(position, attempt, tokens, turns, self._digest(principal, attempt), caller)

    def _digest(self, principal: str, attempt: Attempt) -> tuple[bytes, bytes, bytes, bytes | None]:
        digest = self._digests.for_program(attempt.checkout.program).digest
        customer_id = attempt.checkout.customer.customer_id
        return (
            digest(DigestKind.REQUEST, principal.encode(), attempt.request_id.encode()),
            digest(DigestKind.CONTENT, checkout_content("redeem", attempt.checkout)),
            digest(DigestKind.ORDER, attempt.checkout.order.order_id.encode()),
            digest(DigestKind.CUSTOMER, customer_id.encode()) if customer_id else None,
        )

    async def _item(self, case: Case, now_ms: int | None) -> RedeemItem:
        """Judge a case at this moment, and write down what the ledger needs to decide it."""
        checkout = case.attempt.checkout
        cached, reader = self._ledger.cached, self._reader
        campaigns = [
            cached(token.program, token.campaign) or await reader.campaign(token, case.caller.deadline)
            for token in case.tokens
        ]
        customer_id = checkout.customer.customer_id
        case.judgement = judgement = judge(
            [
                self._reader.coupon(token, campaign, customer_id) if campaign else None
                for token, campaign in zip(case.tokens, campaigns, strict=True)
            ],
            checkout,
            now_ms=self._ledger.now_ms() if now_ms is None else now_ms,
            days=self._days,
        )
        coupons = [(case.tokens[index], campaigns[index], judgement.coupons[index]) for index in case.turns]
        request, content, order, customer = case.digests
        return RedeemItem(
            request=request,
            content=content,
            order=order,
            customer=customer,
            since_ms=judgement.since_ms,
            until_ms=judgement.until_ms,
            tokens=tuple([_judged(*coupon) for coupon in coupons]),
            answer=tuple(
                [
                    AnsweredToken(
                        token.campaign,
                        token.key_id,
                        token.serial,
                        judged.discount_minor,
                        judged.merchant_basis_points,
                        judged.parts,
                    )
                    for token, _, judged in coupons
                ]
            ),
        )

    def _result(self, case: Case, item: RedeemItem, reply: RedeemReply | ServiceError) -> Decision | ServiceError:
        if isinstance(reply, ServiceError):
            return reply
        if isinstance(reply, Failed):
            return ItemFailed(_UNREADABLE)
        assert case.judgement is not None, "judged before it was sent"
        try:
            tokens = [case.tokens[index] for index in case.turns]
            coupons = [case.judgement.coupons[index] for index in case.turns]
            decision = self._answers.decision(case.attempt.checkout, tokens, coupons, item, reply)
            return decision if len(tokens) == 1 else _in_callers_order(decision, case.turns)
        except Exception:  # noqa: BLE001 - logged with its traceback; one item's defect is its own
            _log.exception("what was decided cannot be told", program=case.attempt.checkout.program)
            return ItemFailed("the record of this request cannot be read; its operator has to look")


def _judged(token: VerifiedToken, campaign: Campaign | None, judged: CouponJudgement) -> JudgedToken:
    hour = judged.hour
    return JudgedToken(
        campaign=token.campaign,
        version=campaign.version if campaign else 0,
        serial=token.serial,
        outcome=judged.outcome,
        discount_minor=judged.discount_minor,
        merchant_minor=judged.merchant_minor,
        day=hour.day,
        slot=hour.slot,
        slot_limit=hour.slot_limit,
        holder_bound=token.holder_bound,
        slot_carries=hour.slot_carries,
    )


def _in_callers_order(decision: Decision, turns: Sequence[int]) -> Decision:
    verdicts = [decision.verdicts[place] for place, _ in sorted(enumerate(turns), key=lambda pair: pair[1])]
    return replace(decision, verdicts=tuple(verdicts))
