"""The ledger, which decides and remembers, as the use cases see it."""

from typing import Protocol

from redemption.domain.ports.campaigns import CampaignLedger
from redemption.domain.ports.issuing import IssuingLedger, RevocationLedger
from redemption.domain.ports.orders import OrderLedger
from redemption.domain.ports.reversals import ReversalLedger
from redemption.domain.ports.rules import AttemptLedger, RulesLedger, WarningLedger


class Ledger(Protocol):
    """Everything that the use cases need of the ledger, by subject."""

    @property
    def orders(self) -> OrderLedger:
        """Orders and coupons."""

    @property
    def reversals(self) -> ReversalLedger:
        """Giving redemptions back."""

    @property
    def campaigns(self) -> CampaignLedger:
        """Campaigns."""

    @property
    def issuing(self) -> IssuingLedger:
        """Minting and claiming."""

    @property
    def revocation(self) -> RevocationLedger:
        """Revoking coupons."""

    @property
    def rules(self) -> RulesLedger:
        """Rules against abuse, and lists."""

    @property
    def attempts(self) -> AttemptLedger:
        """Attempts in vain, and lock-outs."""

    @property
    def warnings(self) -> WarningLedger:
        """Early warning."""

    def now_ms(self) -> int:
        """Return an estimate of the ledger's clock, Unix milliseconds."""
