"""How several coupons apply to one order: which one is first, what each one takes off, and what stops it.

Coupons are applied in stages (item, merchant, platform, payment); within a stage by priority, then by campaign number,
offer, expiry and serial, so the result never depends on the order in which a caller lists them. The rules are in
``docs/rules.md``.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass

from redemption.domain.campaign.benefit import BASIS_POINTS, BuyGet, Measure
from redemption.domain.campaign.calendar import NO_CLOCK, CampaignClock, Days
from redemption.domain.campaign.campaign import Campaign, DiscountBase, ExclusivityReach, SlotLimits
from redemption.domain.decision import Detail
from redemption.domain.judging.buy_get import gives_away, missing_of_set, units_that_get_cheaper
from redemption.domain.judging.eligibility import Coupon, Moment, Refusal, judge_alone
from redemption.domain.judging.offer_match import Basket, OfferMatch
from redemption.domain.judging.pricing import Price, price
from redemption.domain.judging.units import Chosen, Units
from redemption.domain.order import Checkout
from redemption.domain.outcome import Outcome
from redemption.domain.record import record
from redemption.domain.risk.assessment import Assessment
from redemption.domain.signed.token import VerifiedToken
from redemption.domain.steps import finished

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
        parts: With APPROVED, pairs of position and amount, without amounts of 0; empty if nobody asked for them.
            Positions count the order's lines and then its shipping fees.
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
        group_missing: How many members the group lacks.
    """

    index: int
    coupon: Coupon
    matched: OfferMatch
    clock: CampaignClock
    group_missing: int

    @property
    def stack_order(self) -> tuple[int, int, int, int, int, int]:
        """The sort key for the order in which coupons are applied."""
        return stack_order(self.coupon.campaign, self.coupon.token)


def stack_order(campaign: Campaign, token: VerifiedToken) -> tuple[int, int, int, int, int, int]:
    """Return the sort key for the order in which coupons are applied; those of one offer are next to each other."""
    stacking = campaign.stacking
    return (
        stacking.stage,
        -stacking.priority,
        token.campaign,
        token.offer_index,
        token.expires_at,
        token.serial,
    )


def judge(
    coupons: Iterable[Coupon | None],
    checkout: Checkout,
    *,
    now_ms: int,
    days: Days,
    assessment: Assessment | None = None,
) -> Judgement:
    """Judge an order's coupons together at one instant.

    Args:
        coupons: The coupons in the caller's order; None for a token whose campaign does not exist.
        checkout: A well-formed checkout; its tokens are not used here.
        now_ms: The instant, Unix milliseconds.
        days: The local days of the campaigns' zones.
        assessment: What the program's rules and lists say about the order; None: there are none.
    """
    screening = Screening(checkout, now_ms=now_ms, days=days, assessment=assessment)
    for coupon in coupons:
        screening.screen(coupon)
    all_eligible = screening.eligible()
    if len(all_eligible) > 1:
        return finished(_stacked(screening))
    judged = {}
    for eligible in all_eligible:
        judged[eligible.index] = StackState(screening.basket.units).judge(eligible)
    return _judgement(screening, judged)


def judge_steps(
    coupons: Iterable[Coupon | None],
    checkout: Checkout,
    *,
    now_ms: int,
    days: Days,
    assessment: Assessment | None = None,
) -> Generator[None, None, Judgement]:
    """Do the same as ``judge``, and yield between coupons, so that other work can run."""
    screening = Screening(checkout, now_ms=now_ms, days=days, assessment=assessment)
    for coupon in coupons:
        screening.screen(coupon)
    return _stacked(screening)


def _stacked(screening: "Screening") -> Generator[None, None, Judgement]:
    judged = {}
    stack = StackState(screening.basket.units)
    all_eligible = screening.eligible()
    for eligible in all_eligible[:-1]:
        stack, judged[eligible.index] = stack.apply(eligible)
        yield
    for eligible in all_eligible[-1:]:  # nothing is applied after the last one
        judged[eligible.index] = stack.judge(eligible)
    return _judgement(screening, judged)


def _judgement(screening: "Screening", judged: Mapping[int, CouponJudgement]) -> Judgement:
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

    def __init__(self, checkout: Checkout, *, now_ms: int, days: Days, assessment: Assessment | None = None) -> None:
        self.basket = Basket(checkout.order)
        self.refused: list[CouponJudgement | None] = []
        self.moment = Moment(now_ms)
        self._checkout = checkout
        self._days = days
        self._assessment = assessment
        if assessment is not None:
            self.moment.within(assessment.since_ms, assessment.until_ms)
        self._eligible: list[EligibleCoupon] = []

    def screen(self, coupon: Coupon | None) -> None:
        """Judge one more coupon by itself and without amounts; None is a token whose campaign does not exist."""
        if coupon is None:
            self.refused.append(CouponJudgement(Outcome.TOKEN_INVALID))
            return
        clock = clock_of(coupon.campaign, self.moment, self._days)
        found = judge_alone(
            coupon, self._checkout, self.basket, moment=self.moment, days=self._days, assessment=self._assessment
        )
        if isinstance(found, Refusal):
            self.refused.append(CouponJudgement(found.outcome, clock, detail=found.detail))
        else:
            members = found.offer.conditions.min_group_size
            missing = 0 if members is None else max(members - max(self._checkout.order.group_size, 1), 0)
            self._eligible.append(EligibleCoupon(len(self.refused), coupon, found, clock, missing))
            self.refused.append(None)

    def eligible(self) -> list[EligibleCoupon]:
        """Return the coupons that were not refused, in the order in which they are applied."""
        if len(self._eligible) > 1:
            self._eligible.sort(key=lambda eligible: eligible.stack_order)
        return self._eligible


def clock_of(campaign: Campaign, moment: Moment, days: Days) -> CampaignClock:
    """Return a campaign's day and slot at a moment, whose interval ends when one of them does."""
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


def _slot(limits: SlotLimits, index: int | None) -> tuple[int, int]:
    """Return a slot's number within its day, and its limit; with carry-over, together with all earlier slots."""
    if index is None:
        return _NO_SLOT_OPEN, 0
    slots = limits.slots
    allowed = sum(slot.redemptions for slot in slots[: index + 1]) if limits.carry_over else slots[index].redemptions
    return slots[index].start_minute + 1, allowed


class StackState:
    """An order after some coupons were applied: what is left to pay, and which coupons these were.

    Nobody changes it: ``apply`` returns the next state, so that combinations can share the states they begin with. The
    units after a coupon are worked out when somebody asks for them; the search for the best combination hardly does.
    """

    # The values of the first state. Nearly all orders have one coupon, and so no other state.
    _stage = 0
    _applied: tuple[EligibleCoupon, ...] = ()
    _stage_start: "StackState | None" = None  # None: the stage began in this state
    # What lies between the earlier state and this one: a discount, or without one the start of a stage.
    _earlier: "StackState | None" = None
    _price: Price | None = None
    _shared: tuple[Chosen, Sequence[int]] | None = None
    _cost_of: tuple[int, ...] | None = None
    _cost = 0

    def __init__(
        self,
        units: Units | None,
        earlier: "StackState | None" = None,
        *,
        stage: int = 0,
        applied: tuple[EligibleCoupon, ...] = (),
        stage_start: "StackState | None" = None,
    ) -> None:
        self._units = units
        if earlier is not None:
            self._earlier = earlier
            self._stage = stage
            self._applied = applied
            self._stage_start = stage_start

    @property
    def units(self) -> Units:
        """The units now."""
        if self._units is None:
            assert self._earlier is not None, "only the first state has units from its beginning"
            units = self._earlier.units
            if self._price is None:
                self._units = units.at_stage_start()
            else:
                self._units = units.after(*(self._shared or self._price.shared(units)))
        return self._units

    def cost(self, goods: tuple[int, ...]) -> int:
        """Return what some goods have left together, minor units."""
        if goods is not self._cost_of:
            units = self._units
            self._cost_of, self._cost = goods, self._cost_after(goods) if units is None else units.cost(goods)
        return self._cost

    def _cost_after(self, goods: tuple[int, ...]) -> int:
        """Return what some goods cost after the last coupon; without the units where that can be told."""
        assert self._earlier is not None, "only the first state has units from its beginning"
        known = self._price
        if known is None or not goods or known.goods[0] > goods[-1] or known.goods[-1] < goods[0]:
            return self._earlier.cost(goods)
        if known.goods == goods:
            return self._earlier.cost(goods) - known.discount_minor
        return self.units.cost(goods)

    def judge(self, eligible: EligibleCoupon, *, with_parts: bool = True) -> CouponJudgement:
        """Judge the next coupon, on what the coupons before it left."""
        found = self.price_of(eligible)
        if isinstance(found, Refusal):
            return CouponJudgement(found.outcome, eligible.clock, detail=found.detail)
        parts = found.parts(self._units or self.units) if with_parts else ()
        share = eligible.matched.offer.merchant_basis_points
        return CouponJudgement(Outcome.APPROVED, eligible.clock, found.discount_minor, share, parts)

    def price_of(self, eligible: EligibleCoupon) -> Price | Refusal:
        """Return what the next coupon takes off, or why it takes nothing off."""
        matched = eligible.matched
        benefit, (needed_minor, needed_units, measure) = matched.offer.benefit, matched.offer.thresholds
        got = units_that_get_cheaper(benefit, matched, self.units) if isinstance(benefit, BuyGet) else None
        spend = quantity = 0
        if needed_minor or measure is Measure.SPEND:
            spend = self._spend(eligible, got)
            if spend < needed_minor:
                return Refusal(Outcome.MIN_SPEND_NOT_MET, Detail(missing_minor=needed_minor - spend))
        if needed_units or measure is Measure.UNITS:
            quantity = self._quantity(eligible, got)
        missing = needed_units - quantity
        if isinstance(benefit, BuyGet):
            missing = max(missing, missing_of_set(benefit, matched, self.units))
        if missing > 0:
            return Refusal(Outcome.MIN_QUANTITY_NOT_MET, Detail(missing_quantity=missing))
        if eligible.group_missing:
            return Refusal(Outcome.GROUP_TOO_SMALL, Detail(missing_quantity=eligible.group_missing))
        conflicts = _in_the_way(eligible, self._applied) if self._applied else ()
        if conflicts:
            return Refusal(Outcome.EXCLUSIVE_CONFLICT, Detail(conflicts=conflicts))
        found = price(matched, self, got, quantity if measure is Measure.UNITS else spend)
        return found if found.discount_minor else Refusal(Outcome.NO_EFFECT)

    def apply(self, eligible: EligibleCoupon, *, with_parts: bool = True) -> tuple["StackState", CouponJudgement]:
        """Judge the next coupon, and return the state after it; a refused coupon changes nothing."""
        found = self.price_of(eligible)
        if isinstance(found, Refusal):
            return self, CouponJudgement(found.outcome, eligible.clock, detail=found.detail)
        shared = found.shared(self.units) if with_parts else None
        parts = () if shared is None else self.units.parts(*shared)
        share = eligible.matched.offer.merchant_basis_points
        judgement = CouponJudgement(Outcome.APPROVED, eligible.clock, found.discount_minor, share, parts)
        return self.after(eligible, found, shared), judgement

    def after(
        self, eligible: EligibleCoupon, found: Price, shared: tuple[Chosen, Sequence[int]] | None = None
    ) -> "StackState":
        """Return the state after a coupon.

        Args:
            eligible: The coupon.
            found: Its price.
            shared: How its discount is shared among the units, if that is known already.
        """
        stage = eligible.coupon.campaign.stacking.stage
        if stage == self._stage:
            earlier, start = self, self._stage_start or self
        else:
            earlier = start = StackState(None, self, stage=stage, applied=self._applied)
        applied = (*self._applied, eligible)
        following = StackState(None, earlier, stage=stage, applied=applied, stage_start=start)
        following._price, following._shared = found, shared
        return following

    def stage_start(self, eligible: EligibleCoupon) -> "StackState":
        """Return the state when the stage of the next coupon began."""
        return (eligible.coupon.campaign.stacking.stage == self._stage and self._stage_start) or self

    def is_refused_by_own_gift(self, eligible: EligibleCoupon) -> bool:
        """Whether a coupon that is below its minimum would reach it if the units that it makes free itself counted."""
        benefit, (needed_minor, needed_units, _) = eligible.matched.offer.benefit, eligible.matched.offer.thresholds
        return (
            gives_away(benefit)
            and not eligible.group_missing
            and self._spend(eligible, None) >= needed_minor
            and self._quantity(eligible, None) >= needed_units
            and not missing_of_set(benefit, eligible.matched, self.units)
        )

    def _spend(self, eligible: EligibleCoupon, got: Chosen | None) -> int:
        """Return the spend of a coupon; units that it gives away itself do not count."""
        matched = eligible.matched
        start = self.stage_start(eligible) if self._applied else self
        by_list = matched.base is DiscountBase.LIST
        if by_list:
            list_totals = start.units.list_totals
            spend = sum([list_totals[kind] for kind in start.units.live(matched.goods)])
        else:
            spend = start.cost(matched.goods)
        if got is not None:
            units = self.units
            for kind, count in _given_away(eligible, got, units):
                if by_list:
                    spend -= units.list_price(kind) * count
                else:
                    spend -= units.left_at_stage_start(kind, count, start.units)
        return spend

    def _quantity(self, eligible: EligibleCoupon, got: Chosen | None) -> int:
        """Return the number of units of a coupon; units that it gives away itself do not count."""
        units = self.stage_start(eligible).units
        quantity = units.quantity(units.live(eligible.matched.goods))
        if got is not None:
            quantity -= sum([count for _, count in _given_away(eligible, got, self.units)])
        return quantity


def _given_away(eligible: EligibleCoupon, got: Chosen, units: Units) -> list[tuple[int, int]]:
    """Return kind and count of the qualifying units that buy X get Y makes free."""
    if not gives_away(eligible.matched.offer.benefit):
        return []
    both, counts = eligible.matched.both, units.counts_of(got)
    return [(kind, count) for kind, count in zip(got.kinds, counts, strict=True) if units.goods[kind] in both]


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
