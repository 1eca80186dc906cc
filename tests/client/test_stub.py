"""The typed clients have every call of the contract, and one import brings the messages that a checkout needs."""

import asyncio
import re
import subprocess
import sys
import threading
from contextlib import aclosing, closing
from typing import get_type_hints

import pytest
from fake_server import failing
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode
from waiting import SECONDS_MAX

import redemption.client
from redemption.client import (
    AsyncRedemptionClient,
    MintRequest,
    MintResponse,
    RedemptionClient,
    TryAgain,
    connect,
    connect_aio,
)
from redemption.client.calls import AsyncCall, AsyncStreamCall, Call, StreamCall
from redemption.v1 import (
    campaign_service_pb2,
    decision_pb2,
    issuance_service_pb2,
    order_pb2,
    outcome_pb2,
    redemption_service_pb2,
    risk_service_pb2,
)

METHODS = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower(): method
    for module in (redemption_service_pb2, issuance_service_pb2, campaign_service_pb2, risk_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


def messages(method):
    """An empty request and an empty answer."""
    return GetMessageClass(method.input_type)(), GetMessageClass(method.output_type)()


@pytest.fixture
def client(fake):
    with connect(fake.address) as channel:
        yield RedemptionClient(channel)


def test_every_method_of_every_service_can_be_called(client):
    assert sorted(vars(client)) == sorted(METHODS)


async def test_every_method_of_every_service_can_be_called_with_asyncio():
    async with connect_aio("127.0.0.1:1") as channel:
        assert sorted(vars(AsyncRedemptionClient(channel))) == sorted(METHODS)


@pytest.mark.parametrize(
    ("kind", "call", "stream_call"),
    [(RedemptionClient, Call, StreamCall), (AsyncRedemptionClient, AsyncCall, AsyncStreamCall)],
)
def test_each_call_has_the_types_of_the_contract(kind, call, stream_call):
    """Nothing but the annotations tells the types; the calls themselves come from the contract."""
    expected = {}
    for name, method in METHODS.items():
        types = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        expected[name] = (stream_call if method.server_streaming else call)[types]
    assert get_type_hints(kind) == expected


@pytest.mark.parametrize("name", METHODS)
async def test_each_call_goes_to_its_method_and_fails_with_our_exception(fake, client, name):
    """Blocking and with asyncio: once answered, once failing."""
    method = METHODS[name]
    request, answer = messages(method)
    stream = method.server_streaming
    async with connect_aio(fake.address) as channel:
        awaiting = AsyncRedemptionClient(channel)

        async def ask():
            call = getattr(awaiting, name)(request)
            return [each async for each in call] if stream else await call

        def ask_blocking():
            found = getattr(client, name)(request)
            return list(found) if stream else found

        fake.answers[method.name] = (lambda *_: iter([answer])) if stream else answer
        assert ask_blocking() == await ask() == ([answer] if stream else answer)
        assert fake.asked[method.name] == [request, request]

        fake.answers[method.name] = failing(StatusCode.UNAVAILABLE, "later", reason="OVERLOADED")
        with pytest.raises(TryAgain):
            ask_blocking()
        with pytest.raises(TryAgain):
            await ask()


def test_headers_and_a_deadline_go_along(fake, client):
    seen = []

    def answer(_request, context):
        seen.append((dict(context.invocation_metadata())["shop"], 5 < context.time_remaining() < 10))
        return redemption_service_pb2.RedeemResponse()

    fake.answers["Redeem"] = answer
    client.redeem(redemption_service_pb2.RedeemRequest(), timeout=9, metadata=[("shop", "4")])
    assert seen == [("4", True)]


@pytest.mark.parametrize(
    "module", [order_pb2, decision_pb2, outcome_pb2, redemption_service_pb2, issuance_service_pb2], ids=str
)
def test_what_a_checkout_sends_and_reads_comes_with_one_import(module):
    names = [*module.DESCRIPTOR.message_types_by_name, *module.DESCRIPTOR.enum_types_by_name]
    assert [getattr(redemption.client, name) for name in names] == [getattr(module, name) for name in names]
    assert set(names) <= set(redemption.client.__all__)


def test_every_disposition_comes_with_it():
    names = set(outcome_pb2.Disposition.keys()) - {"DISPOSITION_UNSPECIFIED"}
    assert names <= set(redemption.client.__all__)


def minting(fake):
    """Have Mint send parts without an end; return an event that is set when the call is cancelled."""
    cancelled = threading.Event()

    def parts(_request, context):
        context.add_callback(cancelled.set)
        while context.is_active():
            yield MintResponse()

    fake.answers["Mint"] = parts
    return cancelled


def test_closing_a_stream_cancels_the_call(fake, client):
    cancelled = minting(fake)
    with closing(client.mint(MintRequest())) as stream:
        assert next(stream) == MintResponse()
    assert cancelled.wait(SECONDS_MAX)


async def test_closing_a_stream_with_asyncio_cancels_the_call(fake):
    cancelled = minting(fake)
    async with connect_aio(fake.address) as channel:
        async with aclosing(AsyncRedemptionClient(channel).mint(MintRequest())) as stream:
            assert await anext(stream) == MintResponse()
        assert await asyncio.to_thread(cancelled.wait, SECONDS_MAX)


CLOSED = """
import asyncio
from redemption.client import *


def blocking():
    with connect("127.0.0.1:1") as channel:
        return RedemptionClient(channel)


async def awaiting():
    async with connect_aio("127.0.0.1:1") as channel:
        client = AsyncRedemptionClient(channel)
    try:
        await client.redeem(RedeemRequest())
    except Exception as error:
        print(error)


try:
    blocking().redeem(RedeemRequest())
except ValueError as error:
    print(error)
asyncio.run(awaiting())
"""


def test_a_closed_channel_ends_no_process():
    """The generated stubs of grpcio 1.85 do that with the first call of a method."""
    found = subprocess.run([sys.executable, "-c", CLOSED], capture_output=True, text=True, check=True)
    assert found.stdout == "Cannot invoke RPC on closed channel!\nChannel is closed.\n"


async def test_something_else_than_its_request_is_told_at_once(client):
    """It is a bug of the caller, so it is not sent again and again."""
    with pytest.raises(TypeError, match="this call takes a RedeemRequest, not a dict"):
        client.redeem({"request_id": "1"})
    with pytest.raises(TypeError, match="this call takes a MintRequest, not a MessageMeta"):
        next(client.mint(MintRequest))
    async with connect_aio("127.0.0.1:1") as channel:
        with pytest.raises(TypeError, match="this call takes a QuoteRequest, not a NoneType"):
            await AsyncRedemptionClient(channel).quote(None)


@pytest.mark.parametrize("header", [("A b", "x"), ("", "x"), ("shop", b"4"), ("shop-bin", "4")])
async def test_a_header_that_cannot_be_sent_is_told_at_once(client, header):
    """Each gRPC library tells it in another way, and as if the server were at fault."""
    with pytest.raises(ValueError, match=re.escape(f"metadata has the header {header[0]!r}")):
        client.redeem(redemption_service_pb2.RedeemRequest(), metadata=[header])
    async with connect_aio("127.0.0.1:1") as channel:
        with pytest.raises(ValueError, match="metadata has the header"):
            await AsyncRedemptionClient(channel).redeem(redemption_service_pb2.RedeemRequest(), metadata=[header])
