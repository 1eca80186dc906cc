"""Running orders, with a use case that does what a test wants: each order gets one result, whatever happens."""

import asyncio

import pytest
import pytest_asyncio
from builders.calls import calling
from builders.orders import checkout_of, order_of
from waiting import SECONDS_MAX, comes, settled

from redemption.domain.errors import DeadlinePassed, ItemFailed, LedgerUnavailable
from redemption.domain.ports.orders import Approved, Outdated, Refused
from redemption.scheduling.fair_slots import NO_SLOT, FairSlots
from redemption.scheduling.work_bounds import LARGE_ORDER_POSITIONS, REJUDGING, SlotRule
from redemption.service import order_rounds
from redemption.service.judging_rounds import ROUNDS_MAX, changes_too_fast
from redemption.service.order_rounds import CALLER_LEFT, OrderRounds
from redemption.service.pending_order import PendingOrder, RedeemRequest

APPROVED = Approved(1_800_000_000, (0,))


class FakeUseCase:
    """Judges by nothing, and replies as the ledger is told to.

    Attributes:
        replies: What the ledger replies, one for each time it is asked; then it approves.
        judged: For each time an order was judged, its request id and the moment.
        refused: The request id of each order that was judged without its dead coupons.
        asked: For each time the ledger was asked, how many orders, and whether they were judged again.
    """

    def __init__(self, *replies, cached=True, loads=True):
        self.replies = list(replies)
        self.judged, self.asked, self.refused = [], [], []
        self._cached, self._loads = cached, loads

    def open(self, asked, caller, on_result, on_reply):
        return PendingOrder(
            asked,
            caller,
            on_result,
            verified=(),
            ledger_order=(),
            positions=None,
            digests=(b"request", b"content", b"order", None),
            on_reply=on_reply,
        )

    def take_campaigns(self, order):
        return self._cached

    async def load(self, order):
        if not self._loads:
            raise ZeroDivisionError
        return True

    def judge(self, order):
        order.rounds += 1
        self.judged.append((order.asked.request_id, order.judge_at_ms))
        return True

    def judge_steps(self, order):
        yield
        return self.judge(order)

    def without_dead(self, order, reply):
        self.refused.append(order.asked.request_id)
        yield
        return reply

    def ask(self, program, orders, *, rejudged):
        self.asked.append((len(orders), rejudged))
        for order in orders:
            order.on_reply(order, self.replies.pop(0) if self.replies else APPROVED)

    def take_earlier_form(self, order):
        return False

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


@pytest.mark.parametrize("work", ["judge_steps", "without_dead"])
async def test_the_deadline_ends_work_on_a_large_order(monkeypatch, work):
    """It is done in steps, between which other work runs. In the second case the ledger has refused the order."""

    def without_end(*_):
        while True:
            yield

    refused = Refused((), 7, {})
    use_case = FakeUseCase(refused)
    monkeypatch.setattr(use_case, work, without_end)
    large = RedeemRequest("a", checkout_of(order_of(*[1] * LARGE_ORDER_POSITIONS)))
    caller = calling(seconds=0.01)
    async with asyncio.timeout(SECONDS_MAX), FairSlots(SlotRule(1, 0)).slot() as slot:
        (result,) = await OrderRounds(use_case).run_all(caller, [large], slot)
    assert (type(result), result.message) == (
        DeadlinePassed,
        "the deadline passed before the order was judged; nothing was done",
    )
    assert use_case.asked == ([] if work == "judge_steps" else [(1, False)])


async def test_a_refused_order_is_judged_without_its_dead_coupons(run):
    use_case = FakeUseCase(Refused((), 7, {}), APPROVED)
    assert await run(use_case, "a", "b") == ["decided: a", "decided: b"]
    assert use_case.refused == ["a"]


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


async def test_a_result_that_cannot_be_made_leaves_the_other_orders_alone(run):
    class Failing(FakeUseCase):
        def result(self, order, reply):
            if order.asked.request_id == "b":
                raise ZeroDivisionError
            return super().result(order, reply)

    found = await run(Failing(), "a", "b", "c")
    assert found == ["decided: a", "the record of this request cannot be read; its operator has to look", "decided: c"]


# On a real ledger


@pytest_asyncio.fixture
async def gate():
    """Holds what asks the ledger again while it is shut."""
    gate = asyncio.Event()
    gate.set()
    return gate


@pytest.fixture
def ever_changing(house, monkeypatch, gate):
    """A ledger that knows another version each time; returns how many were asked again at once, each time."""
    asked = []
    going = 0

    async def outdated(items, again):
        nonlocal going
        going += again
        if again:
            asked.append(going)
        await settled()  # others may come in
        if again:
            await gate.wait()
        going -= again
        for item in items:
            item.on_reply(item, Outdated(house.ledger.now_ms()))

    def redeem(_, items, *, rejudged):
        working.append(asyncio.ensure_future(outdated(items, rejudged)))

    working = []
    monkeypatch.setattr(house.ledger.orders, "decide", redeem)
    monkeypatch.setattr(order_rounds, "REJUDGED_TOGETHER", 1)
    return asked


async def test_orders_that_have_to_be_judged_again_take_turns(house, ever_changing):
    tokens = await house.mint(await house.campaign(), 50)
    answers = await asyncio.gather(*(house.redeem(token) for token in tokens), return_exceptions=True)
    assert {type(answer) for answer in answers} == {LedgerUnavailable}
    assert (max(ever_changing), len(ever_changing)) == (REJUDGING.at_once, 50 * (ROUNDS_MAX - 1))


async def test_orders_that_come_back_together_are_judged_again_in_small_groups(house, ever_changing, monkeypatch):
    monkeypatch.setattr(order_rounds, "REJUDGED_TOGETHER", 20)
    sizes, ask = [], house.ledger.orders.decide

    def noted(program, items, *, rejudged):
        sizes.append((rejudged, len(items)))
        ask(program, items, rejudged=rejudged)

    monkeypatch.setattr(house.ledger.orders, "decide", noted)
    answers = await house.send_all([house.attempt(token) for token in await house.mint(await house.campaign(), 50)])
    assert {type(answer) for answer in answers} == {LedgerUnavailable}
    assert sizes[:4] == [(False, 50), (True, 20), (True, 20), (True, 10)]


async def test_an_order_whose_turn_does_not_come_in_time_is_not_kept_waiting(house, ever_changing, gate, clock):
    """It gets its error while other orders hold all slots."""
    gate.clear()
    orders = [house.attempt(token) for token in await house.mint(await house.campaign(), 100)]
    patient = [asyncio.create_task(house.send(order, seconds=10 * SECONDS_MAX)) for order in orders[1:]]
    hurried = asyncio.create_task(house.send(orders[0], seconds=5 * SECONDS_MAX))
    await comes(lambda: house.redeemer._rounds._rejudging._waiting == 100 - REJUDGING.at_once)
    clock.forward(5 * SECONDS_MAX)
    with pytest.raises(DeadlinePassed, match="nothing was done"):
        await hurried
    assert len(ever_changing) == REJUDGING.at_once
    assert not any(task.done() for task in patient)
    gate.set()
    await asyncio.gather(*patient, return_exceptions=True)
