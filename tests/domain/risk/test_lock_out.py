"""Lock-out: who failed too often waits, each time longer, and is forgotten again; and the budget of failed codes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.risk.lock_out import CodeBudget, LockOuts
from redemption.domain.risk.rules import LockOut, RuleMode
from redemption.domain.risk.subjects import Subject, SubjectKind
from redemption.domain.steps import finished

ANN, PHONE, HOME = (Subject(SubjectKind(kind), bytes(7) + bytes((kind,))).packed for kind in (1, 3, 4))
POLICY = LockOut(failures=10, period_seconds=60, wait_seconds=60, wait_seconds_max=3600)
START_MS = 1_800_000_000_000
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000


class Case:
    """Lock-outs with a clock."""

    def __init__(self, **changes):
        self.lock_outs = LockOuts(**changes)
        self.now_ms = START_MS

    def fail(self, count=1, *, subject=PHONE, policy=POLICY, codes=False):
        self.lock_outs.fail(subject, count, now_ms=self.now_ms, policy=policy, codes=codes)

    def waits_ms(self, subject=PHONE):
        until_ms = self.lock_outs.locked_until_ms(subject, self.now_ms)
        return None if until_ms is None else until_ms - self.now_ms


def test_the_tenth_failure_within_a_minute_locks_out():
    case = Case()
    waits = []
    for _ in range(10):
        case.fail()
        waits.append(case.waits_ms())
    assert waits == [None] * 9 + [MINUTE]


def test_how_many_more_failures_lock_out_is_known():
    case, left = Case(), []
    for _ in range(11):
        left.append(case.lock_outs.failures_left(PHONE, case.now_ms, POLICY))
        case.fail()
    assert left == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 10]
    case.now_ms += 3 * SECOND
    assert case.lock_outs.failures_left(PHONE, case.now_ms, POLICY) == 10, "a half one counts as none"


def test_failures_that_come_slowly_never_lock_out():
    """A shopper who mistypes nine times a minute, all day."""
    case = Case()
    for _ in range(1_000):
        case.fail()
        case.now_ms += MINUTE // 9
        assert case.waits_ms() is None


def test_each_lock_out_is_twice_as_long_up_to_the_longest():
    case, waits = Case(), []
    for _ in range(9):
        case.fail(10)
        waits.append(case.waits_ms())
        case.now_ms += waits[-1]
        assert case.waits_ms() is None
    assert waits == [MINUTE * 2**level for level in range(6)] + [HOUR] * 3


def test_failures_while_locked_out_make_it_longer():
    case = Case()
    case.fail(10)
    case.now_ms += 10 * SECOND
    case.fail(10)
    assert case.waits_ms() == 2 * MINUTE


def test_after_a_quiet_time_as_long_as_the_longest_the_next_one_is_a_first_one():
    case = Case()
    for _ in range(30):
        case.fail()
    assert case.waits_ms() == 4 * MINUTE
    case.now_ms += 4 * MINUTE + HOUR
    case.fail(10)
    assert case.waits_ms() == MINUTE


def test_one_request_is_one_lock_out_however_many_of_it_fail():
    """Else a single request of a hundred tokens would lock a subject out for an hour."""
    case = Case()
    case.fail(1_000)
    assert case.waits_ms() == MINUTE
    case.fail(9)
    assert case.waits_ms() == MINUTE, "what was over is forgotten"
    case.fail()
    assert case.waits_ms() == 2 * MINUTE


def test_each_subject_is_counted_by_itself():
    case = Case()
    case.fail(10)
    assert case.waits_ms() == MINUTE
    assert case.waits_ms(ANN) is None


def test_those_that_failed_longest_ago_are_forgotten():
    case = Case(failed_max=2)
    case.fail(9, subject=ANN)
    case.fail(9, subject=PHONE)
    case.fail(0, subject=ANN)
    case.fail(1, subject=HOME)
    for subject in (ANN, PHONE):
        case.fail(1, subject=subject)
    assert case.waits_ms(PHONE) is None
    assert case.waits_ms(ANN) is not None
    assert len(case.lock_outs) == 3


def flood(case, number, **how):
    """Fail with names that nobody used before."""
    for fresh in range(number):
        case.fail(subject=Subject(SubjectKind.DEVICE, (10**6 + fresh).to_bytes(8)).packed, **how)


def test_a_flood_of_fresh_names_makes_nobody_forgotten_who_is_locked_out_or_failed_at_codes():
    case = Case(failed_max=10, failed_codes_max=10, locked_max=10)
    case.fail(10, subject=ANN)
    case.fail(1, subject=PHONE, codes=True)
    flood(case, 1_000)
    assert case.waits_ms(ANN) == MINUTE
    assert case.lock_outs.failed_lately([PHONE], case.now_ms)
    assert len(case.lock_outs) == 12


@pytest.mark.parametrize("codes", [False, True])
def test_a_flood_of_lock_outs_makes_nobody_forgotten_who_is_locked_out(codes):
    """New ones have a place when the lock-out of others has ended."""
    case = Case(failed_max=10, failed_codes_max=10, locked_max=10)
    case.fail(10, subject=ANN)
    case.fail(10, subject=ANN)
    flood(case, 1_000, count=10, codes=codes)
    assert case.waits_ms(ANN) == 2 * MINUTE
    assert len(case.lock_outs) == 20
    case.now_ms += MINUTE
    case.fail(10, subject=PHONE)
    flood(case, 1_000)
    assert (case.waits_ms(ANN), case.waits_ms(PHONE)) == (MINUTE, MINUTE)
    assert len(case.lock_outs) <= 30


def earlier_and_now(before, now, *, minutes):
    """A case in which ``before`` failures came some minutes ago, and were learned of after ``now`` others."""
    case, history = Case(), Case()
    history.now_ms -= minutes * MINUTE
    for _ in range(before):
        history.fail()
    if now:
        case.fail(now)
    finished(case.lock_outs.add_earlier(history.lock_outs, case.now_ms, POLICY))
    return case


@pytest.mark.parametrize(
    ("before", "now", "minutes", "waits"),
    [
        (5, 5, 0, MINUTE),
        (5, 5, 2, None),
        (9, 9, 2, None),
        (20, 0, 1, MINUTE),
        (20, 1, 1, MINUTE),
        (20, 10, 1, 4 * MINUTE),
        (20, 10, 90, MINUTE),
    ],
    ids=["together", "long ago", "twice nine", "locked out before", "and fails", "a third time", "after a quiet time"],
)
def test_what_came_before_is_counted_with_its_time(before, now, minutes, waits):
    assert earlier_and_now(before, now, minutes=minutes).waits_ms() == waits


def test_who_failed_lately_is_known_for_ten_minutes():
    case = Case()
    case.fail()
    assert case.lock_outs.failed_lately([ANN, PHONE], case.now_ms)
    assert not case.lock_outs.failed_lately([ANN], case.now_ms)
    assert not case.lock_outs.failed_lately([PHONE], case.now_ms + 10 * MINUTE)


@pytest.mark.parametrize(("networks", "count"), [(RuleMode.SHADOW, 2), (RuleMode.ENFORCE, 3)])
def test_those_who_only_would_be_locked_out_are_not_counted(networks, count):
    case = Case()
    policy = LockOut(networks=networks)
    for subject in (ANN, PHONE, HOME):
        case.fail(10, subject=subject, policy=policy)
    assert finished(case.lock_outs.locked_out(case.now_ms, policy)) == count


@given(
    failures=st.integers(1, 1000),
    period_seconds=st.integers(1, 3600),
    gaps_ms=st.lists(st.integers(0, 5_000), min_size=1, max_size=200),
)
def test_so_many_within_the_period_always_lock_out_and_fewer_never_do(failures, period_seconds, gaps_ms):
    """Against the definition: of the failures within any period, as many as the policy allows."""
    policy = LockOut(failures=failures, period_seconds=period_seconds)
    case, moments = Case(), []
    for gap_ms in gaps_ms:
        case.now_ms += gap_ms
        case.fail(policy=policy)
        moments.append(case.now_ms)
        if case.waits_ms() is not None:
            lately = [moment for moment in moments if moment > case.now_ms - 2 * period_seconds * SECOND]
            assert len(lately) >= min(failures, len(moments))
            return
        at_once = [moment for moment in moments if moment == case.now_ms]
        assert len(at_once) < failures


def test_a_budget_of_codes_is_spent_and_fills_again():
    budget = CodeBudget()
    budget.spend(59, now_ms=START_MS, per_minute=60)
    assert budget.spent_until_ms(START_MS, 60) is None
    budget.spend(1, now_ms=START_MS, per_minute=60)
    assert budget.spent_until_ms(START_MS, 60) == START_MS + SECOND
    assert budget.spent_until_ms(START_MS + 999, 60) == START_MS + SECOND
    assert budget.spent_until_ms(START_MS + SECOND, 60) is None


def test_a_flood_spends_the_budget_of_two_minutes_at_most():
    budget = CodeBudget()
    budget.spend(1_000_000, now_ms=START_MS, per_minute=60)
    assert budget.spent_until_ms(START_MS, 60) == START_MS + MINUTE + SECOND


def test_what_was_spent_before_is_counted_with_its_time():
    earlier, budget = CodeBudget(), CodeBudget()
    earlier.spend(60, now_ms=START_MS - MINUTE // 2, per_minute=60)
    budget.spend(20, now_ms=START_MS, per_minute=60)
    budget.spend_earlier(earlier, START_MS)
    assert budget.spent_until_ms(START_MS, 60) is None
    budget.spend(10, now_ms=START_MS, per_minute=60)
    assert budget.spent_until_ms(START_MS, 60) == START_MS + SECOND
