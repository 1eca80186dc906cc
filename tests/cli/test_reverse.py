"""``reverse``: what a person reads, and what a program does."""

import json
from base64 import b64encode

import grpc
import pytest
from cli.answers import REDEMPTION
from fake_server import failing

from redemption.v1 import outcome_pb2 as v1
from redemption.v1.decision_pb2 import Allocation
from redemption.v1.redemption_service_pb2 import GetRedemptionResponse, ReverseResponse

GIVEN_BACK = ReverseResponse(
    outcome=v1.OUTCOME_APPROVED,
    disposition=v1.DISPOSITION_APPROVED,
    reversed_minor=12_50,
    total_reversed_minor=37_50,
    allocations=[Allocation(line_id="socks", amount_minor=12_50)],
)


@pytest.fixture
def shop(fake, campaign_3):
    """A server that knows the redemption."""
    fake.answers["GetRedemption"] = GetRedemptionResponse(redemptions=[REDEMPTION])
    fake.answers["Reverse"] = GIVEN_BACK
    return fake


@pytest.fixture
def answer(tmp_path):
    """A file with what ``redeem --json`` printed."""
    file = tmp_path / "answer.json"
    file.write_text(json.dumps({"decision": {"settlement": b64encode(b"settlement").decode()}}))
    return str(file)


def test_what_is_given_back_is_printed_with_its_lines(ask, shop):
    ended = ask("reverse", "RECEIPT", "--order", "ord-1")
    assert (ended.code, ended.out) == (
        0,
        "GIVEN BACK   ¥12.50   ¥37.50 of its discount in all; the coupon stays used\nline socks   ¥12.50\n",
    )
    shop.answers["Reverse"].restored = True
    assert "in all; the coupon can be used again\n" in ask("reverse", "RECEIPT", "--order", "ord-1").out


def test_what_was_typed_is_what_is_asked(ask, shop, answer):
    lines = ("--line", "shoes", "--line", "socks=12.50", "--line", "a=b=1")
    ask("reverse", " RECEIPT\n", "--order", "ord-1", *lines, "--decision-file", answer, "--request-id", "try-1")
    (request,) = shop.asked["Reverse"]
    assert [(line.line_id, line.amount_minor) for line in request.lines] == [
        ("shoes", 0),
        ("socks", 12_50),
        ("a=b", 1_00),
    ]
    assert (request.redemption_id, request.order_id, request.request_id) == ("RECEIPT", "ord-1", "try-1")
    assert (request.settlement, request.unpaid) == (b"settlement", False)
    ask("reverse", "RECEIPT", "--order", "ord-1", "--unpaid", "--json")
    assert shop.asked["Reverse"][1].unpaid


def test_too_much_is_a_no_that_says_what_is_left(ask, shop):
    shop.answers["Reverse"] = ReverseResponse(
        outcome=v1.OUTCOME_REVERSAL_EXCEEDS,
        disposition=v1.DISPOSITION_FIX_CALLER,
        total_reversed_minor=12_50,
        exceeded_line_id="shoes",
        left_minor=5,
    )
    ended = ask("reverse", "RECEIPT", "--order", "ord-1")
    assert ended.code == 1
    assert ended.out.startswith("REVERSAL_EXCEEDS (fix the caller)   ")
    assert "¥0.05 is left of line shoes   given back so far: ¥12.50 of its discount in all" in ended.out


def test_a_receipt_that_is_not_known_is_a_no(ask, shop):
    """It is the server's refusal, as with --json; nobody looks the receipt up before."""
    shop.answers["GetRedemption"] = failing(grpc.StatusCode.NOT_FOUND, "no such receipt", reason="NOT_FOUND")
    shop.answers["Reverse"] = ReverseResponse(
        outcome=v1.OUTCOME_REDEMPTION_NOT_FOUND, disposition=v1.DISPOSITION_FIX_CALLER
    )
    ended = ask("reverse", "RECEIPT", "--order", "ord-1")
    assert (ended.code, ended.err) == (1, "")
    assert ended.out == "REDEMPTION_NOT_FOUND (fix the caller)   this order has no such redemption\n"


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        (("--line", "shoes"), "--decision-file is missing: it says what each line had of the discount"),
        (("--line", "shoes=x", "--decision-file"), "--line shoes=x: "),
        (
            ("--line", "shoes=0", "--decision-file"),
            "--line shoes=0: must be more than 0; leave the sum out to return all",
        ),
    ],
)
def test_a_mistake_is_named(ask, shop, answer, typed, problem):
    ended = ask("reverse", "RECEIPT", "--order", "ord-1", *typed, *([answer] if typed[-1] == "--decision-file" else []))
    assert ended.code == 2
    assert ended.err.startswith(f"redemption: {problem}")
    assert shop.asked.get("Reverse") is None


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '{"decision": {"settlement": "%"}}', '{"decision": {"settlement": ""}}']
)
def test_a_file_without_a_settlement_is_named(command, tmp_path, content):
    file = tmp_path / "answer.json"
    file.write_text(content)
    ended = command("reverse", "RECEIPT", "--order", "ord-1", "--decision-file", str(file))
    assert (ended.code, ended.err.startswith(f"redemption: {file}: has no settlement; give what redeem --json")) == (
        2,
        True,
    )
