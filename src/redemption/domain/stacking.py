"""What several coupons do to one order together: who goes first, what each takes off, what stops them.

Coupons are taken in stages (item, merchant, platform, payment); inside a stage by priority, then by campaign number,
then by serial, so the result never depends on the order in which a caller names them. A threshold is measured on what
the stages before left; a discount is taken from what is left when its turn comes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from redemption.domain.calendar import Days, LocalDay
from redemption.domain.decision import Detail
from redemption.domain.eligibility import Coupon, Moment, refusal_of
from redemption.domain.order import Order
from redemption.domain.outcome import Outcome
from redemption.domain.pricing import allocate, discount


@dataclass(frozen=True, slots=True)
class CouponJudgement:
    """What one coupon would do, as far as the ledger is not asked.

    Attributes:
        outcome: APPROVED, or the first refusal by precedence.
        day: The present day of its campaign's zone, days since 1970.
        day_ends_at_ms: When that day ends, Unix milliseconds.
        parts: With APPROVED, pairs of line index and amount, only those that are not 0.
    """

    outcome: Outcome
    day: int = 0
    day_ends_at_ms: int = 0
    discount_minor: int = 0
    parts: tuple[tuple[int, int], ...] = ()
    detail: Detail | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement on an order's coupons, and the interval [since, until) of Unix milliseconds in which it holds."""

    coupons: tuple[CouponJudgement, ...]
    since_ms: int
    until_ms: int


def judge(coupons: Sequence[Coupon], order: Order, *, guest: bool, now_ms: int, days: Days) -> Judgement:
    """Judge an order's coupons together at one instant.

    Args:
        coupons: The coupons in the caller's order.
        order: A well-formed order.
        guest: Nobody is logged in.
        now_ms: The instant, Unix milliseconds.
        days: Days of the campaigns' zones.
    """
    moment = Moment(now_ms)
    judged: list[CouponJudgement | None] = [None] * len(coupons)
    candidates: list[int] = []
    today: list[LocalDay] = []
    for index, coupon in enumerate(coupons):
        day = days.at(coupon.campaign.time_zone, now_ms)
        moment.reached(day.starts_at_ms)
        moment.reached(day.ends_at_ms)
        today.append(day)
        refused = refusal_of(coupon, order, guest=guest, moment=moment)
        if refused is None:
            candidates.append(index)
        else:
            judged[index] = _refused(refused.outcome, day, refused.detail)
    if len(candidates) > 1:
        candidates.sort(key=lambda index: _turn(coupons[index]))
    for index, judgement in _priced(candidates, coupons, order, today):
        judged[index] = judgement
    return Judgement(
        coupons=tuple(judgement for judgement in judged if judgement is not None),
        since_ms=moment.since_ms,
        until_ms=moment.until_ms,
    )


def _turn(coupon: Coupon) -> tuple[int, int, int, int]:
    stacking = coupon.campaign.stacking
    return (stacking.stage, -stacking.priority, coupon.campaign.number, coupon.token.serial)


def _priced(
    candidates: list[int], coupons: Sequence[Coupon], order: Order, today: list[LocalDay]
) -> list[tuple[int, CouponJudgement]]:
    """Price the candidates in their turn, each on what those before it left."""
    left = [line.amount_minor for line in order.lines]
    stage, stage_spend = None, 0
    used: dict[int, list[int]] = {}
    priced = []
    for index in candidates:
        coupon = coupons[index]
        stacking = coupon.campaign.stacking
        if stacking.stage is not stage:
            stage, stage_spend = stacking.stage, sum(left)
        earlier = used.setdefault(coupon.campaign.number, [])
        missing = coupon.offer.spend_needed_minor - stage_spend
        if missing > 0:
            refused, detail = Outcome.MIN_SPEND_NOT_MET, Detail(missing_minor=missing)
        elif len(earlier) >= stacking.max_tokens_per_order:
            refused, detail = Outcome.EXCLUSIVE_CONFLICT, Detail(conflicts=tuple(sorted(earlier)))
        elif off := discount(coupon.offer.benefit, sum(left)):
            parts = allocate(off, left)
            left = [amount - part for amount, part in zip(left, parts, strict=True)]
            earlier.append(index)
            priced.append((index, _approval(off, parts, today[index])))
            continue
        else:
            refused, detail = Outcome.NO_EFFECT, None
        priced.append((index, _refused(refused, today[index], detail)))
    return priced


def _refused(outcome: Outcome, day: LocalDay, detail: Detail | None) -> CouponJudgement:
    return CouponJudgement(outcome, day=day.number, day_ends_at_ms=day.ends_at_ms, detail=detail)


def _approval(off: int, parts: list[int], day: LocalDay) -> CouponJudgement:
    return CouponJudgement(
        Outcome.APPROVED,
        day=day.number,
        day_ends_at_ms=day.ends_at_ms,
        discount_minor=off,
        parts=tuple((index, part) for index, part in enumerate(parts) if part),
    )
