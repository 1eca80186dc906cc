"""Channels to a server, with the deadline and the retries that a checkout should have."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import grpc
import grpc.aio

from redemption.client.deadline import AioDeadline, AioStreamDeadline, Deadline

DEADLINE_SECONDS = 2.0
"""The deadline of a call, all its retries included, unless the call or its channel sets another one."""

_ANSWER_BYTES_MAX = 32 * 2**20
_RECONNECT_MS_MAX = 2000

RETRY_BYTES_MAX = 5 * 2**20
"""The longest request that gRPC keeps for its retries: more than the 4 MiB of the largest batch, and its headers.

gRPC's own bound is 256 KiB. A longer call is committed to its first attempt, and no failure is retried.
"""


@dataclass(frozen=True, slots=True)
class Tls:
    """What a channel needs to speak TLS, as the contents of PEM files.

    Attributes:
        ca: Authorities to trust; None means those of the machine.
        certificate: The client's own certificate chain, if the server asks for one.
        key: Its private key.
    """

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)


def new_request_id() -> str:
    """Return a new random id for one attempt. Keep it until there is an answer: a retry must send the same id."""
    return secrets.token_hex(16)


def connect(
    address: str,
    *,
    tls: Tls | None = None,
    deadline_seconds: float = DEADLINE_SECONDS,
    options: Sequence[tuple[str, Any]] = (),
) -> grpc.Channel:
    """Return a channel for ``RedemptionClient``; nothing is sent before the first call.

    Args:
        address: HOST:PORT, or another name that gRPC resolves.
        tls: What the channel needs to speak TLS; None means plain text.
        deadline_seconds: The deadline of a call, with its retries, unless the call has a ``timeout`` of its own.
        options: More channel options of gRPC; they win over the ones set here.

    Raises:
        ValueError: There is no address.
    """
    _require_address(address)
    arguments = _options(options)
    if tls is None:
        channel = grpc.insecure_channel(address, options=arguments)
    else:
        channel = grpc.secure_channel(address, _credentials(tls), options=arguments)
    return grpc.intercept_channel(channel, Deadline(deadline_seconds))


def connect_aio(
    address: str,
    *,
    tls: Tls | None = None,
    deadline_seconds: float = DEADLINE_SECONDS,
    options: Sequence[tuple[str, Any]] = (),
) -> grpc.aio.Channel:
    """Return a channel for ``AsyncRedemptionClient``; the rest is the same as in ``connect``."""
    _require_address(address)
    arguments = _options(options)
    interceptors = [AioDeadline(deadline_seconds), AioStreamDeadline(deadline_seconds)]
    if tls is None:
        return grpc.aio.insecure_channel(address, options=arguments, interceptors=interceptors)
    return grpc.aio.secure_channel(address, _credentials(tls), options=arguments, interceptors=interceptors)


def service_config() -> str:
    """Return gRPC's service config, ``service_config.json``: what is retried, and how calls are spread over replicas.

    ``docs/calling.md`` explains it. A retry is safe for every call of the contract: the server recognizes a changing
    request by its request id or its etag, so a request that is delivered a second time changes nothing.
    """
    return files("redemption.client").joinpath("service_config.json").read_text(encoding="utf-8")


def _require_address(address: str) -> None:
    if not address.strip():
        raise ValueError("there is no address to connect to: give HOST:PORT, such as 127.0.0.1:50051")


def _options(more: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    chosen = {
        "grpc.service_config": service_config(),
        "grpc.max_receive_message_length": _ANSWER_BYTES_MAX,
        "grpc.per_rpc_retry_buffer_size": RETRY_BYTES_MAX,
        # By default a channel waits up to two minutes before it tries to connect to a restarted server again.
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": _RECONNECT_MS_MAX,
        # Tokens are worth money, so they must not pass through an HTTP proxy that the environment names.
        "grpc.enable_http_proxy": 0,
    }
    return list((chosen | dict(more)).items())


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=tls.ca, private_key=tls.key, certificate_chain=tls.certificate
    )
