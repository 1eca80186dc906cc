"""The only module that reads the environment: every setting of the server and the command line, with its default."""

import json
import os
import re
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from redemption.ledger_url import ledger_url_problem

PREFIX = "REDEMPTION_"
_PATH_LENGTH_MAX = 1_024
_ALIKE = 0.62
"""How alike a wrong name and a setting must be, from 0 to 1, for a "did you mean"."""
_BUILD_VARIABLE = f"{PREFIX}COMPILE"
"""For the build, see tools/compile_hook.py."""
_PROGRAM, _PROGRAM_PROBLEM = "[a-z0-9_-]{1,64}", "must be 1 to 64 of a-z, 0-9, _ and -"
_NAME_SHOWN = 64
_OWN_QUOTAS = 'a JSON object of names, such as {"shop": {"calls_per_second": 500, "burst": 1000}, "staff": null}'
_KUBERNETES = re.compile(r"_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?")
_KUBERNETES_PORT = re.compile(r"(tcp|udp|sctp)://.*")
"""Kubernetes sets such variables in every container, for each service whose name begins with ``redemption``."""


def _listen_address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:  # noqa: PLR2004 - the highest port
        raise ValueError("must be HOST:PORT, for example 127.0.0.1:50051")
    return value


def _ledger_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value().strip()
    problem = ledger_url_problem(url)
    if problem:
        raise ValueError(problem)
    return SecretStr(url)


def _path(value: object) -> object:
    """Refuse a file's content where its path is wanted: the content may be a key, and a message about it would tell."""
    text = str(value)
    if not text.strip():
        raise ValueError("is empty: give it a value, or unset it")
    if len(text) > _PATH_LENGTH_MAX or "-----BEGIN" in text or "\n" in text or text.startswith("{"):
        raise ValueError("must be the path of a file, not its content")
    return value


def _shaped(pattern: str, problem: str) -> AfterValidator:
    """Return a validator for a text of one shape; ``problem`` says what it may be."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(problem)
        return value

    return AfterValidator(check)


Rate = Annotated[float, Field(ge=0.001, le=1e6, allow_inf_nan=False)]
Burst = Annotated[int, Field(ge=1, le=10**9)]


class OwnQuota(BaseModel):
    """The quota of one program or principal that has another one than the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calls_per_second: Rate
    burst: Burst | None = None


def _own_quotas(names: str, problem: str) -> BeforeValidator:
    """Return a validator for the quotas of single names, as JSON; ``names`` is the pattern of a name."""

    def read(value: object) -> object:
        if isinstance(value, str):
            try:
                value = json.loads(value, object_pairs_hook=_without_duplicates)
            except RecursionError:
                raise ValueError(f"must be {_OWN_QUOTAS}") from None
            except ValueError as error:
                raise ValueError(f"must be {_OWN_QUOTAS}: {error}") from None
        if not isinstance(value, dict):
            raise ValueError(f"must be {_OWN_QUOTAS}")  # noqa: TRY004 - pydantic tells a ValueError as a problem
        return {name: _own_quota(name, own, names, problem) for name, own in value.items()}

    return BeforeValidator(read)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is in it twice")
    return found


def _own_quota(name: str, value: object, names: str, problem: str) -> OwnQuota | None:
    shown = repr(name[:_NAME_SHOWN])
    if not re.fullmatch(names, name):
        raise ValueError(f"{shown}: a name {problem}")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"{shown}: must be null, for no quota, or an object with calls_per_second")  # noqa: TRY004
    try:
        return OwnQuota.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise ValueError(f"{shown}: {where}{first['msg'][:1].lower()}{first['msg'][1:]}") from None


Address = Annotated[str, AfterValidator(_listen_address)]
FilePath = Annotated[Path, BeforeValidator(_path)]
Count = Annotated[int, Field(gt=0, le=2**40)]
Seconds = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]


class BoundSettings(BaseModel):
    """What one caller, and all callers together, may use of a process; each is set by REDEMPTION_BOUNDS__<NAME>.

    ``docs/transport.md`` explains each one, and what a caller sees who exceeds it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    wait_seconds_max: Seconds = 0.1
    connections_max: Count = 10_000
    connections_per_address_max: Count = 2_000
    streams_per_connection_max: int = Field(default=1_024, ge=1, le=1_000_000)
    header_bytes_max: int = Field(default=16 * 1024, ge=1_024, le=64 * 1024)
    header_fields_max: int = Field(default=128, ge=16, le=2_048)
    request_bytes_max: Count = 128 * 2**20
    request_bytes_per_connection_max: Count = 32 * 2**20
    answer_bytes_max: Count = 256 * 2**20
    answer_bytes_per_connection_max: Count = 16 * 2**20
    unread_seconds_max: Seconds = 30.0
    preface_seconds_max: Seconds = 10.0
    request_seconds_max: Seconds = 30.0
    idle_seconds_max: Seconds = 1_800.0
    age_seconds_max: Seconds = 3_600.0
    resets_per_second_max: Count = 200
    pings_per_second_max: Count = 1
    keepalive_seconds: Seconds = 60.0
    keepalive_seconds_max: Seconds = 20.0


class WorkSettings(BaseModel):
    """How much work of each kind a process takes on at a time; each is set by REDEMPTION_WORK__<NAME>.

    ``docs/transport.md`` explains each one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    orders_waiting_max: int = Field(default=8_192, ge=256, le=1_000_000)
    quotes_max: Count = 64
    streams_max: Count = 64
    large_waiting_max: Count = 256


class QuotaSettings(BaseModel):
    """How many calls principals and programs may make; each is set by REDEMPTION_QUOTAS__<NAME>. Unset means no quota.

    ``docs/operating.md`` explains them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    principal_calls_per_second: Rate | None = None
    principal_burst: Burst | None = None
    program_calls_per_second: Rate | None = None
    program_burst: Burst | None = None
    principals: Annotated[
        dict[str, OwnQuota | None], NoDecode, _own_quotas(".{1,1024}", "must be 1 to 1024 characters")
    ] = Field(default={})
    programs: Annotated[
        dict[str, OwnQuota | None], NoDecode, _own_quotas(_PROGRAM, f"of a program {_PROGRAM_PROBLEM}")
    ] = Field(default={})

    @field_validator("principal_burst", "program_burst")
    @classmethod
    def _has_its_rate(cls, burst: int | None, info: ValidationInfo) -> int | None:
        rate = f"{str(info.field_name).removesuffix('_burst')}_calls_per_second"
        if burst is not None and info.data.get(rate, burst) is None:  # a rate that is wrong is not in the data
            raise ValueError(f"needs {rate} as well")
        return burst


class Settings(BaseSettings):
    """All settings; each is set by REDEMPTION_<NAME> in the environment or by a flag of the command line."""

    model_config = SettingsConfigDict(env_prefix="REDEMPTION_", env_nested_delimiter="__", extra="ignore", frozen=True)

    environment: Annotated[
        str, _shaped("[a-z][a-z0-9-]{0,31}", "must be 1 to 32 of a-z, 0-9 and -, and begin with a letter")
    ] = "development"
    """Name of the environment; part of every signature, so a token of staging is not valid in production."""
    program: Annotated[str, _shaped(_PROGRAM, _PROGRAM_PROBLEM)] = "demo"
    """The program that the command line uses, and that the first start of a development server creates."""
    listen: Address = "127.0.0.1:50051"
    """Where the server listens."""
    transport: Literal["nghttp2", "grpcio"] = "nghttp2"
    """The gRPC transport: our own on libnghttp2, or grpcio's server."""
    workers: int = Field(1, ge=1, le=64)
    """Server processes that share one port."""
    data_dir: FilePath = Path(".data")
    """Where the embedded ledger keeps its files."""
    keyset: FilePath = Path("development.keyset")
    """The signing keys. Never inside the data directory: restoring a backup must not restore the fence, too."""
    fence: FilePath | None = None
    """What this machine remembers of the ledger; unset means beside the keyset, as <keyset>.fence."""
    redis_url: Annotated[SecretStr, AfterValidator(_ledger_url)] | None = None
    """The ledger, as redis://, rediss:// or unix://; unset means an embedded one."""
    durability: Literal["strict", "fast"] = "strict"
    """What "approved" promises: strict means fsync before the answer, fast means on disk within about a second."""
    tls_certificate: FilePath | None = None
    """PEM file of the server's certificate chain."""
    tls_key: FilePath | None = None
    """PEM file of its key."""
    tls_client_ca: FilePath | None = None
    """PEM file of the authority that signs client certificates; if set, a client must present one."""
    insecure: bool = False
    """Allow plain text on addresses other than loopback."""
    reflection: bool | None = None
    """Serve gRPC reflection; unset means in development only."""
    drain_seconds: float = Field(10.0, ge=0, le=600, allow_inf_nan=False)
    """How long a stopping server lets running RPCs finish."""
    drain_notice_seconds: float = Field(0.0, ge=0, le=60, allow_inf_nan=False)
    """How long it still accepts RPCs after its health says NOT_SERVING, so that load balancers notice."""
    concurrent_calls_max: int = Field(4096, ge=1, le=1_000_000)
    """Concurrent RPCs in one process; more than that are refused at once with RESOURCE_EXHAUSTED."""
    bounds: Annotated[BoundSettings, NoDecode] = BoundSettings()
    """What one caller, and all callers together, may use of a process."""
    work: Annotated[WorkSettings, NoDecode] = WorkSettings()
    """How much work of each kind a process takes on at a time."""
    quotas: Annotated[QuotaSettings, NoDecode] = QuotaSettings()
    """How many calls each principal and each program may make."""
    clock_apart_seconds_max: float = Field(5.0, ge=1, le=3600, allow_inf_nan=False)
    """How far the clocks of a server and of its ledger may be apart; with more than that, nothing is decided."""
    outbox_max: int = Field(65_536, ge=1, le=100_000_000)
    """About how many ledger calls the event stream of a program keeps; older ones are removed."""
    ledger_memory_max: int | None = Field(None, ge=8 * 2**20, le=2**50)
    """Bytes of memory that the embedded ledger may use; unset means no limit."""

    # The command line as a client
    server: Address = "127.0.0.1:50051"
    """The server that the command line calls."""
    tls_ca: FilePath | None = None
    """PEM file of the authority that the command line trusts; if set, it uses TLS."""
    tls_client_certificate: FilePath | None = None
    """PEM file of the command line's own certificate, for a server that requires one."""
    tls_client_key: FilePath | None = None
    """PEM file of its key."""
    lang: Literal["en", "zh"] | None = None
    """Language of texts for people, en or zh; unset means by locale."""

    @property
    def development(self) -> bool:
        """Whether this is a developer's own environment, where convenience comes first."""
        return self.environment == "development"


def environment_problems() -> dict[str, str]:
    """Return what is wrong with variables of the environment whose name begins as a setting's, by the variable's name.

    A name that is no setting is wrong, and so is a value that is empty. What a value may be is checked by ``Settings``.
    """
    known = _names()
    found = {}
    for name, value in sorted(os.environ.items()):
        if not name.upper().startswith(PREFIX) or name == _BUILD_VARIABLE or _is_of_kubernetes(name, value):
            continue
        if name.upper() not in known:
            found[name] = _unknown(name.upper().removeprefix(PREFIX), known)
        elif not value:
            found[name] = "is empty: give it a value, or unset it"
    return found


def set_in_environment() -> set[str]:
    """Return the names of the settings that have a variable in the environment, right or wrong, but not empty."""
    names = {name.upper() for name, value in os.environ.items() if value}
    return {name for name in Settings.model_fields if f"{PREFIX}{name}".upper() in names}


def contradictions(given: Collection[str]) -> list[str]:
    """Return, in a line each, which settings cannot be together.

    Args:
        given: The names of the settings that have a value. The values do not matter, so a wrong one hides nothing.
    """
    found = []
    if ("tls_certificate" in given) != ("tls_key" in given):
        found.append("tls_certificate and tls_key go together: give both, or none")
    elif "tls_client_ca" in given and "tls_certificate" not in given:
        found.append("tls_client_ca needs tls_certificate and tls_key as well")
    if ("tls_client_certificate" in given) != ("tls_client_key" in given):
        found.append("tls_client_certificate and tls_client_key go together: give both, or none")
    elif "tls_client_certificate" in given and "tls_ca" not in given:
        found.append("tls_client_certificate and tls_client_key need tls_ca as well: else calls go in plain text")
    return found


def _names() -> set[str]:
    """Return the names of all variables that set something."""
    names = set()
    for name, field in Settings.model_fields.items():
        parts = field.annotation
        if isinstance(parts, type) and issubclass(parts, BaseModel):
            names |= {f"{PREFIX}{name}__{part}".upper() for part in parts.model_fields}
        else:
            names.add(f"{PREFIX}{name}".upper())
    return names


def _is_of_kubernetes(name: str, value: str) -> bool:
    rest = name.removeprefix(PREFIX.removesuffix("_"))
    known = _KUBERNETES.search(rest)
    return bool(known and known.end() == len(rest)) or (rest.endswith("_PORT") and bool(_KUBERNETES_PORT.match(value)))


def _unknown(name: str, known: set[str]) -> str:
    """Return what is wrong with a name, without its prefix, that no setting has."""
    if name in {"BOUNDS", "WORK", "QUOTAS"}:
        return f"set each of them by itself, as {PREFIX}{name}__<NAME>"
    alike = get_close_matches(name, sorted(each.removeprefix(PREFIX) for each in known), n=1, cutoff=_ALIKE)
    return f"there is no such setting; did you mean {PREFIX}{alike[0]}" if alike else "there is no such setting"
