"""The whole server, from outside: kills, restarts, emptied and restored ledgers, drains. Real processes, real ports."""

import asyncio
import contextlib
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import grpc
import pytest
from redis import Redis
from served import Client, Served, redeem_request
from waiting import until

from redemption.v1 import outcome_pb2, redemption_service_pb2, redemption_service_pb2_grpc

APPROVED = outcome_pb2.OUTCOME_APPROVED
ALREADY_REDEEMED = outcome_pb2.OUTCOME_ALREADY_REDEEMED
ADOPT = "redemption ledger adopt"


@pytest.fixture
def started():
    """Start servers; however the test ends, none of them outlives it."""
    servers = []

    def start(*arguments, **named):
        servers.append(Served(*arguments, **named))
        return servers[-1].start()

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def served(started, tmp_path):
    """A running server in an empty directory."""
    return started(tmp_path)


def adopt(directory, environment):
    import subprocess
    import sys

    command = [sys.executable, "-m", "redemption", "ledger", "adopt", "--program", "demo", "--yes"]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize(("set_by_hand", "expected"), [(None, "-event_engine_listener"), ("", "")])
def test_workers_have_grpc_set_up_for_little_cpu_unless_it_is_set_by_hand(
    started, tmp_path, monkeypatch, set_by_hand, expected
):
    if set_by_hand is None:
        monkeypatch.delenv("GRPC_EXPERIMENTS", raising=False)
    else:
        monkeypatch.setenv("GRPC_EXPERIMENTS", set_by_hand)
    served = started(tmp_path)
    (worker,) = served.workers
    environment = dict(
        entry.split("=", 1) for entry in Path(f"/proc/{worker}/environ").read_text().split("\0") if entry
    )
    assert environment["GRPC_EXPERIMENTS"] == expected
    assert "Unknown experiment" not in served.log()


def test_the_banner_says_what_a_person_wants_to_know(served):
    ledger, listen, attempt = served.output.splitlines()
    assert ledger == "ledger   embedded valkey, strict (fsync before answer), ./.data"
    assert listen.startswith(f"listen   127.0.0.1:{served.port}   program demo   campaign 1 满200减50")
    token = attempt.split()[3]
    assert len(token) == 64
    client = served.client()
    assert client.redeem(token, request_id="r1").outcome == APPROVED
    assert client.redeem(token, request_id="r2").outcome == ALREADY_REDEEMED


def test_state_survives_a_restart(started, tmp_path):
    first = started(tmp_path)
    client = first.client()
    token, other = client.mint(1, 2)
    decision = client.redeem(token, request_id="r1")
    assert first.stop() == 0
    second = started(tmp_path)
    client = second.client()
    assert client.redeem(token, request_id="r1") == decision
    assert client.redeem(token, request_id="r2").outcome == ALREADY_REDEEMED
    assert client.redeem(other, request_id="r3").outcome == APPROVED
    assert client.stats(1).redeemed == 2
    second.stop()


def test_a_killed_server_and_a_retry_give_the_same_answer(started, tmp_path):
    first = started(tmp_path)
    client = first.client()
    (token,) = client.mint(1, 1)
    decision = client.redeem(token, request_id="r1")
    workers, valkey = first.workers, first.valkey
    first.stop(signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in (*workers, valkey)))
    second = started(tmp_path)
    assert second.client().redeem(token, request_id="r1") == decision
    second.stop()


class Load(threading.Thread):
    """Buyers who redeem one coupon each, one after the other, and try again with the same id until answered."""

    def __init__(self, channel, tokens, name):
        super().__init__(daemon=True)
        self.client = Client(channel)
        self.tokens = tokens
        self.prefix = name
        self.approved = {}
        self.failures = set()
        self.enough = threading.Event()

    def run(self):
        for index, token in enumerate(self.tokens):
            while not self.enough.is_set():
                try:
                    decision = self.client.redeem(token, request_id=f"{self.prefix}-{index}", timeout=2.0)
                except grpc.RpcError as error:
                    self.failures.add(error.code())
                    time.sleep(0.02)
                    continue
                assert decision.outcome == APPROVED, decision
                self.approved[token] = decision
                break


def test_a_ledger_killed_under_load_loses_no_approval(served):
    """Valkey is killed (-9) in mid-load, twice: every approved coupon stays spent, all by itself, and health tells."""
    client = served.client()
    tokens = client.mint(1, 6000)
    loads = [Load(served.channel(), tokens[part::6], f"buyer-{part}") for part in range(6)]
    for load in loads:
        load.start()
    told = set()
    for _ in range(2):
        before = sum(len(load.approved) for load in loads)
        until(lambda before=before: sum(len(load.approved) for load in loads) > before + 200)
        killed = served.valkey
        os.kill(killed, signal.SIGKILL)
        until(lambda: told.add(client.serving()) or "NOT_SERVING" in told)
        until(lambda killed=killed: served.valkey not in (None, killed))
        until(lambda: client.serving() == "SERVING")
    count = sum(len(load.approved) for load in loads)
    until(lambda: sum(len(load.approved) for load in loads) > count + 100)
    for load in loads:
        load.enough.set()
    for load in loads:
        load.join(10)
    approved = {token: decision for load in loads for token, decision in load.approved.items()}
    assert {failure for load in loads for failure in load.failures} <= {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
    for number, token in enumerate(approved):
        decision = client.redeem(token, request_id=f"thief-{number}")
        assert decision.outcome == ALREADY_REDEEMED
    # An answer may have been lost for good at the end of the test; none that was given is.
    assert 0 <= client.stats(1).redeemed - len(approved) <= len(loads)


def test_two_workers_share_one_port_and_one_ledger(started, tmp_path):
    server = started(tmp_path, "--workers", "2")
    assert len(server.workers) == 2
    clients = [server.client() for _ in range(12)]
    tokens = clients[0].mint(1, 240)
    threads = [Load(server.channel(), tokens[part::12], f"buyer-{part}") for part in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sum(len(thread.approved) for thread in threads) == 240
    decisions = [client.redeem(tokens[0], request_id=f"again-{index}") for index, client in enumerate(clients)]
    assert {decision.outcome for decision in decisions} == {ALREADY_REDEEMED}
    assert server.stop() == 0
    orders = {event["worker"]: event["orders"] for event in server.events() if event["event"] == "stopped"}
    assert set(orders) == {0, 1}
    assert min(orders.values()) > 0, "both served"


def test_a_killed_worker_is_replaced(served):
    client = served.client()
    (token,) = client.mint(1, 1)
    decision = client.redeem(token, request_id="r1")
    (killed,) = served.workers
    os.kill(killed, signal.SIGKILL)
    until(lambda: served.workers and killed not in served.workers)
    until(lambda: client.serving() == "SERVING")
    assert client.redeem(token, request_id="r1") == decision


def test_an_emptied_data_directory_is_not_served_until_adopted(started, tmp_path):
    first = started(tmp_path)
    first.client().redeem(first.client().mint(1, 1)[0], request_id="r1")
    first.stop()
    shutil.rmtree(tmp_path / ".data")
    refused = Served(tmp_path).run_to_end()
    assert refused.returncode == 5
    assert refused.stdout == ""
    (line,) = [line for line in refused.stderr.splitlines() if not line.startswith("{")]
    assert "is empty" in line
    assert ADOPT in line
    adopted = adopt(tmp_path, first.environment)
    assert adopted.returncode == 0, adopted.stderr
    again = started(tmp_path)
    again.stop()


def test_a_restored_data_directory_is_not_served_until_adopted(started, tmp_path):
    first = started(tmp_path)
    tokens = first.client().mint(1, 2)
    first.stop()
    shutil.copytree(tmp_path / ".data", tmp_path / "backup", ignore=shutil.ignore_patterns("*.sock"))
    second = started(tmp_path)
    assert second.client().redeem(tokens[0], request_id="r1").outcome == APPROVED
    second.stop()
    shutil.rmtree(tmp_path / ".data")
    shutil.copytree(tmp_path / "backup", tmp_path / ".data")
    refused = Served(tmp_path).run_to_end()
    assert refused.returncode == 5
    assert "rolled back" in refused.stderr
    adopted = adopt(tmp_path, first.environment)
    assert adopted.returncode == 0, adopted.stderr
    third = started(tmp_path)
    assert third.client().redeem(tokens[1], request_id="r2").outcome == APPROVED
    third.stop()


def test_a_ledger_without_its_keyset_is_not_served(started, tmp_path):
    started(tmp_path).stop()
    (tmp_path / "development.keyset").unlink()
    refused = Served(tmp_path).run_to_end()
    assert refused.returncode == 4
    assert "restore the keyset" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--listen", "0.0.0.0:0"], {}, "--tls-certificate"),
        (["--tls-certificate", "x.pem"], {}, "go together"),
        ([], {"REDEMPTION_ENVIRONMENT": "production"}, "there is no keyset"),
        ([], {"REDEMPTION_REDIS_URL": "redis://127.0.0.1:1"}, "there is no keyset"),
        ([], {"REDEMPTION_KEYSET": "/dev/null/x.keyset"}, "/dev/null"),
        ([], {"REDEMPTION_KEYSET": ".data/x.keyset"}, "keep it elsewhere"),
        ([], {"REDEMPTION_DATA_DIR": "/dev/null/data"}, "/dev/null"),
    ],
)
def test_a_start_that_cannot_be_says_why_in_one_line(tmp_path, arguments, environment, words):
    refused = Served(tmp_path, *arguments, environment=environment).run_to_end()
    assert refused.returncode in (2, 4)
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert len([line for line in refused.stderr.splitlines() if not line.startswith("{")]) == 1


def test_a_drain_loses_no_answer(started, tmp_path):
    """What was answered stands; what was refused while stopping was told so, and nothing else."""
    server = started(tmp_path)
    tokens = server.client().mint(1, 400)
    loads = [Load(server.channel(), tokens[part::4], f"buyer-{part}") for part in range(4)]
    for load in loads:
        load.start()
    until(lambda: sum(len(load.approved) for load in loads) > 50)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    for load in loads:
        load.enough.set()
        load.join(10)
    # A call that reaches gRPC in the very moment in which it closes is CANCELLED by gRPC itself.
    told = {failure for load in loads for failure in load.failures}
    assert told <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    again = started(tmp_path).client()
    for load in loads:
        for index, token in enumerate(load.tokens):
            if token in load.approved:
                assert again.redeem(token, request_id=f"{load.prefix}-{index}") == load.approved[token]


async def test_a_thousand_redeems_of_one_coupon_over_one_connection(started, tmp_path):
    server = await asyncio.to_thread(started, tmp_path)
    (token,) = await asyncio.to_thread(server.client().mint, 1, 1)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        answers = await asyncio.gather(
            *(stub.Redeem(redeem_request(token, request_id=f"r{index}"), timeout=30) for index in range(1000))
        )
    outcomes = [answer.decision.outcome for answer in answers]
    assert (outcomes.count(APPROVED), outcomes.count(ALREADY_REDEEMED)) == (1, 999)
    await asyncio.to_thread(server.stop)


async def test_five_thousand_customers_for_a_thousand_coupons(started, tmp_path):
    server = await asyncio.to_thread(started, tmp_path)
    client = server.client()
    campaign = await asyncio.to_thread(lambda: client.create("rush", redemptions=1000, redemptions_per_customer=1))
    tokens = await asyncio.to_thread(client.mint, campaign.number, 5000)
    requests = [
        redeem_request(token, request_id=f"r{index}", customer=f"customer-{index}")
        for index, token in enumerate(tokens)
    ]
    calls = Redis(unix_socket_path=str(tmp_path / ".data/ledger/valkey.sock"))
    before = calls.info("commandstats")["cmdstat_fcall"]["calls"]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        waiting = iter(requests)

        async def buyer():
            return [(await stub.Redeem(request, timeout=30)).decision.outcome for request in waiting]

        outcomes = [outcome for part in await asyncio.gather(*(buyer() for _ in range(500))) for outcome in part]
    made = calls.info("commandstats")["cmdstat_fcall"]["calls"] - before
    calls.close()
    assert outcomes.count(APPROVED) == 1000
    assert outcomes.count(outcome_pb2.OUTCOME_CAMPAIGN_LIMIT) == 4000
    stats = await asyncio.to_thread(client.stats, campaign.number)
    assert (stats.redeemed, stats.discount_minor) == (1000, 1000 * 50_00)
    print(f"one ledger call carried {5000 / made:.1f} redeems on average")
    assert made < 5000, "orders travel together under load"
    await asyncio.to_thread(server.stop)


def test_batches_over_the_wire(served):
    client = served.client()
    tokens = client.mint(1, 100)
    requests = [redeem_request(token, request_id=f"r{index}") for index, token in enumerate(tokens)]
    batch = redemption_service_pb2.BatchRedeemRequest(program="demo", requests=requests)
    results = client.redemption.BatchRedeem(batch, timeout=10).results
    assert {result.decision.outcome for result in results} == {APPROVED}
    again = client.redemption.BatchRedeem(batch, timeout=10).results
    assert list(again) == list(results)


def test_what_is_not_built_says_so(served):
    client = served.client()
    with pytest.raises(grpc.RpcError) as raised:
        client.redemption.Reserve(redemption_service_pb2.ReserveRequest(), timeout=5)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_second_server_on_the_same_directory_or_port_is_refused(served, tmp_path):
    same = Served(tmp_path).run_to_end()
    assert same.returncode == 4
    assert str(served.process.pid) in same.stderr
    other = tmp_path / "other"
    other.mkdir()
    port = Served(other, port=served.port).run_to_end()
    assert port.returncode == 4
    assert f"port {served.port}" in port.stderr
    with contextlib.suppress(FileNotFoundError):
        assert not list((other / ".data").glob("**/*.aof"))
