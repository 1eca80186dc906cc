"""Reads and writes instants: ISO 8601 with an offset, or local time in a given zone."""

import datetime as dt
import re

from google.protobuf.timestamp_pb2 import Timestamp

INSTANT = re.compile(
    r"(?P<local>[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?:\.[0-9]{1,3})?)"
    r" ?(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_HINT = "such as 2026-06-18 20:00, or with an offset 2026-06-18T20:00+08:00"


def instant(text: str, zone: dt.tzinfo | None) -> Timestamp:
    """Return the instant that a text means.

    Args:
        text: Date and time, with or without an offset.
        zone: The zone of a text without an offset; None means that an offset is needed.

    Raises:
        ValueError: It means no instant, or it may mean two; the message says what would be right.
    """
    found = INSTANT.fullmatch(text)
    if found is None:
        if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text):
            raise ValueError(f"must be a date and a time {_HINT}; {text} is a time of day alone")
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            _from_iso(text, text)
            raise ValueError(f"needs a time of day as well, since days end at midnight: {text} 00:00")
        raise ValueError(f"must be a date and a time {_HINT}; it is {text[:40]!r}")
    local = _from_iso(found["local"] + (found["offset"] or "").replace("Z", "+00:00"), text)
    if local.tzinfo is None:
        if zone is None:
            raise ValueError(f"needs an offset, such as {text}+08:00")
        local = _placed(local, zone)
    if not _YEAR_MIN <= local.year <= _YEAR_MAX:
        raise ValueError(f"must lie between the years {_YEAR_MIN} and {_YEAR_MAX}; it is {text!r}")
    made = Timestamp()
    made.FromDatetime(local.astimezone(dt.UTC))
    return made


_YEAR_MIN, _YEAR_MAX = 1970, 2105


def local_text(when: Timestamp, zone: dt.tzinfo | None) -> str:
    """Return an instant as date, time and offset in a zone (None: this machine's zone)."""
    local = dt.datetime.fromtimestamp(when.seconds, tz=dt.UTC).astimezone(zone)
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M:%S}".removesuffix(":00") + f" {offset[:3]}:{offset[3:]}"


def _from_iso(iso: str, text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(iso)
    except ValueError as error:
        raise ValueError(f"must be a date and a time {_HINT}; {text!r} is not in the calendar") from error


def _placed(local: dt.datetime, zone: dt.tzinfo) -> dt.datetime:
    """Return a local time in its zone. Refuse a time that a change of the clocks skips or repeats."""
    early, late = local.replace(tzinfo=zone, fold=0), local.replace(tzinfo=zone, fold=1)
    if early.utcoffset() != late.utcoffset():
        happens = early.astimezone(dt.UTC).astimezone(zone).replace(tzinfo=None) == local
        what = "happens twice" if happens else "does not exist"
        raise ValueError(f"{what} in {zone}, where clocks are changed then; add an offset")
    return early
