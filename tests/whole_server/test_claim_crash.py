"""Claims from outside, on a whole server: its ledger is killed (-9) in mid-rush, and nobody has two, or loses one."""

import os
import secrets
import signal

import grpc
import pytest
from waiting import SECONDS_MAX, until
from whole_server.callers import Load

from redemption.v1 import issuance_service_pb2, outcome_pb2

APPROVED, CLAIM_LIMIT = outcome_pb2.OUTCOME_APPROVED, outcome_pb2.OUTCOME_CLAIM_LIMIT
CODE_INVALID = outcome_pb2.OUTCOME_CODE_INVALID


def claim(client, customer, request_id, *, timeout=SECONDS_MAX, **source):
    request = issuance_service_pb2.ClaimRequest(
        program="demo", request_id=request_id, customer={"customer_id": customer}, **source
    )
    return client.issuance.Claim(request, timeout=timeout)


@pytest.mark.parametrize("by_code", [False, True], ids=["offers", "codes"])
def test_a_ledger_killed_in_a_rush_gives_every_retry_its_own_coupon(served, by_code):
    client, callers = served.client(), 6
    campaign = client.create("rush", claims_per_customer=1)
    codes = minted_codes(client, campaign.number, 3_000) if by_code else []
    sources = [{"code": code} for code in codes] or [{"offer": {"campaign": campaign.number}}] * 3_000

    def ask(client, customer, source):
        # Too short to wait until the ledger is back, so that callers notice its end.
        return claim(client, customer, f"r-{customer}", timeout=0.3, **source)

    load = Load(served, callers, {f"c-{index}": source for index, source in enumerate(sources)}, ask)
    for _ in range(2):
        load.until_answered(150)
        killed, felt = served.valkey, len(load.failures)
        with served.held():
            os.kill(killed, signal.SIGKILL)
            until(lambda felt=felt: len(load.failures) > felt)
        until(lambda killed=killed: served.valkey not in (None, killed))
        until(lambda: client.serving() == "SERVING")
    load.until_answered(100)
    load.stop()
    answers = load.answers
    assert set(load.failures) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert {answer.outcome for answer in answers.values()} == {APPROVED}
    assert len({answer.token for answer in answers.values()}) == len(answers)
    for name in list(answers)[:: max(len(answers) // 100, 1)]:
        assert claim(client, name, f"r-{name}", **load.asked[name]) == answers[name]
        again = claim(client, name, f"again-{name}", **load.asked[name])
        assert again.outcome == (CODE_INVALID if by_code else CLAIM_LIMIT)
    if not by_code:
        # An answer may have been lost for good at the end of the test; none that was given is.
        assert 0 <= client.stats(campaign.number).issued - len(answers) <= callers


def minted_codes(client, campaign, count):
    request = issuance_service_pb2.MintRequest(
        program="demo",
        request_id=secrets.token_hex(8),
        campaign=campaign,
        count=count,
        form=issuance_service_pb2.MINT_FORM_CODE,
    )
    return [token.code for part in client.issuance.Mint(request, timeout=SECONDS_MAX) for token in part.tokens]


def test_codes_and_claims_outlive_a_killed_server(started, tmp_path):
    """Everything is killed at once, and started again."""
    server = started(tmp_path)
    client = server.client()
    codes = minted_codes(client, 1, 3)
    first = claim(client, "ann", "r", code=codes[0])
    server.stop(signal.SIGKILL)
    client = started(tmp_path).client()
    until(lambda: client.serving() == "SERVING")
    assert claim(client, "ann", "r", code=codes[0]) == first
    assert claim(client, "bob", "s", code=codes[0]).outcome == CODE_INVALID
    assert claim(client, "bob", "t", code=codes[1]).outcome == APPROVED
