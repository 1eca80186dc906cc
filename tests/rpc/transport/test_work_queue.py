"""Which calls begin in a turn of the event loop, which wait, and which are refused because they would wait too long."""

import pytest
from builders.calls import calling

from redemption.rpc.transport.methods import GatheredMethod, UnaryMethod
from redemption.rpc.transport.work_queue import (
    SECONDS_EACH_FIRST,
    SHORT_BYTES_MAX,
    SHORT_UNDER_WAY_MAX,
    UNIT_BYTES,
    UNITS_AT_ONCE,
    WorkQueue,
    units_of,
)

GATHERED = GatheredMethod(request_bytes_max=1_000_000, begin=None)
SINGLE = UnaryMethod(request_bytes_max=1_000_000, answer=None)
PATIENT = 3600.0


class WaitingCall:
    """A call that waits."""

    def __init__(self, method=GATHERED, size=0):
        self.method, self.request, self.info, self.ended = method, bytes(size), calling(), False


class RunningQueue:
    """A work queue whose event loop turns, and whose clock goes, when the test says so."""

    def __init__(self, wait_seconds_max=0.05):
        self.now = 100.0
        self.begun = []
        self.turns = []
        self.problems = []
        self.broken = set()
        self.queue = WorkQueue(self, self._begin, wait_seconds_max=wait_seconds_max, clock=lambda: self.now)

    def call_soon(self, turn):
        self.turns.append(turn)

    def call_exception_handler(self, context):
        self.problems.append(context["exception"])

    def _begin(self, method, calls):
        if method in self.broken:
            raise RuntimeError("broken")
        self.begun.append((method, list(calls)))

    def add(self, count=1, method=GATHERED, size=0, seconds=PATIENT):
        """Let calls come; returns those that were taken."""
        calls = [WaitingCall(method, size) for _ in range(count)]
        return [call for call in calls if self.queue.add(call, seconds)]

    def turn(self, seconds=0.0):
        """Let time pass and the event loop turn; returns how many calls were begun."""
        self.now += seconds
        turns, self.turns, self.begun = self.turns, [], []
        for turn in turns:
            turn()
        return sum(len(calls) for _, calls in self.begun)

    def learn(self, seconds_each, *, method=GATHERED):
        """Let many calls be worked on, each in so many seconds."""
        for _ in range(100):
            self.add(2 * UNITS_AT_ONCE, method)
            done = 0
            while self.turns:
                self.turn(done * seconds_each)
                begun = [call for _, calls in self.begun for call in calls]
                done = sum(units_of(call.request) for call in begun)
                for call in begun:
                    self.queue.done(call)


@pytest.fixture
def running():
    return RunningQueue()


def test_calls_of_a_turn_are_begun_together_in_their_order(running):
    calls = running.add(5)
    assert len(running.turns) == 1, "the first one arms the turn"
    running.turn()
    assert running.begun == [(GATHERED, calls)]
    assert running.turn() == 0
    assert running.turns == [], "nothing is left to do"


def test_a_turn_begins_no_more_than_its_share_and_comes_back_for_the_rest(running):
    running.add(2 * UNITS_AT_ONCE + 1)
    assert [running.turn(), running.turn(), running.turn(), running.turn()] == [UNITS_AT_ONCE, UNITS_AT_ONCE, 1, 0]


def test_large_requests_count_by_their_size_and_a_very_large_one_goes_alone(running):
    half = UNIT_BYTES * UNITS_AT_ONCE // 2
    running.add(2, size=half)
    assert [running.turn(), running.turn()] == [1, 1]
    running.add(1, size=10 * half)
    running.add(1, size=SHORT_BYTES_MAX + 1)
    assert [running.turn(), running.turn()] == [1, 1]


def test_gathered_calls_are_begun_only_as_others_end(running):
    calls = running.add(SHORT_UNDER_WAY_MAX + 5)
    begun = 0
    while running.turns:
        begun += running.turn()
    assert begun == SHORT_UNDER_WAY_MAX
    for call in calls[:2]:
        running.queue.done(call)
    assert running.turn() == 2


def test_short_calls_do_not_wait_for_the_places_of_long_ones():
    """Large orders take turns, and keep their places meanwhile."""
    running = RunningQueue(wait_seconds_max=PATIENT)
    assert len(running.add(2 * SHORT_UNDER_WAY_MAX, size=SHORT_BYTES_MAX + 1)) == 2 * SHORT_UNDER_WAY_MAX
    while running.turns:
        running.turn()
    (short,) = running.add()
    running.turn()
    assert running.begun == [(GATHERED, [short])]


def test_calls_of_other_methods_do_not_wait_for_gathered_ones(running):
    running.add(SHORT_UNDER_WAY_MAX + 5)
    while running.turns:
        running.turn()
    (single,) = running.add(method=SINGLE)
    running.turn()
    assert running.begun == [(SINGLE, [single])]


def test_what_goes_wrong_with_one_methods_calls_is_told_to_the_loop_and_the_others_are_begun(running):
    running.broken = {SINGLE}
    running.add(method=SINGLE)
    gathered = running.add()
    running.turn()
    assert running.begun == [(GATHERED, gathered)]
    assert [str(problem) for problem in running.problems] == ["broken"]


def test_a_call_is_refused_that_would_wait_longer_than_the_bound(running):
    """0.1 ms each at first, 50 ms at most: 500 may wait, and the next one would be the 501st."""
    assert len(running.add(2_000)) == pytest.approx(0.05 / SECONDS_EACH_FIRST, abs=2)
    assert running.queue.is_full(GATHERED)
    running.turn()
    assert not running.queue.is_full(GATHERED)


@pytest.mark.parametrize("method", [GATHERED, SINGLE], ids=["gathered", "single"])
@pytest.mark.parametrize("milliseconds", [0.01, 1.0, 5.0])
def test_how_many_may_wait_follows_what_each_takes(running, method, milliseconds):
    """A slow machine lets fewer wait, a fast one more, and what waits is always the same time."""
    running.learn(milliseconds / 1000, method=method)
    patience = 1 if method is GATHERED else 9 / 8
    assert len(running.add(20_000, method)) == pytest.approx(50 * patience / milliseconds, rel=0.1, abs=1)


def test_a_call_that_cannot_be_begun_before_its_deadline_is_refused(running):
    running.learn(0.001)
    running.add(10)
    assert running.add(seconds=0.005) == []
    assert len(running.add(seconds=0.02)) == 1


def test_a_pause_between_calls_is_not_taken_for_work(running):
    for _ in range(50):
        (call,) = running.add()
        running.turn(seconds=1.0)
        running.turn(seconds=0.0001)
        running.queue.done(call)
    assert len(running.add(100)) == 100


def test_a_silent_ledger_ends_the_taking_of_calls_and_its_return_begins_it_again(running):
    """Those under way keep their places; the others wait until the bound is reached, then all are refused."""
    calls = []
    while more := running.add(100):
        calls += more
        running.turn(seconds=0.01)
    assert running.queue.is_full(GATHERED)
    for call in calls[:SHORT_UNDER_WAY_MAX]:
        running.queue.done(call)
    running.turn()
    assert running.begun, "what waits is begun"


def test_large_batches_are_more_patient_than_small_calls(running):
    """Each of 64 orders takes milliseconds itself, and eight of them at once are an ordinary load."""
    running.learn(0.0001, method=SINGLE)
    assert len(running.add(10, SINGLE, size=64 * 256)) == 10
    assert running.add(20_000, SINGLE), "small ones are taken"
    assert len(running.add(1, SINGLE, size=64 * 256)) == 1, "though for the smallest the line is too long"


def test_the_first_steps_of_calls_are_done_before_the_next_ones_are_begun(running):
    """Else their time would be measured in a later turn, or not at all."""
    running.queue._begin = lambda *_: running.call_soon("their first step")
    running.add()
    running.turn()
    assert running.turns[0] == "their first step"
    assert len(running.turns) == 2


def test_a_single_pause_says_little_about_the_calls_to_come(running):
    running.learn(0.0001)
    (call,) = running.add()
    running.turn()
    running.turn(seconds=1.0)
    running.queue.done(call)
    assert len(running.add(400)) == 400
