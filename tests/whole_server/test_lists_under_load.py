"""Lists that are changed under load: every decision that begins after a change obeys it, on every worker."""

import itertools
import os
import signal
import time
from collections import Counter

import grpc
import pytest
from served import redeem_request
from waiting import SECONDS_MAX, until
from whole_server.callers import Load

from redemption.v1 import order_pb2, outcome_pb2, risk_service_pb2, risk_service_pb2_grpc, rules_pb2

DENIED = outcome_pb2.OUTCOME_DENYLISTED
DEVICES = [f"d-{number}" for number in range(6)]
TOKENS = 60
REQUESTS = 100_000
"""More than are sent."""
CALLERS = 12
"""Each has a connection. Chance says which worker has it; of so many, each worker has some."""
AFTER = 60
"""So many requests are answered after each change."""


class Shoppers:
    """Requests of some devices, with the moments in which each was sent first and answered."""

    def __init__(self, tokens):
        what = itertools.cycle(zip(tokens, itertools.cycle(DEVICES), strict=False))
        self.asked = {f"r-{number}": next(what) for number in range(REQUESTS)}
        self.sent, self.answered = {}, {}

    def ask(self, client, request_id, what):
        """Send one request, perhaps again; returns whether it is denied."""
        token, device = what
        request = redeem_request(token, request_id=request_id)
        request.checkout.risk.CopyFrom(order_pb2.RiskContext(device_id=device))
        self.sent.setdefault(request_id, time.monotonic())
        decision = client.redemption.Redeem(request, timeout=SECONDS_MAX).decision
        self.answered[request_id] = time.monotonic()
        return decision.outcome == DENIED


class Desk:
    """Denies devices, and takes that back."""

    def __init__(self, channel):
        self._stub = risk_service_pb2_grpc.RiskServiceStub(channel)

    def change(self, device, *, denied):
        """Returns the moments in which the change was sent first and answered."""
        ask = self._stub.AddListEntries if denied else self._stub.RemoveListEntries
        form = risk_service_pb2.AddListEntriesRequest if denied else risk_service_pb2.RemoveListEntriesRequest
        request = form(program="demo", list="LIST_KIND_DENY", subjects=[rules_pb2.RiskSubject(device_id=device)])
        sent = time.monotonic()
        while True:
            try:
                ask(request, timeout=SECONDS_MAX, wait_for_ready=True)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                continue  # its worker was killed; a change is absolute, so it may be sent again
            return sent, time.monotonic()


def judged(answers, shoppers, changes):
    """How many requests were (not) denied before a device was denied, meanwhile, and after it was taken back.

    Those that were under way during a change may be either.
    """
    found = Counter()
    for request_id, denied in answers.items():
        _, device = shoppers.asked[request_id]
        sent, answered = shoppers.sent[request_id], shoppers.answered[request_id]
        (adding, added), (removing, removed) = changes[device]
        if answered < adding:
            found["before", denied] += 1
        elif sent > added and answered < removing:
            found["meanwhile", denied] += 1
        elif sent > removed:
            found["after", denied] += 1
    return found


@pytest.mark.parametrize("killed", [(), (2, 8)], ids=["", "while workers are killed"])
def test_every_decision_after_a_change_obeys_it_on_two_workers(started, tmp_path, killed):
    served = started(tmp_path, "--workers", "2")
    client, desk = served.client(), Desk(served.channel())
    shoppers = Shoppers(client.mint(client.create("lists").number, TOKENS))
    load = Load(served, CALLERS, shoppers.asked, shoppers.ask)
    changes = {device: [] for device in DEVICES}
    try:
        for number, device in enumerate(DEVICES * 2):
            load.until_answered(AFTER)
            if number in killed:
                os.kill(served.workers[-1], signal.SIGKILL)
            changes[device].append(desk.change(device, denied=number < len(DEVICES)))
        load.until_answered(AFTER)
    finally:
        load.stop()
    found = judged(load.answers, shoppers, changes)
    assert set(found) == {("before", False), ("meanwhile", True), ("after", False)}, found
    until(lambda: len(served.workers) == 2)
