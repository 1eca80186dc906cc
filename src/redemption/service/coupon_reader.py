"""From the tokens of a request to coupons: which are genuine, and the campaigns they belong to."""

import asyncio
from collections.abc import Sequence

from redemption.domain.campaign.campaign import Campaign
from redemption.domain.errors import DeadlinePassed, InvalidRequest, NotBuilt, Violation
from redemption.domain.judging.eligibility import Coupon
from redemption.domain.order import Checkout
from redemption.domain.ports.campaigns import CampaignLedger
from redemption.domain.ports.ledger import Ledger
from redemption.domain.signed.token import TokenVerifier, VerifiedToken
from redemption.telemetry.invalid_tokens import InvalidTokens

NEVER_ISSUED = "never_issued"
CAMPAIGN_UNKNOWN = "campaign_unknown"
OFFER_UNKNOWN = "offer_unknown"
KEY_DISABLED = "key_disabled"


class CouponReader:
    """Reads tokens, and reports those that are answered with TOKEN_INVALID."""

    def __init__(self, *, verifier: TokenVerifier, ledger: Ledger, invalid_tokens: InvalidTokens) -> None:
        self._verifier = verifier
        self._campaigns = ledger.campaigns
        self._invalid_tokens = invalid_tokens

    def token(self, text: str, program: str) -> VerifiedToken | None:
        """Return a genuine token of a program; None for any other text."""
        token = self._verifier.verify(text, program=program)
        if isinstance(token, VerifiedToken):
            return token
        self._invalid_tokens.not_genuine(token, program=program)
        return None

    def tokens(self, checkout: Checkout) -> list[VerifiedToken | None]:
        """Return a checkout's tokens in its order; None in the place of each that is not genuine.

        Raises:
            InvalidRequest: Two of them are the same coupon.
            NotBuilt: One is for many uses.
        """
        tokens: list[VerifiedToken | None] = []
        for text in checkout.tokens:
            token = self._verifier.verify(text, program=checkout.program)
            if not isinstance(token, VerifiedToken):
                self._invalid_tokens.not_genuine(token, program=checkout.program)
                tokens.append(None)
                continue
            if token.shared:
                raise NotBuilt("checkout.tokens: tokens for many uses are not supported by this version")
            tokens.append(token)
        if len(tokens) > 1:
            _require_different(tokens)
        return tokens

    async def campaign(self, token: VerifiedToken, deadline: float) -> Campaign | None:
        """Return a token's campaign, see ``campaign_at_hand``."""
        return await campaign_at_hand(self._campaigns, token.program, token.campaign, deadline)

    async def current_campaign(self, token: VerifiedToken, deadline: float) -> Campaign | None:
        """Return a token's campaign as it is now, see ``campaign_in_force``."""
        return await campaign_in_force(self._campaigns, token.program, token.campaign, deadline)

    def coupon(self, token: VerifiedToken, campaign: Campaign, customer_id: str) -> Coupon:
        """Return a token with its campaign, and whether a customer may use it."""
        held = not token.holder_bound or self._verifier.holder_matches(token, customer_id)
        return Coupon(token, campaign, held)

    def report_refused(self, token: VerifiedToken, campaign: Campaign | None, *, issued: bool) -> None:
        """Report a correctly signed token that is answered with TOKEN_INVALID all the same.

        Args:
            token: The token.
            campaign: Its campaign; None when there is none.
            issued: Whether its serial was ever issued, as far as the ledger was asked.
        """
        if campaign is None:
            cause = CAMPAIGN_UNKNOWN
        elif not issued:
            cause = NEVER_ISSUED
        elif token.offer_index >= len(campaign.offers):
            cause = OFFER_UNKNOWN
        else:
            self._invalid_tokens.not_genuine(KEY_DISABLED, program=token.program)
            return
        self._invalid_tokens.not_believed(
            cause, program=token.program, key_id=token.key_id, campaign=token.campaign, serial=token.serial
        )


async def campaign_at_hand(campaigns: CampaignLedger, program: str, number: int, deadline: float) -> Campaign | None:
    """Return a campaign, at hand or from the ledger, or None when there is none.

    Args:
        campaigns: What keeps them.
        program: The program.
        number: The campaign.
        deadline: Until when to wait for the ledger, in the event loop's time.

    Raises:
        DeadlinePassed: The ledger did not answer in time.
    """
    campaign = campaigns.cached(program, number)
    return campaign if campaign is not None else await campaign_in_force(campaigns, program, number, deadline)


async def campaign_in_force(campaigns: CampaignLedger, program: str, number: int, deadline: float) -> Campaign | None:
    """Return a campaign as it is now, or None when there is none; see ``campaign_at_hand``."""
    try:
        async with asyncio.timeout_at(deadline):
            return await campaigns.load(program, number)
    except TimeoutError as error:
        raise DeadlinePassed("the deadline passed before the ledger could be asked; nothing was done") from error


def _require_different(tokens: Sequence[VerifiedToken | None]) -> None:
    seen = set()
    for index, token in enumerate(tokens):
        if token is None:
            continue
        coupon = (token.campaign, token.serial)
        if coupon in seen:
            raise InvalidRequest([Violation(f"checkout.tokens[{index}]", "is a coupon that is given twice")])
        seen.add(coupon)
