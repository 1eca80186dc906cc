"""The gRPC server: a port, three services, health, and a stop that loses nothing."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from socket import socket
from typing import Literal

from google.protobuf.descriptor import ServiceDescriptor

from redemption.domain.call_info import CallInfo
from redemption.rpc.campaign_servicer import CampaignServicer
from redemption.rpc.guard import Gathered, Guard, ServerStream, Unary
from redemption.rpc.health import SERVICE as HEALTH
from redemption.rpc.health import Health
from redemption.rpc.issuance_servicer import IssuanceServicer
from redemption.rpc.redemption_servicer import RedemptionServicer
from redemption.rpc.reflection import Reflection
from redemption.rpc.transport.bounds import Bounds
from redemption.rpc.transport.grpcio import GrpcioServer
from redemption.rpc.transport.listener import Listener
from redemption.rpc.transport.methods import Method
from redemption.rpc.transport.tls import CertificateUnusable, Tls
from redemption.scheduling.work_bounds import WorkBounds
from redemption.service.use_cases import UseCases
from redemption.v1 import campaign_service_pb2, issuance_service_pb2, redemption_service_pb2

REDEMPTION = redemption_service_pb2.DESCRIPTOR.services_by_name["RedemptionService"]
ISSUANCE = issuance_service_pb2.DESCRIPTOR.services_by_name["IssuanceService"]
CAMPAIGN = campaign_service_pb2.DESCRIPTOR.services_by_name["CampaignService"]
ANSWER_SECONDS_MAX = 10.0
ANSWER_SECONDS_UNSET = 5.0
MARGIN_SECONDS = 0.02
"""Left over for the answer to travel: the caller shall read why, rather than see its own deadline pass."""


class PortNotBound(OSError):
    """The server cannot listen there; the message says where and what to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcConfig:
    """How the server listens, and what it bears.

    Attributes:
        transport: What carries the calls: ``nghttp2`` is ours, ``grpcio`` the library's own server.
        host: An address of this machine; loopback unless told otherwise.
        port: 0 lets the system choose.
        sockets: File descriptors that listen already, in place of host and port; ``nghttp2`` only.
        tls: The files of a server that speaks TLS; None serves in plain text.
        reflection: Tell anybody the contract, for tools; for development.
        reuse_port: Share the port with other processes of this server.
        bounds: What one caller, and all of them together, may take.
        work: How much work is taken on at a time.
        drain_notice_seconds: How long to go on working after health said no, for load balancers to notice.
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
    drain_notice_seconds: float = 0.0

    @property
    def address(self) -> str:
        """Host and port as people write them; an IPv6 address stands in brackets."""
        host = self.host if ":" not in self.host or self.host.startswith("[") else f"[{self.host}]"
        return f"{host}:{self.port}"


class RpcServer:
    """Serves the use cases, from ``start`` to ``drain``, once, on the event loop that starts it."""

    def __init__(self, use_cases: UseCases, config: RpcConfig) -> None:
        self._config = config
        services: dict[ServiceDescriptor, Mapping[str, Unary | Gathered | ServerStream]] = {
            REDEMPTION: RedemptionServicer(use_cases, config.work).methods(),
            ISSUANCE: IssuanceServicer(use_cases).methods(),
            CAMPAIGN: CampaignServicer(use_cases).methods(),
        }
        names = [service.full_name for service in services]
        self._health = Health(names)
        methods = {**_methods(services, Guard(config.work)), **self._health.methods()}
        if config.reflection:
            methods |= Reflection([*names, HEALTH]).methods()
        transport = Listener if config.transport == "nghttp2" else GrpcioServer
        self._transport = transport(methods, inform=call_info, bounds=config.bounds)

    @property
    def calls(self) -> int:
        """How many calls are at work."""
        return self._transport.calls

    async def start(self) -> int:
        """Listen, and return the port. Health says NOT_SERVING until ``set_serving``.

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

    def set_serving(self, serving: bool) -> None:  # noqa: FBT001 - it is what is set
        """Tell load balancers whether to send work here. Calls that come all the same are still answered."""
        self._health.set_serving(serving)

    def reload_certificates(self) -> None:
        """Read the certificates again, for connections that are made from now on; what cannot be used is logged."""
        self._transport.reload_certificates()

    async def drain(self, seconds: float) -> None:
        """Stop: tell load balancers, take no new calls, finish those that run, cut off what takes too long.

        Args:
            seconds: For running calls to finish, after ``drain_notice_seconds`` went by. A call that does not finish is
                answered UNAVAILABLE.
        """
        self._health.leave()
        if self._transport.started:
            await asyncio.sleep(self._config.drain_notice_seconds)
        self._health.end_watches()
        await self._transport.stop(seconds)


def call_info(path: str, peer: str, seconds: float | None, now: float) -> CallInfo:
    """Return what a use case is told of the call that it answers: who calls, and until when an answer is of use.

    There are no credentials yet, so everybody is the same principal.

    Args:
        path: What is called.
        peer: Where the call comes from.
        seconds: Until the caller's deadline; None when it set none.
        now: The event loop's time.

    Returns:
        Its deadline is not after ``now`` when an answer would come too late.
    """
    left = ANSWER_SECONDS_UNSET if seconds is None else min(seconds - MARGIN_SECONDS, ANSWER_SECONDS_MAX)
    return CallInfo("anonymous", path, peer, now + left)


def _methods(
    services: Mapping[ServiceDescriptor, Mapping[str, Unary | Gathered | ServerStream]], guard: Guard
) -> dict[str, Method]:
    """Return what a transport serves: everything that the contract has, built or not."""
    table: dict[str, Method] = {}
    for service, methods in services.items():
        for name in service.methods_by_name:
            path, full_name = f"/{service.full_name}/{name}", f"{service.name}.{name}"
            match methods.get(name):
                case Unary() as method:
                    table[path] = guard.unary(full_name, method)
                case Gathered() as method:
                    table[path] = guard.gathered(full_name, method)
                case ServerStream() as method:
                    table[path] = guard.server_stream(full_name, method)
                case None:
                    table[path] = guard.not_built(full_name)
    return table
