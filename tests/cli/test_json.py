"""With ``--json`` a command prints one JSON document on standard output, also when it fails."""

import json

import grpc
import pytest
from fake_server import failing

REDEEM = ("redeem", "TOKEN", "--order", "1", "--spend", "1")


def error_of(ended):
    """The error in the only line of standard output."""
    (line,) = ended.out.splitlines()
    return json.loads(line)["error"]


def test_an_error_of_the_server_has_all_that_it_said(ask, fake):
    fake.answers["Redeem"] = failing(
        grpc.StatusCode.INVALID_ARGUMENT,
        "wrong",
        reason="INVALID_REQUEST",
        violations=[("checkout.order.lines[0].quantity", "must be 1 to 10", "OUT_OF_RANGE")],
        values=[{"least": 1, "most": 10, "given": 0, "others": [{"field": "a", "value": 5}]}],
    )
    ended = ask(*REDEEM, "--json")
    assert ended.code == 2
    assert error_of(ended) == {
        "exit_code": 2,
        "code": "INVALID_ARGUMENT",
        "reason": "INVALID_REQUEST",
        "message": "INVALID_ARGUMENT: checkout.order.lines[0].quantity: must be 1 to 10",
        "violations": [
            {
                "field": "checkout.order.lines[0].quantity",
                "problem": "must be 1 to 10",
                "reason": "OUT_OF_RANGE",
                "least": 1,
                "most": 10,
                "given": 0,
                "others": [{"field": "a", "value": 5}],
            }
        ],
        "retry_after_seconds": None,
        "correlation_id": "",
    }
    assert ended.err == f"redemption: {error_of(ended)['message']}\n", "people read the same"


def test_a_busy_server_says_when_to_come_again(ask, fake):
    fake.answers["Redeem"] = failing(
        grpc.StatusCode.UNAVAILABLE, "later", reason="SERVER_STOPPING", retry_after_seconds=0.5
    )
    error = error_of(ask(*REDEEM, "--json", "--request-id", "try-1"))
    assert (error["exit_code"], error["reason"], error["retry_after_seconds"]) == (3, "SERVER_STOPPING", 0.5)
    assert error["message"].endswith("--request-id try-1")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (("redeem", "--nope", "--json"), 2, "redemption redeem: no such option: --nope"),
        (("redeem", "TOKEN", "--json"), 2, "--order is missing"),
        (("quote", "--tokens-file", "nowhere.txt", "--json"), 2, "nowhere.txt: cannot be read"),
        (("campaigns", "apply", "nowhere.yaml", "--json"), 2, "nowhere.yaml: cannot be read"),
        (("ledger", "adopt", "--json"), 2, "adopting a ledger needs a person's consent"),
        ((*REDEEM, "--server", "127.0.0.1:1", "--json"), 3, "cannot reach the server at 127.0.0.1:1"),
        (("redeem", "T\udcff", "--json"), 2, "an argument is no text"),
    ],
)
def test_a_mistake_is_json_too(command, monkeypatch, arguments, exit_code, message):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    ended = command(*arguments)
    error = error_of(ended)
    assert (ended.code, error["exit_code"]) == (exit_code, exit_code)
    assert error["message"].startswith(message)
    assert message in ended.err


def test_a_defect_is_json_too(command, monkeypatch):
    monkeypatch.setattr("redemption.cli.input.checkout._from_flags", lambda _typed: 1 / 0)
    ended = command(*REDEEM, "--json")
    assert (ended.code, error_of(ended)["exit_code"]) == (4, 4)
    assert "Traceback" in ended.err


def test_coupons_that_were_minted_before_a_failure_stay_lines_of_json(ask, fake, campaign_3):
    """The error is one line more, so that a reader of lines can read it."""
    from redemption.v1.issuance_service_pb2 import MintedToken, MintResponse

    def answer(request, context):
        yield MintResponse(tokens=[MintedToken(token="A", serial=request.skip)])
        failing(grpc.StatusCode.FAILED_PRECONDITION, "has ended", reason="FAILED_PRECONDITION")(request, context)

    fake.answers["Mint"] = answer
    ended = ask("mint", "--campaign", "3", "--count", "2", "--json")
    coupon, error = map(json.loads, ended.out.splitlines())
    assert (coupon, error["error"]["reason"]) == ({"token": "A", "serial": 0}, "FAILED_PRECONDITION")


def test_without_json_standard_output_stays_empty(ask, command, fake):
    fake.answers["Redeem"] = failing(grpc.StatusCode.UNAVAILABLE, "later", reason="SERVER_STOPPING")
    assert ask(*REDEEM).out == ""
    order = ("--server", fake.address, "--order", "1", "--spend", "1")
    assert command("redeem", *order, "--", "--json").out == "", "here it is a token"
