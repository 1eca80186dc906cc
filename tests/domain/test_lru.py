"""The bounded map."""

import pytest

from redemption.domain.lru import Lru


def test_the_least_recently_used_entry_goes_first():
    lru = Lru(2)
    lru.put("a", 1)
    lru.put("b", 2)
    assert lru.get("a") == 1
    lru.put("c", 3)
    assert [lru.get(key) for key in "abc"] == [1, None, 3]
    assert len(lru) == 2


def test_writing_an_entry_again_makes_it_young():
    lru = Lru(2)
    lru.put("a", 1)
    lru.put("b", 2)
    lru.put("a", 10)
    lru.put("c", 3)
    assert [lru.get(key) for key in "abc"] == [10, None, 3]


def test_a_cache_without_room_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        Lru(0)
