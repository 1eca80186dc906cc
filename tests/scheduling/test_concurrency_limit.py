"""A concurrency limit: so many at once, of which one caller may have so many, and each place is given back."""

import pytest

from redemption.scheduling.concurrency_limit import ConcurrencyLimit


def test_all_places_are_free_at_first():
    limit = ConcurrencyLimit(2)
    assert (limit.taken, limit.is_full, limit.is_full_for("ann")) == (0, False, False)


def test_a_place_is_taken_for_the_length_of_a_block():
    limit = ConcurrencyLimit(2)
    with limit.take():
        with limit.take():
            assert (limit.taken, limit.is_full) == (2, True)
        assert (limit.taken, limit.is_full) == (1, False)
    assert limit.taken == 0


def test_a_place_is_given_back_when_the_block_fails():
    limit = ConcurrencyLimit(1, 1)
    with pytest.raises(ZeroDivisionError), limit.take("ann"):
        raise ZeroDivisionError
    assert (limit.taken, limit.is_full_for("ann")) == (0, False)


def test_one_caller_cannot_have_all_places():
    limit = ConcurrencyLimit(3, most_of_one=2)
    with limit.take("ann"), limit.take("ann"):
        assert [limit.is_full_for(caller) for caller in ("ann", "bob")] == [True, False]
        assert not limit.is_full


def test_without_a_bound_for_one_caller_it_may_have_all():
    limit = ConcurrencyLimit(2)
    with limit.take("ann"):
        assert not limit.is_full_for("ann")
        with limit.take("ann"):
            assert (limit.is_full, limit.is_full_for("ann")) == (True, True)


def test_nothing_is_kept_of_callers_who_have_no_place_any_more():
    limit = ConcurrencyLimit(1)
    for number in range(100):
        with limit.take(f"caller {number}"):
            pass
    assert len(limit._taken) == 0
