"""A load generator: open or closed loop, one thread, little CPU, latency from the moment at which a call was due.

Calls are written down before the run (``http2.py``) and every one is another. In an open loop they leave on a schedule
that knows nothing of the answers, so a server that stalls is seen by everybody who would have come meanwhile; in a
closed loop a fixed number is under way, which finds the peak. The generator tells what it cost and how late it was
itself; a run in which it was the slow one is INVALID.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from hdrh.histogram import HdrHistogram
from http2 import Answer, Call, Connection, ProtocolError

SECONDS_MAX = 15.0
"""For calls that are under way when the run ends to be answered."""
LATE_PART_MAX = 0.5
"""In an open loop a run is INVALID when the generator itself was late for more than this part of the latency found,
both at their 99th percentile."""
LATE_SECONDS_MIN, LATE_SECONDS_MAX = 0.001, 0.01
"""Less than the one is told, not judged; more than the other is another load than was asked for."""
BUSY_PART_MAX = 0.9
"""In a closed loop it is INVALID when the generator worked for more than this part of the time."""
COUNTED_PART_MIN = 0.5
"""It is INVALID when answers were counted for less than this part of the time: calls were used up, or took too long."""
ANSWERS_MIN = 10
"""And when fewer than this were counted."""
PRECISE_LINES_MAX = 512
"""With more connections a schedule is kept to the millisecond only."""
RECEIVE_BYTES = 1 << 18
HIGHEST_US = 60_000_000


@dataclass(slots=True)
class Run:
    """What a run found.

    Attributes:
        warm: Answers that the rate leaves out: those of the calls that a closed loop begins with, all at once.
        seconds: From the last of these to the last answer that came while calls were still being sent.
        in_time: Answers in that time.
        answers: Every message that came with status OK.
        asked: For each of these the call that it answers, as it was handed out over the connections in turn.
        failures: How often each other end of a call came.
        failed_after: For each of these, the seconds from when each call was due to its end.
        latencies: Seconds from when a call was due to its answer, of calls that were answered OK.
        lags: Seconds from when a call was due until the system was handed it.
        cpu_seconds: What the generator itself took.
        invalid: Why the generator, not the server, is to blame for what was found; or empty.
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
        """Count the answers that have come until now, while calls are still being sent."""
        count = len(self.latencies)
        if self._from is None:
            if count >= self.warm:
                self._from = now, count
        elif count > self._from[1] + self.in_time:
            self.seconds, self.in_time = now - self._from[0], count - self._from[1]

    @property
    def calls_per_second(self) -> float:
        """How many calls were answered in a second, while others were under way."""
        return self.in_time / self.seconds if self.seconds else 0.0

    @property
    def late_seconds(self) -> float:
        """By how much the generator was late itself: the 99th percentile, 0 without a schedule."""
        return _p99(self.lags)

    def histogram(self) -> HdrHistogram:
        """Return the latencies in microseconds, exact to three digits."""
        histogram = HdrHistogram(1, HIGHEST_US, 3)
        for latency in self.latencies:
            histogram.record_value(max(1, round(latency * 1e6)))
        return histogram


def _p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100] if seconds else 0.0


class Line:
    """One connection, and the calls that are to go over it."""

    def __init__(
        self, address: tuple[str, int], calls: Sequence[Call], number: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.number = number
        self.socket = socket.create_connection(address, timeout=SECONDS_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname=address[0])
        self.calls = calls
        self.next = 0  # of the calls: which is sent next
        self.due = array("d", bytes(8 * len(calls)))
        self.under_way = 0
        self._protocol = Connection()
        self._unsent = b""

    def open(self) -> None:
        """Exchange settings, after which calls may begin."""
        while not self._protocol.ready:
            self.flush()
            self.receive()
        self.flush()
        self.socket.setblocking(False)

    def begin(self, due: float) -> None:
        """Send the next call, which was due at a moment."""
        self.due[self.next] = due
        self._protocol.send(self.calls[self.next])
        self.next += 1
        self.under_way += 1

    def flush(self) -> bool:
        """Hand the system what there is to send; returns whether it took all."""
        data = self._unsent + self._protocol.take() if self._unsent else self._protocol.take()
        if data:
            sent = 0
            with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
                sent = self.socket.send(data)
            self._unsent = data[sent:]
        return not self._unsent

    def receive(self) -> list[Answer]:
        """Read what the server sent; the calls that have ended with it are no longer under way."""
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
    """Open a connection for each list of calls, and close them at the end."""
    opened: list[Line] = []
    try:
        for number, each in enumerate(calls):
            line = Line(address, each, number, tls)
            opened.append(line)
            line.open()
        yield opened
    finally:
        for line in opened:
            line.socket.close()


def closed_loop(opened: Sequence[Line], *, under_way: int, seconds: float) -> Run:
    """Keep so many calls under way on each connection, for some seconds or until one has no more to send."""
    return _Driver(opened, under_way=under_way, seconds=seconds).run()


def open_loop(opened: Sequence[Line], *, calls_per_second: float, seconds: float, seed: int) -> Run:
    """Send calls at random moments of a mean rate, as independent buyers do, whatever is under way."""
    draw = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    schedule = array("d")
    moment = draw.expovariate(calls_per_second)
    room = len(opened) * min(len(line.calls) for line in opened)
    while moment < seconds and len(schedule) < room:
        schedule.append(moment)
        moment += draw.expovariate(calls_per_second)
    return _Driver(opened, schedule=schedule, seconds=seconds).run()


class _Driver:
    """One run, from its first call to its last answer."""

    def __init__(
        self,
        opened: Sequence[Line],
        *,
        seconds: float,
        schedule: Sequence[float] | None = None,
        under_way: int = 0,
    ) -> None:
        self._lines = opened
        self._schedule = schedule
        self._under_way = under_way
        self._seconds = seconds
        # select() waits to the microsecond, but takes no file above 1,023; other selectors wait to the millisecond.
        self._selector = selectors.SelectSelector() if len(opened) <= PRECISE_LINES_MAX else selectors.DefaultSelector()
        for line in opened:
            self._selector.register(line.socket, selectors.EVENT_READ, line)
        self._blocked: set[Line] = set()
        self._position = 0
        self._run = Run(warm=max(under_way * len(opened), 1))

    def run(self) -> Run:
        """Send and receive until all that was sent is answered."""
        run = self._run
        gc.collect()
        gc.disable()  # a collection would make calls late, and there are no cycles here
        cpu, began = time.process_time(), time.perf_counter()
        try:
            self._exchange(began)
        except (OSError, ProtocolError) as error:
            run.failures[f"connection lost: {error}"] += max(self._waited_for, 1)
        finally:
            gc.enable()
            self._selector.close()
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
        while True:
            more = begin(began, ends)
            self._watch({line for line in self._lines if not line.flush()})
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

    def _watch(self, blocked: set[Line]) -> None:
        """Wait also for connections that can take more, as long as they could not."""
        for line in blocked ^ self._blocked:
            more = selectors.EVENT_WRITE if line in blocked else 0
            self._selector.modify(line.socket, selectors.EVENT_READ | more, line)
        self._blocked = blocked

    def _send_due(self, began: float, _: float) -> bool:
        """Send what the schedule says; returns whether there is more to come."""
        schedule, position, now = self._schedule or (), self._position, time.perf_counter()
        while position < len(schedule) and began + schedule[position] <= now:
            self._lines[position % len(self._lines)].begin(began + schedule[position])
            position += 1
        self._position = position
        return position < len(schedule)

    def _have_left(self, now: float, began: float) -> None:
        """Note how late those calls of the schedule were which the system has been handed now."""
        lags, schedule = self._run.lags, self._schedule or ()
        lags.extend(now - began - schedule[position] for position in range(len(lags), self._position))

    def _send_next(self, _: float, ends: float) -> bool:
        """Send a call for each that has ended; returns whether there is more to come."""
        now = time.perf_counter()
        if now >= ends:
            return False
        for line in self._lines:
            while line.under_way < self._under_way:
                if line.next == len(line.calls):
                    return False  # with fewer calls under way it would be another measurement
                line.begin(now)
        return True

    def _pause(self, began: float, ends: float, *, more: bool) -> float:
        """Return for how long there is nothing to do but to wait for answers."""
        if not more:
            return SECONDS_MAX
        until = ends if self._schedule is None else began + self._schedule[self._position]
        return max(until - time.perf_counter(), 0.0)

    def _read(self, line: Line) -> float:
        """Read what came on a connection, and return when it was there."""
        run, now = self._run, time.perf_counter()
        for answer in line.receive():
            if answer.status == "OK":
                run.latencies.append(now - line.due[answer.call])
                run.answers.append(answer.message)
                run.asked.append(answer.call * len(self._lines) + line.number)
            else:
                run.failures[answer.status] += 1
                run.failed_after.setdefault(answer.status, array("d")).append(now - line.due[answer.call])
        return now

    def _verdict(self, seconds: float) -> str:
        """Say why this run does not count, if the generator was the slow one."""
        run = self._run
        late, found = _p99(run.lags), _p99(run.latencies)
        if late > min(max(LATE_PART_MAX * found, LATE_SECONDS_MIN), LATE_SECONDS_MAX):
            return f"the generator was late itself: p99 {late * 1000:.1f} of {found * 1000:.1f} ms"
        if self._schedule is None and run.cpu_seconds > BUSY_PART_MAX * seconds:
            return f"the generator worked for {run.cpu_seconds / seconds:.0%} of the time"
        if run.in_time < ANSWERS_MIN or run.seconds < COUNTED_PART_MIN * self._seconds:
            used_up = any(line.next == len(line.calls) for line in self._lines)
            told = ": the calls were used up" if used_up else "; measure for longer"
            return f"only {run.in_time} answers in {run.seconds:.2f} of {self._seconds:g} s were counted{told}"
        return ""
