"""Batches are refused as a whole or item by item, and no answer grows too large to be received."""

from dataclasses import replace

import pytest
from house import new_keyset
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
from redemption.domain.receipt import ReceiptKeys
from redemption.domain.settlement import SettledAllocation, SettledRedemption, Settlement, Settlements
from redemption.rpc.batch import (
    MESSAGE_BYTES_MAX,
    QUOTED_PARTS_MAX,
    require_answer_fits,
    require_batch,
    require_quote_fits,
)
from redemption.rpc.convert import write_decision, write_quote
from redemption.service.quoter import Question, Quoted
from redemption.v1 import decision_pb2, redemption_service_pb2


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


def test_largest_order_with_ordinary_names_fits():
    require_answer_fits([order_of(TOKENS_MAX, LINES_MAX)])


@pytest.mark.parametrize(
    ("checkouts", "field"),
    [([order_of(TOKENS_MAX, LINES_MAX, 128)], "checkout.order.lines"), ([order_of(4, 500, 30)] * 250, "requests")],
)
def test_answer_that_could_not_be_received_is_refused_before_anything_is_redeemed(checkouts, field):
    with pytest.raises(InvalidRequest) as refused:
        require_answer_fits(checkouts)
    assert fields(refused) == [field]


def test_order_that_is_malformed_by_itself_does_not_hurt_its_neighbours():
    require_answer_fits([CHECKOUT, order_of(1, 200_000), order_of(16, 500, 10_000)])


def longest_verdict(bearers):
    """The longest verdict there can be: every number and text as long as it gets."""
    most = 2**53 - 1
    parts = tuple(Allocation(bearer.line_id, most, most) for bearer in bearers)
    return Verdict(Outcome.APPROVED, 2**32 - 1, "r" * 100, most, parts)


def longest_settlement(checkout):
    allocations = tuple(SettledAllocation(line.line_id, 1, 1) for line in checkout.order.lines)
    redemption = SettledRedemption(
        campaign=7, serial=9, generation=0, discount_minor=len(allocations), allocations=allocations
    )
    keyset = new_keyset()
    settlement = Settlement(
        key_id=keyset.primary.id, order_id="o" * TEXT_BYTES_MAX, redemptions=(redemption,) * len(checkout.tokens)
    )
    return Settlements(ReceiptKeys(keyset)).sign(settlement, program="shop")


@pytest.mark.parametrize(("tokens", "lines", "name_bytes"), [(16, 500, 128), (32, 500, 100), (32, 500, 40)])
def test_answer_that_is_let_through_can_be_received(tokens, lines, name_bytes):
    """The longest decision that the domain can make on an order, really signed."""
    checkout = order_of(tokens, lines, name_bytes)
    require_answer_fits([checkout])
    verdicts = (longest_verdict(checkout.order.lines),) * tokens
    decision = Decision(Outcome.APPROVED, verdicts, 2**40, 2**53 - 1, longest_settlement(checkout))
    message = decision_pb2.Decision()
    write_decision(decision, message)
    assert MESSAGE_BYTES_MAX // 3 < message.ByteSize() < MESSAGE_BYTES_MAX


def test_order_with_the_most_lines_and_fees_fits():
    """A discount is taken from lines or from fees, never from both."""
    checkout = order_of(TOKENS_MAX, LINES_MAX, 100)
    fees = tuple(Shipping("s" * TEXT_BYTES_MAX, 1) for _ in range(SHIPPING_MAX))
    require_answer_fits([replace(checkout, order=replace(checkout.order, shipping=fees))])


def test_fees_with_long_names_count_like_lines():
    lines, fees = order_of(TOKENS_MAX, 300), tuple(Shipping("s" * TEXT_BYTES_MAX, 1) for _ in range(300))
    require_answer_fits([lines] * 2)
    with pytest.raises(InvalidRequest):
        require_answer_fits([replace(lines, order=replace(lines.order, shipping=fees))] * 2)


def question_of(tokens, lines, *, with_allocations=True):
    return Question(order_of(tokens, lines, TEXT_BYTES_MAX), with_allocations=with_allocations)


@pytest.mark.parametrize(("tokens", "lines"), [(QUOTED_TOKENS_MAX, 120), (24, LINES_MAX), (1, LINES_MAX)])
def test_quote_that_is_let_through_can_be_received(tokens, lines):
    """Every token approved, alone and together, and each as long as a verdict gets."""
    question = question_of(tokens, lines)
    require_quote_fits(question)
    verdicts = (longest_verdict(question.checkout.order.lines),) * tokens
    quoted = Quoted(Decision(Outcome.APPROVED, verdicts, 2**40, 2**53 - 1), verdicts, tuple(range(tokens)))
    message = redemption_service_pb2.QuoteResponse()
    write_quote(quoted, message, with_allocations=True)
    assert message.ByteSize() < MESSAGE_BYTES_MAX


@pytest.mark.parametrize(
    ("tokens", "lines"), [(QUOTED_TOKENS_MAX, LINES_MAX), (QUOTED_TOKENS_MAX, 121), (25, LINES_MAX)]
)
def test_quote_with_too_many_allocations_is_refused(tokens, lines):
    with pytest.raises(InvalidRequest) as refused:
        require_quote_fits(question_of(tokens, lines))
    assert fields(refused) == ["with_allocations"]
    assert f"at most {QUOTED_PARTS_MAX} pairs of token and line; there are {tokens * lines}" in refused.value.message


def test_quote_without_allocations_may_be_as_large_as_it_gets():
    require_quote_fits(question_of(QUOTED_TOKENS_MAX, LINES_MAX, with_allocations=False))
