"""What the use cases need from outside, and the values that cross: implemented by ``ledger``, used by ``service``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from redemption.domain.campaign import Campaign
from redemption.domain.errors import ServiceError


@dataclass(frozen=True, slots=True)
class AnsweredToken:
    """What an approval says of one token, as it is remembered.

    Attributes:
        key_id: The key that signed the token; it signs the receipt too.
        parts: Pairs of line index and amount, minor units, summing to ``discount_minor``.
    """

    campaign: int
    key_id: int
    serial: int
    discount_minor: int
    parts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class JudgedToken:
    """One token as the server judged it: what the ledger needs to decide.

    Attributes:
        version: The version of the campaign that it was judged by.
        outcome: APPROVED or the first refusal, as a number of the contract.
        day: The present day in the campaign's zone, days since 1970.
    """

    campaign: int
    version: int
    serial: int
    outcome: int
    discount_minor: int
    day: int


@dataclass(frozen=True, slots=True)
class RedeemItem:
    """One order to decide.

    Attributes:
        request: Digest of principal and request id.
        content: Digest of what was asked.
        order: Digest of the order id.
        customer: Digest of the customer id; None for a guest.
        since_ms: The judgement holds from this instant of the ledger's clock, Unix milliseconds.
        until_ms: It holds until before this one.
        answer: What to remember if it is approved.
    """

    request: bytes
    content: bytes
    order: bytes
    customer: bytes | None
    since_ms: int
    until_ms: int
    tokens: tuple[JudgedToken, ...]
    answer: tuple[AnsweredToken, ...]


@dataclass(frozen=True, slots=True)
class Approved:
    """Every coupon of the order is used now; generations count how often each was given back before."""

    decided_at: int
    generations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Remembered:
    """This request was approved before; this is the answer that it got."""

    decided_at: int
    generations: tuple[int, ...]
    answer: tuple[AnsweredToken, ...]


@dataclass(frozen=True, slots=True)
class EarlierUse:
    """The use of a coupon that its record shows; ``redeemed_at`` (Unix seconds) is 0 when there was none."""

    redeemed_at: int
    generation: int
    discount_minor: int


@dataclass(frozen=True, slots=True)
class RememberedByCoupons:
    """The request itself is forgotten, but every coupon's record says that this request used it."""

    uses: tuple[EarlierUse, ...]


@dataclass(frozen=True, slots=True)
class RefusedToken:
    """The verdict on one token of a refused order; ``rank`` is an outcome's number, or SAME_ORDER_RANK."""

    rank: int
    use: EarlierUse


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was changed."""

    tokens: tuple[RefusedToken, ...]
    decided_at: int


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The request id stands for other content."""

    decided_at: int


@dataclass(frozen=True, slots=True)
class Outdated:
    """Judge again: a campaign changed (the catalog knows it by now), or the ledger's clock reads ``now_ms``."""

    now_ms: int


@dataclass(frozen=True, slots=True)
class Failed:
    """This item met a record that could not be read; nothing of it was done."""

    cause: str


RedeemReply = Approved | Remembered | RememberedByCoupons | Refused | Mismatch | Outdated | Failed


@dataclass(frozen=True, slots=True)
class Block:
    """A block of serials that was taken for minting; its tokens are valid in [not_before, expires_at), Unix seconds."""

    first: int
    not_before: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Counters:
    """A campaign's exact counters; ``redeemed_today`` counts the day ``day`` (days since 1970, campaign's zone)."""

    now_ms: int
    issued: int
    redeemed: int
    discount_minor: int
    day: int
    redeemed_today: int


class Ledger(Protocol):
    """The one place that decides and remembers. Every method may raise ``ServiceError``."""

    def now_ms(self) -> int:
        """Return an estimate of the ledger's clock, Unix milliseconds."""

    def cached(self, program: str, number: int) -> Campaign | None:
        """Return a campaign if its definition is at hand; it may be outdated, which a decision finds out."""

    def forget(self, program: str, number: int) -> None:
        """Drop a definition that is at hand, so that it is read again."""

    async def load(self, program: str, number: int) -> Campaign | None:
        """Return a campaign as it is now, or None."""

    async def load_range(self, program: str, first: int, last: int) -> list[Campaign]:
        """Return the campaigns with numbers from first to last that exist."""

    async def redeem(
        self, program: str, items: Sequence[RedeemItem], *, deadline: float, again: bool
    ) -> list[RedeemReply | ServiceError]:
        """Decide orders of one program; an order that was not answered has its failure in its place.

        Args:
            program: The program.
            items: The orders.
            deadline: Until when to wait, in the event loop's time.
            again: They were judged again and go before others.
        """

    async def issued_before(self, program: str, *, request: bytes, content: bytes) -> Block | None:
        """Return the block that a request got before, if it did."""

    async def issue(
        self, campaign: Campaign, count: int, *, not_before: int, expires_at: int, request: bytes, content: bytes
    ) -> Block | None:
        """Take a block of serials, durably; None if the campaign changed meanwhile."""

    async def create(self, campaign: Campaign, *, request: bytes, content: bytes) -> Campaign:
        """Create a campaign and return it with its number and version."""

    async def update(self, campaign: Campaign, *, offers_kept: bool) -> Campaign:
        """Replace version ``campaign.version`` of a definition and return the new one.

        Args:
            campaign: The new definition.
            offers_kept: The offers it had are unchanged; if not, it is a conflict once anything was minted.

        Raises:
            Conflict: Another version is in force, or coupons were minted meanwhile.
        """

    async def counters(self, program: str, number: int) -> Counters | None:
        """Return a campaign's counters, or None when there is no such campaign."""

    async def coupon(self, program: str, number: int, serial: int) -> tuple[bool, EarlierUse | None]:
        """Return whether a serial was ever issued, and the record of its use."""

    async def remembered(self, program: str, request: bytes) -> Remembered | None:
        """Return what was approved under a request digest, for as long as it is remembered."""
