"""The answer to a checkout: a verdict for every token, and the exact discount."""

from typing import NamedTuple

from redemption.domain.outcome import DISPOSITIONS, SAME_ORDER_RANK, Disposition, Outcome
from redemption.domain.record import record
from redemption.domain.risk.subjects import SubjectKind


@record(frozen=True, slots=True)
class Detail:
    """What a caller learns beyond the outcome; only the fields that apply are set.

    Attributes:
        missing_minor: How much more of eligible goods is needed.
        missing_quantity: How many more units, or members of the group, are needed.
        try_after_ms: A retry before this instant is useless, Unix milliseconds.
        conflicts: Indexes of the order's tokens that this one cannot be combined with.
        same_order: This same order used the coupon, under another request id.
        redeemed_at: When the coupon was used, Unix seconds.
        missing_signals: What the request does not name, and must.
        held_until: When the hold is over that is in the way, or that ran out, Unix seconds.
    """

    missing_minor: int = 0
    missing_quantity: int = 0
    try_after_ms: int | None = None
    conflicts: tuple[int, ...] = ()
    same_order: bool = False
    redeemed_at: int | None = None
    missing_signals: tuple[SubjectKind, ...] = ()
    held_until: int | None = None


def disposition_of(outcome: Outcome, detail: Detail | None) -> Disposition:
    """Return what the caller should do about an outcome: a final one becomes TRY_LATER if a time to retry is known."""
    disposition = DISPOSITIONS[outcome]
    if disposition is Disposition.FINAL and detail is not None and detail.try_after_ms is not None:
        return Disposition.TRY_LATER
    return disposition


class Allocation(NamedTuple):
    """The part of a discount that one line or shipping fee bears, and the part of that which the merchant pays.

    In minor units. It is a tuple, because an approval makes dozens of them.
    """

    line_id: str
    amount_minor: int
    merchant_minor: int = 0


@record(frozen=True, slots=True)
class Verdict:
    """The verdict on one token; ``redemption_id`` is its receipt when this order redeemed it."""

    outcome: Outcome
    campaign: int = 0
    redemption_id: str = ""
    discount_minor: int = 0
    allocations: tuple[Allocation, ...] = ()
    detail: Detail | None = None

    @property
    def disposition(self) -> Disposition:
        """What the caller should do about it."""
        return DISPOSITIONS[self.outcome] if self.detail is None else disposition_of(self.outcome, self.detail)


@record(frozen=True, slots=True)
class Decision:
    """The verdict on an order with all its tokens: either all tokens are used, or none is.

    Attributes:
        decided_at: When it was decided, by the ledger's clock, Unix seconds.
        settlement: The signed allocation of an approval.
        reservation_id: Names the reservation, when the coupons are held and not used.
        held_until: Then, when the hold is over, Unix seconds.
    """

    outcome: Outcome
    verdicts: tuple[Verdict, ...]
    decided_at: int
    discount_minor: int = 0
    settlement: bytes = b""
    reservation_id: str = ""
    held_until: int = 0

    @property
    def disposition(self) -> Disposition:
        """What the caller should do: the least hopeful disposition of the tokens that stopped the order."""
        if self.outcome is Outcome.APPROVED:
            return Disposition.APPROVED
        decisive = [verdict.disposition for verdict in self.verdicts if verdict.outcome is self.outcome]
        return max(decisive, default=self.outcome.disposition)


def refusal(verdicts: tuple[Verdict, ...], decided_at: int) -> Decision:
    """Return the decision for verdicts of which none is APPROVED.

    The decision's outcome is that of the token that stopped the order: the first by precedence, not counting tokens
    that were stopped only by another token.
    """
    beside = (Outcome.STACK_REJECTED, Outcome.NOT_EVALUATED)
    first = min((verdict for verdict in verdicts if verdict.outcome not in beside), key=_rank)
    return Decision(outcome=first.outcome, verdicts=verdicts, decided_at=decided_at)


def _rank(verdict: Verdict) -> int:
    return SAME_ORDER_RANK if verdict.detail is not None and verdict.detail.same_order else verdict.outcome
