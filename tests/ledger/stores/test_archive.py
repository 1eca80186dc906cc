"""Archiving a campaign: when its records may be removed, that exactly these are, and what holds meanwhile."""

import asyncio
import struct
from dataclasses import replace

import pytest
from builders.calls import PRINCIPAL, calling
from builders.times import DAY_MS
from ledger.desk import DISCOUNT
from waiting import SECONDS_MAX, comes

from redemption.domain.campaign.campaign import CampaignState, Limits, Sizing
from redemption.domain.errors import ArchiveUnfinished, Conflict, NotFound, WrongState
from redemption.domain.outcome import Outcome
from redemption.domain.ports.campaigns import TooEarly
from redemption.service.revoker import CustomerGiven, SerialsGiven, TokenGiven

KEYS_AT_ONCE = 256
"""What one step removes at most, as ``lua/archive.lua`` says."""
SPREAD = Sizing(expected_redemptions=1_000)
"""Over 8 buckets."""
CODE = ">BIHQIIII"


async def records(house):
    """Every key of the program with what is in it, but for those that no campaign owns, and the counts of refusals.

    These stay as totals, and are added within a second of a refusal; attempts in vain are reported as they come.
    """
    found = {}
    for key in await house.keys():
        name = key.decode().removeprefix(house.key(""))
        if name.split(":")[0] not in ("ledger", "keyset", "names", "events", "r", "refused", "attempts"):
            in_order = await house.redis.type(key) == b"zset"
            read = house.redis.zrange(key, 0, -1, withscores=True) if in_order else house.redis.hgetall(key)
            found[name] = await read
    return found


async def used(house):
    """A campaign with records of every kind; returns it with some unused tokens and codes, and a remembered attempt."""
    campaign = await house.campaign(
        sizing=SPREAD, redemptions_per_customer=50, claims_per_customer=5, claims_per_person=5
    )
    tokens = await house.mint(campaign, 300)
    attempts = [house.attempt(token, customer=f"buyer-{index}") for index, token in enumerate(tokens[:100])]
    attempts += [house.attempt(token, customer="ann") for token in tokens[298:]]
    decisions = await house.send_all(attempts)
    assert {decision.outcome for decision in decisions} == {Outcome.APPROVED}
    assert (await house.reverse(house.reversal(attempts[5], decisions[5]))).outcome is Outcome.APPROVED
    campaign = await house.update(campaign, return_window_seconds=0)
    codes = await house.mint_codes(campaign, 50)
    for index in range(20):
        claimed = await house.claim(campaign, f"claimer-{index}", person_id=f"person-{index}")
        assert (await house.redeem(claimed.token, customer=f"claimer-{index}")).outcome is Outcome.APPROVED
        assert (await house.claim(codes[index], f"typist-{index}", person_id=f"person-{index}")).outcome == 400
    await house.revoke(SerialsGiven(120, 3), campaign=campaign.number)
    await house.revoke(CustomerGiven("claimer-3"), campaign=campaign.number)
    return campaign, tokens[150:298], codes[20:], attempts[0]


async def end(house, campaign):
    return await house.set_state(campaign, CampaignState.ENDED)


async def archive(house, campaign, seconds=SECONDS_MAX):
    return await house.campaigns.archive(calling(seconds=seconds), house.program, campaign.number)


async def archived(desk, *, issued):
    """A campaign of which so many serials were issued, just turned into an archived one."""
    campaign = await desk.campaign(issued=issued, return_window_seconds=0, sizing=SPREAD)
    return await desk.ledger.campaigns.archive(
        await end(desk.house, campaign), principal="shop", now_ms=desk.ledger.now_ms()
    )


async def test_every_record_goes_and_no_other(house):
    """But its definition and its totals."""
    neighbour, *_ = await used(house)
    before = await records(house)
    campaign, tokens, codes, _ = await used(house)
    assert len((await records(house)).keys() - before.keys()) > 20
    await end(house, campaign)
    stats = await house.stats(campaign)
    result = await archive(house, campaign)
    after = await records(house)
    definition = after.pop(f"campaign:{campaign.number}")
    assert after == before
    assert definition[b"issued"] == b"370"
    assert (result.state, await house.campaigns.get(calling(), house.program, campaign.number)) == (
        CampaignState.ARCHIVED,
        result,
    )
    assert replace(await house.stats(campaign), as_of_ms=0) == replace(stats, as_of_ms=0)
    page = await house.campaigns.list(calling(), house.program, first=1, page_size=10)
    assert [listed.state for listed in page.campaigns] == [CampaignState.ACTIVE, CampaignState.ARCHIVED]
    assert (await house.claim(codes[0], "zoe", person_id="zoe")).outcome == Outcome.CODE_INVALID
    assert (await house.redeem(tokens[0], customer="zoe")).verdicts[0].outcome == Outcome.CAMPAIGN_ENDED
    assert (await house.redeem((await house.mint(neighbour))[0], customer="zoe")).outcome == Outcome.APPROVED


async def test_nothing_is_written_of_an_archived_campaign_any_more(house, other):
    """Not by a server that still has it cached, nor by a call that names no version: such keys would stay for ever."""
    campaign, tokens, codes, _ = await used(house)
    await other.redeem(tokens[-1], customer="zoe")
    await end(house, campaign)
    await archive(house, campaign)
    gone = await records(house)
    assert other.ledger.campaigns.cached(house.program, campaign.number).state is CampaignState.ACTIVE
    assert (await other.redeem(tokens[0], customer="zoe")).verdicts[0].outcome == Outcome.CAMPAIGN_ENDED
    other.ledger.campaigns.forget(house.program, campaign.number)
    assert (await other.claim(campaign, "zoe", person_id="zoe")).outcome == Outcome.CAMPAIGN_ENDED
    assert (await other.claim(codes[0], "zoe", person_id="zoe")).outcome == Outcome.CODE_INVALID
    for target in (TokenGiven(tokens[0]), SerialsGiven(0, 1), CustomerGiven("zoe")):
        with pytest.raises(WrongState, match="is archived"):
            await other.revoke(target, campaign=campaign.number)
    with pytest.raises(WrongState, match="has ended"):
        await other.mint(campaign)
    with pytest.raises(WrongState):
        await house.update(await house.ledger.campaigns.load(house.program, 1), name="new")
    for state in (CampaignState.ACTIVE, CampaignState.PAUSED, CampaignState.ENDED):
        with pytest.raises(WrongState):
            await house.set_state(campaign, state)
    assert await records(house) == gone


async def test_codes_whose_mint_was_cut_short_are_not_stored_afterwards(house):
    campaign = await house.campaign(return_window_seconds=0)
    codes = await house.mint_codes(campaign, 3, request_id="codes")
    await end(house, campaign)
    await archive(house, campaign)
    with pytest.raises(WrongState, match="is archived"):
        await house.mint_codes(campaign, 3, request_id="codes")
    assert (await house.claim(codes[0], "zoe")).outcome == Outcome.CODE_INVALID


async def test_what_was_answered_is_still_answered(house):
    campaign, *_, attempt = await used(house)
    before = await house.send(attempt)
    await end(house, campaign)
    await archive(house, campaign)
    assert await house.send(attempt) == before


async def test_nobody_is_told_that_a_used_coupon_is_unused(house):
    campaign, tokens, _, attempt = await used(house)
    decision = await house.send(attempt)
    receipt = decision.verdicts[0].redemption_id
    await end(house, campaign)
    assert (await house.finder.by_receipt(calling(), house.program, receipt)).discount_minor == 50_00
    await archive(house, campaign)
    for token in (attempt.checkout.tokens[0], tokens[0]):
        with pytest.raises(WrongState, match="is archived and the records of its coupons were removed"):
            await house.inspect(token)
    with pytest.raises(NotFound):
        await house.finder.by_receipt(calling(), house.program, receipt)


# When


TOO_EARLY = r"^number: campaign 1 .*; it can be archived from 20\d\d-.*Z on"


async def test_a_running_campaign_is_not_archived(desk):
    campaign = await desk.campaign()
    with pytest.raises(WrongState, match=TOO_EARLY) as refused:
        await archive(desk.house, campaign)
    assert "has not ended, and its return_window after that is 30 days" in str(refused.value)
    assert str(refused.value).endswith(" on; shorten return_window, then end it, if that is to be earlier")
    assert await desk.house.campaigns.get(calling(), desk.program, 1) == campaign


async def test_records_are_kept_for_the_return_window_of_the_last_possible_redemption(desk):
    campaign = await desk.campaign()
    until_ms = campaign.ends_at_ms + campaign.return_window_seconds * 1000
    assert await desk.ledger.campaigns.archive(campaign, principal="shop", now_ms=0) == TooEarly(until_ms)
    await desk.house.set_clock(until_ms - 60_000)
    with pytest.raises(WrongState, match=TOO_EARLY) as refused:
        await archive(desk.house, campaign)
    assert "may still see returns: its return_window is 30 days;" in str(refused.value)
    assert str(refused.value).endswith(" on; shorten return_window if that is to be earlier")
    await desk.house.set_clock(until_ms)
    assert (await archive(desk.house, campaign)).state is CampaignState.ARCHIVED


async def test_coupons_that_were_held_can_be_used_for_two_days_longer(desk):
    """A hold lasts up to a day, and for another day the coupon can be taken again. The return window comes after."""
    campaign = await desk.campaign(return_window_seconds=3_600)
    hold, held = await desk.held(desk.token(campaign, 0), seconds=86_400)
    campaign = await end(desk.house, campaign)
    ended_ms = int(await desk.redis.hget(desk.house.key("ledger"), "clock_ms"))
    await desk.later(86_000)
    confirmation = desk.confirm(hold, held)
    (reply,) = await desk.send(confirmation)
    early = await desk.ledger.campaigns.archive(campaign, principal="shop", now_ms=desk.ledger.now_ms())
    assert isinstance(early, TooEarly)
    assert early.until_ms >= ended_ms + 2 * 86_400_000 + 3_600_000 - 1_000
    version = campaign.version
    assert (await desk.reverse(confirmation, reply, version=version)).total_minor == DISCOUNT


async def test_an_ended_campaign_names_its_return_window_which_cannot_change_any_more(desk):
    campaign = await end(desk.house, await desk.campaign(return_window_seconds=90_000))
    with pytest.raises(WrongState, match=TOO_EARLY) as refused:
        await archive(desk.house, campaign)
    assert "its return_window is 90000 seconds, and cannot change once it has ended;" in str(refused.value)
    with pytest.raises(WrongState, match="cannot change any more"):
        await desk.house.update(campaign, return_window_seconds=0)


async def test_a_return_window_that_is_shortened_when_all_is_over_lets_it_be_archived(desk):
    """As the refusal says."""
    campaign = await desk.campaign()
    await desk.house.set_clock(campaign.ends_at_ms + 60_000)
    await desk.house.update(campaign, return_window_seconds=0)
    assert (await archive(desk.house, campaign)).state is CampaignState.ARCHIVED


async def redefine(desk, campaign, **changes):
    changed = replace(campaign, updated_at_ms=desk.ledger.now_ms(), **changes)
    return await desk.ledger.campaigns.update(changed, principal="shop", offers_kept=True)


async def until_ms(desk, campaign):
    """Until when the records are needed, with a window of a day."""
    return (await desk.ledger.campaigns.archive(campaign, principal="shop", now_ms=0)).until_ms - DAY_MS


async def moment(desk):
    """The ledger's clock."""
    return (await desk.quote_snapshot((await desk.house.campaigns.get(calling(), desk.program, 1), 0))).now_ms


async def test_an_early_end_counts_from_the_moment_it_was_declared(desk):
    campaign = await desk.campaign(return_window_seconds=86_400)
    began = await moment(desk)
    ended = await end(desk.house, campaign)
    assert began <= await until_ms(desk, ended) <= await moment(desk)


async def test_an_end_that_is_declared_when_all_is_over_does_not_count(desk):
    campaign = await desk.campaign(return_window_seconds=86_400)
    await desk.house.set_clock(campaign.ends_at_ms + 3_600_000)
    ended = await end(desk.house, await redefine(desk, campaign, name="over"))
    assert await until_ms(desk, ended) == campaign.ends_at_ms


async def test_an_end_that_is_moved_into_the_past_does_not_shorten_the_window(desk):
    """What was redeemed until the change can be returned for as long as the window says."""
    campaign = await desk.campaign(return_window_seconds=86_400)
    began = await moment(desk)
    shortened = await redefine(desk, campaign, ends_at_ms=campaign.starts_at_ms + 1_000)
    noted = await until_ms(desk, shortened)
    assert began <= noted <= await moment(desk)
    renamed = await redefine(desk, shortened, name="over")
    assert await until_ms(desk, renamed) == noted
    prolonged = await redefine(desk, renamed, ends_at_ms=campaign.ends_at_ms)
    assert await until_ms(desk, prolonged) == campaign.ends_at_ms


async def test_archiving_another_version_is_a_conflict(desk):
    campaign = await desk.campaign(return_window_seconds=0)
    await end(desk.house, campaign)
    with pytest.raises(Conflict):
        await desk.ledger.campaigns.archive(campaign, principal="shop", now_ms=0)
    with pytest.raises(NotFound):
        await desk.ledger.campaigns.archive(replace(campaign, number=9), principal="shop", now_ms=0)
    with pytest.raises(NotFound, match="not being archived"):
        await desk.ledger.campaigns.remove_archived(desk.program, campaign.number, principal="shop")


async def test_a_change_that_comes_in_between_is_looked_at_again(house, monkeypatch):
    campaign = await house.campaign(return_window_seconds=0)
    begin = house.ledger.campaigns.archive

    async def late(seen, **how):
        monkeypatch.setattr(house.ledger.campaigns, "archive", begin)
        await end(house, campaign)
        return await begin(seen, **how)

    monkeypatch.setattr(house.ledger.campaigns, "archive", late)
    assert (await archive(house, campaign)).version == 3


# A step at a time


async def test_a_step_removes_a_bounded_number_of_keys(desk):
    archived_campaign = await archived(desk, issued=64_000)
    number = archived_campaign.number
    for block in range(1_000):
        await desk.redis.hset(desk.house.key(f"u:{number}:{block}"), "0", "x")
    left, steps = 1_000, 0
    while True:
        removal = await desk.ledger.campaigns.remove_archived(desk.program, number, principal="shop")
        steps += 1
        now_left = len([name for name in await records(desk.house) if name.startswith("u:")])
        assert left - now_left <= KEYS_AT_ONCE
        left = now_left
        if removal.done == removal.total:
            break
    assert (left, steps) == (0, 5)


async def test_a_bucket_full_of_codes_goes_in_parts_and_the_codes_of_others_stay(desk):
    campaign = await desk.campaign(issued=10_000, return_window_seconds=0, sizing=SPREAD)
    number, bucket = campaign.number, desk.house.key("code:5")
    theirs = {f"their-{index}": struct.pack(CODE, 1, number + 1, 0, index, 0, 0, 1, 0)[:27] for index in range(400)}
    ours = {f"our-{index}": struct.pack(CODE, 1, number, 0, index, 0, 0, 1, 0)[:27] for index in range(700)}
    claimed = struct.pack(">B10s8sI", 2, b"r" * 10, b"c" * 8, 1) + ours["our-0"][1:]
    await desk.redis.hset(bucket, mapping=theirs | ours | {"our-0": claimed})
    await desk.redis.hset(desk.house.key(f"campaign:{number}"), "codes", "1")
    await desk.ledger.campaigns.archive(await end(desk.house, campaign), principal="shop", now_ms=0)
    left = 1_100
    while (
        removal := await desk.ledger.campaigns.remove_archived(desk.program, number, principal="shop")
    ).done < removal.total:
        now_left = await desk.redis.hlen(bucket)
        assert left - now_left <= KEYS_AT_ONCE
        left = now_left
    assert await desk.redis.hgetall(bucket) == {name.encode(): value for name, value in theirs.items()}


async def test_archiving_goes_on_where_it_was_left_off(desk, other):
    """By any server, after a crash, and even if each server does only one step."""
    campaign = await archived(desk, issued=64 * 1_500)
    for block in (0, 400, 1_499):
        await desk.redis.hset(desk.house.key(f"u:{campaign.number}:{block}"), "0", "x")
    first = await desk.ledger.campaigns.remove_archived(desk.program, campaign.number, principal="shop")
    assert (first.done, first.total) == (256, 1_535)
    with pytest.raises(ArchiveUnfinished, match="campaign 1 is archived, 33 % of its records are removed; ask again"):
        await archive(other, campaign, seconds=0)
    assert {"u:1:0", "u:1:400"}.isdisjoint(await records(desk.house))
    assert await archive(other, campaign) == campaign
    assert set(await records(desk.house)) == {"campaign:1"}
    assert await archive(desk.house, campaign, seconds=0) == campaign


async def test_a_step_after_the_last_changes_nothing(desk):
    campaign = await archived(desk, issued=1)
    removals = [
        await desk.ledger.campaigns.remove_archived(desk.program, campaign.number, principal="shop") for _ in range(2)
    ]
    assert removals[0] == removals[1]
    assert (await desk.house.events()).count([b"archived", b"shop", campaign.number]) == 1


async def test_the_outbox_tells_when_archiving_begins_and_when_it_is_done(desk):
    campaign = await archived(desk, issued=64 * 1_000)
    name = campaign.name.encode()
    assert (await desk.house.events())[-3:] == [
        [b"state_changed", PRINCIPAL.encode(), 1, 2, name, b"ENDED"],
        [b"state_changed", b"shop", 1, 3, name, b"ARCHIVED"],
        [b"archiving", b"shop", 1, 3],
    ]
    await archive(desk.house, campaign)
    assert (await desk.house.events())[-2:] == [[b"archiving", b"shop", 1, 3], [b"archived", PRINCIPAL.encode(), 1]]


async def test_orders_that_arrive_meanwhile_are_told_that_the_campaign_ended(house, other, monkeypatch):
    """Before each step of the removal, at least one order is decided."""
    campaign, tokens, _, _ = await used(house)
    await other.redeem(tokens.pop(), customer="zoe")  # which now has the definition at hand
    await house.redis.hset(house.key(f"campaign:{campaign.number}"), "issued", 64 * 3_000)
    await end(house, campaign)
    remove, outcomes = house.ledger.campaigns.remove_archived, []

    async def after_an_order(*which, **how):
        before = len(outcomes)
        await comes(lambda: len(outcomes) > before)
        return await remove(*which, **how)

    monkeypatch.setattr(house.ledger.campaigns, "remove_archived", after_an_order)
    archiving = asyncio.create_task(archive(house, campaign))
    while not archiving.done():
        sender = (house, other)[len(outcomes) % 2]
        decision = await sender.redeem(tokens[len(outcomes) % len(tokens)], customer="zoe")
        outcomes.append(decision.verdicts[0].outcome)
    assert await archiving
    assert set(outcomes) == {Outcome.CAMPAIGN_ENDED}
    assert len(outcomes) > 5
    await house.ledger._refusal_counts.send()  # else it depends on the second whether these are there
    await other.ledger._refusal_counts.send()
    assert set(await records(house)) == {f"campaign:{campaign.number}"}
    assert await house.keys(f"refused:{campaign.number}")


async def test_a_campaign_without_limits_is_archived_too(house):
    campaign = await house.campaign(limits=Limits(), return_window_seconds=0)
    await end(house, campaign)
    assert (await archive(house, campaign)).state is CampaignState.ARCHIVED
