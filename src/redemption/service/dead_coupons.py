"""Judges a refused order once more, without its dead coupons: those that the ledger refuses, though they apply.

A dead coupon takes nothing and stands in nobody's way. The ledger's reply has all that this needs, so it costs no
further call. Such an order stays refused: up to its first dead coupon, nothing is judged otherwise.
"""

from collections.abc import Generator, Sequence
from dataclasses import replace

from redemption.domain.campaign.calendar import Days
from redemption.domain.judging.appraisal import Appraisal
from redemption.domain.judging.eligibility import Coupon
from redemption.domain.judging.limits import Finding
from redemption.domain.judging.stacking import CouponJudgement, Screening
from redemption.domain.outcome import Outcome
from redemption.domain.ports.orders import EarlierUse, Refused, RefusedToken
from redemption.service.decisions import INVALID_RANKS
from redemption.service.pending_order import PendingOrder

_BY_ITSELF_MAX = Outcome.RESERVED
"""Up to this rank, the ledger refuses a coupon for itself, whatever becomes of the others: it is used or revoked."""


def judged_without_dead(
    order: PendingOrder, coupons: Sequence[Coupon | None], reply: Refused, days: Days
) -> Generator[None, None, tuple[Sequence[CouponJudgement], Refused]]:
    """Return the judgements and the refusal of an order of several coupons, as they are without its dead coupons.

    It yields between coupons, so that other work can run.

    Args:
        order: The order.
        coupons: Its coupons, in the caller's order.
        reply: The ledger's refusal of it.
        days: The local days of the campaigns' zones.
    """
    ranks = dict(zip(order.ledger_order, [token.rank for token in reply.tokens], strict=True))
    if (
        not reply.campaigns
        or any(rank in INVALID_RANKS for rank in ranks.values())
        or not any(
            judged.outcome is Outcome.APPROVED and ranks[index] != Outcome.APPROVED
            for index, judged in enumerate(order.coupons)
        )
    ):
        return order.coupons, reply
    checkout = order.asked.checkout
    # Any instant in which the first judgement holds gives the same result.
    screening = Screening(checkout, now_ms=order.since_ms, days=days, assessment=order.assessment)
    for coupon in coupons:
        screening.screen(coupon)
    known = [ranks[index] if ranks[index] <= _BY_ITSELF_MAX else None for index in range(len(coupons))]
    guest = not checkout.customer.customer_id
    appraisal = Appraisal(screening, known, reply.campaigns, guest=guest, with_parts=False)
    findings = yield from appraisal.together()
    tokens = [
        RefusedToken(findings[index].rank, _in_the_way(findings[index], refused))
        for index, refused in zip(order.ledger_order, reply.tokens, strict=True)
    ]
    return [finding.judgement for finding in findings], replace(reply, tokens=tuple(tokens))


def _in_the_way(finding: Finding, refused: RefusedToken) -> EarlierUse:
    """Return the use or the hold that is in a coupon's way, see ``RefusedToken.use``."""
    return EarlierUse(finding.free_at, 0, 0) if finding.rank > _BY_ITSELF_MAX else refused.use
