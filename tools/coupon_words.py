"""How a discount came about, in one sentence of arithmetic; it must come to what the domain computed."""
# ruff: noqa: RUF001 - sums have the sign of multiplication.

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from coupon_shop import Turn

from redemption.client import format_money
from redemption.domain.campaign.benefit import (
    BASIS_POINTS,
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
from redemption.domain.campaign.campaign import DiscountBase
from redemption.domain.judging.offer_match import OfferMatch


class Explained(NamedTuple):
    """A sentence, and the discount to which it comes."""

    text: str
    off_minor: int


def arithmetic(turn: Turn) -> str:
    """Return how the discount of a coupon came about.

    Raises:
        ValueError: The sentence does not come to the discount that the domain computed.
    """
    fit = turn.eligible.matched
    text, off_minor = _Words(fit, turn.left, turn.stage_left, turn.eligible.coupon.campaign.currency_code).explained(
        fit.offer.benefit
    )
    if off_minor != turn.judged.discount_minor:
        raise ValueError(f"{text!r} comes to {off_minor}, but the discount is {turn.judged.discount_minor}")
    return text


def percent(basis_points: int) -> str:
    """Return a part as people write it."""
    return f"{basis_points / 100:g}%"


@dataclass(frozen=True, slots=True)
class _Words:
    """The words for one offer on what an order has left."""

    fit: OfferMatch
    left: tuple[int, ...]
    stage_left: tuple[int, ...]
    currency_code: str

    def explained(self, benefit: Benefit) -> Explained:
        match benefit:
            case Tiers():
                return self._tiers(benefit)
            case EveryFull():
                return self._every_full(benefit)
            case PercentOff():
                return self._part(benefit.basis_points, self._costs(), benefit.cap_minor)
            case FixedPrice():
                return self._fixed_price(benefit)
            case BuyGet():
                return self._buy_get(benefit)
            case CashVoucher():
                return self._voucher(benefit)
            case FreeShipping():
                fees = self._sum(self.left[position] for position in self.fit.fees)
                return self._capped(f"the fees to its regions are {fees.text}", fees.off_minor, benefit.cap_minor)

    def _tiers(self, benefit: Tiers) -> Explained:
        spend = self._spend()
        units = benefit.measure is Measure.UNITS
        measured = self.fit.quantity if units else spend.off_minor
        reached = [tier for tier in benefit.tiers if tier.threshold <= measured]
        given = {tier.threshold: self._given(tier, spend.off_minor) for tier in reached}
        tier = max(reached, key=lambda tier: (given[tier.threshold].off_minor, tier.threshold))
        text, off_minor = given[tier.threshold]
        if tier.price_minor is not None:
            return Explained(text, off_minor)
        found = f"{measured} units are in scope" if units else f"{spend.text} of goods are in scope"
        threshold = f"{tier.threshold}" if units else self._money(tier.threshold)
        if len(benefit.tiers) > 1:
            return Explained(f"{found}, and of the tiers reached that of {threshold} takes most off: {text}", off_minor)
        gives = f"is {threshold}:" if tier.percent_off_basis_points is not None else f"of {threshold} gives"
        return Explained(f"{found}, and the threshold {gives} {text}", off_minor)

    def _given(self, tier: Tier, spend_minor: int) -> Explained:
        if tier.price_minor is not None:
            return self._price(tier, tier.price_minor)
        if tier.percent_off_basis_points is not None:
            return self._part(tier.percent_off_basis_points, self._costs(), tier.cap_minor)
        off_minor = tier.amount_off_minor or 0
        return Explained(self._money(off_minor), min(off_minor, spend_minor))

    def _price(self, tier: Tier, price_minor: int) -> Explained:
        dearest = sorted(self._units(self.fit.goods), reverse=True)[: tier.threshold]
        together = self._sum(dearest)
        off_minor = max(together.off_minor - price_minor, 0)
        text = f"the {tier.threshold} dearest of {self.fit.quantity} units cost {together.text}; for "
        return Explained(f"{text}{self._money(price_minor)} that is {self._money(off_minor)} less", off_minor)

    def _every_full(self, benefit: EveryFull) -> Explained:
        spend = self._spend()
        times = spend.off_minor // benefit.threshold_minor
        off_minor = times * benefit.amount_off_minor
        product = f"{times} × {self._money(benefit.amount_off_minor)} = {self._money(off_minor)}"
        text = f"{spend.text} of goods hold {times} × {self._money(benefit.threshold_minor)}, and {product}"
        return self._capped(text, off_minor, benefit.cap_minor)

    def _fixed_price(self, benefit: FixedPrice) -> Explained:
        units = sorted(self._units(self.fit.goods), reverse=True)[: benefit.max_units]
        dearer = [price for price in units if price > benefit.price_minor]
        total, count, fixed = self._sum(dearer), len(dearer), self._money(benefit.price_minor)
        off_minor = total.off_minor - count * benefit.price_minor
        of = "" if count == self.fit.quantity else f" of {self.fit.quantity} units"
        if count == 1:
            text = f"one{of} costs {total.text}; for {fixed} it is {self._money(off_minor)} less"
        else:
            cost = self._money(count * benefit.price_minor)
            text = f"{count}{of or ' units'} cost {total.text}; for {count} × {fixed} = {cost} they are "
            text += f"{self._money(off_minor)} less"
        return Explained(text, off_minor)

    def _buy_get(self, benefit: BuyGet) -> Explained:
        sets = min(self.fit.sets, benefit.max_repeats)
        got = sorted(self._units(self.fit.discounted))[: sets * benefit.get_units]
        pair = f"{benefit.buy_units} to buy and {benefit.get_units} to get"
        fits = f"{sets} {'set' if sets == 1 else 'sets'} of {pair} {'is' if sets == 1 else 'are'} in the order"
        cheapest = "the cheapest one costs" if len(got) == 1 else f"the {len(got)} cheapest cost"
        start = f"{fits}; {cheapest} {self._sum(got).text}"
        if benefit.percent_off_basis_points == BASIS_POINTS:
            return Explained(f"{start}, and all of that is taken off", sum(got))
        part = self._part(benefit.percent_off_basis_points, [sum(got)], None)
        return Explained(f"{start}, and {part.text}", part.off_minor)

    def _voucher(self, benefit: CashVoucher) -> Explained:
        left = sum(self.left[position] for position in self.fit.goods)
        off_minor = min(benefit.face_minor, left)
        text = f"the face value is {self._money(benefit.face_minor)}, the goods have {self._money(left)} left"
        if off_minor < benefit.face_minor:
            text += f", so {self._money(benefit.face_minor - off_minor)} of it are forfeited"
        return Explained(text, off_minor)

    def _part(self, basis_points: int, costs: Iterable[int], cap_minor: int | None) -> Explained:
        total = self._sum(costs)
        exact = Fraction(total.off_minor * basis_points, BASIS_POINTS)
        rounded = int(exact + Fraction(1, 2))
        of = "the list amounts " if self.fit.base is DiscountBase.LIST else ""
        text = f"{percent(basis_points)} of {of}{total.text} is {self._exact(exact)}"
        if rounded != exact:
            text += f", rounded {self._money(rounded)}"
        return self._capped(text, rounded, cap_minor)

    def _capped(self, text: str, off_minor: int, cap_minor: int | None) -> Explained:
        if cap_minor is None or off_minor <= cap_minor:
            return Explained(text, off_minor)
        return Explained(f"{text}, more than the cap of {self._money(cap_minor)}", cap_minor)

    def _spend(self) -> Explained:
        """Return what thresholds look at: what was left when the stage began, or the list amounts."""
        amounts = self.fit.list_amounts if self.fit.base is DiscountBase.LIST else self.stage_left
        return self._sum(amounts[position] for position in self.fit.goods)

    def _costs(self) -> list[int]:
        """Return what a part is taken of."""
        amounts = self.fit.list_amounts if self.fit.base is DiscountBase.LIST else self.left
        return [amounts[position] for position in self.fit.goods]

    def _units(self, positions: Iterable[int]) -> list[int]:
        """Return what each unit of some lines costs: a line is shared out as evenly as minor units allow."""
        prices = []
        for position in positions:
            quantity = self.fit.quantities[position]
            cheap, dear = divmod(self.left[position], quantity)
            prices += [cheap + 1] * dear + [cheap] * (quantity - dear)
        return prices

    def _sum(self, amounts: Iterable[int]) -> Explained:
        each = list(amounts)
        total = self._money(sum(each))
        terms = " + ".join(self._money(amount) for amount in each)
        return Explained(f"{terms} = {total}" if len(each) > 1 else total, sum(each))

    def _exact(self, minor: Fraction) -> str:
        """Return a sum with all its digits; a part in basis points has four more at most."""
        whole = int(minor)
        digits = f"{int((minor - whole) * BASIS_POINTS):04}".rstrip("0")
        return self._money(whole) + digits

    def _money(self, minor: int) -> str:
        return format_money(minor, self.currency_code)
