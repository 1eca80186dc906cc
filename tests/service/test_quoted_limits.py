"""Quotes count as the ledger does: by customer, day, slot and money, now and at another moment."""

from dataclasses import replace

import pytest
from service.clocks import Clocks

from redemption.domain.campaign.benefit import PercentOff, amount_off
from redemption.domain.campaign.campaign import CampaignState, Offer, Slot, SlotLimits, Stacking, Stage
from redemption.domain.outcome import Disposition, Outcome
from redemption.service.revoker import CustomerGiven

YES = Outcome.APPROVED
BUDGET = Outcome.BUDGET_EXHAUSTED
MORNING, EVENING = "2 00:00 ann", "2 23:59 ann"
FULL_DAY = {"slots": SlotLimits((Slot(0, 1440, 1),))}


def halves(*, carry_over=False):
    return {"slots": SlotLimits((Slot(0, 720, 2), Slot(720, 1440, 2)), carry_over)}


CASES = [
    # What one customer used today, and not yesterday, and nobody else did.
    ({"redemptions_per_customer_per_day": 1}, ("1 23:59 ann",), MORNING, YES),
    ({"redemptions_per_customer_per_day": 1}, (MORNING,), EVENING, Outcome.CUSTOMER_DAY_LIMIT),
    ({"redemptions_per_customer_per_day": 1}, ("2 00:00 bob",), MORNING, YES),
    ({"redemptions_per_customer_per_day": 1}, ("1 23:59 ann", "2 00:00 bob"), EVENING, YES),
    ({"redemptions_per_customer_per_day": 2}, ("1 23:59 ann", MORNING), EVENING, YES),
    ({"redemptions_per_customer_per_day": 2}, ("1 23:59 ann", MORNING, MORNING), EVENING, Outcome.CUSTOMER_DAY_LIMIT),
    # What one customer ever used.
    ({"redemptions_per_customer": 1}, ("1 23:59 ann",), MORNING, Outcome.CUSTOMER_LIMIT),
    ({"redemptions_per_customer": 2}, ("1 23:59 bob", "1 23:59 ann", "2 00:00 bob"), MORNING, YES),
    # What all used, today and ever.
    ({"redemptions_per_day": 1}, ("1 23:59 bob",), MORNING, YES),
    ({"redemptions_per_day": 1}, ("2 00:00 bob",), EVENING, Outcome.DAY_LIMIT),
    ({"redemptions_per_day": 2}, ("1 23:59 bob", "2 00:00 bob"), EVENING, YES),
    ({"redemptions": 2}, ("1 23:59 bob", "2 00:00 bob"), EVENING, Outcome.CAMPAIGN_LIMIT),
    # What was spent, 50.00 each.
    ({"budget_per_day_minor": 99_99}, ("1 23:59 bob",), MORNING, YES),
    ({"budget_per_day_minor": 99_99}, ("2 00:00 bob",), EVENING, BUDGET),
    ({"budget_per_day_minor": 100_00}, ("1 23:59 bob", "2 00:00 bob"), EVENING, YES),
    ({"budget_minor": 149_99}, ("1 23:59 bob", "2 00:00 bob"), EVENING, BUDGET),
    ({"budget_minor": 150_00}, ("1 23:59 bob", "2 00:00 bob"), EVENING, YES),
    # What was used in this slot of this day: two before noon, two after it.
    (halves(), ("2 00:00 bob",) * 2, "2 11:59 ann", Outcome.SLOT_LIMIT),
    (halves(), ("2 00:00 bob",) * 2, "2 12:00 ann", YES),
    (halves(), ("2 11:59 bob", "2 12:00 bob"), EVENING, YES),
    (halves(), ("2 11:59 bob", "2 12:00 bob", "2 12:00 bob"), EVENING, Outcome.SLOT_LIMIT),
    (halves(), ("1 00:00 bob",) * 2, MORNING, YES),
    # With what the slots before it left over, and not those of another day.
    (halves(carry_over=True), ("2 12:00 bob",) * 3, EVENING, YES),
    (halves(carry_over=True), ("2 00:00 bob", *("2 12:00 bob",) * 3), EVENING, Outcome.SLOT_LIMIT),
    (halves(carry_over=True), ("1 23:59 bob", *("2 00:00 bob",) * 2), "2 11:59 ann", Outcome.SLOT_LIMIT),
    (halves(carry_over=True), ("1 12:00 bob",) * 4, MORNING, YES),
    (halves(carry_over=True), ("2 00:00 bob",) * 2, "2 12:00 ann", YES),
]


async def quote(house, *tokens, customer="ann", **order):
    """Quote one order of a customer."""
    return await house.quote(*tokens, customer=customer, **order)


def outcomes(verdicts):
    return [verdict.outcome for verdict in verdicts]


async def after(house, limits, used, **changes):
    """Three coupons of a campaign of which others were used at some moments by some customers."""
    clocks = Clocks(house)
    campaign = await house.campaign(**limits, **changes)
    tokens = await house.mint(campaign, len(used) + 3)
    for token, use in zip(tokens[3:], used, strict=True):
        day, time, who = use.split()
        await clocks.set(clocks.at(day, time))
        assert (await house.redeem(token, customer=who)).outcome is YES
    return clocks, tokens[:3]


@pytest.mark.parametrize(("limits", "used", "asked", "outcome"), CASES)
async def test_limits_are_counted_as_redeem_counts_them_before_and_at_that_moment(house, limits, used, asked, outcome):
    clocks, (token, _, _) = await after(house, limits, used)
    day, time, who = asked.split()
    moment_ms = clocks.at(day, time)
    early = await quote(house, token, at_ms=moment_ms, customer=who)
    await clocks.set(moment_ms)
    quoted = await quote(house, token, customer=who)
    redeemed = await house.redeem(token, customer=who)
    assert [decision.outcome for decision in (early.together, quoted.together, redeemed)] == [outcome] * 3
    told = replace(redeemed.verdicts[0], redemption_id="", allocations=())
    assert early.together.verdicts == quoted.together.verdicts == early.alone == quoted.alone == (told,)


@pytest.mark.parametrize(
    "limits",
    [{"redemptions_per_customer_per_day": 1}, {"redemptions_per_day": 1}, {"budget_per_day_minor": 50_00}, FULL_DAY],
    ids=repr,
)
async def test_a_quote_at_an_earlier_moment_does_not_count_later_redemptions(house, limits):
    """Of a day or slot that is over only the ledger's totals are known."""
    clocks, (token, _, _) = await after(house, limits, (MORNING,))
    assert (await quote(house, token, at_ms=clocks.at(1, "11:59"))).together.outcome is YES
    assert (await quote(house, token, at_ms=clocks.at(2, "11:59"))).together.outcome is not YES


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [
        ({"redemptions_per_customer": 3}, Outcome.CUSTOMER_LIMIT),
        ({"redemptions_per_customer_per_day": 3}, Outcome.CUSTOMER_DAY_LIMIT),
        ({"redemptions_per_day": 3}, Outcome.DAY_LIMIT),
        ({"redemptions": 3}, Outcome.CAMPAIGN_LIMIT),
        ({"budget_minor": 199_99}, BUDGET),
        ({"budget_per_day_minor": 199_99}, BUDGET),
        ({"slots": SlotLimits((Slot(0, 1440, 3),))}, Outcome.SLOT_LIMIT),
        ({"slots": SlotLimits((Slot(0, 1440, 3),), carry_over=True)}, Outcome.SLOT_LIMIT),
    ],
    ids=repr,
)
async def test_an_orders_coupons_count_for_each_other_and_not_when_each_is_alone(house, limits, outcome):
    """One was used, and two more may be: of three the last one finds no room, whoever chooses."""
    stacking = Stacking(max_tokens_per_order=3)
    _, tokens = await after(house, limits, (MORNING,), stacking=stacking)
    quoted = await quote(house, *tokens)
    rejected = [Outcome.STACK_REJECTED] * 2
    assert outcomes(quoted.together.verdicts) == [*rejected, outcome]
    assert outcomes(quoted.alone) == [YES] * 3
    best = await quote(house, *tokens, choose_best=True)
    assert best.chosen == (0, 1)
    assert outcomes(best.together.verdicts) == [YES, YES, outcome]
    redeemed = await house.redeem(*tokens, customer="ann")
    assert outcomes(redeemed.verdicts) == [*rejected, outcome]
    assert (await house.redeem(*tokens[:2], customer="ann")).outcome is YES


@pytest.mark.parametrize(
    ("budget_minor", "refused"),
    [(109_99, {1}), (60_00, {1}), (59_99, {0, 1}), (9_99, {0, 1, 2})],
    ids=repr,
)
async def test_coupons_are_counted_in_the_order_of_their_turns(house, budget_minor, refused):
    """The offer of 10.00 is applied first, though it has the last serial; two of 50.00 follow."""
    offers = (Offer(amount_off(0, 10_00)), Offer(amount_off(0, 50_00)))
    campaign = await house.campaign(offers=offers, budget_minor=budget_minor, stacking=Stacking(max_tokens_per_order=3))
    tokens = [*await house.mint(campaign, 2, offer_index=1), *await house.mint(campaign)]
    expected = [BUDGET if index in refused else Outcome.STACK_REJECTED for index in range(3)]
    assert outcomes((await quote(house, *tokens)).together.verdicts) == expected
    assert outcomes((await house.redeem(*tokens, customer="ann")).verdicts) == expected


@pytest.mark.parametrize("limit", ["budget_minor", "budget_per_day_minor"])
async def test_a_coupon_that_only_fits_into_the_budget_after_others_is_chosen(house, limit):
    """20 % of 200.00 are too much for it, 20 % of 100.00 are not."""
    first = await house.campaign(offers=(Offer(amount_off(0, 100_00)),), stacking=Stacking(Stage.ITEM))
    scarce = await house.campaign(offers=(Offer(PercentOff(2000, 100_00)),), **{limit: 30_00})
    tokens = [*await house.mint(first), *await house.mint(scarce)]
    quoted = await quote(house, *tokens, choose_best=True, spend=200_00)
    assert outcomes(quoted.alone) == [YES, BUDGET]
    assert (quoted.chosen, quoted.together.discount_minor) == ((0, 1), 120_00)
    assert (await house.redeem(*tokens, spend=200_00)).discount_minor == 120_00


# What is known of a coupon itself


async def test_the_first_reason_by_precedence_is_told_whoever_knows_it(house):
    """The ledger that a coupon was used; the server that its campaign is paused, which comes first."""
    campaign = await house.campaign()
    (token,) = await house.mint(campaign)
    await house.redeem(token)
    await house.set_state(campaign, CampaignState.PAUSED)
    quoted = await quote(house, token)
    told = [*quoted.alone, *quoted.together.verdicts, *(await house.redeem(token)).verdicts]
    assert outcomes(told) == [Outcome.CAMPAIGN_PAUSED] * 3


async def test_a_bound_coupon_of_a_customer_whose_coupons_were_taken_back_is_revoked(house):
    campaign = await house.campaign()
    bound, (free,) = (await house.claim(campaign)).token, await house.mint(campaign)
    await house.revoke(CustomerGiven("ann"), campaign=campaign.number)
    assert outcomes((await quote(house, bound, free)).alone) == [Outcome.REVOKED, YES]
    assert (await house.redeem(bound, customer="ann")).outcome is Outcome.REVOKED


async def test_forged_coupons_are_told_at_the_moment_that_was_asked(house):
    moment_ms = house.ledger.now_ms() + 3_600_000
    assert (await quote(house, "A" * 64, at_ms=moment_ms)).together.decided_at == moment_ms // 1000


@pytest.mark.parametrize(
    "limits",
    [{"redemptions": 2}, {"redemptions_per_customer": 2}, {"budget_minor": 149_99}],
    ids=lambda limits: next(iter(limits)),
)
async def test_what_is_only_held_may_be_free_later(house, limits):
    """A quote says so, and when, as a redemption does; once it is used, neither does."""
    campaign = await house.campaign(stacking=Stacking(max_tokens_per_order=2), **limits)
    *first, second, third = await house.mint(campaign, 4)
    held = await house.reserve(*first, customer="ann", spend=500_00)
    for tokens in ((second,), (second, third)):
        order = {"customer": "ann", "spend": 500_00}
        quoted = (await house.quote(*tokens, **order)).together.verdicts
        told = (await house.redeem(*tokens, **order)).verdicts
        assert [verdict.detail.try_after_ms for verdict in told] == [held.held_until * 1000] * len(tokens)
        assert [verdict.disposition for verdict in told] == [Disposition.TRY_LATER] * len(tokens)
        assert [(verdict.outcome, verdict.detail) for verdict in quoted] == [
            (verdict.outcome, verdict.detail) for verdict in told
        ]
    best = await house.quote(second, choose_best=True, customer="ann")
    assert best.together.verdicts[0].disposition is Disposition.TRY_LATER
    await house.confirm(held.reservation_id)
    for verdict in (
        (await house.quote(second, customer="ann")).together.verdicts[0],
        (await house.redeem(second, customer="ann")).verdicts[0],
    ):
        assert (verdict.disposition, verdict.detail) == (Disposition.FINAL, None)
