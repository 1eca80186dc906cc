"""``inspect``: what a token contains, and its state."""

import pytest
from cli.answers import REDEMPTION
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.v1.issuance_service_pb2 import (
    TOKEN_STATE_INVALID,
    TOKEN_STATE_REDEEMED,
    TOKEN_STATE_UNUSED,
    InspectTokenResponse,
)

pytestmark = pytest.mark.usefixtures("campaign_3")


def test_a_token_is_told_in_full(ask, fake):
    fake.answers["InspectToken"] = InspectTokenResponse(
        state=TOKEN_STATE_REDEEMED,
        key_id="869c84ca",
        campaign=3,
        serial=17,
        not_before=Timestamp(seconds=1_798_588_800),
        expire_time=Timestamp(seconds=1_799_000_000),
        holder_bound=True,
        redemption=REDEMPTION,
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


def test_a_token_that_is_honoured_longer_says_until_when(ask, fake):
    """Beside its own expiry, which is signed and stays."""
    fake.answers["InspectToken"] = InspectTokenResponse(
        state=TOKEN_STATE_UNUSED,
        campaign=3,
        expire_time=Timestamp(seconds=1_799_000_000),
        honoured_until=Timestamp(seconds=1_799_100_000),
    )
    lines = ask("inspect", "TOKEN").out.splitlines()
    assert lines[2].endswith("until 2027-01-04 02:13:20 +08:00")
    assert lines[3] == "honoured   until 2027-01-05 06:00 +08:00, by the campaign"


def test_what_is_no_token_is_said_and_nothing_more(ask, fake):
    fake.answers["InspectToken"] = InspectTokenResponse(state=TOKEN_STATE_INVALID)
    ended = ask("inspect", "TOKEN", "--program", "shop")
    assert (ended.code, ended.out) == (1, "INVALID   not a token of program shop\n")
