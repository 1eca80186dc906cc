"""Claims from outside, on a whole server: its ledger is killed (-9) in mid-rush, and nobody has two, or loses one."""

import os
import secrets
import signal
import threading
import time

import grpc
import pytest
from served import Client, Served
from waiting import SECONDS_MAX, until

from redemption.v1 import issuance_service_pb2, outcome_pb2

APPROVED, CLAIM_LIMIT = outcome_pb2.OUTCOME_APPROVED, outcome_pb2.OUTCOME_CLAIM_LIMIT
CODE_INVALID = outcome_pb2.OUTCOME_CODE_INVALID


@pytest.fixture
def served(tmp_path):
    """A running server in an empty directory."""
    server = Served(tmp_path).start()
    yield server
    server.stop()


def claim(client, customer, request_id, *, timeout=SECONDS_MAX, **source):
    request = issuance_service_pb2.ClaimRequest(
        program="demo", request_id=request_id, customer={"customer_id": customer}, **source
    )
    return client.issuance.Claim(request, timeout=timeout)


class Crowd(threading.Thread):
    """Customers who claim one coupon each, one after the other, and try again with the same id until answered."""

    def __init__(self, channel, sources, name):
        super().__init__(daemon=True)
        self.client = Client(channel)
        self.sources = sources
        self.prefix = name
        self.answers = {}
        self.failures = []
        self.enough = threading.Event()

    def run(self):
        for index, source in enumerate(self.sources):
            name = f"{self.prefix}-{index}"
            while not self.enough.is_set():
                try:
                    # Not the patience to wait until the ledger is back, so that its end is felt.
                    self.answers[name] = claim(self.client, name, f"r-{name}", timeout=0.3, **source)
                except grpc.RpcError as error:
                    self.failures.append(error.code())
                    time.sleep(0.02)
                    continue
                break


@pytest.mark.parametrize("by_code", [False, True], ids=["offers", "codes"])
def test_a_ledger_killed_in_a_rush_gives_every_retry_its_own_coupon(served, by_code):
    client = served.client()
    campaign = client.create("rush", claims_per_customer=1)
    codes = minted_codes(client, campaign.number, 3_000) if by_code else []
    sources = [{"code": code} for code in codes] or [{"offer": {"campaign": campaign.number}}] * 3_000
    crowds = [Crowd(served.channel(), sources[part::6], f"c{part}") for part in range(6)]
    for crowd in crowds:
        crowd.start()
    for _ in range(2):
        before = sum(len(crowd.answers) for crowd in crowds)
        until(lambda before=before: sum(len(crowd.answers) for crowd in crowds) > before + 150)
        killed, felt = served.valkey, sum(len(crowd.failures) for crowd in crowds)
        with served.held():
            os.kill(killed, signal.SIGKILL)
            until(lambda felt=felt: sum(len(crowd.failures) for crowd in crowds) > felt)
        until(lambda killed=killed: served.valkey not in (None, killed))
        until(lambda: client.serving() == "SERVING")
    count = sum(len(crowd.answers) for crowd in crowds)
    until(lambda: sum(len(crowd.answers) for crowd in crowds) > count + 100)
    for crowd in crowds:
        crowd.enough.set()
    for crowd in crowds:
        crowd.join(SECONDS_MAX)
    answers = {name: answer for crowd in crowds for name, answer in crowd.answers.items()}
    failures = {failure for crowd in crowds for failure in crowd.failures}
    assert failures <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert {answer.outcome for answer in answers.values()} == {APPROVED}
    assert len({answer.token for answer in answers.values()}) == len(answers)
    sample = list(answers)[:: max(len(answers) // 100, 1)]
    sources_of = {f"{crowd.prefix}-{index}": source for crowd in crowds for index, source in enumerate(crowd.sources)}
    for name in sample:
        assert claim(client, name, f"r-{name}", **sources_of[name]) == answers[name]
        again = claim(client, name, f"again-{name}", **sources_of[name])
        assert again.outcome == (CODE_INVALID if by_code else CLAIM_LIMIT)
    if not by_code:
        # An answer may have been lost for good at the end of the test; none that was given is.
        assert 0 <= client.stats(campaign.number).issued - len(answers) <= len(crowds)


def minted_codes(client, campaign, count):
    request = issuance_service_pb2.MintRequest(
        program="demo",
        request_id=secrets.token_hex(8),
        campaign=campaign,
        count=count,
        form=issuance_service_pb2.MINT_FORM_CODE,
    )
    return [token.code for part in client.issuance.Mint(request, timeout=SECONDS_MAX) for token in part.tokens]


def test_codes_and_claims_outlive_a_killed_server(tmp_path):
    """Everything is killed at once, and started again."""
    server = Served(tmp_path).start()
    try:
        client = server.client()
        codes = minted_codes(client, 1, 3)
        first = claim(client, "ann", "r", code=codes[0])
        server.stop(signal.SIGKILL)
        server.port = 0
        client = server.start().client()
        until(lambda: client.serving() == "SERVING")
        assert claim(client, "ann", "r", code=codes[0]) == first
        assert claim(client, "bob", "s", code=codes[0]).outcome == CODE_INVALID
        assert claim(client, "bob", "t", code=codes[1]).outcome == APPROVED
    finally:
        server.stop()
