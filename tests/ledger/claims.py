"""Claims made by hand for the ledger alone, judged as a test wants."""

from dataclasses import replace

from builders.calls import PRINCIPAL
from ledger.desk import digest

from redemption.domain.outcome import Outcome
from redemption.domain.ports.issuing import ClaimItem
from redemption.domain.request_identity import RequestIdentity
from redemption.domain.risk.assessment import NO_CHECKS

VALID_FROM, VALID_UNTIL = 1_900_000_000, 1_900_086_400


def claim_item(campaign, **changes):
    """A claim as the server might judge it: approved."""
    base = ClaimItem(
        identity=RequestIdentity(PRINCIPAL, digest("request", 10), digest("content", 8)),
        campaign=campaign.number,
        version=campaign.version,
        offer_index=0,
        offer_quota=None,
        outcome=Outcome.APPROVED,
        not_before=VALID_FROM,
        expires_at=VALID_UNTIL,
        key_id=7,
        day=20_000,
        since_ms=0,
        until_ms=2**53,
        customer=digest("ann", 8),
        person=digest("ann herself", 8),
        code=None,
        rules_version=0,
        checks=NO_CHECKS,
    )
    return replace(base, **changes)
