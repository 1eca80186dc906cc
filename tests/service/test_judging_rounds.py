"""Judging again what is outdated: in small groups, in turn, and not for ever."""

import asyncio

import pytest
import pytest_asyncio
from waiting import SECONDS_MAX, comes, settled

from redemption.domain.errors import DeadlinePassed, LedgerUnavailable
from redemption.domain.ports.orders import Outdated
from redemption.scheduling.work_bounds import REJUDGING
from redemption.service import order_rounds
from redemption.service.judging_rounds import ROUNDS_MAX, changes_too_fast, until_decided


class Answers:
    """A ledger that says so many times that a judgement is outdated, and then answers; keeps what it was asked."""

    def __init__(self, outdated):
        self.left = list(range(1, outdated + 1))
        self.asked = []

    async def __call__(self, now_ms):
        self.asked.append(now_ms)
        return Outdated(1000 * self.left.pop(0)) if self.left else "decided"


@pytest.mark.parametrize(("outdated", "asked"), [(0, [None]), (1, [None, 1000]), (3, [None, 1000, 2000, 3000])])
async def test_it_is_judged_again_at_the_moment_that_the_ledger_tells(outdated, asked):
    answers = Answers(outdated)
    assert await until_decided(answers) == "decided"
    assert answers.asked == asked


async def test_the_last_round_may_still_decide():
    assert await until_decided(Answers(ROUNDS_MAX - 1)) == "decided"


async def test_after_the_last_round_it_fails():
    answers = Answers(ROUNDS_MAX)
    with pytest.raises(LedgerUnavailable, match=changes_too_fast().message):
        await until_decided(answers)
    assert len(answers.asked) == ROUNDS_MAX


async def test_after_a_number_of_rounds_of_its_own_it_fails_with_an_error_of_its_own():
    answers = Answers(9)
    with pytest.raises(LedgerUnavailable, match="ask again"):
        await until_decided(answers, failure=lambda: LedgerUnavailable("ask again"), rounds_max=9)
    assert len(answers.asked) == 9


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
    monkeypatch.setattr(house.ledger.orders, "redeem", redeem)
    monkeypatch.setattr(order_rounds, "REJUDGED_TOGETHER", 1)
    return asked


async def test_orders_that_have_to_be_judged_again_take_turns(house, ever_changing):
    tokens = await house.mint(await house.campaign(), 50)
    answers = await asyncio.gather(*(house.redeem(token) for token in tokens), return_exceptions=True)
    assert {type(answer) for answer in answers} == {LedgerUnavailable}
    assert (max(ever_changing), len(ever_changing)) == (REJUDGING.at_once, 50 * (ROUNDS_MAX - 1))


async def test_orders_that_come_back_together_are_judged_again_in_small_groups(house, ever_changing, monkeypatch):
    monkeypatch.setattr(order_rounds, "REJUDGED_TOGETHER", 20)
    sizes, ask = [], house.ledger.orders.redeem

    def noted(program, items, *, rejudged):
        sizes.append((rejudged, len(items)))
        ask(program, items, rejudged=rejudged)

    monkeypatch.setattr(house.ledger.orders, "redeem", noted)
    answers = await house.send_all([house.attempt(token) for token in await house.mint(await house.campaign(), 50)])
    assert {type(answer) for answer in answers} == {LedgerUnavailable}
    assert sizes[:4] == [(False, 50), (True, 20), (True, 20), (True, 10)]


async def test_an_order_whose_turn_does_not_come_in_time_is_not_kept_waiting(house, ever_changing, gate, clock):
    """It is told so while others still have all the turns that there are."""
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
