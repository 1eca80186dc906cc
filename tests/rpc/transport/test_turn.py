"""What is written at the end of a turn of the event loop, on a loop that turns when it is told to."""

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


@pytest.fixture
def turn(loop):
    return Turn(loop)


def test_nothing_is_armed_when_there_is_nothing_to_do(loop, turn):
    assert loop.soon == []


def test_all_who_asked_in_a_turn_write_at_its_end_in_their_order(loop, log, turn):
    for name in ("first", "second"):
        turn.write(Writer(log, name))
    assert len(loop.soon) == 1
    assert log == []
    loop.turn()
    assert log == ["first", "second"]
    loop.turn()
    assert log == ["first", "second"]


def test_a_writer_that_asks_again_while_it_writes_has_its_next_turn(loop, log, turn):
    turn.write(Writer(log, "first", lambda: turn.write(Writer(log, "again"))))
    turn.write(Writer(log, "second"))
    loop.turn()
    assert log == ["first", "second"]
    loop.turn()
    assert log == ["first", "second", "again"]


def test_what_goes_wrong_with_one_connection_is_told_to_the_loop_and_the_others_are_written(loop, log, turn):
    """A writer that is left out would wait for its turn for ever: each asks once."""
    problem = RuntimeError("broken")

    def fail():
        raise problem

    turn.write(Writer(log, "first", fail))
    turn.write(Writer(log, "second"))
    loop.turn()
    assert log == ["first", "second"]
    assert [context["exception"] for context in loop.problems] == [problem]
