"""What issuing needs from outside, and the values that cross: implemented by ``ledger``, used by ``service``."""

from dataclasses import dataclass
from typing import Protocol

from redemption.domain.call_info import CallInfo
from redemption.domain.ports.orders import Failed, Mismatch, Outdated
from redemption.domain.request_identity import RequestIdentity
from redemption.domain.risk_signals import Signals


@dataclass(frozen=True, slots=True)
class Block:
    """A block of serials that was taken for minting.

    Attributes:
        not_before: The coupons are valid from here on, Unix seconds; 0 together with ``expires_at`` when that counts
            from their claim.
        expires_at: Until before this, Unix seconds.
        key_id: The key that was primary then.
    """

    first: int
    not_before: int
    expires_at: int
    key_id: int


@dataclass(frozen=True, slots=True)
class BlockWanted:
    """A block of serials to take; ``Block`` says what its fields mean.

    Attributes:
        version: The version of the campaign that all this was judged by.
        offer_quota: At most so many coupons of the offer are issued; None means the campaign's own limit.
        day: The present day in the campaign's zone, days since 1970.
        since_ms: All this holds from this instant of the ledger's clock, Unix milliseconds.
        until_ms: It holds until before this one.
        identity: What makes it the same request as another.
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
    """Exchange codes to store: of serials that follow each other, told by the digests of their codes.

    Attributes:
        key_id: The key that the codes were derived from.
        not_before: When the coupons will be valid, Unix seconds; 0 together with ``expires_at``: counted from the
            claim.
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
        identity: What makes it the same request as another.
        campaign: 0 for a code of which it is not known yet what it stands for.
        version: The version of the campaign that it was judged by.
        offer_quota: At most so many coupons of the offer are issued; None means the campaign's own limit.
        outcome: APPROVED or the first refusal, as a number of the contract.
        not_before: The coupon will be valid from here on, Unix seconds.
        expires_at: Until before this, Unix seconds.
        key_id: The key that signs its token.
        day: The present day in the campaign's zone, days since 1970.
        since_ms: The judgement holds from this instant of the ledger's clock, Unix milliseconds.
        until_ms: It holds until before this one.
        customer: Digest of the customer id; None when nobody is named.
        signals: Who is behind it.
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
    signals: Signals
    code: bytes | None


@dataclass(frozen=True, slots=True)
class ClaimedCoupon:
    """The coupon that a request got, now or when it was first asked: all that its token says.

    Attributes:
        claimed_at: When, by the ledger's clock, Unix seconds.
        key_id: The key that signs its token.
    """

    claimed_at: int
    campaign: int
    offer_index: int
    serial: int
    not_before: int
    expires_at: int
    key_id: int


@dataclass(frozen=True, slots=True)
class CodeFound:
    """What a code stands for that nobody has claimed yet: judge the claim for this coupon.

    Attributes:
        not_before: When it will be valid, Unix seconds; 0 together with ``expires_at``: counted from the claim.
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
        only_today: With ISSUE_LIMIT, only the present day's share is used up.
    """

    outcome: int
    only_today: bool


ClaimReply = ClaimedCoupon | CodeFound | ClaimRefused | Mismatch | Outdated | Failed


class IssuingLedger(Protocol):
    """Issues coupons. Every method may raise ``ServiceError``."""

    async def issued_before(self, program: str, identity: RequestIdentity) -> Block | None:
        """Return the block that a request got before, if it did.

        Raises:
            RequestIdReused: The request id stands for something else.
        """

    async def issue(self, wanted: BlockWanted) -> Block | Outdated:
        """Take a block of serials, durably.

        Raises:
            LimitReached: A limit leaves no room for so many.
            RequestIdReused: The request id stands for something else.
        """

    async def store_codes(self, program: str, codes: StoredCodes) -> int | None:
        """Store exchange codes, durably; storing them again changes nothing.

        Returns:
            None; or the first serial whose code stands for another coupon already, which keeps it. Then nothing from
            there on was stored, and perhaps not all before.
        """

    async def claim(self, caller: CallInfo, program: str, item: ClaimItem, *, again: bool) -> ClaimReply:
        """Decide a claim.

        Args:
            caller: Who waits for it.
            program: The program.
            item: The claim.
            again: It was judged again and goes before others.
        """


class RevocationLedger(Protocol):
    """Takes coupons back. Every method may raise ``ServiceError``."""

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
        """Take a range of serials back, at once and for good; the reason goes on record.

        Returns:
            None when it is done; else how many serials were ever issued, because the range reaches beyond them.

        Raises:
            NotFound: There is no such campaign.
            RequestIdReused: The request id stands for something else.
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
        """Take back every coupon issued so far that is bound to a customer, told by the digest of the customer id."""
