"""What RedemptionService asks of the redeemer, and how it tells the answers."""

import pytest
from google.rpc import code_pb2
from rpc.examples import (
    APPROVAL,
    CHECKOUT,
    QUOTED,
    REDEEMED,
    REFUSAL,
    batch_request,
    checkout_message,
    redeem_request,
)
from rpc.stage import failure_of

from redemption.domain.errors import InvalidRequest, ItemFailed, LedgerRefused, NotFound, Overloaded, Violation
from redemption.service.quoter import Question
from redemption.service.redeemer import Attempt
from redemption.v1 import redemption_service_pb2 as messages


async def test_redeem_answers_with_the_decision(run):
    stage = await run()
    stage.redeemer.redeem.return_value = APPROVAL
    response = await stage.redemption.Redeem(redeem_request("attempt-1"))
    assert response.decision.discount_minor == 950
    (principal, attempt), _ = stage.redeemer.redeem.call_args
    assert (principal, attempt) == ("anonymous", Attempt("attempt-1", CHECKOUT))


async def test_batch_tells_each_item_s_own_answer_in_its_place(run):
    """Two items are malformed, one is refused, one fails, one is approved; none hurts another."""
    headless, orderless = redeem_request("a"), redeem_request("b")
    headless.ClearField("checkout")
    orderless.checkout.ClearField("order")
    stage = await run()
    stage.redeemer.redeem_all.return_value = [
        REFUSAL,
        LedgerRefused("the ledger is full"),
        APPROVAL,
        InvalidRequest([Violation("checkout.order.lines[2].amount_minor", "must not be negative")]),
        ItemFailed("a record cannot be read"),
    ]
    items = [redeem_request(name) for name in "cdefg"]
    response = await stage.redemption.BatchRedeem(batch_request(headless, items[0], orderless, *items[1:]))
    expected = [
        (code_pb2.INVALID_ARGUMENT, "INVALID_REQUEST", "requests[0].checkout", 0.0),
        None,
        (code_pb2.INVALID_ARGUMENT, "INVALID_REQUEST", "requests[2].checkout.order", 0.0),
        (code_pb2.UNAVAILABLE, "LEDGER_REFUSES", "", 1.0),
        None,
        (code_pb2.INVALID_ARGUMENT, "INVALID_REQUEST", "requests[5].checkout.order.lines[2].amount_minor", 0.0),
        (code_pb2.INTERNAL, "LEDGER_RECORD_UNREADABLE", "", 0.0),
    ]
    actual = [
        (
            result.error.code,
            result.error.reason,
            result.error.field,
            result.error.retry_after.ToTimedelta().total_seconds(),
        )
        if result.HasField("error")
        else None
        for result in response.results
    ]
    assert actual == expected
    assert [result.error.HasField("retry_after") for result in response.results].count(True) == 1
    assert response.results[1].decision.outcome == REFUSAL.outcome
    assert response.results[4].decision.outcome == APPROVAL.outcome
    (principal, program, attempts), _ = stage.redeemer.redeem_all.call_args
    assert (principal, program, [attempt.request_id for attempt in attempts]) == ("anonymous", "shop", list("cdefg"))


async def test_batch_that_is_wrong_as_a_whole_redeems_nothing(run):
    stage = await run()
    failure = await failure_of(stage.redemption.BatchRedeem(batch_request(redeem_request("a"), redeem_request("a"))))
    assert (failure.reason, failure.fields) == ("INVALID_REQUEST", ["requests[1].request_id"])
    assert stage.redeemer.mock_calls == []


@pytest.mark.parametrize("with_allocations", [True, False])
async def test_quote_answers_with_what_was_quoted(run, with_allocations):
    stage = await run()
    stage.quoter.quote.return_value = QUOTED
    request = messages.QuoteRequest(
        checkout=checkout_message(), choose_best=True, at={"seconds": 60}, with_allocations=with_allocations
    )
    response = await stage.redemption.Quote(request)
    assert [verdict.token_index for verdict in response.alone] == [0, 1]
    assert response.together.discount_minor == 950
    assert (list(response.chosen), response.exhaustive) == ([0, 5], True)
    assert bool(response.together.verdicts[0].allocations) == with_allocations
    (question,), arguments = stage.quoter.quote.call_args
    assert question == Question(CHECKOUT, choose_best=True, at_ms=60_000, with_allocations=with_allocations)
    assert set(arguments) == {"deadline"}
    assert stage.redeemer.mock_calls == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda request: request.ClearField("checkout"), "checkout"),
        (lambda request: request.checkout.ClearField("order"), "checkout.order"),
        (lambda request: setattr(request.at, "seconds", -1), "at"),
        (lambda request: request.checkout.tokens.extend("t" * 6_000), "with_allocations"),
    ],
)
async def test_malformed_question_is_refused_before_it_is_asked(run, change, field):
    request = messages.QuoteRequest(checkout=checkout_message(), with_allocations=True)
    change(request)
    stage = await run()
    failure = await failure_of(stage.redemption.Quote(request))
    assert (failure.reason, failure.fields) == ("INVALID_REQUEST", [field])
    assert stage.quoter.mock_calls == []


async def test_failure_of_the_quoter_is_told(run):
    stage = await run()
    stage.quoter.quote.side_effect = Overloaded("too many questions at once")
    failure = await failure_of(stage.redemption.Quote(messages.QuoteRequest(checkout=checkout_message())))
    assert (failure.code.value[0], failure.reason) == (code_pb2.RESOURCE_EXHAUSTED, "OVERLOADED")


async def test_redemption_is_found_by_request(run):
    stage = await run()
    stage.redeemer.find_by_request.return_value = [REDEEMED, REDEEMED]
    response = await stage.redemption.GetRedemption(messages.GetRedemptionRequest(program="shop", request_id="a"))
    assert [redemption.redemption_id for redemption in response.redemptions] == ["receipt-1", "receipt-1"]
    stage.redeemer.find_by_request.assert_called_once_with("anonymous", "shop", "a")


async def test_redemption_is_found_by_receipt(run):
    stage = await run()
    stage.redeemer.find_by_receipt.return_value = REDEEMED
    request = messages.GetRedemptionRequest(program="shop", redemption_id="receipt-1")
    response = await stage.redemption.GetRedemption(request)
    assert [redemption.serial for redemption in response.redemptions] == [9]
    stage.redeemer.find_by_receipt.assert_called_once_with("shop", "receipt-1")


async def test_redemption_that_is_not_there_is_not_found(run):
    stage = await run()
    stage.redeemer.find_by_receipt.side_effect = NotFound("no such receipt")
    request = messages.GetRedemptionRequest(program="shop", redemption_id="receipt-1")
    failure = await failure_of(stage.redemption.GetRedemption(request))
    assert (failure.code.value[0], failure.reason) == (code_pb2.NOT_FOUND, "NOT_FOUND")


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"program": "shop"}, "request_id"),
        ({"program": "shop", "request_id": ""}, "request_id"),
        ({"program": "shop", "request_id": "a" * 129}, "request_id"),
        ({"program": "shop", "redemption_id": ""}, "redemption_id"),
        ({"program": "", "request_id": "a"}, "program"),
        ({"program": "No Program", "redemption_id": "receipt-1"}, "program"),
    ],
)
async def test_malformed_lookup_is_refused_by_field(run, request_fields, field):
    stage = await run()
    failure = await failure_of(stage.redemption.GetRedemption(messages.GetRedemptionRequest(**request_fields)))
    assert failure.fields == [field]
    assert stage.redeemer.mock_calls == []
