"""Short lengths of time, written and read."""

import pytest
from google.protobuf.duration_pb2 import Duration

from redemption.cli.input.spans import span, span_text


@pytest.mark.parametrize(
    ("text", "length", "shown"),
    [
        ("500ms", Duration(nanos=500_000_000), "500ms"),
        ("1500 milliseconds", Duration(seconds=1, nanos=500_000_000), "1500ms"),
        ("1s", Duration(seconds=1), "1s"),
        ("90 seconds", Duration(seconds=90), "90s"),
        ("60s", Duration(seconds=60), "1m"),
        ("1m", Duration(seconds=60), "1m"),
        ("5 min", Duration(seconds=300), "5m"),
        ("1 minute", Duration(seconds=60), "1m"),
        ("12 hours", Duration(seconds=43_200), "12h"),
        ("24h", Duration(seconds=86_400), "1d"),
        ("7d", Duration(seconds=604_800), "7d"),
        ("0s", Duration(), "0s"),
    ],
)
def test_a_length_is_read_and_written_in_its_largest_unit(text, length, shown):
    assert (span(text), span_text(length)) == (length, shown)
    assert span(shown) == length


@pytest.mark.parametrize("text", ["", "1", "m", "1.5h", "1w", "-1s", "1h30m", "10001d", "9999999999d"])
def test_what_is_no_length_is_refused(text):
    with pytest.raises(ValueError, match="must be"):
        span(text)
