"""How one offer matches one order: which goods and shipping fees are in its scope."""

from dataclasses import dataclass
from functools import cached_property

from redemption.domain.campaign.benefit import BuyGet, FreeShipping
from redemption.domain.campaign.campaign import DiscountBase, Offer
from redemption.domain.campaign.conditions import NO_CONDITIONS, Scope
from redemption.domain.judging.units import units_of
from redemption.domain.order import Order


class Basket:
    """An order as goods and units.

    Attributes:
        units: Its units before any coupon.
        first_lines: The first line of each goods; the index is the number of the goods.
        paid: The numbers of the goods that cost something in the order; gifts (赠品) cost nothing.
        size: The number of lines and shipping fees.
    """

    __slots__ = ("first_lines", "order", "paid", "size", "units")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.units, self.first_lines, self.paid = units_of(order)
        self.size = len(order.lines) + len(order.shipping)


@dataclass(eq=False)  # without slots, because cached properties need a __dict__; nobody changes it
class OfferMatch:
    """How one offer matches one order.

    Attributes:
        goods: The numbers of the goods in scope.
        base: The prices on which thresholds and percentages are computed.
    """

    offer: Offer
    base: DiscountBase
    basket: Basket
    goods: tuple[int, ...]

    @cached_property
    def fees(self) -> tuple[int, ...]:
        """The numbers of the shipping fees that free shipping reduces; each fee is goods of its own."""
        benefit, basket = self.offer.benefit, self.basket
        if not isinstance(benefit, FreeShipping):
            return ()
        merchants = {"", *(basket.first_lines[number].merchant_id for number in self.goods)}
        return tuple(
            number
            for number, fee in enumerate(basket.order.shipping, start=len(basket.first_lines))
            if (not benefit.regions or fee.region in benefit.regions) and fee.merchant_id in merchants
        )

    @cached_property
    def discounted(self) -> tuple[int, ...]:
        """The numbers of the goods that buy X get Y makes cheaper."""
        benefit = self.offer.benefit
        if not isinstance(benefit, BuyGet) or benefit.discounted is None:
            return self.goods
        return _goods_in(self.basket, benefit.discounted, self.offer.conditions.exclude, free_too=False)

    @cached_property
    def both(self) -> frozenset[int]:
        """The numbers of the goods that qualify and can be discounted."""
        return frozenset(self.goods).intersection(self.discounted)

    @cached_property
    def merchants(self) -> frozenset[str]:
        """Merchants of the goods in scope."""
        first_lines = self.basket.first_lines
        return frozenset(first_lines[number].merchant_id for number in (*self.goods, *self.discounted))


def match_offer(offer: Offer, base: DiscountBase, basket: Basket) -> OfferMatch:
    """Find the goods of an order that are in an offer's scope.

    Goods that cost nothing are in the scope of free shipping only: it looks at what is sent, not at what is paid.
    """
    conditions, free_too = offer.conditions, isinstance(offer.benefit, FreeShipping)
    if conditions is NO_CONDITIONS and not free_too:
        return OfferMatch(offer, base, basket, basket.paid)
    return OfferMatch(offer, base, basket, _goods_in(basket, conditions.include, conditions.exclude, free_too=free_too))


def _goods_in(basket: Basket, include: Scope, exclude: Scope, *, free_too: bool) -> tuple[int, ...]:
    lines = basket.first_lines
    if include.is_empty and exclude.is_empty:
        return tuple(range(len(lines))) if free_too else basket.paid
    goods = range(len(lines)) if free_too else basket.paid
    return tuple(
        [number for number in goods if include.all_match(lines[number]) and not exclude.any_matches(lines[number])]
    )
