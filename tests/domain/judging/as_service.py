"""The calculator's coupons as the service sees them: with genuine tokens, judged and appraised."""

from itertools import zip_longest

from builders import tokens
from builders.orders import checkout_of
from builders.times import NOW
from domain.judging import calculator

from redemption.domain.campaign.calendar import Days
from redemption.domain.judging.appraisal import Appraisal
from redemption.domain.judging.stacking import Screening, judge
from redemption.domain.ports.orders import CampaignSnapshot

NOTHING = CampaignSnapshot(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def genuine(coupon, expires_at=NOW + 1):
    """The calculator's coupon as the service sees it: with a genuine token."""
    return tokens.coupon_of(coupon.campaign, coupon.serial, offer_index=coupon.offer_index, expires_at=expires_at)


def judged(coupons, order, customer):
    """What the service says of coupons, in the calculator's words."""
    found = judge(map(genuine, coupons), checkout_of(order, customer), now_ms=NOW * 1000, days=Days())
    return [in_calculators_words(each) for each in found.coupons]


def in_calculators_words(judgement):
    detail = judgement.detail
    return calculator.Judged(
        judgement.outcome,
        judgement.discount_minor,
        dict(judgement.parts),
        detail.missing_minor if detail else 0,
        detail.missing_quantity if detail else 0,
        detail.conflicts if detail else (),
    )


def screened(coupons, order, customer, expiries=()):
    screening = Screening(checkout_of(order, customer), now_ms=NOW * 1000, days=Days())
    for coupon, expires_at in zip_longest(coupons, expiries, fillvalue=NOW + 1):
        screening.screen(genuine(coupon, expires_at))
    return screening


def appraisal_of(coupons, order, customer, expiries=(), *, with_parts=True):
    screening = screened(coupons, order, customer, expiries)
    seen = {coupon.campaign.number: NOTHING for coupon in coupons}
    return Appraisal(screening, [None] * len(coupons), seen, guest=not customer.customer_id, with_parts=with_parts)
