"""Failures: what the error of a call contains."""

import grpc
import pytest
from fake_server import failing
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

from redemption.client import Failure, FieldViolation, OtherField, connect, connect_aio, failure_of
from redemption.v1.redemption_service_pb2 import RedeemRequest
from redemption.v1.redemption_service_pb2_grpc import RedemptionServiceStub


def failure(fake):
    with connect(fake.address) as channel, pytest.raises(grpc.RpcError) as caught:
        RedemptionServiceStub(channel).Redeem(RedeemRequest())
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
    """A number that is 0 is kept, a missing one is None; the last violation has no values."""
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


async def test_the_same_is_read_of_a_call_with_asyncio(fake):
    fake.answers["Redeem"] = failing(grpc.StatusCode.UNAVAILABLE, "later", reason="STOPPING", retry_after_seconds=0.25)
    async with connect_aio(fake.address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            await RedemptionServiceStub(channel).Redeem(RedeemRequest())
    assert failure_of(caught.value) == Failure(
        grpc.StatusCode.UNAVAILABLE, "later", reason="STOPPING", retry_after_seconds=0.25
    )


TYPE_URL = "type.googleapis.com/google.rpc.ErrorInfo"
GOOD = Any(type_url=TYPE_URL, value=error_details_pb2.ErrorInfo(reason="OTHER").SerializeToString())


@pytest.mark.parametrize(
    "details",
    [
        b"\xff\xff\xff",
        status_pb2.Status(code=5, message="broken", details=[GOOD]).SerializeToString(),
        status_pb2.Status(code=13, message="whole", details=[GOOD]).SerializeToString(),
        status_pb2.Status(
            code=13, message="broken", details=[Any(type_url=TYPE_URL, value=b"\xff")]
        ).SerializeToString(),
    ],
    ids=["garbled", "of another code", "of another message", "a detail is garbled"],
)
def test_details_that_cannot_be_read_are_left_out(fake, details):
    def damaged(_request, context):
        context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(grpc.StatusCode.INTERNAL, "broken")

    fake.answers["Redeem"] = damaged
    assert failure(fake) == Failure(grpc.StatusCode.INTERNAL, "broken")


def test_a_plain_error_has_no_reason(fake):
    fake.answers["Redeem"] = failing(grpc.StatusCode.NOT_FOUND, "nothing")
    assert failure(fake) == Failure(grpc.StatusCode.NOT_FOUND, "nothing")
