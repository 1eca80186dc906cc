"""The output is told whatever its encoding is, and whoever reads it."""

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass

import grpc
import pytest
from cli.answers import approved, no, off
from fake_server import failing
from google.protobuf.timestamp_pb2 import Timestamp
from waiting import SECONDS_MAX

from redemption.cli.output.streams import prepare_streams
from redemption.cli.root import run
from redemption.v1 import outcome_pb2 as v1
from redemption.v1.campaign_service_pb2 import GetCampaignResponse, GetCampaignStatsResponse, ListCampaignsResponse
from redemption.v1.issuance_service_pb2 import TOKEN_STATE_REDEEMED, ClaimResponse, InspectTokenResponse
from redemption.v1.redemption_service_pb2 import GetRedemptionResponse, QuoteResponse, RedeemResponse

ENCODINGS = ["gbk", "cp1252", "latin-1", "ascii"]
REDEEM = ("redeem", "TOKEN", "--order", "1", "--spend", "238.00")
ALONE = [off(0, 3, 50_00), no(1, 3, v1.OUTCOME_MIN_SPEND_NOT_MET, missing_minor=12_00)]


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def command(fake, monkeypatch):
    """Type a command whose output has an encoding, and return what was printed, decoded with it."""

    def type_(encoding, *arguments):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2)]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            patch.setenv("REDEMPTION_SERVER", fake.address)
            prepare_streams()
            code = run([str(each) for each in arguments])
        return Ended(code, *(stream.buffer.getvalue().decode(encoding, "replace") for stream in streams))

    return type_


@pytest.fixture
def answers(fake, existing):
    """A shop that speaks Chinese, with signs that few encodings have."""
    existing.name = "双11 满200减50 \N{PARTY POPPER}"
    redemption = GetRedemptionResponse(redemptions=[{"campaign": 3, "discount_minor": 50_00}])
    fake.answers |= {
        "Redeem": RedeemResponse(decision=approved(off(0, 3, 50_00))),
        "Quote": QuoteResponse(alone=ALONE, together=approved(*ALONE), chosen=[0]),
        "Claim": ClaimResponse(outcome=v1.OUTCOME_APPROVED, token="TOKEN", expire_time=Timestamp(seconds=9)),
        "GetRedemption": redemption,
        "InspectToken": InspectTokenResponse(
            campaign=3, state=TOKEN_STATE_REDEEMED, redemption=redemption.redemptions[0]
        ),
        "GetCampaign": GetCampaignResponse(campaign=existing),
        "ListCampaigns": ListCampaignsResponse(campaigns=[existing]),
        "GetCampaignStats": GetCampaignStatsResponse(stats={"discount_minor": 50_00}),
    }


COMMANDS = [
    (*REDEEM, "--lang", "zh"),
    REDEEM,
    ("quote", "A", "B", "--order", "1", "--spend", "238.00", "--best", "--lang", "zh"),
    ("claim", "--campaign", "3", "--customer", "安", "--lang", "zh"),
    ("get", "--request-id", "X"),
    ("inspect", "TOKEN"),
    ("campaigns", "list"),
    ("campaigns", "show", "3"),
    ("campaigns", "stats", "3"),
]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_ends_as_it_does_in_utf_8(command, answers, encoding, as_json, arguments):
    ended = command(encoding, *arguments, *as_json)
    assert (ended.code, "Traceback" in ended.err) == (0, False), ended.err
    assert ended.out
    if as_json:
        assert json.loads(ended.out) == json.loads(command("utf-8", *arguments, *as_json).out)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("arguments", [("--help",), ("mint", "--help"), ("campaigns", "schema")], ids=" ".join)
def test_help_can_be_read_everywhere(command, encoding, arguments):
    ended = command(encoding, *arguments)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "APPROVED   \N{MINUS SIGN}¥50.00   pay ¥188.00"),
        ("gbk", "APPROVED   -\N{FULLWIDTH YEN SIGN}50.00   pay \N{FULLWIDTH YEN SIGN}188.00"),
        ("cp1252", "APPROVED   -¥50.00   pay ¥188.00"),
        ("latin-1", "APPROVED   -¥50.00   pay ¥188.00"),
        ("ascii", "APPROVED   -Y50.00   pay Y188.00"),
    ],
)
def test_a_sign_that_is_missing_becomes_one_that_people_can_read(command, answers, encoding, expected):
    assert command(encoding, *REDEEM).out.startswith(expected)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_a_failure_is_told_in_every_encoding(command, fake, encoding, as_json):
    fake.answers["Redeem"] = failing(
        grpc.StatusCode.NOT_FOUND, "活动 满200减50 不存在 \N{PARTY POPPER}", reason="NOT_FOUND"
    )
    ended = command(encoding, *REDEEM, *as_json)
    assert (ended.code, "NOT_FOUND" in ended.err, "Traceback" in ended.err) == (1, True, False)
    if as_json:
        assert "满200减50" in json.loads(ended.out)["error"]["message"]


def shell(line, address, **environment):
    """Run a line of a shell, in which $R is the command."""
    environment = {**os.environ, "REDEMPTION_SERVER": address, "R": f"{sys.executable} -m redemption", **environment}
    return subprocess.run(["bash", "-c", line], capture_output=True, check=False, env=environment, timeout=SECONDS_MAX)


def test_a_real_shell_gets_the_verdict_in_its_encoding(fake, answers):
    ended = shell(f"$R {' '.join(REDEEM)}", fake.address, PYTHONIOENCODING="gbk")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.decode("gbk").startswith("APPROVED   -\N{FULLWIDTH YEN SIGN}50.00")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("$R {redeem} >&-", 0),
        ("$R {redeem} 2>&-", 0),
        ("$R {redeem} --json >&- 2>&-", 0),
        ("$R {redeem} | true; exit ${PIPESTATUS[0]}", 141),
        ("$R {redeem} --json | true; exit ${PIPESTATUS[0]}", 141),
        ("$R redeem --nope 2> >(true)", 2),
        ("$R redeem --nope --json 2>&1 | true; exit ${PIPESTATUS[0]}", 2),
    ],
)
def test_who_does_not_listen_changes_no_verdict(fake, answers, line, code):
    """Closed streams and broken pipes: no traceback, and the exit code of what was done."""
    # The reader has left before anything is written: Python takes longer to start than ``true`` to end.
    ended = shell(line.replace("{redeem}", " ".join(REDEEM)), fake.address)
    assert (ended.returncode, ended.stderr) == (code, b"")
