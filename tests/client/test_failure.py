"""Failures: what a failed call says of itself."""

import grpc
import pytest
from fake_server import failing

from redemption.client import Failure, FieldViolation, RedemptionClient, connect, failure_of
from redemption.v1.redemption_service_pb2 import RedeemRequest


def failure(fake):
    with connect(fake.address) as channel, pytest.raises(grpc.RpcError) as caught:
        RedemptionClient(channel).redeem(RedeemRequest())
    return failure_of(caught.value)


def test_every_detail_of_a_rich_error_is_read(fake):
    fake.answers["Redeem"] = failing(
        grpc.StatusCode.INVALID_ARGUMENT,
        "wrong",
        reason="INVALID_REQUEST",
        violations=[("request_id", "is required")],
        retry_after_seconds=0.25,
    )
    assert failure(fake) == Failure(
        grpc.StatusCode.INVALID_ARGUMENT,
        "wrong",
        reason="INVALID_REQUEST",
        violations=(FieldViolation("request_id", "is required"),),
        retry_after_seconds=0.25,
    )


def test_details_that_cannot_be_read_are_left_out(fake):
    def garbled(_request, context):
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff\xff"),))
        context.abort(grpc.StatusCode.INTERNAL, "broken")

    fake.answers["Redeem"] = garbled
    assert failure(fake) == Failure(grpc.StatusCode.INTERNAL, "broken")


def test_a_plain_error_has_no_reason(fake):
    fake.answers["Redeem"] = failing(grpc.StatusCode.NOT_FOUND, "nothing")
    assert failure(fake) == Failure(grpc.StatusCode.NOT_FOUND, "nothing")
