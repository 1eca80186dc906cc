"""``inspect`` and ``get``: what became of a token, of an attempt, of a receipt."""

import grpc
import pytest
from fake_server import failing
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.v1.campaign_pb2 import Campaign
from redemption.v1.campaign_service_pb2 import GetCampaignResponse
from redemption.v1.issuance_service_pb2 import TOKEN_STATE_INVALID, TOKEN_STATE_REDEEMED, InspectTokenResponse
from redemption.v1.redemption_service_pb2 import REDEMPTION_STATE_REDEEMED, GetRedemptionResponse, Redemption

USE = Redemption(
    redemption_id="RECEIPT",
    campaign=3,
    serial=17,
    discount_minor=50_00,
    redeem_time=Timestamp(seconds=1_798_675_200),
    state=REDEMPTION_STATE_REDEEMED,
)


@pytest.fixture(autouse=True)
def _campaign(fake):
    campaign = Campaign(number=3, name="满200减50", currency_code="CNY", time_zone="Asia/Shanghai")
    fake.answers["GetCampaign"] = GetCampaignResponse(campaign=campaign)


def test_a_token_is_told_in_full(ask, fake):
    fake.answers["InspectToken"] = InspectTokenResponse(
        state=TOKEN_STATE_REDEEMED,
        key_id="869c84ca",
        campaign=3,
        serial=17,
        not_before=Timestamp(seconds=1_798_588_800),
        expire_time=Timestamp(seconds=1_799_000_000),
        holder_bound=True,
        redemption=USE,
    )
    ended = ask("inspect", "TOKEN")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.replace("\N{MINUS SIGN}", "-") == (
        "REDEEMED\n"
        "campaign   3 满200减50, offer 0, serial 17\n"
        "valid      2026-12-30 08:00 +08:00 until 2027-01-04 02:13:20 +08:00\n"
        "holder     bound to one customer\n"
        "key        869c84ca\n"
        "redeemed   2026-12-31 08:00 +08:00, -¥50.00\n"
        "receipt    RECEIPT\n"
    )


def test_what_is_no_token_is_said_and_nothing_more(ask, fake):
    fake.answers["InspectToken"] = InspectTokenResponse(state=TOKEN_STATE_INVALID)
    ended = ask("inspect", "TOKEN", "--program", "shop")
    assert (ended.code, ended.out) == (1, "INVALID   not a token of program shop\n")


@pytest.mark.parametrize("flag", ["--request-id", "--receipt"])
def test_the_truth_after_a_lost_answer(ask, fake, flag):
    fake.answers["GetRedemption"] = GetRedemptionResponse(redemptions=[USE])
    ended = ask("get", flag, "X")
    assert ended.out.replace("\N{MINUS SIGN}", "-") == (
        "REDEEMED   -¥50.00   2026-12-31 08:00 +08:00\ncampaign   3 满200减50, serial 17\nreceipt    RECEIPT\n"
    )
    lookup = fake.asked["GetRedemption"][0].WhichOneof("lookup")
    assert lookup == {"--request-id": "request_id", "--receipt": "redemption_id"}[flag]


def test_nothing_approved_is_a_no(ask, fake):
    fake.answers["GetRedemption"] = failing(grpc.StatusCode.NOT_FOUND, "nothing was approved", reason="NOT_FOUND")
    ended = ask("get", "--request-id", "X", "--json")
    assert (ended.code, ended.out, ended.err) == (1, "", "redemption: NOT_FOUND: nothing was approved\n")


@pytest.mark.parametrize("flags", [(), ("--request-id", "X", "--receipt", "Y")])
def test_one_of_both_is_needed(command, flags):
    ended = command("get", *flags)
    assert (ended.code, ended.err) == (2, "redemption: give either --request-id or --receipt\n")
