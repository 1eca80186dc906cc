"""``claim``: a coupon for a customer, or why not."""
# ruff: noqa: RUF001 - Chinese sentences have Chinese commas.

import grpc
import pytest
from cli.conftest import IN_JUNE_2026
from fake_server import failing
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.v1 import outcome_pb2 as v1
from redemption.v1.decision_pb2 import Detail
from redemption.v1.issuance_service_pb2 import ClaimRequest, ClaimResponse, InspectTokenResponse
from redemption.v1.rules_pb2 import SUBJECT_KIND_DEVICE, SUBJECT_KIND_PERSON

CLAIMED = ClaimResponse(
    outcome=v1.OUTCOME_APPROVED,
    disposition=v1.DISPOSITION_APPROVED,
    token="TOKEN",
    not_before=Timestamp(seconds=1_798_588_800),
    expire_time=Timestamp(seconds=1_799_000_000),
)
MISTYPED = "a typing mistake: a character of the code is wrong, missing or too many"
VALID = "valid      2026-12-30 08:00 +08:00 until 2027-01-04 02:13:20 +08:00\n"


@pytest.fixture(autouse=True)
def _answers(fake, campaign_3):
    fake.answers["InspectToken"] = InspectTokenResponse(campaign=3)
    fake.answers["Claim"] = CLAIMED


def test_a_coupon_of_a_campaign_is_printed_alone_and_its_time_beside_it(ask, fake):
    """``TOKEN=$(redemption claim ...)`` catches standard output."""
    ended = ask("claim", "--campaign", "3", "--offer", "1", "--customer", "ann", "--request-id", "r")
    assert (ended.code, ended.out, ended.err) == (0, "TOKEN\n", VALID)
    assert fake.asked["Claim"] == [
        ClaimRequest(
            program="demo",
            request_id="r",
            offer={"campaign": 3, "offer_index": 1},
            customer={"customer_id": "ann"},
            risk={},
        )
    ]


def test_a_code_is_sent_as_it_was_typed_and_told_in_its_campaigns_zone(ask, fake):
    ended = ask("claim", "--code", " xjnh gy35-a455 YNS2\n", "--customer", "ann", "--lang", "zh")
    assert (ended.code, ended.out) == (0, "TOKEN\n")
    assert ended.err == "有效期     2026-12-30 08:00 +08:00 至 2027-01-04 02:13:20 +08:00\n"
    assert fake.asked["Claim"][0].code == "xjnh gy35-a455 YNS2"


def test_everything_known_of_the_customer_goes_along(ask, fake):
    ask(
        *("claim", "--campaign", "3", "--customer", "ann", "--tier", "gold", "--segment", "a", "--segment", "b"),
        *("--new", "--person", "p", "--device", "d", "--network", "192.0.2.7", "--payment", "f"),
    )
    (request,) = fake.asked["Claim"]
    customer, risk = request.customer, request.risk
    assert (customer.tier, customer.segments, customer.is_new, customer.person_id) == ("gold", ["a", "b"], True, "p")
    assert (risk.device_id, risk.network_address, risk.payment_fingerprint) == ("d", "192.0.2.7", "f")


@pytest.mark.parametrize(("flags", "said"), [((), None), (("--new",), True), (("--not-new",), False)])
def test_unknown_is_neither_new_nor_not(ask, fake, flags, said):
    ask("claim", "--campaign", "3", "--customer", "ann", *flags)
    customer = fake.asked["Claim"][0].customer
    assert (customer.is_new if customer.HasField("is_new") else None) is said


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            ClaimResponse(outcome=v1.OUTCOME_CODE_INVALID, disposition=v1.DISPOSITION_FINAL),
            "CODE_INVALID (final)   not a valid code, or one that was used already; check that it is complete",
        ),
        (
            ClaimResponse(outcome=v1.OUTCOME_CODE_MISTYPED, disposition=v1.DISPOSITION_CHANGE_ORDER),
            f"CODE_MISTYPED (change the claim)   {MISTYPED}",
        ),
        (
            ClaimResponse(
                outcome=v1.OUTCOME_ISSUE_LIMIT,
                disposition=v1.DISPOSITION_TRY_LATER,
                detail=Detail(try_after=Timestamp(seconds=1_798_588_800)),
            ),
            "ISSUE_LIMIT (try later)   handed out for today; more on 2026-12-30 at 08:00",
        ),
        (
            ClaimResponse(outcome=v1.OUTCOME_CLAIM_LIMIT, disposition=v1.DISPOSITION_FINAL),
            "CLAIM_LIMIT (final)   you have claimed as many as allowed",
        ),
        (
            ClaimResponse(
                outcome=v1.OUTCOME_VELOCITY_EXCEEDED,
                disposition=v1.DISPOSITION_TRY_LATER,
                detail=Detail(try_after=Timestamp(seconds=IN_JUNE_2026 + 12)),
            ),
            "VELOCITY_EXCEEDED (try later)   not possible right now",
        ),
        (
            ClaimResponse(
                outcome=v1.OUTCOME_RISK_CONTEXT_REQUIRED,
                disposition=v1.DISPOSITION_FIX_CALLER,
                detail=Detail(missing_signals=[SUBJECT_KIND_DEVICE, SUBJECT_KIND_PERSON]),
            ),
            (
                "RISK_CONTEXT_REQUIRED (fix the caller)   the shop's checkout left out something that this coupon needs"
                "   missing: --device, --person"
            ),
        ),
    ],
)
def test_a_refusal_is_one_line_and_exit_code_1_and_no_token(ask, fake, answer, told):
    fake.answers["Claim"] = answer
    ended = ask("claim", "--campaign", "3", "--customer", "ann")
    assert (ended.code, ended.out, ended.err) == (1, "", f"{told}\n")


def test_a_typing_mistake_is_told_in_chinese(ask, fake):
    """As something to correct: there is no order to change."""
    fake.answers["Claim"] = ClaimResponse(outcome=v1.OUTCOME_CODE_MISTYPED, disposition=v1.DISPOSITION_CHANGE_ORDER)
    ended = ask("claim", "--code", "XJNH-GY53-A455-YNS2M", "--customer", "ann", "--lang", "zh")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "CODE_MISTYPED (修改后再领)   兑换码输入有误，请检查是否输错、漏输或多输\n"


def test_json_is_the_answer_of_the_contract(ask):
    ended = ask("claim", "--code", "x", "--customer", "ann", "--json")
    assert '"token": "TOKEN"' in ended.out
    assert '"outcome": "OUTCOME_APPROVED"' in ended.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--campaign is missing: give --campaign N, or --code CODE"),
        (("--campaign", "3", "--code", "x"), "--campaign and --code exclude each other"),
    ],
)
def test_what_to_claim_is_said_once(ask, fake, arguments, told):
    ended = ask("claim", "--customer", "ann", *arguments)
    assert (ended.code, ended.err) == (2, f"redemption: {told}\n")
    assert fake.asked == {}


def test_a_lost_answer_says_how_to_ask_again(ask, fake):
    fake.answers["Claim"] = failing(grpc.StatusCode.UNAVAILABLE, "stopping", reason="SERVER_STOPPING")
    ended = ask("claim", "--campaign", "3", "--customer", "ann", "--request-id", "try-1")
    assert ended.code == 3
    assert ended.err.endswith("to ask again safely: --request-id try-1\n")
