"""Buy X get Y: how many sets fit an order, and which units get cheaper (买一赠一, 第二件半价)."""

from typing import TypeGuard

from redemption.domain.campaign.benefit import BASIS_POINTS, Benefit, BuyGet
from redemption.domain.campaign.campaign import DiscountBase
from redemption.domain.judging.offer_match import OfferMatch
from redemption.domain.judging.units import Chosen, Units


def gives_away(benefit: Benefit) -> TypeGuard[BuyGet]:
    """Whether a benefit makes units free, which then do not count for its own minimum."""
    return isinstance(benefit, BuyGet) and benefit.percent_off_basis_points == BASIS_POINTS


def units_that_get_cheaper(benefit: BuyGet, matched: OfferMatch, units: Units) -> Chosen:
    """Return the cheapest units of all sets that fit; none if no set fits.

    Of the units that both qualify and can get cheaper, so many are kept back that every set can be bought.
    """
    bought, got, both = _quantities(matched, units)
    sets = min(
        bought // benefit.buy_units,
        got // benefit.get_units,
        (bought + got - both) // (benefit.buy_units + benefit.get_units),
        benefit.max_repeats,
    )
    wanted = sets * benefit.get_units
    both_max = both - max(0, sets * benefit.buy_units - (bought - both))
    price_of = units.list_price if matched.base is DiscountBase.LIST else units.left
    chosen: dict[int, int] = {}
    # sorted() is stable: between equal prices, kinds keep their own sequence.
    for kind in sorted(units.live(matched.discounted), key=price_of):
        if not wanted:
            break
        taken = min(units.counts[kind], wanted)
        if units.goods[kind] in matched.both:
            taken = min(taken, both_max)
            both_max -= taken
        if taken:
            chosen[kind] = taken
            wanted -= taken
    kinds = sorted(chosen)
    return Chosen(kinds, [chosen[kind] for kind in kinds])


def missing_of_set(benefit: BuyGet, matched: OfferMatch, units: Units) -> int:
    """Return how many more units an order needs before one set fits."""
    bought, got, both = _quantities(matched, units)
    apart = max(benefit.buy_units - bought, 0) + max(benefit.get_units - got, 0)
    together = benefit.buy_units + benefit.get_units - (bought + got - both)
    return max(apart, together, 0)


def _quantities(matched: OfferMatch, units: Units) -> tuple[int, int, int]:
    """Return how many units qualify, how many can get cheaper, and how many are both."""
    if matched.discounted is matched.goods:
        same = units.quantity(units.live(matched.goods))
        return same, same, same
    got = units.live(matched.discounted)
    both = [kind for kind in got if units.goods[kind] in matched.both]
    return units.quantity(units.live(matched.goods)), units.quantity(got), units.quantity(both)
