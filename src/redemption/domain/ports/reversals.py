"""How a redemption is given back, with the values: implemented by ``ledger``, used by ``service``."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeAlias

from redemption.domain.call_info import CallInfo
from redemption.domain.ports.orders import Failed, Mismatch, Outdated
from redemption.domain.record import record
from redemption.domain.request_identity import RequestIdentity

NAME_BYTES = 8
NO_SETTLEMENT = bytes(NAME_BYTES)
STEPS_MAX = 60_000
"""In so many steps a redemption can be given back."""
WHOLE_LINE = 2**64 - 1
"""In place of an amount that was returned: the whole line."""


@record(frozen=True, slots=True)
class Returned:
    """What was given back of a use of a coupon.

    Attributes:
        count: In how many steps.
        discount_minor: How much of the discount, in all.
        merchant_minor: How much of that merchants had borne.
        lines: How much of which line's amount was returned: a line's name, a digest of 8 bytes, to minor units or
            ``WHOLE_LINE``. When all was given back without a settlement, lines may be missing.
        settlement: The name of the settlement by which lines were returned: a digest of 8 bytes, or ``NO_SETTLEMENT``.
    """

    count: int
    discount_minor: int
    merchant_minor: int
    lines: Mapping[bytes, int]
    settlement: bytes = NO_SETTLEMENT


ASKING = 2**16 - 1
"""A count of steps that no plan has: the ledger then says what was given back, and changes nothing."""
NOTHING_RETURNED = Returned(0, 0, 0, MappingProxyType({}))


class ReturnPart(NamedTuple):
    """What one allocation of a settlement, by its position, gives back now, and the merchant's share of that."""

    position: int
    amount_minor: int
    merchant_minor: int


@record(frozen=True, slots=True)
class ReturnPlan:
    """A return by lines, as the server worked it out.

    Attributes:
        settled_minor: The discount that the settlement says; the coupon's record must say the same.
        after: What is given back then. It holds only if ``after.count - 1`` steps were made before; ``ASKING`` steps
            never are.
        parts: What is given back now; only parts that are not 0.
    """

    settled_minor: int
    after: Returned
    parts: tuple[ReturnPart, ...]


@record(frozen=True, slots=True)
class ReverseItem:
    """A redemption that is to be given back.

    Attributes:
        program: Its program.
        caller: The caller, and its deadline.
        identity: Which request it is.
        order: Digest of the order id.
        campaign: Its campaign.
        version: The version of the campaign that it was judged by; 0: the server knows of no such campaign.
        serial: The coupon.
        generation: As the receipt says; so is ``redeemed_at``, Unix seconds.
        since_ms: The judgement holds from this instant of the ledger's clock, Unix milliseconds.
        until_ms: It holds until this instant, exclusive.
        is_closed: The time for returns is over.
        restores: If all of it is given back now, the coupon can be used again.
        plan: What is given back; None means all that is left.
    """

    program: str
    caller: CallInfo
    identity: RequestIdentity
    order: bytes
    campaign: int
    version: int
    serial: int
    generation: int
    redeemed_at: int
    since_ms: int
    until_ms: int
    is_closed: bool
    restores: bool
    plan: ReturnPlan | None


@record(frozen=True, slots=True)
class GivenBack:
    """What this request gave back, now or when it was made before.

    Attributes:
        restored: The coupon can be used again.
        discount_minor: How much of the discount this request gave back.
        total_minor: How much was given back then in all.
        parts: How it falls on the settlement's allocations; empty without a settlement.
    """

    restored: bool
    discount_minor: int
    total_minor: int
    parts: tuple[ReturnPart, ...]


@record(frozen=True, slots=True)
class NotRedeemed:
    """The order has no such redemption."""


@record(frozen=True, slots=True)
class OtherDiscount:
    """The redemption's discount is another one than the settlement says."""

    discount_minor: int


@record(frozen=True, slots=True)
class WindowClosed:
    """The time for returns is over."""


@record(frozen=True, slots=True)
class NothingLeft:
    """All was given back before; ``total_minor`` is 0 when the ledger does not know the amount any more."""

    total_minor: int


@record(frozen=True, slots=True)
class ReturnedSince:
    """Something else was given back meanwhile: ``returned`` is what the ledger knows now."""

    returned: Returned


ReverseReply: TypeAlias = (
    GivenBack | NotRedeemed | OtherDiscount | WindowClosed | NothingLeft | ReturnedSince | Mismatch | Outdated | Failed
)


class ReversalLedger(Protocol):
    """Gives redemptions back. It may raise ``ServiceError``."""

    async def reverse(self, item: ReverseItem) -> ReverseReply:
        """Give a redemption back, wholly or in part."""
