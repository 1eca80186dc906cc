"""The rules of docs/rules.md, as the service computes them, against a slow and obvious calculator of the same page."""

from dataclasses import replace

from builders.orders import checkout_of
from builders.times import NOW
from domain.judging import calculator
from domain.judging.as_service import appraisal_of, genuine, in_calculators_words, judged
from domain.judging.checkouts import customers, orders, wallets
from domain.judging.cuts import cut_at_random, joined
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import tries

from redemption.domain.campaign.benefit import BuyGet, FreeShipping
from redemption.domain.campaign.calendar import Days
from redemption.domain.campaign.campaign import Offer
from redemption.domain.judging.limits import Finding
from redemption.domain.judging.stacking import judge
from redemption.domain.outcome import Outcome
from redemption.domain.steps import finished


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
    found = judge(map(genuine, coupons), checkout_of(order, customer), now_ms=NOW * 1000, days=Days())
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


def best_of(coupons, order, customer):
    """The best combination, in the calculator's words."""
    appraisal = appraisal_of(coupons, order, customer)
    best = finished(appraisal.best(finished(appraisal.alone()))).combination
    chosen = tuple(sorted(candidate.eligible.index for candidate in best.chosen))
    return calculator.Best(chosen, best.discount_minor, best.exhaustive)


def the_best_combination_is_that_of_brute_force(coupons, order, customer, _rng):
    assert best_of(coupons, order, customer) == calculator.best(coupons, order, customer)


def every_coupon_that_is_left_out_has_a_reason(coupons, order, customer, _rng):
    appraisal = appraisal_of(coupons, order, customer)
    alone = finished(appraisal.alone())
    choice = finished(appraisal.best(alone))
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
            assert finding.rank in (Outcome.NO_EFFECT, Outcome.MIN_SPEND_NOT_MET, Outcome.MIN_QUANTITY_NOT_MET)


def all_together_is_what_redeeming_judges(coupons, order, customer, _rng):
    findings = finished(appraisal_of(coupons, order, customer).together())
    assert [in_calculators_words(finding.judgement) for finding in findings] == judged(coupons, order, customer)
    assert all(finding.rank == finding.judgement.outcome for finding in findings)


def alone_is_what_redeeming_one_coupon_judges(coupons, order, customer, _rng):
    findings = finished(appraisal_of(coupons, order, customer).alone())
    for coupon, finding in zip(coupons, findings, strict=True):
        assert [in_calculators_words(finding.judgement)] == judged([coupon], order, customer)
        assert isinstance(finding, Finding)


def nothing_else_depends_on_whether_the_parts_are_asked_for(coupons, order, customer, _rng):
    def found(with_parts):
        appraisal = appraisal_of(coupons, order, customer, with_parts=with_parts)
        alone = finished(appraisal.alone())
        findings = [alone, finished(appraisal.together()), finished(appraisal.best(alone)).findings]
        return [
            [(each.rank, each.judgement.discount_minor, each.judgement.detail) for each in some] for some in findings
        ]

    assert found(with_parts=True) == found(with_parts=False)


def how_goods_are_split_into_lines_changes_no_price(coupons, order, customer, rng):
    cut, lines = cut_at_random(order, rng)
    found = judged(coupons, cut, customer)
    assert found == calculator.calculate(coupons, cut, customer)
    assert [joined(each, lines) for each in found] == judged(coupons, order, customer)
    chosen, discount_minor, _ = best_of(coupons, cut, customer)
    assert (chosen, discount_minor) == best_of(coupons, order, customer)[:2]


RULES = (
    how_goods_are_split_into_lines_changes_no_price,
    every_verdict_discount_and_allocation_is_the_calculators,
    allocations_sum_exactly_never_exceed_a_line_and_touch_only_lines_in_scope,
    the_order_in_which_tokens_are_named_does_not_matter,
    the_best_combination_is_that_of_brute_force,
    every_coupon_that_is_left_out_has_a_reason,
    all_together_is_what_redeeming_judges,
    alone_is_what_redeeming_one_coupon_judges,
    nothing_else_depends_on_whether_the_parts_are_asked_for,
)


@given(wallets(), orders(), customers, st.randoms(use_true_random=False))
@settings(max_examples=tries(300))
def test_every_rule_holds_of_any_order(coupons, order, customer, rng):
    for rule in RULES:
        rule(coupons, order, customer, rng)
