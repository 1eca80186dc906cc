"""Judge, ask the ledger, and judge again while the ledger says that the judgement is outdated.

A judgement is made on campaigns that are at hand and at an estimate of the ledger's clock. The ledger answers
``Outdated`` when a campaign has changed since, or when its clock lies outside the interval for which the judgement
holds. Then it is made again, ``ROUNDS_MAX`` times at most.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from redemption.domain.errors import LedgerUnavailable, ServiceError
from redemption.domain.ports.orders import Outdated

T = TypeVar("T")
ROUNDS_MAX = 16
"""So many changes of a campaign in a row a judgement may meet: an editor without a pause changes as fast as we read."""
CHANGES_TOO_FAST = LedgerUnavailable(
    "the campaign changes faster than it can be judged; ask again with the same request id"
)


async def until_decided(
    judge_and_ask: Callable[[int | None], Awaitable[T | Outdated]], *, failure: ServiceError = CHANGES_TOO_FAST
) -> T:
    """Return the first answer that is not ``Outdated``.

    Args:
        judge_and_ask: Judges and asks once. It is given the moment at which to judge, Unix milliseconds: None at first,
            for the present; then what the ledger's clock read.
        failure: What is raised when every round was outdated.

    Raises:
        ServiceError: ``failure``, or whatever asking raises.
    """
    now_ms: int | None = None
    for _ in range(ROUNDS_MAX):
        answer = await judge_and_ask(now_ms)
        if not isinstance(answer, Outdated):
            return answer
        now_ms = answer.now_ms
    raise failure
