"""Tries tools for gRPC or HTTP/2: grpcurl, buf curl, ghz, h2load."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from client_coupons import PROGRAM, Coupons, inspect
from client_process import Failed, Ran, find, run
from client_report import Report

GRPCURL_INSTALL: Final = "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest"
GHZ_INSTALL: Final = "go install github.com/bojand/ghz/cmd/ghz@v0.121.0 (@latest is an old one)"
H2LOAD_INSTALL: Final = "apt-get install nghttp2-client"
BUF_INSTALL: Final = "make install"
SECONDS_MAX: Final = 60.0

REDEEM: Final = "redemption.v1.RedemptionService/Redeem"
INSPECT: Final = "redemption.v1.IssuanceService/InspectToken"
CHECK: Final = "grpc.health.v1.Health/Check"
SERVICES: Final = (
    "grpc.health.v1.Health",
    "redemption.v1.CampaignService",
    "redemption.v1.IssuanceService",
    "redemption.v1.RedemptionService",
)
HEALTH_REQUEST: Final = bytes(5)
"""An empty message in gRPC's framing."""
HEALTH_ANSWER_BYTES: Final = 7
FRAMED_CALLS: Final = 20_000
CONNECTIONS: Final = 1_000
GHZ_CALLS: Final = 5_000

Judge = Callable[[Ran], str]


class Tool:
    """A tool that is installed."""

    def __init__(self, report: Report, name: str, program: str, version: Sequence[str]) -> None:
        """Read its version."""
        self._report = report
        self.program = program
        ran = run([program, *version], seconds_max=SECONDS_MAX)
        found = re.search(r"v?\d+\.\d+[\w.]*|dev\w*", ran.output + ran.errors)
        self.client = f"{name} {version_of_module(program) or (found[0].removeprefix('v') if found else '?')}"

    def tries(self, what: str, arguments: Sequence[str], judge: Judge) -> None:
        """Run it and report the result; its output is checked only if its exit code is 0."""
        try:
            ran = run([self.program, *arguments], seconds_max=SECONDS_MAX)
            problem = ran.last_words if ran.code else judge(ran)
        except Failed as failure:
            problem = str(failure)
        self._report.tried(self.client, what, problem)

    def is_refused(self, what: str, arguments: Sequence[str], wanted: Sequence[str]) -> None:
        """Run it with a request that must be refused; the error must contain all wanted texts."""
        try:
            ran = run([self.program, *arguments], seconds_max=SECONDS_MAX)
            problem = _has(*wanted)(ran) if ran.code else "it was not refused"
        except Failed as failure:
            problem = str(failure)
        self._report.tried(self.client, what, problem)


def try_grpcurl(report: Report, address: str, coupons: Coupons) -> None:
    """Try grpcurl, which reads the contract by reflection."""
    tool = _tool(report, "grpcurl", ["--version"], GRPCURL_INSTALL)
    if tool is None:
        return
    token = json.dumps(inspect(coupons.tokens(1)[0]))
    plain = ["-plaintext", "-max-time", "10"]
    tool.tries("list", [*plain, address, "list"], _has(*SERVICES))
    tool.tries(
        "describe a service", [*plain, address, "describe", "redemption.v1.RedemptionService"], _has("rpc Redeem (")
    )
    tool.tries(
        "describe a method",
        [*plain, address, "describe", "redemption.v1.RedemptionService.Redeem"],
        _has("rpc Redeem ( .redemption.v1.RedeemRequest ) returns ( .redemption.v1.RedeemResponse )"),
    )
    tool.tries("a unary call", [*plain, "-d", token, address, INSPECT], _has("TOKEN_STATE_UNUSED"))
    tool.tries("health Check", [*plain, address, CHECK], _has('"SERVING"'))
    tool.is_refused(
        "an invalid request: its details are shown",
        [*plain, "-d", '{"checkout": {"program": "clients"}}', address, REDEEM],
        ["InvalidArgument", "INVALID_REQUEST", "field_violations"],
    )


def try_buf(report: Report, address: str, coupons: Coupons) -> None:
    """Try buf curl, with both versions of reflection."""
    tool = _tool(report, "buf", ["--version"], BUF_INSTALL)
    if tool is None:
        return
    token = json.dumps(inspect(coupons.tokens(1)[0]))
    plain = ["curl", "--protocol", "grpc", "--http2-prior-knowledge"]
    url = f"http://{address}"
    for version in ("grpc-v1", "grpc-v1alpha"):
        reflected = [*plain, "--reflect-protocol", version]
        tool.tries(
            f"curl: a unary call, reflection {version}",
            [*reflected, "-d", token, f"{url}/{INSPECT}"],
            _has("TOKEN_STATE_UNUSED"),
        )
        tool.tries(f"curl: list, reflection {version}", [*reflected, "--list-services", url], _has(*SERVICES))
    mint = {"program": PROGRAM, "requestId": "buf-curl", "campaign": coupons.campaign, "count": 1_000}
    tool.tries(
        "curl: Mint, 1,000 tokens as a stream",
        [*plain, "-d", json.dumps(mint), f"{url}/redemption.v1.IssuanceService/Mint"],
        lambda ran: _count(ran.output.count('"token"'), 1_000, "tokens"),
    )


def try_ghz(report: Report, address: str, coupons: Coupons) -> None:
    """Try ghz, a load generator on grpc-go."""
    tool = _tool(report, "ghz", ["--version"], GHZ_INSTALL)
    if tool is None:
        return
    token = json.dumps(inspect(coupons.tokens(1)[0]))
    load = ["--insecure", "--total", str(GHZ_CALLS), "--concurrency", "50", "--connections", "2", "--format", "json"]

    def all_ok(ran: Ran) -> str:
        codes = json.loads(ran.output)["statusCodeDistribution"]
        return "" if codes == {"OK": GHZ_CALLS} else f"{codes}"

    tool.tries(f"{GHZ_CALLS:,} health Checks", [*load, "--call", CHECK, address], all_ok)
    tool.tries(f"{GHZ_CALLS:,} calls with a message", [*load, "--call", INSPECT, "--data", token, address], all_ok)


def try_h2load(report: Report, address: str, directory: Path) -> None:
    """Try h2load with framed calls, on few connections and on many."""
    tool = _tool(report, "h2load", ["--version"], H2LOAD_INSTALL)
    if tool is None:
        return
    body = directory / "health.bin"
    body.write_bytes(HEALTH_REQUEST)
    call = ["-d", str(body), "-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{address}/{CHECK}"]
    few = ["-n", str(FRAMED_CALLS), "-c", "4", "-m", "32"]
    tool.tries(f"{FRAMED_CALLS:,} framed calls on 4 connections", [*few, *call], _all_answered(FRAMED_CALLS))
    each = ["-n", str(CONNECTIONS), "-c", str(CONNECTIONS), "-m", "1"]
    tool.tries(f"{CONNECTIONS:,} connections of one call", [*each, *call], _all_answered(CONNECTIONS))


def _tool(report: Report, name: str, version: Sequence[str], install: str) -> Tool | None:
    """Return a tool, also from our own environment; report it if it is missing."""
    program = find(name, [Path(sys.executable).parent])
    if program is None:
        report.missing(name, install)
        return None
    try:
        return Tool(report, name, program, version)
    except Failed as failure:
        report.tried(name, "its version", str(failure))
        return None


def version_of_module(program: str) -> str:
    """Return the version of the Go module that a program was built from; empty if it is not known."""
    go = find("go")
    built = run([go, "version", "-m", program], seconds_max=SECONDS_MAX).output if go else ""
    found = re.search(r"^\tmod\t\S+\tv([\w.]+)", built, re.MULTILINE)
    return found[1] if found else ""


def _has(*wanted: str) -> Judge:
    def judge(ran: Ran) -> str:
        said = ran.output + ran.errors
        missing = [each for each in wanted if each not in said]
        return f"it does not say {missing[0]!r}: {ran.last_words}" if missing else ""

    return judge


def _all_answered(calls: int) -> Judge:
    def judge(ran: Ran) -> str:
        done = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", ran.output)
        data = re.search(r"\((\d+)\) data", ran.output)
        if done is None or data is None:
            return ran.last_words
        if [int(each) for each in done.groups()] != [calls, 0, 0, 0]:
            return done[0]
        # Each gRPC answer has HTTP status 200, so the number of bytes shows whether it was OK.
        return _count(int(data[1]), calls * HEALTH_ANSWER_BYTES, "bytes")

    return judge


def _count(found: int, wanted: int, unit: str) -> str:
    return "" if found == wanted else f"{found:,} {unit} instead of {wanted:,}"
