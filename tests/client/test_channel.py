"""Channels: the deadline, the retries, and the same over asyncio."""

import json
import time

import grpc
import pytest
from fake_server import failing
from waiting import SECONDS_MAX

from redemption.client import (
    AsyncRedemptionClient,
    BatchRedeemRequest,
    BatchRedeemResponse,
    MintedToken,
    MintRequest,
    MintResponse,
    RedeemRequest,
    RedeemResponse,
    RedemptionClient,
    RequestRejected,
    TryAgain,
    connect,
    connect_aio,
    new_request_id,
    service_config,
)
from redemption.client.channel import RETRY_BYTES_MAX
from redemption.rpc.request_limits import MESSAGE_BYTES_MAX
from redemption.rpc.transport.bounds import Bounds
from redemption.v1.outcome_pb2 import OUTCOME_APPROVED

HEADERS_BYTES_MAX = Bounds().header_bytes_max


def approved():
    response = RedeemResponse()
    response.decision.outcome = OUTCOME_APPROVED
    return response


def after_failures(code, times, answered=None):
    """Fail so often, then answer, by default with an approval."""
    left = iter(range(times))

    def answer(request, context):
        if next(left, None) is not None:
            failing(code, "busy", reason="OVERLOADED")(request, context)
        return approved() if answered is None else answered

    return answer


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_busy_server_is_asked_again_with_the_same_request_id(fake, code):
    fake.answers["Redeem"] = after_failures(code, 2)
    request = RedeemRequest(request_id=new_request_id())
    with connect(fake.address, deadline_seconds=SECONDS_MAX) as channel:
        response = RedemptionClient(channel).redeem(request)
    assert response == approved()
    assert fake.asked["Redeem"] == [request] * 3


def batch(orders, lines, *, padding=0):
    """A batch of orders with so many lines, and a first order id that makes it so many bytes longer."""
    order = {"lines": [{"line_id": str(index), "sku": f"sku-{index:060}", "quantity": 1} for index in range(lines)]}
    requests = [RedeemRequest(request_id=str(index), checkout={"order": order}) for index in range(orders)]
    requests[0].checkout.order.order_id = "x" * padding
    return BatchRedeemRequest(program="demo", requests=requests)


def longest_batch():
    short = batch(256, 20)
    longest = batch(256, 20, padding=MESSAGE_BYTES_MAX - short.ByteSize() - 20)
    assert MESSAGE_BYTES_MAX - 20 < longest.ByteSize() <= MESSAGE_BYTES_MAX
    return longest


@pytest.mark.parametrize(
    "make", [lambda: batch(64, 20), lambda: batch(256, 20), longest_batch], ids=["64x20", "256x20", "longest"]
)
def test_a_call_is_tried_again_whatever_its_length(fake, make):
    """By default gRPC gives a call of more than 256 KiB one attempt alone."""
    request = make()
    fake.answers["BatchRedeem"] = after_failures(grpc.StatusCode.UNAVAILABLE, 2, BatchRedeemResponse())
    with connect(fake.address, deadline_seconds=SECONDS_MAX) as channel:
        RedemptionClient(channel).batch_redeem(request)
    assert len(fake.asked["BatchRedeem"]) == 3
    assert fake.asked["BatchRedeem"][-1] == request


async def test_a_long_call_with_asyncio_is_tried_again(fake):
    fake.answers["BatchRedeem"] = after_failures(grpc.StatusCode.UNAVAILABLE, 2, BatchRedeemResponse())
    async with connect_aio(fake.address, deadline_seconds=SECONDS_MAX) as channel:
        await AsyncRedemptionClient(channel).batch_redeem(batch(256, 20))
    assert len(fake.asked["BatchRedeem"]) == 3


def test_the_longest_message_of_the_server_and_its_headers_can_be_kept_for_a_retry():
    assert RETRY_BYTES_MAX >= MESSAGE_BYTES_MAX + HEADERS_BYTES_MAX


def test_the_policy_in_the_file_is_one_that_every_language_takes():
    """A gRPC library allows at most five attempts, and refuses a policy that is not whole."""
    default, health = json.loads(service_config())["methodConfig"]
    policy = default["retryPolicy"]
    assert default["name"] == [{}], "all methods of all services"
    assert set(policy) == {"maxAttempts", "initialBackoff", "maxBackoff", "backoffMultiplier", "retryableStatusCodes"}
    assert 1 < policy["maxAttempts"] <= 5
    assert health == {"name": [{"service": "grpc.health.v1.Health"}]}, "a health check wants the state of this moment"


def test_a_request_that_is_wrong_is_not_sent_twice(fake):
    fake.answers["Redeem"] = failing(grpc.StatusCode.INVALID_ARGUMENT, "no")
    with connect(fake.address, deadline_seconds=SECONDS_MAX) as channel, pytest.raises(RequestRejected):
        RedemptionClient(channel).redeem(RedeemRequest())
    assert len(fake.asked["Redeem"]) == 1


def test_retries_end(fake):
    fake.answers["Redeem"] = failing(grpc.StatusCode.UNAVAILABLE, "down", reason="LEDGER_UNAVAILABLE")
    with connect(fake.address, deadline_seconds=SECONDS_MAX) as channel, pytest.raises(TryAgain):
        RedemptionClient(channel).redeem(RedeemRequest())
    assert len(fake.asked["Redeem"]) == 5


def hang(_request, context):
    while context.is_active():
        time.sleep(0.01)
    return approved()


DEADLINES = pytest.mark.parametrize(
    ("of_channel", "own", "expected"), [(300, None, 300), (5_000, 300, 300), (100, 500, 500)]
)


@pytest.fixture
def times_left(fake):
    """How much time each call had when it came."""
    left = []

    def answer(_request, context):
        left.append(context.time_remaining())
        return approved()

    fake.answers["Redeem"] = answer
    return left


@DEADLINES
def test_a_call_has_its_own_deadline_or_else_the_channels(fake, times_left, of_channel, own, expected):
    """And neither an earlier one, which gRPC's service config would give it, nor a later one."""
    with connect(fake.address, deadline_seconds=of_channel) as channel:
        RedemptionClient(channel).redeem(RedeemRequest(), timeout=own)
    (left,) = times_left
    assert expected - SECONDS_MAX < left < expected + 5, "gRPC rounds it up on its way"


@DEADLINES
async def test_an_asyncio_call_has_its_own_deadline_or_else_the_channels(fake, times_left, of_channel, own, expected):
    async with connect_aio(fake.address, deadline_seconds=of_channel) as channel:
        await AsyncRedemptionClient(channel).redeem(RedeemRequest(), timeout=own)
    (left,) = times_left
    assert expected - SECONDS_MAX < left < expected + 5, "gRPC rounds it up on its way"


def test_a_call_ends_at_its_deadline_and_not_before(fake):
    fake.answers["Redeem"] = hang
    begun = time.monotonic()
    with connect(fake.address, deadline_seconds=0.3) as channel, pytest.raises(TryAgain) as caught:
        RedemptionClient(channel).redeem(RedeemRequest())
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - begun > 0.28


async def test_an_asyncio_call_ends_at_its_deadline_and_not_before(fake):
    fake.answers["Redeem"] = hang
    async with connect_aio(fake.address, deadline_seconds=0.3) as channel:
        begun = time.monotonic()
        with pytest.raises(TryAgain) as caught:
            await AsyncRedemptionClient(channel).redeem(RedeemRequest())
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - begun > 0.28


async def test_streams_have_time(fake):
    """A mint of many takes longer than any other call."""
    left = []

    def answer(_request, context):
        left.append(context.time_remaining())
        yield MintResponse(tokens=[MintedToken(token="T")])

    fake.answers["Mint"] = answer
    with connect(fake.address, deadline_seconds=0.3) as channel:
        assert len(list(RedemptionClient(channel).mint(MintRequest()))) == 1
    async with connect_aio(fake.address, deadline_seconds=0.3) as channel:
        assert len([part async for part in AsyncRedemptionClient(channel).mint(MintRequest())]) == 1
    assert [600 - SECONDS_MAX < seconds < 610 for seconds in left] == [True, True]


async def test_an_asyncio_channel_retries_alike(fake):
    fake.answers["Redeem"] = after_failures(grpc.StatusCode.UNAVAILABLE, 1)
    async with connect_aio(fake.address, deadline_seconds=SECONDS_MAX) as channel:
        response = await AsyncRedemptionClient(channel).redeem(RedeemRequest(request_id="1"))
    assert response == approved()
    assert len(fake.asked["Redeem"]) == 2


def test_request_ids_are_not_repeated():
    assert len({new_request_id() for _ in range(1000)}) == 1000


def test_tokens_do_not_go_through_a_web_proxy(fake, monkeypatch):
    """A proxy that the environment names for the web, here one that is not there, is not used."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    fake.answers["Redeem"] = approved()
    with connect(fake.address, deadline_seconds=SECONDS_MAX) as channel:
        assert RedemptionClient(channel).redeem(RedeemRequest()) == approved()


@pytest.mark.parametrize("connecting", [connect, connect_aio])
@pytest.mark.parametrize("address", ["", " "])
def test_an_address_that_is_empty_is_refused(connecting, address):
    """As of a variable that is not set."""
    with pytest.raises(ValueError, match="there is no address to connect to"):
        connecting(address)
