"""How several coupons apply to one order: which one is first, what each one takes off, and what stops it.

Coupons are applied in stages (item, merchant, platform, payment); within a stage by priority, then by campaign number,
offer, expiry and serial, so the result never depends on the order in which a caller lists them. The rules are in
``docs/rules.md``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from redemption.domain.campaign.benefit import BASIS_POINTS
from redemption.domain.campaign.calendar import NO_CLOCK, CampaignClock, Days
from redemption.domain.campaign.campaign import DiscountBase, ExclusivityReach, SlotLimits
from redemption.domain.decision import Detail
from redemption.domain.judging.eligibility import Coupon, Moment, Refusal, judge_alone
from redemption.domain.judging.offer_match import Basket, OfferMatch, missing_quantity, spend_needed
from redemption.domain.judging.pricing import Price, price
from redemption.domain.order import Checkout
from redemption.domain.outcome import Outcome
from redemption.domain.record import record

SLOTS_A_DAY = 2048
"""A slot's number is its day's number times this, plus the minute at which the slot starts, counted from 1.

It comes from the start, so that a slot keeps its counter when earlier slots are added or removed.
"""
_NO_SLOT_OPEN = SLOTS_A_DAY - 1


@record(frozen=True, slots=True)
class CouponJudgement:
    """The judgement on one coupon, made without the ledger.

    Attributes:
        outcome: APPROVED, or the first refusal by precedence.
        clock: The day and slot in the campaign's zone.
        merchant_basis_points: The merchant's share of every amount.
        parts: With APPROVED, pairs of position and amount, without amounts of 0. Positions count the order's lines
            and then its shipping fees.
    """

    outcome: Outcome
    clock: CampaignClock = NO_CLOCK
    discount_minor: int = 0
    merchant_basis_points: int = 0
    parts: tuple[tuple[int, int], ...] = ()
    detail: Detail | None = None

    @property
    def merchant_minor(self) -> int:
        """The part of the discount that merchants pay: their share of each amount, rounded down."""
        basis_points = self.merchant_basis_points
        return sum([amount * basis_points // BASIS_POINTS for _, amount in self.parts]) if basis_points else 0


@record(frozen=True, slots=True)
class Judgement:
    """The judgement on an order's coupons, and the interval [since, until) of Unix milliseconds in which it holds."""

    coupons: tuple[CouponJudgement, ...]
    since_ms: int
    until_ms: int


@dataclass(slots=True, eq=False)  # nobody changes it; a frozen one takes three times as long to make
class EligibleCoupon:
    """A coupon that may be used, before amounts and other coupons are considered.

    Attributes:
        index: The index of its token in the request.
        spend_needed: The spend from which it gives anything, minor units.
        shortfall: The refusal because the order lacks units or group members, or None.
    """

    index: int
    coupon: Coupon
    matched: OfferMatch
    clock: CampaignClock
    spend_needed: int
    shortfall: Refusal | None

    @property
    def stack_order(self) -> tuple[int, int, int, int, int, int]:
        """The sort key for the order in which coupons are applied; coupons of one offer are next to each other."""
        stacking, token = self.coupon.campaign.stacking, self.coupon.token
        return (
            stacking.stage,
            -stacking.priority,
            token.campaign,
            token.offer_index,
            token.expires_at,
            token.serial,
        )


def judge(coupons: Iterable[Coupon | None], checkout: Checkout, *, now_ms: int, days: Days) -> Judgement:
    """Judge an order's coupons together at one instant.

    Args:
        coupons: The coupons in the caller's order; None for a token whose campaign does not exist.
        checkout: A well-formed checkout; its tokens are not used here.
        now_ms: The instant, Unix milliseconds.
        days: The local days of the campaigns' zones.
    """
    screening = Screening(checkout, now_ms=now_ms, days=days)
    for coupon in coupons:
        screening.screen(coupon)
    judged = {}
    stack = StackState(screening.basket)
    all_eligible = screening.eligible()
    for eligible in all_eligible[:-1]:
        stack, judged[eligible.index] = stack.apply(eligible)
    for eligible in all_eligible[-1:]:  # nothing is applied after the last one
        judged[eligible.index] = stack.judge(eligible)
    return Judgement(
        coupons=tuple([found or judged[index] for index, found in enumerate(screening.refused)]),
        since_ms=screening.moment.since_ms,
        until_ms=screening.moment.until_ms,
    )


class Screening:
    """Screens the coupons of one order: each by itself, before amounts and other coupons are considered.

    Attributes:
        refused: One entry for each coupon that was screened; None for an eligible one.
        moment: The instant, and the interval in which all of the screening holds.
    """

    def __init__(self, checkout: Checkout, *, now_ms: int, days: Days) -> None:
        self.basket = Basket(checkout.order)
        self.refused: list[CouponJudgement | None] = []
        self.moment = Moment(now_ms)
        self._checkout = checkout
        self._days = days
        self._eligible: list[EligibleCoupon] = []

    def screen(self, coupon: Coupon | None) -> None:
        """Judge one more coupon by itself and without amounts; None is a token whose campaign does not exist."""
        if coupon is None:
            self.refused.append(CouponJudgement(Outcome.TOKEN_INVALID))
            return
        clock = _clock(coupon, self.moment, self._days)
        found = judge_alone(coupon, self._checkout, self.basket, moment=self.moment, days=self._days)
        if isinstance(found, Refusal):
            self.refused.append(CouponJudgement(found.outcome, clock, detail=found.detail))
        else:
            offer = found.offer
            needed = spend_needed(offer.benefit, offer.conditions)
            shortfall = _shortfall(found)
            self._eligible.append(EligibleCoupon(len(self.refused), coupon, found, clock, needed, shortfall))
            self.refused.append(None)

    def eligible(self) -> list[EligibleCoupon]:
        """Return the coupons that were not refused, in the order in which they are applied."""
        if len(self._eligible) > 1:
            self._eligible.sort(key=lambda eligible: eligible.stack_order)
        return self._eligible


def _clock(coupon: Coupon, moment: Moment, days: Days) -> CampaignClock:
    campaign = coupon.campaign
    day = days.at(campaign.time_zone, moment.now_ms)
    moment.within(day.starts_at_ms, day.ends_at_ms)
    limits = campaign.limits.slots
    if limits is None:
        return day.clock
    span = days.span(campaign.time_zone, limits.slots, moment.now_ms)
    moment.within(span.since_ms, span.until_ms)
    number, limit = _slot(limits, span.index)
    return CampaignClock(
        day.number, day.ends_at_ms, day.number * SLOTS_A_DAY + number, limit, limits.carry_over, span.opens_at_ms
    )


def _shortfall(matched: OfferMatch) -> Refusal | None:
    missing = missing_quantity(matched)
    if missing:
        return Refusal(Outcome.MIN_QUANTITY_NOT_MET, Detail(missing_quantity=missing))
    missing = (matched.offer.conditions.min_group_size or 0) - matched.basket.order.group_size
    return Refusal(Outcome.GROUP_TOO_SMALL, Detail(missing_quantity=missing)) if missing > 0 else None


def _slot(limits: SlotLimits, index: int | None) -> tuple[int, int]:
    """Return a slot's number within its day, and its limit; with carry-over, together with all earlier slots."""
    if index is None:
        return _NO_SLOT_OPEN, 0
    slots = limits.slots
    allowed = sum(slot.redemptions for slot in slots[: index + 1]) if limits.carry_over else slots[index].redemptions
    return slots[index].start_minute + 1, allowed


class StackState:
    """An order after some coupons were applied: what is left to pay at each position, and which coupons these were.

    It does not change: ``apply`` returns the next state, so that combinations can share the states they begin with.
    """

    __slots__ = ("_applied", "_left", "_stage", "_stage_left", "basket")

    def __init__(self, basket: Basket) -> None:
        self.basket = basket
        self._left: Sequence[int] = basket.amounts
        self._stage = 0
        self._stage_left: Sequence[int] = basket.amounts
        self._applied: tuple[EligibleCoupon, ...] = ()

    def judge(self, eligible: EligibleCoupon) -> CouponJudgement:
        """Judge the next coupon, on what the coupons before it left."""
        found = self.price(eligible)
        if isinstance(found, Refusal):
            return CouponJudgement(found.outcome, eligible.clock, detail=found.detail)
        share = eligible.matched.offer.merchant_basis_points
        return CouponJudgement(Outcome.APPROVED, eligible.clock, found.discount_minor, share, found.parts())

    def price(self, eligible: EligibleCoupon) -> Price | Refusal:
        """Return what the next coupon takes off, or why it takes nothing off."""
        spend = self._spend(eligible)
        if spend < eligible.spend_needed:
            return Refusal(Outcome.MIN_SPEND_NOT_MET, Detail(missing_minor=eligible.spend_needed - spend))
        if eligible.shortfall is not None:
            return eligible.shortfall
        conflicts = _in_the_way(eligible, self._applied) if self._applied else ()
        if conflicts:
            return Refusal(Outcome.EXCLUSIVE_CONFLICT, Detail(conflicts=conflicts))
        found = price(eligible.matched, spend, self._left)
        return found if found.discount_minor else Refusal(Outcome.NO_EFFECT)

    def apply(self, eligible: EligibleCoupon) -> tuple["StackState", CouponJudgement]:
        """Judge the next coupon, and return the state after it; a refused coupon changes nothing."""
        judgement = self.judge(eligible)
        if judgement.outcome is not Outcome.APPROVED:
            return self, judgement
        return self._after(eligible, judgement.parts), judgement

    def after(self, eligible: EligibleCoupon, found: Price) -> "StackState":
        """Return the state after a coupon with this price."""
        return self._after(eligible, found.parts())

    def _after(self, eligible: EligibleCoupon, parts: Iterable[tuple[int, int]]) -> "StackState":
        left = list(self._left)
        for position, amount in parts:
            left[position] -= amount
        following = StackState(self.basket)
        stage = eligible.coupon.campaign.stacking.stage
        following._left = left
        following._stage_left = self._stage_left if stage == self._stage else self._left
        following._stage = stage
        following._applied = (*self._applied, eligible)
        return following

    def _spend(self, eligible: EligibleCoupon) -> int:
        matched = eligible.matched
        if matched.base is DiscountBase.LIST:
            amounts = matched.list_amounts
        elif eligible.coupon.campaign.stacking.stage == self._stage:
            amounts = self._stage_left
        else:
            amounts = self._left
        return sum([amounts[position] for position in matched.goods])


def _in_the_way(eligible: EligibleCoupon, applied: Sequence[EligibleCoupon]) -> tuple[int, ...]:
    """Return the indexes of the applied coupons that a coupon cannot be combined with."""
    campaign = eligible.coupon.campaign
    same, found = [], []
    for other in applied:
        if other.coupon.token.campaign == campaign.number:
            same.append(other.index)
        if other.coupon.campaign.stacking.stop_after or _share_a_group(eligible, other):
            found.append(other.index)
    if len(same) >= campaign.stacking.max_tokens_per_order:
        found += same
    return tuple(sorted(set(found))) if found else ()


def _share_a_group(eligible: EligibleCoupon, earlier: EligibleCoupon) -> bool:
    mine, other = eligible.coupon.campaign.stacking, earlier.coupon.campaign.stacking
    if not mine.exclusivity_groups or not any(group in mine.exclusivity_groups for group in other.exclusivity_groups):
        return False
    if mine.exclusivity_reach is other.exclusivity_reach is ExclusivityReach.MERCHANT:
        return not eligible.matched.merchants.isdisjoint(earlier.matched.merchants)
    return True
