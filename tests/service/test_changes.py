"""A campaign that is edited while it sells at two servers: every decision goes by the definition in force."""

import asyncio
import importlib
import sys
from collections import Counter

import pytest
import pytest_asyncio
from house import House, calling
from tool_loader import ROOT
from waiting import SECONDS_MAX, comes, settled

from redemption.domain.campaign.campaign import CampaignState
from redemption.domain.errors import DeadlinePassed, LedgerUnavailable
from redemption.domain.outcome import Outcome
from redemption.domain.ports.orders import Outdated
from redemption.scheduling.work_bounds import REJUDGING
from redemption.service import order_rounds
from redemption.service.judging_rounds import ROUNDS_MAX


@pytest.fixture
def editing(monkeypatch):
    """The benchmark, whose sale and whose audit are used here in small."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "bench")])
    monkeypatch.setattr(importlib.import_module("private"), "REDEEM_SECONDS_MAX", SECONDS_MAX)
    return importlib.import_module("editing")


@pytest_asyncio.fixture
async def other(house, tmp_path):
    """Another server of the same program."""
    other = House(house.url, tmp_path / "other", program=house.program, keyset=house.keyset)
    other.ids = house.ids
    await other.start()
    yield other
    await other.stop()


@pytest.mark.parametrize(("orders_between", "rounds"), [(50, 3), (0, 12)], ids=["often", "all the time"])
async def test_every_decision_goes_by_the_definition_in_force(house, other, editing, orders_between, rounds):
    """Edits come after so many orders. Only an order that changes overtook in each of its rounds is turned away."""
    sale, audit = await editing.open_sale((house, other), house.redis, house.program)
    await sale.stock(6_000)
    all_outcomes = {Outcome.APPROVED, Outcome.CAMPAIGN_PAUSED, Outcome.CAMPAIGN_LIMIT}
    due = 0

    def over():
        if len(sale.changes) <= rounds * len(editing.HARSH):
            return False
        told = Counter(each.outcome for each in sale.answered)
        return told[Outcome.APPROVED] > 200 and told.keys() >= all_outcomes

    async def rest():
        nonlocal due
        due += orders_between
        await comes(lambda: len(sale.answered) >= due or over())

    await editing.sell(sale, editing.HARSH, rest, over, 16)
    await audit.read()
    assert sale.wrong + audit.wrong == []
    assert not (orders_between and sale.unanswered)
    assert audit.approvals > 200
    assert {each.outcome for each in sale.answered} == all_outcomes


async def test_an_amount_that_changes_while_the_first_coupon_is_minted_is_the_one_that_coupon_gives(
    house, other, editing
):
    sale, _ = await editing.open_sale((house, other), house.redis, house.program)
    for _ in range(5):
        await editing.race(sale)
    assert sale.wrong == []


async def test_the_audit_sees_what_is_wrong(house, other, editing):
    """An auditor who finds nothing must be one who would."""
    sale, audit = await editing.open_sale((house, other), house.redis, house.program)
    await sale.stock(20)
    expected = sale.expected
    audit.expected = lambda *order: expected(*order) + 1
    sale.changes = [editing.Change(0.0, 0.0, sale.hot)]
    loop = asyncio.get_running_loop()
    sent = loop.time()
    assert (await sale.redeem(house, *sale.supply.pop()))[0] is Outcome.APPROVED
    for outcome in (Outcome.APPROVED, Outcome.CAMPAIGN_PAUSED, Outcome.TOKEN_INVALID):
        sale.answered.append(editing.Answered(sent, loop.time(), outcome))
    sale.judge()
    await audit.read()
    assert audit.wrong == ["call 6, version 1: serial 19 was approved with 2380 off instead of 2381"]
    assert [problem.split(",")[0] for problem in sale.wrong] == ["told CAMPAIGN_PAUSED", "told TOKEN_INVALID"]


async def test_after_a_pause_was_answered_nobody_redeems_anywhere(house, other):
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 6)
    for server in (house, other):  # which have the definition at hand now
        assert (await server.redeem(tokens.pop())).outcome is Outcome.APPROVED
    await house.campaigns.set_state(calling(), house.program, campaign.number, CampaignState.PAUSED)
    outcomes = [(await server.redeem(tokens.pop())).verdicts[0].outcome for server in (other, house)]
    assert outcomes == [Outcome.CAMPAIGN_PAUSED] * 2
    await other.campaigns.set_state(calling(), house.program, campaign.number, CampaignState.ACTIVE)
    assert [(await server.redeem(tokens.pop())).outcome for server in (house, other)] == [Outcome.APPROVED] * 2


# When it changes faster than it can be judged


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

    def redeem(_, items, *, again):
        working.append(asyncio.ensure_future(outdated(items, again)))

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

    def noted(program, items, *, again):
        sizes.append((again, len(items)))
        ask(program, items, again=again)

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
