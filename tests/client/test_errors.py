"""What a call raises: three classes by what the caller does next, also for the errors of the gRPC library itself."""

import copy
import pickle
import time

import grpc
import pytest
from fake_server import failing
from waiting import SECONDS_MAX

from redemption.client import (
    AsyncRedemptionClient,
    CallFailed,
    Failure,
    RedeemRequest,
    RedeemResponse,
    RedemptionClient,
    RequestRejected,
    ServerFailed,
    TryAgain,
    connect,
    connect_aio,
)

Code = grpc.StatusCode


def raised(address, *, options=(), metadata=(), request=None):
    """What a Redeem raises."""
    with (
        connect(address, deadline_seconds=SECONDS_MAX, options=options) as channel,
        pytest.raises(CallFailed) as caught,
    ):
        RedemptionClient(channel).redeem(request or RedeemRequest(), metadata=metadata)
    return caught.value


@pytest.mark.parametrize(
    ("code", "reason", "retry_after_seconds", "expected"),
    [
        (Code.UNAVAILABLE, "LEDGER_UNAVAILABLE", 0.2, TryAgain),
        (Code.UNAVAILABLE, "SERVER_STOPPING", 1.0, TryAgain),
        (Code.RESOURCE_EXHAUSTED, "OVERLOADED", 0.1, TryAgain),
        (Code.RESOURCE_EXHAUSTED, "OVERLOADED", None, TryAgain),
        (Code.RESOURCE_EXHAUSTED, "TOO_LARGE", None, RequestRejected),
        (Code.RESOURCE_EXHAUSTED, "", None, RequestRejected),
        (Code.RESOURCE_EXHAUSTED, "", 2.0, TryAgain),
        (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", None, TryAgain),
        (Code.CANCELLED, "", None, TryAgain),
        (Code.INVALID_ARGUMENT, "INVALID_REQUEST", None, RequestRejected),
        (Code.NOT_FOUND, "NOT_FOUND", None, RequestRejected),
        (Code.ABORTED, "ETAG_MISMATCH", None, RequestRejected),
        (Code.FAILED_PRECONDITION, "LIMIT_REACHED", None, RequestRejected),
        (Code.UNIMPLEMENTED, "NOT_IMPLEMENTED", None, RequestRejected),
        (Code.UNAUTHENTICATED, "", None, RequestRejected),
        (Code.INTERNAL, "INTERNAL", None, ServerFailed),
        (Code.UNKNOWN, "", None, ServerFailed),
        (Code.DATA_LOSS, "", None, ServerFailed),
    ],
)
def test_each_failure_is_of_the_class_that_says_what_to_do(fake, code, reason, retry_after_seconds, expected):
    fake.answers["Redeem"] = failing(code, "told", reason=reason, retry_after_seconds=retry_after_seconds)
    error = raised(fake.address)
    assert type(error) is expected
    assert (error.code, error.message, error.retry_after_seconds) == (code, "told", retry_after_seconds)


def test_an_exception_says_status_reason_and_text_and_names_the_field(fake):
    fake.answers["Redeem"] = failing(
        Code.INVALID_ARGUMENT, "two things", reason="INVALID_REQUEST", violations=[("a.b", "is empty"), ("c", "is not")]
    )
    error = raised(fake.address)
    assert str(error) == "INVALID_ARGUMENT (INVALID_REQUEST): two things"
    assert (error.reason, error.field) == ("INVALID_REQUEST", "a.b")
    assert [violation.problem for violation in error.violations] == ["is empty", "is not"]
    assert isinstance(error.__cause__, grpc.RpcError)


async def test_with_asyncio_it_is_the_same(fake):
    fake.answers["Redeem"] = failing(Code.INVALID_ARGUMENT, "no", reason="INVALID_REQUEST", violations=[("a", "is")])
    async with connect_aio(fake.address) as channel:
        with pytest.raises(RequestRejected) as caught:
            await AsyncRedemptionClient(channel).redeem(RedeemRequest())
    assert caught.value.field == "a"


def test_an_overload_is_not_mistaken_for_a_request_that_is_too_large():
    """Both are RESOURCE_EXHAUSTED, and only one is worth a retry."""
    assert not issubclass(TryAgain, RequestRejected)
    assert {each.__base__ for each in (TryAgain, RequestRejected, ServerFailed)} == {CallFailed}


# What gRPC's own code raises has no details. These are its real errors, from its real code.
def test_a_request_that_grpc_does_not_send_is_rejected(fake):
    error = raised(
        fake.address,
        options=[("grpc.max_send_message_length", 1000), ("grpc.enable_retries", 0)],
        request=RedeemRequest(request_id="x" * 2000),
    )
    assert (type(error), error.code, error.reason) == (RequestRejected, Code.RESOURCE_EXHAUSTED, "TOO_LARGE")
    assert str(error).endswith("send less in one call; the same request will fail every time")


def test_a_request_that_grpc_does_not_receive_is_rejected(fake):
    """The server here is grpcio's, which takes 4 MiB."""
    request = RedeemRequest(request_id="x" * (5 << 20))
    error = raised(fake.address, request=request, options=[("grpc.enable_retries", 0)])
    assert (type(error), error.code, error.reason) == (RequestRejected, Code.RESOURCE_EXHAUSTED, "TOO_LARGE")


def test_headers_that_grpc_does_not_take_are_rejected(fake):
    error = raised(fake.address, metadata=[("long", "x" * 20_000)], options=[("grpc.enable_retries", 0)])
    assert (type(error), error.code, error.reason) == (RequestRejected, Code.RESOURCE_EXHAUSTED, "HEADERS_TOO_LARGE")


def test_an_answer_that_grpc_does_not_take_may_have_been_an_approval(fake):
    def answer(_request, _context):
        response = RedeemResponse()
        response.decision.settlement = bytes(2000)
        return response

    fake.answers["Redeem"] = answer
    error = raised(fake.address, options=[("grpc.max_receive_message_length", 1000)])
    assert (type(error), error.code, error.reason) == (ServerFailed, Code.RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE")
    assert "with the same request id" in str(error)
    assert len(fake.asked["Redeem"]) == 1, "gRPC does not ask again after an answer"


def test_a_server_that_is_not_there_is_worth_another_try():
    error = raised("127.0.0.1:1", options=[("grpc.enable_retries", 0)])
    assert (type(error), error.code, error.reason) == (TryAgain, Code.UNAVAILABLE, "UNREACHABLE")
    assert "check that a server is there" in str(error)


def test_a_deadline_of_the_caller_leaves_it_open(fake):
    def hang(_request, context):
        while context.is_active():
            time.sleep(0.01)
        return RedeemResponse()

    fake.answers["Redeem"] = hang
    with connect(fake.address) as channel, pytest.raises(TryAgain) as caught:
        RedemptionClient(channel).redeem(RedeemRequest(), timeout=0.05)
    assert (caught.value.code, caught.value.reason) == (Code.DEADLINE_EXCEEDED, "NO_ANSWER")
    assert "it is not known whether anything was done" in str(caught.value)


def test_an_overload_is_retried_by_the_channel_and_what_is_too_large_is_not(fake):
    """The server tells gRPC by a header, which has to reach its retries."""

    def too_large(_request, context):
        context.set_trailing_metadata((("grpc-retry-pushback-ms", "-1"),))
        context.abort(Code.RESOURCE_EXHAUSTED, "too large")

    fake.answers["Redeem"] = too_large
    raised(fake.address)
    assert len(fake.asked["Redeem"]) == 1
    fake.answers["Redeem"] = failing(Code.RESOURCE_EXHAUSTED, "busy", reason="OVERLOADED")
    raised(fake.address)
    assert len(fake.asked["Redeem"]) == 6


@pytest.mark.parametrize("kind", [TryAgain, RequestRejected, ServerFailed])
@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_an_exception_goes_from_one_process_to_another(kind, again):
    """A pool of processes does that; an exception that cannot breaks the whole pool."""
    error = kind(Failure(Code.UNAVAILABLE, "the ledger is full", "LEDGER_REFUSES", retry_after_seconds=0.5))
    found = again(error)
    assert (type(found), str(found), found.failure) == (kind, str(error), error.failure)
