"""Redeeming: verify the tokens, judge the order on cached campaigns, let the ledger decide, say what it decided.

One way, one round trip. Two answers of the ledger turn back: a campaign changed, or its clock lies outside the
interval for which the judgement holds. Then the order is judged again, a few times at most.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, replace
from typing import TypeAlias

import structlog

from redemption.domain.calendar import Days
from redemption.domain.call_info import CallInfo
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
from redemption.domain.order import Checkout, checkout_violations, id_fits, id_violations
from redemption.domain.outcome import Outcome
from redemption.domain.ports import (
    AnsweredToken,
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

Told: TypeAlias = list[tuple[int, Decision | ServiceError]]
"""Positions of attempts, and what became of each."""

ROUNDS_MAX = 6
JUDGED_AGAIN_AT_ONCE = 8
"""Calls whose orders are judged again at a time. If all went together, judging them would take so long that a campaign
which is edited all the time has changed again before the last one is judged."""
_CHANGES = "the campaign changes faster than it can be judged; ask again with the same request id"
_IN_TURN = (0,)
"""The turns of an order with one token."""
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
        caller: Who waits for it, and until when.
        judgement: The newest judgement.
    """

    position: int
    attempt: Attempt
    tokens: tuple[VerifiedToken, ...]
    turns: tuple[int, ...]
    digests: tuple[bytes, bytes, bytes, bytes | None]
    caller: CallInfo
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
        self, caller: CallInfo, program: str, attempts: Sequence[Attempt], *, turn: Turn | None = None
    ) -> list[Decision | ServiceError]:
        """Redeem orders for one caller; failures stand in their place. See ``redeem_each``."""
        found: dict[int, Decision | ServiceError] = {}
        async with aclosing(self.redeem_each([caller] * len(attempts), program, attempts, turn=turn)) as parts:
            async for told in parts:
                found.update(told)
        return [found[position] for position in range(len(attempts))]

    async def redeem_each(
        self, callers: Sequence[CallInfo], program: str, attempts: Sequence[Attempt], *, turn: Turn | None = None
    ) -> AsyncGenerator[Told, None]:
        """Redeem orders of one program, each by itself; gives what became of them as it becomes known.

        Orders whose campaign has to be read first go in a second round, and those that have to be judged again in one
        more: neither holds up the others. Of an order whose caller left, nothing may be told.

        Args:
            callers: For each attempt, who waits for it.
            program: The program of all of them.
            attempts: What is asked.
            turn: In which turn much work is done; little needs none.
        """
        waiting: list[Case] = []
        told: Told = []
        for position, (attempt, caller) in enumerate(zip(attempts, callers, strict=True)):
            opened = self._open_alone(position, attempt, caller)
            if turn is not None:
                await turn.after(attempt.positions)
            if isinstance(opened, Case):
                waiting.append(opened)
            else:
                told.append((position, opened))
        yield told
        ready: list[Case] = []
        unread: list[Case] = []
        for case in waiting:
            (ready if turn is not None or self._is_ready(case) else unread).append(case)
        for cases in (ready, unread):
            if cases:
                async with aclosing(self._decide(program, cases, turn)) as parts:
                    async for told in parts:
                        yield told

    def _is_ready(self, case: Case) -> bool:
        """Whether all campaigns of an order are at hand."""
        return all(self._ledger.cached(token.program, token.campaign) for token in case.tokens)

    async def _decide(self, program: str, waiting: list[Case], turn: Turn | None) -> AsyncGenerator[Told, None]:
        """Judge orders and have the ledger decide them, until each is told whose caller is there."""
        now_ms: int | None = None
        failure: ServiceError | None = None
        for round_number in range(ROUNDS_MAX):
            waiting = [case for case in waiting if not case.caller.gone]
            if not waiting:
                return
            again = round_number > 0
            deadline = min([case.caller.deadline for case in waiting])
            outdated: list[Case] = []
            try:
                async with self._again.turn(deadline) if again else nullcontext():
                    judged, told = await self._judge_all(waiting, now_ms, turn)
                    yield told
                    async with aclosing(self._replies(program, judged, again=again)) as parts:
                        async for part in parts:
                            if turn is not None:
                                turn.resume()
                            told = []
                            for position, reply in part:
                                case, item = judged[position]
                                if isinstance(reply, Outdated):
                                    now_ms = reply.now_ms
                                    outdated.append(case)
                                elif turn is None:
                                    told.append((case.position, self._decision(case, item, reply)))
                                else:
                                    told.append((case.position, await self._result(case, item, reply, turn)))
                            yield told
            except DeadlinePassed as error:
                failure = error
                break
            waiting = outdated
        if waiting:
            failure = failure or LedgerUnavailable(_CHANGES)
            yield [(case.position, failure) for case in waiting]

    async def _replies(
        self, program: str, judged: Sequence[tuple[Case, RedeemItem]], *, again: bool
    ) -> AsyncGenerator[list[tuple[int, RedeemReply | ServiceError]], None]:
        """Have the ledger decide; when it answers nothing at all, that is everybody's failure."""
        items = [item for _, item in judged]
        callers = [case.caller for case, _ in judged]
        if not items:
            return
        try:
            async with aclosing(self._ledger.redeem(program, items, callers, again=again)) as parts:
                async for part in parts:
                    yield part
        except ServiceError as error:
            yield [(position, error) for position in range(len(items))]

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

    async def _judge_all(
        self, waiting: Sequence[Case], now_ms: int | None, turn: Turn | None
    ) -> tuple[list[tuple[Case, RedeemItem]], Told]:
        """Judge what waits; returns also what cannot be judged, which does not hurt the others."""
        judged = []
        failed: Told = []
        for case in waiting:
            if turn is not None:
                await turn.after(case.attempt.positions)
            try:
                judged.append((case, await self._item(case, now_ms)))
            except ServiceError as error:
                failed.append((case.position, error))
            except Exception:  # noqa: BLE001 - logged with its traceback; one item's defect is its own
                _log.exception("an order cannot be judged", program=case.attempt.checkout.program)
                for token in case.tokens:  # perhaps it was mended meanwhile: the next one reads it again
                    self._ledger.forget(token.program, token.campaign)
                failed.append((case.position, ItemFailed(_UNREADABLE)))
        return judged, failed

    def _open_alone(self, position: int, attempt: Attempt, caller: CallInfo) -> Case | Decision | ServiceError:
        """Open an attempt so that a defect that it meets is its own."""
        try:
            return self._open(position, attempt, caller)
        except Exception:  # noqa: BLE001 - logged with its traceback
            _log.exception("an order cannot be read", program=attempt.checkout.program)
            return ItemFailed("this order met a defect of the server; nothing was done, its operator has to look")

    def _open(self, position: int, attempt: Attempt, caller: CallInfo) -> Case | Decision | ServiceError:
        """Verify everything that needs neither campaign nor ledger: a forged token ends here."""
        checkout = attempt.checkout
        violations = checkout_violations(checkout)
        if not id_fits(attempt.request_id):
            violations = [*id_violations(attempt.request_id, "request_id"), *violations]
        if violations:
            return InvalidRequest(violations)
        try:
            found = self._reader.tokens(checkout)
        except ServiceError as error:
            return error
        tokens = tuple([token for token in found if token is not None])
        if len(tokens) < len(found):
            return invalid_tokens([token is not None for token in found], self._ledger.now_ms() // 1000)
        turns = _IN_TURN if len(tokens) == 1 else _turns_of(tokens)
        return Case(position, attempt, tokens, turns, self._digest(caller.principal, attempt), caller)

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
            principal=case.caller.principal,
            request=request,
            content=content,
            order=order,
            customer=customer,
            since_ms=judgement.since_ms,
            until_ms=judgement.until_ms,
            tokens=_judged_tokens(coupons, checkout.order.value_minor),
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

    async def _result(
        self, case: Case, item: RedeemItem, reply: RedeemReply | ServiceError, turn: Turn
    ) -> Decision | ServiceError:
        """Return what became of an order that is much work; it gives way to others when it is done."""
        result = self._decision(case, item, reply)
        await turn.after(case.attempt.positions)
        return result

    def _decision(self, case: Case, item: RedeemItem, reply: RedeemReply | ServiceError) -> Decision | ServiceError:
        if isinstance(reply, ServiceError):
            return reply
        if isinstance(reply, Failed):
            return ItemFailed(_UNREADABLE)
        assert case.judgement is not None, "judged before it was sent"
        try:
            tokens = [case.tokens[index] for index in case.turns]
            coupons = [case.judgement.coupons[index] for index in case.turns]
            decision = self._answers.decision(case.attempt.checkout, tokens, coupons, item, reply)
            if decision.outcome is not Outcome.APPROVED:
                self._count_refusals(case.attempt.checkout.program, decision)
            return decision if len(tokens) == 1 else _in_callers_order(decision, case.turns)
        except Exception:  # noqa: BLE001 - logged with its traceback; one item's defect is its own
            _log.exception("what was decided cannot be told", program=case.attempt.checkout.program)
            return ItemFailed("the record of this request cannot be read; its operator has to look")

    def _count_refusals(self, program: str, decision: Decision) -> None:
        for verdict in decision.verdicts:
            if verdict.campaign:
                self._ledger.count_refusal(program, verdict.campaign, verdict.outcome)


def _turns_of(tokens: Sequence[VerifiedToken]) -> tuple[int, ...]:
    """Return in which order the ledger counts the tokens of an order, see ``Case``."""
    return tuple(sorted(range(len(tokens)), key=lambda index: (tokens[index].campaign, tokens[index].serial)))


def _judged_tokens(
    coupons: Sequence[tuple[VerifiedToken, Campaign | None, CouponJudgement]], order_value_minor: int
) -> tuple[JudgedToken, ...]:
    """Write down the tokens of an order, which counts once for each campaign: those of one follow each other."""
    tokens, before = [], None
    for token, campaign, judged in coupons:
        value = 0 if token.campaign == before else order_value_minor
        before = token.campaign
        tokens.append(_judged(token, campaign, judged, value))
    return tuple(tokens)


def _judged(
    token: VerifiedToken, campaign: Campaign | None, judged: CouponJudgement, order_value_minor: int
) -> JudgedToken:
    hour = judged.hour
    return JudgedToken(
        campaign=token.campaign,
        version=campaign.version if campaign else 0,
        serial=token.serial,
        outcome=judged.outcome,
        discount_minor=judged.discount_minor,
        merchant_minor=judged.merchant_minor,
        order_value_minor=order_value_minor,
        offer_index=token.offer_index,
        day=hour.day,
        slot=hour.slot,
        slot_limit=hour.slot_limit,
        holder_bound=token.holder_bound,
        slot_carries=hour.slot_carries,
    )


def _in_callers_order(decision: Decision, turns: Sequence[int]) -> Decision:
    verdicts = [decision.verdicts[place] for place, _ in sorted(enumerate(turns), key=lambda pair: pair[1])]
    return replace(decision, verdicts=tuple(verdicts))
