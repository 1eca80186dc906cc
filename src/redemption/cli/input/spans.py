"""Reads and writes short lengths of time: ``500ms``, ``10s``, ``1m``, ``7d``."""

import re

from google.protobuf.duration_pb2 import Duration

UNIT = r"milliseconds?|ms|seconds?|s|minutes?|min|m|hours?|h|days?|d"
SPAN = re.compile(rf"(?P<count>[0-9]{{1,10}}) ?(?P<unit>{UNIT})")

_SECOND_MS = 1000
_MS = {"ms": 1, "s": _SECOND_MS, "m": 60 * _SECOND_MS, "h": 3600 * _SECOND_MS, "d": 86_400 * _SECOND_MS}
_LONG = {"milliseconds": "ms", "seconds": "s", "minutes": "m", "mins": "m", "hours": "h", "days": "d"}
_NANOS_PER_MS = 1_000_000
_DAYS_MAX = 10_000


def span(text: str) -> Duration:
    """Return a length of time.

    Raises:
        ValueError: It is none; the message says what would be right.
    """
    found = SPAN.fullmatch(text)
    if found is None:
        raise ValueError(f"must be a length of time such as 30s, 5m, 12h or 7d; it is {text[:40]!r}")
    return of_unit(int(found["count"]), found["unit"])


def of_unit(count: int, unit: str) -> Duration:
    """Return a length of time of so many of a unit that ``UNIT`` knows.

    Raises:
        ValueError: It is longer than any rule can need.
    """
    short = unit if unit in _MS else _LONG[f"{unit.removesuffix('s')}s"]
    milliseconds = count * _MS[short]
    if milliseconds > _DAYS_MAX * _MS["d"]:
        raise ValueError(f"must be at most {_DAYS_MAX}d; it is {count}{short}")
    return Duration(seconds=milliseconds // _SECOND_MS, nanos=milliseconds % _SECOND_MS * _NANOS_PER_MS)


def span_text(length: Duration) -> str:
    """Return a length of time in the largest unit that gives a whole number: 86,400 seconds are ``1d``."""
    milliseconds = length.seconds * _SECOND_MS + length.nanos // _NANOS_PER_MS
    unit, size = next((unit, size) for unit, size in reversed(_MS.items()) if milliseconds % size == 0)
    return f"{milliseconds // size}{unit}" if milliseconds else "0s"
