"""Points in time keep their milliseconds, and what is no point in time is refused."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.errors import InvalidRequest
from redemption.rpc.timestamps import at_ms, at_seconds, ms_from

FIRST_MS = -62_135_596_800_000
LAST_MS = 253_402_300_799_999


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
