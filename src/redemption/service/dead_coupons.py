"""Which coupons of a refused order are dead: refused by the ledger, although the server judged that they apply.

A dead coupon takes nothing and stands in nobody's way. So the order is judged and decided again without it, when that
can change the verdict on another coupon. Such an order is refused in any case: it is about the reasons that are told.
"""

from collections.abc import Sequence
from typing import NamedTuple

from redemption.domain.outcome import Outcome

_BY_ITSELF_MAX = Outcome.RESERVED
"""Up to this rank, the ledger refuses a coupon for itself, whatever becomes of the others: it is used or revoked."""
_COUNTED = (
    Outcome.CUSTOMER_LIMIT,
    Outcome.CUSTOMER_DAY_LIMIT,
    Outcome.DAY_LIMIT,
    Outcome.SLOT_LIMIT,
    Outcome.CAMPAIGN_LIMIT,
)
"""Limits that count coupons: once one is reached, it is reached for every later coupon of the campaign."""
_BY_STACK = (
    Outcome.APPROVED,
    Outcome.MIN_SPEND_NOT_MET,
    Outcome.MIN_QUANTITY_NOT_MET,
    Outcome.GROUP_TOO_SMALL,
    Outcome.EXCLUSIVE_CONFLICT,
    Outcome.NO_EFFECT,
)
"""The judgements on a coupon that other coupons can change."""


class StackedCoupon(NamedTuple):
    """A coupon of a refused order.

    Attributes:
        token_index: The index of its token.
        campaign: The number of its campaign.
        judged: The server's judgement.
        rank: The ledger's verdict, see ``RefusedToken``.
    """

    token_index: int
    campaign: int
    judged: Outcome
    rank: int


def newly_dead(coupons: Sequence[StackedCoupon]) -> dict[int, int]:
    """Return the dead coupons, by index with their ranks; nothing if no other coupon's verdict can depend on them.

    The verdict on the first dead coupon is right, because nothing dead was applied before it. Those after it are
    judged again first, unless their verdict cannot change.

    Args:
        coupons: Those not known to be dead yet, in the order in which they are applied.
    """
    dead: dict[int, int] = {}
    first: StackedCoupon | None = None
    for coupon in coupons:
        if coupon.judged not in _BY_STACK:
            continue
        if coupon.rank <= _BY_ITSELF_MAX:
            dead[coupon.token_index] = coupon.rank
        elif coupon.judged is Outcome.APPROVED and coupon.rank != Outcome.APPROVED:
            if first is None or (
                coupon.campaign == first.campaign and first.rank in _COUNTED and coupon.rank in _COUNTED
            ):
                dead[coupon.token_index] = coupon.rank
        else:
            continue
        if first is None and coupon.judged is Outcome.APPROVED:
            first = coupon
    if first is None:
        return {}
    after = coupons[coupons.index(first) + 1 :]
    if all(coupon.token_index in dead or coupon.judged not in _BY_STACK for coupon in after):
        return {}
    return dead
