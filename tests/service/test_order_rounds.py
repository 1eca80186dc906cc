"""The one way of orders, with a use case that does what a test wants: each order gets one result, whatever happens."""

import asyncio

import pytest
from builders.calls import calling
from builders.orders import checkout_of, order_of
from waiting import SECONDS_MAX, comes

from redemption.domain.errors import ItemFailed, LedgerUnavailable
from redemption.domain.ports.orders import Approved, Outdated
from redemption.scheduling.fair_slots import NO_SLOT, FairSlots
from redemption.scheduling.work_bounds import SlotRule
from redemption.service.judging_rounds import ROUNDS_MAX, changes_too_fast
from redemption.service.order_rounds import CALLER_LEFT, OrderRounds
from redemption.service.pending_order import PendingOrder, RedeemRequest

APPROVED = Approved(1_800_000_000, (0,))


class FakeUseCase:
    """Judges by nothing, and replies as the ledger is told to.

    Attributes:
        replies: What the ledger replies, one for each time it is asked; then it approves.
        judged: For each time an order was judged, its request id and the moment.
        asked: For each time the ledger was asked, how many orders, and whether they were judged again.
    """

    def __init__(self, *replies, cached=True, loads=True):
        self.replies = list(replies)
        self.judged, self.asked = [], []
        self._cached, self._loads = cached, loads

    def open(self, asked, caller, on_result, on_reply):
        return PendingOrder(
            asked,
            caller,
            on_result,
            verified=(),
            ledger_order=(),
            digests=(b"request", b"content", b"order", None),
            on_reply=on_reply,
        )

    def has_campaigns(self, order):
        return self._cached

    async def load(self, order):
        if not self._loads:
            raise ZeroDivisionError
        return True

    def judge(self, order):
        order.rounds += 1
        self.judged.append((order.asked.request_id, order.judge_at_ms))
        return True

    def ask(self, program, orders, *, rejudged):
        self.asked.append((len(orders), rejudged))
        for order in orders:
            order.on_reply(order, self.replies.pop(0) if self.replies else APPROVED)

    def result(self, order, reply):
        return reply if isinstance(reply, LedgerUnavailable) else ItemFailed(f"decided: {order.asked.request_id}")


def requests(*names):
    return [RedeemRequest(name, checkout_of(order_of(100_00))) for name in names]


@pytest.fixture(params=[False, True], ids=["at once", "in a slot"])
def run(request):
    """Runs orders of one caller, and returns the text of each result."""

    async def run(use_case, *names, caller=None):
        async with asyncio.timeout(SECONDS_MAX), FairSlots(SlotRule(1, 0)).slot() as slot:
            found = await OrderRounds(use_case).run_all(
                caller or calling(), requests(*names), slot if request.param else NO_SLOT
            )
        return [result.message for result in found]

    return run


@pytest.mark.parametrize("cached", [True, False])
async def test_each_order_gets_its_own_result(run, cached):
    assert await run(FakeUseCase(cached=cached), "a", "b", "c") == ["decided: a", "decided: b", "decided: c"]


async def test_no_orders_have_no_results(run):
    assert await run(FakeUseCase()) == []


async def test_an_outdated_order_is_judged_again_at_the_ledgers_moment_and_goes_first(run):
    """A program's ledger may remember a later time than its host tells: no estimate knows that one."""
    use_case = FakeUseCase(Outdated(7_000), Outdated(8_000))
    assert await run(use_case, "a") == ["decided: a"]
    assert use_case.judged == [("a", None), ("a", 7_000), ("a", 8_000)]
    assert use_case.asked == [(1, False), (1, True), (1, True)]


async def test_only_what_is_outdated_is_judged_again(run):
    use_case = FakeUseCase(APPROVED, Outdated(7_000), LedgerUnavailable("gone"))
    assert await run(use_case, "a", "b", "c") == ["decided: a", "decided: b", "gone"]
    assert use_case.judged[3:] == [("b", 7_000)]


async def test_after_the_last_round_an_order_fails(run):
    use_case = FakeUseCase(*[Outdated(7_000)] * ROUNDS_MAX)
    assert await run(use_case, "a") == [changes_too_fast().message]
    assert len(use_case.judged) == ROUNDS_MAX


async def test_an_order_whose_caller_left_is_not_judged_again():
    caller, results = calling(), []
    use_case = FakeUseCase(Outdated(7_000))
    OrderRounds(use_case).begin([(*requests("a"), caller, results.append)])
    caller.gone = True
    assert await comes(lambda: results) == [CALLER_LEFT]
    assert use_case.judged == [("a", None)]


async def test_an_order_gets_a_result_even_if_its_task_fails():
    results = []
    OrderRounds(FakeUseCase(cached=False, loads=False)).begin([(*requests("a"), calling(), results.append)])
    assert [result.message for result in await comes(lambda: results)] == [
        "the answer was lost; ask again with the same request id"
    ]
