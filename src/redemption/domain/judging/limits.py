"""Predicts what the ledger would decide on a judged coupon, from a snapshot of it: for quotes, which change nothing.

To redeem, the ledger itself decides (``ledger/lua/orders.lua``); a test checks that both decide the same.
"""

from dataclasses import dataclass, replace

from redemption.domain.campaign.calendar import CampaignClock
from redemption.domain.campaign.campaign import Limits
from redemption.domain.judging.stacking import CouponJudgement
from redemption.domain.order import MINOR_MAX
from redemption.domain.outcome import BUDGET_DAY_RANK, SAME_ORDER_RANK, Outcome
from redemption.domain.ports.orders import CampaignSnapshot, CouponSnapshot


@dataclass(frozen=True, slots=True)
class Finding:
    """What would happen to one coupon.

    Attributes:
        rank: An outcome's number, SAME_ORDER_RANK or BUDGET_DAY_RANK.
        judgement: The server's judgement, made without the ledger.
        free_at: If only holds are in the way: when the first of them is over, Unix seconds; else 0.
    """

    rank: int
    judgement: CouponJudgement
    free_at: int = 0

    @property
    def approved(self) -> bool:
        """Whether it would be used."""
        return self.rank == Outcome.APPROVED


@dataclass(frozen=True, slots=True)
class Count:
    """The counters of one campaign, as if some coupons had been used already; for the current day and slot.

    The last five are those of ``CampaignSnapshot``.
    """

    redeemed: int
    discount_minor: int
    redeemed_day: int
    discount_day_minor: int
    redeemed_slot: int
    customer_redeemed: int
    customer_today: int
    held: int = 0
    held_minor: int = 0
    hold_due: int = 0
    customer_held: int = 0
    customer_hold_due: int = 0

    def with_coupon(self, discount_minor: int) -> "Count":
        """Return the counters with one more coupon used."""
        return replace(
            self,
            redeemed=self.redeemed + 1,
            discount_minor=self.discount_minor + discount_minor,
            redeemed_day=self.redeemed_day + 1,
            discount_day_minor=self.discount_day_minor + discount_minor,
            redeemed_slot=self.redeemed_slot + 1,
            customer_redeemed=self.customer_redeemed + 1,
            customer_today=self.customer_today + 1,
        )


def count_of(seen: CampaignSnapshot, clock: CampaignClock) -> Count:
    """Return the counters at a moment; those of another day or another slot count as 0."""
    same_day = seen.day == clock.day
    return Count(
        redeemed=seen.redeemed,
        discount_minor=seen.discount_minor,
        redeemed_day=seen.redeemed_day if same_day else 0,
        discount_day_minor=seen.discount_day_minor if same_day else 0,
        redeemed_slot=seen.redeemed_slot if seen.slot == clock.slot else 0,
        customer_redeemed=seen.customer_redeemed,
        customer_today=seen.customer_today if seen.customer_day == clock.day else 0,
        held=seen.held,
        held_minor=seen.held_minor,
        hold_due=seen.hold_due,
        customer_held=seen.customer_held,
        customer_hold_due=seen.customer_hold_due,
    )


def coupon_rank(seen: CouponSnapshot, order: bytes) -> int | None:
    """Return why the coupon itself cannot be used, as an outcome's number or SAME_ORDER_RANK, or None.

    Args:
        seen: The ledger's snapshot of the coupon.
        order: Digest of the present order's id.
    """
    if not seen.issued:
        return Outcome.TOKEN_INVALID
    if seen.use is not None and seen.used_by == order:
        return SAME_ORDER_RANK
    if seen.revoked:
        return Outcome.REVOKED
    if seen.use is not None:
        return Outcome.ALREADY_REDEEMED
    return Outcome.RESERVED if seen.held_until and seen.used_by != order else None


def limit_rank(count: Count, limits: Limits, clock: CampaignClock, discount_minor: int, *, guest: bool) -> int:
    """Return the first limit by precedence that a discount would exceed, as an outcome's number, or APPROVED."""
    if not guest:
        if _full(count.customer_redeemed, limits.redemptions_per_customer):
            return Outcome.CUSTOMER_LIMIT
        if _full(count.customer_today, limits.redemptions_per_customer_per_day):
            return Outcome.CUSTOMER_DAY_LIMIT
    if _full(count.redeemed_day, limits.redemptions_per_day):
        return Outcome.DAY_LIMIT
    if clock.slot and (count.redeemed_day if clock.slot_carries else count.redeemed_slot) >= clock.slot_limit:
        return Outcome.SLOT_LIMIT
    if _full(count.redeemed, limits.redemptions):
        return Outcome.CAMPAIGN_LIMIT
    if count.discount_minor + discount_minor > (MINOR_MAX if limits.budget_minor is None else limits.budget_minor):
        return Outcome.BUDGET_EXHAUSTED
    if (
        limits.budget_per_day_minor is not None
        and count.discount_day_minor + discount_minor > limits.budget_per_day_minor
    ):
        return BUDGET_DAY_RANK
    return Outcome.APPROVED


def free_at(count: Count, limits: Limits, rank: int, discount_minor: int) -> int:
    """Return when the first hold is over, Unix seconds, if without holds a limit would not refuse; else 0.

    Args:
        count: The counters.
        limits: The campaign's limits.
        rank: The limit that refuses, see ``limit_rank``.
        discount_minor: The discount that is refused.
    """
    if rank == Outcome.CUSTOMER_LIMIT:
        used, due = count.customer_redeemed - count.customer_held, count.customer_hold_due
        return 0 if _full(used, limits.redemptions_per_customer) else due
    if rank == Outcome.CAMPAIGN_LIMIT:
        return 0 if _full(count.redeemed - count.held, limits.redemptions) else count.hold_due
    if rank == Outcome.BUDGET_EXHAUSTED:
        spent = count.discount_minor - count.held_minor + discount_minor
        return 0 if spent > (MINOR_MAX if limits.budget_minor is None else limits.budget_minor) else count.hold_due
    return 0


def _full(count: int, limit: int | None) -> bool:
    return limit is not None and count >= limit
