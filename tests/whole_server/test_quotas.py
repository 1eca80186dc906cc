"""Quotas of the environment reach the workers, and what they do is in the log."""

import grpc
from served import redeem_request
from waiting import SECONDS_MAX

from redemption.client import failure_of
from redemption.v1 import redemption_service_pb2


def test_a_quota_that_is_set_is_kept(started, tmp_path):
    quotas = '{"demo": {"calls_per_second": 0.001, "burst": 2}}'
    served = started(tmp_path, environment={"REDEMPTION_QUOTAS__PROGRAMS": quotas})
    client = served.client()
    for number in range(2):
        client.redeem(served.sample_token, request_id=f"r{number}")
    batch = redemption_service_pb2.BatchRedeemRequest(
        program="demo", requests=[redeem_request(served.sample_token, request_id=f"b{number}") for number in range(3)]
    )
    for _ in range(3):
        try:
            client.redemption.BatchRedeem(batch, timeout=SECONDS_MAX)
        except grpc.RpcError as error:
            failure = failure_of(error)
        assert (failure.reason, failure.quota) == ("QUOTA_EXCEEDED", "program")
    client.mint(1, 1)
    told = [event for event in served.events() if "over a quota" in event["event"]]
    assert [(event["level"], event["quota"], event["name"]) for event in told] == [("warning", "program", "demo")]
