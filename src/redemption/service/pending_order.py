"""An order between its request and its result."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, cast

import structlog

from redemption.domain.call_info import CallInfo
from redemption.domain.decision import Decision
from redemption.domain.errors import ServiceError
from redemption.domain.order import Checkout, positions_of
from redemption.domain.ports.orders import RedeemItem, RedeemReply
from redemption.domain.record import record
from redemption.domain.signed.token import VerifiedToken

if TYPE_CHECKING:
    from redemption.domain.campaign.campaign import Campaign
    from redemption.domain.judging.stacking import CouponJudgement
    from redemption.domain.risk.assessment import ActiveRules, Assessment

OnResult: TypeAlias = Callable[[Decision | ServiceError], None]
"""The callback for the result of a request: its decision, or the error."""

_log = structlog.get_logger(__name__)


@record(frozen=True, slots=True)
class RedeemRequest:
    """A request to redeem an order."""

    request_id: str
    checkout: Checkout

    @property
    def positions(self) -> int:
        """How much work it is, see ``positions_of``."""
        order = self.checkout.order
        return positions_of(len(self.checkout.tokens), len(order.lines), len(order.shipping))


@record(frozen=True, slots=True)
class ReserveRequest(RedeemRequest):
    """A request to hold the coupons of an order for so many seconds."""

    hold_seconds: int


Submission: TypeAlias = tuple[RedeemRequest, CallInfo, OnResult]
"""A request, its caller, and the callback for its result."""


class PendingOrder(RedeemItem):
    """An order between the verification of its tokens and its result.

    Attributes:
        asked: The request.
        on_result: The callback for the result.
        verified: Its tokens, all genuine.
        ledger_order: The order in which the ledger counts the tokens, as indexes; the caller's order must not matter.
        campaigns: The tokens' campaigns, as last read; None for a campaign that does not exist.
        positions: The positions of its lines and shipping fees in the order in which the ledger remembers them; None
            means as they were sent.
        coupons: The last judgement on each token.
        rounds: How often the order was judged.
        rules: The program's rules, as last read.
        assessment: What they say about the order, before the ledger counts; None for a program without any.
        judge_at_ms: The ledger's clock when it replied that the last judgement is outdated, Unix milliseconds.
    """

    __slots__ = (
        "asked",
        "assessment",
        "campaigns",
        "coupons",
        "judge_at_ms",
        "ledger_order",
        "on_result",
        "positions",
        "rounds",
        "rules",
        "verified",
    )

    def __init__(
        self,
        asked: RedeemRequest,
        caller: CallInfo,
        on_result: OnResult,
        *,
        verified: Sequence[VerifiedToken],
        ledger_order: Sequence[int],
        positions: Sequence[int] | None,
        digests: tuple[bytes, bytes, bytes, bytes | None],
        on_reply: Callable[["PendingOrder", RedeemReply | ServiceError], None],
    ) -> None:
        super().__init__(asked.checkout.program, caller, on_reply, digests)
        self.asked = asked
        self.on_result = on_result
        self.verified = verified
        self.ledger_order = ledger_order
        self.positions = positions
        self.campaigns: Sequence[Campaign | None] = ()
        self.coupons: Sequence[CouponJudgement] = ()
        self.rules: ActiveRules | None = None
        self.assessment: Assessment | None = None
        self.rounds = 0
        self.judge_at_ms: int | None = None


Replied: TypeAlias = tuple[PendingOrder, RedeemReply | ServiceError]
"""An order, and the ledger's reply to it."""


def hand_over(on_result: OnResult, result: Decision | ServiceError) -> None:
    """Call a callback with its result; if the callback fails, other orders are not affected."""
    try:
        on_result(result)
    except Exception:  # noqa: BLE001 - logged with its traceback
        _log.exception("the result of an order could not be handed over")


class Results:
    """The results of the orders of one RPC, each at its position."""

    def __init__(self, count: int) -> None:
        self._results: list[Decision | ServiceError | None] = [None] * count
        self._left = count
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not count:
            self._done.set_result(None)

    def place(self, position: int) -> OnResult:
        """Return the callback for the result at one position."""
        return partial(self._put, position)

    def _put(self, position: int, result: Decision | ServiceError) -> None:
        if self._results[position] is not None:
            return
        self._results[position] = result
        self._left -= 1
        if not self._left and not self._done.done():
            self._done.set_result(None)

    async def all(self) -> list[Decision | ServiceError]:
        """Wait until all results are there, and return them."""
        await self._done
        return cast("list[Decision | ServiceError]", self._results)
