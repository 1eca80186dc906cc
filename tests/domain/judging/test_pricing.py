"""The rules of money, as properties."""

from fractions import Fraction

import pytest
from builders.orders import order_of
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.campaign.benefit import CashVoucher, PercentOff, amount_off
from redemption.domain.campaign.campaign import DiscountBase, Offer
from redemption.domain.judging.offer_match import Basket, match_offer
from redemption.domain.judging.pricing import allocate, price
from redemption.domain.judging.stacking import StackState
from redemption.domain.order import MINOR_MAX

big_money = st.integers(0, MINOR_MAX // 10)


@given(st.lists(big_money, min_size=1, max_size=10), st.data())
def test_parts_sum_exactly_and_no_line_goes_below_zero(left, data):
    off = data.draw(st.integers(0, sum(left)))
    parts = allocate(off, left)
    assert sum(parts) == off
    assert all(0 <= part <= amount for part, amount in zip(parts, left, strict=True))


@given(st.lists(big_money, min_size=1, max_size=10), st.data())
def test_every_part_is_within_one_minor_unit_of_its_exact_share(left, data):
    off = data.draw(st.integers(0, sum(left)))
    total = sum(left)
    for part, amount in zip(allocate(off, left), left, strict=True):
        exact = Fraction(off * amount, total) if total else Fraction(0)
        assert abs(part - exact) < 1


@pytest.mark.parametrize(
    ("off", "left", "parts"),
    [
        (2, [100, 100, 100], [1, 1, 0]),
        (1, [100, 100], [1, 0]),
        (100, [33, 33, 34], [33, 33, 34]),
        (50_00, [100_01, 77_77, 50_50], [21_91, 17_03, 11_06]),
        (5, [0, 10, 0], [0, 5, 0]),
        (0, [5, 5], [0, 0]),
        (7, [7], [7]),
    ],
)
def test_the_remainder_goes_to_the_largest_fractions_and_ties_to_the_earlier_line(off, left, parts):
    assert allocate(off, left) == parts


def off(benefit, *left):
    """What a benefit takes off an order whose lines cost so much."""
    basket = Basket(order_of(*left))
    matched = match_offer(Offer(benefit), DiscountBase.REMAINING, basket)
    return price(matched, StackState(basket.units), None, sum(left)).discount_minor


@pytest.mark.parametrize(
    ("left", "basis_points", "cap", "expected"),
    [
        (100_00, 2000, 10**9, 20_00),
        (1, 5000, 10**9, 1),  # half a cent is rounded up
        (3, 5000, 10**9, 2),
        (1, 4999, 10**9, 0),
        (333, 3333, 10**9, 111),
        (100_00, 10_000, 10**9, 100_00),
        (100_00, 2000, 5_00, 5_00),
        (MINOR_MAX, 10_000, MINOR_MAX, MINOR_MAX),
    ],
)
def test_a_percentage_is_rounded_half_up_once(left, basis_points, cap, expected):
    assert off(PercentOff(basis_points, cap), left) == expected


@given(big_money, st.integers(1, 10_000), st.integers(1, MINOR_MAX))
def test_a_discount_is_never_more_than_what_is_left_or_the_cap(left, basis_points, cap):
    assert 0 <= off(PercentOff(basis_points, cap), left) <= min(left, cap)
    assert off(amount_off(0, cap), left) == off(CashVoucher(cap), left) == min(cap, left)
