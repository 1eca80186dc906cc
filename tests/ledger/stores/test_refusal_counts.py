"""Refusals change nothing: the server counts them, and sends the counts to the ledger once a second."""

import asyncio

import pytest
from builders.keysets import rotated
from builders.tokens import sign_token
from waiting import SECONDS_MAX

from redemption.domain.campaign.campaign import CampaignState
from redemption.domain.outcome import Outcome
from redemption.domain.signed.keyset import KeyState
from redemption.ledger.stores.refusal_counts import KINDS_MAX, SEND_SECONDS, RefusalCounts


async def refused(house, campaign):
    """What the statistics say of refusals."""
    return {Outcome(outcome).name: count for outcome, count in (await house.stats(campaign)).refusals}


async def used_up(house):
    """A campaign whose every coupon is refused for another reason."""
    campaign = await house.campaign(redemptions_per_customer=1)
    tokens = await house.mint(campaign, 4)
    await house.redeem(tokens[0], customer="ann")
    return campaign, tokens


async def test_a_flood_of_refusals_writes_nothing_and_raises_no_sequence_number(house):
    """So it causes no file sync."""
    campaign, tokens = await used_up(house)
    before = await house.dump()
    replays = [house.attempt(tokens[0], customer="ben") for _ in range(100)]
    limited = [house.attempt(tokens[1], customer="ann") for _ in range(100)]
    poor = [house.attempt(token, spend=1_00, customer="cat") for token in tokens[1:]]
    for decision in await house.send_all([*replays, *limited, *poor]):
        assert decision.outcome is not Outcome.APPROVED
    assert await house.dump() == before
    for _ in range(2):  # what was told is not told again
        await house.ledger._refusal_counts.send()
    assert await refused(house, campaign) == {"ALREADY_REDEEMED": 100, "CUSTOMER_LIMIT": 100, "MIN_SPEND_NOT_MET": 3}


@pytest.mark.parametrize("outcome", [Outcome.TOKEN_EXPIRED, Outcome.TOKEN_INVALID], ids=["expired", "key disabled"])
async def test_a_flood_of_dead_tokens_writes_nothing(house, outcome):
    """A remembered answer is still looked for: the request may have been approved before."""
    campaign = await house.campaign()
    (token,) = await house.mint(campaign)
    approved = house.attempt(token)
    decision = await house.send(approved)
    now = house.ledger.now_ms() // 1000
    expired = {"offer_index": 0, "serial": 0, "not_before": now - 9, "expires_at": now - 5, "now": now - 9}
    if outcome is Outcome.TOKEN_EXPIRED:
        token = sign_token(house.keyset, program=house.program, campaign=campaign.number, **expired)
    else:
        house.use(rotated(house.keyset, KeyState.DISABLED))
    before = await house.dump()
    for refusal in await house.send_all([house.attempt(token) for _ in range(100)]):
        assert refusal.outcome is outcome
    assert await house.send(approved) == decision
    assert await house.dump() == before


async def test_refusals_are_written_within_a_second_in_one_call_and_one_event(house, clock):
    campaign, tokens = await used_up(house)
    seq = int(await house.redis.hget(house.key("ledger"), "seq"))
    for _ in range(3):
        await house.redeem(tokens[0], customer="ben")
    await house.redeem(tokens[1], spend=1_00, customer="ben")
    clock.forward(SEND_SECONDS)
    await comes_true(lambda: refused(house, campaign), {"ALREADY_REDEEMED": 3, "MIN_SPEND_NOT_MET": 1})
    assert int(await house.redis.hget(house.key("ledger"), "seq")) == seq + 1
    (event,) = [event for event in await house.events() if event[0] == b"refused"]
    assert sorted(zip(*[iter(event[2])] * 3, strict=True)) == [(1, 150, 3), (1, 260, 1)]


async def test_a_second_without_a_refusal_costs_no_call(house):
    await used_up(house)
    before = await house.dump()
    await house.ledger._refusal_counts.send()
    assert await house.dump() == before


async def test_several_servers_add_up(house, tmp_path):
    campaign, tokens = await used_up(house)
    async with house.another(tmp_path / "other") as other:  # when it stops, it tells what is left
        for number, server in enumerate((house, other, other)):
            await server.redeem(tokens[0], customer="ben", request_id=f"of its own {number}")
    await house.ledger._refusal_counts.send()
    assert await refused(house, campaign) == {"ALREADY_REDEEMED": 3}


async def test_claims_that_are_refused_count_too(house):
    campaign = await house.campaign(claims_per_customer=1)
    await house.claim(campaign, "ann")
    assert (await house.claim(campaign, "ann")).outcome is Outcome.CLAIM_LIMIT
    await house.set_state(campaign, CampaignState.PAUSED)
    assert (await house.claim(campaign, "ben")).outcome is Outcome.CAMPAIGN_PAUSED
    await house.ledger._refusal_counts.send()
    assert await refused(house, campaign) == {"CLAIM_LIMIT": 1, "CAMPAIGN_PAUSED": 1}


async def test_the_other_coupons_of_a_refused_order_count_as_what_they_are_told(house):
    first, second = await house.campaign(), await house.campaign()
    (good,), (bad,) = await house.mint(first), await house.mint(second)
    await house.redeem(bad)
    decision = await house.redeem(good, bad)
    told = [verdict.outcome.name for verdict in decision.verdicts]
    await house.ledger._refusal_counts.send()
    assert [*(await refused(house, first)), *(await refused(house, second))] == told


async def test_refusals_that_the_ledger_does_not_take_are_written_later(house):
    campaign, tokens = await used_up(house)
    await house.redeem(tokens[0], customer="ben")
    await house.redis.hset(house.key("ledger"), "seq", 0)  # a ledger that forgot: not trusted
    await house.ledger._refusal_counts.send()
    await house.redis.hset(house.key("ledger"), "seq", 10**6)
    house.ledger.health.on_check(None)
    await house.ledger._refusal_counts.send()
    assert await refused(house, campaign) == {"ALREADY_REDEEMED": 1}


async def test_a_count_that_cannot_be_read_stops_no_redemption(house):
    campaign, tokens = await used_up(house)
    await house.redis.set(house.key(f"refused:{campaign.number}"), "of the wrong type")
    await house.redeem(tokens[0], customer="ben")
    await house.ledger._refusal_counts.send()
    assert (await house.redeem(tokens[1], customer="ben")).outcome is Outcome.APPROVED


async def test_a_campaign_that_does_not_exist_has_no_counts(house):
    campaign, _ = await used_up(house)
    before = await house.dump()
    house.ledger.orders.count_refusal(house.program, 99, Outcome.TOKEN_EXPIRED)
    await house.ledger._refusal_counts.send()
    assert await house.dump() == before
    assert await refused(house, campaign) == {}


async def test_counts_of_a_program_that_does_not_exist_are_dropped(house):
    """A caller invented it; else each second would bring a call in vain, for ever."""
    await house.campaign()
    counts = house.ledger._refusal_counts
    counts.count_rule("invented", 1, 1)
    await counts.send()
    assert (dict(counts._counts), counts._kinds) == ({}, 0)


class Recorder:
    """Records what is sent to the ledger."""

    def __init__(self):
        self.told = []

    async def write(self, _function, program, *args):
        self.told.append((program, args))


async def test_counts_are_bounded_and_told_in_parts():
    ledger = Recorder()
    refusals = RefusalCounts(ledger)
    for campaign in range(KINDS_MAX + 5):
        refusals.count("p", campaign + 1, Outcome.REVOKED)
    await refusals.send()
    told = [args[place : place + 3] for _, args in ledger.told for place in range(0, len(args), 3)]
    assert told == [(campaign + 1, 100, 1) for campaign in range(KINDS_MAX)]
    assert max(len(args) for _, args in ledger.told) <= 1_500
    refusals.count("p", 7, Outcome.REVOKED)
    await refusals.send()
    assert ledger.told[-1] == ("p", (7, 100, 1))


class SlowRecorder(Recorder):
    """Answers only when it is allowed to."""

    def __init__(self):
        super().__init__()
        self.called, self.allowed = asyncio.Event(), asyncio.Event()

    async def write(self, *args):
        self.called.set()
        await self.allowed.wait()
        await super().write(*args)


async def test_a_stop_loses_neither_what_is_being_told_nor_what_came_meanwhile(clock):
    slow = SlowRecorder()
    refusals = RefusalCounts(slow)
    refusals.count("p", 1, Outcome.REVOKED)
    refusals.start()
    await asyncio.sleep(0)  # it waits now
    clock.forward(SEND_SECONDS)
    async with asyncio.timeout(SECONDS_MAX):
        await slow.called.wait()
    refusals.count("p", 2, Outcome.REVOKED)
    stopping = asyncio.create_task(refusals.stop())
    await asyncio.sleep(0)
    slow.allowed.set()
    await stopping
    assert slow.told == [("p", (1, 100, 1)), ("p", (2, 100, 1))]


async def comes_true(asked, expected):
    """Wait until a question has an answer."""
    async with asyncio.timeout(SECONDS_MAX):
        while await asked() != expected:
            await asyncio.sleep(0)
