"""How often something may happen."""

from dataclasses import fields, replace

import pytest

from redemption.rpc.transport.bounds import KEPT_BY_GRPCIO, Bounds, TokenBucket
from redemption.rpc.transport.grpcio import options_of


def taken(bucket, times, now):
    """How many of so many at one moment there was room for."""
    return sum([bucket.take(now) for _ in range(times)])


def test_a_burst_is_taken_at_once_and_no_more():
    bucket = TokenBucket(1, 20, 0.0)
    assert taken(bucket, 25, 0.0) == 20


@pytest.mark.parametrize(("seconds", "room"), [(0.5, 0), (1.0, 1), (2.9, 2), (10.0, 10), (1e9, 20)])
def test_room_comes_back_with_time_up_to_the_burst(seconds, room):
    bucket = TokenBucket(1, 20, 100.0)
    assert taken(bucket, 20, 100.0) == 20
    assert taken(bucket, 30, 100.0 + seconds) == room


def test_what_keeps_to_the_rate_is_never_refused():
    bucket = TokenBucket(200, 1_000, 0.0)
    assert all(bucket.take(number / 200) for number in range(10_000))


def test_what_is_refused_counts_as_well():
    """Who does not slow down gets no room back."""
    bucket = TokenBucket(1, 5, 0.0)
    taken(bucket, 10, 0.0)
    assert not bucket.take(5.0)


def test_what_was_counted_can_be_forgiven():
    bucket = TokenBucket(1, 5, 0.0)
    taken(bucket, 100, 0.0)
    bucket.refill()
    assert taken(bucket, 10, 0.0) == 5


def test_a_bucket_without_room_takes_nothing():
    assert not TokenBucket(0, 0, 0.0).take(1e9)


@pytest.mark.parametrize("name", [each.name for each in fields(Bounds)])
def test_grpcio_is_told_of_the_bounds_that_it_keeps(name):
    """Two of them it need not know: its calls are counted by us."""
    usual = Bounds()
    changed = replace(usual, **{name: 2 * getattr(usual, name)})
    told = options_of(changed, reuse_port=False) != options_of(usual, reuse_port=False)
    assert told == (name in KEPT_BY_GRPCIO - {"calls_max", "request_bytes_max"})
