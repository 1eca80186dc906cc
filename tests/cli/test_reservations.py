"""``reserve``, ``confirm`` and ``release``: what a person reads, and what a program does."""

import re

import pytest
from cli.answers import TYPED, TYPED_CHECKOUT, approved, decision, no, off
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.v1 import outcome_pb2 as v1
from redemption.v1.redemption_service_pb2 import ConfirmResponse, ReleaseResponse, ReserveResponse

HELD = ReserveResponse(
    decision=approved(off(0, 3, 50_00)), reservation_id="RESERVATION", expire_time=Timestamp(seconds=1_798_675_200)
)


def plain(text):
    return text.replace("\N{MINUS SIGN}", "-")


def test_a_reservation_is_printed_with_its_end_and_its_id(ask, fake):
    fake.answers["Reserve"] = HELD
    ended = ask("reserve", "TOKEN", "--order", "ord-1", "--spend", "238.00")
    expected = r"HELD   -¥50.00   pay ¥188.00   until 202[67]-\d\d-\d\d \d\d:00 .\d\d:00\nreservation   RESERVATION\n"
    assert re.fullmatch(expected, plain(ended.out))
    assert (ended.code, ended.err) == (0, "")


def test_what_was_typed_is_what_is_asked(ask, fake):
    fake.answers["Reserve"] = HELD
    ask("reserve", *TYPED, "--request-id", "try-1", "--ttl", "30m")
    (request,) = fake.asked["Reserve"]
    assert json_format.MessageToDict(request, preserving_proto_field_name=True) == {
        "request_id": "try-1",
        "checkout": TYPED_CHECKOUT,
        "ttl": "1800s",
    }


def test_a_refused_reservation_is_a_no(ask, fake):
    verdict = no(0, 3, v1.OUTCOME_RESERVED, v1.DISPOSITION_TRY_LATER)
    fake.answers["Reserve"] = ReserveResponse(decision=decision(v1.OUTCOME_RESERVED, v1.DISPOSITION_TRY_LATER, verdict))
    ended = ask("reserve", "TOKEN", "--order", "ord-1", "--spend", "238.00")
    assert (ended.code, ended.out.startswith("RESERVED (try later)   ")) == (1, True)


def test_a_time_that_is_none_is_told(command):
    ended = command("reserve", "TOKEN", "--order", "ord-1", "--spend", "1", "--ttl", "soon")
    assert (ended.code, ended.err) == (
        2,
        "redemption: --ttl: must be a length of time such as 30s, 5m, 12h or 7d; it is 'soon'\n",
    )


def test_a_confirmation_prints_the_discount_and_the_receipts(ask, fake, campaign_3):
    used = approved(off(0, 3, 50_00), off(1, 3, 10_00))
    used.verdicts[0].redemption_id, used.verdicts[1].redemption_id = "FIRST", "SECOND"
    fake.answers["Confirm"] = ConfirmResponse(decision=used)
    ended = ask("confirm", "RESERVATION\n", "--reacquire", "--request-id", "try-1")
    assert (ended.code, plain(ended.out)) == (0, "APPROVED   -¥60.00\nreceipt    FIRST\nreceipt    SECOND\n")
    (request,) = fake.asked["Confirm"]
    assert (request.reservation_id, request.request_id, request.reacquire) == ("RESERVATION", "try-1", True)


@pytest.mark.parametrize(
    ("answer", "beginning"),
    [
        (
            decision(v1.OUTCOME_RESERVATION_NOT_FOUND, v1.DISPOSITION_FIX_CALLER),
            "RESERVATION_NOT_FOUND (fix the caller)",
        ),
        (
            decision(
                v1.OUTCOME_RESERVATION_EXPIRED,
                v1.DISPOSITION_CHANGE_ORDER,
                no(0, 3, v1.OUTCOME_RESERVATION_EXPIRED, hold_expire_time=Timestamp(seconds=5)),
            ),
            "RESERVATION_EXPIRED (change the order)   the reservation ran out; order again",
        ),
        (
            decision(
                v1.OUTCOME_ALREADY_REDEEMED,
                v1.DISPOSITION_FINAL,
                no(0, 3, v1.OUTCOME_ALREADY_REDEEMED, v1.DISPOSITION_FINAL, same_order=True),
            ),
            "ALREADY_REDEEMED (final)",
        ),
    ],
)
def test_a_refused_confirmation_is_a_no(ask, fake, campaign_3, answer, beginning):
    fake.answers["Confirm"] = ConfirmResponse(decision=answer)
    ended = ask("confirm", "RESERVATION")
    assert ended.code == 1
    assert ended.out.startswith(beginning)


@pytest.mark.parametrize(
    ("outcome", "disposition", "code", "beginning"),
    [
        (v1.OUTCOME_APPROVED, v1.DISPOSITION_APPROVED, 0, "released: this reservation holds nothing any more"),
        (v1.OUTCOME_ALREADY_REDEEMED, v1.DISPOSITION_FINAL, 1, "ALREADY_REDEEMED (final)   already used by this order"),
    ],
)
def test_a_release_says_whether_anything_is_held(ask, fake, outcome, disposition, code, beginning):
    fake.answers["Release"] = ReleaseResponse(outcome=outcome, disposition=disposition)
    ended = ask("release", "RESERVATION")
    assert (ended.code, ended.out.startswith(beginning)) == (code, True)
