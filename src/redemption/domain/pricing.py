"""How much a coupon takes off, and how that falls on the lines: the rules of money.

All amounts are whole minor units of one currency. A percentage is rounded half up, once, at the end. A discount is
allocated over the lines in proportion to what they have left, by the largest remainder method, ties by the lines' own
order; the parts sum exactly and no line goes below zero.
"""

from collections.abc import Sequence

from redemption.domain.campaign import BASIS_POINTS, AmountOff, PercentOff


def discount(benefit: AmountOff | PercentOff, remaining_minor: int) -> int:
    """Return what a benefit takes off goods that have so much left to pay, in minor units, never more than that."""
    if isinstance(benefit, AmountOff):
        return min(benefit.amount_off_minor, remaining_minor)
    half_up = (2 * remaining_minor * benefit.basis_points + BASIS_POINTS) // (2 * BASIS_POINTS)
    return min(half_up, benefit.cap_minor, remaining_minor)


def allocate(discount_minor: int, remaining_minor: Sequence[int]) -> list[int]:
    """Divide a discount over lines in proportion to what each has left.

    Args:
        discount_minor: What to divide; at most the sum of what the lines have left.
        remaining_minor: What each line has left to pay, in the order's own sequence.

    Returns:
        One part for each line, summing exactly to the discount.
    """
    if len(remaining_minor) == 1:
        return [discount_minor]
    total = sum(remaining_minor)
    if not total:
        return [0] * len(remaining_minor)
    parts = [discount_minor * left // total for left in remaining_minor]
    short = discount_minor - sum(parts)
    if short:
        # sorted() is stable, so equal remainders keep the lines' own order.
        by_remainder = sorted(
            range(len(parts)), key=lambda index: discount_minor * remaining_minor[index] % total, reverse=True
        )
        for index in by_remainder[:short]:
            parts[index] += 1
    return parts
