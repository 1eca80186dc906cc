"""Goods that a campaign has paused count for nothing: it judges an order as if they were not in it."""

from dataclasses import replace

import pytest
from builders.campaigns import campaign_of, offer_of
from builders.orders import line_of
from domain.judging.as_service import judged
from domain.judging.calculator import Coupon
from domain.judging.checkouts import MERCHANTS, SKUS, customers, orders, wallets
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import tries

from redemption.domain.campaign.benefit import BuyGet, amount_off
from redemption.domain.campaign.conditions import Scope
from redemption.domain.order import GUEST, Order
from redemption.domain.outcome import Outcome


def paused_all(coupons, skus, merchant_ids):
    return [
        coupon._replace(campaign=replace(coupon.campaign, paused_skus=skus, paused_merchant_ids=merchant_ids))
        for coupon in coupons
    ]


@given(
    wallets(),
    orders(),
    customers,
    st.lists(st.sampled_from(SKUS), max_size=1).map(tuple),
    st.lists(st.sampled_from(MERCHANTS), max_size=1).map(tuple),
)
@settings(max_examples=tries(100))
def test_an_order_is_judged_as_if_it_had_no_paused_goods(coupons, order, customer, skus, merchant_ids):
    lines = order.lines
    kept = [at for at, line in enumerate(lines) if line.sku not in skus and line.merchant_id not in merchant_ids]
    positions = [*kept, *range(len(lines), len(lines) + len(order.shipping))]
    without = replace(order, lines=tuple(lines[at] for at in kept))
    expected = [
        verdict._replace(parts={positions[at]: amount for at, amount in verdict.parts.items()})
        for verdict in judged(coupons, without, customer)
    ]
    assert judged(paused_all(coupons, skus, merchant_ids), order, customer) == expected


EXCLUDING = offer_of(amount_off(100_00, 10_00), exclude=Scope(brands=("b",)))
BUY_SOAP_GET_MASK = offer_of(BuyGet(1, 1, 10_000, 1, Scope(skus=("mask",))), include=Scope(skus=("soap",)))
LINES = (
    line_of(80_00, line_id="0", sku="soap", merchant_id="m"),
    line_of(30_00, line_id="1", sku="mask", merchant_id="n"),
    line_of(90_00, line_id="2", sku="comb", brand="b"),
)


@pytest.mark.parametrize(
    ("offer", "paused", "outcome", "parts"),
    [
        (EXCLUDING, {}, Outcome.APPROVED, {0: 7_27, 1: 2_73}),
        (EXCLUDING, {"paused_skus": ("mask",)}, Outcome.MIN_SPEND_NOT_MET, {}),
        (EXCLUDING, {"paused_merchant_ids": ("m", "n")}, Outcome.SCOPE_MISMATCH, {}),
        (BUY_SOAP_GET_MASK, {}, Outcome.APPROVED, {1: 30_00}),
        (BUY_SOAP_GET_MASK, {"paused_skus": ("mask",)}, Outcome.SCOPE_MISMATCH, {}),
        (BUY_SOAP_GET_MASK, {"paused_merchant_ids": ("m",)}, Outcome.SCOPE_MISMATCH, {}),
    ],
)
def test_what_an_offer_excludes_stays_excluded_beside_what_is_paused(offer, paused, outcome, parts):
    coupon = Coupon(campaign_of(offers=(offer,), **paused), 0, 1)
    (verdict,) = judged([coupon], Order("order", "CNY", LINES), GUEST)
    assert (verdict.outcome, verdict.parts) == (outcome, parts)
