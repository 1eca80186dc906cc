"""Reads and writes times of day and durations: ``20:00``, ``30 days``, ``24h``."""

import re
from decimal import Decimal

from google.protobuf.duration_pb2 import Duration

MINUTES_PER_DAY = 24 * 60
TIME_OF_DAY = re.compile(r"(?P<hour>[01]?[0-9]|2[0-4]):(?P<minute>[0-5][0-9])")
DURATION = re.compile(r"(?P<count>[0-9]{1,6}) ?(?P<unit>seconds?|s|minutes?|min|hours?|h|days?|d)")

_NANOS = 9
_SECONDS = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
_SHORT = {"d": "day", "h": "hour", "min": "minute", "s": "second"}


def start_minute(text: str) -> int:
    """Return the minute of the day, 0 to 1439, at which something begins.

    Raises:
        ValueError: It is not a time of day; the message says what would be right.
    """
    minute = _minute(text)
    if minute == MINUTES_PER_DAY:
        raise ValueError("begins at the end of the day; write 00:00 for its beginning")
    return minute


def end_minute(text: str) -> int:
    """Return the minute of the day, 1 to 1440, before which something ends.

    Raises:
        ValueError: It is not a time of day; the message says what would be right.
    """
    minute = _minute(text)
    if minute == 0:
        raise ValueError("ends at the beginning of the day; write 24:00 for its end")
    return minute


def time_text(minute: int) -> str:
    """Return a minute of the day as a time: 1200 is ``20:00``."""
    return f"{minute // 60:02}:{minute % 60:02}"


def duration(text: str) -> Duration:
    """Return a duration.

    Raises:
        ValueError: It is no duration; the message says what would be right.
    """
    found = DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"must be a duration such as 30 days, 12 hours or 24h; it is {text[:40]!r}")
    unit = found["unit"]
    return Duration(seconds=int(found["count"]) * _SECONDS[_SHORT.get(unit, unit.removesuffix("s"))])


def duration_text(length: Duration) -> str:
    """Return a duration in the largest unit that gives a whole number: 86,400 seconds are ``1 day``."""
    if length.nanos:
        exact = length.seconds + Decimal(length.nanos).scaleb(-_NANOS)
        return f"{exact.normalize():f} seconds"
    unit, seconds = next((unit, each) for unit, each in _SECONDS.items() if length.seconds % each == 0)
    count = length.seconds // seconds
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _minute(text: str) -> int:
    found = TIME_OF_DAY.fullmatch(text)
    minute = int(found["hour"]) * 60 + int(found["minute"]) if found else MINUTES_PER_DAY + 1
    if minute > MINUTES_PER_DAY:
        raise ValueError(f"must be a time of day from 00:00 to 24:00, such as 20:00; it is {text[:40]!r}")
    return minute
