"""Bringing coupons into the world: minting tokens, and telling what a token is."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from redemption.domain.campaign import LATEST_MS, MILLISECONDS, Campaign, CampaignState
from redemption.domain.digest import DigestKind, Digests
from redemption.domain.errors import Conflict, InvalidRequest, NotFound, Violation, WrongState
from redemption.domain.keyset import KEY_LIFE_SECONDS_MAX, Keyset
from redemption.domain.order import id_violations, program_violations, text_violations
from redemption.domain.ports import Block, EarlierUse, Ledger
from redemption.domain.signing import SigningError
from redemption.domain.token import TokenSigner, TokenVerifier, VerifiedToken
from redemption.service.answer import Answers
from redemption.service.content import canonical

MINT_MAX = 1_000_000
CHUNK = 500
ROUNDS_MAX = 3


@dataclass(frozen=True, slots=True)
class MintOrder:
    """What to mint.

    Attributes:
        customer_id: Whom to bind the tokens to; empty leaves them unbound.
        not_before_ms: From when they are valid, Unix milliseconds; None means from the campaign's start.
        expires_at_ms: Until when, exclusive; None means to the campaign's end, as far as a key may reach.
        skip: Leave out so many from the front.
    """

    program: str
    request_id: str
    campaign: int
    offer_index: int
    count: int
    customer_id: str = ""
    not_before_ms: int | None = None
    expires_at_ms: int | None = None
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Minted:
    """One minted coupon."""

    token: str
    serial: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a token is and what became of it.

    Attributes:
        token: None when it is not a genuine token of the program, or its serial was never issued.
        use: The record of its use, or None.
        redemption_id: The receipt of that use.
    """

    token: VerifiedToken | None
    use: EarlierUse | None = None
    redemption_id: str = ""


class Issuer:
    """Issues the coupons of all programs."""

    def __init__(
        self, *, keyset: Keyset, verifier: TokenVerifier, digests: Digests, answers: Answers, ledger: Ledger
    ) -> None:
        self._keyset = keyset
        self._signer = TokenSigner(keyset)
        self._verifier = verifier
        self._digests = digests
        self._answers = answers
        self._ledger = ledger

    async def mint(self, principal: str, order: MintOrder) -> Iterator[list[Minted]]:
        """Take serials, durably, and return the tokens in chunks, signed as they are asked for.

        Raises:
            ServiceError: Nothing was minted.
        """
        violations = _violations(order)
        if violations:
            raise InvalidRequest(violations)
        digests = self._digests.for_program(order.program)
        request = digests.digest(DigestKind.REQUEST, principal.encode(), order.request_id.encode())
        content = digests.digest(DigestKind.CONTENT, _content(order))
        # Asked for first: a repetition gets its coupons even when the campaign has ended since.
        block = await self._ledger.issued_before(order.program, request=request, content=content)
        for _ in range(ROUNDS_MAX):
            if block is not None:
                return self._tokens(order, block)
            campaign = await self._campaign(order)
            not_before, expires_at = self._validity(order, campaign)
            # Whatever cannot be signed is found out before serials are taken.
            self._tokens(order, Block(0, not_before, expires_at))
            block = await self._ledger.issue(
                campaign, order.count, not_before=not_before, expires_at=expires_at, request=request, content=content
            )
        raise Conflict("the campaign changes faster than coupons can be minted; ask again with the same request id")

    def _tokens(self, order: MintOrder, block: Block) -> Iterator[list[Minted]]:
        """Return the tokens of a block in chunks, signed as they are asked for."""
        now = self._ledger.now_ms() // MILLISECONDS
        sign = partial(
            self._signer.campaign(program=order.program, campaign=order.campaign).sign,
            offer_index=order.offer_index,
            not_before=block.not_before,
            expires_at=block.expires_at,
            now=now,
            customer_id=order.customer_id or None,
        )
        try:
            sign(serial=block.first)
        except SigningError as error:
            raise InvalidRequest([Violation("expire_time", str(error))]) from error
        serials = range(block.first + order.skip, block.first + order.count)
        return (
            [Minted(sign(serial=serial), serial) for serial in serials[start : start + CHUNK]]
            for start in range(0, len(serials), CHUNK)
        )

    async def inspect(self, program: str, text: str) -> Inspection:
        """Tell what a token is and what became of it; a forged one costs the ledger nothing.

        Raises:
            InvalidRequest: The program's name is malformed.
        """
        violations = list(program_violations(program))
        if violations:
            raise InvalidRequest(violations)
        token = self._verifier.verify(text, program=program)
        if not isinstance(token, VerifiedToken):
            return Inspection(None)
        issued, record = await self._ledger.coupon(program, token.campaign, token.serial)
        if not issued:
            return Inspection(None)
        if record is None:
            return Inspection(token)
        return Inspection(token, record, self._answers.receipt_of(token, record))

    async def _campaign(self, order: MintOrder) -> Campaign:
        campaign = self._ledger.cached(order.program, order.campaign)
        if campaign is None:
            campaign = await self._ledger.load(order.program, order.campaign)
        if campaign is None:
            raise NotFound(f"campaign: there is no campaign {order.campaign} in program {order.program!r}")
        if campaign.state in (CampaignState.ENDED, CampaignState.ARCHIVED):
            raise WrongState(f"campaign: {order.campaign} has ended; nothing more is minted of it")
        if order.offer_index >= len(campaign.offers):
            problem = f"campaign {order.campaign} has offers 0 to {len(campaign.offers) - 1}"
            raise InvalidRequest([Violation("offer_index", problem)])
        return campaign

    def _validity(self, order: MintOrder, campaign: Campaign) -> tuple[int, int]:
        """Return from when to when the tokens are valid, Unix seconds."""
        not_before_ms = campaign.starts_at_ms if order.not_before_ms is None else order.not_before_ms
        if order.expires_at_ms is not None:
            return not_before_ms // MILLISECONDS, order.expires_at_ms // MILLISECONDS
        longest = self._ledger.now_ms() // MILLISECONDS + KEY_LIFE_SECONDS_MAX
        # Rounded up: the campaign's own end is exact and is checked as well.
        end = -(-campaign.ends_at_ms // MILLISECONDS)
        return not_before_ms // MILLISECONDS, min(end, longest, self._keyset.primary.max_expires_at)


def _violations(order: MintOrder) -> list[Violation]:
    found = list(program_violations(order.program))
    found += id_violations(order.request_id, "request_id")
    found += text_violations(order.customer_id, "customer_id")
    if not 1 <= order.count <= MINT_MAX:
        found.append(Violation("count", f"must be 1 to {MINT_MAX}"))
    elif not 0 <= order.skip <= order.count:
        found.append(Violation("skip", "must be 0 to count"))
    if not order.campaign:
        found.append(Violation("campaign", "is required: the campaign's number"))
    for field, value in (("not_before", order.not_before_ms), ("expire_time", order.expires_at_ms)):
        if value is not None and value % MILLISECONDS:
            found.append(Violation(field, "must be a whole second"))
        elif value is not None and not 0 <= value <= LATEST_MS:
            found.append(Violation(field, "must lie between 1970 and 2106"))
    return found


def _content(order: MintOrder) -> bytes:
    return canonical(
        "mint",
        order.campaign,
        order.offer_index,
        order.count,
        order.customer_id,
        order.not_before_ms,
        order.expires_at_ms,
    )
