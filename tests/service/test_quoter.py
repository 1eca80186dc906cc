"""Quoting: what Quote promises Redeem then does, and nothing is changed by asking."""

import asyncio
import secrets
import sys
import time
from dataclasses import replace

import pytest
from builders.calls import calling
from builders.orders import line_of, lines_of
from domain.judging.checkouts import customers, orders, wallets
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from interpreted import COUNTS_CALLS
from service.clocks import Clocks
from thoroughness import tries
from waiting import SECONDS_MAX

from redemption.domain.campaign.benefit import PercentOff, amount_off
from redemption.domain.campaign.campaign import CampaignState, Limits, Offer, Slot, SlotLimits, Stacking, Stage
from redemption.domain.errors import DeadlinePassed, InvalidRequest, Overloaded
from redemption.domain.judging.appraisal import Appraisal
from redemption.domain.order import Checkout
from redemption.domain.outcome import Disposition, Outcome
from redemption.scheduling.concurrency_limit import ConcurrencyLimit
from redemption.service.pending_order import RedeemRequest
from redemption.service.quoter import QuoteRequest

# Without shrinking: each example costs some tens of milliseconds, and shrinking tries thousands.
ON_A_REAL_LEDGER = settings(
    suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.reuse, Phase.generate]
)
DAY_SLOTS = SlotLimits((Slot(0, 1440, 2),))
CALLS_MAX = 10_000
"""Of Python functions between two turns of the event loop: 2,100 of 435,000 were measured. What is counted, no
machine changes."""


async def quote_checkout(house, checkout, *, seconds=SECONDS_MAX, **asked):
    """Quote a whole checkout."""
    return await house.quoter.quote(calling(seconds=seconds), QuoteRequest(checkout, **asked))


async def minted(house, wallet, of_limits):
    """Create the campaigns of a wallet, with limits, and mint its coupons."""
    made = {}
    for coupon in wallet:
        if coupon.campaign.number not in made:
            limits, stacking = of_limits[coupon.campaign.number - 1], coupon.campaign.stacking
            each = [limits.redemptions_per_customer or 9, limits.redemptions_per_customer_per_day or 9]
            several = min(stacking.max_tokens_per_order, *each)
            defined = replace(
                coupon.campaign,
                program=house.program,
                name=secrets.token_hex(8),
                number=0,
                limits=limits,
                stacking=replace(stacking, max_tokens_per_order=several),
            )
            made[coupon.campaign.number] = await house.campaigns.create(calling(), secrets.token_hex(8), defined)
    # A day from now: the campaigns of the strategies run for longer than any token may.
    expiry_ms = (house.ledger.now_ms() // 1000 + 86_400) * 1000
    tokens = []
    for coupon in wallet:
        campaign = made[coupon.campaign.number]
        tokens += await house.mint(campaign, offer_index=coupon.offer_index, expires_at_ms=expiry_ms)
    return tokens


def as_told(verdicts):
    """What quotes and redemptions have in common: a quote has no receipts."""
    return [replace(verdict, redemption_id="") for verdict in verdicts]


any_limits = st.builds(
    Limits,
    redemptions=st.none() | st.integers(1, 3),
    redemptions_per_customer=st.none() | st.none() | st.integers(1, 2),
    redemptions_per_customer_per_day=st.none() | st.none() | st.integers(1, 2),
    redemptions_per_day=st.none() | st.integers(1, 3),
    slots=st.none() | st.just(DAY_SLOTS),
    budget_minor=st.none() | st.integers(1, 2000),
    budget_per_day_minor=st.none() | st.integers(1, 2000),
)
limits = any_limits.filter(
    lambda each: all(
        day is None or total is None or day <= total
        for day, total in (
            (each.redemptions_per_customer_per_day, each.redemptions_per_customer),
            (each.redemptions_per_day, each.redemptions),
            (each.budget_per_day_minor, each.budget_minor),
        )
    )
)
"""Those of which a definition may speak: a day's share is not more than the whole."""


@given(wallets(8), st.lists(limits, min_size=4, max_size=4), st.lists(orders(), min_size=1, max_size=3), customers)
@settings(ON_A_REAL_LEDGER, max_examples=tries(60))
async def test_redeem_does_what_quote_said(house, wallet, of_limits, of_orders, customer):
    """Every verdict, detail, discount, allocation and share, for several orders one after the other."""
    tokens = await minted(house, wallet, of_limits)
    for number, order in enumerate(of_orders):
        some = tokens[number::2] or tokens
        checkout = Checkout(house.program, tuple(some), replace(order, order_id=secrets.token_hex(8)), customer)
        quoted = await quote_checkout(house, checkout, with_allocations=True)
        decision = await house.send(RedeemRequest(secrets.token_hex(8), checkout))
        promised = quoted.together
        assert (promised.outcome, promised.disposition) == (decision.outcome, decision.disposition)
        assert promised.discount_minor == decision.discount_minor
        assert promised.verdicts == tuple(as_told(decision.verdicts))


@given(wallets(5), st.lists(limits, min_size=4, max_size=4), orders(), customers)
@settings(ON_A_REAL_LEDGER, max_examples=tries(40))
async def test_the_chosen_coupons_redeem_for_what_was_quoted(house, wallet, of_limits, order, customer):
    tokens = await minted(house, wallet, of_limits)
    checkout = Checkout(house.program, tuple(tokens), replace(order, order_id=secrets.token_hex(8)), customer)
    quoted = await quote_checkout(house, checkout, choose_best=True)
    assert quoted.exhaustive
    assert max(verdict.discount_minor for verdict in quoted.alone) <= quoted.together.discount_minor
    everything = await quote_checkout(house, checkout)
    assert everything.together.discount_minor <= quoted.together.discount_minor
    if not quoted.chosen:
        assert quoted.together.outcome is not Outcome.APPROVED
        return
    chosen = replace(checkout, tokens=tuple(tokens[index] for index in quoted.chosen))
    decision = await house.send(RedeemRequest(secrets.token_hex(8), chosen))
    assert (decision.outcome, decision.discount_minor) == (Outcome.APPROVED, quoted.together.discount_minor)


visits = st.lists(
    st.tuples(
        st.sampled_from(("1 00:00", "1 23:59", "2 00:00", "2 12:00")),
        st.sampled_from(("ann", "bob")),
        st.integers(1, 3),
    ),
    min_size=3,
    max_size=8,
).map(sorted)
"""When, who and with how many coupons: one after the other."""


@given(limits, visits)
@settings(ON_A_REAL_LEDGER, max_examples=tries(25))
async def test_limits_are_quoted_as_they_are_redeemed(house, of_limits, visits):
    """Over two days, with coupons that only limits refuse."""
    clocks = Clocks(house)
    each = [of_limits.redemptions_per_customer or 3, of_limits.redemptions_per_customer_per_day or 3]
    campaign = await house.campaign(
        limits=of_limits,
        offers=(Offer(amount_off(0, 5_00)),),
        stacking=Stacking(max_tokens_per_order=min(each)),
    )
    tokens = await house.mint(campaign, 3 * len(visits))
    for moment, customer, count in visits:
        await clocks.set(clocks.at(*moment.split()))
        some = [tokens.pop() for _ in range(min(count, *each))]
        promised = (await house.quote(*some, customer=customer, with_allocations=True)).together
        decision = await house.redeem(*some, customer=customer)
        assert (promised.outcome, promised.disposition) == (decision.outcome, decision.disposition)
        assert promised.verdicts == tuple(as_told(decision.verdicts))


async def test_asking_changes_nothing(house):
    campaign = await house.campaign(redemptions=1)
    (token,) = await house.mint(campaign)
    before = await house.redis.hgetall(house.key("ledger")), await house.redis.hgetall(house.key("campaign:1"))
    for _ in range(3):
        quoted = await house.quote(token)
        assert quoted.together.outcome is Outcome.APPROVED
    assert (
        await house.redis.hgetall(house.key("ledger")),
        await house.redis.hgetall(house.key("campaign:1")),
    ) == before
    assert quoted.together.settlement == b""
    assert quoted.together.verdicts[0].redemption_id == ""


async def test_a_spent_coupon_is_told_with_when_and_by_this_order_with_its_receipt(house):
    (token,) = await house.mint(await house.campaign())
    approved = await house.redeem(token, order_id="mine")
    mine = (await house.quote(token, order_id="mine")).together.verdicts[0]
    assert mine.detail.same_order
    assert mine.redemption_id == approved.verdicts[0].redemption_id
    other = (await house.quote(token)).together.verdicts[0]
    assert other.outcome is Outcome.ALREADY_REDEEMED
    assert other.detail.redeemed_at == approved.decided_at
    assert other.redemption_id == ""


async def test_each_coupon_is_judged_alone_whatever_the_others_are(house):
    """One forged or spent coupon in the wallet does not hide what the others are worth."""
    campaign = await house.campaign()
    good, spent = await house.mint(campaign, 2)
    await house.redeem(spent)
    quoted = await house.quote("A" * 64, good, spent)
    assert [verdict.outcome for verdict in quoted.together.verdicts] == [
        Outcome.TOKEN_INVALID,
        Outcome.NOT_EVALUATED,
        Outcome.NOT_EVALUATED,
    ]
    assert [verdict.outcome for verdict in quoted.alone] == [
        Outcome.TOKEN_INVALID,
        Outcome.APPROVED,
        Outcome.ALREADY_REDEEMED,
    ]
    best = await house.quote("A" * 64, good, spent, choose_best=True)
    assert (best.chosen, best.together.outcome, best.together.discount_minor) == ((1,), Outcome.APPROVED, 50_00)
    assert [verdict.outcome for verdict in best.together.verdicts] == [verdict.outcome for verdict in quoted.alone]


async def test_forged_tokens_cost_the_ledger_nothing(house):
    await house.campaign()
    before = await house.commands()
    quoted = await house.quote("A" * 64, "B" * 64, choose_best=True)
    after = await house.commands()
    assert quoted.together.outcome is Outcome.TOKEN_INVALID
    assert quoted.chosen == ()
    for name in ("cmdstat_fcall", "cmdstat_fcall_ro"):
        assert after.get(name) == before.get(name)


async def test_the_better_combination_is_chosen_with_the_reason_for_each_one_left_out(house):
    """Alone the percentage is worth more; the two that go together are worth more still."""
    big = await house.campaign(
        offers=(Offer(PercentOff(2500, 100_00)),), stacking=Stacking(Stage.PLATFORM, exclusivity_groups=("big",))
    )
    full = await house.campaign(
        offers=(Offer(amount_off(200_00, 50_00)),), stacking=Stacking(Stage.PLATFORM, exclusivity_groups=("big",))
    )
    brand = await house.campaign(
        offers=(Offer(amount_off(0, 20_00)),), stacking=Stacking(Stage.MERCHANT, exclusivity_groups=("small",))
    )
    far = await house.campaign(offers=(Offer(amount_off(500_00, 100_00)),))
    tokens = [(await house.mint(campaign))[0] for campaign in (big, full, brand, far)]
    quoted = await house.quote(*tokens, choose_best=True, spend=238_00)
    # 20.00 off first; then 25 % of 218.00 is 54.50, more than 50.00.
    assert quoted.chosen == (0, 2)
    assert quoted.exhaustive
    assert quoted.together.discount_minor == 74_50
    outcomes = [verdict.outcome for verdict in quoted.together.verdicts]
    assert outcomes == [
        Outcome.APPROVED,
        Outcome.EXCLUSIVE_CONFLICT,
        Outcome.APPROVED,
        Outcome.MIN_SPEND_NOT_MET,
    ]
    assert quoted.together.verdicts[1].detail.conflicts == (0,)
    assert quoted.together.verdicts[3].detail.missing_minor == 262_00


async def test_a_coupon_that_would_spoil_a_better_one_names_it(house):
    """Taking 40.00 off before would bring the goods below the threshold of 满200减50."""
    full = await house.campaign()
    item = await house.campaign(offers=(Offer(amount_off(0, 40_00)),), stacking=Stacking(Stage.ITEM))
    tokens = [(await house.mint(campaign))[0] for campaign in (full, item)]
    quoted = await house.quote(*tokens, choose_best=True, spend=210_00)
    assert quoted.chosen == (0,)
    verdict = quoted.together.verdicts[1]
    assert (verdict.outcome, verdict.detail.conflicts) == (Outcome.EXCLUSIVE_CONFLICT, (0,))
    both = await house.quote(*tokens, spend=210_00)
    assert [verdict.outcome for verdict in both.together.verdicts] == [
        Outcome.MIN_SPEND_NOT_MET,
        Outcome.STACK_REJECTED,
    ]
    assert both.together.outcome is Outcome.MIN_SPEND_NOT_MET


async def test_a_hundred_coupons_are_chosen_from_deterministically_and_it_says_so(house):
    tokens = []
    for off in range(12):
        campaign = await house.campaign(offers=(Offer(amount_off(0, 100 + off)),))
        tokens += await house.mint(campaign, 8)
    quoted = await house.quote(*tokens, choose_best=True, spend=238_00)
    assert not quoted.exhaustive
    assert quoted.together.discount_minor == sum(100 + off for off in range(12))
    assert len(quoted.chosen) == 12
    assert quoted.chosen == tuple(range(0, 96, 8)), "of equal ones the smaller serial"
    backwards = await house.quote(*reversed(tokens), choose_best=True, spend=238_00)
    assert sorted(95 - index for index in backwards.chosen) == list(quoted.chosen)


async def test_many_coupons_of_one_offer_are_still_tried_exhaustively(house):
    campaign = await house.campaign(offers=(Offer(amount_off(0, 5_00)),), stacking=Stacking(max_tokens_per_order=3))
    tokens = await house.mint(campaign, 50)
    quoted = await house.quote(*tokens, choose_best=True)
    assert (quoted.chosen, quoted.exhaustive) == ((0, 1, 2), True)
    assert quoted.together.discount_minor == 15_00


async def test_another_moment_is_simulated(house):
    now = house.ledger.now_ms()
    campaign = await house.campaign(starts_at_ms=now + 3_600_000, redemptions_per_day=1)
    (token,) = await house.mint(campaign)
    assert (await house.quote(token)).together.verdicts[0].outcome is Outcome.TOKEN_NOT_YET_VALID
    later = await house.quote(token, at_ms=now + 7_200_000)
    assert later.together.outcome is Outcome.APPROVED
    assert later.together.decided_at == (now + 7_200_000) // 1000


async def test_todays_counters_are_over_tomorrow(house):
    campaign = await house.campaign(redemptions_per_day=1, budget_per_day_minor=50_00)
    one, two = await house.mint(campaign, 2)
    await house.redeem(one)
    full = (await house.quote(two)).together
    assert full.outcome is Outcome.DAY_LIMIT
    tomorrow = await house.quote(two, at_ms=full.verdicts[0].detail.try_after_ms)
    assert tomorrow.together.outcome is Outcome.APPROVED


async def test_a_budget_used_up_for_today_may_be_tried_later_and_one_used_up_may_not(house):
    for changes, disposition in (
        ({"budget_minor": 60_00}, Disposition.FINAL),
        ({"budget_per_day_minor": 60_00}, Disposition.TRY_LATER),
        ({"budget_minor": 60_00, "budget_per_day_minor": 60_00}, Disposition.FINAL),
    ):
        campaign = await house.campaign(**changes)
        one, two = await house.mint(campaign, 2)
        await house.redeem(one)
        for decision in ((await house.quote(two)).together, await house.redeem(two)):
            assert (decision.outcome, decision.disposition) == (Outcome.BUDGET_EXHAUSTED, disposition)
            assert decision.verdicts[0].disposition is disposition


async def test_a_changed_campaign_is_quoted_as_it_is_now(house, other):
    """Another server changed it; this one's copy is old."""
    campaign = await house.campaign()
    (token,) = await house.mint(campaign)
    await house.quote(token)
    await other.set_state(campaign, CampaignState.PAUSED)
    assert (await house.quote(token)).together.outcome is Outcome.CAMPAIGN_PAUSED


async def test_allocations_are_told_when_they_are_asked_for(house):
    (token,) = await house.mint(await house.campaign(offers=(Offer(amount_off(0, 50_00), merchant_basis_points=3333),)))
    lines = (line_of(100_00, line_id="a"), line_of(50_00, line_id="b"))
    without = await house.quote(token, lines=lines)
    assert without.together.verdicts[0].allocations == without.alone[0].allocations == ()
    told = await house.quote(token, lines=lines, with_allocations=True)
    assert [(part.line_id, part.amount_minor, part.merchant_minor) for part in told.alone[0].allocations] == [
        ("a", 33_33, 11_10),
        ("b", 16_67, 5_55),
    ]
    decision = await house.redeem(token, lines=lines)
    assert decision.verdicts[0].allocations == told.together.verdicts[0].allocations


async def test_up_to_a_hundred_tokens_are_quoted_and_no_more(house):
    tokens = await house.mint(await house.campaign(), 101)
    assert len((await house.quote(*tokens[:100])).alone) == 100
    with pytest.raises(InvalidRequest, match="1 to 100 tokens; there are 101"):
        await house.quote(*tokens)
    with pytest.raises(InvalidRequest, match="1 to 32 tokens"):
        await house.redeem(*tokens[:33])


async def test_a_quote_that_cannot_be_ready_in_time_says_so_and_makes_room(house):
    (token,) = await house.mint(await house.campaign())
    with pytest.raises(DeadlinePassed, match="quotes change nothing"):
        await house.quote(token, seconds=0.0)
    assert (await house.quote(token)).together.outcome is Outcome.APPROVED


async def test_too_many_quotes_at_once_are_refused_at_once(house, monkeypatch):
    monkeypatch.setattr(house.quoter, "_limit", ConcurrencyLimit(3))
    (token,) = await house.mint(await house.campaign())
    results = await asyncio.gather(*(house.quote(token) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(result, Overloaded) for result in results) == 5
    assert (await house.quote(token)).together.outcome is Outcome.APPROVED


@COUNTS_CALLS
async def test_the_largest_search_lets_others_work_all_the_time(house):
    """Most of it is what is tried beyond the exhaustive part, and the reasons: each repeats the whole stack."""
    wallet = []
    for off in range(1, 21):
        wallet += await house.mint(await house.campaign(offers=(Offer(PercentOff(100 + off, 10**6)),)), 5)
    lines = lines_of(*range(1000, 1100))
    checkout = house.attempt(*wallet, customer="ann", lines=lines).checkout
    calls, longest, ended = 0, 0, asyncio.Event()

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event == "call"

    async def watch():
        nonlocal longest
        while not ended.is_set():
            before = calls
            await asyncio.sleep(0)
            longest = max(longest, calls - before)

    watching = asyncio.create_task(watch())
    sys.setprofile(count)
    try:
        # Counting makes it slow.
        quoted = await quote_checkout(house, checkout, choose_best=True, seconds=10 * SECONDS_MAX)
    finally:
        sys.setprofile(None)
    ended.set()
    await watching
    assert (len(quoted.chosen), quoted.exhaustive) == (20, False)
    assert calls > 10 * CALLS_MAX
    assert longest < CALLS_MAX


async def test_redeeming_goes_on_while_a_quote_is_searching(house, monkeypatch):
    """The search lets others work in between: it goes on until many redemptions are finished."""
    wallet = []
    for off in range(10):
        wallet += await house.mint(await house.campaign(offers=(Offer(PercentOff(100 + off, 10**6)),)))
    coupons = await house.mint(await house.campaign(), 20)
    lines = lines_of(*range(1000, 1500))
    finished, best = [], Appraisal.best

    def endless(*asked):
        """Search again and again; the time limit is for a search that lets no other work run."""
        wall = time.monotonic() + SECONDS_MAX
        while True:
            choice = yield from best(*asked)
            if len(finished) >= 10 or time.monotonic() > wall:
                return choice

    monkeypatch.setattr(Appraisal, "best", endless)

    async def search():
        checkout = house.attempt(*wallet, customer="ann", lines=lines).checkout
        await quote_checkout(house, checkout, choose_best=True, seconds=10 * SECONDS_MAX)
        finished.append("quote")

    async def buy():
        for coupon in coupons:
            assert (await house.redeem(coupon)).outcome is Outcome.APPROVED
            finished.append("redeem")

    await asyncio.gather(search(), buy())
    assert finished.index("quote") >= 10
