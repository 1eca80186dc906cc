"""Instants and durations come back unchanged, and anything else is refused."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.errors import InvalidRequest
from redemption.rpc.convert.timestamps import (
    at_ms,
    at_seconds,
    duration_of,
    ms_from,
    seconds_from,
    whole_second_ms_from,
)

FIRST_MS = -62_135_596_800_000
LAST_MS = 253_402_300_799_999
LONGEST_SECONDS = 315_576_000_000


@given(st.integers(FIRST_MS, LAST_MS))
def test_milliseconds_come_back(milliseconds):
    assert ms_from(at_ms(milliseconds), "time") == milliseconds


@given(st.integers(FIRST_MS // 1000, LAST_MS // 1000))
def test_seconds_come_back(seconds):
    assert ms_from(at_seconds(seconds), "time") == seconds * 1000


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1))
def test_any_timestamp_is_converted_or_refused(seconds, nanoseconds):
    """Whatever the wire can carry, the caller gets an answer that names the field."""
    timestamp = Timestamp(seconds=seconds, nanos=nanoseconds)
    whole = FIRST_MS // 1000 <= seconds <= LAST_MS // 1000 and nanoseconds in range(0, 1_000_000_000, 1_000_000)
    if whole:
        assert ms_from(timestamp, "time") == seconds * 1000 + nanoseconds // 1_000_000
    else:
        with pytest.raises(InvalidRequest, match=r"^time: "):
            ms_from(timestamp, "time")


@pytest.mark.parametrize("nanoseconds", [1, 999_999, 1_000_001, -1, 1_000_000_000])
def test_fraction_of_a_millisecond_is_refused(nanoseconds):
    with pytest.raises(InvalidRequest):
        ms_from(Timestamp(seconds=1, nanos=nanoseconds), "time")


@given(st.integers(0, LAST_MS // 1000))
def test_whole_second_comes_back(seconds):
    assert whole_second_ms_from(at_seconds(seconds), "time") == seconds * 1000


@pytest.mark.parametrize("nanoseconds", [1, 1_000_000, 999_000_000])
def test_fraction_of_a_second_is_refused(nanoseconds):
    with pytest.raises(InvalidRequest, match=r"^time: "):
        whole_second_ms_from(Timestamp(seconds=1, nanos=nanoseconds), "time")


@given(st.integers(0, LONGEST_SECONDS))
def test_length_of_time_comes_back(seconds):
    assert seconds_from(duration_of(seconds), "wait") == seconds


@pytest.mark.parametrize(
    "duration",
    [
        Duration(seconds=-1),
        Duration(nanos=-1),
        Duration(seconds=1, nanos=500_000_000),
        Duration(seconds=LONGEST_SECONDS + 1),
        Duration(seconds=2**63 - 1),
        Duration(seconds=-(2**63), nanos=-1),
    ],
    ids=str,
)
def test_length_of_time_that_cannot_be_is_refused(duration):
    with pytest.raises(InvalidRequest, match=r"^wait: "):
        seconds_from(duration, "wait")
