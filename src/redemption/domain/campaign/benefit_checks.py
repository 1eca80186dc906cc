"""Checks whether a benefit is well formed: bounds, required caps, rising tiers."""

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
from redemption.domain.campaign.value_checks import (
    UNITS_MAX,
    count_violation,
    dependent_violation,
    range_violations,
)
from redemption.domain.errors import OtherField, Violation, ViolationReason
from redemption.domain.order import MINOR_MAX

TIERS_MAX = 20

_NO_BOUND = "is compulsory: a percentage without a cap has no bound"


def benefit_lists(benefit: Benefit, field: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each list of values of a benefit, after the path of its field."""
    match benefit:
        case FreeShipping(regions=regions):
            yield f"{field}.free_shipping.regions", regions
        case BuyGet(discounted=Scope() as discounted):
            yield from scope_lists(discounted, f"{field}.buy_get.discounted")


def benefit_violations(benefit: Benefit, excluded: Scope, field: str) -> Iterator[Violation]:
    """Yield what is wrong with a benefit, except within its lists of values.

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
            yield from _buy_get_violations(benefit, f"{field}.buy_get", excluded, f"{field}.conditions.exclude")
        case CashVoucher(face_minor):
            yield from range_violations(face_minor, f"{field}.cash_voucher.face_minor", 1, MINOR_MAX)


def _cap_violations(cap_minor: int | None, field: str) -> Iterator[Violation]:
    """Yield what is wrong with the cap of a percentage."""
    if not cap_minor:
        yield Violation(field, _NO_BOUND, ViolationReason.REQUIRED)
    else:
        yield from range_violations(cap_minor, field, 1, MINOR_MAX)


def _every_full_violations(benefit: EveryFull, field: str) -> Iterator[Violation]:
    threshold, amount, cap = benefit.threshold_minor, benefit.amount_off_minor, benefit.cap_minor
    yield from range_violations(threshold, f"{field}.threshold_minor", 1, MINOR_MAX)
    yield from range_violations(amount, f"{field}.amount_off_minor", 1, MINOR_MAX)
    if 1 <= threshold < amount:
        problem = f"must be at most the threshold_minor of {threshold}; it is {amount}"
        other = OtherField(f"{field}.threshold_minor", threshold)
        reason = ViolationReason.MORE_THAN_OTHER
        yield dependent_violation(f"{field}.amount_off_minor", problem, reason, other, given=amount)
    yield from range_violations(cap, f"{field}.cap_minor", 1, MINOR_MAX)
    if cap and 0 < cap < amount:
        problem = f"must be at least the amount_off_minor of {amount}; it is {cap}"
        other = OtherField(f"{field}.amount_off_minor", amount)
        yield dependent_violation(f"{field}.cap_minor", problem, ViolationReason.LESS_THAN_OTHER, other, given=cap)


def _buy_get_violations(benefit: BuyGet, field: str, excluded: Scope, excluded_field: str) -> Iterator[Violation]:
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
    yield from contradictions(benefit.discounted, f"{field}.discounted", excluded, excluded_field)


# Tiers


def _tiers_violations(benefit: Tiers, field: str) -> Iterator[Violation]:
    tiers, measure = benefit.tiers, benefit.measure
    if not 1 <= len(tiers) <= TIERS_MAX:
        problem = f"must be 1 to {TIERS_MAX} tiers; there are {len(tiers)}"
        yield count_violation(f"{field}.tiers", problem, count=len(tiers), least=1, most=TIERS_MAX)
        return
    least, most = (1, UNITS_MAX) if measure is Measure.UNITS else (0, MINOR_MAX)
    for index, tier in enumerate(tiers):
        here = f"{field}.tiers[{index}]"
        yield from range_violations(tier.threshold, f"{here}.threshold", least, most)
        before = tiers[index - 1].threshold if index else None
        if before is not None and tier.threshold <= before:
            problem = f"must be above the {before} of the tier before, because thresholds rise; it is {tier.threshold}"
            other = OtherField(f"{field}.tiers[{index - 1}].threshold", before)
            reason = ViolationReason.NOT_RISING
            yield dependent_violation(f"{here}.threshold", problem, reason, other, given=tier.threshold)
        yield from _gift_violations(tier, here, measure, f"{field}.measure")
        yield from _rise_violations(tiers, index, f"{field}.tiers")


def _gift_violations(tier: Tier, field: str, measure: Measure, measure_field: str) -> Iterator[Violation]:
    """Yield what is wrong with what one tier gives."""
    amount, percent, price = tier.amount_off_minor, tier.percent_off_basis_points, tier.price_minor
    given = sum(gift is not None for gift in (amount, percent, price))
    if given != 1:
        problem = f"must give one of amount_off_minor, percent_off_basis_points and price_minor; it gives {given}"
        names = ("amount_off_minor", "percent_off_basis_points", "price_minor")
        others = (OtherField(f"{field}.{name}") for name in names)
        yield dependent_violation(field, problem, ViolationReason.ONE_OF, *others)
        return
    yield from range_violations(amount, f"{field}.amount_off_minor", 1, MINOR_MAX)
    if measure is Measure.SPEND and amount is not None and 1 <= tier.threshold < amount:
        problem = f"must be at most the threshold of {tier.threshold} (0 means none); it is {amount}"
        other = OtherField(f"{field}.threshold", tier.threshold)
        reason = ViolationReason.MORE_THAN_OTHER
        yield dependent_violation(f"{field}.amount_off_minor", problem, reason, other, given=amount)
    yield from range_violations(percent, f"{field}.percent_off_basis_points", 1, BASIS_POINTS)
    yield from range_violations(price, f"{field}.price_minor", 0, MINOR_MAX)
    if percent is not None:
        yield from _cap_violations(tier.cap_minor, f"{field}.cap_minor")
    elif tier.cap_minor is not None:
        problem = "goes with percent_off_basis_points only; leave it unset"
        other = OtherField(f"{field}.percent_off_basis_points")
        yield dependent_violation(f"{field}.cap_minor", problem, ViolationReason.ONLY_WITH_OTHER, other)
    if price is not None and measure is not Measure.UNITS:
        problem = "is for so many units as the threshold says, so measure must be MEASURE_UNITS"
        other = OtherField(measure_field)
        yield dependent_violation(f"{field}.price_minor", problem, ViolationReason.ONLY_WITH_UNITS, other)


def _rise_violations(tiers: tuple[Tier, ...], index: int, field: str) -> Iterator[Violation]:
    """Yield where a tier gives no more than a lower tier of the same kind, so that reaching it has no advantage.

    Prices are not compared: they are for different numbers of units. A larger percentage with a smaller cap is allowed,
    because it gives more on a small spend.
    """
    tier, here, below = tiers[index], f"{field}[{index}]", tuple(enumerate(tiers[:index]))
    amounts = [(lower.amount_off_minor, place) for place, lower in below if lower.amount_off_minor is not None]
    most, place = max(amounts, default=(0, 0))
    if tier.amount_off_minor is not None and amounts and tier.amount_off_minor <= most:
        problem = f"must be more than the {most} of a lower tier; it is {tier.amount_off_minor}"
        other, reason = OtherField(f"{field}[{place}].amount_off_minor", most), ViolationReason.NOT_RISING
        yield dependent_violation(f"{here}.amount_off_minor", problem, reason, other, given=tier.amount_off_minor)
    percent, cap_minor = tier.percent_off_basis_points, tier.cap_minor
    for place, lower in below:
        lower_percent, lower_cap_minor = lower.percent_off_basis_points, lower.cap_minor
        if percent is None or cap_minor is None or lower_percent is None or lower_cap_minor is None:
            continue
        if percent <= lower_percent and cap_minor <= lower_cap_minor:
            problem = (
                f"gives no more than a lower tier: raise it above {lower_percent} "
                f"or cap_minor above {lower_cap_minor}; it is {percent}, and cap_minor is {cap_minor}"
            )
            others = (
                OtherField(f"{field}[{place}].percent_off_basis_points", lower_percent),
                OtherField(f"{field}[{place}].cap_minor", lower_cap_minor),
                OtherField(f"{here}.cap_minor", cap_minor),
            )
            reason = ViolationReason.NO_GAIN
            yield dependent_violation(f"{here}.percent_off_basis_points", problem, reason, *others, given=percent)
            return
