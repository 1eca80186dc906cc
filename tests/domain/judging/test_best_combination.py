"""The best combination of coupons: none beats it, and it is found in small steps."""

from dataclasses import replace
from itertools import combinations

from builders.campaigns import campaign_of
from builders.orders import line_of, order_of
from builders.times import NOW
from domain.judging import calculator
from domain.judging.as_service import appraisal_of
from domain.judging.checkouts import customers, orders, wallets
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import tries

from redemption.domain.campaign.benefit import BuyGet, CashVoucher, PercentOff
from redemption.domain.campaign.campaign import Limits, Offer, Slot, SlotLimits, Stacking, Stage
from redemption.domain.campaign.conditions import Conditions, Scope
from redemption.domain.judging.best_combination import Work
from redemption.domain.order import GUEST
from redemption.domain.outcome import Outcome
from redemption.domain.steps import finished

limits = st.builds(
    Limits,
    redemptions=st.none() | st.integers(1, 2),
    redemptions_per_customer=st.none() | st.integers(1, 2),
    budget_minor=st.none() | st.integers(1, 1500),
    budget_per_day_minor=st.none() | st.integers(1, 1500),
    slots=st.none() | st.builds(SlotLimits, st.just((Slot(0, 1440, 1),)), st.booleans()),
)


@given(wallets(5), st.lists(limits, min_size=4, max_size=4), orders(), customers)
@settings(max_examples=tries(150))
def test_no_other_combination_beats_the_best_whatever_the_limits(coupons, of_limits, order, customer):
    """A coupon that does not fit into the money alone may fit after another one."""
    limited = [
        coupon._replace(campaign=replace(coupon.campaign, limits=of_limits[coupon.campaign.number - 1]))
        for coupon in coupons
    ]
    appraisal = appraisal_of(limited, order, customer)
    choice = finished(appraisal.best(finished(appraisal.alone())))
    best = 0
    for size in range(1, len(limited) + 1):
        for some in combinations(limited, size):
            findings = finished(appraisal_of(some, order, customer).together())
            if all(finding.approved for finding in findings):
                best = max(best, sum(finding.judgement.discount_minor for finding in findings))
    assert choice.combination.discount_minor == best
    assert sum(finding.judgement.discount_minor for finding in choice.findings if finding.approved) == best


def test_a_coupon_that_the_budget_refuses_alone_may_be_part_of_the_best():
    """Half of 200.00 does not fit into 60.00; half of the 100.00 that the other one leaves does."""
    half = campaign_of(1, offers=(Offer(PercentOff(5000, 1000_00)),), budget_minor=60_00)
    first = campaign_of(2, offers=(Offer(CashVoucher(100_00)),), stacking=Stacking(Stage.ITEM))
    coupons = [calculator.Coupon(campaign, 0, 0) for campaign in (half, first)]
    appraisal = appraisal_of(coupons, order_of(200_00), GUEST)
    alone = finished(appraisal.alone())
    assert [finding.rank for finding in alone] == [Outcome.BUDGET_EXHAUSTED, Outcome.APPROVED]
    assert finished(appraisal.best(alone)).combination.discount_minor == 150_00


def test_a_coupon_that_its_own_gift_refuses_alone_may_be_part_of_the_best():
    """Alone it gives two of four units away, and the other two do not cost 30.00. When one is free, it gives one."""
    get_free = Offer(BuyGet(1, 1, 10_000, max_repeats=2), conditions=Conditions(min_spend_minor=30_00))
    one_free = Offer(PercentOff(10_000, 10_00), conditions=Conditions(include=Scope(skus=("sku-0",))))
    campaigns = [
        campaign_of(1, offers=(get_free,), stacking=Stacking(Stage.ITEM)),
        campaign_of(2, offers=(one_free,), stacking=Stacking(Stage.ITEM, priority=1)),
    ]
    order = order_of(lines=tuple(line_of(10_00, line_id=str(index), sku=f"sku-{index}") for index in range(4)))
    appraisal = appraisal_of([calculator.Coupon(campaign, 0, 0) for campaign in campaigns], order, GUEST)
    alone = finished(appraisal.alone())
    assert [finding.rank for finding in alone] == [Outcome.MIN_SPEND_NOT_MET, Outcome.APPROVED]
    choice = finished(appraisal.best(alone))
    assert (choice.combination.discount_minor, choice.combination.exhaustive) == (20_00, True)
    assert all(finding.approved for finding in choice.findings)


def test_a_gift_that_no_other_coupon_can_help_takes_no_part_in_the_search():
    """Its minimum is beyond the order. Counted as candidates, four of them would end the exhaustive search."""
    get_free = Offer(BuyGet(1, 1, 10_000), conditions=Conditions(min_spend_minor=99_999_00))
    campaigns = [campaign_of(number, offers=(get_free,)) for number in range(1, 5)]
    campaigns += [campaign_of(number, offers=(Offer(CashVoucher(number)),)) for number in range(5, 15)]
    coupons = [calculator.Coupon(campaign, 0, 0) for campaign in campaigns]
    appraisal = appraisal_of(coupons, order_of(100_00, 100_00), GUEST)
    choice = finished(appraisal.best(finished(appraisal.alone())))
    assert (choice.combination.discount_minor, choice.combination.exhaustive) == (sum(range(5, 15)), True)


def test_no_more_coupons_are_chosen_than_redeeming_takes():
    campaigns = [campaign_of(number, offers=(Offer(CashVoucher(number)),)) for number in range(1, 41)]
    coupons = [calculator.Coupon(campaign, 0, 0) for campaign in campaigns]
    appraisal = appraisal_of(coupons, order_of(200_00), GUEST)
    choice = finished(appraisal.best(finished(appraisal.alone())))
    assert len(choice.combination.chosen) == 32
    assert choice.combination.discount_minor == sum(range(9, 41)), "the largest ones"
    assert {finding.rank for finding in choice.findings[:8]} == {Outcome.EXCLUSIVE_CONFLICT}


def test_beyond_exhaustive_search_those_that_expire_sooner_are_still_taken_first():
    campaigns = [
        campaign_of(number, offers=(Offer(CashVoucher(5)),), redemptions=2, stacking=Stacking(max_tokens_per_order=4))
        for number in range(1, 8)
    ]
    coupons = [calculator.Coupon(campaign, 0, serial) for campaign in campaigns for serial in range(6)]
    expiries = [NOW + 100 - coupon.serial for coupon in coupons]
    appraisal = appraisal_of(coupons, order_of(200_00), GUEST, expiries)
    choice = finished(appraisal.best(finished(appraisal.alone())))
    assert not choice.combination.exhaustive
    assert {candidate.identity[1] for candidate in choice.combination.chosen} == {4, 5}


def test_work_is_done_in_small_steps():
    work = Work(positions=125)
    assert [work.due() for _ in range(8)] == [False, False, False, True] * 2
