"""A campaign that is edited while it sells at two servers: every decision goes by the definition in force."""

import asyncio
from collections import Counter

import pytest
from tool_loader import load_bench
from waiting import SECONDS_MAX, comes

from redemption.domain.campaign.campaign import CampaignState
from redemption.domain.outcome import Outcome


@pytest.fixture
def editing(monkeypatch):
    """The benchmark, whose sale and whose audit are used here in small."""
    monkeypatch.setattr(load_bench("private"), "REDEEM_SECONDS_MAX", SECONDS_MAX)
    return load_bench("editing")


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
    await house.set_state(campaign, CampaignState.PAUSED)
    outcomes = [(await server.redeem(tokens.pop())).verdicts[0].outcome for server in (other, house)]
    assert outcomes == [Outcome.CAMPAIGN_PAUSED] * 2
    await other.set_state(campaign, CampaignState.ACTIVE)
    assert [(await server.redeem(tokens.pop())).outcome for server in (house, other)] == [Outcome.APPROVED] * 2
