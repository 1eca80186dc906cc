"""A second calculator of docs/rules.md: slow and obvious, sharing nothing with the one that it is compared with.

It works on lists of single units and on exact fractions, and tries combinations one by one. Left out are tokens, time
and what the ledger counts: it judges as if every coupon were genuine, unused and within its days.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from redemption.domain.campaign.benefit import (
    Benefit,
    BuyGet,
    CashVoucher,
    EveryFull,
    FixedPrice,
    FreeShipping,
    Measure,
    PercentOff,
    Tier,
    Tiers,
)
from redemption.domain.campaign.campaign import Campaign, DiscountBase, ExclusivityReach, Offer, Stage
from redemption.domain.campaign.conditions import Conditions, Scope
from redemption.domain.order import Customer, Line, Order
from redemption.domain.outcome import Outcome

WHOLE_BASIS_POINTS = 10_000
STAGES = (Stage.ITEM, Stage.MERCHANT, Stage.PLATFORM, Stage.PAYMENT)
COMBINATIONS_MAX = 1024
CANDIDATES_TRIED_MAX = 10


class Coupon(NamedTuple):
    """One coupon of one offer of a campaign."""

    campaign: Campaign
    offer_index: int
    serial: int

    @property
    def offer(self) -> Offer:
        """What it gives and when."""
        return self.campaign.offers[self.offer_index]


class Judged(NamedTuple):
    """What becomes of one coupon.

    Attributes:
        parts: What each position bears, only what is not zero; positions count the lines, then the shipping fees.
        conflicts: Indexes, rising, of the coupons that are in its way.
    """

    outcome: Outcome
    discount_minor: int = 0
    parts: dict[int, int] = {}  # noqa: RUF012 - nobody writes into it
    missing_minor: int = 0
    missing_quantity: int = 0
    conflicts: tuple[int, ...] = ()


class Best(NamedTuple):
    """The best combination: indexes of its coupons, rising, and what they take off together."""

    chosen: tuple[int, ...]
    discount_minor: int
    exhaustive: bool


@dataclass(eq=False)
class Unit:
    """One piece of goods, or one shipping fee.

    Attributes:
        position: Its line or fee; positions count the lines, then the shipping fees.
        goods: The position of the first line of the same goods.
        left: What it still costs.
    """

    position: int
    goods: int
    left: int
    list_price: int
    at_stage_start: int = 0

    @property
    def kind(self) -> tuple[int, int, int]:
        """What it has in common with units that are like it; sorting settles which goes first."""
        return self.goods, -self.left, -self.list_price


class Cart:
    """An order as single pieces."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.units = [unit for position in range(len(order.lines)) for unit in self._pieces(position)]
        self.fees = [
            Unit(position, position, fee.amount_minor, fee.amount_minor)
            for position, fee in enumerate(order.shipping, start=len(order.lines))
        ]

    def _pieces(self, position: int) -> list[Unit]:
        line = self.order.lines[position]
        goods = next(index for index, other in enumerate(self.order.lines) if _same_goods(other, line))
        lefts, lists = shares(line.amount_minor, line.quantity), shares(line.list_amount_minor, line.quantity)
        return [Unit(position, goods, left, by_list) for left, by_list in zip(lefts, lists, strict=True)]

    def begin_stage(self) -> None:
        """Remember what every unit costs now."""
        for unit in self.units:
            unit.at_stage_start = unit.left

    def live(self, positions: list[int]) -> list[Unit]:
        """Return the units of some lines that still cost something, in the order in which ties go."""
        found = [unit for unit in self.units if unit.position in positions and unit.left > 0]
        return sorted(found, key=lambda unit: (unit.kind, unit.position))


def _same_goods(one: Line, other: Line) -> bool:
    return (one.sku, set(one.categories), one.brand, one.merchant_id) == (
        other.sku,
        set(other.categories),
        other.brand,
        other.merchant_id,
    )


def shares(amount_minor: int, count: int) -> list[int]:
    """Share an amount as evenly as whole minor units allow, the larger shares first."""
    return [amount_minor // count + (1 if index < amount_minor % count else 0) for index in range(count)]


# --- all coupons of an order ------------------------------------------------------------------------------------------


def calculate(coupons: list[Coupon], order: Order, customer: Customer) -> list[Judged]:
    """Judge coupons that are named in any order; the verdicts stand in that order.

    A coupon that is fine itself is APPROVED here, even when another one of the order is refused.
    """
    cart = Cart(order)
    judged: dict[int, Judged] = {}
    for stage in STAGES:
        cart.begin_stage()
        of_stage = [index for index, coupon in enumerate(coupons) if coupon.campaign.stacking.stage == stage]
        for index in sorted(of_stage, key=lambda index: _turn(coupons[index])):
            before = [earlier for earlier, verdict in judged.items() if verdict.outcome == Outcome.APPROVED]
            judged[index] = _judge(index, coupons, before, cart, customer)
    return [judged[index] for index in range(len(coupons))]


def _turn(coupon: Coupon) -> tuple[int, int, int, int]:
    return -coupon.campaign.stacking.priority, coupon.campaign.number, coupon.offer_index, coupon.serial


def _judge(index: int, coupons: list[Coupon], before: list[int], cart: Cart, customer: Customer) -> Judged:
    coupon = coupons[index]
    refused = _unmet_by_order(coupon, cart.order, customer) or _unmet_by_goods(coupon, cart)
    if refused is not None:
        return refused
    conflicts = tuple(sorted(other for other in before if _in_the_way(coupons[other], coupon, before, coupons, cart)))
    if conflicts:
        return Judged(Outcome.EXCLUSIVE_CONFLICT, conflicts=conflicts)
    discount_minor, units, weigh = _discount(coupon, cart)
    if discount_minor == 0:
        return Judged(Outcome.NO_EFFECT)
    return Judged(Outcome.APPROVED, discount_minor, _take(discount_minor, units, weigh))


# --- exclusivity ------------------------------------------------------------------------------------------------------


def _in_the_way(earlier: Coupon, later: Coupon, before: list[int], coupons: list[Coupon], cart: Cart) -> bool:
    """Whether a coupon that was applied keeps a later one from being applied."""
    if earlier.campaign.stacking.stop_after:
        return True
    if earlier.campaign.number == later.campaign.number:
        of_campaign = [index for index in before if coupons[index].campaign.number == later.campaign.number]
        if len(of_campaign) >= later.campaign.stacking.max_tokens_per_order:
            return True
    one, other = earlier.campaign.stacking, later.campaign.stacking
    if not set(one.exclusivity_groups) & set(other.exclusivity_groups):
        return False
    if one.exclusivity_reach == other.exclusivity_reach == ExclusivityReach.MERCHANT:
        return bool(_merchants(earlier, cart) & _merchants(later, cart))
    return True


def _merchants(coupon: Coupon, cart: Cart) -> set[str]:
    goods = in_scope(coupon.offer, cart.order)
    if isinstance(coupon.offer.benefit, BuyGet):
        goods = goods + _discounted_scope(coupon.offer, cart.order)
    return {cart.order.lines[position].merchant_id for position in goods}


# --- scope ------------------------------------------------------------------------------------------------------------


def in_scope(offer: Offer, order: Order) -> list[int]:
    """Return the positions of the lines that an offer speaks of."""
    free_too = isinstance(offer.benefit, FreeShipping)
    return _lines_matching(offer.conditions.include, offer.conditions.exclude, order, free_too=free_too)


def _discounted_scope(offer: Offer, order: Order) -> list[int]:
    """Return the positions of the lines of which the goods of buy X get Y come."""
    assert isinstance(offer.benefit, BuyGet)
    if offer.benefit.discounted is None:
        return in_scope(offer, order)
    return _lines_matching(offer.benefit.discounted, offer.conditions.exclude, order)


def _lines_matching(include: Scope, exclude: Scope, order: Order, *, free_too: bool = False) -> list[int]:
    return [
        position
        for position, line in enumerate(order.lines)
        if (line.amount_minor > 0 or free_too)
        and all(_has_one_of(line, kind, values) for kind, values in _kinds(include) if values)
        and not any(_has_one_of(line, kind, values) for kind, values in _kinds(exclude))
    ]


def _kinds(scope: Scope) -> list[tuple[str, tuple[str, ...]]]:
    return [
        ("sku", scope.skus),
        ("category", scope.categories),
        ("brand", scope.brands),
        ("merchant", scope.merchant_ids),
    ]


def _has_one_of(line: Line, kind: str, values: tuple[str, ...]) -> bool:
    of_line = {
        "sku": [line.sku],
        "category": list(line.categories),
        "brand": [line.brand],
        "merchant": [line.merchant_id],
    }[kind]
    return any(value in values for value in of_line)


def _fees_in_scope(offer: Offer, cart: Cart) -> list[Unit]:
    assert isinstance(offer.benefit, FreeShipping)
    merchants = {cart.order.lines[line].merchant_id for line in in_scope(offer, cart.order)}
    return [
        unit
        for unit, fee in zip(cart.fees, cart.order.shipping, strict=True)
        if (not offer.benefit.regions or fee.region in offer.benefit.regions)
        and (not fee.merchant_id or fee.merchant_id in merchants)
    ]


# --- conditions -------------------------------------------------------------------------------------------------------


def _unmet_by_order(coupon: Coupon, order: Order, customer: Customer) -> Judged | None:
    """Return the first refusal that comes from who buys, and how, whatever the goods."""
    conditions = coupon.offer.conditions
    regions = {fee.region for fee in order.shipping}
    benefit = coupon.offer.benefit
    held = {
        Outcome.TIER_REQUIRED: not conditions.tiers or customer.tier in conditions.tiers,
        Outcome.SEGMENT_REQUIRED: not conditions.segments or bool(set(customer.segments) & set(conditions.segments)),
        Outcome.NEW_CUSTOMER_ONLY: not conditions.new_customer_only or customer.is_new is True,
        Outcome.CHANNEL_MISMATCH: not conditions.channels or order.channel in conditions.channels,
        Outcome.STORE_MISMATCH: not conditions.store_ids or order.store_id in conditions.store_ids,
        Outcome.REGION_MISMATCH: _regions_hold(conditions, benefit, regions),
        Outcome.PAYMENT_METHOD_MISMATCH: not conditions.payment_methods
        or order.payment_method in conditions.payment_methods,
        Outcome.CURRENCY_MISMATCH: coupon.campaign.currency_code == order.currency_code,
    }
    broken = sorted(outcome for outcome, holds in held.items() if not holds)
    return Judged(broken[0]) if broken else None


def _regions_hold(conditions: Conditions, benefit: Benefit, regions: set[str]) -> bool:
    if conditions.regions and not regions & set(conditions.regions):
        return False
    if isinstance(benefit, FreeShipping) and benefit.regions and regions:
        return bool(regions & set(benefit.regions))
    return True


def _unmet_by_goods(coupon: Coupon, cart: Cart) -> Judged | None:
    """Return the first refusal that comes from the goods in scope, or from the size of the group."""
    offer, conditions = coupon.offer, coupon.offer.conditions
    if not in_scope(offer, cart.order):
        return Judged(Outcome.SCOPE_MISMATCH)
    if isinstance(offer.benefit, BuyGet) and not _discounted_scope(offer, cart.order):
        return Judged(Outcome.SCOPE_MISMATCH)
    counting = _units_that_count(coupon, cart)
    missing_minor = max(conditions.min_spend_minor or 0, _spend_needed(offer.benefit)) - _spend(coupon, counting)
    if missing_minor > 0:
        return Judged(Outcome.MIN_SPEND_NOT_MET, missing_minor=missing_minor)
    needed = max(conditions.min_quantity or 0, _units_needed(offer.benefit))
    missing_quantity = max(needed - len(counting), _missing_of_set(offer, cart))
    if missing_quantity > 0:
        return Judged(Outcome.MIN_QUANTITY_NOT_MET, missing_quantity=missing_quantity)
    missing_members = (conditions.min_group_size or 0) - (cart.order.group_size or 1)
    if missing_members > 0:
        return Judged(Outcome.GROUP_TOO_SMALL, missing_quantity=missing_members)
    return None


def _units_that_count(coupon: Coupon, cart: Cart) -> list[Unit]:
    """Return the units that thresholds look at: live when the stage began, and not given away by the coupon itself."""
    positions = in_scope(coupon.offer, cart.order)
    counting = [unit for unit in cart.units if unit.position in positions and unit.at_stage_start > 0]
    benefit = coupon.offer.benefit
    if isinstance(benefit, BuyGet) and benefit.percent_off_basis_points == WHOLE_BASIS_POINTS:
        given = [unit.kind for unit in _units_that_get_cheaper(benefit, coupon, cart) if unit.position in positions]
        # Units of a kind are interchangeable: those that cost more when the stage began are given away first.
        for unit in sorted(counting, key=lambda unit: -unit.at_stage_start):
            if unit.kind in given:
                given.remove(unit.kind)
                counting.remove(unit)
    return counting


def _spend(coupon: Coupon, units: list[Unit]) -> int:
    by_list = coupon.campaign.stacking.base == DiscountBase.LIST
    return sum(unit.list_price if by_list else unit.at_stage_start for unit in units)


def _spend_needed(benefit: Benefit) -> int:
    if isinstance(benefit, Tiers) and benefit.measure == Measure.SPEND:
        return min(tier.threshold for tier in benefit.tiers)
    return benefit.threshold_minor if isinstance(benefit, EveryFull) else 0


def _units_needed(benefit: Benefit) -> int:
    if isinstance(benefit, Tiers) and benefit.measure == Measure.UNITS:
        return min(tier.threshold for tier in benefit.tiers)
    return 0


def _missing_of_set(offer: Offer, cart: Cart) -> int:
    """Return how many units more buy X get Y needs before one set fits."""
    if not isinstance(offer.benefit, BuyGet):
        return 0
    buys, gets, both = _kinds_of_units(offer, cart)
    return min(
        added_buys + added_gets + added_both
        for added_buys in range(offer.benefit.buy_units + 1)
        for added_gets in range(offer.benefit.get_units + 1)
        for added_both in range(offer.benefit.buy_units + offer.benefit.get_units + 1)
        if _sets_fit(1, offer.benefit, (buys + added_buys, gets + added_gets, both + added_both))
    )


# --- what each benefit takes off --------------------------------------------------------------------------------------


Weigh = Callable[[list[Unit]], int]
"""What the units of one kind weigh together when a discount is shared among kinds."""
Found = tuple[int, list[Unit], Weigh]
"""A discount, the units that bear it, and their weights."""


def _by_left(units: list[Unit]) -> int:
    return sum(unit.left for unit in units)


def _discount(coupon: Coupon, cart: Cart) -> Found:
    """Return what a coupon takes off, from which units, and by which weights."""
    benefit = coupon.offer.benefit
    units = cart.live(in_scope(coupon.offer, cart.order))
    match benefit:
        case Tiers():
            return _tiers(benefit, coupon, cart, units)
        case EveryFull():
            times = _spend(coupon, _units_that_count(coupon, cart)) // benefit.threshold_minor
            return _amount(times * benefit.amount_off_minor, benefit.cap_minor, units)
        case PercentOff():
            return _part(benefit.basis_points, benefit.cap_minor, units, coupon)
        case CashVoucher():
            return _amount(benefit.face_minor, None, units)
        case FreeShipping():
            fees = [fee for fee in _fees_in_scope(coupon.offer, cart) if fee.left > 0]
            return _amount(_by_left(fees), benefit.cap_minor, fees)
        case FixedPrice():
            above = [unit for unit in _dearest(units)[: benefit.max_units] if unit.left > benefit.price_minor]
            return (
                _by_left(above) - len(above) * benefit.price_minor,
                above,
                lambda of_kind: _by_left(of_kind) - len(of_kind) * benefit.price_minor,
            )
        case BuyGet():
            got = _units_that_get_cheaper(benefit, coupon, cart)
            return _part(benefit.percent_off_basis_points, None, got, coupon)


def _amount(wanted_minor: int, cap_minor: int | None, units: list[Unit]) -> Found:
    most = [wanted_minor, _by_left(units)] + ([] if cap_minor is None else [cap_minor])
    return min(most), units, _by_left


def _tiers(benefit: Tiers, coupon: Coupon, cart: Cart, units: list[Unit]) -> Found:
    counting = _units_that_count(coupon, cart)
    measured = len(counting) if benefit.measure == Measure.UNITS else _spend(coupon, counting)
    reached = sorted((tier for tier in benefit.tiers if measured >= tier.threshold), key=lambda tier: -tier.threshold)
    return max((_tier(tier, coupon, units) for tier in reached), key=lambda found: found[0])


def _tier(tier: Tier, coupon: Coupon, units: list[Unit]) -> Found:
    if tier.amount_off_minor is not None:
        return _amount(tier.amount_off_minor, None, units)
    if tier.percent_off_basis_points is not None:
        return _part(tier.percent_off_basis_points, tier.cap_minor, units, coupon)
    assert tier.price_minor is not None
    bundle = _dearest(units)[: tier.threshold]
    return max(0, _by_left(bundle) - tier.price_minor), bundle, _by_left


def _part(basis_points: int, cap_minor: int | None, units: list[Unit], coupon: Coupon) -> Found:
    """Return the part of what units cost, rounded half up once and then capped."""

    def exact(some: list[Unit]) -> Fraction:
        if coupon.campaign.stacking.base == DiscountBase.LIST:
            parts = (min(Fraction(unit.list_price * basis_points, WHOLE_BASIS_POINTS), unit.left) for unit in some)
            return sum(parts, Fraction(0))
        return Fraction(_by_left(some) * basis_points, WHOLE_BASIS_POINTS)

    def weigh(of_kind: list[Unit]) -> int:
        return math.ceil(exact(of_kind)) if coupon.campaign.stacking.base == DiscountBase.LIST else _by_left(of_kind)

    whole = half_up(exact(units))
    return (whole if cap_minor is None else min(whole, cap_minor)), units, weigh


def half_up(value: Fraction) -> int:
    """Round to the nearest whole number, a half upwards; values are never negative."""
    return math.floor(value + Fraction(1, 2))


def _dearest(units: list[Unit]) -> list[Unit]:
    """Sort the dearest first; ties as everywhere."""
    return sorted(units, key=lambda unit: (-unit.left, unit.kind, unit.position))


# --- buy X get Y ------------------------------------------------------------------------------------------------------


def _kinds_of_units(offer: Offer, cart: Cart) -> tuple[int, int, int]:
    """Return how many live units only qualify, only get cheaper, and do both."""
    qualifying, discounted = set(in_scope(offer, cart.order)), set(_discounted_scope(offer, cart.order))
    return (
        len(cart.live(list(qualifying - discounted))),
        len(cart.live(list(discounted - qualifying))),
        len(cart.live(list(qualifying & discounted))),
    )


def _sets_fit(sets: int, benefit: BuyGet, kinds: tuple[int, int, int]) -> bool:
    """Whether so many sets can be laid out of these units, each unit lying in one place only."""
    buys, gets, both = kinds
    return any(
        buys + bought >= sets * benefit.buy_units and gets + both - bought >= sets * benefit.get_units
        for bought in range(both + 1)
    )


def _units_that_get_cheaper(benefit: BuyGet, coupon: Coupon, cart: Cart) -> list[Unit]:
    kinds = _kinds_of_units(coupon.offer, cart)
    sets = max(sets for sets in range(benefit.max_repeats + 1) if _sets_fit(sets, benefit, kinds))
    qualifying = in_scope(coupon.offer, cart.order)
    by_list = coupon.campaign.stacking.base == DiscountBase.LIST

    def cheapness(unit: Unit) -> tuple[int, tuple[int, int, int], int]:
        return (unit.list_price if by_list else unit.left), unit.kind, unit.position

    units = sorted(cart.live(_discounted_scope(coupon.offer, cart.order)), key=cheapness)
    both = [unit for unit in units if unit.position in qualifying]
    only_cheaper = [unit for unit in units if unit.position not in qualifying]
    wanted = sets * benefit.get_units
    bought_of_both = max(0, sets * benefit.buy_units - kinds[0])
    # Every way to take some of those that are both, and the rest of the others; the cheapest units win.
    ways = [
        sorted(both[:taken] + only_cheaper[: wanted - taken], key=cheapness)
        for taken in range(min(wanted, len(both) - bought_of_both) + 1)
        if wanted - taken <= len(only_cheaper)
    ]
    return min(ways, key=lambda way: [cheapness(unit) for unit in way])


# --- falling on units and lines, and who pays ------------------------------------------------------------------------


def _take(discount_minor: int, units: list[Unit], weigh: Weigh) -> dict[int, int]:
    """Take a discount off units: by weight from each kind, evenly inside a kind; returns it by position."""
    kinds: dict[tuple[int, int, int], list[Unit]] = defaultdict(list)
    for unit in sorted(units, key=lambda unit: (unit.kind, unit.position)):
        kinds[unit.kind].append(unit)
    of_kinds = list(kinds.values())
    by_kind = by_largest_remainder(discount_minor, dict(enumerate(map(weigh, of_kinds))))
    parts: dict[int, int] = defaultdict(int)
    for index, of_kind in enumerate(of_kinds):
        for unit, off in zip(of_kind, shares(by_kind.get(index, 0), len(of_kind)), strict=True):
            unit.left -= off
            parts[unit.position] += off
    return {position: part for position, part in sorted(parts.items()) if part}


def by_largest_remainder(discount_minor: int, weights: dict[int, int]) -> dict[int, int]:
    """Divide a discount in proportion to weights by largest remainder, ties by key; without zeros."""
    total = sum(weights.values())
    exact = {position: Fraction(discount_minor * weight, total) for position, weight in weights.items()}
    parts = {position: math.floor(share) for position, share in exact.items()}
    by_remainder = sorted(exact, key=lambda position: (parts[position] - exact[position], position))
    for position in by_remainder[: discount_minor - sum(parts.values())]:
        parts[position] += 1
    return {position: part for position, part in sorted(parts.items()) if part}


def merchant_shares(parts: dict[int, int], merchant_basis_points: int) -> dict[int, int]:
    """Return what the merchant pays of every part, rounded down; the sponsor pays the rest."""
    return {
        position: math.floor(Fraction(amount * merchant_basis_points, WHOLE_BASIS_POINTS))
        for position, amount in parts.items()
    }


# --- the best combination ---------------------------------------------------------------------------------------------


def best(coupons: list[Coupon], order: Order, customer: Customer, limit: int = COMBINATIONS_MAX) -> Best:
    """Find the combination with the largest discount by trying them, all of them while there are at most ``limit``."""
    alone = {index: calculate([coupon], order, customer)[0] for index, coupon in enumerate(coupons)}
    candidates = [
        index
        for index, verdict in alone.items()
        if verdict.outcome == Outcome.APPROVED or _only_its_gift_is_in_the_way(coupons[index], order, customer)
    ]

    def total(chosen: tuple[int, ...]) -> int:
        """Return what coupons take off together; less than nothing if one of them is refused."""
        verdicts = calculate([coupons[index] for index in chosen], order, customer)
        approved = all(verdict.outcome == Outcome.APPROVED for verdict in verdicts)
        return sum(verdict.discount_minor for verdict in verdicts) if approved else -1

    def standing(chosen: tuple[int, ...]) -> tuple[int, int, list[tuple[int, int]]]:
        named = sorted((coupons[index].campaign.number, coupons[index].serial) for index in chosen)
        return -total(chosen), len(chosen), named

    if _number_of_combinations(candidates, coupons) <= limit:
        chosen = min(_combinations(candidates, coupons), key=standing)
        return Best(tuple(sorted(chosen)), total(chosen), exhaustive=True)

    def alone_first(index: int) -> tuple[int, int, int]:
        return -alone[index].discount_minor, coupons[index].campaign.number, coupons[index].serial

    ranked = sorted(candidates, key=alone_first)
    chosen = min(_combinations(ranked[:CANDIDATES_TRIED_MAX], coupons), key=standing)
    for index in ranked[CANDIDATES_TRIED_MAX:]:
        if total((*chosen, index)) > total(chosen):
            chosen = (*chosen, index)
    return Best(tuple(sorted(chosen)), total(chosen), exhaustive=False)


def _only_its_gift_is_in_the_way(coupon: Coupon, order: Order, customer: Customer) -> bool:
    """Whether a coupon that gives units away would do something if these counted for its minimum.

    They do when they are not quite free.
    """
    benefit = coupon.offer.benefit
    if not isinstance(benefit, BuyGet) or benefit.percent_off_basis_points < WHOLE_BASIS_POINTS:
        return False
    offers = list(coupon.campaign.offers)
    not_free = replace(benefit, percent_off_basis_points=WHOLE_BASIS_POINTS - 1)
    offers[coupon.offer_index] = replace(coupon.offer, benefit=not_free)
    campaign = replace(coupon.campaign, offers=tuple(offers))
    (found,) = calculate([coupon._replace(campaign=campaign)], order, customer)
    return found.outcome in (Outcome.APPROVED, Outcome.NO_EFFECT)


def _combinations(tried: list[int], coupons: list[Coupon]) -> list[tuple[int, ...]]:
    """Return every set of some coupons; of more than ten, only those that take the smaller serials first."""
    if len(tried) <= CANDIDATES_TRIED_MAX:
        sizes = range(len(tried) + 1)
        return list(itertools.chain.from_iterable(itertools.combinations(tried, size) for size in sizes))
    of_offers = _by_offer(tried, coupons)
    counts = itertools.product(*(range(len(members) + 1) for members in of_offers))
    return [
        tuple(index for members, taken in zip(of_offers, count, strict=True) for index in members[:taken])
        for count in counts
    ]


def _number_of_combinations(candidates: list[int], coupons: list[Coupon]) -> int:
    return math.prod(len(members) + 1 for members in _by_offer(candidates, coupons))


def _by_offer(candidates: list[int], coupons: list[Coupon]) -> list[list[int]]:
    """Return the candidates of every offer, the smaller serials first."""
    of_offer: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index in sorted(candidates, key=lambda index: coupons[index].serial):
        of_offer[coupons[index].campaign.number, coupons[index].offer_index].append(index)
    return list(of_offer.values())
