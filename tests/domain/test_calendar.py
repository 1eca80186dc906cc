"""Days as people count them, also where clocks change."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.calendar import Days, local_day

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
