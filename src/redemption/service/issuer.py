"""Issues coupons: mints tokens and exchange codes, and inspects tokens."""

from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial

from redemption.domain.call_info import CallInfo
from redemption.domain.campaign.calendar import Days
from redemption.domain.campaign.campaign import MILLISECONDS, Campaign, CampaignState, ClaimValidity
from redemption.domain.campaign.campaign_checks import LATEST_MS
from redemption.domain.campaign.validity import valid_time
from redemption.domain.errors import Conflict, InvalidRequest, NotFound, Violation, WrongState
from redemption.domain.judging.claiming import issuing_moment
from redemption.domain.order import id_violations, program_violations, text_violations
from redemption.domain.ports.issuing import Block, BlockWanted, StoredCodes
from redemption.domain.ports.ledger import Ledger
from redemption.domain.ports.orders import EarlierUse, Outdated
from redemption.domain.request_identity import RequestIdentity
from redemption.domain.signed.digest import DigestKind, Digests
from redemption.domain.signed.exchange_code import CampaignCodes, Codes, write_code
from redemption.domain.signed.keyset import Keyset
from redemption.domain.signed.signing import SigningError
from redemption.domain.signed.token import VerifiedToken
from redemption.scheduling.fair_slots import FairSlots
from redemption.scheduling.work_bounds import MINTING
from redemption.service.coupon_reader import CouponReader, lacks_offer
from redemption.service.decisions import DecisionWriter
from redemption.service.idempotency import canonical, identity_of
from redemption.service.judging_rounds import until_decided
from redemption.service.signers import Signers

MINT_MAX = 1_000_000
CHUNK = 500
"""Coupons in one chunk of an answer."""
STEP = 100
"""Coupons that are made in one step, in about 0.2 ms."""
ROUNDS_MAX = 16
"""A block of serials is rarely asked for and costs little to judge; an editor that never pauses changes a campaign as
fast as we read it."""
_FROM_CLAIM = (0, 0)
"""Instead of an interval: the validity of these coupons begins with their claim."""


@dataclass(frozen=True, slots=True)
class MintRequest:
    """What to mint.

    Attributes:
        customer_id: The customer to bind the tokens to; empty leaves them unbound.
        not_before_ms: From when they are valid, Unix milliseconds; None means as the campaign says.
        expires_at_ms: Their expiry, exclusive, Unix milliseconds; None means as the campaign says, where the campaign's
            own end is capped to the key's life.
        skip: How many coupons to leave out at the beginning.
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
    """One minted coupon: a token, or the exchange code that becomes one."""

    token: str
    serial: int
    code: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a token is, and how it was used or revoked.

    Attributes:
        token: None when it is not a genuine token of the program, or no such coupon was ever issued.
        use: The record of its use, or None.
        redemption_id: The receipt of that use.
        revoked: It was revoked; this does not show whether all coupons of its holder were revoked.
        honoured_until_ms: Until when its campaign honours it although it expires earlier, Unix milliseconds; 0: its own
            expiry stands.
    """

    token: VerifiedToken | None
    use: EarlierUse | None = None
    redemption_id: str = ""
    revoked: bool = False
    honoured_until_ms: int = 0


class Issuer:
    """Issues the coupons of all programs."""

    def __init__(
        self,
        *,
        keyset: Keyset,
        reader: CouponReader,
        digests: Digests,
        decisions: DecisionWriter,
        ledger: Ledger,
    ) -> None:
        self._signers = Signers(keyset)
        self._codes = Codes(keyset)
        self._reader = reader
        self._digests = digests
        self._decisions = decisions
        self._orders = ledger.orders
        self._campaigns = ledger.campaigns
        self._issuing = ledger.issuing
        self._ledger = ledger
        self._days = Days()
        self._slots = FairSlots(MINTING)

    async def mint(self, caller: CallInfo, request: MintRequest) -> AsyncGenerator[list[Minted], None]:
        """Reserve serials, durably, and return the tokens in chunks, each signed when it is read.

        Raises:
            ServiceError: Nothing was minted.
        """
        _require(_violations(request))
        block = await self._block(caller, request, _content("mint", request), codes=False)
        # A repeated request gets the same tokens, even if they are expired by now.
        sign = self._signing(request, block, min(self._ledger.now_ms() // MILLISECONDS, block.expires_at - 1))
        return self._tokens(request, block, sign)

    async def mint_codes(self, caller: CallInfo, request: MintRequest) -> AsyncGenerator[list[Minted], None]:
        """Reserve serials, durably, and return their exchange codes in chunks, each stored before it is returned.

        Raises:
            ServiceError: Nothing was minted.
        """
        violations = _violations(request)
        if request.customer_id:
            violations.append(Violation("customer_id", "must be empty: a code is bound to whoever claims it"))
        _require(violations)
        return self._stored(request, await self._block(caller, request, _content("mint-codes", request), codes=True))

    async def inspect(self, caller: CallInfo, program: str, text: str) -> Inspection:
        """Return what a token is, and how it was used or revoked; a forged token costs the ledger nothing.

        Raises:
            InvalidRequest: The program's name is malformed.
            WrongState: The token's campaign is archived.
        """
        _require(list(program_violations(program)))
        token = self._reader.token(text, program)
        if token is None:
            return Inspection(None)
        seen = (await self._orders.coupon(program, token.campaign, token.serial)).now
        # Read after the coupon: if it is not archived now, the coupon's record was still complete then.
        campaign = await self._campaigns.load(program, token.campaign)
        if campaign is None or lacks_offer(token, campaign) or not seen.issued or token.outlives_key:
            self._reader.report_refused(token, campaign, issued=seen.issued)
            return Inspection(None)
        if campaign.state is CampaignState.ARCHIVED:
            raise WrongState(
                f"token: its campaign {campaign.number} is archived and the records of its coupons were removed, so "
                "nobody knows whether it was used"
            )
        honoured = self._reader.honoured_until_ms(token, campaign)
        receipt = "" if seen.use is None else self._decisions.receipt_of(token.program, token, seen.use)
        return Inspection(token, seen.use, receipt, revoked=seen.revoked, honoured_until_ms=honoured)

    async def _block(self, caller: CallInfo, request: MintRequest, content: bytes, *, codes: bool) -> Block:
        """Reserve a block of serials, or return the one that an earlier try of this request got."""
        identity = identity_of(self._digests.for_program(request.program), caller, request.request_id, content)
        # Looked up first: a repeated request gets its coupons even if the campaign has ended since.
        before = await self._issuing.issued_before(request.program, identity)
        if before is not None:
            return before

        async def judge_and_ask(now_ms: int | None) -> Block | Outdated:
            at_ms = self._ledger.now_ms() if now_ms is None else now_ms
            campaign = await self._campaign(request)
            return await self._issuing.issue(self._wanted(request, campaign, at_ms, identity, codes=codes))

        return await until_decided(judge_and_ask, failure=_changes_too_fast, rounds_max=ROUNDS_MAX)

    def _wanted(
        self,
        request: MintRequest,
        campaign: Campaign,
        now_ms: int,
        identity: RequestIdentity,
        *,
        codes: bool,
    ) -> BlockWanted:
        """Return the block to reserve in the ledger; first check that its tokens can be signed."""
        not_before, expires_at = self._validity(request, campaign, now_ms, codes=codes)
        if not codes:
            self._signing(request, Block(0, not_before, expires_at, self._signers.primary.id), now_ms // MILLISECONDS)
        moment = issuing_moment(now_ms)
        day = self._days.at(campaign.time_zone, now_ms)
        moment.within(day.starts_at_ms, day.ends_at_ms)
        return BlockWanted(
            program=request.program,
            campaign=request.campaign,
            version=campaign.version,
            offer_index=request.offer_index,
            offer_quota=campaign.offers[request.offer_index].issue_quota,
            count=request.count,
            not_before=not_before,
            expires_at=expires_at,
            key_id=self._signers.primary.id,
            day=day.number,
            since_ms=moment.since_ms,
            until_ms=moment.until_ms,
            identity=identity,
        )

    async def _tokens(
        self, request: MintRequest, block: Block, sign: Callable[..., str]
    ) -> AsyncGenerator[list[Minted], None]:
        """Yield the tokens of a block in chunks, each signed when it is read."""
        for serials in _chunks(request, block):
            async with self._slots.slot() as slot:
                part = await slot.drive(_signed(sign, serials))
            yield part  # outside the slot: a slow reader must not block the others

    async def _stored(self, request: MintRequest, block: Block) -> AsyncGenerator[list[Minted], None]:
        """Yield the exchange codes of a block in chunks, each stored before it is returned."""
        try:
            codes = self._codes.campaign(program=request.program, campaign=request.campaign, key_id=block.key_id)
        except SigningError as error:
            raise WrongState(f"the codes of this request cannot be told again: {error}") from error
        digest = partial(self._digests.for_program(request.program).digest, DigestKind.CODE)
        for serials in _chunks(request, block):
            async with self._slots.slot() as slot:
                part, digests = await slot.drive(_coded(codes, digest, serials))
            conflict = await self._store(request, block, serials.start, digests)
            if conflict is None:
                yield part
                continue
            ours = conflict - serials.start
            await self._store(request, block, serials.start, digests[:ours])
            yield part[:ours]
            raise WrongState(
                f"the code of serial {conflict} stands for another coupon already, which keeps it; this serial has "
                f"none: ask again for the rest, with skip {conflict - block.first + 1}"
            )

    async def _store(self, request: MintRequest, block: Block, first: int, digests: list[bytes]) -> int | None:
        """Store the codes of some serials; return the first serial whose code belongs to another coupon, or None."""
        return await self._issuing.store_codes(
            request.program,
            StoredCodes(
                campaign=request.campaign,
                offer_index=request.offer_index,
                key_id=block.key_id,
                not_before=block.not_before,
                expires_at=block.expires_at,
                first=first,
                digests=tuple(digests),
            ),
        )

    def _signing(self, request: MintRequest, block: Block, now: int) -> "partial[str]":
        """Return the function that signs the token of a serial of a block, after one trial signature.

        Raises:
            InvalidRequest: No key may sign them.
        """
        signer = self._signers.signer(program=request.program, campaign=request.campaign, key_id=block.key_id)
        sign = partial(
            signer.sign,
            offer_index=request.offer_index,
            not_before=block.not_before,
            expires_at=block.expires_at,
            now=now,
            customer_id=request.customer_id or None,
        )
        try:
            sign(serial=block.first)
        except SigningError as error:
            raise InvalidRequest([Violation("expire_time", str(error))]) from error
        return sign

    async def _campaign(self, request: MintRequest) -> Campaign:
        # Read each time, so that a refusal here comes from the current definition, not from a cached one.
        campaign = await self._campaigns.load(request.program, request.campaign)
        if campaign is None:
            raise NotFound(f"campaign: there is no campaign {request.campaign} in program {request.program!r}")
        if campaign.state in (CampaignState.ENDED, CampaignState.ARCHIVED):
            raise WrongState(f"campaign: {request.campaign} has ended; nothing more is minted of it")
        if request.offer_index >= len(campaign.offers):
            problem = f"campaign {request.campaign} has offers 0 to {len(campaign.offers) - 1}"
            raise InvalidRequest([Violation("offer_index", problem)])
        return campaign

    def _validity(self, request: MintRequest, campaign: Campaign, now_ms: int, *, codes: bool) -> tuple[int, int]:
        """Return the interval in which the coupons are valid, Unix seconds: as ordered, else as the campaign says.

        Raises:
            InvalidRequest: They would never be valid.
            WrongState: No key may sign what the campaign promises.
        """
        now = now_ms // MILLISECONDS
        ordered = request.not_before_ms is not None or request.expires_at_ms is not None
        not_before, expires_at = valid_time(campaign, now_ms)
        if request.not_before_ms is not None:
            not_before = request.not_before_ms // MILLISECONDS
        if request.expires_at_ms is not None:
            expires_at = request.expires_at_ms // MILLISECONDS
        elif not codes:  # for codes, the claim caps the expiry: nothing is signed before it
            expires_at = self._signers.capped_expiry(campaign, expires_at, now)
        if expires_at <= max(not_before, now):
            problem = f"the coupons would be valid from {not_before} until {expires_at}, and it is {now}: never"
            raise InvalidRequest([Violation("expire_time", problem)])
        if codes and not ordered and isinstance(campaign.validity, ClaimValidity):
            return _FROM_CLAIM
        return not_before, expires_at


def _changes_too_fast() -> Conflict:
    return Conflict("the campaign changes faster than coupons can be minted; ask again with the same request id")


def _chunks(request: MintRequest, block: Block) -> Iterator[range]:
    return _parts(range(block.first + request.skip, block.first + request.count), CHUNK)


def _parts(serials: range, most: int) -> Iterator[range]:
    return (serials[start : start + most] for start in range(0, len(serials), most))


def _signed(sign: Callable[..., str], serials: range) -> Generator[None, None, list[Minted]]:
    """Sign the tokens of some serials, in steps."""
    made: list[Minted] = []
    for step in _parts(serials, STEP):
        made += [Minted(sign(serial=serial), serial) for serial in step]
        yield
    return made


def _coded(
    codes: CampaignCodes, digest: Callable[[bytes], bytes], serials: range
) -> Generator[None, None, tuple[list[Minted], list[bytes]]]:
    """Derive the codes of some serials and their digests, in steps."""
    made: list[Minted] = []
    digests: list[bytes] = []
    for step in _parts(serials, STEP):
        derived = [codes.code(serial) for serial in step]
        made += [Minted("", serial, write_code(code)) for serial, code in zip(step, derived, strict=True)]
        digests += [digest(code) for code in derived]
        yield
    return made, digests


def _require(violations: list[Violation]) -> None:
    if violations:
        raise InvalidRequest(violations)


def _violations(request: MintRequest) -> list[Violation]:
    found = list(program_violations(request.program))
    found += id_violations(request.request_id, "request_id")
    found += text_violations(request.customer_id, "customer_id")
    if not 1 <= request.count <= MINT_MAX:
        found.append(Violation("count", f"must be 1 to {MINT_MAX}"))
    elif not 0 <= request.skip <= request.count:
        found.append(Violation("skip", "must be 0 to count"))
    if not request.campaign:
        found.append(Violation("campaign", "is required: the campaign's number"))
    for field, value in (("not_before", request.not_before_ms), ("expire_time", request.expires_at_ms)):
        if value is not None and value % MILLISECONDS:
            found.append(Violation(field, "must be a whole second"))
        elif value is not None and not 0 <= value <= LATEST_MS:
            found.append(Violation(field, "must lie between 1970 and 2106"))
    return found


def _content(operation: str, request: MintRequest) -> bytes:
    return canonical(
        operation,
        request.campaign,
        request.offer_index,
        request.count,
        request.customer_id,
        request.not_before_ms,
        request.expires_at_ms,
    )
