"""How much a benefit takes off, and how that is divided among the units: the rules of money (``docs/rules.md``).

All amounts are whole minor units of one currency. A percentage is rounded half up, once, on the whole discount. A
discount is divided among the kinds of units by the largest remainder method; between equal remainders the earlier kind
comes first. The parts sum exactly to the discount, and no unit goes below zero.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from redemption.domain.campaign.benefit import (
    BASIS_POINTS,
    BuyGet,
    CashVoucher,
    EveryFull,
    FixedPrice,
    FreeShipping,
    PercentOff,
    Tier,
    Tiers,
)
from redemption.domain.campaign.campaign import DiscountBase
from redemption.domain.judging.offer_match import OfferMatch
from redemption.domain.judging.units import Chosen, Units
from redemption.domain.order import MINOR_MAX


class Price(NamedTuple):
    """What a benefit would take off.

    Attributes:
        discount_minor: The whole discount; 0 when the benefit has no effect.
        goods: The goods that it is taken from.
        chosen: The units that bear it. None: all units of these goods, in proportion to what they have left.
        weights: For each kind of ``chosen``, its proportion of the discount, which is also the most that it can bear.
    """

    discount_minor: int
    goods: tuple[int, ...]
    chosen: Chosen | None = None
    weights: Sequence[int] = ()

    def parts(self, units: Units) -> tuple[tuple[int, int], ...]:
        """Return what each line or fee bears of it: pairs of position and amount, none of them 0."""
        if self.chosen is None and len(self.goods) == 1 and units.is_whole:
            return ((self.goods[0], self.discount_minor),)
        return units.parts(*self.shared(units))

    def shared(self, units: Units) -> tuple[Chosen, Sequence[int]]:
        """Return the units that bear the discount, and what those of each kind bear together; in all exactly that."""
        chosen, weights = self.chosen, self.weights
        if chosen is None:
            totals, chosen = units.totals, Chosen(units.live(self.goods))
            weights = [totals[kind] for kind in chosen.kinds]
        return chosen, [self.discount_minor] if len(weights) == 1 else allocate(self.discount_minor, weights)


class Priced(Protocol):
    """An order whose next coupon is priced."""

    @property
    def units(self) -> Units:
        """Its units now."""

    def cost(self, goods: tuple[int, ...]) -> int:
        """Return what some goods have left together, minor units."""


def price(matched: OfferMatch, order: Priced, got: Chosen | None, measured: int) -> Price:
    """Return what an offer takes off an order whose spend and units reach its thresholds.

    Args:
        matched: The offer on this order.
        order: The order now. Its units are only asked for where single units matter.
        got: With buy X get Y, the units that get cheaper.
        measured: What its thresholds are compared with: the spend in minor units, or the number of units.
    """
    benefit = matched.offer.benefit
    match benefit:
        case Tiers() if len(benefit.tiers) == 1:  # the caller has checked that it is reached
            return _tier(benefit.tiers[0], matched, order)
        case Tiers():
            return _best_tier(benefit, matched, order, measured)
        case EveryFull():
            off = measured // benefit.threshold_minor * benefit.amount_off_minor
            return _amount(_capped(off, benefit.cap_minor), matched.goods, order)
        case PercentOff():
            return _percent(benefit.basis_points, benefit.cap_minor, matched, order)
        case CashVoucher():
            return _amount(benefit.face_minor, matched.goods, order)
        case FreeShipping():
            return _amount(MINOR_MAX if benefit.cap_minor is None else benefit.cap_minor, matched.fees, order)
        case FixedPrice():
            return _fixed_price(benefit, matched.goods, order.units)
        case BuyGet():
            assert got is not None, "the caller chooses the units"
            return _part(benefit.percent_off_basis_points, None, matched, order.units, got)


def half_up(amount_minor: int, basis_points: int) -> int:
    """Return a percentage of an amount, rounded half up."""
    return _half_up(amount_minor * basis_points)


def _half_up(basis_points: int) -> int:
    return (2 * basis_points + BASIS_POINTS) // (2 * BASIS_POINTS)


def allocate(discount_minor: int, weights: Sequence[int]) -> list[int]:
    """Divide a discount in proportion to weights.

    Args:
        discount_minor: What to divide; at most the sum of the weights.
        weights: The most that each part can bear, in the sequence that decides between equal remainders.

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
        remainders = [discount_minor * weight % total for weight in weights]
        # sorted() is stable, so equal remainders keep their sequence.
        by_remainder = sorted(range(len(parts)), key=remainders.__getitem__, reverse=True)
        for index in by_remainder[:short]:
            parts[index] += 1
    return parts


def _best_tier(benefit: Tiers, matched: OfferMatch, order: Priced, measured: int) -> Price:
    """Return the price of the reached tier that takes most off; of equal ones, the highest tier."""
    reached = [_tier(tier, matched, order) for tier in reversed(benefit.tiers) if tier.threshold <= measured]
    return reached[0] if len(reached) == 1 else max(reached, key=lambda found: found.discount_minor)


def _tier(tier: Tier, matched: OfferMatch, order: Priced) -> Price:
    if tier.amount_off_minor is not None:
        return _amount(tier.amount_off_minor, matched.goods, order)
    if tier.percent_off_basis_points is not None:
        return _percent(tier.percent_off_basis_points, tier.cap_minor, matched, order)
    assert tier.price_minor is not None, "a tier gives something: the definition was checked"
    units = order.units
    bundle = _dearest(units, units.live(matched.goods), tier.threshold)
    weights = _totals(units.totals, units, bundle)
    return Price(max(sum(weights) - tier.price_minor, 0), matched.goods, bundle, weights)


def _amount(off_minor: int, goods: tuple[int, ...], order: Priced) -> Price:
    return Price(min(off_minor, order.cost(goods)), goods)


def _percent(basis_points: int, cap_minor: int | None, matched: OfferMatch, order: Priced) -> Price:
    """Return a percentage of what all goods in scope cost."""
    goods = matched.goods
    if matched.base is DiscountBase.LIST:
        return _part(basis_points, cap_minor, matched, order.units, Chosen(order.units.live(goods)))
    return Price(_capped(half_up(order.cost(goods), basis_points), cap_minor), goods)


def _part(basis_points: int, cap_minor: int | None, matched: OfferMatch, units: Units, chosen: Chosen) -> Price:
    """Return a percentage of what some units cost."""
    weights = _totals(units.totals, units, chosen)
    if matched.base is not DiscountBase.LIST:
        return Price(_capped(half_up(sum(weights), basis_points), cap_minor), matched.discounted, chosen, weights)
    # A list price may be more than what is left, so each unit's part is capped to that before all are summed.
    list_totals = _totals(units.list_totals, units, chosen)
    exact = [
        min(list_total * basis_points, total * BASIS_POINTS)
        for list_total, total in zip(list_totals, weights, strict=True)
    ]
    weights = [-(-part // BASIS_POINTS) for part in exact]
    return Price(_capped(_half_up(sum(exact)), cap_minor), matched.discounted, chosen, weights)


def _fixed_price(benefit: FixedPrice, goods: tuple[int, ...], units: Units) -> Price:
    above = [kind for kind in units.live(goods) if units.left(kind) > benefit.price_minor]
    chosen = Chosen(above) if benefit.max_units is None else _dearest(units, above, benefit.max_units)
    counts = units.counts_of(chosen)
    weights = [
        (units.left(kind) - benefit.price_minor) * count for kind, count in zip(chosen.kinds, counts, strict=True)
    ]
    return Price(sum(weights), goods, chosen, weights)


def _dearest(units: Units, kinds: Sequence[int], count: int) -> Chosen:
    """Return the dearest units of some kinds."""
    counts, taken = units.counts, {}
    # sorted() is stable: between equal prices, kinds keep their own sequence.
    for kind in sorted(kinds, key=units.left, reverse=True):
        if count <= 0:
            break
        taken[kind] = min(counts[kind], count)
        count -= taken[kind]
    chosen = sorted(taken)
    return Chosen(chosen, [taken[kind] for kind in chosen])


def _totals(totals: Sequence[int], units: Units, chosen: Chosen) -> list[int]:
    """Return the part of each kind's total that is that of the chosen units."""
    if chosen.counts is None:
        return [totals[kind] for kind in chosen.kinds]
    counts = units.counts
    return [totals[kind] // counts[kind] * count for kind, count in zip(chosen.kinds, chosen.counts, strict=True)]


def _capped(amount_minor: int, cap_minor: int | None) -> int:
    return amount_minor if cap_minor is None else min(amount_minor, cap_minor)
