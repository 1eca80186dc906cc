"""A coupon that will be refused takes nothing and stands in nobody's way, also when only the ledger knows of it."""

import random

import pytest
from builders.orders import lines_of

from redemption.domain.campaign.benefit import BuyGet, CashVoucher, FixedPrice, PercentOff, amount_off
from redemption.domain.campaign.campaign import Offer, Slot, SlotLimits, Stacking, Stage
from redemption.domain.outcome import Outcome
from redemption.service import redeemer
from redemption.service.revoker import TokenGiven

REJECTED = Outcome.STACK_REJECTED
VOUCHER = (Offer(CashVoucher(150_00)),)
EVERYTHING = (Offer(CashVoucher(300_00)),)
OFF_50_FROM_200 = (Offer(amount_off(200_00, 50_00)),)
ITEM = Stacking(Stage.ITEM)
GROUP = {"exclusivity_groups": ("night",)}


async def use_up(house, campaign):
    """Use one coupon, for the customer and in another order."""
    (token,) = await house.mint(campaign)
    assert (await house.redeem(token, customer="ann")).outcome is Outcome.APPROVED


async def used(house, token):
    assert (await house.redeem(token, customer="ann", spend=300_00)).outcome is Outcome.APPROVED


async def revoked(house, token):
    await house.revoke(TokenGiven(token))


# How a coupon dies: the limits of its campaign, what is done with it, and what it is told then.
DEATHS = [
    pytest.param({"redemptions_per_customer": 1}, None, Outcome.CUSTOMER_LIMIT, id="customer limit"),
    pytest.param({"redemptions_per_customer_per_day": 1}, None, Outcome.CUSTOMER_DAY_LIMIT, id="customer day limit"),
    pytest.param({"redemptions_per_day": 1}, None, Outcome.DAY_LIMIT, id="day limit"),
    pytest.param({"slots": SlotLimits((Slot(0, 1440, 1),))}, None, Outcome.SLOT_LIMIT, id="slot"),
    pytest.param({"redemptions": 1}, None, Outcome.CAMPAIGN_LIMIT, id="limit"),
    pytest.param({"budget_minor": 299_00}, None, Outcome.BUDGET_EXHAUSTED, id="budget"),
    pytest.param({"budget_per_day_minor": 299_00}, None, Outcome.BUDGET_EXHAUSTED, id="day's budget"),
    pytest.param({}, used, Outcome.ALREADY_REDEEMED, id="used by another order"),
    pytest.param({}, revoked, Outcome.REVOKED, id="revoked"),
]


async def dead_coupon(house, limits, kill, **campaign):
    """A coupon of 150.00 in the item stage that the ledger will refuse."""
    scarce = await house.campaign(**{"offers": VOUCHER, "stacking": ITEM} | campaign, **limits)
    if kill is None:
        await use_up(house, scarce)
    (token,) = await house.mint(scarce)
    if kill is not None:
        await kill(house, token)
    return token


async def verdicts(house, *tokens, **order):
    """The verdicts of Redeem, which Quote and BatchRedeem must share."""
    order = {"customer": "ann", "spend": 300_00} | order
    quoted = (await house.quote(*tokens, **order)).together
    redeemed = await house.redeem(*tokens, **order)
    (batched,) = await house.send_all([house.attempt(*tokens, **order)])
    told = [(each.outcome, each.detail) for each in redeemed.verdicts]
    for other in (quoted, batched):
        assert [(each.outcome, each.detail) for each in other.verdicts] == told
    return [outcome for outcome, _ in told]


@pytest.mark.parametrize(("limits", "kill", "outcome"), DEATHS)
async def test_what_a_dead_coupon_would_take_is_missed_by_nobody(house, limits, kill, outcome):
    """The spend of 300.00 is enough for the other coupon, which needs 200.00: no more has to be bought."""
    dead = await dead_coupon(house, limits, kill)
    (live,) = await house.mint(await house.campaign(offers=OFF_50_FROM_200))
    assert await verdicts(house, dead, live) == [outcome, REJECTED]
    assert await verdicts(house, live, dead) == [REJECTED, outcome]
    assert (await house.redeem(live, customer="ann", spend=300_00)).discount_minor == 50_00


@pytest.mark.parametrize(("limits", "kill", "outcome"), DEATHS)
@pytest.mark.parametrize(
    ("offers", "dead_stacking", "live_stacking"),
    [
        pytest.param(VOUCHER, Stacking(Stage.ITEM, **GROUP), Stacking(**GROUP), id="its exclusivity group"),
        pytest.param(VOUCHER, Stacking(Stage.ITEM, stop_after=True), Stacking(), id="it is the last one"),
        pytest.param(EVERYTHING, ITEM, Stacking(), id="it takes all"),
    ],
)
async def test_a_dead_coupon_stands_in_nobodys_way(house, limits, kill, outcome, offers, dead_stacking, live_stacking):
    dead = await dead_coupon(house, limits, kill, offers=offers, stacking=dead_stacking)
    (live,) = await house.mint(await house.campaign(stacking=live_stacking))
    assert await verdicts(house, dead, live) == [outcome, REJECTED]


async def test_two_coupons_of_one_campaign_do_not_depend_on_their_serials(house):
    """The one that was used stands in nobody's way, whether its serial is the smaller or the larger one."""
    for dead_first in (True, False):
        campaign = await house.campaign()
        tokens = await house.mint(campaign, 2)
        dead, live = tokens if dead_first else reversed(tokens)
        await used(house, dead)
        assert await verdicts(house, dead, live) == [Outcome.ALREADY_REDEEMED, REJECTED]


async def test_the_last_use_goes_to_the_coupon_that_is_applied_first(house):
    """The offer with the lower index is applied first, though its serial is the larger one."""
    campaign = await house.campaign(
        offers=(Offer(amount_off(0, 10_00)), Offer(amount_off(0, 20_00))),
        redemptions=1,
        stacking=Stacking(max_tokens_per_order=2),
    )
    second, first = [*await house.mint(campaign, offer_index=1), *await house.mint(campaign)]
    assert await verdicts(house, second, first) == [Outcome.CAMPAIGN_LIMIT, REJECTED]


async def test_an_answer_that_an_earlier_version_stored_names_the_right_tokens(house, monkeypatch):
    """It counted, and stored, the coupons of a campaign by their serials."""
    campaign = await house.campaign(
        offers=(Offer(amount_off(0, 10_00)), Offer(amount_off(0, 20_00))), stacking=Stacking(max_tokens_per_order=2)
    )
    attempt = house.attempt(*await house.mint(campaign, offer_index=1), *await house.mint(campaign))
    with monkeypatch.context() as earlier:
        earlier.setattr(redeemer, "_ledger_key", lambda token: (token.campaign, token.serial))
        first = await house.send(attempt)
    assert [verdict.discount_minor for verdict in first.verdicts] == [20_00, 10_00]
    assert await house.send(attempt) == first


async def test_an_order_that_is_approved_takes_one_round(house):
    tokens = [*await house.mint(await house.campaign()), *await house.mint(await house.campaign())]
    before = await house.commands()
    assert (await house.redeem(*tokens)).outcome is Outcome.APPROVED
    assert calls(await house.commands()) - calls(before) == 1


@pytest.mark.parametrize("known", [True, False], ids=["used", "over the limit"])
async def test_a_refused_order_takes_one_round_however_many_coupons_are_dead(house, known):
    """The last one needs a spend of 200.00, which is there because the 31 others take nothing."""
    dead = []
    for _ in range(31):
        campaign = await house.campaign(offers=VOUCHER, stacking=ITEM, redemptions=None if known else 1)
        tokens = await house.mint(campaign, 2)
        await used(house, tokens[0])
        dead.append(tokens[not known])
    (live,) = await house.mint(await house.campaign(offers=OFF_50_FROM_200))
    before = await house.commands()
    found = await house.redeem(*dead, live, customer="ann", spend=300_00)
    assert calls(await house.commands()) - calls(before) == 1
    refusal = Outcome.ALREADY_REDEEMED if known else Outcome.CAMPAIGN_LIMIT
    assert [verdict.outcome for verdict in found.verdicts] == [*[refusal] * 31, REJECTED]


async def test_a_large_order_is_judged_again_as_well(house):
    dead = await dead_coupon(house, {}, used)
    (live,) = await house.mint(await house.campaign(offers=OFF_50_FROM_200))
    assert await verdicts(house, dead, live, lines=lines_of(*[3_00] * 100)) == [Outcome.ALREADY_REDEEMED, REJECTED]


async def test_an_error_in_judging_again_leaves_the_refusal(house, monkeypatch):
    dead = await dead_coupon(house, {}, used)
    (live,) = await house.mint(await house.campaign(offers=OFF_50_FROM_200))

    def failing(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(redeemer, "judged_without_dead", failing)
    found = await house.redeem(dead, live, customer="ann", spend=300_00)
    assert [verdict.outcome for verdict in found.verdicts] == [Outcome.ALREADY_REDEEMED, Outcome.MIN_SPEND_NOT_MET]


async def test_a_record_that_cannot_be_read_leaves_the_refusal(house):
    """It is only needed to judge again."""
    used_up = await house.campaign()
    (dead,) = await house.mint(used_up)
    await used(house, dead)
    (live,) = await house.mint(await house.campaign())
    (customers,) = [key async for key in house.redis.scan_iter(match=house.key(f"c:{used_up.number}:*"))]
    await house.redis.set(customers, "poison")
    found = await house.redeem(dead, live, customer="ann", spend=300_00)
    assert [verdict.outcome for verdict in found.verdicts] == [Outcome.ALREADY_REDEEMED, REJECTED]


async def test_beside_a_token_that_is_not_valid_nothing_is_evaluated(house):
    dead = await dead_coupon(house, {}, revoked)
    (live,) = await house.mint(await house.campaign())
    never_issued = house.sign(1, 10**6)
    found = [verdict.outcome for verdict in (await house.redeem(dead, live, never_issued)).verdicts]
    assert found == [Outcome.NOT_EVALUATED, Outcome.NOT_EVALUATED, Outcome.TOKEN_INVALID]


def calls(commands):
    """How many functions were called that may write."""
    return commands.get("cmdstat_fcall", 0)


BENEFITS = (
    amount_off(200_00, 50_00),
    amount_off(0, 70_00),
    CashVoucher(150_00),
    PercentOff(5000, 200_00),
    FixedPrice(10_00, 1),
    BuyGet(1, 1, 10_000),
)
LIMITS = ({}, {"redemptions_per_customer": 1}, {"redemptions": 2}, {"budget_minor": 100_00}, {"redemptions_per_day": 1})


async def random_order(house, rng):
    """Campaigns with and without limits, some coupons of them used or revoked, and one order of several."""
    tokens = []
    for _ in range(rng.randint(2, 4)):
        benefit = rng.choice(BENEFITS)
        limits, group = rng.choice(LIMITS), GROUP if rng.random() < 0.3 else {}
        several = 1 if group or "redemptions_per_customer" in limits or isinstance(benefit, FixedPrice | BuyGet) else 2
        stacking = Stacking(rng.choice(list(Stage)), rng.randint(0, 1), several, **group)
        campaign = await house.campaign(offers=(Offer(benefit),), stacking=stacking, **limits)
        minted = await house.mint(campaign, 3)
        if rng.random() < 0.5:
            await house.redeem(minted[0], customer="ann", spend=300_00)
        if rng.random() < 0.2:
            await house.revoke(TokenGiven(minted[1]))
        tokens += rng.sample(minted, rng.randint(1, 2))
    rng.shuffle(tokens)
    return tokens[:5]


BY_LEDGER = {
    Outcome.ALREADY_REDEEMED,
    Outcome.REVOKED,
    Outcome.CUSTOMER_LIMIT,
    Outcome.DAY_LIMIT,
    Outcome.CAMPAIGN_LIMIT,
    Outcome.BUDGET_EXHAUSTED,
}


@pytest.mark.parametrize("seed", range(40))
async def test_verdicts_are_those_of_the_order_without_its_dead_coupons(house, seed):
    """Also: the quote says the same, and it takes one round."""
    tokens = await random_order(house, random.Random(seed))
    order = {"customer": "ann", "lines": lines_of(150_00, 100_00, 50_00)}
    quoted = (await house.quote(*tokens, **order)).together
    before = await house.commands()
    redeemed = await house.redeem(*tokens, **order)
    rounds = calls(await house.commands()) - calls(before)
    told = [verdict.outcome for verdict in redeemed.verdicts]
    assert told == [verdict.outcome for verdict in quoted.verdicts]
    dead = [index for index, outcome in enumerate(told) if outcome in BY_LEDGER]
    assert rounds == 1
    live = [index for index in range(len(tokens)) if index not in dead]
    if dead and live:
        without = await house.quote(*(tokens[index] for index in live), **order)
        expected = [
            REJECTED if each.outcome is Outcome.APPROVED else each.outcome for each in without.together.verdicts
        ]
        assert [told[index] for index in live] == expected
