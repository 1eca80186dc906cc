"""``redeem``: what a person reads, and what a program does."""
# ruff: noqa: E501, RUF001 - what is printed is compared in one piece; Chinese sentences have Chinese signs.

import json
import re

import grpc
import pytest
from cli.answers import NOW, TYPED, TYPED_CHECKOUT, approved, decision, no, off
from fake_server import failing
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.v1 import outcome_pb2 as v1
from redemption.v1.decision_pb2 import Allocation
from redemption.v1.redemption_service_pb2 import RedeemResponse


def approval(*discounts, allocations=()):
    verdicts = [off(index, 3, discount, *allocations) for index, discount in enumerate(discounts)]
    return RedeemResponse(decision=approved(*verdicts))


def refusal(outcome, disposition, *, verdicts=None, **detail):
    verdicts = [no(0, 3, outcome, disposition, **detail)] if verdicts is None else verdicts
    return RedeemResponse(decision=decision(outcome, disposition, *verdicts))


def test_an_approval_is_one_line(ask, fake):
    fake.answers["Redeem"] = approval(50_00)
    ended = ask("redeem", "TOKEN", "--order", "ord-1", "--spend", "238.00")
    assert re.sub(r"\d+\.\d ms", "N ms", ended.out) == "APPROVED   \N{MINUS SIGN}¥50.00   pay ¥188.00   N ms\n"
    assert (ended.code, ended.err) == (0, "")


def test_what_was_typed_is_what_is_asked(ask, fake):
    fake.answers["Redeem"] = approval(5)
    ask("redeem", *TYPED, "--request-id", "try-1")
    (request,) = fake.asked["Redeem"]
    assert json_format.MessageToDict(request, preserving_proto_field_name=True) == {
        "request_id": "try-1",
        "checkout": TYPED_CHECKOUT,
    }


@pytest.mark.parametrize("word", ["redeem", "quote"])
def test_signals_of_risk_are_asked_as_they_were_typed(ask, fake, word):
    """So that rules of the program can be tried by hand."""
    order = ("--order", "ord-1", "--spend", "1", "--customer", "ann", "--person", "p-1")
    signals = ("--device", "d-1", "--network", "192.0.2.7", "--payment", "c-1")
    ask(word, "TOKEN", *order, *signals)
    (request,) = fake.asked[word.capitalize()]
    checkout = json_format.MessageToDict(request.checkout, preserving_proto_field_name=True)
    assert checkout["customer"] == {"customer_id": "ann", "person_id": "p-1"}
    assert checkout["risk"] == {"device_id": "d-1", "network_address": "192.0.2.7", "payment_fingerprint": "c-1"}


@pytest.mark.parametrize(
    ("answer", "lang", "expected"),
    [
        (
            refusal(v1.OUTCOME_ALREADY_REDEEMED, v1.DISPOSITION_FINAL, redeem_time=Timestamp(seconds=NOW - 9)),
            "en",
            "ALREADY_REDEEMED (final)   used 9 s ago by another order\n",
        ),
        (
            refusal(v1.OUTCOME_MIN_SPEND_NOT_MET, v1.DISPOSITION_CHANGE_ORDER, missing_minor=12_00),
            "en",
            "MIN_SPEND_NOT_MET (change the order)   ¥12.00 more of eligible goods\n",
        ),
        (
            refusal(v1.OUTCOME_MIN_SPEND_NOT_MET, v1.DISPOSITION_CHANGE_ORDER, missing_minor=12_00),
            "zh",
            "MIN_SPEND_NOT_MET (调整订单)   再买 ¥12.00 可用\n",
        ),
        (
            refusal(v1.OUTCOME_IDEMPOTENCY_MISMATCH, v1.DISPOSITION_FIX_CALLER, verdicts=[]),
            "en",
            "IDEMPOTENCY_MISMATCH (fix the caller)   this request id was used for another request; nothing was done\n",
        ),
        (
            refusal(v1.OUTCOME_VELOCITY_EXCEEDED, v1.DISPOSITION_TRY_LATER, try_after=Timestamp(seconds=NOW + 40)),
            "en",
            "VELOCITY_EXCEEDED (try later)   not possible right now\n",
        ),
        (
            refusal(v1.OUTCOME_VELOCITY_EXCEEDED, v1.DISPOSITION_TRY_LATER, try_after=Timestamp(seconds=NOW + 40)),
            "zh",
            "VELOCITY_EXCEEDED (稍后再试)   当前无法使用或领取\n",
        ),
        (
            refusal(v1.OUTCOME_DENYLISTED, v1.DISPOSITION_FINAL),
            "en",
            "DENYLISTED (final)   not possible right now\n",
        ),
        (
            refusal(v1.OUTCOME_CUSTOMER_REQUIRED, v1.DISPOSITION_CHANGE_ORDER, missing_signals=[1]),
            "en",
            "CUSTOMER_REQUIRED (change the order)   log in to use this coupon   missing: customer.customer_id\n",
        ),
        (
            refusal(v1.OUTCOME_RISK_CONTEXT_REQUIRED, v1.DISPOSITION_FIX_CALLER, missing_signals=[3, 5, 99]),
            "zh",
            "RISK_CONTEXT_REQUIRED (调用有误)   商家系统缺少此券所需的信息   缺少：risk.device_id, risk.payment_fingerprint, signal 99\n",
        ),
        (
            refusal(9999, v1.DISPOSITION_TRY_LATER),
            "en",
            "OUTCOME 9999 (try later)   cannot be used at the moment; try again later\n",
        ),
    ],
)
def test_a_refusal_is_one_line_that_says_what_would_help(ask, fake, answer, lang, expected):
    fake.answers["Redeem"] = answer
    ended = ask("redeem", "TOKEN", "--order", "ord-1", "--spend", "188", "--lang", lang)
    assert (ended.code, ended.out, ended.err) == (1, expected, "")


def test_several_coupons_have_a_table(ask, fake):
    verdicts = [no(0, 3, v1.OUTCOME_STACK_REJECTED), no(1, 12, v1.OUTCOME_REVOKED, v1.DISPOSITION_FINAL)]
    fake.answers["Redeem"] = refusal(v1.OUTCOME_REVOKED, v1.DISPOSITION_FINAL, verdicts=verdicts)
    ended = ask("redeem", "A", "B", "--order", "ord-1", "--spend", "188")
    assert ended.out == (
        "REVOKED (final)   was withdrawn by the shop\n"
        "coupon   campaign   outcome          why\n"
        "     1          3   STACK_REJECTED   fine by itself, not used: another coupon of the order was refused\n"
        "     2         12   REVOKED          was withdrawn by the shop\n"
    )


ORDER = """\
order:
  order_id: ord-1
  currency_code: CNY
  lines:
    - {line_id: 茶, quantity: 2, amount_minor: 20000}
    - {line_id: mug, quantity: 1, amount_minor: 3800}
  shipping:
    - {line_id: parcel, amount_minor: 1000}
"""


def test_in_a_table_each_coupon_says_what_is_missing(ask, fake):
    verdicts = [
        no(0, 3, v1.OUTCOME_STACK_REJECTED),
        no(1, 12, v1.OUTCOME_RISK_CONTEXT_REQUIRED, v1.DISPOSITION_FIX_CALLER, missing_signals=[4]),
    ]
    fake.answers["Redeem"] = refusal(v1.OUTCOME_RISK_CONTEXT_REQUIRED, v1.DISPOSITION_FIX_CALLER, verdicts=verdicts)
    lines = ask("redeem", "A", "B", "--order", "ord-1", "--spend", "188").out.splitlines()
    assert lines[0].endswith("this coupon needs   missing: risk.network_address")
    assert lines[3].endswith("this coupon needs (missing: risk.network_address)")


def test_several_lines_have_a_table_aligned_by_what_is_seen(ask, fake, tmp_path):
    """A Chinese character is two columns wide."""
    file = tmp_path / "order.yaml"
    file.write_text(ORDER)
    parts = [Allocation(line_id="茶", amount_minor=42_02), Allocation(line_id="mug", amount_minor=7_98)]
    fake.answers["Redeem"] = approval(50_00, allocations=parts)
    ended = ask("redeem", "A", "--order-file", file)
    assert re.sub(r"\d+\.\d ms", "N ms", ended.out).replace("\N{MINUS SIGN}", "-") == (
        "APPROVED   -¥50.00   pay ¥198.00   N ms\n"
        "line      amount       off       pay\n"
        "茶       ¥200.00   -¥42.02   ¥157.98\n"
        "mug       ¥38.00    -¥7.98    ¥30.02\n"
        "parcel    ¥10.00     ¥0.00    ¥10.00\n"
        "total    ¥248.00   -¥50.00   ¥198.00\n"
    )


def test_lines_are_not_told_when_nobody_knows_any_more_how_the_discount_fell_on_them(ask, fake, tmp_path):
    """An approval older than the memory of requests has its discount, but no allocations."""
    file = tmp_path / "order.yaml"
    file.write_text(ORDER)
    fake.answers["Redeem"] = approval(50_00)
    ended = ask("redeem", "A", "--order-file", file)
    assert re.sub(r"\d+\.\d ms", "N ms", ended.out) == "APPROVED   \N{MINUS SIGN}¥50.00   pay ¥198.00   N ms\n"


def test_json_is_the_answer_of_the_contract(ask, fake):
    fake.answers["Redeem"] = approval(50_00)
    ended = ask("redeem", "TOKEN", "--order", "ord-1", "--spend", "238.00", "--json")
    assert json_format.Parse(ended.out, RedeemResponse()) == approval(50_00)
    assert json.loads(ended.out)["decision"]["discount_minor"] == 5000
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), "redemption: --order is missing: give --order ID --spend SUM, or --order-file FILE\n"),
        (("--order", "1"), "redemption: --spend is missing: give --order ID --spend SUM, or --order-file FILE\n"),
        (
            ("--order", "1", "--spend", "1.234"),
            "redemption: --spend: has too many decimals: CNY has 2 decimals; it is '1.234'\n",
        ),
        (
            ("--order", "1", "--order-file", "f"),
            "redemption: --order and --order-file exclude each other: the file has the whole order\n",
        ),
        (
            ("--device", "1", "--order-file", "f"),
            "redemption: --device and --order-file exclude each other: the file has the whole order\n",
        ),
        (
            ("--order", "1", "--spend", "1", "--lang", "fr"),
            "redemption redeem: invalid value for '--lang': 'fr' is not one of 'en', 'zh'; see redemption redeem --help\n",
        ),
        (
            ("--nope",),
            "redemption redeem: no such option: --nope (Possible options: --order, --spend); see redemption redeem --help\n",
        ),
    ],
)
def test_a_mistake_is_one_line(command, arguments, error):
    ended = command("redeem", "TOKEN", *arguments)
    assert (ended.code, ended.out, ended.err) == (2, "", error)


def test_fields_at_fault_are_named(ask, fake):
    fake.answers["Redeem"] = failing(
        grpc.StatusCode.INVALID_ARGUMENT,
        "two things",
        reason="INVALID_REQUEST",
        violations=[("checkout.tokens[1]", "is the same token"), ("request_id", "is longer than 128 bytes")],
    )
    ended = ask("redeem", "A", "A", "--order", "1", "--spend", "1")
    expected = "INVALID_ARGUMENT: checkout.tokens[1]: is the same token; request_id: is longer than 128 bytes"
    assert (ended.code, ended.err) == (2, f"redemption: {expected}\n")


def test_when_nobody_knows_whether_it_was_done_the_request_id_is_told(ask, fake):
    fake.answers["Redeem"] = failing(
        grpc.StatusCode.UNAVAILABLE, "the ledger did not answer", reason="LEDGER_UNAVAILABLE"
    )
    ended = ask("redeem", "A", "--order", "1", "--spend", "1", "--request-id", "try-1")
    expected = "UNAVAILABLE: the ledger did not answer; to ask again safely: --request-id try-1"
    assert (ended.code, ended.err) == (3, f"redemption: {expected}\n")


def test_an_empty_request_id_is_not_a_new_one(ask):
    """It comes from an empty shell variable, and would redeem twice."""
    ended = ask("redeem", "T", "--order", "o", "--spend", "1.00", "--request-id", "")
    assert ended.code == 2
    assert "is empty" in ended.err


def test_an_argument_that_is_no_text_is_told(ask):
    ended = ask("redeem", "T\udcff", "--order", "o", "--spend", "1.00")
    assert (ended.code, ended.err) == (2, "redemption: an argument is no text: its bytes are not UTF-8\n")
