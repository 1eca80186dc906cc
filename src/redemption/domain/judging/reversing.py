"""How much of a discount is given back with returned goods: by line, in proportion, never more than was taken off.

The rule is cumulative. When a part of a line's amount is returned, the line has given back, in all, its share of the
discount times what was returned in all, divided by the line's amount, rounded down; with the whole line it has given
back its whole share. So it does not matter in how many steps a line is returned, and the last step takes the remainder.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from redemption.domain.ports.reversals import (
    NO_SETTLEMENT,
    NOTHING_RETURNED,
    WHOLE_LINE,
    Returned,
    ReturnPart,
    ReturnPlan,
)
from redemption.domain.signed.settlement import SettledRedemption


@dataclass(frozen=True, slots=True)
class Exceeded:
    """More of a line would be returned than is left of it.

    Attributes:
        line_id: The line.
        left_minor: What is left of its amount, minor units.
    """

    line_id: str
    left_minor: int


def plan_return(
    settled: SettledRedemption,
    asked: Mapping[str, int | None],
    *,
    settlement: bytes,
    name_of: Callable[[str], bytes],
    before: Returned = NOTHING_RETURNED,
) -> ReturnPlan | Exceeded | None:
    """Return what a redemption gives back with some lines, or with all of them.

    Args:
        settled: The redemption and its allocations.
        asked: How much of which line's amount is returned, minor units; None means all that is left of the line.
            Nothing at all means all lines. Every line is one of the allocations.
        settlement: The name of the settlement.
        name_of: Returns what the ledger knows a line by.
        before: What was given back already.

    Returns:
        The plan; or which line has too little left; or None when nothing is left of any of these lines.

    Raises:
        ValueError: Earlier returns were made by another settlement, or by one that knows what the lines cost.
    """
    if before.settlement not in (NO_SETTLEMENT, settlement):
        raise ValueError("is another one than that of earlier returns of this redemption; send the same for all")
    discount_minor = merchant_minor = 0
    returned = dict(before.lines)
    parts = []
    is_new = False
    for position, allocation in enumerate(settled.allocations):
        name = name_of(allocation.line_id)
        line_minor = settled.line_amounts[position] if settled.line_amounts else WHOLE_LINE
        known = before.lines.get(name, 0)
        if not settled.line_amounts and 0 < known < WHOLE_LINE:
            raise ValueError("does not say what the lines cost, and a part of one was returned; send a newer one")
        earlier = now = min(known, line_minor)
        if not asked or allocation.line_id in asked:
            more = asked.get(allocation.line_id)
            now = line_minor if more is None else earlier + more
            if now > line_minor:
                return Exceeded(allocation.line_id, line_minor - earlier)
        if now > earlier:
            is_new = True
            returned[name] = WHOLE_LINE if now == line_minor else now
        given, merchant = _given(allocation.amount_minor, allocation.merchant_minor, now, line_minor)
        given_before, merchant_before = _given(allocation.amount_minor, allocation.merchant_minor, earlier, line_minor)
        discount_minor += given
        merchant_minor += merchant
        if given > given_before:
            parts.append(ReturnPart(position, given - given_before, merchant - merchant_before))
    if not is_new:
        return None
    after = Returned(before.count + 1, discount_minor, merchant_minor, returned, settlement)
    return ReturnPlan(settled.discount_minor, after, tuple(parts))


def _given(amount_minor: int, merchant_minor: int, returned_minor: int, line_minor: int) -> tuple[int, int]:
    """Return how much of a line's share of a discount is given back, and how much of that the merchant had borne."""
    if returned_minor == line_minor:
        return amount_minor, merchant_minor
    given = amount_minor * returned_minor // line_minor
    return given, merchant_minor * given // amount_minor if amount_minor else 0
