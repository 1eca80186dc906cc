"""How the use cases decide orders and read coupons, with the values: implemented by ``ledger``, used by ``service``."""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Protocol, TypeAlias

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import ServiceError
from redemption.domain.record import record
from redemption.domain.request_identity import RequestIdentity
from redemption.domain.risk.assessment import NO_CHECKS


@record(frozen=True, slots=True)
class AnsweredToken:
    """What an approval says about one token, as the ledger remembers it.

    Attributes:
        key_id: The key that signed the token; it signs the receipt too.
        merchant_basis_points: The merchant's share of every amount.
        parts: Pairs of position and amount, minor units, summing to ``discount_minor``; positions count the order's
            lines and then its shipping fees.
    """

    campaign: int
    key_id: int
    serial: int
    discount_minor: int
    merchant_basis_points: int
    parts: tuple[tuple[int, int], ...]


@record(frozen=True, slots=True)
class JudgedToken(AnsweredToken):
    """One token as the server judged it: what the ledger needs to decide, and what an approval will say.

    Attributes:
        version: The version of the campaign that it was judged by.
        outcome: APPROVED or the first refusal, as a number of the contract.
        merchant_minor: The share of ``discount_minor`` that merchants pay.
        order_value_minor: The order's value before discounts; 0 when another token of the campaign carries it.
        day: The current day in the campaign's zone, days since 1970.
        slot: The number of the time slot that it counts for, unique over days; 0 when the campaign has no slots.
        slot_limit: How many redemptions that slot allows.
        holder_bound: The token is bound to the order's customer.
        slot_carries: The limit covers the whole day so far: what earlier slots did not use is available.
    """

    version: int
    outcome: int
    merchant_minor: int
    order_value_minor: int
    offer_index: int
    day: int
    slot: int
    slot_limit: int
    holder_bound: bool
    slot_carries: bool = False


@record(frozen=True, slots=True)
class Approved:
    """Every coupon of the order is used now; ``generations`` count how often each was given back before."""

    decided_at: int
    generations: tuple[int, ...]


@record(frozen=True, slots=True)
class Held:
    """Every coupon of the order is held for it until ``held_until``, Unix seconds, exclusive."""

    decided_at: int
    held_until: int
    generations: tuple[int, ...]


@record(frozen=True, slots=True)
class Remembered:
    """This request was approved before; this is the answer that it got.

    Attributes:
        held_until: Until when the coupons were held, Unix seconds; 0: they were redeemed.
        order: When they were held: digest of the order.
    """

    decided_at: int
    generations: tuple[int, ...]
    answer: Sequence[AnsweredToken]
    held_until: int = 0
    order: bytes = b""


@record(frozen=True, slots=True)
class EarlierUse:
    """The use of a coupon that its record shows; ``redeemed_at`` (Unix seconds) is 0 when there was none."""

    redeemed_at: int
    generation: int
    discount_minor: int


@record(frozen=True, slots=True)
class RememberedByCoupons:
    """The request itself is forgotten, but every coupon's record says that this request used it."""

    uses: tuple[EarlierUse, ...]


@record(frozen=True, slots=True)
class RefusedToken:
    """The verdict on one token of a refused order.

    Attributes:
        rank: An outcome's number, or a rank of ``outcome.py``.
        use: The coupon's present use. When it has none, ``redeemed_at`` is the end of a hold, Unix seconds: of another
            order's hold on it, with RESERVED; of the reservation, with RESERVATION_EXPIRED; of the first hold that may
            make room, with a limit; 0 when there is no such hold.
    """

    rank: int
    use: EarlierUse


@record(frozen=True, slots=True)
class CampaignSnapshot:
    """What the ledger has counted of one campaign, and of one customer in it (0 without a customer).

    Days are days since 1970 in the campaign's zone: ``redeemed_day`` and ``discount_day_minor`` were counted on
    ``day``, ``customer_today`` on ``customer_day``, ``redeemed_slot`` in ``slot`` (see ``JudgedToken.slot``).

    Attributes:
        held: How many of ``redeemed`` are only held; their discount is ``held_minor``.
        hold_due: When the first of these holds is over, Unix seconds; 0: there are none.
        customer_held: How many of ``customer_redeemed`` are only held; ``customer_hold_due`` is as ``hold_due``.
    """

    redeemed: int
    discount_minor: int
    day: int
    redeemed_day: int
    discount_day_minor: int
    slot: int
    redeemed_slot: int
    customer_redeemed: int
    customer_day: int
    customer_today: int
    held: int = 0
    held_minor: int = 0
    hold_due: int = 0
    customer_held: int = 0
    customer_hold_due: int = 0


@record(frozen=True, slots=True)
class Refused:
    """Nothing was changed.

    Attributes:
        campaigns: What the ledger has counted at this moment, by campaign number; empty for an order of one token, and
            when a record of it cannot be read.
        try_after_ms: When a velocity rule refuses it: before this instant it refuses it again, Unix milliseconds.
    """

    tokens: tuple[RefusedToken, ...]
    decided_at: int
    campaigns: dict[int, CampaignSnapshot]
    try_after_ms: int | None = None


@record(frozen=True, slots=True)
class Mismatch:
    """The request id was used for other content."""

    decided_at: int


@record(frozen=True, slots=True)
class Outdated:
    """Judge again: a campaign changed (the catalog has the new version), or the ledger's clock reads ``now_ms``."""

    now_ms: int


@record(frozen=True, slots=True)
class Failed:
    """A record that this item needs cannot be read, or the item cannot be packed; nothing of it was done."""

    cause: str


@record(frozen=True, slots=True)
class Exceeded:
    """A rule that a request exceeds, whether it refuses the request or not; or that could not count its subject.

    Attributes:
        position: The rule's place among the rules in force; the first is 1.
        try_after_ms: Before this instant the same request exceeds it again, Unix milliseconds; 0: the rule could not
            count the subject, because it counts too many already. Then it refuses nothing.
    """

    position: int
    try_after_ms: int

    @property
    def is_uncounted(self) -> bool:
        """Whether the rule could not count the subject, and refuses nothing."""
        return self.try_after_ms == 0


RedeemReply = Approved | Held | Remembered | RememberedByCoupons | Refused | Mismatch | Outdated | Failed


class Released(Enum):
    """What became of a hold that is to end."""

    NOW = "now"
    """It ended now, or when the same request was made before."""
    NOTHING_HELD = "nothing held"
    """The order holds nothing on these terms: the hold was released, is over, or was replaced by another one."""
    USED = "used"
    """The order has used the coupons."""
    MISMATCH = "mismatch"
    """The request id was used for other content."""


ReleaseReply: TypeAlias = Released | Failed


class RedeemItem:
    """One order to decide, and the callback for its reply.

    Attributes:
        program: Its program.
        caller: The caller, and its deadline.
        on_reply: The callback: called once, with the item and either the ledger's reply or the error.
        request: Digest of principal and request id.
        content: Digest of the request's content.
        order: Digest of the order id.
        customer: Digest of the customer id; None for a guest.
        rules_version: The version of the program's rules that it was judged by.
        checks: What the rules count of it, see ``Assessment.checks``.
        exceeded: The rules that it exceeds, as the ledger replied.
        since_ms: The judgement holds from this instant of the ledger's clock, Unix milliseconds.
        until_ms: It holds until this instant, exclusive.
        tokens: As they were judged, in the order in which the ledger counts them.
        hold_seconds: How long to hold the coupons; 0 means to use them now.
        terms: Of a hold: 6 bytes. Requests of an order with the same terms hold the same coupons for the same discount.
    """

    __slots__ = (
        "caller",
        "checks",
        "content",
        "customer",
        "exceeded",
        "hold_seconds",
        "on_reply",
        "order",
        "program",
        "request",
        "rules_version",
        "since_ms",
        "terms",
        "tokens",
        "until_ms",
    )

    def __init__(
        self,
        program: str,
        caller: CallInfo,
        on_reply: Callable[[Any, RedeemReply | ServiceError], None],
        digests: tuple[bytes, bytes, bytes, bytes | None],
    ) -> None:
        """Set what does not depend on the judgement; the digests are in the order of the attributes."""
        self.program = program
        self.caller = caller
        self.on_reply = on_reply
        self.request, self.content, self.order, self.customer = digests
        self.rules_version, self.checks = 0, NO_CHECKS
        self.exceeded: tuple[Exceeded, ...] = ()
        self.since_ms = self.until_ms = self.hold_seconds = 0
        self.tokens: tuple[JudgedToken, ...] = ()
        self.terms = b""


class ConfirmItem(RedeemItem):
    """A hold of an order that is to become redemptions, on its terms.

    Attributes:
        reserved_until: Until when the reservation holds, Unix seconds. The hold itself may be longer.
        reacquires: If the hold is over, the coupons are taken again, as ``tokens`` says. Otherwise nothing in these is
            read that is not part of the terms.
        generations: Of each token, how often its coupon had been given back when it was reserved.
    """

    __slots__ = ("generations", "reacquires", "reserved_until")

    def __init__(
        self,
        program: str,
        caller: CallInfo,
        on_reply: Callable[[Any, RedeemReply | ServiceError], None],
        digests: tuple[bytes, bytes, bytes, bytes | None],
        *,
        terms: bytes,
        reserved_until: int,
        reacquires: bool,
        generations: tuple[int, ...],
    ) -> None:
        super().__init__(program, caller, on_reply, digests)
        self.terms = terms
        self.reserved_until = reserved_until
        self.reacquires = reacquires
        self.generations = generations


@record(frozen=True, slots=True)
class ReleaseItem:
    """A hold that is to end.

    Attributes:
        program: Its program.
        caller: The caller, and its deadline.
        identity: Which request it is.
        order: Digest of the order id.
        terms: Of the hold.
        reserved_until: Until when the reservation holds, Unix seconds; a hold that was made longer since is not ended.
        campaign: Of one of its coupons.
        serial: Of the same coupon.
        generation: How often the same coupon had been given back when it was reserved.
    """

    program: str
    caller: CallInfo
    identity: RequestIdentity
    order: bytes
    terms: bytes
    reserved_until: int
    campaign: int
    serial: int
    generation: int


@record(frozen=True, slots=True)
class CouponSnapshot:
    """What the ledger knows of one coupon.

    Attributes:
        issued: Its serial was issued.
        revoked: It was revoked.
        use: Its current use, or None.
        used_by: Digest of the order that used it or holds it; empty when there is none.
        held_until: Until when an order holds it, Unix seconds; 0: none does.
    """

    issued: bool
    revoked: bool
    use: EarlierUse | None
    used_by: bytes
    held_until: int = 0


@record(frozen=True, slots=True)
class CouponRecord:
    """What the ledger knows of one coupon, and of what was given back.

    Attributes:
        now: Its state.
        generation: How often it was given back whole, so that it could be used again.
        reversed_minor: What was given back of its present use, minor units.
        last_use: If it is free because its last use was given back whole: that use; else None.
        last_order: Digest of the order of that use; or of the one that uses or holds it now.
    """

    now: CouponSnapshot
    generation: int
    reversed_minor: int
    last_use: EarlierUse | None
    last_order: bytes


@record(frozen=True, slots=True)
class QuoteSnapshot:
    """What the ledger knows at one moment; nothing was changed.

    Attributes:
        coupons: One for each requested coupon, in that order.
        campaigns: By number; one that does not exist is missing.
    """

    now_ms: int
    coupons: tuple[CouponSnapshot, ...]
    campaigns: dict[int, CampaignSnapshot]


class OrderLedger(Protocol):
    """Decides orders, and knows coupons. Every method may raise ``ServiceError``."""

    def decide(self, program: str, items: Sequence[RedeemItem], *, rejudged: bool) -> None:
        """Redeem, reserve or confirm orders of one program.

        Each gets one reply, at once or in a later turn of the event loop.

        An order whose caller has left may be dropped without being sent; its reply says so.

        Args:
            program: The program.
            items: The orders.
            rejudged: The orders were judged again and go before others.
        """

    def count_refusal(self, program: str, number: int, outcome: int) -> None:
        """Count that a coupon of a campaign was refused, by an outcome's number.

        It is added to the campaign's counters within about a second; a crash loses the refusals of the last second.
        """

    def count_rule(self, program: str, number: int, did: int) -> None:
        """Count what a rule did, by its number and a number of ``RuleDid``; see ``count_refusal``."""

    async def quote_snapshot(
        self,
        program: str,
        coupons: Sequence[tuple[int, int, int, bool]],
        *,
        customer: bytes | None,
        order: bytes,
        rules_version: int,
    ) -> QuoteSnapshot | Outdated:
        """Return what the ledger knows of coupons and their campaigns at one moment, without changing anything.

        Args:
            program: The program.
            coupons: For each its campaign, the campaign's version (0: there is none), its serial, and whether it is
                bound to the customer.
            customer: Digest of the customer id; None for a guest.
            order: Digest of the order id. What this order holds itself is not counted in the campaigns' snapshots.
            rules_version: The version of the program's rules.

        Returns:
            ``Outdated`` when a version is not the current one; by then the cache has the current one.
        """

    async def release(self, item: ReleaseItem) -> ReleaseReply:
        """End a hold before it is over."""

    async def coupon(self, program: str, number: int, serial: int) -> CouponRecord:
        """Return what the ledger knows of one coupon, except whether all coupons of its holder were revoked."""

    async def remembered(self, program: str, request: bytes) -> Remembered | None:
        """Return the approval of a request, by its digest, for as long as it is remembered."""
