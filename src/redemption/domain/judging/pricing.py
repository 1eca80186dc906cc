"""How much a benefit takes off, and how that is divided among the lines: the rules of money (``docs/rules.md``).

All amounts are whole minor units of one currency. A percentage is rounded half up, once, on the whole discount. A
discount is divided among its positions by the largest remainder method, equal remainders in the order's own sequence.
The parts sum exactly to the discount, and nothing goes below zero.
"""

from collections.abc import Sequence
from typing import NamedTuple

from redemption.domain.campaign.benefit import (
    BASIS_POINTS,
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
from redemption.domain.campaign.campaign import DiscountBase
from redemption.domain.judging.offer_match import OfferMatch


class Price(NamedTuple):
    """What a benefit would take off.

    Attributes:
        discount_minor: The whole discount; 0 when the benefit has no effect.
        positions: The positions that it is taken from.
        weights: For each of these, its proportion of the discount, which is also the most that it can bear.
    """

    discount_minor: int
    positions: Sequence[int]
    weights: Sequence[int]

    def parts(self) -> tuple[tuple[int, int], ...]:
        """Return pairs of position and amount, those that are not 0, summing to the discount."""
        if len(self.positions) == 1:
            return ((self.positions[0], self.discount_minor),) if self.discount_minor else ()
        parts = allocate(self.discount_minor, self.weights)
        return tuple([pair for pair in zip(self.positions, parts, strict=True) if pair[1]])


def price(matched: OfferMatch, spend_minor: int, left: Sequence[int]) -> Price:
    """Return what an offer takes off an order whose spend and units reach its thresholds.

    Args:
        matched: The offer on this order.
        spend_minor: The spend that is compared with its thresholds.
        left: What each position of the order has left, minor units.
    """
    benefit = matched.offer.benefit
    match benefit:
        case Tiers():
            return _best_tier(benefit, matched, spend_minor, left)
        case EveryFull():
            off = spend_minor // benefit.threshold_minor * benefit.amount_off_minor
            return _amount(_capped(off, benefit.cap_minor), matched, left)
        case PercentOff():
            return _part(benefit.basis_points, benefit.cap_minor, matched, left)
        case CashVoucher():
            return _amount(benefit.face_minor, matched, left)
        case FreeShipping():
            weights = [left[position] for position in matched.fees]
            return Price(_capped(sum(weights), benefit.cap_minor), matched.fees, weights)
        case FixedPrice():
            return _fixed_price(benefit, matched, left)
        case BuyGet():
            return _buy_get(benefit, matched, left)


def half_up(amount_minor: int, basis_points: int) -> int:
    """Return a percentage of an amount, rounded half up."""
    return _half_up(amount_minor * basis_points)


def _half_up(basis_points: int) -> int:
    return (2 * basis_points + BASIS_POINTS) // (2 * BASIS_POINTS)


def allocate(discount_minor: int, weights: Sequence[int]) -> list[int]:
    """Divide a discount in proportion to weights.

    Args:
        discount_minor: What to divide; at most the sum of the weights.
        weights: The most that each position can bear, in the order's own sequence.

    Returns:
        One part for each weight, never more than the weight; the parts sum exactly to the discount.
    """
    if len(weights) == 1:
        return [discount_minor]
    total = sum(weights)
    if not total:
        return [0] * len(weights)
    parts = [discount_minor * weight // total for weight in weights]
    short = discount_minor - sum(parts)
    if short:
        # sorted() is stable, so equal remainders keep the order's own sequence.
        by_remainder = sorted(
            range(len(parts)), key=lambda index: discount_minor * weights[index] % total, reverse=True
        )
        for index in by_remainder[:short]:
            parts[index] += 1
    return parts


def _best_tier(benefit: Tiers, matched: OfferMatch, spend_minor: int, left: Sequence[int]) -> Price:
    """Return the price of the reached tier that takes most off; of equal ones, the highest tier."""
    measured = matched.quantity if benefit.measure is Measure.UNITS else spend_minor
    if len(benefit.tiers) == 1:  # the caller has checked that it is reached
        return _tier(benefit.tiers[0], matched, left)
    reached = [_tier(tier, matched, left) for tier in reversed(benefit.tiers) if tier.threshold <= measured]
    return reached[0] if len(reached) == 1 else max(reached, key=lambda found: found.discount_minor)


def _tier(tier: Tier, matched: OfferMatch, left: Sequence[int]) -> Price:
    if tier.amount_off_minor is not None:
        return _amount(tier.amount_off_minor, matched, left)
    if tier.percent_off_basis_points is not None:
        return _part(tier.percent_off_basis_points, tier.cap_minor, matched, left)
    assert tier.price_minor is not None, "a tier gives something: the definition was checked"
    values = _value_by_position(_dearest(_runs(matched.goods, matched.quantities, left), tier.threshold))
    return Price(max(sum(values.values()) - tier.price_minor, 0), tuple(values), tuple(values.values()))


def _amount(off_minor: int, matched: OfferMatch, left: Sequence[int]) -> Price:
    weights = [left[position] for position in matched.goods]
    return Price(min(off_minor, sum(weights)), matched.goods, weights)


def _part(basis_points: int, cap_minor: int | None, matched: OfferMatch, left: Sequence[int]) -> Price:
    costs = matched.list_amounts if matched.base is DiscountBase.LIST else left
    return _part_of({position: costs[position] for position in matched.goods}, basis_points, cap_minor, matched, left)


def _part_of(
    costs: dict[int, int], basis_points: int, cap_minor: int | None, matched: OfferMatch, left: Sequence[int]
) -> Price:
    """Return a percentage of what some positions, or some of their units, cost."""
    weights = list(costs.values())
    if matched.base is not DiscountBase.LIST:
        return Price(_capped(half_up(sum(weights), basis_points), cap_minor), tuple(costs), weights)
    # A list amount may be more than what is left, so each part is capped to that before all are summed and rounded.
    exact = [min(cost * basis_points, left[position] * BASIS_POINTS) for position, cost in costs.items()]
    weights = [-(-part // BASIS_POINTS) for part in exact]
    return Price(_capped(_half_up(sum(exact)), cap_minor), tuple(costs), weights)


def _fixed_price(benefit: FixedPrice, matched: OfferMatch, left: Sequence[int]) -> Price:
    runs = _runs(matched.goods, matched.quantities, left)
    chosen = _dearest(runs, matched.quantity if benefit.max_units is None else benefit.max_units)
    above = [
        (price - benefit.price_minor, count, position)
        for price, count, position in chosen
        if price > benefit.price_minor
    ]
    values = _value_by_position(above)
    return Price(sum(values.values()), tuple(values), tuple(values.values()))


def _buy_get(benefit: BuyGet, matched: OfferMatch, left: Sequence[int]) -> Price:
    sets = min(matched.sets, benefit.max_repeats)
    amounts = matched.list_amounts if matched.base is DiscountBase.LIST else left
    got = _cheapest(
        _runs(matched.discounted, matched.quantities, amounts),
        sets * benefit.get_units,
        both=matched.both,
        both_max=matched.both_quantity - max(0, sets * benefit.buy_units - (matched.quantity - matched.both_quantity)),
    )
    return _part_of(_value_by_position(got), benefit.percent_off_basis_points, None, matched, left)


# The units of a line share its amount as evenly as whole minor units allow. A run is a number of units of one line
# that cost the same: price, count, position.


def _runs(positions: Sequence[int], quantities: Sequence[int], amounts: Sequence[int]) -> list[tuple[int, int, int]]:
    runs = []
    for position in positions:
        cheap, dear = divmod(amounts[position], quantities[position])
        if dear:
            runs.append((cheap + 1, dear, position))
        runs.append((cheap, quantities[position] - dear, position))
    return runs


def _dearest(runs: list[tuple[int, int, int]], units: int) -> list[tuple[int, int, int]]:
    runs.sort(key=lambda run: (-run[0], run[2]))
    chosen = []
    for price, count, position in runs:
        if units <= 0:
            break
        chosen.append((price, min(count, units), position))
        units -= count
    return chosen


def _cheapest(
    runs: list[tuple[int, int, int]], units: int, *, both: frozenset[int], both_max: int
) -> list[tuple[int, int, int]]:
    """Return the cheapest units, at most ``both_max`` of them from the positions in ``both``."""
    runs.sort(key=lambda run: (run[0], run[2]))
    chosen = []
    for price, count, position in runs:
        taken = min(count, units)
        if position in both:
            taken = min(taken, both_max)
            both_max -= taken
        if taken:
            chosen.append((price, taken, position))
            units -= taken
    return chosen


def _value_by_position(runs: list[tuple[int, int, int]]) -> dict[int, int]:
    """Return what the units cost together, by position in the order's own sequence."""
    values: dict[int, int] = {}
    for price, count, position in sorted(runs, key=lambda run: run[2]):
        values[position] = values.get(position, 0) + price * count
    return values


def _capped(amount_minor: int, cap_minor: int | None) -> int:
    return amount_minor if cap_minor is None else min(amount_minor, cap_minor)
