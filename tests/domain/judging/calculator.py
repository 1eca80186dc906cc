"""A second calculator of docs/rules.md: slow and obvious, sharing nothing with the one that it is compared with.

It works on lists of single units and on exact fractions, and tries combinations one by one. Left out are tokens, time
and what the ledger counts: it judges as if every coupon were genuine, unused and within its days.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
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


class Unit(NamedTuple):
    """One piece of the goods in a line; sorting puts the cheapest first, equal prices by line."""

    price: int
    position: int


@dataclass
class Cart:
    """An order, and what coupons have left of it so far."""

    order: Order
    left: list[int] = field(default_factory=list)
    at_stage_start: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Nothing has been taken yet."""
        self.left = [line.amount_minor for line in self.order.lines] + [fee.amount_minor for fee in self.order.shipping]
        self.at_stage_start = list(self.left)

    def fee_positions(self) -> range:
        """Return where the shipping fees stand."""
        return range(len(self.order.lines), len(self.left))


# --- all coupons of an order ------------------------------------------------------------------------------------------


def calculate(coupons: list[Coupon], order: Order, customer: Customer) -> list[Judged]:
    """Judge coupons that are named in any order; the verdicts stand in that order.

    A coupon that is fine itself is APPROVED here, even when another one of the order is refused.
    """
    cart = Cart(order)
    judged: dict[int, Judged] = {}
    for stage in STAGES:
        cart.at_stage_start = list(cart.left)
        of_stage = [index for index, coupon in enumerate(coupons) if coupon.campaign.stacking.stage == stage]
        for index in sorted(of_stage, key=lambda index: _turn(coupons[index])):
            before = [earlier for earlier, verdict in judged.items() if verdict.outcome == Outcome.APPROVED]
            verdict = _judge(index, coupons, before, cart, customer)
            for position, amount in verdict.parts.items():
                cart.left[position] -= amount
            judged[index] = verdict
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
    discount_minor, weights = _discount(coupon, cart)
    if discount_minor == 0:
        return Judged(Outcome.NO_EFFECT)
    return Judged(Outcome.APPROVED, discount_minor, fall_on_lines(discount_minor, weights))


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
    return _lines_matching(offer.conditions.include, offer.conditions.exclude, order)


def _discounted_scope(offer: Offer, order: Order) -> list[int]:
    """Return the positions of the lines of which the goods of buy X get Y come."""
    assert isinstance(offer.benefit, BuyGet)
    if offer.benefit.discounted is None:
        return in_scope(offer, order)
    return _lines_matching(offer.benefit.discounted, offer.conditions.exclude, order)


def _lines_matching(include: Scope, exclude: Scope, order: Order) -> list[int]:
    return [
        position
        for position, line in enumerate(order.lines)
        if line.amount_minor > 0
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


def _fees_in_scope(offer: Offer, cart: Cart) -> list[int]:
    assert isinstance(offer.benefit, FreeShipping)
    found = []
    for position, fee in zip(cart.fee_positions(), cart.order.shipping, strict=True):
        to_region = not offer.benefit.regions or fee.region in offer.benefit.regions
        merchants = {cart.order.lines[line].merchant_id for line in in_scope(offer, cart.order)}
        if to_region and (not fee.merchant_id or fee.merchant_id in merchants):
            found.append(position)
    return found


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
    spend_minor, units = _spend(coupon, cart), _quantity(offer, cart.order)
    missing_minor = max(conditions.min_spend_minor or 0, _spend_needed(offer.benefit)) - spend_minor
    if missing_minor > 0:
        return Judged(Outcome.MIN_SPEND_NOT_MET, missing_minor=missing_minor)
    missing_quantity = max((conditions.min_quantity or 0) - units, _units_missing(offer, cart.order))
    if missing_quantity > 0:
        return Judged(Outcome.MIN_QUANTITY_NOT_MET, missing_quantity=missing_quantity)
    missing_members = (conditions.min_group_size or 0) - cart.order.group_size
    if missing_members > 0:
        return Judged(Outcome.GROUP_TOO_SMALL, missing_quantity=missing_members)
    return None


def _spend(coupon: Coupon, cart: Cart) -> int:
    positions = in_scope(coupon.offer, cart.order)
    if coupon.campaign.stacking.base == DiscountBase.LIST:
        return sum(cart.order.lines[position].list_amount_minor for position in positions)
    return sum(cart.at_stage_start[position] for position in positions)


def _quantity(offer: Offer, order: Order) -> int:
    return sum(order.lines[position].quantity for position in in_scope(offer, order))


def _spend_needed(benefit: Benefit) -> int:
    if isinstance(benefit, Tiers) and benefit.measure == Measure.SPEND:
        return min(tier.threshold for tier in benefit.tiers)
    return benefit.threshold_minor if isinstance(benefit, EveryFull) else 0


def _units_missing(offer: Offer, order: Order) -> int:
    """Return how many units more the benefit needs before it gives anything."""
    if isinstance(offer.benefit, Tiers) and offer.benefit.measure == Measure.UNITS:
        return min(tier.threshold for tier in offer.benefit.tiers) - _quantity(offer, order)
    if isinstance(offer.benefit, BuyGet):
        buys, gets, both = _kinds_of_units(offer, order)
        more = (
            (added_buys + added_gets + added_both)
            for added_buys in range(offer.benefit.buy_units + 1)
            for added_gets in range(offer.benefit.get_units + 1)
            for added_both in range(offer.benefit.buy_units + offer.benefit.get_units + 1)
            if _sets_fit(1, offer.benefit, (buys + added_buys, gets + added_gets, both + added_both))
        )
        return min(more)
    return 0


# --- what each benefit takes off --------------------------------------------------------------------------------------


def _discount(coupon: Coupon, cart: Cart) -> tuple[int, dict[int, int]]:
    """Return what a coupon takes off, and the weights by which it falls on positions."""
    benefit = coupon.offer.benefit
    lines = in_scope(coupon.offer, cart.order)
    left = {position: cart.left[position] for position in lines}
    match benefit:
        case Tiers():
            return _tiers(benefit, coupon, cart, left)
        case EveryFull():
            times = _spend(coupon, cart) // benefit.threshold_minor
            return _amount(times * benefit.amount_off_minor, benefit.cap_minor, left)
        case PercentOff():
            return _part(benefit.basis_points, benefit.cap_minor, _costs(coupon, cart, lines), coupon, cart)
        case CashVoucher():
            return _amount(benefit.face_minor, None, left)
        case FreeShipping():
            fees = {position: cart.left[position] for position in _fees_in_scope(coupon.offer, cart)}
            return _amount(sum(fees.values()), benefit.cap_minor, fees)
        case FixedPrice():
            dearest = _dearest(_units(cart.order, left))[: benefit.max_units]
            weights = _by_position(Unit(max(0, unit.price - benefit.price_minor), unit.position) for unit in dearest)
            return sum(weights.values()), weights
        case BuyGet():
            return _buy_get(benefit, coupon, cart)


def _amount(wanted_minor: int, cap_minor: int | None, left: dict[int, int]) -> tuple[int, dict[int, int]]:
    most = [wanted_minor, sum(left.values())] + ([] if cap_minor is None else [cap_minor])
    return min(most), left


def _tiers(benefit: Tiers, coupon: Coupon, cart: Cart, left: dict[int, int]) -> tuple[int, dict[int, int]]:
    in_units = benefit.measure == Measure.UNITS
    measured = _quantity(coupon.offer, cart.order) if in_units else _spend(coupon, cart)
    reached = sorted((tier for tier in benefit.tiers if measured >= tier.threshold), key=lambda tier: -tier.threshold)
    return max((_tier(tier, coupon, cart, left) for tier in reached), key=lambda found: found[0])


def _tier(tier: Tier, coupon: Coupon, cart: Cart, left: dict[int, int]) -> tuple[int, dict[int, int]]:
    if tier.amount_off_minor is not None:
        return _amount(tier.amount_off_minor, None, left)
    if tier.percent_off_basis_points is not None:
        costs = _costs(coupon, cart, list(left))
        return _part(tier.percent_off_basis_points, tier.cap_minor, costs, coupon, cart)
    assert tier.price_minor is not None
    weights = _by_position(_dearest(_units(cart.order, left))[: tier.threshold])
    return max(0, sum(weights.values()) - tier.price_minor), weights


def _costs(coupon: Coupon, cart: Cart, positions: list[int]) -> dict[int, int]:
    """Return of what a part is taken: what lines have left, or what they cost by the list."""
    if coupon.campaign.stacking.base == DiscountBase.LIST:
        return {position: cart.order.lines[position].list_amount_minor for position in positions}
    return {position: cart.left[position] for position in positions}


def _part(
    basis_points: int, cap_minor: int | None, costs: dict[int, int], coupon: Coupon, cart: Cart
) -> tuple[int, dict[int, int]]:
    """Return the part of some costs by position, rounded half up once and then capped, and its weights."""
    parts = {position: Fraction(cost * basis_points, WHOLE_BASIS_POINTS) for position, cost in costs.items()}
    weights = costs
    if coupon.campaign.stacking.base == DiscountBase.LIST:
        # From each line never more than it has left; so a line's part is cut before the parts are summed.
        weights = {position: min(math.ceil(part), cart.left[position]) for position, part in parts.items()}
        parts = {position: min(part, Fraction(cart.left[position])) for position, part in parts.items()}
    whole = half_up(sum(parts.values(), Fraction(0)))
    return (whole if cap_minor is None else min(whole, cap_minor)), weights


def half_up(value: Fraction) -> int:
    """Round to the nearest whole number, a half upwards; values are never negative."""
    return math.floor(value + Fraction(1, 2))


# --- units ------------------------------------------------------------------------------------------------------------


def _units(order: Order, costs: dict[int, int]) -> list[Unit]:
    """Return every single unit of some lines; the units of a line share its cost as evenly as minor units allow."""
    found = []
    for position, cost in costs.items():
        quantity = order.lines[position].quantity
        price, dearer = divmod(cost, quantity)
        found += [Unit(price + 1, position)] * dearer + [Unit(price, position)] * (quantity - dearer)
    return found


def _dearest(units: list[Unit]) -> list[Unit]:
    """Sort the dearest first; of equal prices the earlier line goes first."""
    return sorted(units, key=lambda unit: (-unit.price, unit.position))


def _by_position(units: Iterable[Unit]) -> dict[int, int]:
    sums: dict[int, int] = defaultdict(int)
    for unit in units:
        sums[unit.position] += unit.price
    return dict(sums)


# --- buy X get Y ------------------------------------------------------------------------------------------------------


def _buy_get(benefit: BuyGet, coupon: Coupon, cart: Cart) -> tuple[int, dict[int, int]]:
    cheaper = _units_that_get_cheaper(benefit, coupon, cart)
    return _part(benefit.percent_off_basis_points, None, _by_position(cheaper), coupon, cart)


def _kinds_of_units(offer: Offer, order: Order) -> tuple[int, int, int]:
    """Return how many units only qualify, only get cheaper, and do both."""
    qualifying, discounted = set(in_scope(offer, order)), set(_discounted_scope(offer, order))
    return tuple(  # type: ignore[return-value]
        sum(order.lines[position].quantity for position in positions)
        for positions in (qualifying - discounted, discounted - qualifying, qualifying & discounted)
    )


def _sets_fit(sets: int, benefit: BuyGet, kinds: tuple[int, int, int]) -> bool:
    """Whether so many sets can be laid out of these units, each unit lying in one place only."""
    buys, gets, both = kinds
    return any(
        buys + bought >= sets * benefit.buy_units and gets + both - bought >= sets * benefit.get_units
        for bought in range(both + 1)
    )


def _units_that_get_cheaper(benefit: BuyGet, coupon: Coupon, cart: Cart) -> list[Unit]:
    kinds = _kinds_of_units(coupon.offer, cart.order)
    sets = max(sets for sets in range(benefit.max_repeats + 1) if _sets_fit(sets, benefit, kinds))
    qualifying = in_scope(coupon.offer, cart.order)
    discounted = _discounted_scope(coupon.offer, cart.order)
    units = sorted(_units(cart.order, _costs(coupon, cart, discounted)))
    both = [unit for unit in units if unit.position in qualifying]
    only_cheaper = [unit for unit in units if unit.position not in qualifying]
    wanted = sets * benefit.get_units
    bought_of_both = max(0, sets * benefit.buy_units - kinds[0])
    # Every way to take some of those that are both, and the rest of the others; the cheapest units win.
    ways = [
        sorted(both[:taken] + only_cheaper[: wanted - taken])
        for taken in range(min(wanted, len(both) - bought_of_both) + 1)
        if wanted - taken <= len(only_cheaper)
    ]
    return min(ways)


# --- falling on the lines, and who pays -------------------------------------------------------------------------------


def fall_on_lines(discount_minor: int, weights: dict[int, int]) -> dict[int, int]:
    """Divide a discount in proportion to weights by largest remainder, ties by position; without zeros."""
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
    candidates = [index for index, verdict in alone.items() if verdict.outcome == Outcome.APPROVED]

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
