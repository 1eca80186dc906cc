"""The gRPC server: a port, three services, health, and a stop that loses nothing."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_reflection.v1alpha import reflection

from redemption.rpc.batch import MESSAGE_BYTES_MAX
from redemption.rpc.campaign_servicer import CampaignServicer
from redemption.rpc.crowd import Busyness
from redemption.rpc.guard import Guard, Handler, ServerStream, Unary
from redemption.rpc.health import SERVICE as HEALTH
from redemption.rpc.health import Health
from redemption.rpc.issuance_servicer import IssuanceServicer
from redemption.rpc.redemption_servicer import RedemptionServicer
from redemption.service.campaigns import Campaigns
from redemption.service.claimer import Claimer
from redemption.service.issuer import Issuer
from redemption.service.quoter import Quoter
from redemption.service.redeemer import Redeemer
from redemption.service.revoker import Revoker
from redemption.v1 import campaign_service_pb2, issuance_service_pb2, redemption_service_pb2

REDEMPTION = redemption_service_pb2.DESCRIPTOR.services_by_name["RedemptionService"]
ISSUANCE = issuance_service_pb2.DESCRIPTOR.services_by_name["IssuanceService"]
CAMPAIGN = campaign_service_pb2.DESCRIPTOR.services_by_name["CampaignService"]

PENDING_CALLS_MAX = 16_384
"""Calls that may wait to be taken on. gRPC takes on one in each turn of the event loop and cancels, without a word,
what comes beyond; its own bounds, 1,000 and 3,000 calls, are passed when a sale opens."""
_LAST_SECONDS = 1.0
"""For calls that are over to send their last bytes, after the time to finish them."""


class PortNotBound(OSError):
    """The server cannot listen there; the message says where and what to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcConfig:
    """How the server listens, and what it bears.

    Attributes:
        host: An address of this machine; loopback unless told otherwise.
        port: 0 lets the system choose.
        tls_certificate: The certificate chain, PEM; None serves in plain text.
        tls_key: Its private key, PEM.
        tls_client_ca: Whose certificates callers must show, PEM; None asks for none.
        reflection: Tell anybody the contract, for tools; for development.
        reuse_port: Share the port with other processes of this server.
        concurrent_calls_max: Calls at once; more are turned away at the door. Health checks are not counted.
        message_bytes_max: The largest message that is received.
        streams_per_connection_max: Calls at once on one connection; more wait at the caller's.
        connection_age_seconds_max: Connections are asked to reconnect after this, so that load spreads over new
            servers; None lets them stay.
        drain_notice_seconds: How long to go on working after health said no, for load balancers to notice.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls_certificate: bytes | None = None
    tls_key: bytes | None = field(default=None, repr=False)
    tls_client_ca: bytes | None = None
    reflection: bool = False
    reuse_port: bool = False
    concurrent_calls_max: int = 4096
    message_bytes_max: int = MESSAGE_BYTES_MAX
    streams_per_connection_max: int = 1024
    connection_age_seconds_max: float | None = None
    drain_notice_seconds: float = 0.0

    def __post_init__(self) -> None:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together: give both, or none")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key as well")

    @property
    def address(self) -> str:
        """Host and port as gRPC wants them; an IPv6 address stands in brackets."""
        host = self.host if ":" not in self.host or self.host.startswith("[") else f"[{self.host}]"
        return f"{host}:{self.port}"

    @property
    def options(self) -> list[tuple[str, int]]:
        """What gRPC is told of it."""
        options = [
            ("grpc.so_reuseport", int(self.reuse_port)),
            ("grpc.max_receive_message_length", self.message_bytes_max),
            ("grpc.max_concurrent_streams", self.streams_per_connection_max),
            ("grpc.server.max_pending_requests", PENDING_CALLS_MAX),
            ("grpc.server.max_pending_requests_hard_limit", PENDING_CALLS_MAX),
            # A caller whose machine vanished is noticed, and its calls are given up.
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            # Callers may ping every 10 seconds, with or without calls; the default would send them away for it.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ]
        if self.connection_age_seconds_max is not None:
            options.append(("grpc.max_connection_age_ms", round(self.connection_age_seconds_max * 1000)))
        return options


class RpcServer:
    """Serves the use cases, from ``start`` to ``drain``, once, on the event loop that starts it."""

    def __init__(
        self,
        *,
        redeemer: Redeemer,
        quoter: Quoter,
        issuer: Issuer,
        claimer: Claimer,
        revoker: Revoker,
        campaigns: Campaigns,
        config: RpcConfig,
    ) -> None:
        self._config = config
        self._guard = Guard(config.concurrent_calls_max)
        self._services: dict[ServiceDescriptor, Mapping[str, Unary | ServerStream]] = {
            REDEMPTION: RedemptionServicer(redeemer, quoter, Busyness()).methods(),
            ISSUANCE: IssuanceServicer(issuer, claimer, revoker).methods(),
            CAMPAIGN: CampaignServicer(campaigns).methods(),
        }
        self._health = Health([service.full_name for service in self._services])
        self._server: grpc.aio.Server | None = None

    async def start(self) -> int:
        """Listen, and return the port. Health says NOT_SERVING until ``set_serving``.

        Raises:
            PortNotBound: The port is taken, or a certificate cannot be used.
        """
        server = grpc.aio.server(options=self._config.options)
        # Not registered one by one: grpc.aio then waits for each method separately, which is no faster here.
        server.add_generic_rpc_handlers(
            [self._handler(service, methods) for service, methods in self._services.items()]
        )
        server.add_generic_rpc_handlers([self._health.handler()])
        if self._config.reflection:
            names = [service.full_name for service in self._services]
            reflection.enable_server_reflection([*names, HEALTH, reflection.SERVICE_NAME], server)
        port = _bind(server, self._config)
        await server.start()
        self._server = server
        return port

    def set_serving(self, serving: bool) -> None:  # noqa: FBT001 - it is what is set
        """Tell load balancers whether to send work here. Calls that come all the same are still answered."""
        self._health.set_serving(serving)

    async def drain(self, seconds: float) -> None:
        """Stop: tell load balancers, turn new calls away, finish those that run, cut off what takes too long.

        Args:
            seconds: For running calls to finish, after ``drain_notice_seconds`` went by; turning new calls away takes
                0.2 to 1 of them. A call that does not finish is answered UNAVAILABLE.
        """
        self._health.leave()
        if self._server is None:
            return
        await asyncio.sleep(self._config.drain_notice_seconds)
        self._health.end_watches()
        ends = time.monotonic() + seconds
        await self._guard.close()
        seconds = max(ends - time.monotonic(), 0.0)
        stopping = asyncio.create_task(self._server.stop(seconds + _LAST_SECONDS))
        await self._guard.finish(seconds)
        await stopping

    def _handler(
        self, service: ServiceDescriptor, methods: Mapping[str, Unary | ServerStream]
    ) -> grpc.GenericRpcHandler:
        """Return what gRPC calls for a service: everything that the contract has, built or not."""
        handlers: dict[str, Handler] = {}
        for name in service.methods_by_name:
            full_name = f"{service.name}.{name}"
            match methods.get(name):
                case Unary() as method:
                    handlers[name] = self._guard.unary(full_name, method)
                case ServerStream() as method:
                    handlers[name] = self._guard.server_stream(full_name, method)
                case None:
                    handlers[name] = self._guard.not_built(full_name)
        return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _bind(server: grpc.aio.Server, config: RpcConfig) -> int:
    try:
        if config.tls_certificate is None or config.tls_key is None:
            port = server.add_insecure_port(config.address)
        else:
            credentials = grpc.ssl_server_credentials(
                [(config.tls_key, config.tls_certificate)],
                root_certificates=config.tls_client_ca,
                require_client_auth=config.tls_client_ca is not None,
            )
            port = server.add_secure_port(config.address, credentials)
    except RuntimeError as error:
        raise PortNotBound(_not_bound(config)) from error
    if not port:
        raise PortNotBound(_not_bound(config))
    return port


def _not_bound(config: RpcConfig) -> str:
    hint = "is it taken, or not an address of this machine?"
    if config.tls_certificate is not None:
        hint += " Or are the certificate and its key no PEM, or not of each other?"
    return f"cannot listen on {config.address}: {hint}"
