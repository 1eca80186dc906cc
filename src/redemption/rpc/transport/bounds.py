"""What one caller, and all of them together, may take of a process; and how much they have taken."""

from dataclasses import dataclass, field

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a process bears. Each bound says what the caller sees who passes it.

    Attributes:
        calls_max: Calls at once that are worked on, those included whose caller is gone. RESOURCE_EXHAUSTED.
        wait_seconds_max: How long a call may wait for its work to begin. RESOURCE_EXHAUSTED, at once.
        connections_max: Connections at once. A further one is closed before anything is said on it.
        connections_per_address_max: The same from one address.
        streams_per_connection_max: Calls at once on one connection. Told when it begins; clients keep to it by waiting.
        header_bytes_max: A call's headers, metadata included, each with 32 bytes more (RFC 9113, section 6.5.2).
            RESOURCE_EXHAUSTED.
        header_fields_max: How many they are. RESOURCE_EXHAUSTED.
        request_bytes_max: Bytes of all requests that are not answered, finished or not. RESOURCE_EXHAUSTED, when the
            length of the message is known, or later when others were quicker. A quarter is kept for requests below
            64 KiB, and every connection has 32 KiB in any case.
        request_bytes_per_connection_max: The same of one connection.
        answer_bytes_max: Bytes of all answers that callers do not read. RESOURCE_EXHAUSTED in place of the answer.
        answer_bytes_per_connection_max: The same of one connection.
        unread_seconds_max: How long less than 64 KiB of an answer, and not all of it, is read before its stream is
            reset, with CANCEL; and nothing of any answer before the connection is ended. So long a farewell waits for
            what was written, too.
        preface_seconds_max: How long a new connection may say nothing, handshake included. It is ended.
        request_seconds_max: How long a request may take to arrive. DEADLINE_EXCEEDED.
        idle_seconds_max: How long a connection without calls is kept. GOAWAY; clients connect again when they call.
        age_seconds_max: How long one is kept, give or take a tenth, so that load spreads over new servers. GOAWAY.
        resets_per_second_max: Calls on one connection that the caller takes back within 100 ms, or whose headers are
            too many or too long; five seconds of them may come at once. GOAWAY, ENHANCE_YOUR_CALM.
        pings_per_second_max: PINGs on one connection, unless answers were sent in between; twenty may come at once.
            GOAWAY, ENHANCE_YOUR_CALM, ``too_many_pings``.
        keepalive_seconds: A connection that says nothing for so long is asked for a sign of life.
        keepalive_seconds_max: How long that may take before the connection is ended.
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
"""The bounds that grpcio's server can keep as well."""


@dataclass(slots=True)
class Usage:
    """What is taken of a process at the moment.

    Attributes:
        calls: Calls that are worked on.
        request_bytes: Bytes of requests that are not answered.
        answer_bytes: Bytes of answers that are not read.
        connections: Open connections by address.
    """

    calls: int = 0
    request_bytes: int = 0
    answer_bytes: int = 0
    connections: dict[str, int] = field(default_factory=dict)


class TokenBucket:
    """How often something may happen: so often a second, and a burst of it at once."""

    __slots__ = ("_burst", "_rate", "_room", "_seen")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """Begin full; ``rate`` is for each second, ``now`` in seconds of any clock."""
        self._rate = rate
        self._burst = burst
        self._room = burst
        self._seen = now

    def take(self, now: float, count: int = 1) -> bool:
        """Count one or more, and tell whether there was room for them."""
        self._room = min(self._burst, self._room + (now - self._seen) * self._rate) - count
        self._seen = now
        return self._room >= 0

    def refill(self) -> None:
        """Forgive what was counted so far."""
        self._room = self._burst
