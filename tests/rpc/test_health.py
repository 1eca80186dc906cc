"""Health, by the standard protocol: for every service, and for a bounded number of watchers."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rpc.examples import APPROVAL, redeem_request
from rpc.stage import NAMES, NOT_SERVING, SERVICE_UNKNOWN, SERVING, failure_of, health, watch
from waiting import SECONDS_MAX, comes

from redemption.rpc.health import WATCHERS_MAX, WATCHERS_PER_PEER_MAX


async def test_health_is_not_serving_until_told(run):
    stage = await run()
    assert [await health(stage, name) for name in NAMES] == [NOT_SERVING] * len(NAMES)
    stage.server.set_serving(True)
    assert [await health(stage, name) for name in NAMES] == [SERVING] * len(NAMES)
    stage.server.set_serving(False)
    assert [await health(stage, name) for name in NAMES] == [NOT_SERVING] * len(NAMES)


async def test_health_of_an_unknown_service_is_not_found(run):
    stage = await run()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await health(stage, "redemption.v1.Nothing")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("name", NAMES)
async def test_watcher_sees_every_change(run, name):
    stage = await run()
    stream = watch(stage, name)
    async with asyncio.timeout(SECONDS_MAX):
        for serving, status in ((True, SERVING), (False, NOT_SERVING), (True, SERVING)):
            assert (await stream.read()).status == (NOT_SERVING if status == SERVING else SERVING)
            stage.server.set_serving(serving)
        assert (await stream.read()).status == SERVING
    stream.cancel()


async def test_watcher_of_an_unknown_service_is_told_so(run):
    """As the health protocol has it: the service might still come."""
    stage = await run()
    stream = watch(stage, "redemption.v1.Nothing")
    async with asyncio.timeout(SECONDS_MAX):
        assert (await stream.read()).status == SERVICE_UNKNOWN
    stream.cancel()


async def test_health_is_told_while_calls_are_turned_away(run):
    stage = await run(calls_max=1)
    began, go = asyncio.Event(), asyncio.Event()

    async def redeem(told):
        began.set()
        await go.wait()
        told(APPROVAL)

    redeeming = []
    stage.redeemer.redeem.side_effect = lambda orders: redeeming.append(asyncio.ensure_future(redeem(orders[0][2])))
    call = asyncio.ensure_future(stage.redemption.Redeem(redeem_request()))
    async with asyncio.timeout(SECONDS_MAX):
        await began.wait()
    assert (await failure_of(stage.redemption.Redeem(redeem_request()))).reason == "OVERLOADED"
    assert await health(stage) == NOT_SERVING
    go.set()
    await call


async def test_watchers_are_not_without_number(run):
    stage = await run()
    stage.server._health._watchers.taken = WATCHERS_MAX
    failure = await failure_of(watch(stage))
    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_one_connection_cannot_have_all_places_of_watchers(run):
    stage = await run()
    watches = [watch(stage) for _ in range(WATCHERS_PER_PEER_MAX)]
    for each in watches:
        await each.read()
    assert (await failure_of(watch(stage))).code is grpc.StatusCode.RESOURCE_EXHAUSTED
    async with grpc.aio.insecure_channel(f"127.0.0.1:{stage.port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        other = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await other.read()).status == NOT_SERVING
    for each in watches:
        each.cancel()
    await comes(lambda: not stage.server._health._watchers.taken)
