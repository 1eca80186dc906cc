"""Failures: what a failed call says of itself."""

import grpc
import pytest
from fake_server import failing

from redemption.client import Failure, FieldViolation, OtherField, RedemptionClient, connect, failure_of
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


def test_what_belongs_to_a_reason_is_read_with_it(fake):
    """A number that is 0 is told, one that is not there is None; the last violation has no values any more."""
    other = {"field": "limits.budget_minor", "value": 500}
    fake.answers["Redeem"] = failing(
        grpc.StatusCode.INVALID_ARGUMENT,
        "wrong",
        violations=[
            ("a", "is wrong"),
            ("b", "is too", "OUT_OF_RANGE"),
            ("c", "is more", "MORE"),
            ("d", "is", "REQUIRED"),
        ],
        values=[{}, {"least": 0, "most": 9, "given": -1}, {"given": 600, "others": [other, {"field": "e"}]}],
    )
    assert failure(fake).violations == (
        FieldViolation("a", "is wrong"),
        FieldViolation("b", "is too", "OUT_OF_RANGE", least=0, most=9, given=-1),
        FieldViolation(
            "c", "is more", "MORE", given=600, others=(OtherField("limits.budget_minor", 500), OtherField("e"))
        ),
        FieldViolation("d", "is", "REQUIRED"),
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
