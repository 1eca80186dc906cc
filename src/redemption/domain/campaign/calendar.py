"""Days and hours as people count them: by the clocks of a zone, where a day may have 23 or 25 hours."""

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
"""Of so many lists of windows or slots the present span is remembered."""

_MINUTE_SECONDS = 60
_DAY_MINUTES = 1440
_HORIZON_DAYS = 8
_EPOCH_DATE = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday, counted from Monday as 0."""


class CampaignClock(NamedTuple):
    """What the clock in a campaign's zone says of one of its coupons.

    Attributes:
        day: The present day, days since 1970.
        day_ends_at_ms: When it ends, Unix milliseconds.
        slot: Names the present time slot, unique over days; 0 when the campaign has none.
        slot_limit: How many redemptions it allows; 0 outside of all slots.
        slot_carries: The limit is for all of the day so far.
        slot_opens_at_ms: When the next slot begins, Unix milliseconds, if one does soon.
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
        number: Days since 1 January 1970, by the zone's own calendar.
        starts_at_ms: Its first instant, Unix milliseconds.
        ends_at_ms: The first instant of the next day, Unix milliseconds.
        clock: What all day long is said of a coupon whose campaign has no slots.
    """

    number: int
    starts_at_ms: int
    ends_at_ms: int
    clock: CampaignClock = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "clock", CampaignClock(self.number, self.ends_at_ms))


@dataclass(frozen=True, slots=True)
class Span:
    """Which of several windows or slots is open at an instant, and how long that stays so.

    Attributes:
        index: The first one that is open; None when none is.
        since_ms: It has been so at least from this instant on, Unix milliseconds.
        until_ms: It stays so at least until before this one, Unix milliseconds.
        opens_at_ms: The first later instant, Unix milliseconds, at which one is open that is not open now; one that
            comes again another day counts as another one. None when there is no such instant within eight days.
    """

    index: int | None
    since_ms: int
    until_ms: int
    opens_at_ms: int | None


class Days:
    """Remembers the present day and hours of each zone, because almost every question is about the same ones."""

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
        # By identity, because hashing fifty windows costs more than the answer. The list is kept beside its answer, so
        # no other one can come to have its identity meanwhile.
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
    """Return the date that the zone's calendars show at an instant, Unix seconds."""
    return datetime.fromtimestamp(instant, ZoneInfo(zone)).date()


@lru_cache(maxsize=256)
def day_starts_at(zone: str, day: date) -> int:
    """Return a day's first instant, Unix seconds.

    Where a change of clocks leaves out midnight, that is the first instant after the gap.
    """
    return _reads(datetime.combine(day, time(), ZoneInfo(zone)))


def same_time_later(zone: str, instant: int, days: int) -> int:
    """Return the instant, Unix seconds, at which clocks read the same as at another one so many days before.

    A time that a change of clocks leaves out becomes the first instant after the gap. Of a time that comes twice it is
    the second: a clock that still reads an earlier time has not reached it.
    """
    here = datetime.fromtimestamp(instant, ZoneInfo(zone))
    return _reads((here + timedelta(days=days)).replace(fold=1))


def opening_span(zone: str, openings: tuple[Window | Slot, ...], now_ms: int) -> Span:
    """Compute which window or slot is open at an instant, Unix milliseconds.

    One is open while a clock on the wall of the zone reads a time within it: see "Hours" in ``docs/rules.md``. A span
    ends with the UTC day at the latest, so that it says the same about every instant within it.
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
    """An unbroken stretch, Unix seconds, in which a window or slot is open.

    Attributes:
        name: Its index and the day on which it began by the clock, days since 1970.
    """

    name: tuple[int, int]
    since: int
    until: int


def _openings(zone: str, openings: tuple[Window | Slot, ...], utc_day: int) -> Iterator[_Opening]:
    """Return when windows or slots are open within one UTC day."""
    for since, until, offset in _even_stretches(zone, utc_day):
        # Yesterday's may still be open, over midnight.
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
    """Divide a UTC day where clocks are changed: since and until, Unix seconds, and the offset from UTC, seconds.

    Looking at both ends of the day is enough: no zone has ever changed its clocks twice within six days since 1970.
    """
    here = ZoneInfo(zone)
    start, end = utc_day * DAY_SECONDS, (utc_day + 1) * DAY_SECONDS
    before, after = _offset(here, start), _offset(here, end - 1)
    if before == after:
        return ((start, end, before),)
    change = _change(here, start, end - 1)
    return (start, change, before), (change, end, after)


def _reads(wall: datetime) -> int:
    """Return the instant, Unix seconds, at which clocks read a time; its ``fold`` chooses where they do so twice.

    Where they never do, that is the first instant after the gap.
    """
    here = wall.tzinfo
    assert isinstance(here, ZoneInfo)
    instant = _seconds(wall)
    if datetime.fromtimestamp(instant, here).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return instant
    # In a gap, fold=1 counts with the clocks' later offset and gives an instant before the gap, fold=0 one after it.
    return _change(here, _seconds(wall.replace(fold=1)), _seconds(wall.replace(fold=0)))


def _seconds(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(seconds=1)


def _change(here: ZoneInfo, before: int, after: int) -> int:
    """Return the first second of a new offset from UTC, of two instants that lie on both sides of one change."""
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
