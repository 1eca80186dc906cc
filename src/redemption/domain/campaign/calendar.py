"""Local days and hours of a time zone, where a day may have 23 or 25 hours."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from redemption.domain.campaign.campaign import MILLISECONDS, Slot
from redemption.domain.campaign.conditions import Window

DAY_SECONDS = 86_400
SPANS_MAX = 4096
"""The number of lists of windows or slots whose current span is cached."""

_MINUTE_SECONDS = 60
_DAY_MINUTES = 1440
_HORIZON_DAYS = 8
_EPOCH_DATE = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday, counted from Monday as 0."""


class CampaignClock(NamedTuple):
    """The local day and time slot of a campaign at one instant.

    Attributes:
        day: The current day, days since 1970.
        day_ends_at_ms: When that day ends, Unix milliseconds.
        slot: The number of the current time slot, unique over days; 0 when the campaign has none.
        slot_limit: How many redemptions the slot allows; 0 outside of all slots.
        slot_carries: The limit covers the whole day so far.
        slot_opens_at_ms: When the next slot begins, Unix milliseconds; None when none begins within eight days.
    """

    day: int = 0
    day_ends_at_ms: int = 0
    slot: int = 0
    slot_limit: int = 0
    slot_carries: bool = False
    slot_opens_at_ms: int | None = None


NO_CLOCK = CampaignClock()


@dataclass(frozen=True, slots=True)
class LocalDay:
    """One day of a zone.

    Attributes:
        number: Days since 1 January 1970, by the zone's calendar.
        starts_at_ms: Its first instant, Unix milliseconds.
        ends_at_ms: The first instant of the next day, Unix milliseconds.
        clock: The clock of a campaign without slots, the same for the whole day.
    """

    number: int
    starts_at_ms: int
    ends_at_ms: int
    clock: CampaignClock = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "clock", CampaignClock(self.number, self.ends_at_ms))


@dataclass(frozen=True, slots=True)
class Span:
    """Which of several windows or slots is open at an instant, and how long this does not change.

    Attributes:
        index: The first one that is open; None when none is.
        since_ms: This holds at least since this instant, Unix milliseconds.
        until_ms: This holds at least until this instant, exclusive, Unix milliseconds.
        opens_at_ms: The first later instant, Unix milliseconds, at which one opens that is not open now. The same
            window on another day counts as another one. None when there is none within eight days.
    """

    index: int | None
    since_ms: int
    until_ms: int
    opens_at_ms: int | None


class Days:
    """Caches the current day of each zone and the current span of each list: most requests need the same ones."""

    def __init__(self) -> None:
        self._present: dict[str, LocalDay] = {}
        self._spans: OrderedDict[tuple[str, int], tuple[tuple[Window | Slot, ...], Span]] = OrderedDict()

    def at(self, zone: str, now_ms: int) -> LocalDay:
        """Return the zone's day at an instant, Unix milliseconds."""
        day = self._present.get(zone)
        if day is None or not day.starts_at_ms <= now_ms < day.ends_at_ms:
            day = self._present[zone] = local_day(zone, now_ms)
        return day

    def span(self, zone: str, openings: tuple[Window | Slot, ...], now_ms: int) -> Span:
        """Return which window or slot is open at an instant, Unix milliseconds; see ``opening_span``."""
        # The key has the list's id(), because hashing fifty windows costs more than computing the span. The cache also
        # holds the list itself, so no other list can get the same id() meanwhile.
        key = (zone, id(openings))
        known = self._spans.get(key)
        if known is not None and known[1].since_ms <= now_ms < known[1].until_ms:
            self._spans.move_to_end(key)
            return known[1]
        span = opening_span(zone, openings, now_ms)
        self._spans[key] = (openings, span)
        self._spans.move_to_end(key)
        if len(self._spans) > SPANS_MAX:
            self._spans.popitem(last=False)
        return span


def local_day(zone: str, now_ms: int) -> LocalDay:
    """Compute the zone's day at an instant, Unix milliseconds."""
    today = local_date(zone, now_ms // MILLISECONDS)
    return LocalDay(
        number=(today - _EPOCH_DATE).days,
        starts_at_ms=day_starts_at(zone, today) * MILLISECONDS,
        ends_at_ms=day_starts_at(zone, today + timedelta(days=1)) * MILLISECONDS,
    )


def local_date(zone: str, instant: int) -> date:
    """Return the local date at an instant, Unix seconds."""
    return datetime.fromtimestamp(instant, ZoneInfo(zone)).date()


@lru_cache(maxsize=256)
def day_starts_at(zone: str, day: date) -> int:
    """Return a day's first instant, Unix seconds.

    When a clock change skips midnight, this is the first instant after the gap.
    """
    return _reads(datetime.combine(day, time(), ZoneInfo(zone)))


def same_time_later(zone: str, instant: int, days: int) -> int:
    """Return the instant, Unix seconds, at which local clocks show the same time of day, some days later.

    When a clock change skips that time, this is the first instant after the gap. When that time occurs twice, this is
    the second one: after the first one, clocks go back and show an earlier time.
    """
    here = datetime.fromtimestamp(instant, ZoneInfo(zone))
    return _reads((here + timedelta(days=days)).replace(fold=1))


def opening_span(zone: str, openings: tuple[Window | Slot, ...], now_ms: int) -> Span:
    """Compute which window or slot is open at an instant, Unix milliseconds.

    One is open while local clocks show a time within it: see "Hours" in ``docs/rules.md``. A span ends at the latest
    with the UTC day, so that it is the same for every instant within it.
    """
    now = now_ms // MILLISECONDS
    today = now // DAY_SECONDS
    since, until = today * DAY_SECONDS, (today + 1) * DAY_SECONDS
    open_now = set()
    for opening in _openings(zone, openings, today):
        if opening.since <= now < opening.until:
            open_now.add(opening.name)
        for edge in (opening.since, opening.until):
            if edge <= now:
                since = max(since, edge)
            else:
                until = min(until, edge)
    opens_at = None
    for day in range(today, today + _HORIZON_DAYS + 1):
        later = [
            opening.since
            for opening in _openings(zone, openings, day)
            if opening.since > now and opening.name not in open_now
        ]
        if later:
            opens_at = min(later) * MILLISECONDS
            break
    return Span(
        index=min(index for index, _ in open_now) if open_now else None,
        since_ms=since * MILLISECONDS,
        until_ms=until * MILLISECONDS,
        opens_at_ms=opens_at,
    )


@dataclass(frozen=True, slots=True)
class _Opening:
    """A continuous interval, Unix seconds, in which a window or slot is open.

    Attributes:
        name: The index of the window or slot, and the local day on which it began, days since 1970.
    """

    name: tuple[int, int]
    since: int
    until: int


def _openings(zone: str, openings: tuple[Window | Slot, ...], utc_day: int) -> Iterator[_Opening]:
    """Yield when windows or slots are open within one UTC day."""
    for since, until, offset in _even_stretches(zone, utc_day):
        # One that began yesterday may still be open after midnight.
        first, last = (since + offset) // DAY_SECONDS - 1, (until - 1 + offset) // DAY_SECONDS
        for day in range(first, last + 1):
            weekday = (day + _EPOCH_WEEKDAY) % 7 + 1
            midnight = day * DAY_SECONDS - offset
            for index, opening in enumerate(openings):
                if isinstance(opening, Window) and opening.weekdays and weekday not in opening.weekdays:
                    continue
                over_midnight = _DAY_MINUTES if opening.end_minute < opening.start_minute else 0
                starts = max(midnight + opening.start_minute * _MINUTE_SECONDS, since)
                ends = min(midnight + (opening.end_minute + over_midnight) * _MINUTE_SECONDS, until)
                if starts < ends:
                    yield _Opening((index, day), starts, ends)


@lru_cache(maxsize=4096)
def _even_stretches(zone: str, utc_day: int) -> tuple[tuple[int, int, int], ...]:
    """Divide a UTC day at its clock change, if it has one.

    Looking at both ends of the day is enough: since 1970, no zone has changed its clocks twice within six days.

    Returns:
        For each part its start and end, Unix seconds, and its offset from UTC, seconds.
    """
    here = ZoneInfo(zone)
    start, end = utc_day * DAY_SECONDS, (utc_day + 1) * DAY_SECONDS
    before, after = _offset(here, start), _offset(here, end - 1)
    if before == after:
        return ((start, end, before),)
    change = _change(here, start, end - 1)
    return (start, change, before), (change, end, after)


def _reads(wall: datetime) -> int:
    """Return the instant, Unix seconds, at which local clocks show a time; ``fold`` chooses when they show it twice.

    When they never show it, this is the first instant after the gap.
    """
    here = wall.tzinfo
    assert isinstance(here, ZoneInfo)
    instant = _seconds(wall)
    if datetime.fromtimestamp(instant, here).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return instant
    # In a gap, fold=1 uses the later offset and gives an instant before the gap; fold=0 gives one after it.
    return _change(here, _seconds(wall.replace(fold=1)), _seconds(wall.replace(fold=0)))


def _seconds(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(seconds=1)


def _change(here: ZoneInfo, before: int, after: int) -> int:
    """Return the first second of the new offset from UTC, given an instant before and one after a single change."""
    old = _offset(here, before)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(here, middle) == old:
            before = middle
        else:
            after = middle
    return after


def _offset(here: ZoneInfo, instant: int) -> int:
    """Return by how many seconds the zone's clocks are ahead of UTC at an instant, Unix seconds."""
    offset = datetime.fromtimestamp(instant, here).utcoffset()
    assert offset is not None
    return offset // timedelta(seconds=1)
