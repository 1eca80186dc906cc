"""What is read and written in a turn of the event loop, on a loop that turns when it is told to."""

import pytest

from redemption.rpc.transport.turn import READ_SECONDS, Turn


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


class Clock:
    """Stands still until something takes time."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


class Reader:
    """Has some slices to read, each of which takes so long."""

    def __init__(self, log, clock, name, slices, seconds=0.0):
        self._log, self._clock, self._name, self._slices, self._seconds = log, clock, name, slices, seconds

    def read_slice(self):
        self._clock.seconds += self._seconds
        self._log.append(self._name)
        self._slices -= 1
        return self._slices > 0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def turn(loop, clock):
    return Turn(loop, clock)


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


def test_connections_read_in_turn_slice_by_slice_before_any_is_written_to(loop, log, clock, turn):
    turn.write(Writer(log, "written"))
    turn.read(Reader(log, clock, "a", 3))
    turn.read(Reader(log, clock, "b", 1))
    loop.turn()
    assert log == ["a", "b", "a", "a", "written"]
    assert loop.soon == []


def test_what_takes_long_to_read_is_left_for_the_next_turns_and_starves_nobody(loop, log, clock, turn):
    """Those that were not read in this turn are the first in the next one."""
    for name in "abcd":
        turn.read(Reader(log, clock, name, 2, 0.6 * READ_SECONDS))
    turn.write(Writer(log, "written"))
    loop.turn()
    assert log == ["a", "b", "written"]
    loop.turn()
    loop.turn()
    loop.turn()
    assert log[3:] == ["c", "d", "a", "b", "c", "d"]
    assert loop.soon == []


def test_who_asks_while_the_turn_is_ended_has_its_turn(loop, log, clock, turn):
    turn.write(Writer(log, "first", lambda: turn.read(Reader(log, clock, "read", 1))))
    loop.turn()
    assert log == ["first"]
    loop.turn()
    assert log == ["first", "read"]


def test_a_reader_that_fails_is_told_to_the_loop_and_the_others_read(loop, log, clock, turn):
    class Broken:
        def read_slice(self):
            raise RuntimeError("broken")

    turn.read(Broken())
    turn.read(Reader(log, clock, "next", 1))
    loop.turn()
    assert log == ["next"]
    assert len(loop.problems) == 1
