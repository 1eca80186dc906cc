"""Finds what an operator may not expect of a change of a campaign that is allowed."""

from dataclasses import dataclass
from enum import StrEnum

from redemption.domain.campaign.campaign import AbsoluteValidity, Campaign


class WarningReason(StrEnum):
    """Which warning it is, for programs."""

    ISSUED_EXPIRE_AS_BEFORE = "ISSUED_EXPIRE_AS_BEFORE"
    """The campaign was extended, and coupons that were issued before do not profit from that."""


@dataclass(frozen=True, slots=True)
class ChangeWarning:
    """One warning; ``text`` is for people."""

    field: str
    reason: WarningReason
    text: str


def change_warnings(before: Campaign, after: Campaign, *, issued: int) -> tuple[ChangeWarning, ...]:
    """Return the warnings for a change.

    Args:
        before: The definition in force.
        after: The definition that replaces it.
        issued: How many coupons were issued so far.
    """
    extended = _extended(before, after)
    honoured_ms = after.honoured_until_ms or 0
    if not issued or extended is None or honoured_ms > _expiry_ms(before):
        return ()
    count = "the coupon" if issued == 1 else f"the {issued:,} coupons"
    text = (
        f"is later than before, but {count} issued so far will expire as before, because the expiry is signed; "
        "to have them honoured longer, set honoured_until"
    )
    return (ChangeWarning(extended, WarningReason.ISSUED_EXPIRE_AS_BEFORE, text),)


def _extended(before: Campaign, after: Campaign) -> str | None:
    """Return the field that makes a campaign or its new coupons last longer, or None."""
    if after.ends_at_ms > before.ends_at_ms:
        return "campaign.end_time"
    absolute = isinstance(before.validity, AbsoluteValidity) and isinstance(after.validity, AbsoluteValidity)
    return "campaign.validity.absolute.expire_time" if absolute and _expiry_ms(after) > _expiry_ms(before) else None


def _expiry_ms(campaign: Campaign) -> int:
    """Return until when the coupons of a campaign are valid at most, Unix milliseconds."""
    validity = campaign.validity
    return validity.expires_at_ms if isinstance(validity, AbsoluteValidity) else campaign.ends_at_ms
