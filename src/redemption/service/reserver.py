"""Confirming and releasing what an order holds. Reserving itself is judged like redeeming, see ``redeemer.py``.

A confirmation asks neither the campaign nor the rules: whoever holds a coupon was judged before. Only a confirmation
that takes the coupons again, because the hold is over, needs the campaign's present day and slot.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from redemption.domain.call_info import CallInfo
from redemption.domain.campaign.calendar import Days
from redemption.domain.campaign.campaign import Campaign, CampaignState
from redemption.domain.decision import Decision, Verdict
from redemption.domain.errors import InvalidRequest, ItemFailed, ServiceError, Violation
from redemption.domain.judging.eligibility import Moment
from redemption.domain.judging.stacking import CouponJudgement, clock_of
from redemption.domain.order import id_violations, program_violations
from redemption.domain.outcome import Outcome
from redemption.domain.ports.ledger import Ledger
from redemption.domain.ports.orders import (
    Approved,
    ConfirmItem,
    Failed,
    JudgedToken,
    Mismatch,
    RedeemReply,
    Refused,
    Released,
    ReleaseItem,
    Remembered,
    RememberedByCoupons,
)
from redemption.domain.signed.digest import Digests
from redemption.domain.signed.reservation import Reservation, ReservedCoupon
from redemption.service.coupon_reader import find_campaign
from redemption.service.decisions import MILLISECONDS, DecisionWriter
from redemption.service.idempotency import canonical, identity_of
from redemption.service.judging_rounds import until_decided

HOLD_SECONDS = 15 * 60
"""How long coupons are held unless the request says otherwise."""
REACQUIRE_SECONDS_MAX = 24 * 60 * 60
"""How long after its end a reservation can be taken again: on terms of yesterday, but not of last year."""
_UNREADABLE = "a record of this reservation cannot be read; nothing was done, its operator has to look"
_AS_HELD = CouponJudgement(Outcome.APPROVED)
_RELEASED = {
    Released.NOW: Outcome.APPROVED,
    Released.NOTHING_HELD: Outcome.APPROVED,
    Released.USED: Outcome.ALREADY_REDEEMED,
    Released.MISMATCH: Outcome.IDEMPOTENCY_MISMATCH,
}


@dataclass(frozen=True, slots=True)
class ConfirmRequest:
    """A request to turn a reservation into redemptions.

    Attributes:
        reacquire: If the hold is over, take the coupons again on the same terms, if the limits allow it.
    """

    program: str
    request_id: str
    reservation_id: str
    reacquire: bool = False


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A request to give a reservation up."""

    program: str
    request_id: str
    reservation_id: str


class Reserver:
    """Confirms and releases the reservations of all programs."""

    def __init__(self, *, digests: Digests, decisions: DecisionWriter, ledger: Ledger) -> None:
        self._digests = digests
        self._decisions = decisions
        self._ledger = ledger
        self._orders = ledger.orders
        self._campaigns = ledger.campaigns
        self._days = Days()

    async def confirm(self, caller: CallInfo, request: ConfirmRequest) -> Decision:
        """Use the coupons that a reservation holds.

        Raises:
            InvalidRequest: A field is not as it must be.
        """
        reservation = self._reservation(request)
        if reservation is None:
            return Decision(Outcome.RESERVATION_NOT_FOUND, (), self._ledger.now_ms() // MILLISECONDS)
        item = self._confirmation(caller, request, reservation)
        campaigns = await self._campaigns_of(caller, request.program, reservation)
        judged: list[CouponJudgement] = []

        async def ask(now_ms: int | None) -> RedeemReply:
            if item.reacquires and now_ms is not None:  # outdated: the campaigns have changed, or it is another day
                campaigns[:] = await self._campaigns_of(caller, request.program, reservation)
            judged[:] = self._judge(item, reservation, campaigns, now_ms)
            return await self._ask(item)

        reply: RedeemReply = await until_decided(ask)
        return self._decision(request.program, reservation, judged, reply)

    async def release(self, caller: CallInfo, request: ReleaseRequest) -> Outcome:
        """End a hold before it is over. It is APPROVED also when nothing is held any more.

        Raises:
            InvalidRequest: A field is not as it must be.
        """
        reservation = self._reservation(request)
        if reservation is None:
            return Outcome.RESERVATION_NOT_FOUND
        first = reservation.coupons[0]
        await find_campaign(self._campaigns, request.program, first.campaign, caller.deadline)  # it opens the ledger
        content = canonical("release", request.reservation_id)
        identity = identity_of(self._digests.for_program(request.program), caller, request.request_id, content)
        order, terms = reservation.order, reservation.terms
        coupon = (first.campaign, first.serial, first.generation)
        item = ReleaseItem(request.program, caller, identity, order, terms, reservation.held_until, *coupon)
        reply = await self._orders.release(item)
        if isinstance(reply, Failed):
            raise ItemFailed(_UNREADABLE)
        return _RELEASED[reply]

    def _reservation(self, request: ConfirmRequest | ReleaseRequest) -> Reservation | None:
        """Return what a request's reservation id says; None when it is not one of this program."""
        violations = [*program_violations(request.program), *id_violations(request.request_id, "request_id")]
        if not request.reservation_id:
            violations.append(Violation("reservation_id", "is required: the answer to Reserve has it"))
        if violations:
            raise InvalidRequest(violations)
        return self._decisions.read_reservation(request.reservation_id, program=request.program)

    def _confirmation(self, caller: CallInfo, request: ConfirmRequest, reservation: Reservation) -> ConfirmItem:
        # Asking again with another `reacquire` is another attempt; the shop chooses a new id for it.
        content = canonical("confirm", request.reservation_id, request.reacquire)
        identity = identity_of(self._digests.for_program(request.program), caller, request.request_id, content)
        over_at = (reservation.held_until + REACQUIRE_SECONDS_MAX) * MILLISECONDS
        item = ConfirmItem(
            request.program,
            caller,
            _nobody,
            (identity.request, identity.content, reservation.order, reservation.customer),
            terms=reservation.terms,
            reserved_until=reservation.held_until,
            reacquires=request.reacquire and self._ledger.now_ms() < over_at,
            generations=tuple(coupon.generation for coupon in reservation.coupons),
        )
        item.until_ms = 2**63
        return item

    async def _campaigns_of(self, caller: CallInfo, program: str, reservation: Reservation) -> list[Campaign | None]:
        """Return the campaigns of a reservation's coupons. Reading one opens the ledger of its program."""
        numbers = {coupon.campaign for coupon in reservation.coupons}
        found = {number: await find_campaign(self._campaigns, program, number, caller.deadline) for number in numbers}
        return [found[coupon.campaign] for coupon in reservation.coupons]

    def _judge(
        self,
        item: ConfirmItem,
        reservation: Reservation,
        campaigns: Sequence[Campaign | None],
        now_ms: int | None,
    ) -> list[CouponJudgement]:
        """Store in an item what the ledger needs, and return the judgements: frozen, but for the day and slot."""
        if not item.reacquires:
            item.tokens = tuple(_judged(coupon, None, _AS_HELD) for coupon in reservation.coupons)
            return [_AS_HELD] * len(reservation.coupons)
        moment = Moment(self._ledger.now_ms() if now_ms is None else now_ms)
        judged = []
        for campaign in campaigns:
            if campaign is None:
                judged.append(CouponJudgement(Outcome.TOKEN_INVALID))
                continue
            is_gone = campaign.state is CampaignState.ARCHIVED
            clock = clock_of(campaign, moment, self._days)
            judged.append(CouponJudgement(Outcome.CAMPAIGN_ENDED if is_gone else Outcome.APPROVED, clock))
        item.since_ms, item.until_ms = moment.since_ms, moment.until_ms
        item.tokens = tuple(
            _judged(coupon, campaign, judgement)
            for coupon, campaign, judgement in zip(reservation.coupons, campaigns, judged, strict=True)
        )
        return judged

    async def _ask(self, item: ConfirmItem) -> RedeemReply:
        """Have the ledger decide."""
        replied: asyncio.Future[RedeemReply | ServiceError] = asyncio.get_running_loop().create_future()

        def put(_: ConfirmItem, reply: RedeemReply | ServiceError) -> None:
            if not replied.done():
                replied.set_result(reply)

        item.on_reply = put
        self._orders.decide(item.program, [item], rejudged=False)
        try:
            reply = await replied
        except asyncio.CancelledError:
            item.caller.gone = True
            raise
        if isinstance(reply, ServiceError):
            raise reply
        return reply

    def _decision(
        self,
        program: str,
        reservation: Reservation,
        judged: Sequence[CouponJudgement],
        reply: RedeemReply,
    ) -> Decision:
        coupons = reservation.coupons
        match reply:
            case Approved() | Remembered() | RememberedByCoupons():
                return self._decisions.confirmed(program, coupons, reply)
            case Refused():
                decision = self._decisions.refusal(program, coupons, judged, reply)
                for verdict in decision.verdicts:
                    if verdict.campaign:
                        self._orders.count_refusal(program, verdict.campaign, verdict.outcome)
                return decision
            case Mismatch(decided_at):
                verdicts = tuple(Verdict(Outcome.IDEMPOTENCY_MISMATCH, campaign=coupon.campaign) for coupon in coupons)
                return Decision(Outcome.IDEMPOTENCY_MISMATCH, verdicts, decided_at)
            case _:
                raise ItemFailed(_UNREADABLE)


def _nobody(_item: ConfirmItem, _reply: RedeemReply | ServiceError) -> None:
    """Take no reply: ``_ask`` sets who does."""


def _judged(coupon: ReservedCoupon, campaign: Campaign | None, judgement: CouponJudgement) -> JudgedToken:
    """Return a reserved coupon as the ledger reads it."""
    clock = judgement.clock
    return JudgedToken(
        campaign=coupon.campaign,
        key_id=coupon.key_id,
        serial=coupon.serial,
        discount_minor=coupon.discount_minor,
        merchant_basis_points=0,
        parts=(),
        version=campaign.version if campaign else 0,
        outcome=judgement.outcome,
        merchant_minor=coupon.merchant_minor,
        order_value_minor=coupon.order_value_minor,
        offer_index=coupon.offer_index,
        day=clock.day,
        slot=clock.slot,
        slot_limit=clock.slot_limit,
        holder_bound=coupon.holder_bound,
        slot_carries=clock.slot_carries,
    )
