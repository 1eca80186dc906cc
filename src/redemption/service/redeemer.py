"""Redeeming: verify the tokens, judge the order on cached campaigns, let the ledger decide, say what it decided.

One way, one round trip. Two answers of the ledger turn back: a campaign changed, or its clock lies outside the
interval for which the judgement holds. Then the order is judged again, a few times at most.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from redemption.domain.calendar import Days
from redemption.domain.campaign import Campaign
from redemption.domain.decision import Decision
from redemption.domain.digest import DigestKind, Digests
from redemption.domain.eligibility import Coupon
from redemption.domain.errors import (
    DeadlinePassed,
    InvalidRequest,
    ItemFailed,
    LedgerUnavailable,
    NotBuilt,
    NotFound,
    ServiceError,
    Violation,
)
from redemption.domain.order import Checkout, checkout_violations, id_violations
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
from redemption.domain.stacking import CouponJudgement, Judgement, judge
from redemption.domain.token import TokenVerifier, VerifiedToken
from redemption.service.answer import Answers, Redeemed, invalid_tokens
from redemption.service.content import checkout_content

ROUNDS_MAX = 3
_UNREADABLE = "a record of this coupon or its campaign cannot be read; nothing was done, its operator has to look"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to redeem an order."""

    request_id: str
    checkout: Checkout


@dataclass(slots=True)
class Case:
    """One attempt on its way to the ledger.

    Attributes:
        position: Where it stands in the batch.
        tokens: Its tokens, all genuine.
        judgement: The newest judgement.
    """

    position: int
    attempt: Attempt
    tokens: tuple[VerifiedToken, ...]
    digests: tuple[bytes, bytes, bytes, bytes | None]
    judgement: Judgement | None = None


class Redeemer:
    """Redeems orders of all programs."""

    def __init__(self, *, verifier: TokenVerifier, digests: Digests, answers: Answers, ledger: Ledger) -> None:
        self._verifier = verifier
        self._digests = digests
        self._answers = answers
        self._ledger = ledger
        self._days = Days()

    async def redeem(self, principal: str, attempt: Attempt, *, deadline: float) -> Decision:
        """Use all tokens of an order, or none.

        Args:
            principal: Who calls; request ids of different principals are different.
            attempt: What is asked.
            deadline: Until when to wait for the ledger, in the event loop's time.

        Raises:
            ServiceError: The question was not answered.
        """
        (result,) = await self.redeem_all(principal, attempt.checkout.program, [attempt], deadline=deadline)
        if isinstance(result, ServiceError):
            raise result
        return result

    async def redeem_all(
        self, principal: str, program: str, attempts: Sequence[Attempt], *, deadline: float
    ) -> list[Decision | ServiceError]:
        """Redeem orders of one program, each by itself; failures stand in their place.

        Raises:
            ServiceError: None of the questions was answered.
        """
        results: list[Decision | ServiceError | None] = [None] * len(attempts)
        waiting: list[Case] = []
        for position, attempt in enumerate(attempts):
            opened = self._open(principal, position, attempt)
            if isinstance(opened, Case):
                waiting.append(opened)
            else:
                results[position] = opened
        now_ms: int | None = None
        for round_number in range(ROUNDS_MAX):
            judged = await self._judge_all(waiting, now_ms, results, deadline)
            if not judged:
                return [result for result in results if result is not None]
            items = [item for _, item in judged]
            again = round_number > 0
            try:
                replies = await self._ledger.redeem(program, items, deadline=deadline, again=again)
            except ServiceError as error:
                replies = [error] * len(items)
            waiting = []
            for (case, item), reply in zip(judged, replies, strict=True):
                if isinstance(reply, Outdated):
                    now_ms = reply.now_ms
                    waiting.append(case)
                else:
                    results[case.position] = self._result(case, item, reply)
        for case in waiting:
            results[case.position] = LedgerUnavailable(
                "the campaign changes faster than it can be judged; ask again with the same request id"
            )
        return [result for result in results if result is not None]

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
            _, record = await self._ledger.coupon(program, receipt.campaign, receipt.serial)
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
        results: list[Decision | ServiceError | None],
        deadline: float,
    ) -> list[tuple[Case, RedeemItem]]:
        """Judge what waits; one that cannot be judged gets its failure as its result and does not hurt the others."""
        judged = []
        for case in waiting:
            try:
                judged.append((case, await self._item(case, now_ms, deadline)))
            except ServiceError as error:
                results[case.position] = error
            except Exception:  # noqa: BLE001 - logged with its traceback; one item's defect is its own
                _log.exception("an order cannot be judged", program=case.attempt.checkout.program)
                for token in case.tokens:  # perhaps it was mended meanwhile: the next one reads it again
                    self._ledger.forget(token.program, token.campaign)
                results[case.position] = ItemFailed(_UNREADABLE)
        return judged

    def _open(self, principal: str, position: int, attempt: Attempt) -> Case | Decision | ServiceError:
        """Verify everything that needs neither campaign nor ledger: a forged token ends here."""
        checkout = attempt.checkout
        violations = list(id_violations(attempt.request_id, "request_id"))
        violations += checkout_violations(checkout)
        if violations:
            return InvalidRequest(violations)
        verified = [self._verifier.verify(token, program=checkout.program) for token in checkout.tokens]
        tokens = tuple(token for token in verified if isinstance(token, VerifiedToken))
        if len(tokens) < len(verified):
            genuine = [isinstance(token, VerifiedToken) for token in verified]
            return invalid_tokens(genuine, self._ledger.now_ms() // 1000)
        if any(token.shared for token in tokens):
            return NotBuilt("checkout.tokens: tokens for many uses are not supported by this version")
        if len(tokens) > 1:
            twin = _twin(tokens)
            if twin is not None:
                return InvalidRequest([Violation(f"checkout.tokens[{twin}]", "is a coupon that is given twice")])
        return Case(position, attempt, tokens, self._digest(principal, attempt))

    def _digest(self, principal: str, attempt: Attempt) -> tuple[bytes, bytes, bytes, bytes | None]:
        digest = self._digests.for_program(attempt.checkout.program).digest
        customer_id = attempt.checkout.customer.customer_id
        return (
            digest(DigestKind.REQUEST, principal.encode(), attempt.request_id.encode()),
            digest(DigestKind.CONTENT, checkout_content("redeem", attempt.checkout)),
            digest(DigestKind.ORDER, attempt.checkout.order.order_id.encode()),
            digest(DigestKind.CUSTOMER, customer_id.encode()) if customer_id else None,
        )

    async def _item(self, case: Case, now_ms: int | None, deadline: float) -> RedeemItem:
        """Judge a case at this moment, and write down what the ledger needs to decide it."""
        checkout = case.attempt.checkout
        campaigns: list[Campaign | None] = []
        for token in case.tokens:
            campaign = self._ledger.cached(token.program, token.campaign)
            if campaign is None:
                campaign = await self._load(token, deadline)
            campaigns.append(campaign)
        known = [
            Coupon(token, campaign, self._held(token, checkout.customer.customer_id))
            for token, campaign in zip(case.tokens, campaigns, strict=True)
            if campaign is not None
        ]
        judgement = judge(
            known,
            checkout.order,
            guest=not checkout.customer.customer_id,
            now_ms=self._ledger.now_ms() if now_ms is None else now_ms,
            days=self._days,
        )
        case.judgement = _with_unknown(judgement, campaigns)
        request, content, order, customer = case.digests
        return RedeemItem(
            request=request,
            content=content,
            order=order,
            customer=customer,
            since_ms=judgement.since_ms,
            until_ms=judgement.until_ms,
            tokens=tuple(
                JudgedToken(
                    campaign=token.campaign,
                    version=campaign.version if campaign else 0,
                    serial=token.serial,
                    outcome=judged.outcome,
                    discount_minor=judged.discount_minor,
                    day=judged.day,
                )
                for token, campaign, judged in zip(case.tokens, campaigns, case.judgement.coupons, strict=True)
            ),
            answer=tuple(
                AnsweredToken(token.campaign, token.key_id, token.serial, judged.discount_minor, judged.parts)
                for token, judged in zip(case.tokens, case.judgement.coupons, strict=True)
            ),
        )

    async def _load(self, token: VerifiedToken, deadline: float) -> Campaign | None:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._ledger.load(token.program, token.campaign)
        except TimeoutError as error:
            raise DeadlinePassed("the deadline passed before the ledger could be asked; nothing was done") from error

    def _held(self, token: VerifiedToken, customer_id: str) -> bool:
        return not token.holder_bound or self._verifier.holder_matches(token, customer_id)

    def _result(self, case: Case, item: RedeemItem, reply: RedeemReply | ServiceError) -> Decision | ServiceError:
        if isinstance(reply, ServiceError):
            return reply
        if isinstance(reply, Failed):
            return ItemFailed(_UNREADABLE)
        assert case.judgement is not None, "judged before it was sent"
        try:
            return self._answers.decision(case.attempt.checkout, case.tokens, case.judgement, item, reply)
        except Exception:  # noqa: BLE001 - logged with its traceback; one item's defect is its own
            _log.exception("what was decided cannot be told", program=case.attempt.checkout.program)
            return ItemFailed("the record of this request cannot be read; its operator has to look")


def _twin(tokens: Sequence[VerifiedToken]) -> int | None:
    """Return the index of a token that stands for the same coupon as an earlier one."""
    seen = set()
    for index, token in enumerate(tokens):
        coupon = (token.campaign, token.serial)
        if coupon in seen:
            return index
        seen.add(coupon)
    return None


def _with_unknown(judgement: Judgement, campaigns: Sequence[Campaign | None]) -> Judgement:
    """Put a refusal in the place of each token whose campaign does not exist."""
    if all(campaigns):
        return judgement
    known = iter(judgement.coupons)
    coupons = tuple(next(known) if campaign else CouponJudgement(Outcome.TOKEN_INVALID) for campaign in campaigns)
    return Judgement(coupons, judgement.since_ms, judgement.until_ms)
