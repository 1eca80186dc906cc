#!/usr/bin/env python3
"""Try clients of other languages, and tools, against the real service on its own transport. For developers.

tools/try_clients.py [NAME ...]

It starts `redemption serve --transport nghttp2` on directories of its own and a free port of 127.0.0.1, builds small
clients from tools/clients into build/clients, and writes a line for each trial: the client (with its version),
what, and PASS or FAIL. A client that is not installed is MISSING, which is no failure. It takes about three minutes,
and longer the first time, when it fetches packages. It calls only 127.0.0.1, has time limits, and ends what it starts.

Exit code 0: nothing failed. 1: something failed. 2: it could not begin.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from client_cases import plain_cases, restart_cases, stranger_cases, tls_cases
from client_coupons import Coupons, RequestFiles
from client_h2spec import INSTALL as H2SPEC_INSTALL
from client_h2spec import try_h2spec
from client_languages import LANGUAGES, Client, built_clients
from client_report import Report, Result
from client_servers import Server, server_on, write_certificates
from client_tools import (
    BUF_INSTALL,
    GHZ_INSTALL,
    GRPCURL_INSTALL,
    H2LOAD_INSTALL,
    try_buf,
    try_ghz,
    try_grpcurl,
    try_h2load,
)

from redemption.cli.exits import Stop
from redemption.client import Tls
from redemption.client.channel import service_config

H2SPEC: Final = "h2spec"
TOOLS: Final = {
    "grpcurl": GRPCURL_INSTALL,
    "buf": BUF_INSTALL,
    "ghz": GHZ_INSTALL,
    "h2load": H2LOAD_INSTALL,
    H2SPEC: H2SPEC_INSTALL,
}
WITHOUT_RETRIES: Final[dict[str, Any]] = {"methodConfig": [{"name": [{}]}]}
"""A service config without retries. Clients still resend calls that the protocol reports as never processed."""
WITH_CERTIFICATE: Final = "go"
"""The client that is also tried with a client certificate."""


def main(arguments: Sequence[str]) -> int:
    """Run the wanted trials, and return the exit code."""
    wanted = _wanted(arguments)
    report = Report()
    try:
        with tempfile.TemporaryDirectory(prefix="redemption-clients-") as directory:
            _try(report, wanted, Path(directory))
    except Stop as stop:
        print(*stop.told, sep="\n", file=sys.stderr)
        return 2
    print(", ".join(f"{count} {result}" for result, count in report.counts.items()))
    return 1 if report.counts[Result.FAIL] else 0


def _wanted(arguments: Sequence[str]) -> Sequence[str]:
    names = [*(language.name for language in LANGUAGES), *TOOLS]
    needs = [f"  {language.name:<8} {language.install}" for language in LANGUAGES]
    needs += [f"  {name:<8} {install}" for name, install in TOOLS.items()]
    parser = argparse.ArgumentParser(
        prog="tools/try_clients.py",
        description=(__doc__ or "").split("\n\n", 2)[0] + "\n\n" + (__doc__ or "").split("\n\n", 2)[2],
        epilog="What each needs on PATH (go install writes to $(go env GOPATH)/bin):\n" + "\n".join(needs),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(names)}")
    given: list[str] = parser.parse_args(arguments).names
    for name in given:
        if name not in names:
            parser.error(f"{name} is none of {', '.join(names)}")
    return given or names


def _try(report: Report, wanted: Sequence[str], directory: Path) -> None:
    clients = built_clients(report, wanted)
    if set(wanted) != {H2SPEC}:
        _in_plain_text(report, clients, wanted, directory)
    if H2SPEC in wanted:
        try_h2spec(report, directory)
    if clients:
        _over_tls(report, clients, directory)


def _in_plain_text(report: Report, clients: Sequence[Client], wanted: Sequence[str], directory: Path) -> None:
    with server_on(_new(directory, "plain")) as server:
        coupons = Coupons(server.address)
        files = RequestFiles(_new(directory, "requests"))
        for client in clients:
            cases = plain_cases(coupons, files)
            client.try_cases(report, cases, _plan(server), connections=client.language.connections)
        trials: dict[str, Callable[[], None]] = {
            "grpcurl": lambda: try_grpcurl(report, server.address, coupons),
            "buf": lambda: try_buf(report, server.address, coupons),
            "ghz": lambda: try_ghz(report, server.address, coupons),
            "h2load": lambda: try_h2load(report, server.address, directory),
        }
        for name, trial in trials.items():
            if name in wanted:
                trial()
        for client in clients:
            for prefix, config in (
                ("with retries: ", json.loads(service_config())),
                ("without retries: ", WITHOUT_RETRIES),
            ):
                plan = _plan(server) | {"service_config": _patient(config)}
                cases = restart_cases(coupons, files)
                client.try_cases(report, cases, plan, prefix=prefix, on_ask=lambda _: server.restart())
    _look_at_log(report, server, "in plain text")


def _over_tls(report: Report, clients: Sequence[Client], directory: Path) -> None:
    """Try each client over TLS. Try one also at a server that demands client certificates: with one, and without."""
    certificates = write_certificates(_new(directory, "certificates"))
    flags = ("--tls-certificate", str(certificates.server), "--tls-key", str(certificates.server_key))
    anonymous = {"ca": str(certificates.ca), "certificate": None, "key": None}
    known = {"ca": str(certificates.ca), "certificate": str(certificates.client), "key": str(certificates.client_key)}
    files = RequestFiles(_new(directory, "tls-requests"))
    with server_on(_new(directory, "tls"), *flags) as server:
        coupons = Coupons(server.address, Tls(ca=certificates.ca.read_bytes()))
        for client in clients:
            client.try_cases(report, tls_cases(coupons, files), _plan(server) | {"tls": anonymous}, prefix="TLS: ")
    _look_at_log(report, server, "with TLS")
    asking = [client for client in clients if client.language.name == WITH_CERTIFICATE]
    if not asking:
        return
    with server_on(_new(directory, "mutual-tls"), *flags, "--tls-client-ca", str(certificates.ca)) as server:
        coupons = Coupons(server.address, certificates.of_client())
        for client in asking:
            prefix = "TLS, client certificate: "
            client.try_cases(report, tls_cases(coupons, files), _plan(server) | {"tls": known}, prefix=prefix)
            client.try_cases(report, stranger_cases(files), _plan(server) | {"tls": anonymous}, prefix="TLS: ")
    _look_at_log(report, server, "with client certificates")


def _look_at_log(report: Report, server: Server, which: str) -> None:
    report.tried("redemption", f"the server's log, {which}: no warning, no error", " / ".join(server.complaints()))


def _plan(server: Server) -> dict[str, Any]:
    return {"target": server.address, "tls": None, "service_config": None}


def _patient(config: dict[str, Any]) -> str:
    """Return the service config as JSON, with ``waitForReady``: calls wait while no server listens."""
    config["methodConfig"][0]["waitForReady"] = True
    return json.dumps(config)


def _new(directory: Path, name: str) -> Path:
    made = directory / name
    made.mkdir()
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
