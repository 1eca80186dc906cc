"""Places: so many at once, of which one caller may have so many, and each is given back."""

import pytest

from redemption.scheduling.places import Places


def test_all_places_are_free_at_first():
    places = Places(2)
    assert (places.taken, places.is_full, places.is_full_for("ann")) == (0, False, False)


def test_a_place_is_taken_for_the_length_of_a_block():
    places = Places(2)
    with places.take():
        with places.take():
            assert (places.taken, places.is_full) == (2, True)
        assert (places.taken, places.is_full) == (1, False)
    assert places.taken == 0


def test_a_place_is_given_back_when_the_block_fails():
    places = Places(1, 1)
    with pytest.raises(ZeroDivisionError), places.take("ann"):
        raise ZeroDivisionError
    assert (places.taken, places.is_full_for("ann")) == (0, False)


def test_one_caller_cannot_have_all_places():
    places = Places(3, most_of_one=2)
    with places.take("ann"), places.take("ann"):
        assert [places.is_full_for(caller) for caller in ("ann", "bob")] == [True, False]
        assert not places.is_full


def test_without_a_bound_for_one_caller_it_may_have_all():
    places = Places(2)
    with places.take("ann"):
        assert not places.is_full_for("ann")
        with places.take("ann"):
            assert (places.is_full, places.is_full_for("ann")) == (True, True)


def test_nothing_is_kept_of_callers_who_have_no_place_any_more():
    places = Places(1)
    for number in range(100):
        with places.take(f"caller {number}"):
            pass
    assert len(places._taken) == 0
