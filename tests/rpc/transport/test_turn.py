"""What is done at the end of a turn of the event loop, on a loop that turns when it is told to."""

import pytest

from redemption.rpc.transport.turn import Turn


class Loop:
    """Keeps what is to be called, and what went wrong."""

    def __init__(self):
        self.soon = []
        self.problems = []

    def call_soon(self, callback):
        self.soon.append(callback)

    def call_exception_handler(self, context):
        self.problems.append(context)

    def turn(self):
        """Call what was to be called when the turn began."""
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()


class Writer:
    def __init__(self, log, name, then=lambda: None):
        self._log, self._name, self._then = log, name, then

    def end_turn(self):
        self._log.append(self._name)
        self._then()


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def log():
    return []


def turn_of(loop, log):
    return Turn(loop, lambda method, calls: log.append((method, list(calls))))


def test_nothing_is_armed_when_there_is_nothing_to_do(loop, log):
    turn_of(loop, log)
    assert loop.soon == []


def test_the_calls_of_a_turn_are_begun_together_by_their_methods_and_then_it_is_written(loop, log):
    turn = turn_of(loop, log)
    turn.write(Writer(log, "x"))
    for method, call in (("redeem", 1), ("quote", 2), ("redeem", 3)):
        turn.add(method, call)
    assert len(loop.soon) == 1
    assert log == []
    loop.turn()
    assert log == [("redeem", [1, 3]), ("quote", [2]), "x"]
    loop.turn()
    assert log == [("redeem", [1, 3]), ("quote", [2]), "x"]


def test_each_turn_has_its_own_calls(loop, log):
    turn = turn_of(loop, log)
    turn.add("redeem", 1)
    loop.turn()
    turn.add("redeem", 2)
    loop.turn()
    assert log == [("redeem", [1]), ("redeem", [2])]


def test_a_writer_that_asks_again_while_it_writes_has_its_next_turn(loop, log):
    turn = turn_of(loop, log)
    turn.write(Writer(log, "first", lambda: turn.write(Writer(log, "again"))))
    turn.write(Writer(log, "second"))
    loop.turn()
    assert log == ["first", "second"]
    loop.turn()
    assert log == ["first", "second", "again"]


def test_calls_that_become_complete_while_it_is_written_are_begun_in_the_next_turn(loop, log):
    turn = turn_of(loop, log)
    turn.write(Writer(log, "reads on", lambda: turn.add("redeem", 1)))
    loop.turn()
    assert log == ["reads on"]
    loop.turn()
    assert log == ["reads on", ("redeem", [1])]


def test_what_goes_wrong_with_one_connection_is_told_to_the_loop_and_the_others_are_written(loop, log):
    """A writer that is left out would wait for its turn for ever: each asks once."""
    turn = turn_of(loop, log)
    problem = RuntimeError("broken")

    def fail():
        raise problem

    turn.write(Writer(log, "first", fail))
    turn.write(Writer(log, "second"))
    loop.turn()
    assert log == ["first", "second"]
    assert [context["exception"] for context in loop.problems] == [problem]


def test_what_goes_wrong_with_one_methods_calls_is_told_to_the_loop_and_the_others_are_begun(loop, log):
    def begin(method, calls):
        log.append(method)
        if method == "broken":
            raise RuntimeError(method)

    turn = Turn(loop, begin)
    turn.add("broken", 1)
    turn.add("redeem", 2)
    turn.write(Writer(log, "x"))
    loop.turn()
    assert log == ["broken", "redeem", "x"]
    assert len(loop.problems) == 1
