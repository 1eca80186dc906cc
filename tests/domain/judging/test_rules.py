"""The rules of docs/rules.md, as the service computes them, against a slow and obvious calculator of the same page."""

from dataclasses import replace
from itertools import combinations, zip_longest

from builders import tokens
from builders.campaigns import campaign_of
from builders.orders import checkout_of, order_of
from builders.times import NOW
from domain.judging import calculator
from domain.judging.checkouts import customers, orders, wallets
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import tries

from redemption.domain.campaign.benefit import BuyGet, CashVoucher, FreeShipping, PercentOff
from redemption.domain.campaign.calendar import Days
from redemption.domain.campaign.campaign import Limits, Offer, Slot, SlotLimits, Stacking, Stage
from redemption.domain.judging.appraisal import Appraisal
from redemption.domain.judging.best_combination import Work
from redemption.domain.judging.limits import Finding
from redemption.domain.judging.stacking import Screening, judge
from redemption.domain.order import GUEST
from redemption.domain.outcome import Outcome
from redemption.domain.ports.orders import CampaignSnapshot

NOTHING = CampaignSnapshot(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def coupon_of(coupon, expires_at=NOW + 1):
    """The calculator's coupon as the service sees it: with a genuine token."""
    return tokens.coupon_of(coupon.campaign, coupon.serial, offer_index=coupon.offer_index, expires_at=expires_at)


def judged(coupons, order, customer):
    """What the service says of coupons, in the calculator's words."""
    found = judge(map(coupon_of, coupons), checkout_of(order, customer), now_ms=NOW * 1000, days=Days())
    return [in_calculators_words(each) for each in found.coupons]


def in_calculators_words(judgement):
    detail = judgement.detail
    return calculator.Judged(
        judgement.outcome,
        judgement.discount_minor,
        dict(judgement.parts),
        detail.missing_minor if detail else 0,
        detail.missing_quantity if detail else 0,
        detail.conflicts if detail else (),
    )


def appraisal_of(coupons, order, customer, expiries=()):
    screening = Screening(checkout_of(order, customer), now_ms=NOW * 1000, days=Days())
    for coupon, expires_at in zip_longest(coupons, expiries, fillvalue=NOW + 1):
        screening.screen(coupon_of(coupon, expires_at))
    seen = {coupon.campaign.number: NOTHING for coupon in coupons}
    return Appraisal(screening, [None] * len(coupons), seen, guest=not customer.customer_id)


def done(steps):
    """Do something that is done in steps, all at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def may_take_from(offer, order):
    """Every position that an offer may take from."""
    if isinstance(offer.benefit, FreeShipping):
        return range(len(order.lines), len(order.lines) + len(order.shipping))
    if isinstance(offer.benefit, BuyGet) and offer.benefit.discounted:
        offer = Offer(offer.benefit, conditions=replace(offer.conditions, include=offer.benefit.discounted))
    return calculator.in_scope(offer, order)


# What holds of any order. Drawing one takes twenty times as long as judging it, so each meets every rule.


def every_verdict_discount_and_allocation_is_the_calculators(coupons, order, customer, _rng):
    assert judged(coupons, order, customer) == calculator.calculate(coupons, order, customer)


def allocations_sum_exactly_never_exceed_a_line_and_touch_only_lines_in_scope(coupons, order, customer, _rng):
    amounts = [line.amount_minor for line in order.lines] + [fee.amount_minor for fee in order.shipping]
    found = judge(map(coupon_of, coupons), checkout_of(order, customer), now_ms=NOW * 1000, days=Days())
    taken = dict.fromkeys(range(len(amounts)), 0)
    for coupon, judgement in zip(coupons, found.coupons, strict=True):
        assert sum(part for _, part in judgement.parts) == judgement.discount_minor
        assert (judgement.outcome is Outcome.APPROVED) == (judgement.discount_minor > 0)
        assert 0 <= judgement.merchant_minor <= judgement.discount_minor
        for position, part in judgement.parts:
            assert part > 0
            taken[position] += part
            assert position in may_take_from(coupon.offer, order)
    assert all(taken[position] <= amount for position, amount in enumerate(amounts))


def the_order_in_which_tokens_are_named_does_not_matter(coupons, order, customer, rng):
    straight = judged(coupons, order, customer)
    shuffle = rng.sample(range(len(coupons)), len(coupons))
    shuffled = judged([coupons[index] for index in shuffle], order, customer)
    for position, index in enumerate(shuffle):
        theirs = straight[index]
        conflicts = tuple(sorted(shuffle.index(other) for other in theirs.conflicts))
        assert shuffled[position] == theirs._replace(conflicts=conflicts)


def the_best_combination_is_that_of_brute_force(coupons, order, customer, _rng):
    appraisal = appraisal_of(coupons, order, customer)
    choice = done(appraisal.best(done(appraisal.alone())))
    chosen = tuple(sorted(candidate.eligible.index for candidate in choice.combination.chosen))
    expected = calculator.best(coupons, order, customer)
    assert (chosen, choice.combination.discount_minor) == (expected.chosen, expected.discount_minor)
    assert choice.combination.exhaustive


def every_coupon_that_is_left_out_has_a_reason(coupons, order, customer, _rng):
    appraisal = appraisal_of(coupons, order, customer)
    alone = done(appraisal.alone())
    choice = done(appraisal.best(alone))
    chosen = {candidate.eligible.index for candidate in choice.combination.chosen}
    assert {index for index, finding in enumerate(choice.findings) if finding.approved} == chosen
    total = sum(finding.judgement.discount_minor for finding in choice.findings if finding.approved)
    assert total == choice.combination.discount_minor
    for index, finding in enumerate(choice.findings):
        if index in chosen:
            continue
        if not alone[index].approved:
            assert finding == alone[index]
        elif finding.rank == Outcome.EXCLUSIVE_CONFLICT:
            assert set(finding.judgement.detail.conflicts) <= chosen
        else:
            assert finding.rank in (Outcome.NO_EFFECT, Outcome.MIN_SPEND_NOT_MET)


def all_together_is_what_redeeming_judges(coupons, order, customer, _rng):
    findings = done(appraisal_of(coupons, order, customer).together())
    assert [in_calculators_words(finding.judgement) for finding in findings] == judged(coupons, order, customer)
    assert all(finding.rank == finding.judgement.outcome for finding in findings)


def alone_is_what_redeeming_one_coupon_judges(coupons, order, customer, _rng):
    findings = done(appraisal_of(coupons, order, customer).alone())
    for coupon, finding in zip(coupons, findings, strict=True):
        assert [in_calculators_words(finding.judgement)] == judged([coupon], order, customer)
        assert isinstance(finding, Finding)


RULES = (
    every_verdict_discount_and_allocation_is_the_calculators,
    allocations_sum_exactly_never_exceed_a_line_and_touch_only_lines_in_scope,
    the_order_in_which_tokens_are_named_does_not_matter,
    the_best_combination_is_that_of_brute_force,
    every_coupon_that_is_left_out_has_a_reason,
    all_together_is_what_redeeming_judges,
    alone_is_what_redeeming_one_coupon_judges,
)


@given(wallets(), orders(), customers, st.randoms(use_true_random=False))
@settings(max_examples=tries(300))
def test_every_rule_holds_of_any_order(coupons, order, customer, rng):
    for rule in RULES:
        rule(coupons, order, customer, rng)


# Limits, and single orders.


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
    choice = done(appraisal.best(done(appraisal.alone())))
    best = 0
    for size in range(1, len(limited) + 1):
        for some in combinations(limited, size):
            findings = done(appraisal_of(some, order, customer).together())
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
    alone = done(appraisal.alone())
    assert [finding.rank for finding in alone] == [Outcome.BUDGET_EXHAUSTED, Outcome.APPROVED]
    assert done(appraisal.best(alone)).combination.discount_minor == 150_00


def test_no_more_coupons_are_chosen_than_redeeming_takes():
    campaigns = [campaign_of(number, offers=(Offer(CashVoucher(number)),)) for number in range(1, 41)]
    coupons = [calculator.Coupon(campaign, 0, 0) for campaign in campaigns]
    appraisal = appraisal_of(coupons, order_of(200_00), GUEST)
    choice = done(appraisal.best(done(appraisal.alone())))
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
    choice = done(appraisal.best(done(appraisal.alone())))
    assert not choice.combination.exhaustive
    assert {candidate.identity[1] for candidate in choice.combination.chosen} == {4, 5}


def test_work_is_done_in_small_steps():
    work = Work(positions=125)
    assert [work.due() for _ in range(8)] == [False, False, False, True] * 2
