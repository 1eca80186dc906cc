"""How much of a process one caller, and all callers together, may use; and how much they use now."""

from dataclasses import dataclass, field

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The limits of a process. Each one names what a caller gets that exceeds it.

    Attributes:
        calls_max: Calls that are worked on at once, including those whose caller is gone. RESOURCE_EXHAUSTED.
        wait_seconds_max: How long a call may wait for its work to begin. A call that would wait longer gets
            RESOURCE_EXHAUSTED at once.
        connections_max: Open connections. One more is closed before anything is sent on it.
        connections_per_address_max: The same from one address.
        streams_per_connection_max: Open calls on one connection. It is sent when the connection begins; clients make
            further calls wait.
        header_bytes_max: Bytes of a call's headers, with its metadata, and 32 bytes more for each header (RFC 9113,
            section 6.5.2). RESOURCE_EXHAUSTED.
        header_fields_max: The number of those headers. RESOURCE_EXHAUSTED.
        request_bytes_max: Bytes of all unanswered requests, complete or not. RESOURCE_EXHAUSTED as soon as the length
            of the message is known, or later if other requests took the room first. A quarter is reserved for requests
            below 64 KiB, and every connection may have 32 KiB in any case.
        request_bytes_per_connection_max: The same for one connection.
        answer_bytes_max: Bytes of all answers that callers have not read. RESOURCE_EXHAUSTED in place of the answer.
        answer_bytes_per_connection_max: The same for one connection.
        unread_seconds_max: How long a caller may read less than 64 KiB of an answer that has more: then its stream is
            reset with CANCEL. And how long it may read nothing of any answer: then the connection is ended. A
            connection that closes without an error also waits this long for the caller to take what was written.
        preface_seconds_max: How long a new connection may take for the TLS handshake and its first frame. It is ended.
        request_seconds_max: How long a request may take to arrive. DEADLINE_EXCEEDED.
        idle_seconds_max: How long a connection without calls is kept. GOAWAY; clients connect again for the next call.
        age_seconds_max: How long a connection is kept, plus or minus 10 %, so that new servers get load. GOAWAY.
        resets_per_second_max: Calls on one connection that the caller cancels within 100 ms, or whose headers are too
            many or too long; 5 seconds' worth may come at once. GOAWAY with ENHANCE_YOUR_CALM.
        pings_per_second_max: PINGs on one connection without an answer sent in between; 20 may come at once. GOAWAY
            with ENHANCE_YOUR_CALM and ``too_many_pings``.
        keepalive_seconds: A PING is sent on a connection from which nothing came for this long.
        keepalive_seconds_max: How long its acknowledgement may take before the connection is ended.
    """

    calls_max: int = 4_096
    wait_seconds_max: float = 0.1
    connections_max: int = 10_000
    connections_per_address_max: int = 2_000
    streams_per_connection_max: int = 1_024
    header_bytes_max: int = 16 * 1024
    header_fields_max: int = 128
    request_bytes_max: int = 128 * MIB
    request_bytes_per_connection_max: int = 32 * MIB
    answer_bytes_max: int = 256 * MIB
    answer_bytes_per_connection_max: int = 16 * MIB
    unread_seconds_max: float = 30.0
    preface_seconds_max: float = 10.0
    request_seconds_max: float = 30.0
    idle_seconds_max: float = 1_800.0
    age_seconds_max: float = 3_600.0
    resets_per_second_max: int = 200
    pings_per_second_max: int = 1
    keepalive_seconds: float = 60.0
    keepalive_seconds_max: float = 20.0


KEPT_BY_GRPCIO = frozenset(
    {
        "calls_max",
        "streams_per_connection_max",
        "header_bytes_max",
        "request_bytes_max",
        "idle_seconds_max",
        "age_seconds_max",
        "keepalive_seconds",
        "keepalive_seconds_max",
    }
)
"""The limits that grpcio's server can enforce as well."""


@dataclass(slots=True)
class Usage:
    """How much of a process is in use now.

    Attributes:
        calls: Calls that are worked on.
        request_bytes: Bytes of unanswered requests.
        answer_bytes: Bytes of unread answers.
        connections: Open connections by address.
    """

    calls: int = 0
    request_bytes: int = 0
    answer_bytes: int = 0
    connections: dict[str, int] = field(default_factory=dict)


class TokenBucket:
    """A rate limit: a number of events in a second, and a larger number in a burst."""

    __slots__ = ("_burst", "_rate", "_room", "_seen")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """Begin full; ``rate`` is per second, and ``now`` in seconds of any clock."""
        self._rate = rate
        self._burst = burst
        self._room = burst
        self._seen = now

    def take(self, now: float, count: int = 1) -> bool:
        """Count one or more events, and return whether they are within the limit."""
        self._room = min(self._burst, self._room + (now - self._seen) * self._rate) - count
        self._seen = now
        return self._room >= 0

    def refill(self) -> None:
        """Fill the bucket: forget the events that were counted."""
        self._room = self._burst
