"""Messages that are taken apart before they are parsed are what they would be in one piece."""

import contextlib

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from rpc.examples import batch_request, redeem_request

from redemption.domain.errors import InvalidRequest
from redemption.rpc.message_fields import fields_of
from redemption.rpc.request_limits import BATCH_LINES_MAX, BATCH_MAX, ORDER_BYTES_MAX, read_batch
from redemption.v1.order_pb2 import Line
from redemption.v1.redemption_service_pb2 import BatchRedeemRequest

EMPTY_ORDER = b"\x12\x00"
"""An order of a batch with nothing in it."""


class Turn:
    """Counts how often others could work."""

    def __init__(self):
        self.pauses = 0

    async def pause(self):
        self.pauses += 1


def batch(count, lines=1):
    items = [redeem_request(f"r{index}") for index in range(count)]
    for item in items:
        del item.checkout.order.lines[:]
        item.checkout.order.lines.extend([Line(line_id=str(line)) for line in range(lines)])
    return batch_request(*items)


def varint(number):
    last = b"%c" % (number & 0x7F)
    return last if number < 0x80 else b"%c" % (number & 0x7F | 0x80) + varint(number >> 7)


def field(number, kind, value):
    return varint(number << 3 | kind) + value


ORDER = redeem_request("r").SerializeToString()
NUMBERS = st.integers(min_value=1, max_value=2**29 - 1) | st.sampled_from([1, 2])
FIELDS = st.one_of(
    st.builds(field, NUMBERS, st.just(0), st.integers(min_value=0, max_value=2**64 - 1).map(varint)),
    st.builds(field, NUMBERS, st.just(1), st.binary(min_size=8, max_size=8)),
    st.builds(field, NUMBERS, st.just(5), st.binary(min_size=4, max_size=4)),
    st.builds(field, NUMBERS, st.just(2), st.binary(max_size=300).map(lambda value: varint(len(value)) + value)),
    st.builds(
        field,
        st.just(2),
        st.just(2),
        st.just(redeem_request("r").SerializeToString()).map(lambda v: varint(len(v)) + v),
    ),
)


def put_together(raw):
    """A batch from its fields, each parsed by itself; None when one cannot be."""
    batch = BatchRedeemRequest()
    try:
        for each in fields_of(raw):
            batch.MergeFromString(raw[each.start : each.end])
    except DecodeError:
        return None
    return batch


def parsed(raw):
    """A batch that is parsed in one go; None when it cannot be."""
    try:
        return BatchRedeemRequest.FromString(raw)
    except DecodeError:
        return None


@given(st.lists(FIELDS, max_size=8))
def test_a_message_that_is_taken_apart_and_put_together_is_the_same(parts):
    raw = b"".join(parts)
    assert [raw[each.start : each.end] for each in fields_of(raw)] == parts
    assert put_together(raw) == parsed(raw)


@given(st.binary(max_size=200))
def test_whatever_comes_is_taken_apart_or_refused(raw):
    with contextlib.suppress(DecodeError):
        assert b"".join(raw[each.start : each.end] for each in fields_of(raw)) == raw


@pytest.mark.parametrize(
    "raw", [b"\x0a", b"\x0a\x05abc", b"\x08", b"\x80" * 11, b"\x02\x00", b"\x0b", b"\x0f", b"\x0d\x00"], ids=bytes.hex
)
def test_half_a_field_is_no_field(raw):
    with pytest.raises(DecodeError):
        list(fields_of(raw))


@pytest.mark.parametrize("count", [0, 1, 3, BATCH_MAX])
async def test_a_batch_that_is_read_in_steps_is_the_batch(count):
    request = batch(count, lines=20)
    assert await read_batch(request.SerializeToString(), Turn()) == request


async def test_a_large_batch_is_read_while_others_work():
    turn, request = Turn(), batch(16, lines=500)
    for item in request.requests:
        for line in item.checkout.order.lines:
            line.sku = "s" * 100
    assert await read_batch(request.SerializeToString(), turn) == request
    assert turn.pauses == 8, "after every two orders, which have 54 kB each"


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (EMPTY_ORDER * 2_000_000, "requests"),
        (b"\x78\0" * 2_000_000, "requests"),
        (b"\x0a\0" * 2_000_000, "requests"),
        (batch(17, lines=1_000).SerializeToString(), "requests"),
        (batch(1, lines=ORDER_BYTES_MAX).SerializeToString(), "requests[0]"),
    ],
    ids=[
        "two million orders",
        "two million unknown fields",
        "two million programs",
        "too many lines",
        "an order that is too large",
    ],
)
async def test_what_is_too_much_is_refused_before_all_of_it_is_parsed(raw, field):
    with pytest.raises(InvalidRequest) as refused:
        await read_batch(raw, Turn())
    assert refused.value.violations[0].field == field


async def test_as_many_lines_as_may_be_are_read():
    request = batch(16, lines=BATCH_LINES_MAX // 16)
    assert await read_batch(request.SerializeToString(), Turn()) == request


async def test_a_batch_that_is_none_is_told_like_a_small_one():
    with pytest.raises(DecodeError):
        await read_batch(batch(1).SerializeToString() + b"\x12\x03\xff\xff\xff", Turn())
