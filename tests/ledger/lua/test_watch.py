"""Early warning in the real Lua: when a warning is raised and cleared, by an exact model; and how much a call does."""

import asyncio
import random
import struct
from fractions import Fraction

import pytest
from ledger.lua_source import texts
from ledger.watched import BUDGET, LOOK_SECONDS, Watched, ask, shares, thresholds_of
from thoroughness import tries

from redemption.domain.campaign.campaign import CampaignState, Limits
from redemption.domain.errors import LedgerRefused
from redemption.domain.outcome import Outcome
from redemption.domain.risk.warnings import RiskWarningReason
from redemption.ledger.stores.warnings import NOTHING_NEW, Stale

SOLD_OUT, LIMIT = Outcome.CLAIM_LIMIT, Outcome.CUSTOMER_LIMIT
ROOM, SEARCHED, CALLS_MAX, WARNED_MAX = 150, 40, 4, 500
MINUTE = 60
PACE_SECONDS = 330
LOOKS = tries(400)


async def budget_half(house, **more):
    return await Watched.of(house, budget_spent_basis_points=5000, **more)


@pytest.mark.parametrize(
    ("thresholds", "below", "at", "reason"),
    [
        ({"budget_spent_basis_points": 8000}, {"discount": 799_999}, {"discount": 800_000}, "BUDGET_SPENT"),
        ({"claims_per_minute": 50}, {"claimed": 50}, {"claimed": 51}, "CLAIMS_PER_MINUTE"),
        (
            {"refusal_shares": shares(CLAIM_LIMIT=2500)},
            {"redeemed": 10, "refused": {SOLD_OUT: 3}},
            {"redeemed": 9, "refused": {SOLD_OUT: 3}},
            "REFUSAL_SHARE",
        ),
        (  # approved claims are answers, too, and so are other refusals
            {"refusal_shares": shares(CLAIM_LIMIT=2500)},
            {"claimed": 4, "redeemed": 4, "refused": {SOLD_OUT: 3, LIMIT: 2}},
            {"claimed": 4, "redeemed": 4, "refused": {SOLD_OUT: 3, LIMIT: 1}},
            "REFUSAL_SHARE",
        ),
        (  # there must be ten answers
            {"refusal_shares": shares(CLAIM_LIMIT=2500)},
            {"refused": {SOLD_OUT: 9}},
            {"refused": {SOLD_OUT: 10}},
            "REFUSAL_SHARE",
        ),
    ],
)
async def test_a_warning_is_raised_at_its_threshold_and_not_below(house, thresholds, below, at, reason):
    """Only claims have to be more than their threshold."""
    for counters, expected in ((below, {}), (at, {reason: True})):
        watched = await Watched.of(house, **thresholds)
        assert await watched.look() == {}
        await watched.count(**counters)
        assert await watched.look() == expected
        assert set(await watched.raised()) == set(expected)


async def test_the_pace_needs_a_minute_and_says_when_the_budget_is_gone(house):
    """1,000 a second: after a minute 940,000 are left, which last 940 seconds."""
    watched = await Watched.of(house, budget_gone_within_seconds=940)
    assert await watched.look() == {}
    for seconds in range(LOOK_SECONDS, MINUTE, LOOK_SECONDS):
        await watched.count(discount=seconds * 1000)
        assert await watched.look() == {}
    await watched.count(discount=60_000)
    assert await watched.look() == {"BUDGET_GONE_SOON": True}
    warning = (await watched.raised())["BUDGET_GONE_SOON"]
    assert (warning.gone_at, warning.first, warning.raised_at) == (watched.now + 940, 60_000, watched.now)


async def test_a_pace_that_is_a_little_slower_is_not_warned_of(house):
    watched = await Watched.of(house, budget_gone_within_seconds=940)
    await watched.look()
    await watched.count(discount=59_999)
    assert await watched.look(MINUTE) == {}


async def test_a_value_around_its_threshold_raises_one_warning(house):
    """It is cleared below 90 % of the threshold."""
    watched = await budget_half(house)
    changes = []
    for spent in (499_999, 500_000, 499_999, 500_000, 450_000, 500_001, 449_999, 499_999, 500_000):
        await watched.count(discount=spent)
        changes += (await watched.look()).items()
    assert changes == [("BUDGET_SPENT", True), ("BUDGET_SPENT", False), ("BUDGET_SPENT", True)]
    assert [event[0] for event in await watched.events()] == [True, False, True]


async def test_claims_and_refusals_that_end_are_cleared_after_a_minute(house):
    watched = await Watched.of(house, claims_per_minute=50, refusal_shares=shares(CLAIM_LIMIT=5000))
    await watched.look()
    await watched.count(claimed=100, refused={SOLD_OUT: 100})
    assert await watched.look() == {"CLAIMS_PER_MINUTE": True, "REFUSAL_SHARE": True}
    assert await watched.look_for(50) == []
    assert dict(await watched.look_for(2 * MINUTE)) == {"CLAIMS_PER_MINUTE": False, "REFUSAL_SHARE": False}
    assert sorted(await watched.events()) == [
        (is_raised, 1, reason, outcome)
        for is_raised in (False, True)
        for reason, outcome in (("CLAIMS_PER_MINUTE", 0), ("REFUSAL_SHARE", SOLD_OUT))
    ]


@pytest.mark.parametrize(
    ("changed", "cleared"),
    [
        ({"budget_minor": 1_100_001}, True),  # 45.4 %: between 90 % of the threshold and the threshold
        ({"budget_minor": 1_000_001}, True),
        ({"budget_minor": 900_000}, False),
        ({"budget_minor": None}, True),
    ],
)
async def test_another_budget_is_compared_with_the_threshold_itself(house, changed, cleared):
    watched = await budget_half(house)
    await watched.count(discount=500_000)
    assert await watched.look() == {"BUDGET_SPENT": True}
    await house.update(watched.campaign, limits=Limits(**changed))
    assert await watched.look() == ({"BUDGET_SPENT": False} if cleared else {})
    assert await watched.look() == {}


async def test_a_budget_that_is_raised_is_not_gone_soon_any_more(house):
    watched = await Watched.of(house, budget_gone_within_seconds=940)
    await watched.look()
    await watched.count(discount=60_000)
    assert await watched.look(MINUTE) == {"BUDGET_GONE_SOON": True}
    await house.update(watched.campaign, limits=Limits(budget_minor=BUDGET + 10_000))
    assert await watched.look() == {"BUDGET_GONE_SOON": False}


@pytest.mark.parametrize("how", ["paused", "ended", "over", "archived"])
async def test_a_campaign_that_is_not_open_clears_its_warnings(house, how):
    watched = await budget_half(house, claims_per_minute=5)
    await watched.look()
    await watched.count(discount=600_000, claimed=6)
    assert await watched.look() == {"BUDGET_SPENT": True, "CLAIMS_PER_MINUTE": True}
    if how == "paused":
        await house.set_state(watched.campaign, CampaignState.PAUSED)
    elif how == "ended":
        await house.set_state(watched.campaign, CampaignState.ENDED)
    else:
        field = {"over": {"ends_at": watched.now_ms + 1}, "archived": {"archive": "used 0"}}[how]
        await house.redis.hset(house.key("campaign:1"), mapping=field)
    assert await watched.look() == {"BUDGET_SPENT": False, "CLAIMS_PER_MINUTE": False}
    assert await watched.raised() == {}
    assert not await house.redis.exists(house.key("marks"), house.key("warnings"))
    if how == "paused":
        await house.set_state(watched.campaign, CampaignState.ACTIVE)
        assert await watched.look() == {"BUDGET_SPENT": True}, "the claims of before do not count"


async def test_two_servers_raise_and_clear_a_warning_once(house, other):
    watched = await budget_half(house)
    await other.ledger.rules.load(house.program)
    found = []
    for spent in (600_000, 0):
        await watched.count(discount=spent)
        watched.now_ms += LOOK_SECONDS * 1000
        await house.set_clock(watched.now_ms)
        found += await asyncio.gather(*(ask(server, watched.active) for server in (house, other) * 4))
    assert [len(looked.raised) for looked in found].count(1) == [len(looked.cleared) for looked in found].count(1) == 1
    assert await watched.events() == [(True, 1, "BUDGET_SPENT", 0), (False, 1, "BUDGET_SPENT", 0)]


async def test_one_call_in_an_interval_looks_at_campaigns(house, other):
    watched = await budget_half(house)
    await watched.look()
    looked = []
    for second in range(1, 21):
        await house.set_clock(watched.now_ms + second * 1000)
        found = [await ask(server, watched.active) for server in (house, other)]
        looked += [second for each in found if each is not NOTHING_NEW]
    assert looked == [4, 8, 12, 16, 20]


async def test_a_look_that_finds_nothing_new_writes_nothing(house):
    watched = await budget_half(house)
    await watched.count(discount=600_000)
    await watched.look()
    watched.now_ms += LOOK_SECONDS * 1000
    await house.set_clock(watched.now_ms)
    before = await house.dump()
    assert (await ask(house, watched.active)).campaigns == 1
    assert await house.dump() == before


async def test_thresholds_of_other_rules_than_those_in_force_are_not_used(house, other):
    """The server gets what changed."""
    watched = await budget_half(house)
    await watched.count(discount=600_000)
    await other.ledger.rules.load(house.program)
    before = watched.active
    watched.active = await thresholds_of(house, budget_spent_basis_points=7000)
    stale = await ask(other, before)
    assert isinstance(stale, Stale)
    other.ledger.rules.redefined(house.program, stale.changes)
    assert other.ledger.rules.cached(house.program).rules == watched.active.rules
    assert await watched.look(house=other) == {}


async def test_rules_without_thresholds_clear_everything_at_once(house):
    """So no server has to ask about such a program; there is one event for each warning."""
    watched = await budget_half(house, claims_per_minute=5)
    await watched.look()
    await watched.count(discount=600_000, claimed=6)
    await watched.look()
    await thresholds_of(house)
    assert [event[0] for event in await watched.events()] == [True, True, False, False]
    assert not await house.redis.exists(house.key("marks"), house.key("warnings"))
    assert (await house.events())[-3][0] == b"rules_changed"


async def test_another_threshold_is_compared_at_the_next_look(house):
    watched = await budget_half(house)
    await watched.count(discount=500_000)
    assert await watched.look() == {"BUDGET_SPENT": True}
    watched.active = await thresholds_of(house, budget_spent_basis_points=4000)
    assert await watched.look() == {}
    assert (await watched.raised())["BUDGET_SPENT"].threshold == 4000
    watched.active = await thresholds_of(house, budget_spent_basis_points=5001)
    assert await watched.look() == {"BUDGET_SPENT": False}
    watched.active = await thresholds_of(house, claims_per_minute=1)
    assert await watched.look() == {}


class Model:
    """Marks, pace and minutes in exact fractions, from everything that was ever seen."""

    def __init__(self, thresholds):
        self.thresholds = thresholds
        self.marks = []

    def look(self, now, counters):
        """Return (value, threshold) of each reason whose value is known, and whether it may be cleared."""
        found = {"BUDGET_SPENT": (Fraction(counters["discount"], BUDGET), Fraction(8, 10), True)}
        long_enough = [mark for mark in self.marks if now - mark[0] >= MINUTE]
        recent = [mark for mark in long_enough[-6:] if now - mark[0] <= PACE_SECONDS] or long_enough[-1:]
        if recent:
            then, before = recent[0]
            pace = Fraction(counters["discount"] - before["discount"], now - then)
            # How much of the budget's rest goes within the time: 1 is the threshold.
            share = pace * self.thresholds["budget_gone_within_seconds"] / (BUDGET - counters["discount"])
            found["BUDGET_GONE_SOON"] = (share, Fraction(1), True)
        if self.marks:
            claims, is_known = self.minute(now, counters, "claimed")
            found["CLAIMS_PER_MINUTE"] = (claims, Fraction(self.thresholds["claims_per_minute"]), is_known)
            refused, _ = self.minute(now, counters, "sold_out")
            answers = self.minute(now, counters, "redeemed")[0] + refused + claims
            if answers >= 10:
                found["REFUSAL_SHARE"] = (refused / answers, Fraction(3, 10), is_known)
            elif answers < 9:
                found["REFUSAL_SHARE"] = (Fraction(0), Fraction(3, 10), is_known)
        if not self.marks or now - self.marks[-1][0] >= MINUTE:
            self.marks.append((now, dict(counters)))
        return found

    def minute(self, now, counters, name):
        (then, newest), risen = self.marks[-1], 0
        risen = counters[name] - newest[name]
        if now - then >= MINUTE:
            return Fraction(risen * MINUTE, now - then), True
        if len(self.marks) == 1:
            return Fraction(risen), False
        earlier, before = self.marks[-2]
        return risen + Fraction((newest[name] - before[name]) * (MINUTE - (now - then)), then - earlier), True


@pytest.mark.parametrize("seed", range(2))
async def test_a_long_sale_is_warned_of_as_an_exact_model_says(house, seed):
    """Calm and rush alternate; looks are 5 to 20 seconds apart, and sometimes minutes."""
    rng = random.Random(seed)
    thresholds = {"budget_gone_within_seconds": 1800, "claims_per_minute": 40}
    watched = await Watched.of(
        house, budget_spent_basis_points=8000, refusal_shares=shares(CLAIM_LIMIT=3000), **thresholds
    )
    model, raised, seen = Model(thresholds), set(), set()
    counters = dict.fromkeys(("redeemed", "discount", "claimed", "sold_out"), 0)
    pace = 0
    for _ in range(LOOKS):
        if rng.random() < 0.05:
            pace = rng.choice((0, 1, 5, 30))
        for name, most in (("redeemed", pace), ("claimed", pace), ("sold_out", rng.choice((0, pace)))):
            counters[name] += rng.randint(0, most)
        counters["discount"] = min(counters["discount"] + rng.randint(0, 4000) * pace, BUDGET - 1)
        if rng.random() < 0.03:
            counters["discount"] //= rng.choice((2, 10))  # given back
        await watched.count(
            refused={SOLD_OUT: counters["sold_out"]},
            **{name: count for name, count in counters.items() if name != "sold_out"},
        )
        changes = await watched.look(rng.choice((*range(5, 21), 200)))
        expected = {}
        for reason, (value, threshold, may_clear) in model.look(watched.now, counters).items():
            is_over = value > threshold if reason == "CLAIMS_PER_MINUTE" else value >= threshold
            if is_over and reason not in raised:
                expected[reason] = True
            elif reason in raised and may_clear and value < threshold * Fraction(9, 10):
                expected[reason] = False
        assert changes == expected
        raised = {reason for reason in raised | set(expected) if expected.get(reason, True)}
        assert set(await watched.raised()) == raised
        seen |= set(expected.items())
    assert {reason for reason, _ in seen} == set(RiskWarningReason.__members__), "else it tries too little"


async def many(house, count, **fields):
    """So many campaigns like the first one."""
    await house.campaign(budget_minor=BUDGET)
    stored = await house.redis.hgetall(house.key("campaign:1")) | fields
    pipeline = house.redis.pipeline(transaction=False)
    for number in range(1, count + 1):
        pipeline.hset(house.key(f"campaign:{number}"), mapping=stored)
    pipeline.hset(house.key("ledger"), "campaigns", count)
    await pipeline.execute()


async def rounds(house, active, seconds=LOOK_SECONDS):
    """Every few seconds, call as long as there is more to do; yields what each interval's calls found."""
    now_ms = house.ledger.now_ms()
    while True:
        now_ms += seconds * 1000
        await house.set_clock(now_ms)
        calls = [await ask(house, active)]
        while calls[-1].is_more:
            calls.append(await ask(house, active))
        assert await ask(house, active) is NOTHING_NEW
        yield calls


async def test_a_thousand_campaigns_are_looked_at_in_bounded_calls(house):
    """Each has its turn within half a minute once all are known; a call looks at no more than its room allows."""
    await many(house, 1000, discount=600_000)
    active = await thresholds_of(house, budget_spent_basis_points=5000)
    raised, calls = [], 0
    async for found in rounds(house, active):
        calls += 1
        assert len(found) <= CALLS_MAX
        assert all(1 <= looked.campaigns <= ROOM // 2 + 1 for looked in found)
        raised += [warning.campaign for looked in found for warning in looked.raised]
        if len(raised) == WARNED_MAX:
            break
    assert len(set(raised)) == WARNED_MAX
    assert raised[0] == 1000, "the newest first"
    assert calls <= 15
    await many(house, 1000, discount=0)
    cleared = set()
    async for found in take(rounds(house, active), 20):
        cleared |= {warning.campaign for looked in found for warning in looked.cleared}
    assert cleared == set(raised)


async def take(each, count):
    """The first so many."""
    for _ in range(count):
        yield await anext(each)


async def test_a_call_reads_little_of_each_campaign(house):
    """Whatever the machine: its commands say how long it takes."""
    await many(house, 300)
    active = await thresholds_of(house, budget_spent_basis_points=5000, refusal_shares=shares(CLAIM_LIMIT=2500))
    async for _ in take(rounds(house, active), 10):
        pass
    before = await house.commands()
    (found,) = [each async for each in take(rounds(house, active), 1)]
    after = await house.commands()
    reads = sum(after[name] - before.get(name, 0) for name in after if name in ("cmdstat_hget", "cmdstat_hmget"))
    looked_at = sum(looked.campaigns for looked in found)
    assert looked_at > ROOM
    assert reads <= 3 * looked_at + 10 * len(found)


async def test_a_campaign_with_many_outcomes_takes_more_of_the_room(house):
    await many(house, 200)
    for number in range(1, 201):
        await house.redis.hset(house.key(f"refused:{number}"), mapping={str(kind): 1 for kind in range(40)})
    active = await thresholds_of(house, refusal_shares=shares(CLAIM_LIMIT=2500))
    (found,) = [each async for each in take(rounds(house, active), 1)]
    assert found[0].campaigns <= ROOM / 7 + 1


async def test_a_campaign_that_goes_on_after_a_pause_is_watched_at_once(house):
    """However many others there are."""
    await many(house, 1000, ends_at=1)
    watched = await budget_half(house)
    await watched.look()
    await house.set_state(watched.campaign, CampaignState.PAUSED)
    for _ in range(3):
        await watched.look()
    await house.set_state(watched.campaign, CampaignState.ACTIVE)
    await watched.count(discount=600_000)
    assert await watched.look() == {"BUDGET_SPENT": True}


async def test_ended_campaigns_do_not_keep_the_open_ones_waiting(house):
    """Only the search comes to them, a few in each interval."""
    await many(house, 1000, ends_at=1)
    open_one = await house.campaign(budget_minor=BUDGET)
    active = await thresholds_of(house, budget_spent_basis_points=5000)
    async for _ in take(rounds(house, active), 2):
        pass
    await house.redis.hset(house.key(f"campaign:{open_one.number}"), "discount", 600_000)
    (found,) = [each async for each in take(rounds(house, active), 1)]
    assert [warning.campaign for looked in found for warning in looked.raised] == [open_one.number]
    await house.set_state(open_one, CampaignState.ENDED)
    (ends, after) = [each async for each in take(rounds(house, active), 2)]
    assert [sum(looked.campaigns for looked in found) for found in (ends, after)] == [SEARCHED + 1, SEARCHED]


async def test_a_library_that_has_forgotten_whose_turn_it_is_begins_with_the_warned_campaigns(house):
    """After a restart of the ledger, what is cleared is cleared at once."""
    await many(house, 500)
    watched = Watched(house, None, await thresholds_of(house, budget_spent_basis_points=5000))
    await house.redis.hset(house.key("campaign:3"), "discount", 600_000)
    async for found in rounds(house, watched.active):
        if any(looked.raised for looked in found):
            break
    await house.redis.hset(house.key("campaign:3"), "discount", 0)
    await house.redis.function_flush()
    (found,) = [each async for each in take(rounds(house, watched.active), 1)]
    assert [warning.campaign for looked in found for warning in looked.cleared] == [3]


DAMAGES = {
    "a counter": ("hset", "campaign:1", "discount", "many"),
    "a limit": ("hset", "campaign:1", "limit_budget", "-5"),
    "an end": ("hset", "campaign:1", "ends_at", "never"),
    "a count of refusals": ("hset", "refused:1", "40", "x"),
    "refusals of another type": ("set", "refused:1", "x"),
    "a campaign of another type": ("set", "campaign:1", "x"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_campaign_that_cannot_be_read_is_not_warned_of_and_stops_no_other(house, damage):
    thresholds = {"budget_spent_basis_points": 5000, "refusal_shares": shares(CLAIM_LIMIT=100)}
    await Watched.of(house, **thresholds)
    second = await Watched.of(house, **thresholds)
    command, rest, *values = DAMAGES[damage]
    if command == "set":
        await house.delete(rest)
    await getattr(house.redis, command)(house.key(rest), *values)
    await second.count(discount=600_000)
    assert await second.look() == {"BUDGET_SPENT": True}
    assert [event[1] for event in await second.events()] == [2]


DAMAGED_RECORDS = [b"", b"\x02", b"\x01", b"\x01\x00", b"\x01\x00" + b"\xff" * 46, b"\x01" + b"\xff" * 35]


@pytest.mark.parametrize("record", DAMAGED_RECORDS)
@pytest.mark.parametrize("key", ["marks", "warnings"])
async def test_a_record_that_cannot_be_read_is_taken_for_none_and_written_anew(house, key, record):
    watched = await budget_half(house, claims_per_minute=5)
    await watched.look()
    await house.redis.hset(house.key(key), "1", record)
    await house.redis.hset(house.key(key), "x", record)
    assert await watched.raised() == {}
    assert (await house.stats(watched.campaign)).warnings == ()
    assert await watched.look() == {}
    await watched.count(discount=600_000)
    assert await watched.look() == {"BUDGET_SPENT": True}
    assert set(await watched.raised()) == {"BUDGET_SPENT"}


async def test_keys_of_another_type_stop_the_watch_and_nothing_else(house):
    watched = await budget_half(house)
    (token,) = await house.mint(watched.campaign)
    for key in ("marks", "warnings"):
        await house.redis.set(house.key(key), "x")
    before = await house.dump()
    with pytest.raises(LedgerRefused):
        await watched.look()
    await house.set_clock(before[house.key("ledger").encode()][b"clock_ms"])
    assert await house.dump() == before
    assert (await house.stats(watched.campaign)).warnings == ()
    assert (await house.redeem(token)).outcome is Outcome.APPROVED
    await thresholds_of(house)
    assert not await house.redis.exists(house.key("marks"), house.key("warnings"))


async def test_no_more_campaigns_than_can_be_shown_are_warned_of(house):
    watched = await budget_half(house)
    await house.redis.hset(
        house.key("warnings"), mapping={str(number): b"\x01" for number in range(1000, 1000 + WARNED_MAX)}
    )
    await watched.count(discount=600_000)
    assert await watched.look() == {}
    await house.redis.delete(house.key("warnings"))
    assert await watched.look() == {"BUDGET_SPENT": True}


async def test_six_marks_are_kept_one_a_minute_and_they_expire(house):
    watched = await budget_half(house, claims_per_minute=5)
    first = watched.now + LOOK_SECONDS
    for _ in range(100):
        await watched.look()
    packed = await house.redis.hget(house.key("marks"), "1")
    assert (len(packed) - 2) % 23 == 0
    taken = [struct.unpack_from(">I", packed, at)[0] for at in range(2, len(packed), 23)]
    assert taken == [first + MINUTE * minute for minute in range(3, 9)]
    expires_ms = await house.redis.pexpiretime(house.key("marks"))
    assert expires_ms == (taken[-1] + 600) * 1000


async def test_the_numbers_of_a_warning_are_written_anew_once_a_minute(house):
    """Where nothing else needs a mark, none is kept before there is a warning."""
    watched = await budget_half(house)
    await watched.look()
    assert not await house.redis.exists(house.key("marks"))
    spent = [600_000, *range(600_000, 1_000_000, 10_000)]
    told = []
    for each in spent[:26]:
        await watched.count(discount=each)
        await watched.look()
        told.append((await watched.raised())["BUDGET_SPENT"].first)
    assert sorted(set(told)) == [600_000, 710_000, 830_000]
    assert {warning.raised_at for warning in (await watched.raised()).values()} == {watched.now - 25 * LOOK_SECONDS}


async def test_archiving_removes_the_marks_of_the_campaign(house):
    watched = await budget_half(house, claims_per_minute=5)
    other = await house.campaign(budget_minor=BUDGET)
    await watched.look()
    assert sorted(await house.redis.hkeys(house.key("marks"))) == [b"1", b"2"]
    ended = await house.update(watched.campaign, return_window_seconds=0)
    ended = await house.set_state(ended, CampaignState.ENDED)
    await house.ledger.campaigns.archive(ended, principal="shop", now_ms=house.ledger.now_ms())
    while True:
        removal = await house.ledger.campaigns.remove_archived(house.program, 1, principal="shop")
        if removal.done == removal.total:
            break
    assert await house.redis.hkeys(house.key("marks")) == [str(other.number).encode()]


async def test_what_happens_at_the_till_is_what_is_warned_of(house):
    """Real orders and claims: 6 approvals and 6 refusals, and 300.00 of 500.00."""
    campaign = await house.campaign(budget_minor=500_00, claims_per_customer=1)
    watched = await Watched.of(
        house,
        campaign=campaign,
        budget_spent_basis_points=6000,
        claims_per_minute=3,
        refusal_shares=shares(ALREADY_REDEEMED=2000, MIN_SPEND_NOT_MET=5000),
    )
    await watched.look()
    tokens = await house.mint(campaign, 8)
    for token in tokens[:6]:
        assert (await house.redeem(token)).outcome is Outcome.APPROVED
    for customer in "abcd":
        assert (await house.claim(campaign, customer)).outcome is Outcome.APPROVED
    for token in tokens[:3]:
        assert (await house.redeem(token)).outcome is Outcome.ALREADY_REDEEMED
    await house.ledger._refusal_counts.send()
    assert await watched.look() == {"BUDGET_SPENT": True, "CLAIMS_PER_MINUTE": True, "REFUSAL_SHARE": True}
    raised = await watched.raised()
    assert (raised["REFUSAL_SHARE"].outcome, raised["REFUSAL_SHARE"].first, raised["REFUSAL_SHARE"].second) == (
        Outcome.ALREADY_REDEEMED,
        3,
        13,
    )
    assert (raised["BUDGET_SPENT"].first, raised["BUDGET_SPENT"].budget_minor) == (300_00, 500_00)
    assert {warning.reason.name: warning for warning in (await house.stats(campaign)).warnings} == raised
    assert (await house.redeem(tokens[6])).outcome is Outcome.APPROVED, "nobody is refused because of a warning"


def test_the_names_of_the_reasons_are_those_of_the_domain():
    (line,) = [line for line in texts()["warnings"].split("\n") if line.startswith("local REASONS = ")]
    assert [word.strip("', ") for word in line.partition("{")[2].rstrip(" }").split(",")] == [
        reason.name for reason in sorted(RiskWarningReason)
    ]
