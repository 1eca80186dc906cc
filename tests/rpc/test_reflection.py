"""Reflection: clients can read the contract."""

import asyncio

import grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from rpc.stage import NAMES, failure_of
from waiting import SECONDS_MAX


async def test_reflection_tells_the_contract_when_asked_to(run):
    async def requests():
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    stage = await run(reflection=True)
    stub = reflection_pb2_grpc.ServerReflectionStub(stage.channel)
    async with asyncio.timeout(SECONDS_MAX):
        async for response in stub.ServerReflectionInfo(requests()):
            told = {service.name for service in response.list_services_response.service}
    assert told >= {*NAMES[1:], "grpc.health.v1.Health"}


async def test_reflection_is_off_unless_asked_for(run):
    async def requests():
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    stage = await run()
    failure = await failure_of(reflection_pb2_grpc.ServerReflectionStub(stage.channel).ServerReflectionInfo(requests()))
    assert failure.code is grpc.StatusCode.UNIMPLEMENTED
