"""Days and hours as people count them, also where clocks change."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from builders.times import DAY_MS
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import tries

from redemption.domain.campaign.calendar import SPANS_MAX, Days, local_day, opening_span
from redemption.domain.campaign.campaign import Slot
from redemption.domain.campaign.conditions import Window

HOUR_MS = 3_600_000
ZONES = [
    "Asia/Shanghai",
    "America/New_York",
    "Europe/Berlin",
    "America/Santiago",
    "America/Havana",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "UTC",
]


@given(st.sampled_from(ZONES), st.integers(0, 4_000_000_000_000))
def test_an_instant_lies_in_its_day_and_reads_as_its_date(zone, instant):
    day = local_day(zone, instant)
    assert day.starts_at_ms <= instant < day.ends_at_ms
    here = datetime.fromtimestamp(instant / 1000, UTC).astimezone(ZoneInfo(zone)).date()
    assert day.number == (here - date(1970, 1, 1)).days


@given(st.sampled_from(ZONES), st.integers(0, 4_000_000_000_000))
def test_days_follow_each_other_without_gap_or_overlap(zone, instant):
    day = local_day(zone, instant)
    following = local_day(zone, day.ends_at_ms)
    assert following.starts_at_ms == day.ends_at_ms
    assert following.number > day.number


@pytest.mark.parametrize(
    ("zone", "noon", "hours"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, 12), 23),
        ("Europe/Berlin", datetime(2026, 10, 25, 12), 25),
        ("America/Santiago", datetime(2024, 9, 8, 12), 23),  # this day has no midnight
        ("America/Havana", datetime(2024, 11, 3, 12), 25),  # this one has two
        ("Asia/Shanghai", datetime(2026, 11, 11, 12), 24),
    ],
)
def test_how_long_a_day_is(zone, noon, hours):
    day = local_day(zone, int(noon.replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000))
    assert day.ends_at_ms - day.starts_at_ms == hours * HOUR_MS


def test_the_present_day_is_remembered_until_it_ends():
    days = Days()
    today = days.at("Asia/Shanghai", 1_800_000_000_000)
    assert days.at("Asia/Shanghai", today.ends_at_ms - 1) is today
    assert days.at("Asia/Shanghai", today.ends_at_ms).number == today.number + 1
    assert days.at("Asia/Shanghai", today.starts_at_ms).number == today.number


# Hours

MINUTE_MS = 60_000
CHANGES = [
    ("America/New_York", "2026-03-08T07:00"),
    ("America/New_York", "2026-11-01T06:00"),
    ("Europe/Berlin", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-10-25T01:00"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),  # by half an hour
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("Africa/Casablanca", "2026-02-15T02:00"),  # for Ramadan
    ("Africa/Casablanca", "2026-03-22T02:00"),
    ("Pacific/Apia", "2011-12-30T10:00"),  # a day is left out
    ("America/Sao_Paulo", "2018-11-04T03:00"),  # midnight is left out
    ("America/Sao_Paulo", "2019-02-17T02:00"),
    ("America/Havana", "2024-11-03T05:00"),  # midnight comes twice
    ("America/St_Johns", "2010-11-07T02:31"),  # the clock goes back to the day before
    ("Antarctica/Casey", "2020-10-03T16:01"),  # by three hours
    ("Asia/Shanghai", "2026-11-11T00:00"),  # nothing happens
    ("Asia/Kolkata", "2026-11-11T00:00"),
]


def at(text):
    """Unix milliseconds of a UTC time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def clock(start, end):
    """Minutes of the day from one time of day to another."""
    return [int(text[:2]) * 60 + int(text[3:]) for text in (start, end)]


def window(start, end, *weekdays):
    return Window(*clock(start, end), weekdays)


def open_by_the_wall_clock(zone, openings, instant_ms):
    """What is open, each with the day on which it began, computed simply from local time and date."""
    wall = datetime.fromtimestamp(instant_ms // 1000, ZoneInfo(zone))
    minute, today, yesterday = wall.hour * 60 + wall.minute, wall.date(), wall.date() - timedelta(days=1)
    found = set()
    for index, opening in enumerate(openings):
        weekdays = getattr(opening, "weekdays", ()) or (1, 2, 3, 4, 5, 6, 7)
        if opening.start_minute < opening.end_minute:
            if opening.start_minute <= minute < opening.end_minute and today.isoweekday() in weekdays:
                found.add((index, today))
        elif minute >= opening.start_minute and today.isoweekday() in weekdays:
            found.add((index, today))
        elif minute < opening.end_minute and yesterday.isoweekday() in weekdays:
            found.add((index, yesterday))
    return found


def first(found):
    return min((index for index, _ in found), default=None)


minutes = st.one_of(st.integers(0, 1440), st.integers(0, 48).map(lambda half: half * 30), st.integers(0, 240))
hours = st.tuples(minutes, minutes).filter(lambda pair: pair[0] != pair[1] and pair[0] < 1440 and pair[1] > 0)
openings_of = st.lists(
    st.one_of(
        st.builds(lambda pair, weekdays: Window(*pair, tuple(weekdays)), hours, st.sets(st.integers(1, 7), max_size=3)),
        st.builds(lambda pair: Slot(*sorted(pair), 1), hours),
    ),
    max_size=4,
).map(tuple)


@settings(max_examples=tries(300))
@given(st.sampled_from(CHANGES), st.integers(-3 * DAY_MS, 2 * DAY_MS), openings_of)
def test_hours_are_as_the_clock_on_the_wall_shows_minute_by_minute(change, distance_ms, openings):
    zone, instant = change
    now_ms = at(instant) + distance_ms
    span = opening_span(zone, openings, now_ms)
    present = open_by_the_wall_clock(zone, openings, now_ms)

    assert span.index == first(present)
    assert span.since_ms <= now_ms < span.until_ms
    assert span.since_ms % MINUTE_MS == span.until_ms % MINUTE_MS == 0
    for minute_ms in range(span.since_ms, span.until_ms, MINUTE_MS):
        assert first(open_by_the_wall_clock(zone, openings, minute_ms)) == span.index

    this_minute_ms = now_ms - now_ms % MINUTE_MS
    later = range(this_minute_ms + MINUTE_MS, this_minute_ms + 8 * DAY_MS, MINUTE_MS)
    opens = next((ms for ms in later if open_by_the_wall_clock(zone, openings, ms) - present), None)
    if opens is None:
        assert span.opens_at_ms is None or span.opens_at_ms >= later.stop
    else:
        assert span.opens_at_ms == opens


@given(st.sampled_from(CHANGES), st.integers(-3 * DAY_MS, 2 * DAY_MS), openings_of, st.data())
def test_a_span_says_the_same_whenever_it_is_asked_for_within_it(change, distance_ms, openings, data):
    zone, instant = change
    span = opening_span(zone, openings, at(instant) + distance_ms)
    another = data.draw(st.integers(span.since_ms, span.until_ms - 1))
    assert opening_span(zone, openings, another) == span


def open_times(zone, opening, since, until):
    """Every interval in which something is open, found by following the spans."""
    found = []
    instant_ms = at(since)
    while instant_ms < at(until):
        span = opening_span(zone, (opening,), instant_ms)
        if span.index is not None:
            if found and found[-1][1] == span.since_ms:
                found[-1][1] = span.until_ms
            else:
                found.append([span.since_ms, span.until_ms])
        instant_ms = span.until_ms
    return [tuple(stretch) for stretch in found]


def times(*texts):
    return [(at(since), at(until)) for since, until in zip(texts[::2], texts[1::2], strict=True)]


@pytest.mark.parametrize(
    ("day", "opening", "expected"),
    [
        # The clock goes from 02:00 to 03:00, which is 01:00 UTC.
        ("2026-03-29", window("02:00", "04:00"), times("2026-03-29T01:00", "2026-03-29T02:00")),
        ("2026-03-29", window("01:00", "03:00"), times("2026-03-29T00:00", "2026-03-29T01:00")),
        ("2026-03-29", window("01:30", "03:30"), times("2026-03-29T00:30", "2026-03-29T01:30")),
        ("2026-03-29", window("02:00", "03:00"), []),
        ("2026-03-29", window("20:00", "22:00"), times("2026-03-29T18:00", "2026-03-29T20:00")),
        # The clock goes from 03:00 to 02:00, which is 01:00 UTC.
        ("2026-10-25", window("02:00", "04:00"), times("2026-10-25T00:00", "2026-10-25T03:00")),
        ("2026-10-25", window("01:00", "03:00"), times("2026-10-24T23:00", "2026-10-25T02:00")),
        (
            "2026-10-25",
            window("00:30", "02:30"),
            times("2026-10-24T22:30", "2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30"),
        ),
        (
            "2026-10-25",
            window("02:30", "04:30"),
            times("2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30", "2026-10-25T03:30"),
        ),
        ("2026-10-25", window("20:00", "22:00"), times("2026-10-25T19:00", "2026-10-25T21:00")),
    ],
)
def test_a_two_hour_window_on_the_days_when_clocks_change(day, opening, expected):
    today = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    since, until = (moment.astimezone(UTC).isoformat() for moment in (today, today + timedelta(days=1)))
    assert open_times("Europe/Berlin", opening, since, until) == expected


def test_a_window_over_midnight_belongs_to_the_weekday_on_which_it_begins():
    opening = window("22:00", "02:00", 5)  # Friday, 13 November 2026
    expected = times("2026-11-13T14:00", "2026-11-13T18:00", "2026-11-20T14:00", "2026-11-20T18:00")
    assert open_times("Asia/Shanghai", opening, "2026-11-08T16:00", "2026-11-22T16:00") == expected


@pytest.mark.parametrize(
    ("zone", "offset_hours"), [("America/New_York", -5), ("Pacific/Honolulu", -10), ("Pacific/Kiritimati", 14)]
)
def test_a_window_may_last_until_shortly_before_it_begins_again(zone, offset_hours):
    """On either side of Greenwich, so that one UTC day is parts of different days of the zone."""
    begins = datetime(2026, 11, 13, 22, tzinfo=UTC) - timedelta(hours=offset_hours)  # a Friday
    instants = [begins.isoformat(), (begins + timedelta(hours=23)).isoformat()]
    assert open_times(zone, window("22:00", "21:00", 5), "2026-11-11T00:00", "2026-11-17T00:00") == times(*instants)


def test_a_span_is_exact_to_the_millisecond():
    evening = (window("20:00", "22:00"),)
    opens, closes, opens_again = at("2026-11-11T12:00"), at("2026-11-11T14:00"), at("2026-11-12T12:00")
    day_starts, day_ends = at("2026-11-11T00:00"), at("2026-11-12T00:00")
    found = [
        (span.index, span.since_ms, span.until_ms, span.opens_at_ms)
        for span in (
            opening_span("Asia/Shanghai", evening, instant)
            for instant in (opens - 1, opens, closes - 1, closes, day_ends - 1)
        )
    ]
    assert found == [
        (None, day_starts, opens, opens),
        (0, opens, closes, opens_again),
        (0, opens, closes, opens_again),
        (None, closes, day_ends, opens_again),
        (None, closes, day_ends, opens_again),
    ]


def test_of_several_open_windows_the_first_is_named():
    both = (window("12:00", "14:00"), window("10:00", "20:00"))
    spans = [opening_span("UTC", both, at(f"2026-11-11T{hour}:00")) for hour in (11, 13, 15)]
    assert [span.index for span in spans] == [1, 0, 1]


@pytest.mark.parametrize(
    ("now", "openings", "expected"),
    [
        ("2026-11-11T05:00", (Slot(0, 600, 1), Slot(600, 1440, 1)), "2026-11-11T10:00"),
        ("2026-11-11T15:00", (Slot(0, 600, 1), Slot(600, 1440, 1)), "2026-11-12T00:00"),
        ("2026-11-11T15:00", (Slot(0, 1440, 1),), "2026-11-12T00:00"),  # the next day's share
        ("2026-11-11T15:00", (window("15:00", "16:00", 3),), "2026-11-18T15:00"),  # Wednesday
        ("2026-11-11T15:00", (window("10:00", "20:00"), window("12:00", "16:00")), "2026-11-12T10:00"),
        ("2026-11-11T11:00", (window("10:00", "20:00"), window("12:00", "16:00")), "2026-11-11T12:00"),
        ("2026-11-11T15:00", (), None),
    ],
)
def test_when_the_next_one_opens(now, openings, expected):
    assert opening_span("UTC", openings, at(now)).opens_at_ms == (at(expected) if expected else None)


def test_a_slot_that_comes_twice_on_a_day_is_the_same_slot():
    """Its share of redemptions is one, so what is used up stays so until the next day."""
    slots = (Slot(*clock("02:00", "02:30"), 1),)
    first_time, between, second_time = at("2026-10-25T00:10"), at("2026-10-25T00:40"), at("2026-10-25T01:10")
    spans = [opening_span("Europe/Berlin", slots, instant) for instant in (first_time, between, second_time)]
    next_day, again = at("2026-10-26T01:00"), at("2026-10-25T01:00")
    assert [(span.index, span.opens_at_ms) for span in spans] == [(0, next_day), (None, again), (0, next_day)]


def test_what_opens_in_more_than_eight_days_is_not_told():
    """Here because clocks leave out the hour on the one Sunday in between."""
    sunday = (window("02:00", "03:00", 7),)
    assert opening_span("Europe/Berlin", sunday, at("2026-03-22T02:00")).opens_at_ms is None
    assert opening_span("Europe/Berlin", sunday, at("2026-03-28T02:00")).opens_at_ms == at("2026-04-05T00:00")


def test_the_present_span_is_remembered_until_it_ends():
    days = Days()
    openings = (window("20:00", "22:00"),)
    span = days.span("Asia/Shanghai", openings, at("2026-11-11T13:00"))
    assert days.span("Asia/Shanghai", openings, span.until_ms - 1) is span
    assert days.span("Asia/Shanghai", openings, span.since_ms) is span
    assert days.span("Asia/Shanghai", openings, span.until_ms).index is None
    assert days.span("Asia/Shanghai", openings, span.since_ms - 1).index is None
    assert days.span("UTC", openings, at("2026-11-11T13:00")).index is None


def test_lists_that_come_and_go_never_get_the_answers_of_others():
    """They are told apart by identity, which Python gives to another object once one is gone."""
    days = Days()
    now_ms = at("2026-11-11T00:00")
    opened = [days.span("UTC", (Window(minute % 2, minute % 2 + 1),), now_ms).index for minute in range(100)]
    assert opened == [0, None] * 50


def test_no_more_spans_are_remembered_than_fit():
    days = Days()
    lists = [(Window(0, minute % 1439 + 1),) for minute in range(SPANS_MAX + 10)]
    for openings in lists:
        days.span("UTC", openings, 0)
    assert len(days._spans) == SPANS_MAX


@pytest.mark.parametrize(("zone", "instant"), [change for change in CHANGES if change[0] != "America/St_Johns"])
def test_a_slot_for_all_day_begins_and_ends_with_the_day(zone, instant):
    """Also where midnight is left out or comes twice; but in St. John's the clock went back to a day that was over."""
    day = local_day(zone, at(instant))
    slots = (Slot(0, 1440, 1),)
    assert opening_span(zone, slots, day.starts_at_ms).since_ms == day.starts_at_ms
    assert opening_span(zone, slots, day.ends_at_ms).since_ms == day.ends_at_ms
    assert opening_span(zone, slots, day.starts_at_ms).opens_at_ms == day.ends_at_ms
