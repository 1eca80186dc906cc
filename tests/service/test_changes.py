"""A campaign that is edited while it sells at two servers: every decision goes by the definition in force."""

import asyncio
import importlib
import sys

import pytest
import pytest_asyncio
from house import House, calling
from tool_loader import ROOT

from redemption.domain.campaign import CampaignState
from redemption.domain.errors import DeadlinePassed, LedgerUnavailable
from redemption.domain.outcome import Outcome
from redemption.domain.ports import Outdated
from redemption.service.redeemer import JUDGED_AGAIN_AT_ONCE, ROUNDS_MAX


@pytest.fixture
def editing(monkeypatch):
    """The benchmark, whose sale and whose audit are used here in small."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "bench")])
    return importlib.import_module("editing")


@pytest_asyncio.fixture
async def other(house, tmp_path):
    """Another server of the same program."""
    other = House(house.url, tmp_path / "other", program=house.program, keyset=house.keyset)
    other.ids = house.ids
    await other.start()
    yield other
    await other.stop()


@pytest.mark.parametrize(("pause_seconds", "unanswered_max"), [(0.1, 0), (0.0, 0.02)], ids=["often", "all the time"])
async def test_every_decision_goes_by_the_definition_in_force(house, other, editing, pause_seconds, unanswered_max):
    sale, audit = await editing.open_sale((house, other), house.redis, house.program)
    await editing.play(sale, editing.HARSH, pause_seconds, 1.5, 16)
    await audit.read()
    assert sale.wrong + audit.wrong == []
    assert sale.unanswered.total() <= unanswered_max * len(sale.seen)
    assert len(sale.changes) > len(editing.HARSH)
    assert audit.approvals > 100
    outcomes = {seen.outcome for seen in sale.seen}
    assert outcomes == {Outcome.APPROVED, Outcome.CAMPAIGN_PAUSED, Outcome.CAMPAIGN_LIMIT}


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
        sale.seen.append(editing.Seen(sent, loop.time(), outcome))
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


@pytest.fixture
def ever_changing(house, monkeypatch):
    """A ledger that knows another version each time; returns how many were asked again at once, each time."""
    asked = []
    going = 0

    async def outdated(_program, items, _callers, *, again):
        nonlocal going
        going += again
        if again:
            asked.append(going)
        await asyncio.sleep(0.005)
        going -= again
        yield [(position, Outdated(house.ledger.now_ms())) for position in range(len(items))]

    monkeypatch.setattr(house.ledger, "redeem", outdated)
    return asked


async def test_orders_that_have_to_be_judged_again_take_turns(house, ever_changing):
    tokens = await house.mint(await house.campaign(), 50)
    answers = await asyncio.gather(*(house.redeem(token) for token in tokens), return_exceptions=True)
    assert {type(answer) for answer in answers} == {LedgerUnavailable}
    assert (max(ever_changing), len(ever_changing)) == (JUDGED_AGAIN_AT_ONCE, 50 * (ROUNDS_MAX - 1))


async def test_an_order_whose_turn_does_not_come_in_time_is_not_kept_waiting(house, ever_changing):
    tokens = await house.mint(await house.campaign(), 100)
    tasks = [asyncio.create_task(house.redeem(token)) for token in tokens[1:]]
    await asyncio.sleep(0.01)
    began = asyncio.get_running_loop().time()
    with pytest.raises(DeadlinePassed, match="nothing was done"):
        await house.send(house.attempt(tokens[0]), seconds=0.03)
    assert asyncio.get_running_loop().time() - began < 0.1
    assert len(ever_changing) < 100
    await asyncio.gather(*tasks, return_exceptions=True)
