"""A decision goes by the ledger's clock, to the millisecond: what was judged on the other side is judged again."""

import asyncio
import inspect

import pytest
from builders.campaigns import offer_of
from service.clocks import Clocks

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.campaign import AbsoluteValidity, ClaimValidity, Slot, SlotLimits
from redemption.domain.campaign.conditions import Window
from redemption.domain.errors import LimitReached
from redemption.domain.outcome import Outcome

YES = Outcome.APPROVED
NOON = 720

SIDES = pytest.mark.parametrize(
    ("judged_ms", "decided_ms", "judgements"),
    [(-5_000, -1, 1), (-5_000, 0, 2), (2_000, -1, 2), (2_000, 0, 1)],
    ids=["before", "before, but decided after", "after, but decided before", "after"],
)
"""When it is judged and decided, milliseconds from the edge, and how often that makes it judged."""


@pytest.fixture
def clocks(house):
    return Clocks(house)


@pytest.fixture
def decided_at(clocks, monkeypatch):
    """Move the ledger's clock between judging and deciding; returns for each round whether it goes first."""
    moving = []

    def move(part, name, now_ms, *, passed=0):
        ask, asked = getattr(part, name), []

        async def moved(rest):
            asked.append(rest.get("rejudged", False))
            if len(asked) > passed:
                await clocks.set_ledger(now_ms)

        async def later(*args, **rest):
            await moved(rest)
            return await ask(*args, **rest)

        def at_once(*args, **rest):
            moving.append(asyncio.ensure_future(moved(rest)))
            moving[-1].add_done_callback(lambda _: ask(*args, **rest))

        monkeypatch.setattr(part, name, later if inspect.iscoroutinefunction(ask) else at_once)
        return asked

    return move


async def issued_on(house):
    """The day on which the campaign's last coupon was issued, and how many were on that day."""
    return tuple(map(int, await house.redis.hmget(house.key("campaign:1"), "issue_day", "issued_day")))


def off(**conditions):
    """An offer of 50.00 off anything."""
    return {"offers": (offer_of(amount_off(0, 50_00), **conditions),)}


def halves(**carry_over):
    return {"slots": SlotLimits((Slot(0, NOON, 1), Slot(NOON, 1440, 1)), **carry_over)}


# Redeeming

HOURS = {
    "a day's share": ("2 00:00", {"redemptions_per_day": 1}, Outcome.DAY_LIMIT, YES),
    "a customer's share": ("2 00:00", {"redemptions_per_customer_per_day": 1}, Outcome.CUSTOMER_DAY_LIMIT, YES),
    "a day's budget": ("2 00:00", {"budget_per_day_minor": 50_00}, Outcome.BUDGET_EXHAUSTED, YES),
    "a slot's share": ("1 12:00", halves(), Outcome.SLOT_LIMIT, YES),
    "a slot's share with carry-over": ("1 12:00", halves(carry_over=True), Outcome.SLOT_LIMIT, YES),
    "a window opens": ("1 12:00", off(windows=(Window(NOON, 1440),)), Outcome.OUTSIDE_WINDOW, YES),
    "a window closes": ("1 12:00", off(windows=(Window(0, NOON),)), YES, Outcome.OUTSIDE_WINDOW),
    "a window closes at midnight": ("2 00:00", off(windows=(Window(NOON, 1440),)), YES, Outcome.OUTSIDE_WINDOW),
}


@SIDES
@pytest.mark.parametrize(("edge", "changes", "before", "after"), HOURS.values(), ids=HOURS)
async def test_an_order_is_decided_by_the_ledgers_hour(
    house, clocks, decided_at, edge, changes, before, after, judged_ms, decided_ms, judgements
):
    """Of a share, one was used just before the edge."""
    edge_ms = clocks.at(*edge.split())
    campaign = await house.campaign(**changes)
    one, two = await house.mint(campaign, 2)
    await clocks.set(edge_ms - 5_000)
    if YES is not before is not Outcome.OUTSIDE_WINDOW:
        assert (await house.redeem(one, customer="ann")).outcome is YES
    await clocks.set(edge_ms + judged_ms)
    asked = decided_at(house.ledger.orders, "decide", edge_ms + decided_ms)
    decision = await house.redeem(two, customer="ann")
    assert decision.outcome is (before if decided_ms < 0 else after)
    assert decision.decided_at == (edge_ms + decided_ms) // 1000
    assert asked == [False, True][:judgements]


# Claiming


def from_edge(edge_ms):
    return {"starts_at_ms": edge_ms}


def to_edge(edge_ms):
    return {"ends_at_ms": edge_ms}


def valid_to_edge(edge_ms):
    return {"validity": AbsoluteValidity(edge_ms - 3_600_000, edge_ms)}


def share(_edge_ms):
    return {"issued_per_day": 1}


TIMES = {
    "a day's share": ("2 00:00", share, Outcome.ISSUE_LIMIT, YES),
    "the campaign starts": ("1 12:00", from_edge, Outcome.CAMPAIGN_NOT_STARTED, YES),
    "the campaign ends": ("1 12:00", to_edge, YES, Outcome.CAMPAIGN_ENDED),
    "the coupon is over": ("1 12:00", valid_to_edge, YES, Outcome.TOKEN_EXPIRED),
}


@SIDES
@pytest.mark.parametrize(("edge", "changes", "before", "after"), TIMES.values(), ids=TIMES)
async def test_a_claim_is_decided_by_the_ledgers_moment(
    house, clocks, decided_at, edge, changes, before, after, judged_ms, decided_ms, judgements
):
    """Of a day's share, one was used just before midnight."""
    edge_ms = clocks.at(*edge.split())
    campaign = await house.campaign(**changes(edge_ms))
    await clocks.set(edge_ms - 5_000)
    if before is Outcome.ISSUE_LIMIT:
        assert (await house.claim(campaign)).outcome is YES
    await clocks.set(edge_ms + judged_ms)
    asked = decided_at(house.ledger.issuing, "claim", edge_ms + decided_ms)
    assert (await house.claim(campaign)).outcome is (before if decided_ms < 0 else after)
    assert asked == [False, True][:judgements]


async def test_a_claim_that_midnight_overtakes_uses_the_share_of_the_new_day(house, clocks, decided_at):
    campaign = await house.campaign(issued_per_day=1)
    await clocks.set(clocks.midnight_ms - 5_000)
    decided_at(house.ledger.issuing, "claim", clocks.midnight_ms)
    assert (await house.claim(campaign)).outcome is YES
    used_up = await house.claim(campaign)
    assert used_up.outcome is Outcome.ISSUE_LIMIT
    assert used_up.detail.try_after_ms == clocks.at(3, "00:00")
    assert await issued_on(house) == (clocks.first_day.number + 1, 1)


@SIDES
@pytest.mark.parametrize("kind", ["offer", "code"])
async def test_a_coupon_that_is_valid_today_is_so_on_the_day_on_which_it_is_claimed(
    house, clocks, decided_at, kind, judged_ms, decided_ms, judgements
):
    campaign = await house.campaign(validity=ClaimValidity(days=1, end_of_day=True))
    source = campaign if kind == "offer" else (await house.mint_codes(campaign))[0]
    await clocks.set(clocks.midnight_ms + judged_ms)
    finding = 0 if kind == "offer" else 1  # a code's first round only finds out what it stands for
    asked = decided_at(house.ledger.issuing, "claim", clocks.midnight_ms + decided_ms, passed=finding)
    claimed = await house.claim(source)
    today = 1 if decided_ms < 0 else 2
    assert clocks.at(today, "00:00") <= claimed.not_before * 1000 <= clocks.midnight_ms + max(decided_ms, judged_ms)
    assert claimed.expires_at * 1000 == clocks.at(today + 1, "00:00")
    assert len(asked) == finding + judgements


async def test_looking_up_a_code_corrects_the_servers_clock_too(house, monkeypatch):
    """A server whose clock is wrong is right by the time it judges."""
    (code,) = await house.mint_codes(await house.campaign())
    house.ledger._clock.set(house.ledger.now_ms() + 60_000)
    claim, asked = house.ledger.issuing.claim, []

    async def noted(caller, program, item, **rest):
        asked.append(item)
        return await claim(caller, program, item, **rest)

    monkeypatch.setattr(house.ledger.issuing, "claim", noted)
    assert (await house.claim(code)).outcome is YES
    assert [item.campaign for item in asked] == [0, 1]


# Minting


@SIDES
@pytest.mark.parametrize("coupons", ["tokens", "codes"])
async def test_minting_counts_on_the_ledgers_day(house, clocks, decided_at, coupons, judged_ms, decided_ms, judgements):
    """Three of the first day's five were minted just before midnight: three more only fit into the next day's."""
    campaign = await house.campaign(issued_per_day=5)
    mint = house.mint if coupons == "tokens" else house.mint_codes
    await clocks.set(clocks.midnight_ms - 5_000)
    await mint(campaign, 3)
    await clocks.set(clocks.midnight_ms + judged_ms)
    asked = decided_at(house.ledger.issuing, "issue", clocks.midnight_ms + decided_ms)
    if decided_ms < 0:
        with pytest.raises(LimitReached, match="can issue 2 more today, not 3"):
            await mint(campaign, 3)
    else:
        await mint(campaign, 3)
    assert await issued_on(house) == (clocks.first_day.number + (decided_ms >= 0), 3)
    assert len(asked) == judgements


@SIDES
async def test_minted_tokens_that_are_valid_today_are_so_on_the_ledgers_day(
    house, clocks, decided_at, judged_ms, decided_ms, judgements
):
    campaign = await house.campaign(validity=ClaimValidity(days=1, end_of_day=True))
    await clocks.set(clocks.midnight_ms + judged_ms)
    asked = decided_at(house.ledger.issuing, "issue", clocks.midnight_ms + decided_ms)
    (text,) = await house.mint(campaign)
    token = (await house.inspect(text)).token
    assert token.expires_at * 1000 == clocks.at(2 if decided_ms < 0 else 3, "00:00")
    assert len(asked) == judgements


async def test_minted_tokens_are_valid_from_when_the_ledger_issues_them(house, clocks, decided_at):
    """Within some seconds: a request that took a minute to arrive is judged again."""
    campaign = await house.campaign(validity=ClaimValidity(days=1))
    noon_ms = clocks.at(1, "12:00")
    await clocks.set(noon_ms)
    asked = decided_at(house.ledger.issuing, "issue", noon_ms + 60_000)
    (text,) = await house.mint(campaign)
    token = (await house.inspect(text)).token
    assert (token.not_before * 1000, len(asked)) == (noon_ms + 60_000, 2)
