"""When a coupon is valid, as its campaign promises."""

from datetime import timedelta

from redemption.domain.campaign.calendar import day_starts_at, local_date, same_time_later
from redemption.domain.campaign.campaign import MILLISECONDS, AbsoluteValidity, Campaign, ClaimValidity


def valid_time(campaign: Campaign, now_ms: int) -> tuple[int, int]:
    """Return the half-open interval [not_before, expires_at) in which a coupon is valid, Unix seconds.

    Tokens count in whole seconds. The interval is rounded so that a coupon is never valid before its wait is over, and
    never for a shorter time than was promised; besides, a campaign's own start and end are always checked exactly. The
    interval is not capped to a signing key's life. It is empty when the wait ends after the campaign.

    Args:
        campaign: The campaign.
        now_ms: When the coupon is issued, Unix milliseconds.
    """
    ends_at = _rounded_up(campaign.ends_at_ms)
    match campaign.validity:
        case None:
            return campaign.starts_at_ms // MILLISECONDS, ends_at
        case AbsoluteValidity(not_before_ms, expires_at_ms):
            return not_before_ms // MILLISECONDS, _rounded_up(expires_at_ms)
        case ClaimValidity() as promised:
            not_before, expires_at = _from_claim(promised, campaign.time_zone, now_ms)
            return not_before, min(expires_at, ends_at)


def _from_claim(promised: ClaimValidity, zone: str, now_ms: int) -> tuple[int, int]:
    """Return the half-open interval in which a coupon is valid that is claimed now, Unix seconds."""
    ready = _rounded_up(now_ms) + promised.wait_seconds
    # Without a wait the coupon is valid at once; rounding up would delay that to the next second.
    not_before = ready if promised.wait_seconds else now_ms // MILLISECONDS
    if promised.end_of_day:
        day_after = local_date(zone, not_before) + timedelta(days=promised.days)
        return not_before, day_starts_at(zone, day_after)
    return not_before, same_time_later(zone, ready, promised.days)


def _rounded_up(instant_ms: int) -> int:
    return -(-instant_ms // MILLISECONDS)
