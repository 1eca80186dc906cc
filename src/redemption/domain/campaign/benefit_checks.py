"""What a well-formed benefit is: bounds, compulsory caps, tiers that rise."""

from collections.abc import Iterator

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
from redemption.domain.campaign.condition_checks import contradictions, scope_lists
from redemption.domain.campaign.conditions import Scope
from redemption.domain.campaign.value_checks import UNITS_MAX, range_violations
from redemption.domain.errors import Violation
from redemption.domain.order import MINOR_MAX

TIERS_MAX = 20

_NO_BOUND = "is compulsory: a percentage without a cap has no bound"


def benefit_lists(benefit: Benefit, field: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Return every list of values of a benefit with its field."""
    match benefit:
        case FreeShipping(regions=regions):
            yield f"{field}.free_shipping.regions", regions
        case BuyGet(discounted=Scope() as discounted):
            yield from scope_lists(discounted, f"{field}.buy_get.discounted")


def benefit_violations(benefit: Benefit, excluded: Scope, field: str) -> Iterator[Violation]:
    """Say what is wrong with a benefit, apart from each list by itself.

    Args:
        benefit: The benefit.
        excluded: What the offer's conditions exclude.
        field: Path of the offer.
    """
    match benefit:
        case Tiers():
            yield from _tiers_violations(benefit, f"{field}.tiers")
        case EveryFull():
            yield from _every_full_violations(benefit, f"{field}.every_full")
        case PercentOff(basis_points, cap_minor):
            yield from range_violations(basis_points, f"{field}.percent_off.basis_points", 1, BASIS_POINTS)
            yield from _cap_violations(cap_minor, f"{field}.percent_off.cap_minor")
        case FreeShipping(cap_minor=cap_minor):
            yield from range_violations(cap_minor, f"{field}.free_shipping.cap_minor", 1, MINOR_MAX)
        case FixedPrice(price_minor, max_units):
            yield from range_violations(price_minor, f"{field}.fixed_price.price_minor", 0, MINOR_MAX)
            yield from range_violations(max_units, f"{field}.fixed_price.max_units", 1, UNITS_MAX)
        case BuyGet():
            yield from _buy_get_violations(benefit, excluded, f"{field}.buy_get")
        case CashVoucher(face_minor):
            yield from range_violations(face_minor, f"{field}.cash_voucher.face_minor", 1, MINOR_MAX)


def _cap_violations(cap_minor: int | None, field: str) -> Iterator[Violation]:
    """Say what is wrong with the cap of a percentage."""
    if not cap_minor:
        yield Violation(field, _NO_BOUND)
    else:
        yield from range_violations(cap_minor, field, 1, MINOR_MAX)


def _every_full_violations(benefit: EveryFull, field: str) -> Iterator[Violation]:
    yield from range_violations(benefit.threshold_minor, f"{field}.threshold_minor", 1, MINOR_MAX)
    yield from range_violations(benefit.amount_off_minor, f"{field}.amount_off_minor", 1, MINOR_MAX)
    if 1 <= benefit.threshold_minor < benefit.amount_off_minor:
        problem = f"must be at most the threshold_minor of {benefit.threshold_minor}; it is {benefit.amount_off_minor}"
        yield Violation(f"{field}.amount_off_minor", problem)
    yield from range_violations(benefit.cap_minor, f"{field}.cap_minor", 1, MINOR_MAX)
    if benefit.cap_minor and 0 < benefit.cap_minor < benefit.amount_off_minor:
        problem = f"must be at least the amount_off_minor of {benefit.amount_off_minor}; it is {benefit.cap_minor}"
        yield Violation(f"{field}.cap_minor", problem)


def _buy_get_violations(benefit: BuyGet, excluded: Scope, field: str) -> Iterator[Violation]:
    yield from range_violations(benefit.buy_units, f"{field}.buy_units", 1, UNITS_MAX)
    yield from range_violations(benefit.get_units, f"{field}.get_units", 1, UNITS_MAX)
    percent_field = f"{field}.percent_off_basis_points"
    yield from range_violations(benefit.percent_off_basis_points, percent_field, 1, BASIS_POINTS)
    yield from range_violations(benefit.max_repeats, f"{field}.max_repeats", 1, UNITS_MAX)
    if benefit.discounted is None:
        return
    if benefit.discounted.is_empty:
        problem = "names nothing; say what gets cheaper, or leave it unset for the goods that qualify"
        yield Violation(f"{field}.discounted", problem)
    yield from contradictions(benefit.discounted, excluded, f"{field}.discounted")


# Tiers


def _tiers_violations(benefit: Tiers, field: str) -> Iterator[Violation]:
    tiers, measure = benefit.tiers, benefit.measure
    if not 1 <= len(tiers) <= TIERS_MAX:
        yield Violation(f"{field}.tiers", f"must be 1 to {TIERS_MAX} tiers; there are {len(tiers)}")
        return
    least, most = (1, UNITS_MAX) if measure is Measure.UNITS else (0, MINOR_MAX)
    for index, tier in enumerate(tiers):
        here = f"{field}.tiers[{index}]"
        yield from range_violations(tier.threshold, f"{here}.threshold", least, most)
        if index and tier.threshold <= tiers[index - 1].threshold:
            problem = (
                f"must be above the {tiers[index - 1].threshold} of the tier before, because thresholds rise; "
                f"it is {tier.threshold}"
            )
            yield Violation(f"{here}.threshold", problem)
        yield from _gift_violations(tier, measure, here)
        yield from _rise_violations(tier, tiers[:index], here)


def _gift_violations(tier: Tier, measure: Measure, field: str) -> Iterator[Violation]:
    """Say what is wrong with what one tier gives."""
    amount, percent, price = tier.amount_off_minor, tier.percent_off_basis_points, tier.price_minor
    given = sum(gift is not None for gift in (amount, percent, price))
    if given != 1:
        problem = f"must give one of amount_off_minor, percent_off_basis_points and price_minor; it gives {given}"
        yield Violation(field, problem)
        return
    yield from range_violations(amount, f"{field}.amount_off_minor", 1, MINOR_MAX)
    if measure is Measure.SPEND and amount is not None and 1 <= tier.threshold < amount:
        problem = f"must be at most the threshold of {tier.threshold} (0 means none); it is {amount}"
        yield Violation(f"{field}.amount_off_minor", problem)
    yield from range_violations(percent, f"{field}.percent_off_basis_points", 1, BASIS_POINTS)
    yield from range_violations(price, f"{field}.price_minor", 0, MINOR_MAX)
    if percent is not None:
        yield from _cap_violations(tier.cap_minor, f"{field}.cap_minor")
    elif tier.cap_minor is not None:
        yield Violation(f"{field}.cap_minor", "goes with percent_off_basis_points only; leave it unset")
    if price is not None and measure is not Measure.UNITS:
        problem = "is for so many units as the threshold says, so measure must be MEASURE_UNITS"
        yield Violation(f"{field}.price_minor", problem)


def _rise_violations(tier: Tier, lower: tuple[Tier, ...], field: str) -> Iterator[Violation]:
    """Say where a tier gives no more than a lower one of its kind, so that nobody would want to reach it.

    Prices are left alone: they are for different numbers of units. So is a larger part with a smaller cap, which gives
    more for little goods.
    """
    amounts = [other.amount_off_minor for other in lower if other.amount_off_minor is not None]
    if tier.amount_off_minor is not None and amounts and tier.amount_off_minor <= max(amounts):
        problem = f"must be more than the {max(amounts)} of a lower tier; it is {tier.amount_off_minor}"
        yield Violation(f"{field}.amount_off_minor", problem)
    percent, cap_minor = tier.percent_off_basis_points, tier.cap_minor
    for other in lower:
        if percent is None or cap_minor is None or other.percent_off_basis_points is None or other.cap_minor is None:
            continue
        if percent <= other.percent_off_basis_points and cap_minor <= other.cap_minor:
            problem = (
                f"gives no more than a lower tier: raise it above {other.percent_off_basis_points} "
                f"or cap_minor above {other.cap_minor}; it is {percent}, and cap_minor is {cap_minor}"
            )
            yield Violation(f"{field}.percent_off_basis_points", problem)
            return
