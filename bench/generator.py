"""A load generator: open or closed loop, one thread, little CPU; latency counts from the time when a call was due.

Calls are encoded before the run (``http2.py``), and all are different. In an open loop calls are sent on a schedule
that does not depend on the answers, so a server that stalls delays all calls that are due meanwhile. In a closed loop a
fixed number of calls is in flight, which finds the peak. The generator reports its own CPU and lateness; a run in which
the generator was too slow is INVALID.
"""

import contextlib
import gc
import random
import selectors
import socket
import ssl
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from http2 import Answer, Call, Connection, ProtocolError
from latency import Histogram

SECONDS_MAX = 15.0
"""Time for the answers to calls that are in flight when the run ends."""
LATE_PART_MAX = 0.5
"""In an open loop a run is INVALID if the generator's own lateness was more than this share of the measured latency,
both at their 99th percentile."""
LATE_SECONDS_MIN, LATE_SECONDS_MAX = 0.001, 0.01
"""Lateness below the first limit is only reported; above the second a run is always INVALID: the load was different."""
BUSY_PART_MAX = 0.9
"""In a closed loop a run is INVALID if the generator used more than this share of the time as CPU."""
COUNTED_PART_MIN = 0.5
"""A run is INVALID if answers were counted for less than this share of it: calls were used up, or took too long."""
ANSWERS_MIN = 10
"""A run is also INVALID if fewer answers than this were counted."""
PRECISE_LINES_MAX = 512
"""With more connections the schedule is precise to the millisecond only."""
RECEIVE_BYTES = 1 << 18
REOPEN_SECONDS, OPEN_SECONDS_MAX = 0.05, 1.0
"""A lost connection is opened again after the first, if that is wanted; it may take the second."""
LOOK_SECONDS = 0.5
"""So often a run looks whether it has to stop."""


@dataclass(slots=True)
class Run:
    """The result of a run.

    Attributes:
        warm: Answers that are not counted in the rate: those to the first calls, which a closed loop sends at once.
        seconds: From the last of these answers to the last answer that came while calls were still being sent.
        in_time: Answers in that time.
        answers: All messages that came with status OK.
        asked: For each of them the index of its call, as calls were distributed over the connections in turn.
        failures: How often each other status or error came.
        failed_after: For each of these, the seconds from the due time of each call to its end.
        latencies: Seconds from the due time of a call to its answer, of calls with status OK.
        lags: Seconds from the due time of a call until it was passed to the system.
        cpu_seconds: CPU of the generator itself.
        invalid: Why the run does not count because of the generator; or empty.
    """

    warm: int = 1
    seconds: float = 0.0
    sent: int = 0
    in_time: int = 0
    answers: list[bytes] = field(default_factory=list)
    asked: "array[int]" = field(default_factory=lambda: array("L"))
    failures: Counter[str] = field(default_factory=Counter)
    failed_after: "dict[str, array[float]]" = field(default_factory=dict)
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    lags: "array[float]" = field(default_factory=lambda: array("d"))
    cpu_seconds: float = 0.0
    invalid: str = ""
    _from: tuple[float, int] | None = None

    def note(self, now: float) -> None:
        """Count the answers until now; called while calls are still being sent."""
        count = len(self.latencies)
        if self._from is None:
            if count >= self.warm:
                self._from = now, count
        elif count > self._from[1] + self.in_time:
            self.seconds, self.in_time = now - self._from[0], count - self._from[1]

    @property
    def calls_per_second(self) -> float:
        """How many calls were answered in a second, while others were in flight."""
        return self.in_time / self.seconds if self.seconds else 0.0

    @property
    def late_seconds(self) -> float:
        """How late the generator itself sent calls: the 99th percentile; 0 without a schedule."""
        return _p99(self.lags)

    def histogram(self) -> Histogram:
        """Return a histogram of the latencies."""
        return Histogram(self.latencies)


def _p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100] if seconds else 0.0


class Line:
    """One connection, and the calls to send on it."""

    def __init__(
        self, address: tuple[str, int], calls: Sequence[Call], number: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.number = number
        self.calls = calls
        self.next = 0  # the index of the next call to send
        self.due = array("d", bytes(8 * len(calls)))
        self.under_way = 0
        self._address, self._tls = address, tls
        self._protocol = Connection()
        self._unsent = b""
        self.socket: socket.socket | None = None

    def open(self, seconds_max: float = SECONDS_MAX) -> None:
        """Connect and exchange settings; then calls may begin. After ``close``, that is a new connection."""
        self.socket = socket.create_connection(self._address, timeout=seconds_max)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            self.socket = self._tls.wrap_socket(self.socket, server_hostname=self._address[0])
        while not self._protocol.ready:
            self.flush()
            self.receive()
        self.flush()
        self.socket.setblocking(False)

    def close(self) -> None:
        """Close the connection; calls that were under way get no answer any more."""
        if self.socket is not None:
            self.socket.close()
        self.socket, self.under_way = None, 0
        self._protocol, self._unsent = Connection(), b""

    def begin(self, due: float) -> None:
        """Begin the next call, which was due at ``due``."""
        self.due[self.next] = due
        self._protocol.send(self.calls[self.next])
        self.next += 1
        self.under_way += 1

    def flush(self) -> bool:
        """Pass bytes to the system; return whether it took all of them."""
        assert self.socket is not None, "it is open"
        data = self._unsent + self._protocol.take() if self._unsent else self._protocol.take()
        if data:
            sent = 0
            with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
                sent = self.socket.send(data)
            self._unsent = data[sent:]
        return not self._unsent

    def receive(self) -> list[Answer]:
        """Read what the server sent; return the calls that ended with it."""
        assert self.socket is not None, "it is open"
        try:
            data = self.socket.recv(RECEIVE_BYTES)
            while isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
                data += self.socket.recv(RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return []
        if not data:
            raise ConnectionError("the server closed the connection")
        answers = self._protocol.receive(data)
        self.under_way -= len(answers)
        return answers


@contextmanager
def lines(
    address: tuple[str, int], calls: Sequence[Sequence[Call]], tls: ssl.SSLContext | None = None
) -> Iterator[list[Line]]:
    """Open a connection for each list of calls; close them at the end."""
    opened: list[Line] = []
    try:
        for number, each in enumerate(calls):
            line = Line(address, each, number, tls)
            opened.append(line)
            line.open()
        yield opened
    finally:
        for line in opened:
            line.close()


def closed_loop(opened: Sequence[Line], *, under_way: int, seconds: float) -> Run:
    """Keep a number of calls in flight on each connection, for some seconds or until one has no more calls."""
    return _Driver(opened, under_way=under_way, seconds=seconds).run()


def on_schedule(opened: Sequence[Line], schedule: Sequence[float], *, stopped: Callable[[], bool]) -> Run:
    """Send each call at its moment, in seconds from now, until ``stopped`` says so, through whatever happens.

    A connection that is lost is opened again. The calls that were under way on it get no answer, nor do those that are
    due until it is open.
    """
    seconds = schedule[-1] if schedule else 0.0
    return _Driver(opened, schedule=schedule, seconds=seconds, stopped=stopped).run()


def open_loop(opened: Sequence[Line], *, calls_per_second: float, seconds: float, seed: int) -> Run:
    """Send calls at random times with a mean rate, as independent buyers do, however many are in flight."""
    draw = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    schedule = array("d")
    moment = draw.expovariate(calls_per_second)
    room = len(opened) * min(len(line.calls) for line in opened)
    while moment < seconds and len(schedule) < room:
        schedule.append(moment)
        moment += draw.expovariate(calls_per_second)
    return _Driver(opened, schedule=schedule, seconds=seconds).run()


class _Driver:
    """Drives one run, from its first call to its last answer."""

    def __init__(
        self,
        opened: Sequence[Line],
        *,
        seconds: float,
        schedule: Sequence[float] | None = None,
        under_way: int = 0,
        stopped: Callable[[], bool] | None = None,
    ) -> None:
        """Prepare a run; with ``stopped`` it goes on when connections are lost."""
        self._lines = opened
        self._stopped = stopped
        self._lost: dict[Line, float] = {}  # connections that were lost, and when each is opened again
        self._opening: dict[Line, Future[None]] = {}
        self._opener = ThreadPoolExecutor()  # to open one can take long, and calls are due meanwhile
        self._schedule = schedule
        self._under_way = under_way
        self._seconds = seconds
        # select() waits with a precision of microseconds but takes no file above 1,023; other selectors: milliseconds.
        self._selector = selectors.SelectSelector() if len(opened) <= PRECISE_LINES_MAX else selectors.DefaultSelector()
        for line in opened:
            self._selector.register(line.socket, selectors.EVENT_READ, line)  # type: ignore[arg-type] - it is open
        self._blocked: set[Line] = set()
        self._position = 0
        self._run = Run(warm=max(under_way * len(opened), 1))

    def run(self) -> Run:
        """Send and receive until all calls are answered."""
        run = self._run
        gc.collect()
        gc.disable()  # a collection would delay calls, and there are no cycles here
        cpu, began = time.process_time(), time.perf_counter()
        try:
            self._exchange(began)
        except (OSError, ProtocolError) as error:
            run.failures[f"connection lost: {error}"] += max(self._waited_for, 1)
        finally:
            gc.enable()
            self._selector.close()
            self._opener.shutdown(wait=True)
        ended = time.perf_counter()
        run.cpu_seconds = time.process_time() - cpu
        run.sent = sum(line.next for line in self._lines)
        run.invalid = self._verdict(ended - began)
        return run

    @property
    def _waited_for(self) -> int:
        return sum(line.under_way for line in self._lines)

    def _exchange(self, began: float) -> None:
        run, ends = self._run, began + self._seconds
        begin = self._send_next if self._schedule is None else self._send_due
        while not (self._stopped and self._stopped()):
            if self._lost:
                self._open_again()
            more = begin(began, ends)
            self._watch({line for line in self._lines if not self._flushed(line)})
            self._have_left(time.perf_counter(), began)
            if not more and not self._waited_for:
                return
            ready = self._selector.select(self._pause(began, ends, more=more))
            now = time.perf_counter()
            for found, events in ready:
                if events & selectors.EVENT_READ:
                    now = self._read(found.data)
            if more:
                run.note(now)
            if now > ends + SECONDS_MAX:
                run.failures["no answer"] += self._waited_for
                return

    def _flushed(self, line: Line) -> bool:
        if line in self._lost:
            return True
        try:
            return line.flush()
        except OSError as error:
            self._lose(line, error)
            return True

    def _lose(self, line: Line, error: Exception) -> None:
        """Take a connection out that was lost; without ``stopped`` the run ends with it."""
        if self._stopped is None:
            raise error
        self._run.failures[f"connection lost: {error}"] += max(line.under_way, 1)
        self._selector.unregister(line.socket)  # type: ignore[arg-type] - it was open
        self._blocked.discard(line)
        line.close()
        self._lost[line] = time.perf_counter() + REOPEN_SECONDS

    def _open_again(self) -> None:
        """Open connections that were lost, when it is time, and use those that are open."""
        now = time.perf_counter()
        for line, due in list(self._lost.items()):
            opening = self._opening.get(line)
            if opening is None:
                if now >= due:
                    self._opening[line] = self._opener.submit(line.open, OPEN_SECONDS_MAX)
            elif opening.done():
                del self._opening[line]
                if opening.exception() is None:
                    self._selector.register(line.socket, selectors.EVENT_READ, line)  # type: ignore[arg-type]
                    del self._lost[line]
                else:
                    line.close()
                    self._lost[line] = now + REOPEN_SECONDS

    def _watch(self, blocked: set[Line]) -> None:
        """Watch blocked connections for writing, until they can be written again."""
        for line in blocked ^ self._blocked:
            more = selectors.EVENT_WRITE if line in blocked else 0
            self._selector.modify(line.socket, selectors.EVENT_READ | more, line)  # type: ignore[arg-type]
        self._blocked = blocked

    def _send_due(self, began: float, _: float) -> bool:
        """Send the calls that are due by the schedule; return whether there are more to come."""
        schedule, position, now = self._schedule or (), self._position, time.perf_counter()
        while position < len(schedule) and began + schedule[position] <= now:
            line = self._lines[position % len(self._lines)]
            if line in self._lost:
                line.next += 1
                self._run.failures["not connected"] += 1
            else:
                line.begin(began + schedule[position])
            position += 1
        self._position = position
        return position < len(schedule)

    def _have_left(self, now: float, began: float) -> None:
        """Note the lateness of the scheduled calls that were passed to the system now."""
        lags, schedule = self._run.lags, self._schedule or ()
        lags.extend(now - began - schedule[position] for position in range(len(lags), self._position))

    def _send_next(self, _: float, ends: float) -> bool:
        """Send a call for each one that ended; return whether there are more to come."""
        now = time.perf_counter()
        if now >= ends:
            return False
        for line in self._lines:
            while line.under_way < self._under_way:
                if line.next == len(line.calls):
                    return False  # with fewer calls in flight it would be another measurement
                line.begin(now)
        return True

    def _pause(self, began: float, ends: float, *, more: bool) -> float:
        """Return how long to wait for answers until the next call is due."""
        if not more:
            return SECONDS_MAX
        until = ends if self._schedule is None else began + self._schedule[self._position]
        wait = max(until - time.perf_counter(), 0.0)
        return min(wait, LOOK_SECONDS) if self._stopped else wait

    def _read(self, line: Line) -> float:
        """Read the answers on a connection, and return the time of the read."""
        run, now = self._run, time.perf_counter()
        try:
            answers = line.receive()
        except (OSError, ProtocolError) as error:
            self._lose(line, error)
            return now
        for answer in answers:
            if answer.status == "OK":
                run.latencies.append(now - line.due[answer.call])
                run.answers.append(answer.message)
                run.asked.append(answer.call * len(self._lines) + line.number)
            else:
                run.failures[answer.status] += 1
                run.failed_after.setdefault(answer.status, array("d")).append(now - line.due[answer.call])
        return now

    def _verdict(self, seconds: float) -> str:
        """Return why this run does not count because of the generator; or an empty text."""
        run = self._run
        late, found = _p99(run.lags), _p99(run.latencies)
        if late > min(max(LATE_PART_MAX * found, LATE_SECONDS_MIN), LATE_SECONDS_MAX):
            return f"the generator was late itself: p99 {late * 1000:.1f} of {found * 1000:.1f} ms"
        if self._schedule is None and run.cpu_seconds > BUSY_PART_MAX * seconds:
            return f"the generator worked for {run.cpu_seconds / seconds:.0%} of the time"
        if run.in_time < ANSWERS_MIN or run.seconds < COUNTED_PART_MIN * self._seconds:
            used_up = any(line.next == len(line.calls) for line in self._lines)
            why = ": the calls were used up" if used_up else "; measure for longer"
            return f"only {run.in_time} answers in {run.seconds:.2f} of {self._seconds:g} s were counted{why}"
        return ""
