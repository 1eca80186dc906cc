"""The gRPC server: a port, four services, health, and a stop that answers every call."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from socket import socket
from typing import Literal

from google.protobuf.descriptor import ServiceDescriptor

from redemption.domain.call_info import CallInfo
from redemption.rpc.campaign_servicer import CampaignServicer
from redemption.rpc.guard import Gathered, Guard, ServerStream, Unary, Unparsed
from redemption.rpc.health import SERVICE as HEALTH
from redemption.rpc.health import Health
from redemption.rpc.issuance_servicer import IssuanceServicer
from redemption.rpc.quotas import Quotas
from redemption.rpc.redemption_servicer import RedemptionServicer
from redemption.rpc.reflection import Reflection
from redemption.rpc.risk_servicer import RiskServicer
from redemption.rpc.transport.bounds import Bounds
from redemption.rpc.transport.grpcio import GrpcioServer
from redemption.rpc.transport.listener import Listener
from redemption.rpc.transport.methods import Method
from redemption.rpc.transport.tls import CertificateUnusable, Tls
from redemption.scheduling.quota import QuotaRules
from redemption.scheduling.work_bounds import WorkBounds
from redemption.service.use_cases import UseCases
from redemption.v1 import campaign_service_pb2, issuance_service_pb2, redemption_service_pb2, risk_service_pb2

REDEMPTION = redemption_service_pb2.DESCRIPTOR.services_by_name["RedemptionService"]
ISSUANCE = issuance_service_pb2.DESCRIPTOR.services_by_name["IssuanceService"]
CAMPAIGN = campaign_service_pb2.DESCRIPTOR.services_by_name["CampaignService"]
RISK = risk_service_pb2.DESCRIPTOR.services_by_name["RiskService"]
ANSWER_SECONDS_MAX = 10.0
ANSWER_SECONDS_UNSET = 5.0
MARGIN_SECONDS = 0.02
"""Time left for the answer to travel: the caller should get a status with a reason before its own deadline passes."""


class PortNotBound(OSError):
    """The server cannot listen on its address; the message names the address and what to check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcConfig:
    """How the server listens, and its limits.

    Attributes:
        transport: ``nghttp2`` is this project's own transport, ``grpcio`` the server of that library.
        host: An address of this machine; loopback by default.
        port: 0 lets the system choose.
        sockets: File descriptors of sockets to listen on, in place of host and port; ``nghttp2`` only.
        tls: The files of a server that speaks TLS; None serves in plain text.
        reflection: Serve the contract to tools, for development.
        reuse_port: Share the port with other processes of this server.
        bounds: How much of the process one caller, and all callers together, may use.
        work: How much work of each kind is done at a time.
        quotas: How many calls each principal and each program may make; None means as many as they like.
        drain_notice_seconds: How long to accept calls after health turns NOT_SERVING, for load balancers to notice.
    """

    transport: Literal["nghttp2", "grpcio"] = "nghttp2"
    host: str = "127.0.0.1"
    port: int = 0
    sockets: tuple[int, ...] = ()
    tls: Tls | None = None
    reflection: bool = False
    reuse_port: bool = False
    bounds: Bounds = field(default_factory=Bounds)
    work: WorkBounds = field(default_factory=WorkBounds)
    quotas: QuotaRules | None = None
    drain_notice_seconds: float = 0.0

    @property
    def address(self) -> str:
        """Host and port as people write them, an IPv6 address in brackets."""
        host = self.host if ":" not in self.host or self.host.startswith("[") else f"[{self.host}]"
        return f"{host}:{self.port}"


class RpcServer:
    """Serves the use cases, from ``start`` to ``drain``, once, on the event loop that starts it."""

    def __init__(self, use_cases: UseCases, config: RpcConfig) -> None:
        self._config = config
        services: dict[ServiceDescriptor, Mapping[str, Unary | Unparsed | Gathered | ServerStream]] = {
            REDEMPTION: RedemptionServicer(use_cases, config.work).methods(),
            ISSUANCE: IssuanceServicer(use_cases).methods(),
            CAMPAIGN: CampaignServicer(use_cases).methods(),
            RISK: RiskServicer(use_cases).methods(),
        }
        names = [service.full_name for service in services]
        self._health = Health(names)
        quotas = None if config.quotas is None else Quotas(config.quotas)
        methods = {**_methods(services, Guard(config.work, quotas)), **self._health.methods()}
        if config.reflection:
            methods |= Reflection([*names, HEALTH]).methods()
        transport = Listener if config.transport == "nghttp2" else GrpcioServer
        self._transport = transport(methods, make_info=call_info, bounds=config.bounds)

    @property
    def calls(self) -> int:
        """How many calls are at work."""
        return self._transport.calls

    async def start(self) -> int:
        """Listen, and return the port. Health is NOT_SERVING until ``set_serving``.

        Raises:
            PortNotBound: The port is taken, or a certificate cannot be used.
        """
        config = self._config
        try:
            if isinstance(self._transport, Listener) and config.sockets:
                return await self._transport.start_on([socket(fileno=number) for number in config.sockets], config.tls)
            return await self._transport.start(config.address, config.tls, reuse_port=config.reuse_port)
        except CertificateUnusable as error:
            raise PortNotBound(str(error)) from error
        except OSError as error:
            hint = "is it taken, or not an address of this machine?"
            raise PortNotBound(f"cannot listen on {config.address}: {hint} ({error})") from error

    def set_serving(self, serving: bool) -> None:  # noqa: FBT001 - the value to set
        """Set the health that load balancers read. Calls that come in spite of NOT_SERVING are still answered."""
        self._health.set_serving(serving)

    def reload_certificates(self) -> None:
        """Read the certificates again, for new connections. If they cannot be used, log it and keep the old ones."""
        self._transport.reload_certificates()

    async def drain(self, seconds: float) -> None:
        """Stop: set health to NOT_SERVING, take no new calls, finish running ones, and end those that take too long.

        Args:
            seconds: How long running calls may take to finish, counted after ``drain_notice_seconds``. A call that does
                not finish is answered UNAVAILABLE.
        """
        self._health.leave()
        if self._transport.started:
            await asyncio.sleep(self._config.drain_notice_seconds)
        self._health.end_watches()
        await self._transport.stop(seconds)


def call_info(path: str, peer: str, seconds: float | None, now: float) -> CallInfo:
    """Return the ``CallInfo`` that a use case gets: who calls, and the deadline of the answer.

    There are no credentials yet, so all callers are the same principal.

    Args:
        path: The path of the method.
        peer: The address of the caller.
        seconds: The time left until the caller's deadline; None when it set none.
        now: The event loop's time.

    Returns:
        The call's info. If its deadline is not after ``now``, an answer would come too late.
    """
    left = ANSWER_SECONDS_UNSET if seconds is None else min(seconds - MARGIN_SECONDS, ANSWER_SECONDS_MAX)
    return CallInfo("anonymous", path, peer, now + left)


def _methods(
    services: Mapping[ServiceDescriptor, Mapping[str, Unary | Unparsed | Gathered | ServerStream]], guard: Guard
) -> dict[str, Method]:
    """Return the methods for a transport: all of the contract."""
    table: dict[str, Method] = {}
    for service, methods in services.items():
        for name in service.methods_by_name:
            path, full_name = f"/{service.full_name}/{name}", f"{service.name}.{name}"
            match methods[name]:
                case Unary() as method:
                    table[path] = guard.unary(full_name, method)
                case Unparsed() as method:
                    table[path] = guard.unparsed(full_name, method)
                case Gathered() as method:
                    table[path] = guard.gathered(full_name, method)
                case ServerStream() as method:
                    table[path] = guard.server_stream(full_name, method)
    return table
