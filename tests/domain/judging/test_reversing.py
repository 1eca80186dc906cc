"""What is given back with returned lines: in proportion, in however many steps, and together exactly the discount."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.decision import Allocation
from redemption.domain.judging.reversing import Exceeded, plan_return
from redemption.domain.ports.reversals import NOTHING_RETURNED, WHOLE_LINE, Returned
from redemption.domain.signed.settlement import SettledRedemption


def settled(*lines, with_amounts=True):
    """A redemption over lines: each a discount, the merchants' share of it, and what the line cost."""
    allocations = tuple(Allocation(str(index), off, merchant) for index, (off, merchant, _) in enumerate(lines))
    return SettledRedemption(
        campaign=1,
        serial=2,
        generation=0,
        discount_minor=sum(off for off, _, _ in lines),
        allocations=allocations,
        line_amounts=tuple(cost for _, _, cost in lines) if with_amounts else (),
    )


def plan(redemption, asked=(), before=NOTHING_RETURNED):
    return plan_return(redemption, dict(asked), settlement=b"settled!", name_of=str.encode, before=before)


def given_back(planned):
    return [tuple(part) for part in planned.parts], planned.after.discount_minor, planned.after.merchant_minor


THREE = settled((300, 100, 10_000), (700, 0, 10_000), (1, 1, 3))
PLANS = [
    # asked, what each line gives back now, discount and merchants' share in all
    ({}, [(0, 300, 100), (1, 700, 0), (2, 1, 1)], 1_001, 101),
    ({"1": None}, [(1, 700, 0)], 700, 0),
    ({"1": 10_000}, [(1, 700, 0)], 700, 0),
    ({"0": 5_000}, [(0, 150, 50)], 150, 50),
    ({"0": 33}, [], 0, 0),
    ({"0": 34, "2": 2}, [(0, 1, 0)], 1, 0),
    ({"2": 3}, [(2, 1, 1)], 1, 1),
    ({"0": 9_999, "1": 9_999}, [(0, 299, 99), (1, 699, 0)], 998, 99),
]


@pytest.mark.parametrize(("asked", "parts", "discount", "merchant"), PLANS)
def test_a_line_gives_its_part_back_in_proportion_rounded_down(asked, parts, discount, merchant):
    assert given_back(plan(THREE, asked)) == (parts, discount, merchant)


@pytest.mark.parametrize(
    ("asked", "before", "line_id", "left"),
    [
        ({"0": 10_001}, {}, "0", 10_000),
        ({"0": 1, "1": 2}, {b"1": 9_999}, "1", 1),
        ({"1": 1}, {b"1": WHOLE_LINE}, "1", 0),
    ],
)
def test_more_than_is_left_of_a_line_is_too_much(asked, before, line_id, left):
    assert plan(THREE, asked, Returned(1, 0, 0, before)) == Exceeded(line_id, left)


def test_nothing_is_left_when_every_line_asked_for_was_returned():
    before = plan(THREE, {"0": None, "2": None}).after
    assert plan(THREE, {"0": None}, before) is None
    assert plan(THREE, {}, plan(THREE).after) is None
    rest = plan(THREE, {}, before)
    assert given_back(rest) == ([(1, 700, 0)], 1_001, 101)
    assert rest.after.count == 2


def test_a_settlement_of_version_1_gives_whole_lines_back():
    old = settled((300, 100, 1), (700, 0, 1), with_amounts=False)
    first = plan(old, {"1": None})
    assert given_back(first) == ([(1, 700, 0)], 700, 0)
    assert first.after.lines == {b"1": WHOLE_LINE}
    assert plan(old, {"1": None}, first.after) is None
    assert given_back(plan(old, {}, first.after)) == ([(0, 300, 100)], 1_000, 100)
    newer = settled((300, 100, 5_000), (700, 0, 10_000))
    assert plan(newer, {"1": None}, first.after) is None, (
        "a settlement of version 2 of the same redemption knows it too"
    )


def test_all_returns_of_a_redemption_are_by_the_same_settlement():
    """Another one may divide the same discount otherwise."""
    other = Returned(1, 5, 0, {b"0": 100}, b"another!")
    with pytest.raises(ValueError, match="another one than that of earlier returns"):
        plan(THREE, {}, other)
    old = settled((300, 100, 1), (700, 0, 1), with_amounts=False)
    with pytest.raises(ValueError, match="a part of one was returned"):
        plan(old, {}, Returned(1, 5, 0, {b"0": 100}, b"settled!"))


@st.composite
def redemptions(draw):
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        cost = draw(st.one_of(st.integers(1, 200), st.integers(1, 2**53 - 1)))
        off = draw(st.integers(0, cost))
        lines.append((off, draw(st.integers(0, off)), cost))
    return settled(*lines)


@given(redemptions(), st.data())
def test_in_however_many_steps_it_is_returned_it_gives_back_what_was_allocated(redemption, data):
    """After each step the sums are those of one return of everything so far; in the end all is given back."""
    lines = len(redemption.allocations)
    returned, before, sums = [0] * lines, NOTHING_RETURNED, [[0, 0] for _ in range(lines)]
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, lines - 1))
        left = redemption.line_amounts[index] - returned[index]
        if not left:
            continue
        more = data.draw(st.integers(1, left))
        step = plan(redemption, {str(index): more}, before)
        returned[index] += more
        at_once = plan(redemption, {str(line): amount for line, amount in enumerate(returned) if amount})
        assert step.after.discount_minor == at_once.after.discount_minor <= redemption.discount_minor
        assert step.after.merchant_minor == at_once.after.merchant_minor
        before = step.after
        for part in step.parts:
            sums[part.position][0] += part.amount_minor
            sums[part.position][1] += part.merchant_minor
    rest = plan(redemption, {}, before)
    for part in rest.parts if rest else ():
        sums[part.position][0] += part.amount_minor
        sums[part.position][1] += part.merchant_minor
    assert sums == [[each.amount_minor, each.merchant_minor] for each in redemption.allocations]
