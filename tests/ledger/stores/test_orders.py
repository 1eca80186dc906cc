"""The ledger's promises on the real Valkey: exact under concurrency, whole or nothing, never behind."""

import asyncio
import base64
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from builders.calls import calling
from builders.times import DAY_MS
from waiting import comes

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.calendar import local_day
from redemption.domain.campaign.campaign import Offer, Sizing, Stacking
from redemption.domain.errors import ItemFailed, LedgerRefused, ServiceError
from redemption.domain.outcome import Outcome
from redemption.domain.request_identity import RequestIdentity
from redemption.domain.signed.digest import DigestKind
from redemption.domain.signed.keyset import Keyset
from redemption.ledger import keys
from redemption.ledger.ledger import CHECK_SECONDS
from redemption.ledger.stores.campaigns import coupon_block_width, customer_buckets
from redemption.ledger.trust.reply_errors import LedgerNotTrusted

VECTORS = Path(__file__).parents[2] / "vectors"


async def redeem_all_at_once(house, attempts):
    """Send attempts concurrently, each by itself, and count their outcomes."""
    decisions = await asyncio.gather(*(house.send(attempt, seconds=30) for attempt in attempts))
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
    vectors = json.loads((VECTORS / "token.json").read_text())["hostile"]
    keysets = json.loads((VECTORS / "keysets.json").read_text())
    house.ledger._watching.cancel()
    before = await house.commands()
    for vector in vectors:
        house.use(Keyset.from_json(json.dumps(keysets[vector.get("keyset", "main")]).encode()))
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


async def test_a_change_takes_effect_for_every_server_at_once(house, other):
    """Another server's cached definition is outdated: the ledger says so, and it judges again."""
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 2)
    assert (await other.redeem(tokens[0])).discount_minor == 50_00
    dearer = replace(campaign, offers=campaign.offers, limits=replace(campaign.limits, redemptions=1))
    await house.campaigns.update(calling(), dearer, "v1")
    assert other.ledger.campaigns.cached(house.program, 1).limits.redemptions is None
    assert (await other.redeem(tokens[1])).outcome is Outcome.CAMPAIGN_LIMIT
    assert other.ledger.campaigns.cached(house.program, 1).limits.redemptions == 1


async def test_the_ledgers_clock_decides(house):
    """A server whose estimate of it is two days ahead judges wrongly, is told so, and judges again."""
    campaign = await house.campaign(starts_at_ms=house.ledger.now_ms() + DAY_MS)
    (token,) = await house.mint(campaign, not_before_ms=0)
    house.ledger._clock.set(house.ledger.now_ms() + 2 * DAY_MS)
    assert (await house.redeem(token)).outcome is Outcome.CAMPAIGN_NOT_STARTED


async def test_the_clock_never_runs_backwards(house):
    (token,) = await house.mint(await house.campaign())
    ahead = int(time.time() * 1000) + 60_000
    await house.set_clock(ahead)
    assert (await house.redeem(token)).decided_at == ahead // 1000


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
    assert record[0] == 0x11, "narrow, without a generation, redeemed"
    returned = b"\x30" + record[1:] + (2).to_bytes(2)
    await house.redis.hset(house.key("u:1:0"), "0", returned)
    attempt = house.attempt(token)
    again = await house.send(attempt)
    assert again.outcome is Outcome.APPROVED
    assert again.verdicts[0].redemption_id != first.verdicts[0].redemption_id
    assert await house.send(attempt) == again
    (found,) = await house.finder.by_request(calling(), house.program, attempt.request_id)
    assert found.receipt.generation == 2


async def test_the_speller_in_python_and_the_one_in_lua_agree(house):
    """Redeem with every kind of record, then look for the keys that Python spells."""
    campaign = await house.campaign(
        redemptions_per_customer=5, sizing=Sizing(expected_redemptions=10**6, expected_redemption_rate_basis_points=500)
    )
    (*_, token) = await house.mint(campaign, 5000)
    attempt = house.attempt(token, customer="ann")
    await house.send(attempt)
    width, buckets = coupon_block_width(campaign.sizing), customer_buckets(campaign.sizing)
    assert (width, buckets) == (2048, 16384)
    digest = house.redeemer._digests.for_program(house.program).digest
    request = digest(DigestKind.REQUEST, b"checkout", attempt.request_id.encode())
    customer = digest(DigestKind.CUSTOMER, b"ann")
    program = house.program
    one, other = (RequestIdentity("checkout", request_id, bytes(8)) for request_id in (bytes(10), b"another id"))
    await house.ledger.revocation.revoke_serials(program, 1, 7, 3, identity=one)
    await house.ledger.revocation.revoke_customer(program, 1, customer, identity=other)
    for key, field in (
        keys.used(program, 1, width, 4999),
        keys.customer(program, 1, buckets, customer),
        keys.request(program, 1, 4096, request),
        (keys.names(program), campaign.name.encode()),
        (keys.campaign(program, 1), "version"),
        (keys.ledger(program), "epoch"),
        (keys.revoked_customers(program, 1), customer),
    ):
        assert await house.redis.hexists(key, field), key
    assert await house.redis.zscore(keys.revoked(program, 1), "9") == 7
    assert await house.redis.xlen(keys.events(program)) > 0


async def test_several_coupons_of_one_block_in_one_order(house):
    campaign = await house.campaign(stacking=Stacking(max_tokens_per_order=5), offers=(Offer(amount_off(0, 1_00)),))
    tokens = await house.mint(campaign, 5)
    assert (await house.redeem(*tokens)).discount_minor == 5_00
    assert (await house.stats(campaign)).redeemed == 5
    assert await house.redis.hlen(house.key("u:1:0")) == 5


async def test_an_emptied_ledger_is_not_served(house):
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 2)
    await house.redeem(tokens[0])
    await house.delete("*")
    with pytest.raises(LedgerNotTrusted, match="redemption ledger adopt --program"):
        await house.redeem(tokens[0])
    with pytest.raises(LedgerNotTrusted):
        await house.campaign()
    await house.ledger.check()
    assert isinstance(house.ledger.health.failure, LedgerNotTrusted)


async def test_a_rolled_back_ledger_is_not_served_until_adopted(house, tmp_path):
    (token, other) = await house.mint(await house.campaign(), 2)
    await house.redeem(token)
    seq = int(await house.redis.hget(house.key("ledger"), "seq"))
    await house.redis.hset(house.key("ledger"), "seq", seq - 2)
    await house.ledger.check()
    assert isinstance(house.ledger.health.failure, LedgerNotTrusted)
    assert "rolled back" in house.ledger.health.failure.message
    with pytest.raises(LedgerNotTrusted):
        await house.redeem(other)
    operator = house.another(tmp_path / "fence")
    await operator.ledger.operations.adopt(house.program)
    await operator.stop()
    await house.ledger.check()  # learns of the adoption
    await house.ledger.check()
    assert house.ledger.health.failure is None
    assert (await house.redeem(other)).outcome is Outcome.APPROVED


async def test_nothing_heals_a_rolled_back_ledger_but_an_operator(house):
    """Neither redeeming nor minting nor asking: the ledger itself compares, before it decides anything."""
    campaign = await house.campaign()
    spent, other = await house.mint(campaign, 2)
    attempt = house.attempt(spent)
    await house.send(attempt)
    seq = int(await house.redis.hget(house.key("ledger"), "seq"))
    await house.redis.hset(house.key("ledger"), "seq", seq - 1)
    await house.redis.delete(house.key("u:1:0"))
    house.ledger._watching.cancel()  # the calls themselves have to find out
    identity = RequestIdentity("x", bytes(10), bytes(8))
    for ask in (
        lambda: house.redeem(spent),
        lambda: house.redeem(other),
        lambda: house.mint(campaign),
        house.campaign,
        lambda: house.campaigns.get(calling(), house.program, 1),
        lambda: house.stats(campaign),
        lambda: house.inspect(spent),
        lambda: house.finder.by_request(calling(), house.program, attempt.request_id),
        lambda: house.ledger.orders.quote_snapshot(house.program, [(1, 1, 0, False)], customer=None),
        lambda: house.ledger.revocation.revoke_serials(house.program, 1, 0, 1, identity=identity),
        lambda: house.ledger.revocation.revoke_customer(house.program, 1, bytes(8), identity=identity),
    ):
        house.ledger.health.on_check(None)  # as if the watch had seen nothing
        with pytest.raises(LedgerNotTrusted):
            await ask()
    assert int(await house.redis.hget(house.key("ledger"), "seq")) == seq - 1
    assert not await house.redis.exists(house.key("u:1:0"))


async def test_broken_durability_is_not_served_until_it_is_mended(house):
    """That calls go through says nothing about fsync: only the watch clears it."""
    tokens = await house.mint(await house.campaign(), 2)
    await house.redeem(tokens[0])
    await house.redis.config_set("appendfsync", "everysec")
    try:
        await house.ledger.check()
        for ask in (
            lambda: house.redeem(tokens[1]),
            lambda: house.mint(house.ledger.campaigns.cached(house.program, 1)),
        ):
            with pytest.raises(LedgerRefused, match="CONFIG SET appendfsync always"):
                await ask()
        assert house.ledger.health.failure is not None
    finally:
        await house.redis.config_set("appendfsync", "always")
    await house.ledger.check()
    assert (await house.redeem(tokens[1])).outcome is Outcome.APPROVED


async def test_the_watch_outlives_whatever_it_stumbles_over(house, monkeypatch, clock):
    with monkeypatch.context() as patch:
        patch.setattr(house.fence, "save", lambda: 1 / 0)
        patch.setattr(house.fence, "learn_adoptions", lambda: open("/"))  # noqa: SIM115, PTH123 - it raises
        patch.setattr("redemption.ledger.endpoint.check", lambda *_: 1 / 0)
        clock.forward(CHECK_SECONDS)
        await comes(lambda: house.ledger.health.failure)
    clock.forward(CHECK_SECONDS)
    await comes(lambda: house.ledger.health.failure is None)
    assert not house.ledger._watching.done()


async def test_two_machines_adopt_one_ledger(house, tmp_path):
    """What one operator adopted, the other machine's accepts, instead of taking it away from the first."""
    await house.campaign()
    machines = [house.another(tmp_path / name) for name in "ab"]
    for machine in machines:
        await machine.campaigns.list(calling(), house.program, first=1, page_size=1)
    await house.redis.hset(house.key("ledger"), "seq", 1)
    for machine in (*machines, *machines):
        await machine.ledger.operations.adopt(house.program)
    for machine in machines:
        await machine.ledger.check()
        assert machine.ledger.health.failure is None
        await machine.stop()


async def test_unknown_states_of_a_coupon_are_not_taken_for_unused(house):
    (token,) = await house.mint(await house.campaign())
    await house.redeem(token)
    record = await house.redis.hget(house.key("u:1:0"), "0")
    await house.redis.hset(house.key("u:1:0"), "0", b"\x12" + record[1:])
    with pytest.raises(ItemFailed):
        await house.redeem(token)


@pytest.mark.parametrize(
    "spoiled",
    [{"version": 9, "definition": b'2{"from": "the future"}'}, {"version": "abc"}, {"version": 2**40}],
)
async def test_a_campaign_that_cannot_be_read_fails_alone(house, spoiled):
    """And when it is mended, it works again by itself."""
    first, second = await house.campaign(), await house.campaign()
    tokens = [*await house.mint(first), *await house.mint(second, 2)]
    right = await house.redis.hgetall(house.key("campaign:1"))
    await house.redis.hset(house.key("campaign:1"), mapping=spoiled)
    results = await house.send_all([house.attempt(token) for token in tokens[:2]])
    assert isinstance(results[0], ServiceError)
    assert results[1].outcome is Outcome.APPROVED
    await house.redis.hset(house.key("campaign:1"), mapping=right)
    results = await house.send_all([house.attempt(token) for token in (tokens[0], tokens[2])])
    assert [result.outcome for result in results] == [Outcome.APPROVED] * 2


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


async def test_adopting_what_is_trusted_changes_nothing(house):
    await house.campaign()
    before = await house.redis.hget(house.key("ledger"), "epoch")
    await house.ledger.operations.adopt(house.program)
    assert await house.redis.hget(house.key("ledger"), "epoch") == before


@pytest.mark.parametrize(("field", "value"), [("format", "1"), ("format", "4"), ("seq", "abc"), ("clock_ms", "abc")])
async def test_what_cannot_be_read_is_not_adopted(house, field, value):
    await house.campaign()
    await house.redis.hset(house.key("ledger"), field, value)
    header = await house.redis.hgetall(house.key("ledger"))
    with pytest.raises(LedgerRefused):
        await house.ledger.operations.adopt(house.program)
    assert await house.redis.hgetall(house.key("ledger")) == header


async def test_a_foreign_keyset_is_not_served(house, tmp_path):
    await house.campaign()
    stranger = house.another(tmp_path / "stranger", keyset=None)
    with pytest.raises(LedgerNotTrusted, match="belongs to keyset"):
        await stranger.campaigns.list(calling(), house.program, first=1, page_size=1)
    await stranger.stop()


async def test_a_program_begins_only_where_it_may(house, tmp_path):
    """In production an operator adopts the empty ledger of a new program first."""
    async with house.another(tmp_path / "careful", program=f"{house.program}-new", births_allowed=False) as careful:
        with pytest.raises(LedgerNotTrusted, match="redemption ledger adopt"):
            await careful.campaign()
        assert not await careful.redis.exists(careful.key("ledger"))
        await careful.ledger.operations.adopt(careful.program)
        await careful.campaign()


async def test_a_ledger_of_another_format_is_not_served(house):
    """What is used would not be found there, and could be used again."""
    campaign = await house.campaign()
    (token,) = await house.mint(campaign)
    await house.redis.hset(house.key("ledger"), "format", "1")
    await house.ledger.check()
    with pytest.raises(LedgerRefused, match="has format '1', this version has format '3'"):
        await house.redeem(token)
    await house.redis.hset(house.key("ledger"), "format", "3")
    await house.ledger.check()
    assert (await house.redeem(token)).outcome is Outcome.APPROVED
