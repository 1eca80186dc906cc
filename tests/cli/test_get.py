"""``get``: the decision of a request, or of a receipt."""

import grpc
import pytest
from cli.answers import REDEMPTION
from fake_server import failing

from redemption.v1.redemption_service_pb2 import GetRedemptionResponse, Redemption


@pytest.mark.parametrize("flag", ["--request-id", "--receipt"])
def test_the_truth_after_a_lost_answer(ask, fake, campaign_3, flag):
    fake.answers["GetRedemption"] = GetRedemptionResponse(redemptions=[REDEMPTION])
    ended = ask("get", flag, "X")
    assert ended.out.replace("\N{MINUS SIGN}", "-") == (
        "REDEEMED   -¥50.00   2026-12-31 08:00 +08:00\ncampaign   3 满200减50, serial 17\nreceipt    RECEIPT\n"
    )
    lookup = fake.asked["GetRedemption"][0].WhichOneof("lookup")
    assert lookup == {"--request-id": "request_id", "--receipt": "redemption_id"}[flag]


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        (
            {"state": 3, "reversed_minor": 12_50},
            "PARTLY REVERSED   -¥50.00   2026-12-31 08:00 +08:00   ¥12.50 given back",
        ),
        ({"state": 4, "reversed_minor": 50_00}, "REVERSED   -¥50.00   2026-12-31 08:00 +08:00   ¥50.00 given back"),
        ({"state": 1, "redeem_time": None, "redemption_id": ""}, "RESERVED   -¥50.00"),
    ],
)
def test_the_state_is_told_with_what_belongs_to_it(ask, fake, campaign_3, changes, first):
    found = Redemption()
    found.CopyFrom(REDEMPTION)
    for name, value in changes.items():
        if value is None:
            found.ClearField(name)
        else:
            setattr(found, name, value)
    fake.answers["GetRedemption"] = GetRedemptionResponse(redemptions=[found])
    lines = ask("get", "--request-id", "X").out.replace("\N{MINUS SIGN}", "-").splitlines()
    assert lines[0] == first
    assert any(line.startswith("receipt") for line in lines) == bool(found.redemption_id)


def test_nothing_approved_is_a_no(ask, fake):
    fake.answers["GetRedemption"] = failing(grpc.StatusCode.NOT_FOUND, "nothing was approved", reason="NOT_FOUND")
    ended = ask("get", "--request-id", "X")
    assert (ended.code, ended.out, ended.err) == (1, "", "redemption: NOT_FOUND: nothing was approved\n")


@pytest.mark.parametrize("flags", [(), ("--request-id", "X", "--receipt", "Y")])
def test_one_of_both_is_needed(command, flags):
    ended = command("get", *flags)
    assert (ended.code, ended.err) == (2, "redemption: give either --request-id or --receipt\n")
