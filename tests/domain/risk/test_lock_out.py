"""Lock-out: who failed too often waits, each time longer, and is forgotten again; and the budget of failed codes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.risk.lock_out import CodeBudget, LockOuts
from redemption.domain.risk.rules import LockOut, RuleMode
from redemption.domain.risk.subjects import Subject, SubjectKind

ANN, PHONE, HOME = (Subject(SubjectKind(kind), bytes(7) + bytes((kind,))) for kind in (1, 3, 4))
POLICY = LockOut(failures=10, period_seconds=60, wait_seconds=60, wait_seconds_max=3600)
START_MS = 1_800_000_000_000
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000


class Case:
    """Lock-outs with a clock."""

    def __init__(self, **changes):
        self.lock_outs = LockOuts(**changes)
        self.now_ms = START_MS

    def fail(self, count=1, *, subject=PHONE, program="demo", policy=POLICY):
        self.lock_outs.fail(program, subject, count, now_ms=self.now_ms, policy=policy)

    def waits_ms(self, subject=PHONE, program="demo"):
        until_ms = self.lock_outs.locked_until_ms(program, subject, self.now_ms)
        return None if until_ms is None else until_ms - self.now_ms


def test_the_tenth_failure_within_a_minute_locks_out():
    case = Case()
    waits = []
    for _ in range(10):
        case.fail()
        waits.append(case.waits_ms())
    assert waits == [None] * 9 + [MINUTE]


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
    case.fail(30)
    assert case.waits_ms() == 4 * MINUTE
    case.now_ms += 4 * MINUTE + HOUR
    case.fail(10)
    assert case.waits_ms() == MINUTE


def test_many_at_once_are_as_one_after_the_other():
    """Those that another server counted come together."""
    one, many = Case(), Case()
    for _ in range(35):
        one.fail()
    many.fail(35)
    assert one.waits_ms() == many.waits_ms() == 4 * MINUTE


def test_each_subject_and_program_is_counted_by_itself():
    case = Case()
    case.fail(10)
    assert case.waits_ms() == MINUTE
    assert case.waits_ms(ANN) is None
    assert case.waits_ms(program="other") is None


def test_those_that_failed_longest_ago_are_forgotten():
    case = Case(subjects_max=2)
    case.fail(10, subject=ANN)
    case.fail(10, subject=PHONE)
    case.fail(1, subject=ANN)
    case.fail(1, subject=HOME)
    assert case.waits_ms(PHONE) is None
    assert case.waits_ms(ANN) is not None
    assert len(case.lock_outs) == 2


def test_who_failed_lately_is_known_for_ten_minutes():
    case = Case()
    case.fail()
    assert case.lock_outs.failed_lately("demo", [ANN, PHONE], case.now_ms)
    assert not case.lock_outs.failed_lately("demo", [ANN], case.now_ms)
    assert not case.lock_outs.failed_lately("other", [PHONE], case.now_ms)
    assert not case.lock_outs.failed_lately("demo", [PHONE], case.now_ms + 10 * MINUTE)


@pytest.mark.parametrize(("networks", "count"), [(RuleMode.SHADOW, 2), (RuleMode.ENFORCE, 3)])
def test_those_who_only_would_be_locked_out_are_not_counted(networks, count):
    case = Case()
    policy = LockOut(networks=networks)
    for subject in (ANN, PHONE, HOME):
        case.fail(10, subject=subject, policy=policy)
    case.fail(10, program="other")
    assert case.lock_outs.locked_out("demo", case.now_ms, policy) == count


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
