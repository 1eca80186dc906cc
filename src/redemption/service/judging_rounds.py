"""Repeats what judges a request and sends it to the ledger, while the ledger replies that it is outdated.

A judgement uses cached campaigns and an estimate of the ledger's clock. The ledger replies ``Outdated`` when a campaign
has changed since, or when its clock is outside the interval in which the judgement holds. Then the request is judged
again, ``ROUNDS_MAX`` times in total at most. Orders, which are many and have no task each, count their rounds
themselves, by the same bound (``order_rounds.py``).
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from redemption.domain.errors import LedgerUnavailable, ServiceError
from redemption.domain.ports.orders import Outdated

T = TypeVar("T")
ROUNDS_MAX = 6
"""The most times that a request is judged. Requests that are judged again go before new ones, so more rounds would let
those of a campaign that never stops changing hold up all others."""


def changes_too_fast() -> ServiceError:
    """Return the failure of a request whose judgement was outdated in every round."""
    return LedgerUnavailable(
        "the campaign or the rules of its program change faster than it can be judged; "
        "ask again with the same request id"
    )


async def until_decided(
    judge_and_ask: Callable[[int | None], Awaitable[T | Outdated]],
    *,
    failure: Callable[[], ServiceError] = changes_too_fast,
    rounds_max: int = ROUNDS_MAX,
) -> T:
    """Return the first result that is not ``Outdated``.

    Args:
        judge_and_ask: Judges once and sends once. Its argument is the moment at which to judge, Unix milliseconds: at
            first None, which means now; then the ledger's clock in its last reply.
        failure: Makes what is raised when the result of every round is ``Outdated``.
        rounds_max: How many rounds there are.

    Raises:
        ServiceError: What ``failure`` makes, or whatever ``judge_and_ask`` raises.
    """
    now_ms: int | None = None
    for _ in range(rounds_max):
        result = await judge_and_ask(now_ms)
        if not isinstance(result, Outdated):
            return result
        now_ms = result.now_ms
    raise failure()
