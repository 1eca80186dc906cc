"""Turns the ledger's reply into the decision that the caller gets.

An approval is made only from what the ledger remembers of it and from the request itself. So a repeated request gets
the same answer, field for field, whatever has changed since.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from redemption.domain.campaign.benefit import BASIS_POINTS
from redemption.domain.decision import Allocation, Decision, Detail, Verdict, refusal
from redemption.domain.judging.stacking import CouponJudgement
from redemption.domain.order import Checkout, Line, Shipping
from redemption.domain.outcome import BUDGET_DAY_RANK, NEVER_ISSUED_RANK, SAME_ORDER_RANK, Outcome
from redemption.domain.ports.orders import (
    AnsweredToken,
    Approved,
    CouponRecord,
    EarlierUse,
    Mismatch,
    RedeemReply,
    Refused,
    RefusedToken,
    Remembered,
    RememberedByCoupons,
)
from redemption.domain.signed.keyset import Keyset
from redemption.domain.signed.receipt import Receipt, ReceiptKeys, Receipts, receipt_text
from redemption.domain.signed.reservation import Reservation, ReservationDefect, Reservations, ReservedCoupon
from redemption.domain.signed.settlement import Settlement, Settlements, settled_bytes, settlement_bytes
from redemption.domain.signed.token import VerifiedToken

MILLISECONDS = 1000
CouponIds: TypeAlias = VerifiedToken | AnsweredToken | ReservedCoupon | Receipt
"""Whatever says which coupon it is, and which key signed its token."""
Bearers: TypeAlias = Sequence[Line | Shipping]
"""What may bear a part of a discount: an order's lines, then its shipping fees."""
INVALID_RANKS = (Outcome.TOKEN_INVALID, NEVER_ISSUED_RANK)
"""Ranks whose answer is ``TOKEN_INVALID``."""


@dataclass(frozen=True, slots=True)
class Redeemed:
    """One approved use of a coupon, or a hold on one, as a later lookup finds it.

    Attributes:
        redemption_id: The receipt; empty for a coupon that is only held.
        receipt: What the receipt says, or would say; ``redeemed_at`` of a hold is when it was made.
        is_held: The coupon is held, and not used.
        is_reversed: All of it was given back.
        reversed_minor: How much of the discount was given back.
    """

    redemption_id: str
    receipt: Receipt
    discount_minor: int
    is_held: bool = False
    is_reversed: bool = False
    reversed_minor: int = 0


@dataclass(frozen=True, slots=True)
class HoldOfOrder:
    """Digests of an order and its customer (None for a guest), the terms of its hold, and its end, Unix seconds."""

    order: bytes
    customer: bytes | None
    terms: bytes
    held_until: int


class DecisionWriter:
    """Writes decisions. Receipts and settlements are signed under the tokens' own keys."""

    def __init__(self, keyset: Keyset) -> None:
        self._keys = ReceiptKeys(keyset)
        self._receipts = Receipts(self._keys)
        self._reservations = Reservations(self._keys)
        self._settlements = Settlements(self._keys)

    def decision(
        self,
        checkout: Checkout,
        tokens: Sequence[VerifiedToken],
        judged: Sequence[CouponJudgement],
        sent: Sequence[AnsweredToken],
        reply: RedeemReply,
        *,
        positions: Sequence[int] | None,
    ) -> Decision:
        """Return the decision that a reply of the ledger means.

        Args:
            checkout: The checkout of the request.
            tokens: Its tokens, in the ledger's order.
            judged: The server's judgements on them, in the same order.
            sent: What was sent to the ledger about them, in the same order.
            reply: The ledger's reply.
            positions: The positions of the lines and shipping fees in the order in which the ledger counts them; None
                means as they were sent.

        Returns:
            The decision, its verdicts in the same order.
        """
        if isinstance(reply, Approved):
            return self._approval(checkout, positions, reply.decided_at, reply.generations, sent)
        match reply:
            case Remembered(decided_at, generations, answer):
                return self._approval(checkout, positions, decided_at, generations, answer)
            case RememberedByCoupons(uses):
                return self._approval_by_coupons(checkout.program, tokens, uses)
            case Refused():
                return self.refusal(checkout.program, tokens, judged, reply)
            case Mismatch(decided_at):
                verdicts = tuple(Verdict(Outcome.IDEMPOTENCY_MISMATCH, campaign=token.campaign) for token in tokens)
                return Decision(Outcome.IDEMPOTENCY_MISMATCH, verdicts, decided_at)
            case _:
                raise AssertionError(reply)

    def reserved(
        self,
        checkout: Checkout,
        tokens: Sequence[VerifiedToken],
        hold: HoldOfOrder,
        *,
        decided_at: int,
        generations: Sequence[int],
        answer: Sequence[AnsweredToken],
        positions: Sequence[int] | None,
    ) -> Decision:
        """Return the decision that an order's coupons are held.

        Args:
            checkout: The checkout of the request.
            tokens: Its tokens, in the ledger's order.
            hold: The hold.
            decided_at: When it was made, Unix seconds.
            generations: Of each coupon, how often it was given back.
            answer: What is remembered about each, in the same order.
            positions: As of ``decision``.
        """
        approved = self._approval(checkout, positions, decided_at, generations, answer)
        coupons, before = [], None
        for token, said, generation, verdict in zip(tokens, answer, generations, approved.verdicts, strict=True):
            coupon = ReservedCoupon(
                key_id=token.key_id,
                campaign=token.campaign,
                serial=token.serial,
                offer_index=token.offer_index,
                generation=generation,
                holder_bound=token.holder_bound,
                discount_minor=said.discount_minor,
                merchant_minor=sum(part.merchant_minor for part in verdict.allocations),
                order_value_minor=0 if token.campaign == before else checkout.order.value_minor,
            )
            coupons.append(coupon)
            before = token.campaign
        reservation = Reservation(
            order=hold.order,
            customer=hold.customer,
            terms=hold.terms,
            held_until=hold.held_until,
            coupons=tuple(coupons),
        )
        return replace(
            approved,
            verdicts=tuple(replace(verdict, redemption_id="") for verdict in approved.verdicts),
            reservation_id=self._reservations.sign(reservation, program=checkout.program),
            held_until=hold.held_until,
        )

    def confirmed(
        self, program: str, coupons: Sequence[ReservedCoupon], reply: Approved | Remembered | RememberedByCoupons
    ) -> Decision:
        """Return the decision that a reservation's coupons are used: outcome, receipts and discounts."""
        if isinstance(reply, RememberedByCoupons):
            return self._approval_by_coupons(program, coupons, reply.uses)
        uses = [
            EarlierUse(reply.decided_at, generation, coupon.discount_minor)
            for coupon, generation in zip(coupons, reply.generations, strict=True)
        ]
        return self._approval_by_coupons(program, coupons, uses)

    def read_reservation(self, reservation_id: str, *, program: str) -> Reservation | None:
        """Return what a reservation id says, or None when it is not genuine."""
        reservation = self._reservations.verify(reservation_id, program=program)
        return None if isinstance(reservation, ReservationDefect) else reservation

    def redeemed(self, program: str, remembered: Remembered, seen: Sequence[CouponRecord]) -> list[Redeemed]:
        """Return the redemptions of a remembered approval. ``seen``: what the ledger knows of its coupons now."""
        redemptions = []
        for token, generation, record in zip(remembered.answer, remembered.generations, seen, strict=True):
            use = EarlierUse(remembered.decided_at, generation, token.discount_minor)
            redemptions.append(self.redeemed_by(program, token, use, record))
        return redemptions

    def redeemed_by(self, program: str, coupon: CouponIds, use: EarlierUse, record: CouponRecord) -> Redeemed:
        """Return a use of a coupon, with what was given back of it. ``record``: what the ledger knows of the coupon."""
        receipt = _receipt(coupon, use.generation, use.redeemed_at)
        signed = self._receipts.sign(receipt, program=program)
        if record.generation > use.generation:
            return Redeemed(signed, receipt, use.discount_minor, is_reversed=True, reversed_minor=use.discount_minor)
        given_back = record.reversed_minor
        is_reversed = given_back == use.discount_minor
        return Redeemed(signed, receipt, use.discount_minor, is_reversed=is_reversed, reversed_minor=given_back)

    def held(self, token: AnsweredToken, reserved_at: int) -> Redeemed:
        """Return the hold on a coupon, which was made at ``reserved_at``, Unix seconds."""
        return Redeemed("", _receipt(token, 0, reserved_at), token.discount_minor, is_held=True)

    def read_receipt(self, redemption_id: str, *, program: str) -> Receipt | None:
        """Return what a receipt says, or None when it is not genuine."""
        receipt = self._receipts.verify(redemption_id, program=program)
        return receipt if isinstance(receipt, Receipt) else None

    def read_settlement(self, settlement: bytes, *, program: str) -> Settlement | None:
        """Return what a settlement says, or None when it is not genuine."""
        read = self._settlements.verify(settlement, program=program)
        return read if isinstance(read, Settlement) else None

    def receipt_of(self, program: str, coupon: CouponIds, use: EarlierUse) -> str:
        """Return the receipt of a use of a coupon."""
        return self._receipts.sign(_receipt(coupon, use.generation, use.redeemed_at), program=program)

    def _approval(
        self,
        checkout: Checkout,
        positions: Sequence[int] | None,
        decided_at: int,
        generations: Sequence[int],
        tokens: Sequence[AnsweredToken],
    ) -> Decision:
        """Return the decision that approves tokens; the settlement is signed with the key of the first token."""
        program = checkout.program
        bearers: Bearers = checkout.order.lines + checkout.order.shipping
        if positions is not None:
            bearers = [bearers[position] for position in positions]
        verdicts, settled = [], []
        discount_minor = 0
        for token, generation in zip(tokens, generations, strict=True):
            key = self._keys.signing(program, token.key_id)
            receipt = receipt_text(key, token.campaign, token.serial, generation, decided_at)
            discount = token.discount_minor
            allocations = allocations_of(token.parts, token.merchant_basis_points, bearers)
            verdicts.append(Verdict(Outcome.APPROVED, token.campaign, receipt, discount, allocations))
            line_amounts = [bearers[position].amount_minor for position, _ in token.parts]
            settled.append(
                settled_bytes(
                    token.campaign, token.serial, generation, discount, allocations, line_amounts=line_amounts
                )
            )
            discount_minor += discount
        key = self._keys.signing(program, tokens[0].key_id)
        settlement = settlement_bytes(key, checkout.order.order_id, settled)
        return Decision(Outcome.APPROVED, tuple(verdicts), decided_at, discount_minor, settlement)

    def _approval_by_coupons(self, program: str, coupons: Sequence[CouponIds], uses: Sequence[EarlierUse]) -> Decision:
        """Return the approval of a request that the ledger has forgotten, from its coupons' records.

        The records keep the outcome, the receipts and the discounts. They do not keep how the discounts were divided
        among the lines, so there is no settlement.
        """
        verdicts = tuple(
            Verdict(
                Outcome.APPROVED,
                campaign=coupon.campaign,
                redemption_id=self.receipt_of(program, coupon, use),
                discount_minor=use.discount_minor,
            )
            for coupon, use in zip(coupons, uses, strict=True)
        )
        return Decision(
            Outcome.APPROVED,
            verdicts,
            decided_at=max(use.redeemed_at for use in uses),
            discount_minor=sum(use.discount_minor for use in uses),
        )

    def refusal(
        self, program: str, coupons: Sequence[CouponIds], judged: Sequence[CouponJudgement], refused: Refused
    ) -> Decision:
        """Return the decision that refuses an order.

        Args:
            program: The program.
            coupons: The order's coupons, in the ledger's order.
            judged: The server's judgements on them, in the same order.
            refused: The ledger's reply.
        """
        genuine = [token.rank not in INVALID_RANKS for token in refused.tokens]
        if not all(genuine):
            return invalid_tokens(genuine, refused.decided_at)
        verdicts = tuple(
            self.refused_verdict(program, coupon, judgement, found, refused.try_after_ms)
            for coupon, judgement, found in zip(coupons, judged, refused.tokens, strict=True)
        )
        return refusal(verdicts, refused.decided_at)

    def refused_verdict(
        self,
        program: str,
        coupon: CouponIds,
        judged: CouponJudgement,
        refused: RefusedToken,
        try_after_ms: int | None = None,
    ) -> Verdict:
        """Return the verdict on one token of an order that is not approved as a whole.

        Args:
            program: Its program.
            coupon: The token's coupon.
            judged: The server's judgement on it.
            refused: The ledger's verdict on it.
            try_after_ms: If a velocity rule refuses it: when to try again, Unix milliseconds.
        """
        verdict = Verdict(Outcome.STACK_REJECTED, campaign=coupon.campaign)
        clock = judged.clock
        match refused.rank:
            case Outcome.APPROVED:
                return verdict
            case rank if rank == SAME_ORDER_RANK:
                return replace(
                    verdict,
                    outcome=Outcome.ALREADY_REDEEMED,
                    redemption_id=self.receipt_of(program, coupon, refused.use),
                    detail=Detail(same_order=True, redeemed_at=refused.use.redeemed_at),
                )
            case rank if rank == BUDGET_DAY_RANK:
                detail = Detail(try_after_ms=clock.day_ends_at_ms)
                return replace(verdict, outcome=Outcome.BUDGET_EXHAUSTED, detail=detail)
            case Outcome.VELOCITY_EXCEEDED:
                detail = Detail(try_after_ms=try_after_ms)
            case Outcome.ALREADY_REDEEMED:
                detail = Detail(redeemed_at=refused.use.redeemed_at)
            case Outcome.RESERVED | Outcome.RESERVATION_EXPIRED:
                detail = Detail(held_until=refused.use.redeemed_at)
            case Outcome.CUSTOMER_LIMIT | Outcome.CAMPAIGN_LIMIT | Outcome.BUDGET_EXHAUSTED if refused.use.redeemed_at:
                detail = Detail(try_after_ms=refused.use.redeemed_at * MILLISECONDS)
            case Outcome.CUSTOMER_DAY_LIMIT | Outcome.DAY_LIMIT:
                detail = Detail(try_after_ms=clock.day_ends_at_ms)
            case Outcome.SLOT_LIMIT:
                detail = Detail(try_after_ms=clock.slot_opens_at_ms)
            case rank:
                # An outcome that only the ledger found (REVOKED) has no detail.
                return replace(verdict, outcome=Outcome(rank), detail=judged.detail if rank == judged.outcome else None)
        return replace(verdict, outcome=Outcome(refused.rank), detail=detail)


def allocations_of(
    parts: Sequence[tuple[int, int]], merchant_basis_points: int, bearers: Bearers
) -> tuple[Allocation, ...]:
    """Return how a discount is divided among the lines, with the merchant's share of each part, rounded down.

    Args:
        parts: Pairs of position and amount.
        merchant_basis_points: The merchant's share of each amount.
        bearers: The order's lines and then its shipping fees, to which the positions refer.
    """
    return tuple(
        [
            Allocation(bearers[position].line_id, amount, amount * merchant_basis_points // BASIS_POINTS)
            for position, amount in parts
        ]
    )


def invalid_tokens(genuine: Sequence[bool], decided_at: int, waits_until_ms: int | None = None) -> Decision:
    """Return the decision on an order with a token that is not genuine: the same answer for every defect.

    Args:
        genuine: Of each token, whether it is.
        decided_at: When, Unix seconds.
        waits_until_ms: Until when the one who sent it is locked out, Unix milliseconds; None: it is not.
    """
    bad = invalid_verdict(waits_until_ms)
    return refusal(tuple(Verdict(Outcome.NOT_EVALUATED) if good else bad for good in genuine), decided_at)


def invalid_verdict(waits_until_ms: int | None) -> Verdict:
    """Return the verdict on a token that is not genuine, see ``invalid_tokens``."""
    if waits_until_ms is None:
        return Verdict(Outcome.TOKEN_INVALID)
    return Verdict(Outcome.VELOCITY_EXCEEDED, detail=Detail(try_after_ms=waits_until_ms))


def _receipt(coupon: CouponIds, generation: int, redeemed_at: int) -> Receipt:
    return Receipt(
        key_id=coupon.key_id,
        campaign=coupon.campaign,
        serial=coupon.serial,
        generation=generation,
        redeemed_at=redeemed_at,
    )
