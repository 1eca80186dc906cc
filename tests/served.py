"""A real server in processes of its own: started, asked, killed and looked at as an operator would."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from waiting import SECONDS_MAX

from redemption.client import failure_of
from redemption.v1 import (
    campaign_pb2,
    campaign_service_pb2,
    campaign_service_pb2_grpc,
    issuance_service_pb2,
    issuance_service_pb2_grpc,
    order_pb2,
    redemption_service_pb2,
    redemption_service_pb2_grpc,
)


def children(pid):
    """The processes that a process started."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Served:
    """One `redemption serve` in a directory."""

    def __init__(self, directory, *arguments, port=0, environment=None):
        self.directory = directory
        self.arguments = arguments
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("REDEMPTION_")}
        self.environment |= environment or {}
        self.port = port
        self.process = None
        self.output = ""
        self.channels = []

    def command(self):
        listen = f"127.0.0.1:{self.port}"
        return [sys.executable, "-m", "redemption", "serve", "--listen", listen, *self.arguments]

    def start(self):
        """Start it and wait until it has said that it listens."""
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.directory, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("listen"):
                address = line.split()[1]
                self.port = int(address.rpartition(":")[2])
            if line.startswith("try") or (line.startswith("listen") and "program" not in line):
                break
        self.output = "".join(lines)
        assert "listen" in self.output, (self.output, self.log())
        return self

    def run_to_end(self):
        """Run a start that is expected to be refused."""
        return subprocess.run(
            self.command(),
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )

    def log(self):
        return (self.directory / "server.log").read_text()

    def events(self):
        """The log's lines, read."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    @property
    def sample_token(self):
        """The token that the server shows at its start, for a person to try."""
        return self.output.splitlines()[-1].split()[3]

    @contextlib.contextmanager
    def held(self):
        """Stop the supervisor for the length of a block: what ends meanwhile is started again only afterwards."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    @property
    def workers(self):
        return [pid for pid in children(self.process.pid) if "redemption.worker" in command_line(pid)]

    @property
    def valkey(self):
        """The process id of the embedded ledger, or None while there is none."""
        return next((pid for pid in children(self.process.pid) if "valkey-server" in command_line(pid)), None)

    def stop(self, number=signal.SIGTERM):
        for channel in self.channels:
            channel.close()
        self.channels.clear()
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(SECONDS_MAX)
        if self.process:
            self.process.stdout.close()
        return self.process.returncode

    def channel(self):
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.min_reconnect_backoff_ms", 100)]
        options += [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 300)]
        opened = grpc.insecure_channel(f"127.0.0.1:{self.port}", options)
        self.channels.append(opened)
        return opened

    def client(self):
        return Client(self.channel())


class Client:
    """The three services, and short ways to call them."""

    def __init__(self, channel):
        self.redemption = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        self.issuance = issuance_service_pb2_grpc.IssuanceServiceStub(channel)
        self.campaigns = campaign_service_pb2_grpc.CampaignServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)

    def serving(self, service=""):
        """What health says."""
        try:
            answer = self.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS_MAX)
        except grpc.RpcError as error:
            return error.code()
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    def create(self, name, *, amount=50_00, threshold=0, days=30, **limits):
        now = int(time.time())
        campaign = campaign_pb2.Campaign(
            program="demo",
            name=name,
            currency_code="CNY",
            time_zone="Asia/Shanghai",
            start_time={"seconds": now - 86_400},
            end_time={"seconds": now + days * 86_400},
            offers=[{"tiers": {"measure": 1, "tiers": [{"threshold": threshold, "amount_off_minor": amount}]}}],
            limits=limits,
        )
        request = campaign_service_pb2.CreateCampaignRequest(request_id=f"create-{name}", campaign=campaign)
        return self.campaigns.CreateCampaign(request, timeout=SECONDS_MAX).campaign

    def mint(self, campaign, count):
        request = issuance_service_pb2.MintRequest(
            program="demo", request_id=f"mint-{time.monotonic_ns()}", campaign=campaign, count=count
        )
        return [token.token for chunk in self.issuance.Mint(request, timeout=SECONDS_MAX) for token in chunk.tokens]

    def redeem(self, *tokens, request_id, order_id=None, customer="", timeout=SECONDS_MAX):
        return self.redemption.Redeem(
            redeem_request(*tokens, request_id=request_id, order_id=order_id, customer=customer), timeout=timeout
        ).decision

    def stats(self, campaign):
        request = campaign_service_pb2.GetCampaignStatsRequest(program="demo", number=campaign)
        return self.campaigns.GetCampaignStats(request, timeout=SECONDS_MAX).stats


async def redeemed(stub, request):
    """Redeem as the README tells callers to: come again when the server says so, with the same request."""
    while True:
        try:
            return await stub.Redeem(request, timeout=SECONDS_MAX)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            await asyncio.sleep(failure_of(error).retry_after_seconds)


def redeem_request(*tokens, request_id, order_id=None, customer="", spend=238_00):
    return redemption_service_pb2.RedeemRequest(
        request_id=request_id,
        checkout=order_pb2.Checkout(
            program="demo",
            tokens=tokens,
            order={
                "order_id": order_id or f"order-of-{request_id}",
                "currency_code": "CNY",
                "lines": [{"line_id": "1", "quantity": 1, "amount_minor": spend}],
            },
            customer={"customer_id": customer} if customer else None,
        ),
    )
