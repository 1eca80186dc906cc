"""``get``: the decision of a request, or of a receipt."""

import grpc
import pytest
from cli.answers import REDEMPTION
from fake_server import failing

from redemption.v1.redemption_service_pb2 import GetRedemptionResponse


@pytest.mark.parametrize("flag", ["--request-id", "--receipt"])
def test_the_truth_after_a_lost_answer(ask, fake, campaign_3, flag):
    fake.answers["GetRedemption"] = GetRedemptionResponse(redemptions=[REDEMPTION])
    ended = ask("get", flag, "X")
    assert ended.out.replace("\N{MINUS SIGN}", "-") == (
        "REDEEMED   -¥50.00   2026-12-31 08:00 +08:00\ncampaign   3 满200减50, serial 17\nreceipt    RECEIPT\n"
    )
    lookup = fake.asked["GetRedemption"][0].WhichOneof("lookup")
    assert lookup == {"--request-id": "request_id", "--receipt": "redemption_id"}[flag]


def test_nothing_approved_is_a_no(ask, fake):
    fake.answers["GetRedemption"] = failing(grpc.StatusCode.NOT_FOUND, "nothing was approved", reason="NOT_FOUND")
    ended = ask("get", "--request-id", "X")
    assert (ended.code, ended.out, ended.err) == (1, "", "redemption: NOT_FOUND: nothing was approved\n")


@pytest.mark.parametrize("flags", [(), ("--request-id", "X", "--receipt", "Y")])
def test_one_of_both_is_needed(command, flags):
    ended = command("get", *flags)
    assert (ended.code, ended.err) == (2, "redemption: give either --request-id or --receipt\n")
