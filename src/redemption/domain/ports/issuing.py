"""How the use cases issue and revoke coupons, with the values: implemented by ``ledger``, used by ``service``."""

from dataclasses import dataclass
from typing import Protocol

from redemption.domain.call_info import CallInfo
from redemption.domain.ports.orders import Exceeded, Failed, Mismatch, Outdated
from redemption.domain.request_identity import RequestIdentity


@dataclass(frozen=True, slots=True)
class Block:
    """A block of serials that was reserved for minting.

    Attributes:
        not_before: The coupons are valid from this instant, Unix seconds; 0, like ``expires_at``, when their validity
            counts from the claim.
        expires_at: They are valid until this instant, exclusive, Unix seconds.
        key_id: The key that was primary when the block was reserved.
    """

    first: int
    not_before: int
    expires_at: int
    key_id: int


@dataclass(frozen=True, slots=True)
class BlockWanted:
    """A block of serials to reserve; ``Block`` says what its fields mean.

    Attributes:
        version: The version of the campaign that this was judged by.
        offer_quota: The most coupons of the offer that are issued; None means the campaign's own limit.
        day: The current day in the campaign's zone, days since 1970.
        since_ms: The judgement holds from this instant of the ledger's clock, Unix milliseconds.
        until_ms: It holds until this instant, exclusive.
        identity: What makes a repeated request the same request.
    """

    program: str
    campaign: int
    version: int
    offer_index: int
    offer_quota: int | None
    count: int
    not_before: int
    expires_at: int
    key_id: int
    day: int
    since_ms: int
    until_ms: int
    identity: RequestIdentity


@dataclass(frozen=True, slots=True)
class StoredCodes:
    """Exchange codes to store, as digests: one for each serial from ``first`` on.

    Attributes:
        key_id: The key that the codes were derived from.
        not_before: From when the coupons are valid, Unix seconds; 0, like ``expires_at``, when their validity counts
            from the claim.
    """

    campaign: int
    offer_index: int
    key_id: int
    not_before: int
    expires_at: int
    first: int
    digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ClaimItem:
    """One claim to decide.

    Attributes:
        identity: What makes a repeated request the same request.
        campaign: The campaign's number; 0 for a code whose coupon is not known yet.
        version: The version of the campaign that the claim was judged by.
        offer_quota: The most coupons of the offer that are issued; None means the campaign's own limit.
        outcome: APPROVED or the first refusal, as a number of the contract.
        not_before: The coupon will be valid from this instant, Unix seconds.
        expires_at: It will be valid until this instant, exclusive, Unix seconds.
        key_id: The key that signs its token.
        day: The current day in the campaign's zone, days since 1970.
        since_ms: The judgement holds from this instant of the ledger's clock, Unix milliseconds.
        until_ms: It holds until this instant, exclusive.
        customer: Digest of the customer id; None when the claim names no customer.
        person: Digest of the person id; None when the claim names no person.
        rules_version: The version of the program's rules that the claim was judged by.
        checks: What the rules count of it, see ``Assessment.checks``.
        code: Digest of the exchange code; None for a claim of an offer.
    """

    identity: RequestIdentity
    campaign: int
    version: int
    offer_index: int
    offer_quota: int | None
    outcome: int
    not_before: int
    expires_at: int
    key_id: int
    day: int
    since_ms: int
    until_ms: int
    customer: bytes | None
    person: bytes | None
    code: bytes | None
    rules_version: int
    checks: bytes


@dataclass(frozen=True, slots=True)
class ClaimedCoupon:
    """The coupon that a request got, now or at its first try: everything that its token contains.

    Attributes:
        claimed_at: When it was claimed, by the ledger's clock, Unix seconds.
        key_id: The key that signs its token.
        remembered: The request got it at an earlier try.
    """

    claimed_at: int
    campaign: int
    offer_index: int
    serial: int
    not_before: int
    expires_at: int
    key_id: int
    remembered: bool = False


@dataclass(frozen=True, slots=True)
class CodeFound:
    """The coupon of a code that nobody has claimed yet: the claim must be judged for this coupon.

    Attributes:
        not_before: From when it is valid, Unix seconds; 0, like ``expires_at``, when validity counts from the claim.
        key_id: The key that the code was derived from.
    """

    campaign: int
    offer_index: int
    serial: int
    not_before: int
    expires_at: int
    key_id: int


@dataclass(frozen=True, slots=True)
class ClaimRefused:
    """Nothing was changed.

    Attributes:
        outcome: An outcome's number.
        only_today: With ISSUE_LIMIT, only the current day's limit is used up.
    """

    outcome: int
    only_today: bool


ClaimReply = ClaimedCoupon | CodeFound | ClaimRefused | Mismatch | Outdated | Failed


class IssuingLedger(Protocol):
    """Issues coupons. Every method may raise ``ServiceError``."""

    async def issued_before(self, program: str, identity: RequestIdentity) -> Block | None:
        """Return the block that an earlier try of this request got, or None.

        Raises:
            RequestIdReused: The request id was used for a different request.
        """

    async def issue(self, wanted: BlockWanted) -> Block | Outdated:
        """Reserve a block of serials, durably.

        Raises:
            LimitReached: A limit does not allow ``count`` more coupons.
            RequestIdReused: The request id was used for a different request.
        """

    async def store_codes(self, program: str, codes: StoredCodes) -> int | None:
        """Store exchange codes, durably; storing them again changes nothing.

        Returns:
            None when all are stored. Otherwise the first serial whose code belongs to another coupon already, which
            keeps it: then nothing was stored from this serial on, and perhaps not everything before it.
        """

    async def claim(
        self, caller: CallInfo, program: str, item: ClaimItem, *, rejudged: bool
    ) -> tuple[ClaimReply, tuple[Exceeded, ...]]:
        """Decide a claim; return the reply, and the rules that the claim exceeds.

        Args:
            caller: Who waits for it.
            program: The program.
            item: The claim.
            rejudged: The claim was judged again and goes before others.
        """


class RevocationLedger(Protocol):
    """Revokes coupons. Every method may raise ``ServiceError``."""

    async def revoke_serials(
        self,
        program: str,
        number: int,
        first: int,
        count: int,
        *,
        identity: RequestIdentity,
        reason: str = "",
    ) -> int | None:
        """Revoke a range of serials, at once and for good; the reason is recorded.

        Returns:
            None when it is done. Otherwise the number of serials issued so far, because the range is not within them.

        Raises:
            NotFound: There is no such campaign.
            RequestIdReused: The request id was used for a different request.
        """

    async def revoke_customer(
        self,
        program: str,
        number: int,
        customer: bytes,
        *,
        identity: RequestIdentity,
        reason: str = "",
    ) -> None:
        """Revoke every coupon issued so far that is bound to a customer, given the customer id's digest."""
