"""Builds all use cases. A new use case is a file of its own and a line here."""

from redemption.domain.ports.ledger import Ledger
from redemption.domain.signed.digest import Digests
from redemption.domain.signed.keyset import Keyset
from redemption.domain.signed.token import TokenVerifier
from redemption.scheduling.work_bounds import WorkBounds
from redemption.service.campaigns import Campaigns
from redemption.service.claimer import Claimer
from redemption.service.coupon_reader import CouponReader
from redemption.service.decisions import DecisionWriter
from redemption.service.guessing import Guessing
from redemption.service.issuer import Issuer
from redemption.service.quoter import Quoter
from redemption.service.redeemer import Redeemer
from redemption.service.redemption_finder import RedemptionFinder
from redemption.service.reserver import Reserver
from redemption.service.reverser import Reverser
from redemption.service.revoker import Revoker
from redemption.service.risk_lists import RiskLists
from redemption.service.risk_reports import RuleReports
from redemption.service.risk_rules import RiskRules
from redemption.service.risk_subjects import RiskSubjects
from redemption.telemetry.full_rules import FullRules
from redemption.telemetry.guess_alarms import GuessAlarms
from redemption.telemetry.invalid_tokens import InvalidTokens


class UseCases:
    """What the servicers of ``rpc`` and the first start of a development server call."""

    def __init__(self, keyset: Keyset, ledger: Ledger, bounds: WorkBounds | None = None) -> None:
        """Build them.

        Args:
            keyset: The signing keys.
            ledger: The ledger.
            bounds: How much work is taken on at a time; None means the defaults.
        """
        self.invalid_tokens = InvalidTokens()
        reader = CouponReader(verifier=TokenVerifier(keyset), ledger=ledger, invalid_tokens=self.invalid_tokens)
        digests = Digests(keyset.privacy_root, environment=keyset.environment)
        decisions = DecisionWriter(keyset)
        guessing = Guessing(digests=digests, ledger=ledger, alarms=GuessAlarms())
        rule_reports = RuleReports(ledger.orders, FullRules())
        self.redeemer = Redeemer(
            reader=reader,
            digests=digests,
            decisions=decisions,
            guessing=guessing,
            ledger=ledger,
            rule_reports=rule_reports,
        )
        self.reserver = Reserver(digests=digests, decisions=decisions, ledger=ledger)
        self.reverser = Reverser(digests=digests, decisions=decisions, ledger=ledger)
        self.finder = RedemptionFinder(digests=digests, decisions=decisions, ledger=ledger)
        self.quoter = Quoter(
            reader=reader,
            digests=digests,
            decisions=decisions,
            guessing=guessing,
            ledger=ledger,
            bounds=bounds or WorkBounds(),
        )
        self.issuer = Issuer(keyset=keyset, reader=reader, digests=digests, decisions=decisions, ledger=ledger)
        self.claimer = Claimer(
            keyset=keyset, digests=digests, guessing=guessing, ledger=ledger, rule_reports=rule_reports
        )
        self.revoker = Revoker(reader=reader, digests=digests, ledger=ledger)
        self.campaigns = Campaigns(digests=digests, ledger=ledger)
        self.risk_rules = RiskRules(ledger=ledger)
        self.risk_lists = RiskLists(digests=digests, ledger=ledger)
        self.risk_subjects = RiskSubjects(digests=digests, ledger=ledger)
