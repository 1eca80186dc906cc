"""Conversion between protobuf's timestamps and durations and the whole numbers of the domain."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.domain.errors import InvalidRequest, Violation

NANOSECONDS_PER_MS = 1_000_000
NANOSECONDS = 1_000_000_000
MILLISECONDS = 1000

# 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z, as google/protobuf/timestamp.proto has it.
_SECONDS_MIN = -62_135_596_800
_SECONDS_MAX = 253_402_300_799
# 10,000 years, as google/protobuf/duration.proto has it.
_DURATION_SECONDS_MAX = 315_576_000_000


def ms_from(timestamp: Timestamp, field: str) -> int:
    """Return Unix milliseconds.

    Raises:
        InvalidRequest: It is not a valid timestamp, or has fractions of a millisecond.
    """
    seconds, nanoseconds = timestamp.seconds, timestamp.nanos
    if not (_SECONDS_MIN <= seconds <= _SECONDS_MAX and 0 <= nanoseconds < NANOSECONDS):
        raise InvalidRequest([Violation(field, "is not a timestamp: outside of years 1 to 9999, or of its second")])
    if nanoseconds % NANOSECONDS_PER_MS:
        raise InvalidRequest([Violation(field, "must be a whole millisecond")])
    return seconds * MILLISECONDS + nanoseconds // NANOSECONDS_PER_MS


def whole_second_ms_from(timestamp: Timestamp, field: str) -> int:
    """Return Unix milliseconds of a timestamp that must be a whole second.

    Raises:
        InvalidRequest: It is not a valid timestamp, or has fractions of a second.
    """
    milliseconds = ms_from(timestamp, field)
    if milliseconds % MILLISECONDS:
        raise InvalidRequest([Violation(field, "must be a whole second")])
    return milliseconds


def seconds_from(duration: Duration, field: str) -> int:
    """Return the seconds of a duration.

    Raises:
        InvalidRequest: It is not a valid duration, is negative, or has fractions of a second.
    """
    seconds, nanoseconds = duration.seconds, duration.nanos
    if seconds < 0 or nanoseconds < 0:
        raise InvalidRequest([Violation(field, "must not be negative")])
    if seconds > _DURATION_SECONDS_MAX:
        raise InvalidRequest([Violation(field, "is not a duration: longer than 10000 years")])
    if nanoseconds:
        raise InvalidRequest([Violation(field, "must be whole seconds")])
    return seconds


def duration_ms_from(duration: Duration, field: str) -> int:
    """Return the milliseconds of a duration.

    Raises:
        InvalidRequest: It is not a valid duration, is negative, or has fractions of a millisecond.
    """
    seconds, nanoseconds = duration.seconds, duration.nanos
    if seconds < 0 or nanoseconds < 0:
        raise InvalidRequest([Violation(field, "must not be negative")])
    if seconds > _DURATION_SECONDS_MAX or nanoseconds >= NANOSECONDS:
        raise InvalidRequest([Violation(field, "is not a duration: longer than 10000 years, or not of its second")])
    if nanoseconds % NANOSECONDS_PER_MS:
        raise InvalidRequest([Violation(field, "must be whole milliseconds")])
    return seconds * MILLISECONDS + nanoseconds // NANOSECONDS_PER_MS


def duration_of_ms(milliseconds: int) -> Duration:
    """Return the duration of these milliseconds."""
    seconds, rest = divmod(milliseconds, MILLISECONDS)
    return Duration(seconds=seconds, nanos=rest * NANOSECONDS_PER_MS)


def duration_of(seconds: int) -> Duration:
    """Return the duration of these seconds."""
    return Duration(seconds=seconds)


def at_seconds(seconds: int) -> Timestamp:
    """Return the timestamp of these Unix seconds."""
    return Timestamp(seconds=seconds)


def at_ms(milliseconds: int) -> Timestamp:
    """Return the timestamp of these Unix milliseconds."""
    seconds, rest = divmod(milliseconds, MILLISECONDS)
    return Timestamp(seconds=seconds, nanos=rest * NANOSECONDS_PER_MS)
