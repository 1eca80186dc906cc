"""A real server on a real port, with stand-ins for the use cases that know their signatures."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import grpc
import pytest
from builders.calls import calling
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from waiting import SECONDS_MAX

from redemption.domain.call_info import CallInfo
from redemption.rpc.server import RpcConfig, RpcServer
from redemption.rpc.transport.bounds import Bounds
from redemption.service.campaigns import Campaigns
from redemption.service.claimer import Claimer
from redemption.service.issuer import Issuer
from redemption.service.quoter import Quoter
from redemption.service.redeemer import Redeemer
from redemption.service.redemption_finder import RedemptionFinder
from redemption.service.reserver import Reserver
from redemption.service.reverser import Reverser
from redemption.service.revoker import Revoker
from redemption.service.risk_lists import RiskLists
from redemption.service.risk_rules import RiskRules
from redemption.service.risk_subjects import RiskSubjects
from redemption.v1 import (
    campaign_service_pb2_grpc,
    issuance_service_pb2_grpc,
    redemption_service_pb2_grpc,
    risk_service_pb2_grpc,
)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
NAMES = [
    "",
    "redemption.v1.RedemptionService",
    "redemption.v1.IssuanceService",
    "redemption.v1.CampaignService",
    "redemption.v1.RiskService",
]
"""Of all services that health knows; the first stands for the whole server."""


@dataclass
class Running:
    """A running server, what it was built from, and a channel to it."""

    server: RpcServer
    port: int
    use_cases: Any
    channel: grpc.aio.Channel

    def __getattr__(self, name: str) -> Any:
        """Return a use case by its name."""
        return getattr(self.use_cases, name)

    @property
    def calls(self) -> int:
        """How many calls are at work."""
        return self.server.calls

    @property
    def redemption(self):
        return redemption_service_pb2_grpc.RedemptionServiceStub(self.channel)

    @property
    def issuance(self):
        return issuance_service_pb2_grpc.IssuanceServiceStub(self.channel)

    @property
    def campaign(self):
        return campaign_service_pb2_grpc.CampaignServiceStub(self.channel)

    @property
    def risk(self):
        return risk_service_pb2_grpc.RiskServiceStub(self.channel)


@dataclass
class Failure:
    """What a caller learns from a failed call."""

    code: grpc.StatusCode
    message: str
    reason: str
    fields: list[str]
    retry_seconds: float | None
    metadata: dict[str, str]
    everything: str


def channel_to(port: int, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """Open a connection of its own: channels with the same options would share one."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    if credentials is None:
        return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options)
    return grpc.aio.secure_channel(f"localhost:{port}", credentials, options)


USE_CASES = {
    "redeemer": Redeemer,
    "finder": RedemptionFinder,
    "reserver": Reserver,
    "reverser": Reverser,
    "quoter": Quoter,
    "issuer": Issuer,
    "claimer": Claimer,
    "revoker": Revoker,
    "campaigns": Campaigns,
    "risk_rules": RiskRules,
    "risk_lists": RiskLists,
    "risk_subjects": RiskSubjects,
}


def stand_ins() -> Any:
    """Return stand-ins for all use cases, which know their signatures."""
    return SimpleNamespace(
        **{name: create_autospec(kind, instance=True, spec_set=True) for name, kind in USE_CASES.items()}
    )


@asynccontextmanager
async def running(transport: str, **config: Any) -> AsyncIterator[Running]:
    """Run a server for the length of a block; what is no setting of its own is one of its bounds."""
    bounds = {name: config.pop(name) for name in tuple(config) if hasattr(Bounds, name)}
    use_cases = stand_ins()
    server = RpcServer(use_cases, RpcConfig(transport=transport, bounds=Bounds(**bounds), **config))
    port = await server.start()
    async with channel_to(port) as channel:
        try:
            yield Running(server, port, use_cases, channel)
        finally:
            async with asyncio.timeout(SECONDS_MAX):
                await server.drain(0)


def telling(*results: Any) -> Any:
    """Return a stand-in for ``redeem`` that hands over these results, one for each order."""

    def redeem(orders: Any) -> None:
        for (_, _, told), result in zip(orders, results, strict=True):
            told(result)

    return redeem


class OneCall:
    """One of the calls that are answered together, and its answer."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.info = calling()
        self.answers: list[Any] = []
        self.aside = False

    def leave_short_line(self) -> None:
        self.aside = True

    @property
    def answered(self) -> bool:
        return bool(self.answers)

    def answer(self, response: Any) -> None:
        self.answers.append(response.decision.discount_minor)

    def fail(self, error: BaseException) -> None:
        self.answers.append(error)


class _Anybody:
    """Equals whoever calls without credentials."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CallInfo) and other.principal == "anonymous"

    __hash__ = None  # type: ignore[assignment]


ANYBODY = _Anybody()


async def failure_of(call: Any) -> Failure:
    """Return how a call fails, unary or streaming."""
    try:
        async with asyncio.timeout(SECONDS_MAX):
            if hasattr(call, "read"):
                while await call.read() is not grpc.aio.EOF:
                    pass
            else:
                await call
    except grpc.aio.AioRpcError as error:
        return told(error)
    pytest.fail("the call did not fail")


def told(error: grpc.aio.AioRpcError) -> Failure:
    """Return what an error says, details unpacked."""
    status = rpc_status.from_call(error)
    info, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    has_retry = False
    for detail in status.details if status else ():
        detail.Unpack(info)
        detail.Unpack(bad)
        has_retry |= detail.Unpack(retry)
    if status:
        assert info.domain == "redemption"
    return Failure(
        code=error.code(),
        message=error.details() or "",
        reason=info.reason,
        fields=[violation.field for violation in bad.field_violations],
        retry_seconds=retry.retry_delay.ToTimedelta().total_seconds() if has_retry else None,
        metadata=dict(info.metadata),
        everything=f"{error.details()} {error.trailing_metadata()} {error.initial_metadata()} {status}",
    )


async def health(stage: Running, name: str = "") -> int:
    """Return what health says of a service now."""
    stub = health_pb2_grpc.HealthStub(stage.channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=SECONDS_MAX)).status


def watch(stage: Running, name: str = "") -> Any:
    """Open a stream of what health says."""
    return health_pb2_grpc.HealthStub(stage.channel).Watch(health_pb2.HealthCheckRequest(service=name))
