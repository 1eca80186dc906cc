"""Times of day and durations, as people write them."""

import pytest
from google.protobuf.duration_pb2 import Duration

from redemption.cli.input.times import duration, duration_text, end_minute, start_minute, time_text


@pytest.mark.parametrize(("text", "minute"), [("00:00", 0), ("9:05", 545), ("20:00", 1200), ("23:59", 1439)])
def test_a_time_of_day_is_its_minute(text, minute):
    assert start_minute(text) == minute
    assert time_text(minute) == text.zfill(5)


def test_a_day_ends_at_24_00():
    assert end_minute("24:00") == 1440
    assert time_text(1440) == "24:00"


@pytest.mark.parametrize(
    "text", ["24:01", "25:00", "20:60", "20", "20.00", "8pm", "20:00:00", "1200", "-1:00", "\u0662\u0660:\u0660\u0660"]
)
def test_what_is_no_time_of_day_is_refused(text):
    with pytest.raises(ValueError, match=r"^must be a time of day from 00:00 to 24:00, such as 20:00; it is '"):
        start_minute(text)


@pytest.mark.parametrize(
    ("text", "seconds", "told"),
    [
        ("30 days", 2_592_000, "30 days"),
        ("1 day", 86_400, "1 day"),
        ("24h", 86_400, "1 day"),
        ("36 hours", 129_600, "36 hours"),
        ("90 minutes", 5_400, "90 minutes"),
        ("60min", 3_600, "1 hour"),
        ("45 s", 45, "45 seconds"),
        ("0 days", 0, "0 days"),
        ("999999d", 86_399_913_600, "999999 days"),
    ],
)
def test_a_duration_is_told_in_the_largest_unit_in_which_it_is_whole(text, seconds, told):
    assert duration(text) == Duration(seconds=seconds)
    assert duration_text(duration(text)) == told
    assert duration(told) == duration(text)


def test_parts_of_a_second_are_told():
    assert duration_text(Duration(seconds=1, nanos=500_000_000)) == "1.5 seconds"


@pytest.mark.parametrize(
    "text", ["30", "days", "a month", "1.5 days", "-1 day", "1000000 days", "1 week", "1 day 2 hours"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match=r"^must be a duration such as 30 days, 12 hours or 24h; it is '"):
        duration(text)
