"""Quotas: GCRA says what an exact bucket says, and names that callers invent neither fill the memory nor pay a debt."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redemption.scheduling.quota import LOOKED_AT, Bucket, Buckets, Quota, QuotaRules

SECOND = 10**9
TEN = Quota(per_second=10, burst=3)


def took(bucket, units, now_ns):
    """Take units if a call may begin; return how long it would have to wait."""
    wait_ns = bucket.wait_ns(now_ns)
    if not wait_ns:
        bucket.take(units, now_ns)
    return wait_ns


class ExactBucket:
    """The same as people think of it: a number of units that grows with the time, in exact arithmetic."""

    def __init__(self, unit_ns, burst):
        self.unit_ns, self.burst, self.units, self.seen = unit_ns, burst, Fraction(burst), 0

    def took(self, units, now_ns):
        self.units = min(Fraction(self.burst), self.units + Fraction(now_ns - self.seen, self.unit_ns))
        self.seen = now_ns
        if self.units < 1:
            return (1 - self.units) * self.unit_ns
        self.units -= units
        return 0


@given(
    per_second=st.sampled_from([0.001, 0.3, 1, 3, 7.5, 10, 1_000, 999_983, 1e6]),
    burst=st.integers(1, 50),
    calls=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 100), st.integers(1, 300)), max_size=60),
)
def test_a_bucket_is_an_exact_one(per_second, burst, calls):
    """Whatever comes when: the same calls may begin, and the others are told the same wait, to the nanosecond."""
    bucket = Bucket(Quota(per_second, burst))
    exact = ExactBucket(max(1, int(SECOND / per_second)), burst)
    now = 0
    for units_later, odd_ns, units in calls:
        now += units_later * exact.unit_ns // 10 + odd_ns
        assert took(bucket, units, now) == exact.took(units, now)


@given(
    calls=st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(1, 300)), min_size=1, max_size=60),
    burst=st.integers(1, 9),
)
def test_nobody_gets_more_than_the_rate_the_burst_and_the_rest_of_the_largest_call(calls, burst):
    bucket, now, begun = Bucket(Quota(10, burst)), 0, []
    for later, units in calls:
        now += later
        if not took(bucket, units, now):
            begun.append((now, units))
    for first, (start, _) in enumerate(begun):
        for last in range(first, len(begun)):
            there = begun[first : last + 1]
            largest = max(units for _, units in there)
            most = Fraction(begun[last][0] - start, SECOND // 10) + burst + largest - 1
            assert sum(units for _, units in there) <= most


@given(gaps=st.lists(st.integers(SECOND // 10, SECOND), max_size=50), burst=st.integers(1, 3))
def test_who_keeps_to_the_quota_is_never_refused(gaps, burst):
    """Also with a rate whose units are no whole nanoseconds: they are rounded in favour of the caller."""
    bucket, now = Bucket(Quota(10.0000001, burst)), 0
    for gap in gaps:
        now += gap
        assert took(bucket, 1, now) == 0


def test_a_wait_is_neither_too_short_nor_too_long():
    bucket = Bucket(TEN)
    for _ in range(3):
        assert took(bucket, 1, SECOND) == 0
    assert bucket.wait_ns(SECOND) == SECOND // 10
    assert bucket.wait_ns(SECOND + SECOND // 10 - 1) == 1
    assert bucket.wait_ns(SECOND + SECOND // 10) == 0


def test_a_call_larger_than_the_burst_begins_and_is_paid_for_afterwards():
    """It needs one unit, not all; a second one at the same moment is refused."""
    bucket = Bucket(TEN)
    assert took(bucket, 2, 0) == 0
    assert took(bucket, 256, 0) == 0
    assert took(bucket, 256, 0) == (256 + 2 - 3 + 1) * SECOND // 10


def test_each_name_has_a_bucket_and_some_have_a_quota_of_their_own():
    buckets = Buckets(TEN, {"paid": Quota(100, 5), "staff": None})
    assert took(buckets.of("a", 0), 3, 0) == 0
    assert took(buckets.of("a", 0), 1, 0) > 0
    assert took(buckets.of("b", 0), 1, 0) == 0
    assert buckets.of("paid", 0).quota == Quota(100, 5)
    assert buckets.of("staff", 0) is None


def test_without_a_quota_for_all_only_names_of_their_own_are_counted():
    buckets = Buckets(None, {"loud": TEN})
    assert buckets.of("a", 0) is None
    assert took(buckets.of("loud", 0), 3, 0) == 0
    assert took(buckets.of("loud", 0), 1, 0) > 0


def test_full_buckets_are_forgotten():
    """With as many names as one likes: a name that has rested is as if it had never called."""
    buckets = Buckets(TEN, {})
    for number in range(5_000):
        now = number * SECOND
        assert took(buckets.of(f"name-{number}", now), 1, now) == 0
        assert len(buckets) <= LOOKED_AT


def test_more_names_than_there_is_room_for_share_one_bucket():
    """They cannot fill the memory, and together they get no more than one name."""
    buckets = Buckets(TEN, {"paid": TEN}, names_max=4)
    begun = sum(took(buckets.of(f"name-{number}", 0), 1, 0) == 0 for number in range(1_000))
    assert (begun, len(buckets)) == (4 + TEN.burst, 4)
    assert took(buckets.of("paid", 0), 1, 0) == 0, "a name of its own always has room"
    later = SECOND
    assert took(buckets.of("new", later), 1, later) == 0
    assert took(buckets.of("new", later), 2, later) == 0
    assert took(buckets.of("new", later), 1, later) > 0, "there is room again: it has a bucket of its own"


@given(
    invented=st.lists(st.integers(0, 30), max_size=60),
    debt=st.integers(4, 300),
    share=st.integers(0, 9),
)
def test_nobody_gets_out_of_a_debt_under_other_names(invented, debt, share):
    buckets = Buckets(TEN, {}, names_max=5)
    owed = buckets.of("debtor", 0)
    assert took(owed, debt, 0) == 0
    due = (debt - TEN.burst + 1) * SECOND // 10
    for step, name in enumerate(invented):
        now = (due - 1) * (step + share) // (len(invented) + share + 1)
        took(buckets.of(f"name-{name}", now), 1, now)
        assert buckets.of("debtor", now).wait_ns(now) == due - now
        assert len(buckets) <= 5


@pytest.mark.parametrize(
    ("rules", "of_principals", "of_programs"),
    [
        (QuotaRules(), False, False),
        (QuotaRules(programs={"staff": None}), False, False),
        (QuotaRules(programs={"staff": None, "loud": TEN}), False, True),
        (QuotaRules(principal=TEN), True, False),
        (QuotaRules(principals={"ann": TEN}, program=TEN), True, True),
    ],
)
def test_rules_say_whether_anybody_has_a_quota(rules, of_principals, of_programs):
    assert (rules.of_principals, rules.of_programs) == (of_principals, of_programs)
