"""Days as people count them: in a zone, where a day may have 23 or 25 hours."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class LocalDay:
    """One day of a zone.

    Attributes:
        number: Days since 1 January 1970, by the zone's own calendar.
        starts_at_ms: Its first instant, Unix milliseconds.
        ends_at_ms: The first instant of the next day, Unix milliseconds.
    """

    number: int
    starts_at_ms: int
    ends_at_ms: int


class Days:
    """Remembers the present day of each zone, because almost every question is about the same one."""

    def __init__(self) -> None:
        self._present: dict[str, LocalDay] = {}

    def at(self, zone: str, now_ms: int) -> LocalDay:
        """Return the zone's day at an instant, Unix milliseconds."""
        day = self._present.get(zone)
        if day is None or not day.starts_at_ms <= now_ms < day.ends_at_ms:
            day = self._present[zone] = local_day(zone, now_ms)
        return day


def local_day(zone: str, now_ms: int) -> LocalDay:
    """Compute the zone's day at an instant, Unix milliseconds."""
    here = ZoneInfo(zone)
    today = (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=now_ms)).astimezone(here).date()
    # Where a change of clocks leaves out midnight, the day begins at the first instant that exists.
    starts, ends = _midnight_ms(here, today), _midnight_ms(here, today + timedelta(days=1))
    return LocalDay(number=(today - _EPOCH).days, starts_at_ms=starts, ends_at_ms=ends)


@lru_cache(maxsize=256)
def _midnight_ms(zone: ZoneInfo, day: date) -> int:
    """First instant of a day: the earliest one that the zone's clocks give this date."""
    midnight = int(datetime.combine(day, time(), zone).timestamp() * 1000)
    step = 60_000
    # fold=0 of a skipped midnight lies before the gap: walk to the first instant that reads as this date.
    while datetime.fromtimestamp(midnight / 1000, zone).date() < day:
        midnight += step
    return midnight
