"""Gives redemptions back: wholly by the receipt alone, or by lines with the settlement.

Neither a pause nor the end of a campaign stops a return, only the return window does. A forged receipt or settlement is
refused before the ledger is asked.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from weakref import WeakValueDictionary

from redemption.domain.call_info import CallInfo
from redemption.domain.campaign.campaign import Campaign, CampaignState, ReturnPolicy
from redemption.domain.decision import Allocation
from redemption.domain.errors import (
    VIOLATIONS_MAX,
    InvalidRequest,
    ItemFailed,
    LedgerUnavailable,
    Violation,
    ViolationReason,
)
from redemption.domain.judging.reversing import Exceeded, plan_return
from redemption.domain.order import MINOR_MAX, id_violations, program_violations
from redemption.domain.outcome import Outcome
from redemption.domain.ports.ledger import Ledger
from redemption.domain.ports.orders import Mismatch, Outdated
from redemption.domain.ports.reversals import (
    ASKING,
    NAME_BYTES,
    NO_SETTLEMENT,
    NOTHING_RETURNED,
    STEPS_MAX,
    GivenBack,
    NothingLeft,
    NotRedeemed,
    OtherDiscount,
    Returned,
    ReturnedSince,
    ReturnPart,
    ReturnPlan,
    ReverseItem,
    ReverseReply,
    WindowClosed,
)
from redemption.domain.request_identity import RequestIdentity
from redemption.domain.signed.digest import DigestKind, Digests, ProgramDigests
from redemption.domain.signed.receipt import NO_USE, Receipt
from redemption.domain.signed.settlement import ALLOCATIONS_MAX, SettledRedemption, Settlement
from redemption.service.coupon_reader import find_campaign
from redemption.service.decisions import MILLISECONDS, DecisionWriter
from redemption.service.idempotency import canonical, identity_of
from redemption.service.judging_rounds import until_decided

ROUNDS_MAX = 20
"""How often a return is worked out anew because another server's return of the same redemption was faster."""
NAMED_MAX = 5
"""Lines that a message names."""
_FOREVER_MS = 2**63
_UNREADABLE = "a record of this redemption cannot be read; nothing was given back, its operator has to look"
_BUSY = "other returns of this redemption were faster again and again; ask again with the same request id"


@dataclass(frozen=True, slots=True)
class ReverseRequest:
    """A request to give a redemption back.

    Attributes:
        order_id: The order that used the coupon.
        redemption_id: The receipt.
        settlement: The signed allocation; empty when the request has none.
        lines: Lines that are returned, and how much of each line's amount, minor units: None means all that is left
            of it. No lines at all means all of them.
        unpaid: The order was never paid.
    """

    program: str
    request_id: str
    order_id: str
    redemption_id: str
    settlement: bytes = b""
    lines: tuple[tuple[str, int | None], ...] = ()
    unpaid: bool = False


@dataclass(frozen=True, slots=True)
class Reversal:
    """The answer to a request to give a redemption back.

    Attributes:
        outcome: APPROVED, or why nothing was given back.
        reversed_minor: The discount that this request gave back.
        allocations: How that falls on the lines; empty without a settlement.
        total_minor: The discount given back in all.
        restored: This return gave the coupon back, so that it can be used again.
        exceeded: With REVERSAL_EXCEEDS: of which line too much would be returned; None: nothing is left of any.
    """

    outcome: Outcome
    reversed_minor: int = 0
    allocations: tuple[Allocation, ...] = ()
    total_minor: int = 0
    restored: bool = False
    exceeded: Exceeded | None = None


class Reverser:
    """Gives redemptions of all programs back."""

    def __init__(self, *, digests: Digests, decisions: DecisionWriter, ledger: Ledger) -> None:
        self._digests = digests
        self._decisions = decisions
        self._ledger = ledger
        self._campaigns = ledger.campaigns
        self._reversals = ledger.reversals
        # Of returns that are under way, by the place of their redemption; one that nobody holds disappears by itself.
        self._locks: WeakValueDictionary[tuple[str, int, int], asyncio.Lock] = WeakValueDictionary()

    async def reverse(self, caller: CallInfo, request: ReverseRequest) -> Reversal:
        """Give a redemption back, wholly or in part.

        Raises:
            InvalidRequest: A field is not as it must be.
        """
        _require(_violations(request))
        receipt = self._decisions.read_receipt(request.redemption_id, program=request.program)
        settled = self._settled(request, receipt)
        if receipt is None or receipt.use != NO_USE:
            return Reversal(Outcome.REDEMPTION_NOT_FOUND)
        _require(_line_violations(request, settled))
        digests = self._digests.for_program(request.program)
        attempt = _Attempt(caller, request, receipt, settled, digests)

        async def ask(now_ms: int | None) -> Reversal | Outdated:
            number = receipt.campaign
            campaign = await find_campaign(self._campaigns, request.program, number, caller.deadline)
            return await self._ask(attempt, campaign, self._ledger.now_ms() if now_ms is None else now_ms)

        return await until_decided(ask)

    def _settled(self, request: ReverseRequest, receipt: Receipt | None) -> SettledRedemption | None:
        """Return what the settlement of a request says of its redemption; None when there is no settlement.

        Raises:
            InvalidRequest: It is not genuine, or of another order or redemption.
        """
        if not request.settlement:
            return None
        settlement = self._decisions.read_settlement(request.settlement, program=request.program)
        if settlement is None:
            raise _settlement_violation("is not a settlement of this program; send the bytes of the decision unchanged")
        if settlement.order_id != request.order_id:
            raise _settlement_violation("is of another order than order_id")
        return None if receipt is None else _redemption_in(settlement, receipt)

    async def _ask(self, attempt: "_Attempt", campaign: Campaign | None, now_ms: int) -> Reversal | Outdated:
        """Have the ledger decide, as often as it knows of other returns than the plan.

        Returns of the same redemption wait for each other here, so only other servers' returns can come between.
        """
        async with self._locks.setdefault(attempt.place, asyncio.Lock()):
            plan = attempt.plan(NOTHING_RETURNED)
            if isinstance(plan, Exceeded):
                plan = attempt.question()  # it is refused, but the ledger may have another reason, or know the request
            for _ in range(ROUNDS_MAX):
                reply = await self._reversals.reverse(attempt.item(campaign, now_ms, plan))
                if not isinstance(reply, ReturnedSince):
                    return _answer(attempt, reply)
                before = reply.returned
                plan = attempt.plan(before)
                if plan is None or isinstance(plan, Exceeded):
                    return Reversal(Outcome.REVERSAL_EXCEEDS, total_minor=before.discount_minor, exceeded=plan)
        raise LedgerUnavailable(_BUSY)


class _Attempt:
    """One request, with all that does not change from one question to the ledger to the next."""

    def __init__(
        self,
        caller: CallInfo,
        request: ReverseRequest,
        receipt: Receipt,
        settled: SettledRedemption | None,
        digests: ProgramDigests,
    ) -> None:
        self.settled = settled
        self._caller = caller
        self._request = request
        self._receipt = receipt
        self._digests = digests
        self._asked = dict(request.lines)
        self._names: dict[str, bytes] = {}
        self._settlement = (
            NO_SETTLEMENT if settled is None else self._name(canonical("settlement", settled.allocations))
        )
        self._order = digests.digest(DigestKind.ORDER, request.order_id.encode())
        self._identity = _identity(digests, caller, request)

    @property
    def place(self) -> tuple[str, int, int]:
        """The coupon whose use is given back."""
        return self._request.program, self._receipt.campaign, self._receipt.serial

    def plan(self, before: Returned) -> ReturnPlan | Exceeded | None:
        """Return what is given back; None without a settlement, or when nothing is left."""
        if self.settled is None:
            return None
        if before.count >= STEPS_MAX:
            problem = f"were returned in {STEPS_MAX} steps already; leave them out to give back all that is left"
            raise InvalidRequest([Violation("lines", problem)])
        try:
            return plan_return(
                self.settled, self._asked, settlement=self._settlement, name_of=self._name_of, before=before
            )
        except ValueError as error:
            raise _settlement_violation(str(error)) from error

    def question(self) -> ReturnPlan:
        """Return a plan that only asks the ledger what was given back."""
        assert self.settled is not None, "only a return by lines can exceed"
        return ReturnPlan(self.settled.discount_minor, Returned(ASKING, 0, 0, {}), ())

    def item(self, campaign: Campaign | None, now_ms: int, plan: ReturnPlan | None) -> ReverseItem:
        """Return what the ledger decides. The judgement is about the return window and the return policy."""
        receipt, since_ms, until_ms, is_closed = self._receipt, 0, _FOREVER_MS, False
        if campaign is not None:
            closes_at_ms = (receipt.redeemed_at + campaign.return_window_seconds) * MILLISECONDS
            is_closed = now_ms >= closes_at_ms
            since_ms, until_ms = (closes_at_ms, _FOREVER_MS) if is_closed else (0, closes_at_ms)
            if campaign.state is CampaignState.ARCHIVED:
                since_ms, until_ms, is_closed = 0, _FOREVER_MS, True
        return ReverseItem(
            self._request.program,
            self._caller,
            self._identity,
            self._order,
            receipt.campaign,
            campaign.version if campaign else 0,
            receipt.serial,
            receipt.generation,
            receipt.redeemed_at,
            since_ms,
            until_ms,
            is_closed=is_closed,
            restores=campaign is not None and _restores(campaign.return_policy, unpaid=self._request.unpaid),
            plan=plan,
        )

    def _name_of(self, line_id: str) -> bytes:
        """Return what the ledger knows a line by."""
        name = self._names.get(line_id)
        if name is None:
            name = self._names[line_id] = self._name(line_id.encode())
        return name

    def _name(self, content: bytes) -> bytes:
        return self._digests.digest(DigestKind.CONTENT, b"returned", content)[:NAME_BYTES]


def _restores(policy: ReturnPolicy, *, unpaid: bool) -> bool:
    """Whether a coupon that is given back whole can be used again."""
    return policy is ReturnPolicy.ON_FULL_RETURN or (policy is ReturnPolicy.IF_UNPAID and unpaid)


def _identity(digests: ProgramDigests, caller: CallInfo, request: ReverseRequest) -> RequestIdentity:
    """Return the identity of a request. How its lines are ordered does not matter."""
    content = canonical(
        "reverse",
        request.order_id,
        request.redemption_id,
        sha256(request.settlement).hexdigest(),
        sorted((line_id, amount_minor or 0) for line_id, amount_minor in request.lines),
        request.unpaid,
    )
    return identity_of(digests, caller, request.request_id, content)


def _answer(attempt: _Attempt, reply: ReverseReply) -> Reversal | Outdated:
    match reply:
        case GivenBack(restored, discount_minor, total_minor, parts):
            allocations = _allocations(attempt.settled, parts)
            return Reversal(Outcome.APPROVED, discount_minor, allocations, total_minor, restored)
        case NotRedeemed():
            return Reversal(Outcome.REDEMPTION_NOT_FOUND)
        case WindowClosed():
            return Reversal(Outcome.RETURN_WINDOW_CLOSED)
        case NothingLeft(total_minor):
            return Reversal(Outcome.REVERSAL_EXCEEDS, total_minor=total_minor)
        case Mismatch():
            return Reversal(Outcome.IDEMPOTENCY_MISMATCH)
        case OtherDiscount(discount_minor):
            problem = (
                f"is of a cart that was not redeemed: the discount is {discount_minor}; send that of the last Reserve"
            )
            raise _settlement_violation(problem)
        case Outdated():
            return reply
        case _:
            raise ItemFailed(_UNREADABLE)


def _allocations(settled: SettledRedemption | None, parts: Sequence[ReturnPart]) -> tuple[Allocation, ...]:
    if settled is None:
        return ()
    lines = settled.allocations
    return tuple(Allocation(lines[part.position].line_id, part.amount_minor, part.merchant_minor) for part in parts)


# Checks


def _require(violations: Sequence[Violation]) -> None:
    if violations:
        raise InvalidRequest(violations)


def _violations(request: ReverseRequest) -> list[Violation]:
    """Return what is wrong with a request that is not about its settlement."""
    found = [
        *program_violations(request.program),
        *id_violations(request.request_id, "request_id"),
        *id_violations(request.order_id, "order_id"),
    ]
    if not request.redemption_id:
        found.append(Violation("redemption_id", "is required: the receipt", ViolationReason.REQUIRED))
    if len(request.lines) > ALLOCATIONS_MAX:
        found.append(Violation("lines", f"are {len(request.lines)}, at most {ALLOCATIONS_MAX} are taken"))
        return found
    if request.lines and request.unpaid:
        found.append(Violation("unpaid", "an order that was not paid is given back whole: leave lines empty"))
    if request.lines and not request.settlement:
        found.append(Violation("settlement", "is required to give lines back: the decision had it"))
    seen: set[str] = set()
    for index, (line_id, amount_minor) in enumerate(request.lines):
        found += id_violations(line_id, f"lines[{index}].line_id")
        if line_id in seen:
            found.append(Violation(f"lines[{index}].line_id", "is there twice; add the amounts up"))
        seen.add(line_id)
        if amount_minor is not None and not 1 <= amount_minor <= MINOR_MAX:
            problem = f"is {amount_minor}; it must be 1 to {MINOR_MAX}, or unset for all that is left of the line"
            found.append(Violation(f"lines[{index}].amount_minor", problem))
    return found[:VIOLATIONS_MAX]


def _line_violations(request: ReverseRequest, settled: SettledRedemption | None) -> list[Violation]:
    """Return which lines cannot be given back by a settlement."""
    if settled is None:
        return []
    known = {allocation.line_id: None for allocation in settled.allocations}
    named = ", ".join(list(known)[:NAMED_MAX]) + (", …" if len(known) > NAMED_MAX else "")
    found = []
    for index, (line_id, amount_minor) in enumerate(request.lines):
        if line_id not in known:
            problem = f"has no part of this discount, so it gives nothing back; these lines have: {named}"
            found.append(Violation(f"lines[{index}].line_id", problem))
        elif amount_minor is not None and not settled.line_amounts:
            problem = "this settlement does not say what the line cost: leave it unset, the whole line is given back"
            found.append(Violation(f"lines[{index}].amount_minor", problem))
    return found[:VIOLATIONS_MAX]


def _settlement_violation(problem: str) -> InvalidRequest:
    return InvalidRequest([Violation("settlement", problem)])


def _redemption_in(settlement: Settlement, receipt: Receipt) -> SettledRedemption:
    """Return what a settlement says of the redemption of a receipt."""
    wanted = (receipt.campaign, receipt.serial, receipt.generation, receipt.use)
    for each in settlement.redemptions:
        if (each.campaign, each.serial, each.generation, each.use) == wanted:
            return each
    raise _settlement_violation("does not have the redemption of redemption_id; send the one of the same decision")
