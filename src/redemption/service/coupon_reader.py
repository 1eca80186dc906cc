"""Reads the coupons of a request: checks which tokens are genuine, and finds their campaigns."""

import asyncio
from collections.abc import Sequence

from redemption.domain.campaign.campaign import MILLISECONDS, Campaign
from redemption.domain.errors import DeadlinePassed, InvalidRequest, Violation
from redemption.domain.judging.eligibility import Coupon
from redemption.domain.order import Checkout
from redemption.domain.ports.campaigns import CampaignLedger
from redemption.domain.ports.ledger import Ledger
from redemption.domain.ports.rules import RulesLedger
from redemption.domain.risk.assessment import ActiveRules, Assessment, assess
from redemption.domain.signed.digest import Digests
from redemption.domain.signed.token import TokenDefect, TokenVerifier, VerifiedToken, signed_ids
from redemption.telemetry.invalid_tokens import InvalidTokens

SHARED_UNKNOWN = "shared_unknown"
NEVER_ISSUED = "never_issued"
CAMPAIGN_UNKNOWN = "campaign_unknown"
OFFER_UNKNOWN = "offer_unknown"
KEY_OUTLIVED = "key_outlived"
KEY_DISABLED = "key_disabled"


class CouponReader:
    """Reads tokens, and reports those whose answer is TOKEN_INVALID."""

    def __init__(self, *, verifier: TokenVerifier, ledger: Ledger, invalid_tokens: InvalidTokens) -> None:
        self._verifier = verifier
        self._campaigns = ledger.campaigns
        self._invalid_tokens = invalid_tokens

    def token(self, text: str, program: str) -> VerifiedToken | None:
        """Return a genuine token of a program; None for any other text, and for a token that allows many uses.

        No server of ours signs a token for many uses, so somebody else has the key.
        """
        token = self._verifier.verify(text, program=program)
        if not isinstance(token, VerifiedToken):
            self._report_defect(token, text, program)
            return None
        if token.shared:
            self._alarm(SHARED_UNKNOWN, token)
            return None
        return token

    def tokens(self, checkout: Checkout) -> list[VerifiedToken | None]:
        """Return a checkout's tokens in its order; None in the place of each for which ``token`` returns None.

        Raises:
            InvalidRequest: Two of them are the same coupon.
        """
        tokens: list[VerifiedToken | None] = []
        for text in checkout.tokens:  # as ``token``, without a call for each
            token = self._verifier.verify(text, program=checkout.program)
            if not isinstance(token, VerifiedToken):
                self._report_defect(token, text, checkout.program)
                tokens.append(None)
            elif token.shared:
                self._alarm(SHARED_UNKNOWN, token)
                tokens.append(None)
            else:
                tokens.append(token)
        if len(tokens) > 1:
            _require_different(tokens)
        return tokens

    async def campaign(self, token: VerifiedToken, deadline: float) -> Campaign | None:
        """Return a token's campaign, see ``find_campaign``."""
        return await find_campaign(self._campaigns, token.program, token.campaign, deadline)

    async def current_campaign(self, token: VerifiedToken, deadline: float) -> Campaign | None:
        """Return a token's campaign as it is now, see ``current_campaign``."""
        return await current_campaign(self._campaigns, token.program, token.campaign, deadline)

    def coupon(self, token: VerifiedToken, campaign: Campaign, customer_id: str) -> Coupon:
        """Return a token with its campaign, and whether a customer may use it."""
        held = not token.holder_bound or self._verifier.holder_matches(token, customer_id)
        honoured = 0 if campaign.honoured_until_ms is None else self.honoured_until_ms(token, campaign)
        return Coupon(token, campaign, held, honoured)

    def honoured_until_ms(self, token: VerifiedToken, campaign: Campaign) -> int:
        """Return until when a campaign honours a token that expires earlier, Unix milliseconds; 0: its expiry stands.

        A token is never honoured longer than its key lives.
        """
        honoured, own = campaign.honoured_until_ms or 0, token.expires_at * MILLISECONDS
        latest = min(honoured, self._verifier.key_expires_at(token) * MILLISECONDS)
        return latest if latest > own else 0

    def report_refused(self, token: VerifiedToken, campaign: Campaign | None, *, issued: bool = True) -> None:
        """Report a correctly signed token whose answer is TOKEN_INVALID even so.

        Every use case reports here, so the same token has the same cause everywhere: the first one that applies.

        Args:
            token: The token.
            campaign: Its campaign; None when there is none.
            issued: False if the ledger says that its serial was never issued.
        """
        if campaign is None:
            cause = CAMPAIGN_UNKNOWN
        elif lacks_offer(token, campaign):
            cause = OFFER_UNKNOWN
        elif token.outlives_key:
            cause = KEY_OUTLIVED
        elif not issued:
            cause = NEVER_ISSUED
        else:  # it may be a coupon of ours, whose key was disabled since
            self._invalid_tokens.not_genuine(KEY_DISABLED, program=token.program)
            return
        self._alarm(cause, token)

    def _alarm(self, cause: str, token: VerifiedToken) -> None:
        """Report a correctly signed token that was not issued here."""
        self._invalid_tokens.not_believed(
            cause, program=token.program, key_id=token.key_id, campaign=token.campaign, serial=token.serial
        )

    def _report_defect(self, defect: TokenDefect, text: str, program: str) -> None:
        """Report a text that is not a genuine token."""
        if not defect.signed:
            self._invalid_tokens.not_genuine(defect, program=program)
            return
        ids = signed_ids(text)
        self._invalid_tokens.not_believed(
            defect, program=program, key_id=ids.key_id, campaign=ids.campaign, serial=ids.serial
        )


def lacks_offer(token: VerifiedToken, campaign: Campaign) -> bool:
    """Whether a token's campaign has no such offer: nobody can have been given this token."""
    return token.offer_index >= len(campaign.offers)


async def find_campaign(campaigns: CampaignLedger, program: str, number: int, deadline: float) -> Campaign | None:
    """Return a campaign, from the cache or else from the ledger; None if it does not exist.

    Args:
        campaigns: The ledger's campaigns.
        program: The program.
        number: The campaign.
        deadline: The deadline for the ledger's reply, in the event loop's time.

    Raises:
        DeadlinePassed: The ledger sent no reply in time.
    """
    campaign = campaigns.cached(program, number)
    return campaign if campaign is not None else await current_campaign(campaigns, program, number, deadline)


async def current_campaign(campaigns: CampaignLedger, program: str, number: int, deadline: float) -> Campaign | None:
    """Return a campaign as it is now; None if it does not exist. See ``find_campaign``."""
    try:
        async with asyncio.timeout_at(deadline):
            return await campaigns.load(program, number)
    except TimeoutError as error:
        raise DeadlinePassed("the deadline passed before the ledger could be asked; nothing was done") from error


async def current_rules(rules: RulesLedger, program: str, deadline: float) -> ActiveRules:
    """Return a program's rules as they are now, see ``find_campaign``."""
    try:
        async with asyncio.timeout_at(deadline):
            return await rules.load(program)
    except TimeoutError as error:
        raise DeadlinePassed("the deadline passed before the ledger could be asked; nothing was done") from error


def assess_order(
    active: ActiveRules, digests: Digests, checkout: Checkout, tokens: Sequence[VerifiedToken], now_ms: int
) -> Assessment:
    """Compare an order and its genuine tokens with the rules and lists of its program."""
    return assess(
        active,
        active.of_redeem,
        digests=digests.for_program(checkout.program),
        customer=checkout.customer,
        risk=checkout.risk,
        coupons=[(token.campaign, token.serial) for token in tokens],
        campaigns=[token.campaign for token in tokens],
        now_ms=now_ms,
    )


def _require_different(tokens: Sequence[VerifiedToken | None]) -> None:
    seen = set()
    for index, token in enumerate(tokens):
        if token is None:
            continue
        coupon = (token.campaign, token.serial)
        if coupon in seen:
            raise InvalidRequest([Violation(f"checkout.tokens[{index}]", "is a coupon that is given twice")])
        seen.add(coupon)
