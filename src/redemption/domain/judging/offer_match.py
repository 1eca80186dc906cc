"""How one offer matches one order: which lines and fees are in its scope, and what they lack."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from redemption.domain.campaign.benefit import Benefit, BuyGet, EveryFull, FreeShipping, Measure, Tiers
from redemption.domain.campaign.campaign import DiscountBase, Offer
from redemption.domain.campaign.conditions import NO_CONDITIONS, Conditions, Scope
from redemption.domain.order import Order


class Basket:
    """An order as numbers: positions count its lines and then its shipping fees; amounts are minor units.

    Attributes:
        amounts: What each position costs.
    """

    __slots__ = ("_list_amounts", "_quantities", "amounts", "order")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.amounts = [line.amount_minor for line in order.lines]
        if order.shipping:
            self.amounts += [fee.amount_minor for fee in order.shipping]
        self._list_amounts: Sequence[int] | None = None
        self._quantities: Sequence[int] | None = None

    @property
    def list_amounts(self) -> Sequence[int]:
        """What each position costs at list price; for a fee, that is the fee itself."""
        if self._list_amounts is None:
            lines, fees = self.order.lines, self.order.shipping
            self._list_amounts = [line.list_amount_minor for line in lines] + [fee.amount_minor for fee in fees]
        return self._list_amounts

    @property
    def quantities(self) -> Sequence[int]:
        """How many units each position has; a fee counts as one."""
        if self._quantities is None:
            self._quantities = [line.quantity for line in self.order.lines] + [1] * len(self.order.shipping)
        return self._quantities


@dataclass(eq=False)  # without slots, because cached properties need a __dict__; nobody changes it
class OfferMatch:
    """How one offer matches one order.

    Attributes:
        goods: Positions of the lines in scope.
        base: The prices on which thresholds and percentages are computed.
    """

    offer: Offer
    base: DiscountBase
    basket: Basket
    goods: tuple[int, ...]

    @property
    def quantities(self) -> Sequence[int]:
        """Units of each position."""
        return self.basket.quantities

    @property
    def list_amounts(self) -> Sequence[int]:
        """List amount of each position, minor units."""
        return self.basket.list_amounts

    @cached_property
    def quantity(self) -> int:
        """Units in scope."""
        quantities = self.basket.quantities
        return sum([quantities[position] for position in self.goods])

    @cached_property
    def fees(self) -> tuple[int, ...]:
        """Positions of the shipping fees that free shipping reduces."""
        benefit, order = self.offer.benefit, self.basket.order
        if not isinstance(benefit, FreeShipping):
            return ()
        merchants = {"", *(order.lines[position].merchant_id for position in self.goods)}
        return tuple(
            position
            for position, fee in enumerate(order.shipping, start=len(order.lines))
            if (not benefit.regions or fee.region in benefit.regions) and fee.merchant_id in merchants
        )

    @cached_property
    def discounted(self) -> tuple[int, ...]:
        """Positions of the lines that buy X get Y makes cheaper."""
        benefit, conditions = self.offer.benefit, self.offer.conditions
        if not isinstance(benefit, BuyGet) or benefit.discounted is None:
            return self.goods
        return goods_in(self.basket.order, benefit.discounted, conditions.exclude)

    @cached_property
    def both(self) -> frozenset[int]:
        """Positions of the lines that qualify and can be discounted."""
        return frozenset(self.goods).intersection(self.discounted)

    @cached_property
    def both_quantity(self) -> int:
        """Units that qualify and can be discounted."""
        return sum(self.basket.quantities[position] for position in self.both)

    @cached_property
    def sets(self) -> int:
        """How many complete sets of buy X get Y the order has."""
        benefit = self.offer.benefit
        assert isinstance(benefit, BuyGet)
        discounted = sum(self.basket.quantities[position] for position in self.discounted)
        return min(
            self.quantity // benefit.buy_units,
            discounted // benefit.get_units,
            (self.quantity + discounted - self.both_quantity) // (benefit.buy_units + benefit.get_units),
        )

    @cached_property
    def merchants(self) -> frozenset[str]:
        """Merchants of the goods in scope."""
        lines = self.basket.order.lines
        return frozenset(lines[position].merchant_id for position in (*self.goods, *self.discounted))


def match_offer(offer: Offer, base: DiscountBase, basket: Basket) -> OfferMatch:
    """Find the lines of an order that are in an offer's scope."""
    conditions, amounts = offer.conditions, basket.amounts
    if conditions is NO_CONDITIONS:
        goods = tuple([position for position in range(len(basket.order.lines)) if amounts[position]])
    else:
        goods = goods_in(basket.order, conditions.include, conditions.exclude)
    return OfferMatch(offer, base, basket, goods)


def goods_in(order: Order, include: Scope, exclude: Scope) -> tuple[int, ...]:
    """Return the positions of the lines in scope; a line that costs nothing (a gift) is in no scope."""
    lines = order.lines
    if include.is_empty and exclude.is_empty:
        return tuple([position for position, line in enumerate(lines) if line.amount_minor])
    return tuple(
        [
            position
            for position, line in enumerate(lines)
            if line.amount_minor and include.all_match(line) and not exclude.any_matches(line)
        ]
    )


def spend_needed(benefit: Benefit, conditions: Conditions) -> int:
    """Return the spend from which an offer gives anything, in minor units."""
    needed = conditions.min_spend_minor or 0
    if isinstance(benefit, Tiers) and benefit.measure is Measure.SPEND:
        return max(needed, benefit.tiers[0].threshold)
    return max(needed, benefit.threshold_minor) if isinstance(benefit, EveryFull) else needed


def missing_quantity(matched: OfferMatch) -> int:
    """Return how many more units an order needs before an offer gives anything."""
    benefit, needed = matched.offer.benefit, matched.offer.conditions.min_quantity or 0
    if isinstance(benefit, Tiers) and benefit.measure is Measure.UNITS:
        needed = max(needed, benefit.tiers[0].threshold)
    missing = max(needed - matched.quantity, 0) if needed else 0
    return max(missing, _missing_of_set(matched, benefit)) if isinstance(benefit, BuyGet) else missing


def _missing_of_set(matched: OfferMatch, benefit: BuyGet) -> int:
    discounted = sum(matched.quantities[position] for position in matched.discounted)
    apart = max(benefit.buy_units - matched.quantity, 0) + max(benefit.get_units - discounted, 0)
    together = benefit.buy_units + benefit.get_units - (matched.quantity + discounted - matched.both_quantity)
    return max(apart, together)
