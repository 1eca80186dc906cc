"""Checkouts and decisions survive the way from protobuf to the domain and back."""

from dataclasses import replace

import pytest
from builders.times import NOW
from google.protobuf.timestamp_pb2 import Timestamp
from rpc.examples import APPROVAL, CHECKOUT, LEFT_OUT, QUOTED, REDEEMED, REFUSAL, checkout_message, redeem_request

from redemption.domain.campaign.campaign_checks import LATEST_MS
from redemption.domain.decision import Decision, Detail, Verdict
from redemption.domain.errors import InvalidRequest
from redemption.domain.order import GUEST, NO_RISK_CONTEXT
from redemption.domain.outcome import Disposition, Outcome
from redemption.domain.risk.subjects import SubjectKind
from redemption.rpc.convert.orders import (
    customer_from,
    quote_request_from,
    redeem_request_from,
    redemption_of,
    write_decision,
    write_quote,
)
from redemption.rpc.request_limits import positions_in
from redemption.service.pending_order import RedeemRequest
from redemption.service.quoter import QuoteRequest
from redemption.v1 import decision_pb2, order_pb2, outcome_pb2, redemption_service_pb2, rules_pb2


def attempt_of(request, program=""):
    """Count a request and convert it, as every one is."""
    positions_in(request)
    return redeem_request_from(request, program)


def quoted(*, with_allocations=True):
    message = redemption_service_pb2.QuoteResponse()
    write_quote(QUOTED, message, with_allocations=with_allocations)
    return redemption_service_pb2.QuoteResponse.FromString(message.SerializeToString())


def quote_request(**more):
    return redemption_service_pb2.QuoteRequest(checkout=checkout_message(), **more)


def written(decision):
    message = decision_pb2.Decision()
    write_decision(decision, message)
    return decision_pb2.Decision.FromString(message.SerializeToString())


def test_checkout_arrives_whole():
    """Each field of the example has a value of its own, so a mix-up of two shows."""
    assert attempt_of(redeem_request("attempt-9")) == RedeemRequest("attempt-9", CHECKOUT)


def test_list_amount_that_is_unset_is_the_amount():
    request = redeem_request()
    request.checkout.order.lines[0].ClearField("list_amount_minor")
    assert attempt_of(request).checkout.order.lines[0].list_amount_minor == 2_000


def test_list_amount_of_zero_is_zero():
    request = redeem_request()
    request.checkout.order.lines[0].list_amount_minor = 0
    assert attempt_of(request).checkout.order.lines[0].list_amount_minor == 0


def test_customer_and_risk_that_are_unset_are_the_domains_own_constants():
    """The domain skips its checks of them by identity."""
    request = redeem_request()
    request.checkout.ClearField("customer")
    request.checkout.ClearField("risk")
    checkout = attempt_of(request).checkout
    assert checkout.customer is GUEST
    assert checkout.risk is NO_RISK_CONTEXT


@pytest.mark.parametrize(("given", "expected"), [(None, None), (True, True), (False, False)])
def test_is_new_keeps_its_three_values(given, expected):
    request = redeem_request()
    request.checkout.customer.ClearField("is_new")
    if given is not None:
        request.checkout.customer.is_new = given
    assert attempt_of(request).checkout.customer.is_new is expected


def clear(request, path):
    """Leave a message out of a request."""
    *outer, name = path.split(".")
    for part in outer:
        request = getattr(request, part)
    request.ClearField(name)


@pytest.mark.parametrize("missing", ["checkout", "checkout.order"])
@pytest.mark.parametrize("tokens", [0, 1, 40])
def test_missing_message_is_named(missing, tokens):
    """Before any other problem of the request is reported."""
    request = redeem_request()
    request.checkout.tokens[:] = ["t"] * tokens
    clear(request, missing)
    with pytest.raises(InvalidRequest) as refused:
        attempt_of(request)
    assert refused.value.violations[0].field == missing


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        (lambda it: it.tokens.extend("t" * 40), "checkout.tokens", "must be 1 to 32 tokens"),
        (lambda it: it.order.lines[1].categories.extend("c" * 33), "checkout.order.lines[1].categories", "at most 32"),
        (lambda it: it.customer.segments.extend("s" * 65), "checkout.customer.segments", "at most 64"),
        (lambda it: it.order.lines.extend([order_pb2.Line()] * 500), "checkout.order.lines", "at most 500"),
    ],
)
def test_what_is_too_much_is_counted_before_it_is_converted(change, field, problem):
    """A message of the largest size holds two million empty texts: making them all would delay all other calls."""
    request = redeem_request()
    change(request.checkout)
    with pytest.raises(InvalidRequest, match=problem) as refused:
        attempt_of(request)
    assert [violation.field for violation in refused.value.violations] == [field]


def test_customer_of_a_claim_is_counted_by_its_own_name():
    customer = order_pb2.Customer(segments=["s"] * 65)
    with pytest.raises(InvalidRequest) as refused:
        customer_from(customer)
    assert [violation.field for violation in refused.value.violations] == ["customer.segments"]


def test_quote_may_bring_more_tokens_and_pairs_than_a_redemption():
    request = quote_request()
    request.checkout.tokens[:] = ["token"] * 100
    request.checkout.order.lines.extend([order_pb2.Line()] * 400)
    assert len(quote_request_from(request).checkout.tokens) == 100
    request.checkout.tokens.append("token")
    with pytest.raises(InvalidRequest, match="must be 1 to 100 tokens; there are 101"):
        quote_request_from(request)


def test_program_of_the_batch_stands_in_for_an_empty_one():
    message = checkout_message(replace(CHECKOUT, program=""))
    request = redemption_service_pb2.RedeemRequest(request_id="a", checkout=message)
    assert attempt_of(request, "mall").checkout.program == "mall"
    assert attempt_of(redeem_request(), "mall").checkout.program == "shop"


def test_approval_is_told_whole():
    expected = decision_pb2.Decision(
        outcome=outcome_pb2.OUTCOME_APPROVED,
        disposition=outcome_pb2.DISPOSITION_APPROVED,
        discount_minor=950,
        settlement=b"signed",
        decide_time={"seconds": NOW},
        verdicts=[
            decision_pb2.TokenVerdict(
                token_index=0,
                outcome=outcome_pb2.OUTCOME_APPROVED,
                disposition=outcome_pb2.DISPOSITION_APPROVED,
                campaign=7,
                redemption_id="receipt-1",
                discount_minor=900,
                allocations=[
                    decision_pb2.Allocation(line_id="line-1", amount_minor=600, merchant_minor=180),
                    decision_pb2.Allocation(line_id="line-2", amount_minor=300),
                ],
            ),
            decision_pb2.TokenVerdict(
                token_index=1,
                outcome=outcome_pb2.OUTCOME_APPROVED,
                disposition=outcome_pb2.DISPOSITION_APPROVED,
                campaign=8,
                redemption_id="receipt-2",
                discount_minor=50,
            ),
        ],
    )
    assert written(APPROVAL) == expected


def test_refusal_tells_its_details():
    first, second = written(REFUSAL).verdicts
    assert first.detail == decision_pb2.Detail(same_order=True, redeem_time={"seconds": NOW - 60})
    assert second.detail == decision_pb2.Detail(
        missing_minor=12, missing_quantity=13, try_after={"seconds": NOW, "nanos": 1_000_000}, conflicts=[0, 4]
    )


def test_refusal_tells_which_signals_are_missing():
    """By their numbers, which domain and contract share."""
    lacking = Detail(missing_signals=(SubjectKind.CUSTOMER, SubjectKind.PAYMENT))
    verdict = Verdict(Outcome.RISK_CONTEXT_REQUIRED, 7, detail=lacking)
    message = written(Decision(Outcome.RISK_CONTEXT_REQUIRED, (verdict,), NOW)).verdicts[0]
    assert message.detail.missing_signals == [rules_pb2.SUBJECT_KIND_CUSTOMER, rules_pb2.SUBJECT_KIND_PAYMENT]


def test_verdict_without_detail_has_none():
    assert not written(APPROVAL).verdicts[0].HasField("detail")


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_and_its_disposition_is_told_by_its_name(outcome):
    message = written(Decision(outcome, (Verdict(outcome),), NOW))
    assert outcome_pb2.Outcome.Name(message.outcome) == f"OUTCOME_{outcome.name}"
    assert outcome_pb2.Disposition.Name(message.disposition) == f"DISPOSITION_{outcome.disposition.name}"
    assert (message.verdicts[0].outcome, message.verdicts[0].disposition) == (message.outcome, message.disposition)
    assert message.outcome == outcome


def test_disposition_is_the_verdict_s_own():
    """What is used up for today is there again tomorrow; the outcome alone does not say that."""
    spent = Verdict(Outcome.BUDGET_EXHAUSTED, 7, detail=Detail(try_after_ms=NOW * 1000))
    message = written(Decision(Outcome.BUDGET_EXHAUSTED, (spent,), NOW))
    assert message.verdicts[0].disposition == outcome_pb2.DISPOSITION_TRY_LATER
    assert message.disposition == outcome_pb2.DISPOSITION_TRY_LATER


def test_domain_knows_every_outcome_and_disposition_of_the_contract():
    assert {f"OUTCOME_{outcome.name}" for outcome in Outcome} == {*outcome_pb2.Outcome.keys()} - {"OUTCOME_UNSPECIFIED"}
    assert {f"DISPOSITION_{disposition.name}" for disposition in Disposition} == {*outcome_pb2.Disposition.keys()} - {
        "DISPOSITION_UNSPECIFIED"
    }


def test_quote_request_arrives_whole():
    request = quote_request(choose_best=True, at=Timestamp(seconds=NOW, nanos=5_000_000), with_allocations=True)
    assert quote_request_from(request) == QuoteRequest(
        CHECKOUT, choose_best=True, at_ms=NOW * 1000 + 5, with_allocations=True
    )


def test_quote_request_has_nothing_more_than_its_message():
    assert quote_request_from(quote_request()) == QuoteRequest(
        CHECKOUT, choose_best=False, at_ms=None, with_allocations=False
    )


@pytest.mark.parametrize("milliseconds", [0, LATEST_MS])
def test_moment_within_the_time_of_tokens_is_taken(milliseconds):
    request = quote_request(at=Timestamp(seconds=milliseconds // 1000))
    assert quote_request_from(request).at_ms == milliseconds


@pytest.mark.parametrize(
    "moment",
    [
        Timestamp(seconds=-1, nanos=999_000_000),
        Timestamp(seconds=LATEST_MS // 1000, nanos=1_000_000),
        Timestamp(seconds=NOW, nanos=1),
        Timestamp(seconds=2**62),
        Timestamp(seconds=NOW, nanos=-1),
    ],
    ids=str,
)
def test_moment_at_which_no_coupon_can_be_judged_is_refused(moment):
    with pytest.raises(InvalidRequest) as refused:
        quote_request_from(quote_request(at=moment))
    assert [violation.field for violation in refused.value.violations] == ["at"]


@pytest.mark.parametrize("missing", ["checkout", "checkout.order"])
def test_message_that_a_quote_request_lacks_is_named(missing):
    request = quote_request()
    clear(request, missing)
    with pytest.raises(InvalidRequest) as refused:
        quote_request_from(request)
    assert refused.value.violations[0].field == missing


def test_quote_is_told_whole():
    response = quoted()
    assert response.together == written(QUOTED.together)
    assert list(response.alone) == [
        decision_pb2.TokenVerdict(
            token_index=0,
            outcome=outcome_pb2.OUTCOME_APPROVED,
            disposition=outcome_pb2.DISPOSITION_APPROVED,
            campaign=7,
            discount_minor=900,
            allocations=[decision_pb2.Allocation(line_id="line-1", amount_minor=900, merchant_minor=270)],
        ),
        decision_pb2.TokenVerdict(
            token_index=1,
            outcome=outcome_pb2.OUTCOME_EXCLUSIVE_CONFLICT,
            disposition=outcome_pb2.DISPOSITION_CHANGE_ORDER,
            campaign=LEFT_OUT.campaign,
            detail=decision_pb2.Detail(conflicts=[0]),
        ),
    ]
    assert (list(response.chosen), response.exhaustive) == ([0, 5], True)


def test_quote_without_allocations_differs_in_nothing_else():
    expected = quoted()
    for verdict in (*expected.together.verdicts, *expected.alone):
        verdict.ClearField("allocations")
    assert quoted(with_allocations=False) == expected
    assert expected != quoted()


def test_redemption_is_told_whole():
    assert redemption_of(REDEEMED) == redemption_service_pb2.Redemption(
        redemption_id="receipt-1",
        campaign=7,
        serial=9,
        discount_minor=900,
        redeem_time={"seconds": NOW},
        state=redemption_service_pb2.REDEMPTION_STATE_REDEEMED,
    )
