"""Orders at the real ledger: exact under concurrency, whole or nothing, and what cannot be read fails alone."""

import asyncio
import base64
from dataclasses import replace

import pytest
from builders.calls import calling
from builders.coupon_records import given_back
from builders.times import DAY_MS
from builders.vectors import KEYSETS, vectors_of

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.calendar import local_day
from redemption.domain.campaign.campaign import Offer, Sizing, Stacking
from redemption.domain.errors import ItemFailed, LedgerRefused
from redemption.domain.outcome import Outcome
from redemption.ledger import keys


async def redeem_all_at_once(house, attempts):
    """Send attempts concurrently, each by itself, and count their outcomes."""
    decisions = await asyncio.gather(*(house.send(attempt) for attempt in attempts))
    counted = {}
    for decision in decisions:
        counted[decision.outcome] = counted.get(decision.outcome, 0) + 1
    return counted


async def test_one_coupon_a_thousand_times_at_once(house):
    (token,) = await house.mint(await house.campaign())
    counted = await redeem_all_at_once(house, [house.attempt(token) for _ in range(1000)])
    assert counted == {Outcome.APPROVED: 1, Outcome.ALREADY_REDEEMED: 999}


async def test_a_server_that_knows_no_campaign_yet_stands_a_rush(house, tmp_path):
    """Every order reads the definition: more at once than the client may have connections."""
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 300)
    async with house.another(tmp_path / "fence") as cold:
        counted = await redeem_all_at_once(cold, [cold.attempt(token) for token in tokens])
        assert counted == {Outcome.APPROVED: 300}
        assert cold.ledger.health.failure is None


async def test_a_limit_admits_exactly_as_many(house):
    campaign = await house.campaign(redemptions=100, redemptions_per_customer=1)
    tokens = await house.mint(campaign, 700)
    attempts = [house.attempt(token, customer=f"customer-{index}") for index, token in enumerate(tokens)]
    counted = await redeem_all_at_once(house, attempts)
    assert counted == {Outcome.APPROVED: 100, Outcome.CAMPAIGN_LIMIT: 600}
    stats = await house.stats(campaign)
    assert (stats.redeemed, stats.discount_minor) == (100, 100 * 50_00)


async def test_a_budget_is_never_passed_by_one_minor_unit(house):
    campaign = await house.campaign(budget_minor=1234_56, offers=(Offer(amount_off(0, 7_01)),))
    tokens = await house.mint(campaign, 300)
    counted = await redeem_all_at_once(house, [house.attempt(token) for token in tokens])
    assert counted == {Outcome.APPROVED: 1234_56 // 7_01, Outcome.BUDGET_EXHAUSTED: 300 - 1234_56 // 7_01}
    stats = await house.stats(campaign)
    assert stats.budget_left_minor == 1234_56 % 7_01


async def test_one_customer_many_coupons_at_once(house):
    campaign = await house.campaign(redemptions_per_customer=3)
    tokens = await house.mint(campaign, 200)
    counted = await redeem_all_at_once(house, [house.attempt(token, customer="ann") for token in tokens])
    assert counted == {Outcome.APPROVED: 3, Outcome.CUSTOMER_LIMIT: 197}


async def test_an_approval_leaves_one_consistent_set_of_records(house):
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 20)
    await redeem_all_at_once(house, [house.attempt(token, customer="ann") for token in tokens])
    redeemed = await house.redeemed()
    assert sorted(redeemed) == [(1, serial, 0) for serial in range(20)]
    assert await house.redis.hlen(house.key("u:1:0")) == 20
    buckets = await house.keys("c:1:*")
    assert len(buckets) == 1
    assert await house.redis.hvals(buckets[0]) == [
        bytes((1, 0, 20)) + local_day(campaign.time_zone, house.ledger.now_ms()).number.to_bytes(2) + bytes((0, 20))
    ]


async def test_forged_tokens_cost_no_command(house):
    """Malformed, mis-signed, of an unknown key, program or environment: refused before the ledger is asked."""
    (token,) = await house.mint(await house.campaign())
    raw = base64.urlsafe_b64decode(token)
    flipped = [raw[: bit // 8] + bytes((raw[bit // 8] ^ 1 << bit % 8,)) + raw[bit // 8 + 1 :] for bit in range(384)]
    forged = [base64.urlsafe_b64encode(flip).decode() for flip in flipped]
    forged += ["", "nonsense", token + "\n", token[:-1], token + "A", "!" * 64, "A" * 64]
    house.ledger._watching.cancel()  # it looks once a second
    before = await house.commands()
    for text in forged:
        decision = await house.redeem(text)
        assert [verdict.outcome for verdict in decision.verdicts] == [Outcome.TOKEN_INVALID], text
    elsewhere = house.attempt(token)
    elsewhere = replace(elsewhere, checkout=replace(elsewhere.checkout, program="another"))
    assert (await house.send(elsewhere)).outcome is Outcome.TOKEN_INVALID
    assert await house.commands() == before
    assert (await house.redeem(token)).outcome is Outcome.APPROVED


async def test_every_hostile_vector_costs_no_command(house):
    house.ledger._watching.cancel()
    before = await house.commands()
    for vector in vectors_of("token")["hostile"]:
        house.use(KEYSETS[vector.get("keyset", "main")])
        house.program = vector.get("program", "shop").lower()
        if house.program != vector.get("program", "shop"):
            continue  # a program's name in capitals is refused even earlier
        decision = await house.redeem(vector["text"] * vector.get("repeat", 1))
        assert decision.outcome is Outcome.TOKEN_INVALID, vector["name"]
    assert await house.commands() == before


async def test_an_unreadable_record_fails_alone(house):
    """One coupon's key has the wrong type: that item is INTERNAL, its neighbours and all counters are right."""
    campaign = await house.campaign(sizing=Sizing(), redemptions=1000)
    tokens = await house.mint(campaign, 200)
    await house.redis.set(house.key("u:1:1"), "poison")
    attempts = [house.attempt(tokens[index], customer=f"c{index}") for index in (*range(40), 70, *range(130, 150))]
    results = await house.send_all(attempts)
    assert isinstance(results[40], ItemFailed)
    assert {result.outcome for index, result in enumerate(results) if index != 40} == {Outcome.APPROVED}
    stats = await house.stats(campaign)
    assert (stats.redeemed, stats.discount_minor) == (60, 60 * 50_00)
    assert len(await house.redeemed()) == 60
    assert await house.redis.get(house.key("u:1:1")) == b"poison"


@pytest.mark.parametrize("record", [b"\xff" * 40, b"\x11", b""])
async def test_a_malformed_record_fails_alone(house, record):
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 3)
    await house.redis.hset(house.key("u:1:0"), 1, record)
    results = await house.send_all([house.attempt(token) for token in tokens])
    assert isinstance(results[1], ItemFailed)
    assert [results[0].outcome, results[2].outcome] == [Outcome.APPROVED] * 2


async def test_an_order_with_an_unreadable_record_leaves_no_trace(house):
    """The second of two coupons cannot be read: the first one is not used either."""
    first, second = await house.campaign(), await house.campaign()
    tokens = [*await house.mint(first), *await house.mint(second)]
    await house.redis.set(house.key("u:2:0"), "poison")
    (result,) = await house.send_all([house.attempt(*tokens, spend=500_00)])
    assert isinstance(result, ItemFailed)
    assert not await house.redis.exists(house.key("u:1:0"))
    assert (await house.stats(first)).redeemed == 0


@pytest.mark.parametrize("key", ["events", "ledger"])
async def test_a_call_whose_frame_cannot_be_read_changes_nothing(house, key):
    (token,) = await house.mint(await house.campaign())
    await house.redis.rename(house.key(key), house.key("aside"))
    await house.redis.set(house.key(key), "poison")
    with pytest.raises(LedgerRefused):
        await house.redeem(token)
    assert not await house.redis.exists(house.key("u:1:0"))


async def test_a_request_is_remembered_into_the_next_day(house):
    campaign = await house.campaign()
    (token,) = await house.mint(campaign)
    attempt = house.attempt(token)
    first = await house.send(attempt)
    await house.redis.delete(house.key("u:1:0"))  # so that only the request can be what is remembered
    for days in (0, 1):
        await house.set_clock(house.ledger.now_ms() + days * DAY_MS)
        assert await house.send(attempt) == first


async def test_limits_of_a_day_begin_anew_the_next_day(house):
    campaign = await house.campaign(redemptions_per_day=1, redemptions_per_customer_per_day=1)
    tokens = await house.mint(campaign, 3)
    assert (await house.redeem(tokens[0], customer="ann")).outcome is Outcome.APPROVED
    assert (await house.redeem(tokens[1], customer="ann")).outcome is Outcome.CUSTOMER_DAY_LIMIT
    tomorrow = local_day(campaign.time_zone, house.ledger.now_ms()).ends_at_ms
    await house.set_clock(tomorrow)
    assert (await house.redeem(tokens[1], customer="ann")).outcome is Outcome.APPROVED
    stats = await house.stats(campaign)
    assert (stats.redeemed, stats.redeemed_today) == (2, 1)


async def test_big_numbers_are_exact(house):
    """Money up to 2**53 - 1 and serials beyond 2**32 survive Lua's doubles."""
    huge = 2**53 - 1
    campaign = await house.campaign(offers=(Offer(amount_off(0, huge)),), budget_minor=huge, issued=2**40 - 1)
    await house.redis.hset(house.key("campaign:1"), "issued", 2**40 - 10)
    (token,) = await house.mint(campaign)
    attempt = house.attempt(token, spend=huge)
    decision = await house.send(attempt)
    assert (decision.outcome, decision.discount_minor) == (Outcome.APPROVED, huge)
    assert await house.send(attempt) == decision
    assert (await house.stats(campaign)).discount_minor == huge
    key, field = keys.used(house.program, 1, 64, 2**40 - 10)
    assert await house.redis.hexists(key.decode(), str(field))


async def test_generations_are_part_of_receipts_and_answers(house):
    """A coupon that was given back twice is redeemed as its third use, and a repetition says the same."""
    (token,) = await house.mint(await house.campaign())
    first = await house.redeem(token)
    record = await house.redis.hget(house.key("u:1:0"), "0")
    await house.redis.hset(house.key("u:1:0"), "0", given_back(record, 2))
    attempt = house.attempt(token)
    again = await house.send(attempt)
    assert again.outcome is Outcome.APPROVED
    assert again.verdicts[0].redemption_id != first.verdicts[0].redemption_id
    assert await house.send(attempt) == again
    (found,) = await house.finder.by_request(calling(), house.program, attempt.request_id)
    assert found.receipt.generation == 2


async def test_several_coupons_of_one_block_in_one_order(house):
    campaign = await house.campaign(stacking=Stacking(max_tokens_per_order=5), offers=(Offer(amount_off(0, 1_00)),))
    tokens = await house.mint(campaign, 5)
    assert (await house.redeem(*tokens)).discount_minor == 5_00
    assert (await house.stats(campaign)).redeemed == 5
    assert await house.redis.hlen(house.key("u:1:0")) == 5


@pytest.mark.parametrize("head", [b"\x12", b"\x13", b"\x32", b"\x1f", b"\x93", b"\xb1", b"\x01"])
async def test_unknown_states_of_a_coupon_are_not_taken_for_unused(house, head):
    """Nor is the record of a held coupon that is longer than this version writes it."""
    (token,) = await house.mint(await house.campaign())
    await house.redeem(token)
    record = await house.redis.hget(house.key("u:1:0"), "0")
    await house.redis.hset(house.key("u:1:0"), "0", head + record[1:])
    with pytest.raises(ItemFailed):
        await house.redeem(token)


async def test_a_remembered_answer_that_cannot_be_read_fails_alone(house):
    tokens = await house.mint(await house.campaign(), 3)
    attempts = [house.attempt(token) for token in tokens]
    await house.send(attempts[0])
    for key in await house.keys("r:*"):
        for field, value in (await house.redis.hgetall(key)).items():
            if value[0] == 4:  # its format: approved
                for cut in (14, 15, 19, 22, 23):
                    await house.redis.hset(key, field, value[:cut])
                    (result,) = await house.send_all(attempts[:1])
                    assert isinstance(result, ItemFailed), cut
                await house.redis.hset(key, field, value[:15] + bytes(4) + value[19:])  # a key that nobody has
    results = await house.send_all(attempts)
    assert isinstance(results[0], ItemFailed)
    assert [result.outcome for result in results[1:]] == [Outcome.APPROVED] * 2
