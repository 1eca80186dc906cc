"""Batches are refused as a whole or item by item, and no answer grows too large to be received."""

from dataclasses import replace

import pytest
from builders.keysets import keyset_of
from google.protobuf.message import DecodeError
from rpc.examples import CHECKOUT, batch_request, redeem_request

from redemption.domain.decision import Allocation, Decision, Verdict
from redemption.domain.errors import InvalidRequest
from redemption.domain.order import (
    LINES_MAX,
    QUOTED_TOKENS_MAX,
    SHIPPING_MAX,
    TEXT_BYTES_MAX,
    TOKENS_MAX,
    Line,
    Shipping,
)
from redemption.domain.outcome import Outcome
from redemption.domain.signed.receipt import ReceiptKeys
from redemption.domain.signed.settlement import SettledRedemption, Settlement, Settlements
from redemption.rpc import request_limits
from redemption.rpc.convert.orders import write_decision, write_quote
from redemption.rpc.message_fields import fields_of
from redemption.rpc.request_limits import (
    BATCH_LINES_MAX,
    BATCH_PAIRS_MAX,
    MESSAGE_BYTES_MAX,
    QUOTED_PAIRS_MAX,
    count_quote,
    count_redeem,
    count_reverse,
    require_answer_fits,
    require_batch,
    require_quote_fits,
    require_size,
    size_of,
)
from redemption.service.quoter import Quote, QuoteRequest
from redemption.v1 import order_pb2, redemption_service_pb2


def fields(refused):
    return [violation.field for violation in refused.value.violations]


def batch_of(count, tokens=1):
    items = [redeem_request(f"attempt-{index}") for index in range(count)]
    for item in items:
        item.checkout.tokens[:] = ["token"] * tokens
    return redemption_service_pb2.BatchRedeemRequest(program="shop", requests=items)


@pytest.mark.parametrize(("count", "tokens"), [(1, 32), (256, 1), (250, 4)])
def test_batch_within_its_bounds_is_taken(count, tokens):
    require_batch(batch_of(count, tokens))


@pytest.mark.parametrize(("count", "tokens"), [(0, 0), (257, 1), (251, 4)])
def test_batch_beyond_its_bounds_is_refused(count, tokens):
    with pytest.raises(InvalidRequest) as refused:
        require_batch(batch_of(count, tokens))
    assert fields(refused) == ["requests"]


def message_of(tokens, lines, shipping=0):
    order = order_pb2.Order(lines=[order_pb2.Line()] * lines, shipping=[order_pb2.Shipping()] * shipping)
    return order_pb2.Checkout(tokens=["token"] * tokens, order=order)


def batch_of_checkouts(*checkouts):
    items = [
        redemption_service_pb2.RedeemRequest(request_id=f"attempt-{index}", checkout=checkout)
        for index, checkout in enumerate(checkouts)
    ]
    return redemption_service_pb2.BatchRedeemRequest(program="shop", requests=items)


@pytest.mark.parametrize(
    ("size", "count", "positions"),
    [((1, 500), 16, 8_000), ((1, 400, 100), 16, 8_000), ((3, 20), 256, 15_360), ((32, 156), 3, 14_976)],
)
def test_orders_of_a_batch_that_are_not_too_large_together_are_taken(size, count, positions):
    """The last but one is the largest useful request: a full batch of full baskets."""
    assert require_batch(batch_of_checkouts(*[message_of(*size)] * count)) == positions


@pytest.mark.parametrize(
    ("size", "count", "problem"),
    [
        ((1, 500), 17, f"bring more than {BATCH_LINES_MAX} lines and shipping fees together: 8500"),
        ((1, 401, 100), 16, f"bring more than {BATCH_LINES_MAX} lines and shipping fees together: 8016"),
        ((32, 156), 4, f"bring more than {BATCH_PAIRS_MAX} pairs of token and line together: 19968"),
    ],
)
def test_orders_of_a_batch_that_are_too_large_together_are_refused(size, count, problem):
    with pytest.raises(InvalidRequest, match=problem) as refused:
        require_batch(batch_of_checkouts(*[message_of(*size)] * count))
    assert fields(refused) == ["requests"]


@pytest.mark.parametrize("size", [(33, 500), (1, 501), (1, 1, 101), (11, 500), (0, 30_000)])
def test_order_that_is_too_large_by_itself_does_not_hurt_its_neighbours(size):
    """It is refused by itself, in its place, and costs nothing."""
    assert require_batch(batch_of_checkouts(message_of(1, 1), *[message_of(*size)] * 20)) == 1
    with pytest.raises(InvalidRequest):
        require_size(size_of(message_of(*size)))


@pytest.mark.parametrize("size", [(10, 500), (32, 156), (32, 1, 100), (1, 500, 100), (1, 0)])
def test_order_within_its_bounds_is_taken(size):
    require_size(size_of(message_of(*size)))


@pytest.mark.parametrize(
    ("size", "field", "problem"),
    [
        ((33, 1), "checkout.tokens", "must be 1 to 32 tokens; there are 33"),
        ((0, 500), "checkout.tokens", "must be 1 to 32 tokens; there are 0"),
        ((1, 501), "checkout.order.lines", "must be at most 500; there are 501"),
        ((1, 1, 101), "checkout.order.shipping", "must be at most 100; there are 101"),
        ((11, 455), "checkout.order.lines", "must be at most 454 with 11 tokens (tokens times lines, at most 5000)"),
        ((32, 157), "checkout.order.lines", "there are 157: use fewer tokens on this order, or split it"),
    ],
)
def test_order_beyond_its_bounds_is_refused(size, field, problem):
    with pytest.raises(InvalidRequest) as refused:
        require_size(size_of(message_of(*size)))
    assert fields(refused) == [field]
    assert problem in refused.value.message


def test_item_of_another_program_is_refused():
    other = redeem_request("b")
    other.checkout.program = "mall"
    with pytest.raises(InvalidRequest) as refused:
        require_batch(batch_request(redeem_request("a"), other))
    assert fields(refused) == ["requests[1].checkout.program"]


def test_item_without_a_program_has_the_batch_s():
    silent = redeem_request()
    silent.checkout.program = ""
    require_batch(batch_request(silent))


def test_second_item_with_the_same_request_id_is_refused():
    with pytest.raises(InvalidRequest) as refused:
        require_batch(batch_request(redeem_request("a"), redeem_request("b"), redeem_request("a")))
    assert fields(refused) == ["requests[2].request_id"]


def test_items_without_a_request_id_are_not_each_other_s_fault():
    require_batch(batch_request(redeem_request(""), redeem_request("")))


def test_program_of_the_batch_is_required():
    with pytest.raises(InvalidRequest) as refused:
        require_batch(redemption_service_pb2.BatchRedeemRequest(requests=[redeem_request()]))
    assert fields(refused)[0] == "program"


def order_of(tokens, lines, name_bytes=6):
    order = replace(
        CHECKOUT.order, lines=tuple(Line(f"{index:0{name_bytes}}", 1, 10**9, 10**9) for index in range(lines))
    )
    return replace(CHECKOUT, tokens=tuple(str(index) for index in range(tokens)), order=order)


def test_ordinary_full_batch_fits():
    require_answer_fits([order_of(3, 20)] * 256)


def test_answer_that_could_not_be_received_is_refused_before_anything_is_redeemed():
    with pytest.raises(InvalidRequest) as refused:
        require_answer_fits([order_of(10, LINES_MAX, TEXT_BYTES_MAX)] * 3)
    assert fields(refused) == ["requests"]


def longest_verdict(bearers):
    """The longest verdict there can be: every number and text as long as it gets."""
    most = 2**53 - 1
    parts = tuple(Allocation(bearer.line_id, most, most) for bearer in bearers)
    return Verdict(Outcome.APPROVED, 2**32 - 1, "r" * 100, most, parts)


def longest_settlement(checkout):
    allocations = tuple(Allocation(line.line_id, 1, 1) for line in checkout.order.lines)
    redemption = SettledRedemption(
        campaign=7,
        serial=9,
        generation=0,
        discount_minor=len(allocations),
        allocations=allocations,
        line_amounts=(2**53 - 1,) * len(allocations),
    )
    keyset = keyset_of()
    settlement = Settlement(
        key_id=keyset.primary.id, order_id="o" * TEXT_BYTES_MAX, redemptions=(redemption,) * len(checkout.tokens)
    )
    return Settlements(ReceiptKeys(keyset)).sign(settlement, program="shop")


@pytest.mark.parametrize(
    ("count", "tokens", "lines", "name_bytes"),
    [(1, 10, 500, 128), (2, 10, 500, 128), (3, 10, 500, 100), (3, 10, 500, 40)],
)
def test_answer_that_is_let_through_can_be_received(count, tokens, lines, name_bytes):
    """The longest decisions that the domain can make on orders, really signed."""
    checkout = order_of(tokens, lines, name_bytes)
    require_answer_fits([checkout] * count)
    verdicts = (longest_verdict(checkout.order.lines),) * tokens
    decision = Decision(Outcome.APPROVED, verdicts, 2**40, 2**53 - 1, longest_settlement(checkout))
    message = redemption_service_pb2.BatchRedeemResponse()
    for _ in range(count):
        write_decision(decision, message.results.add().decision)
    assert MESSAGE_BYTES_MAX // 4 < message.ByteSize() < MESSAGE_BYTES_MAX


def test_fees_with_long_names_count_like_lines():
    lines, fees = order_of(16, 300), tuple(Shipping("s" * TEXT_BYTES_MAX, 1) for _ in range(300))
    require_answer_fits([lines] * 3)
    with pytest.raises(InvalidRequest):
        require_answer_fits([replace(lines, order=replace(lines.order, shipping=fees))] * 3)


def request_of(tokens, lines, *, with_allocations=True):
    return QuoteRequest(order_of(tokens, lines, TEXT_BYTES_MAX), with_allocations=with_allocations)


@pytest.mark.parametrize(("tokens", "lines"), [(QUOTED_TOKENS_MAX, 50), (10, LINES_MAX), (1, LINES_MAX)])
def test_quote_that_is_let_through_can_be_received(tokens, lines):
    """Every token approved, alone and together, and each as long as a verdict gets."""
    request = request_of(tokens, lines)
    require_quote_fits(request)
    verdicts = (longest_verdict(request.checkout.order.lines),) * tokens
    quoted = Quote(Decision(Outcome.APPROVED, verdicts, 2**40, 2**53 - 1), verdicts, tuple(range(tokens)))
    message = redemption_service_pb2.QuoteResponse()
    write_quote(quoted, message, with_allocations=True)
    assert message.ByteSize() < MESSAGE_BYTES_MAX


@pytest.mark.parametrize(
    ("tokens", "lines"), [(QUOTED_TOKENS_MAX, LINES_MAX), (QUOTED_TOKENS_MAX, 51), (11, LINES_MAX)]
)
def test_quote_with_too_many_allocations_is_refused(tokens, lines):
    with pytest.raises(InvalidRequest) as refused:
        require_quote_fits(request_of(tokens, lines))
    assert fields(refused) == ["with_allocations"]
    assert f"at most {QUOTED_PAIRS_MAX} pairs of token and line; there are {tokens * lines}" in refused.value.message


def test_quote_without_allocations_may_be_as_large_as_it_gets():
    require_quote_fits(request_of(QUOTED_TOKENS_MAX, LINES_MAX, with_allocations=False))


COUNTING = [
    (count_redeem, redemption_service_pb2.RedeemRequest, TOKENS_MAX),
    (count_quote, redemption_service_pb2.QuoteRequest, QUOTED_TOKENS_MAX),
]
UNKNOWN = b"\xf8\x07\x01"


@pytest.mark.parametrize(("count", "kind", "tokens"), COUNTING, ids=["redeem", "quote"])
def test_the_largest_order_is_counted_and_taken(count, kind, tokens):
    checkout = message_of(tokens, LINES_MAX, SHIPPING_MAX)
    for line in checkout.order.lines:
        line.categories.extend(["a", "b", "c"])
    count(kind(checkout=checkout).SerializeToString())


@pytest.mark.parametrize(("count", "kind", "_"), COUNTING, ids=["redeem", "quote"])
@pytest.mark.parametrize(
    ("size", "unknown", "field"),
    [
        ((1, LINES_MAX + 1, 0), 0, "checkout.order.lines"),
        ((2_000, 1, 1), 0, "checkout.tokens"),
        ((1, 1, 2_000), 0, "checkout.order.shipping"),
        ((1, 1, 1), 2_000, "checkout"),
    ],
)
def test_order_with_too_many_entries_is_refused_before_it_is_parsed(count, kind, _, size, unknown, field):
    raw = kind(checkout=message_of(*size)).SerializeToString() + unknown * UNKNOWN
    with pytest.raises(InvalidRequest) as refused:
        count(raw)
    assert fields(refused) == [field]


def test_lines_of_a_checkout_that_comes_in_parts_count_together():
    """Protobuf merges the parts of a message that is there twice."""
    part = redemption_service_pb2.RedeemRequest(checkout=message_of(1, LINES_MAX // 2 + 1)).SerializeToString()
    count_redeem(part)
    with pytest.raises(InvalidRequest):
        count_redeem(part + part)


def test_bytes_that_are_no_order_cannot_be_counted():
    with pytest.raises(DecodeError):
        count_redeem(b"\x12\xff")


@pytest.mark.parametrize("field", [b"\x32\x00", b"\x38\x01", b"\x78\x01"], ids=["lines", "unpaid", "unknown"])
def test_a_return_with_too_many_fields_is_refused_after_the_first_of_them(field):
    """Whatever they are: to count all of them takes hundreds of times as long as to parse them."""
    seen = []
    raw = field * 500_000
    assert count_reverse(field * 1_000) is None
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(request_limits, "fields_of", lambda raw: (seen.append(each) or each for each in fields_of(raw)))
        with pytest.raises(InvalidRequest) as refused:
            count_reverse(raw)
    assert fields(refused) == ["lines"]
    assert len(seen) < 1_100
