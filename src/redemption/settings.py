"""The only module that reads the environment: every setting of the server and the command line, with its default."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _listen_address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 - the highest port
        raise ValueError("must be HOST:PORT, for example 127.0.0.1:50051")
    return value


Address = Annotated[str, AfterValidator(_listen_address)]


def _ledger_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://, for example redis://127.0.0.1:6379")
    return value


class BoundSettings(BaseModel):
    """What one caller, and all callers together, may use of a process; each is set by REDEMPTION_BOUNDS__<NAME>.

    ``docs/transport.md`` explains each one, and what a caller sees who exceeds it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    wait_seconds_max: PositiveFloat = 0.1
    connections_max: PositiveInt = 10_000
    connections_per_address_max: PositiveInt = 2_000
    streams_per_connection_max: int = Field(default=1_024, ge=1, le=1_000_000)
    header_bytes_max: int = Field(default=16 * 1024, ge=1_024, le=64 * 1024)
    header_fields_max: int = Field(default=128, ge=16, le=2_048)
    request_bytes_max: PositiveInt = 128 * 2**20
    request_bytes_per_connection_max: PositiveInt = 32 * 2**20
    answer_bytes_max: PositiveInt = 256 * 2**20
    answer_bytes_per_connection_max: PositiveInt = 16 * 2**20
    unread_seconds_max: PositiveFloat = 30.0
    preface_seconds_max: PositiveFloat = 10.0
    request_seconds_max: PositiveFloat = 30.0
    idle_seconds_max: PositiveFloat = 1_800.0
    age_seconds_max: PositiveFloat = 3_600.0
    resets_per_second_max: PositiveInt = 200
    pings_per_second_max: PositiveInt = 1
    keepalive_seconds: PositiveFloat = 60.0
    keepalive_seconds_max: PositiveFloat = 20.0


class WorkSettings(BaseModel):
    """How much work of each kind a process takes on at a time; each is set by REDEMPTION_WORK__<NAME>.

    ``docs/transport.md`` explains each one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    orders_waiting_max: int = Field(default=8_192, ge=256, le=1_000_000)
    quotes_max: PositiveInt = 64
    streams_max: PositiveInt = 64
    large_waiting_max: PositiveInt = 256


class Settings(BaseSettings):
    """All settings; each is set by REDEMPTION_<NAME> in the environment or by a flag of the command line."""

    model_config = SettingsConfigDict(env_prefix="REDEMPTION_", env_nested_delimiter="__", extra="ignore", frozen=True)

    environment: str = Field("development", pattern=r"^[a-z][a-z0-9-]{0,31}$")
    """Name of the environment; part of every signature, so a token of staging is not valid in production."""
    program: str = Field("demo", pattern=r"^[a-z0-9_-]{1,64}$")
    """The program that the command line uses, and that the first start of a development server creates."""
    listen: Address = "127.0.0.1:50051"
    """Where the server listens."""
    transport: Literal["nghttp2", "grpcio"] = "nghttp2"
    """The gRPC transport: our own on libnghttp2, or grpcio's server."""
    workers: int = Field(1, ge=1, le=64)
    """Server processes that share one port."""
    data_dir: Path = Path(".data")
    """Where the embedded ledger keeps its files."""
    keyset: Path = Path("development.keyset")
    """The signing keys. Never inside the data directory: restoring a backup must not restore the fence, too."""
    fence: Path | None = None
    """What this machine remembers of the ledger; unset means beside the keyset, as <keyset>.fence."""
    redis_url: Annotated[SecretStr, AfterValidator(_ledger_url)] | None = None
    """The ledger, as redis://, rediss:// or unix://; unset means an embedded one."""
    durability: Literal["strict", "fast"] = "strict"
    """What "approved" promises: strict means fsync before the answer, fast means on disk within about a second."""
    tls_certificate: Path | None = None
    """PEM file of the server's certificate chain."""
    tls_key: Path | None = None
    """PEM file of its key."""
    tls_client_ca: Path | None = None
    """PEM file of the authority that signs client certificates; if set, a client must present one."""
    insecure: bool = False
    """Allow plain text on addresses other than loopback."""
    reflection: bool | None = None
    """Serve gRPC reflection; unset means in development only."""
    drain_seconds: float = Field(10.0, ge=0, le=600)
    """How long a stopping server lets running RPCs finish."""
    drain_notice_seconds: float = Field(0.0, ge=0, le=60)
    """How long it still accepts RPCs after its health says NOT_SERVING, so that load balancers notice."""
    concurrent_calls_max: int = Field(4096, ge=1, le=1_000_000)
    """Concurrent RPCs in one process; more than that are refused at once with RESOURCE_EXHAUSTED."""
    bounds: BoundSettings = BoundSettings()
    """What one caller, and all callers together, may use of a process."""
    work: WorkSettings = WorkSettings()
    """How much work of each kind a process takes on at a time."""
    clock_apart_seconds_max: float = Field(5.0, ge=1, le=3600)
    """How far the clocks of a server and of its ledger may be apart; with more than that, nothing is decided."""
    outbox_max: int = Field(65_536, ge=1, le=100_000_000)
    """About how many ledger calls the event stream of a program keeps; older ones are removed."""
    ledger_memory_max: int | None = Field(None, ge=8 * 2**20)
    """Bytes of memory that the embedded ledger may use; unset means no limit."""

    # The command line as a client
    server: Address = "127.0.0.1:50051"
    """The server that the command line calls."""
    tls_ca: Path | None = None
    """PEM file of the authority that the command line trusts; if set, it uses TLS."""
    tls_client_certificate: Path | None = None
    """PEM file of the command line's own certificate, for a server that requires one."""
    tls_client_key: Path | None = None
    """PEM file of its key."""
    lang: str | None = Field(None, pattern=r"^(en|zh)$")
    """Language of texts for people, en or zh; unset means by locale."""

    @property
    def development(self) -> bool:
        """Whether this is a developer's own environment, where convenience comes first."""
        return self.environment == "development"


def unknown_variables() -> list[str]:
    """Return the variables of the environment that look like settings but are not."""
    prefix = "REDEMPTION_"
    known = {f"{prefix}{name.upper()}" for name in Settings.model_fields}
    return sorted(
        name
        for name in os.environ
        if name.startswith(prefix)
        and name.partition("__")[0] not in known  # a wrong name after two underscores is another error
        and not name.startswith((f"{prefix}SERVICE_", f"{prefix}PORT"))  # set by Kubernetes, for a service of this name
        and name != f"{prefix}COMPILE"  # for the build, see tools/compile_hook.py
    )
