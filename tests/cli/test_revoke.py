"""``revoke``: taking coupons back, after asking where somebody can answer."""

import os
import pty

import grpc
import pytest
from fake_server import failing

from redemption.v1 import outcome_pb2 as v1
from redemption.v1.issuance_service_pb2 import RevokeRequest, RevokeResponse

REVOKED = RevokeResponse(outcome=v1.OUTCOME_APPROVED, disposition=v1.DISPOSITION_APPROVED)


@pytest.fixture(autouse=True)
def _answers(fake, campaign_3):
    fake.answers["Revoke"] = REVOKED


@pytest.fixture
def typed(monkeypatch):
    """Sit at a terminal and type an answer."""
    opened = []

    def type_(text):
        ours, theirs = pty.openpty()
        opened.extend((os.fdopen(ours, "wb", 0), os.fdopen(theirs)))
        opened[-2].write(text)
        monkeypatch.setattr("sys.stdin", opened[-1])

    yield type_
    for file in opened:
        file.close()


@pytest.mark.parametrize(
    ("arguments", "fields", "told"),
    [
        (("TOKEN\n",), {"token": "TOKEN"}, "revoked one coupon"),
        (
            ("TOKEN", "--campaign", "3"),
            {"token": "TOKEN", "campaign": 3},
            "revoked one coupon of campaign 3 满200减50",
        ),
        (
            ("--campaign", "3", "--serials", "100-1199"),
            {"campaign": 3, "serials": {"first": 100, "count": 1100}},
            "revoked 1,100 coupons of campaign 3 满200减50",
        ),
        (
            ("--campaign", "3", "--serials", "0"),
            {"campaign": 3, "serials": {"count": 1}},
            "revoked 1 coupon of campaign 3 满200减50",
        ),
        (
            ("--campaign", "3", "--customer", "ann"),
            {"campaign": 3, "customer_id": "ann"},
            "revoked all coupons of customer ann of campaign 3 满200减50",
        ),
    ],
)
def test_what_is_revoked_is_asked_for_and_told(ask, fake, arguments, fields, told):
    ended = ask("revoke", *arguments, "--reason", "wrong list", "--request-id", "r")
    assert (ended.code, ended.out, ended.err) == (0, f"{told}; what was used already stays used\n", "")
    assert fake.asked["Revoke"] == [RevokeRequest(program="demo", request_id="r", reason="wrong list", **fields)]


def test_a_token_that_is_none_is_refused(ask, fake):
    fake.answers["Revoke"] = RevokeResponse(outcome=v1.OUTCOME_TOKEN_INVALID, disposition=v1.DISPOSITION_FINAL)
    ended = ask("revoke", "TOKEN", "--program", "shop")
    assert (ended.code, ended.out) == (1, "TOKEN_INVALID   not a token of program shop; nothing was revoked\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "say what to revoke: give TOKEN, or --campaign with --serials N-N or --customer ID"),
        (
            ("TOKEN", "--serials", "1"),
            "TOKEN and --serials exclude each other: give TOKEN, or --campaign with --serials N-N or --customer ID",
        ),
        (("--serials", "1"), "--campaign is missing: --serials needs to know of which"),
        (("--customer", "ann"), "--campaign is missing: --customer needs to know of which"),
        (
            ("--campaign", "3", "--serials", "9-1"),
            "--serials: must be a number such as 17, or a range such as 100-199; it is '9-1'",
        ),
        (
            ("--campaign", "3", "--serials", "a-b"),
            "--serials: must be a number such as 17, or a range such as 100-199; it is 'a-b'",
        ),
    ],
)
def test_what_to_revoke_is_said_once_and_well(ask, fake, arguments, told):
    ended = ask("revoke", *arguments)
    assert (ended.code, ended.err) == (2, f"redemption: {told}\n")
    assert "Revoke" not in fake.asked


def test_a_terminal_is_asked_first(ask, fake, typed):
    typed(b"n\n")
    ended = ask("revoke", "--campaign", "3", "--customer", "ann")
    assert (ended.code, ended.err) == (1, "redemption: nothing was done\n")
    assert "Revoke all coupons of customer ann of campaign 3 满200减50 for good? [y/N]" in ended.out
    assert "Revoke" not in fake.asked
    typed(b"y\n")
    assert ask("revoke", "TOKEN").code == 0
    assert len(fake.asked["Revoke"]) == 1


def test_yes_is_not_asked(ask, fake, typed):
    typed(b"")
    assert ask("revoke", "TOKEN", "--yes").out.startswith("revoked one coupon;")


def test_json_is_the_answer_of_the_contract(ask):
    assert '"outcome": "OUTCOME_APPROVED"' in ask("revoke", "TOKEN", "--json").out


def test_a_lost_answer_says_how_to_ask_again(ask, fake):
    fake.answers["Revoke"] = failing(grpc.StatusCode.UNAVAILABLE, "stopping", reason="SERVER_STOPPING")
    ended = ask("revoke", "TOKEN", "--request-id", "try-1")
    assert ended.code == 3
    assert ended.err.endswith("to ask again safely: --request-id try-1\n")
