"""The whole server, from outside: kills, restarts, emptied and restored ledgers, drains. Real processes, real ports."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from builders.keysets import keyset_of
from google.protobuf import duration_pb2
from processes import is_alive
from redis import Redis
from served import Served, redeem_request, redeemed
from waiting import SECONDS_MAX, until
from whole_server.callers import Load

from redemption.v1 import outcome_pb2, redemption_service_pb2, redemption_service_pb2_grpc

APPROVED = outcome_pb2.OUTCOME_APPROVED
ALREADY_REDEEMED = outcome_pb2.OUTCOME_ALREADY_REDEEMED
ADOPT = "redemption ledger adopt"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A running server for all tests that leave it as it was: each mints coupons of its own."""
    server = Served(tmp_path_factory.mktemp("shared")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """What a server left when it was stopped: its directory, three coupons, and the decision that used the first."""
    server = Served(tmp_path_factory.mktemp("left")).start()
    client = server.client()
    tokens = client.mint(1, 3)
    decision = client.redeem(tokens[0], request_id="r1")
    assert server.stop() == 0
    return SimpleNamespace(directory=server.directory, tokens=tokens, decision=decision)


@pytest.fixture
def directory(left, tmp_path):
    """A copy of that directory."""
    return shutil.copytree(left.directory, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))


def adopt(directory, environment):
    command = [sys.executable, "-m", "redemption", "ledger", "adopt", "--program", "demo", "--yes"]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
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
    if not os.access(f"/proc/{worker}/environ", os.R_OK):
        pytest.skip("only root may look into a process that is not dumpable")
    environment = dict(
        entry.split("=", 1) for entry in Path(f"/proc/{worker}/environ").read_text().split("\0") if entry
    )
    assert environment["GRPC_EXPERIMENTS"] == expected
    assert "Unknown experiment" not in served.log()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_process_of_a_server_leaves_a_core_dump(shared):
    """The supervisor, the worker and the ledger."""
    for pid in (shared.process.pid, *shared.workers, shared.valkey):
        limits = Path(f"/proc/{pid}/limits").read_text()
        (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        assert line.split()[4:6] == ["0", "0"]


def test_the_banner_says_what_a_person_wants_to_know(shared):
    ledger, listen, attempt = shared.output.splitlines()
    assert ledger == "ledger   embedded valkey, strict (fsync before answer), ./.data"
    assert listen.startswith(f"listen   127.0.0.1:{shared.port}   program demo   campaign 1 满200减50")
    token = attempt.split()[3]
    assert len(token) == 64
    client = shared.client()
    assert client.redeem(token, request_id="of-the-banner").outcome == APPROVED
    assert client.redeem(token, request_id="of-another").outcome == ALREADY_REDEEMED


def test_state_survives_a_restart(started, left, directory):
    client = started(directory).client()
    token, other, _ = left.tokens
    assert client.redeem(token, request_id="r1") == left.decision
    assert client.redeem(token, request_id="r2").outcome == ALREADY_REDEEMED
    assert client.redeem(other, request_id="r3").outcome == APPROVED
    assert client.stats(1).redeemed == 2


def test_a_killed_server_and_a_retry_give_the_same_answer(started, tmp_path):
    first = started(tmp_path)
    client = first.client()
    (token,) = client.mint(1, 1)
    decision = client.redeem(token, request_id="r1")
    workers, valkey = first.workers, first.valkey
    first.stop(signal.SIGKILL)
    until(lambda: not any(map(is_alive, (*workers, valkey))))
    second = started(tmp_path)
    assert second.client().redeem(token, request_id="r1") == decision
    second.stop()


def test_a_server_killed_between_reserve_and_confirm_loses_no_reservation(started, tmp_path):
    """The next one confirms it; nobody else got the coupon meanwhile."""
    first = started(tmp_path)
    client = first.client()
    (token,) = client.mint(1, 1)
    checkout = redeem_request(token, request_id="hold").checkout
    request = redemption_service_pb2.ReserveRequest(request_id="hold", checkout=checkout)
    held = client.redemption.Reserve(request, timeout=SECONDS_MAX)
    workers, valkey = first.workers, first.valkey
    first.stop(signal.SIGKILL)
    until(lambda: not any(map(is_alive, (*workers, valkey))))
    second = started(tmp_path)
    client = second.client()
    assert client.redeem(token, request_id="thief").outcome == outcome_pb2.OUTCOME_RESERVED
    assert client.redemption.Reserve(request, timeout=SECONDS_MAX) == held
    confirm = redemption_service_pb2.ConfirmRequest(
        program="demo", request_id="confirm", reservation_id=held.reservation_id
    )
    assert client.redemption.Confirm(confirm, timeout=SECONDS_MAX).decision.outcome == APPROVED
    second.stop()


def redeem(client, request_id, token):
    return client.redeem(token, request_id=request_id)


def test_a_ledger_killed_under_load_loses_no_approval(served):
    """Valkey is killed (-9) in mid-load, twice: every approved coupon stays spent, all by itself, and health tells."""
    client, callers = served.client(), 6
    asked = {f"buyer-{index}": token for index, token in enumerate(client.mint(1, 6000))}
    load = Load(served, callers, asked, redeem)
    for _ in range(2):
        load.until_answered(200)
        killed = served.valkey
        with served.held():
            os.kill(killed, signal.SIGKILL)
            until(lambda: client.serving() == "NOT_SERVING")
        until(lambda killed=killed: served.valkey not in (None, killed))
        until(lambda: client.serving() == "SERVING")
    load.until_answered(100)
    load.stop()
    assert {decision.outcome for decision in load.answers.values()} == {APPROVED}
    assert set(load.failures) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    for request_id in load.answers:
        assert client.redeem(asked[request_id], request_id=f"thief of {request_id}").outcome == ALREADY_REDEEMED
    # An answer may have been lost for good at the end of the test; none that was given is.
    assert 0 <= client.stats(1).redeemed - len(load.answers) <= callers


def test_two_workers_share_one_port_and_one_ledger(started, tmp_path):
    server = started(tmp_path, "--workers", "2")
    assert len(server.workers) == 2
    clients = [server.client() for _ in range(12)]
    tokens = clients[0].mint(1, 240)
    load = Load(server, 12, {f"buyer-{index}": token for index, token in enumerate(tokens)}, redeem)
    until(lambda: len(load.answers) == 240)
    load.stop()
    assert {decision.outcome for decision in load.answers.values()} == {APPROVED}
    decisions = [client.redeem(tokens[0], request_id=f"again-{index}") for index, client in enumerate(clients)]
    assert {decision.outcome for decision in decisions} == {ALREADY_REDEEMED}
    assert server.stop() == 0
    orders = {event["worker"]: event["orders"] for event in server.events() if event["event"] == "stopped"}
    assert set(orders) == {0, 1}
    assert min(orders.values()) > 0, "both served"


def test_a_killed_worker_is_replaced(shared):
    client = shared.client()
    (token,) = client.mint(1, 1)
    decision = client.redeem(token, request_id="before-the-kill")
    (killed,) = shared.workers
    os.kill(killed, signal.SIGKILL)
    until(lambda: shared.workers and killed not in shared.workers)
    until(lambda: client.serving() == "SERVING")
    assert client.redeem(token, request_id="before-the-kill") == decision


def test_an_emptied_data_directory_is_not_served_until_adopted(started, directory):
    shutil.rmtree(directory / ".data")
    refused = Served(directory).run_to_end()
    assert refused.returncode == 5
    assert refused.stdout == ""
    (line,) = [line for line in refused.stderr.splitlines() if not line.startswith("{")]
    assert "is empty" in line
    assert ADOPT in line
    adopted = adopt(directory, Served(directory).environment)
    assert adopted.returncode == 0, adopted.stderr
    assert started(directory).client().serving() == "SERVING"


def test_a_restored_data_directory_is_not_served_until_adopted(started, left, directory):
    later = started(directory)
    assert later.client().redeem(left.tokens[1], request_id="r2").outcome == APPROVED
    later.stop()
    shutil.rmtree(directory / ".data")
    shutil.copytree(left.directory / ".data", directory / ".data", ignore=shutil.ignore_patterns("*.sock"))
    refused = Served(directory).run_to_end()
    assert refused.returncode == 5
    assert "rolled back" in refused.stderr
    adopted = adopt(directory, later.environment)
    assert adopted.returncode == 0, adopted.stderr
    assert started(directory).client().redeem(left.tokens[2], request_id="r3").outcome == APPROVED


def test_an_edited_keyset_is_not_served_until_adopted(started, left, directory):
    """With the same id and another privacy root, every limit of a customer would begin anew."""
    path = directory / "development.keyset"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"privacy_root": secrets.token_hex(32)}))
    refused = Served(directory).run_to_end()
    assert (refused.returncode, refused.stdout) == (5, "")
    (line,) = [line for line in refused.stderr.splitlines() if not line.startswith("{")]
    assert "It differs in: privacy_root (or environment)." in line
    assert ADOPT in line
    adopted = adopt(directory, Served(directory).environment)
    assert adopted.returncode == 0, adopted.stderr
    assert started(directory).client().redeem(left.tokens[2], request_id="r3").outcome == APPROVED


def test_a_torn_append_only_file_is_not_served_until_adopted(started, directory):
    (log,) = directory.glob(".data/ledger/appendonlydir/*.incr.aof")
    os.truncate(log, log.stat().st_size - 5)
    refused = Served(directory).run_to_end()
    assert refused.returncode == 5
    (line,) = [line for line in refused.stderr.splitlines() if not line.startswith("{")]
    assert "ends in the middle of a write" in line
    assert "redemption ledger adopt" in line
    adopted = adopt(directory, Served(directory).environment)
    assert adopted.returncode == 0, adopted.stderr
    assert "dropped_bytes" in adopted.stderr
    assert started(directory).client().serving() == "SERVING"


def test_an_approval_that_nobody_remembers_is_not_cut_off_in_silence(served):
    """Worker and ledger are killed together, and the file loses its end, of which the next worker knows nothing."""
    client = served.client()
    (token,) = client.mint(1, 1)
    with served.held():
        assert client.redeem(token, request_id="the first").outcome == APPROVED
        killed = (*served.workers, served.valkey)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        (log,) = served.directory.glob(".data/ledger/appendonlydir/*.incr.aof")
        until(lambda: not any(map(is_alive, killed)))
        os.truncate(log, log.stat().st_size - 20)
        left = log.read_bytes()
    refused = "ends in the middle of a write"
    until(lambda: sum(refused in event.get("reason", "") for event in served.events()) >= 2)
    until(lambda: served.client().serving() == "NOT_SERVING")
    assert log.read_bytes() == left


def test_a_fence_that_cannot_be_written_starts_no_server(directory):
    """Else an older ledger would not be noticed after a crash."""
    (directory / "development.keyset.fence.new").mkdir()
    refused = Served(directory).run_to_end()
    assert (refused.returncode, refused.stdout) == (4, "")
    last = refused.stderr.splitlines()[-1]
    assert "cannot be written to development.keyset.fence (" in last
    assert "set REDEMPTION_FENCE" in last


def test_a_ledger_without_its_keyset_is_not_served(directory):
    (directory / "development.keyset").unlink()
    refused = Served(directory).run_to_end()
    assert refused.returncode == 4
    assert "restore the keyset" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--listen", "0.0.0.0:0"], {}, "--tls-certificate"),
        (["--tls-certificate", "x.pem"], {}, "go together"),
        ([], {"REDEMPTION_ENVIRONMENT": "production"}, "there is no keyset"),
        ([], {"REDEMPTION_REDIS_URL": "redis://127.0.0.1:1"}, "there is no keyset"),
        ([], {"REDEMPTION_REDIS_URL": "redis://:hunter2/x@127.0.0.1:6379"}, "/ as %2F"),
        ([], {"REDEMPTION_WORKER": "2"}, "did you mean REDEMPTION_WORKERS"),
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
    """What was answered stays; a call that was refused during the stop got that status and no other."""
    server = started(tmp_path)
    asked = {f"buyer-{index}": token for index, token in enumerate(server.client().mint(1, 400))}
    load = Load(server, 4, asked, redeem)
    load.until_answered(50)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(SECONDS_MAX) == 0
    load.stop()
    assert set(load.failures) <= {grpc.StatusCode.UNAVAILABLE}, "CANCELLED would tell nobody to ask again"
    assert {decision.outcome for decision in load.answers.values()} == {APPROVED}
    again = started(tmp_path).client()
    for request_id, decision in load.answers.items():
        assert redeem(again, request_id, asked[request_id]) == decision


async def test_a_thousand_redeems_of_one_coupon_over_one_connection(shared):
    (token,) = await asyncio.to_thread(shared.client().mint, 1, 1)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{shared.port}") as channel:
        stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        answers = await asyncio.gather(
            *(redeemed(stub, redeem_request(token, request_id=f"one-{index}")) for index in range(1000))
        )
    outcomes = [answer.decision.outcome for answer in answers]
    assert (outcomes.count(APPROVED), outcomes.count(ALREADY_REDEEMED)) == (1, 999)


async def test_five_thousand_customers_for_a_thousand_coupons(shared):
    client = shared.client()
    campaign = await asyncio.to_thread(lambda: client.create("rush", redemptions=1000, redemptions_per_customer=1))
    tokens = await asyncio.to_thread(client.mint, campaign.number, 5000)
    requests = [
        redeem_request(token, request_id=f"rush-{index}", customer=f"customer-{index}")
        for index, token in enumerate(tokens)
    ]
    calls = Redis(unix_socket_path=str(shared.directory / ".data/ledger/valkey.sock"))
    before = calls.info("commandstats")["cmdstat_fcall"]["calls"]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{shared.port}") as channel:
        stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        waiting = iter(requests)

        async def buyer():
            return [(await redeemed(stub, request)).decision.outcome for request in waiting]

        outcomes = [outcome for part in await asyncio.gather(*(buyer() for _ in range(500))) for outcome in part]
    made = calls.info("commandstats")["cmdstat_fcall"]["calls"] - before
    calls.close()
    assert outcomes.count(APPROVED) == 1000
    assert outcomes.count(outcome_pb2.OUTCOME_CAMPAIGN_LIMIT) == 4000
    stats = await asyncio.to_thread(client.stats, campaign.number)
    assert (stats.redeemed, stats.discount_minor) == (1000, 1000 * 50_00)
    print(f"one ledger call carried {5000 / made:.1f} redeems on average")
    assert made < 5000, "orders travel together under load"


def test_batches_over_the_wire(shared):
    client = shared.client()
    tokens = client.mint(1, 100)
    requests = [redeem_request(token, request_id=f"batched-{index}") for index, token in enumerate(tokens)]
    batch = redemption_service_pb2.BatchRedeemRequest(program="demo", requests=requests)
    results = client.redemption.BatchRedeem(batch, timeout=SECONDS_MAX).results
    assert {result.decision.outcome for result in results} == {APPROVED}
    again = client.redemption.BatchRedeem(batch, timeout=SECONDS_MAX).results
    assert list(again) == list(results)


def test_reserve_confirm_and_release_over_the_wire(shared):
    client = shared.client()
    first, second = client.mint(1, 2)

    def reserve(token, **changes):
        checkout = redeem_request(token, request_id=token).checkout
        request = redemption_service_pb2.ReserveRequest(request_id=f"hold {token}", checkout=checkout, **changes)
        return client.redemption.Reserve(request, timeout=SECONDS_MAX)

    held = reserve(first)
    assert held.decision.outcome == APPROVED
    assert held.expire_time.seconds - held.decision.decide_time.seconds in (900, 901)
    refused = client.redeem(first, request_id="another order")
    assert refused.outcome == outcome_pb2.OUTCOME_RESERVED
    assert refused.verdicts[0].detail.hold_expire_time == held.expire_time
    names = {"program": "demo", "reservation_id": held.reservation_id}
    confirm = redemption_service_pb2.ConfirmRequest(request_id="confirm", **names)
    confirmed = client.redemption.Confirm(confirm, timeout=SECONDS_MAX).decision
    assert (confirmed.outcome, confirmed.discount_minor) == (APPROVED, held.decision.discount_minor)
    assert client.redemption.Confirm(confirm, timeout=SECONDS_MAX).decision == confirmed
    late = client.redemption.Release(
        redemption_service_pb2.ReleaseRequest(request_id="late", **names), timeout=SECONDS_MAX
    )
    assert late.outcome == outcome_pb2.OUTCOME_ALREADY_REDEEMED
    other = reserve(second, ttl=duration_pb2.Duration(seconds=60))
    release = redemption_service_pb2.ReleaseRequest(
        program="demo", request_id="release", reservation_id=other.reservation_id
    )
    assert client.redemption.Release(release, timeout=SECONDS_MAX).outcome == APPROVED
    assert client.redeem(second, request_id="after the release").outcome == APPROVED


def test_reverse_over_the_wire(shared):
    """By a line, then the rest: the answers say what was given back, and so does a look-up of the redemption."""
    client = shared.client()
    (token,) = client.mint(1, 1)
    request = redeem_request(token, request_id="to give back")
    decision = client.redemption.Redeem(request, timeout=SECONDS_MAX).decision
    verdict, order = decision.verdicts[0], request.checkout.order
    line = verdict.allocations[0].line_id
    names = {"program": "demo", "order_id": order.order_id, "redemption_id": verdict.redemption_id}
    half = redemption_service_pb2.ReverseRequest(
        request_id="half",
        settlement=decision.settlement,
        lines=[redemption_service_pb2.ReverseLine(line_id=line, amount_minor=order.lines[0].amount_minor // 2)],
        **names,
    )
    answer = client.redemption.Reverse(half, timeout=SECONDS_MAX)
    off = verdict.discount_minor
    assert (answer.outcome, answer.disposition) == (APPROVED, outcome_pb2.DISPOSITION_APPROVED)
    assert (answer.reversed_minor, answer.total_reversed_minor, answer.restored) == (off // 2, off // 2, False)
    assert [(part.line_id, part.amount_minor) for part in answer.allocations] == [(line, off // 2)]
    assert client.redemption.Reverse(half, timeout=SECONDS_MAX) == answer
    look_up = redemption_service_pb2.GetRedemptionRequest(program="demo", redemption_id=verdict.redemption_id)
    (found,) = client.redemption.GetRedemption(look_up, timeout=SECONDS_MAX).redemptions
    assert (found.state, found.reversed_minor) == (redemption_service_pb2.REDEMPTION_STATE_PARTLY_REVERSED, off // 2)
    half.request_id, half.lines[0].amount_minor = "too much", order.lines[0].amount_minor
    refused = client.redemption.Reverse(half, timeout=SECONDS_MAX)
    assert refused.outcome == outcome_pb2.OUTCOME_REVERSAL_EXCEEDS
    assert (refused.exceeded_line_id, refused.total_reversed_minor) == (line, off // 2)
    assert refused.left_minor == order.lines[0].amount_minor - order.lines[0].amount_minor // 2
    rest = redemption_service_pb2.ReverseRequest(request_id="rest", **names)
    assert client.redemption.Reverse(rest, timeout=SECONDS_MAX).total_reversed_minor == off
    (found,) = client.redemption.GetRedemption(look_up, timeout=SECONDS_MAX).redemptions
    assert (found.state, found.reversed_minor) == (redemption_service_pb2.REDEMPTION_STATE_REVERSED, off)
    forged = redemption_service_pb2.ReverseRequest(request_id="forged", **names | {"redemption_id": "x" * 64})
    assert client.redemption.Reverse(forged, timeout=SECONDS_MAX).outcome == outcome_pb2.OUTCOME_REDEMPTION_NOT_FOUND
    half.lines[0].line_id = "hat"
    with pytest.raises(grpc.RpcError, match=r"lines\[0\].line_id: has no part of this discount") as raised:
        client.redemption.Reverse(half, timeout=SECONDS_MAX)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("seconds", [0, 86_401, 365 * 86_400, -1])
def test_a_time_to_hold_that_is_none_is_named(shared, seconds):
    client = shared.client()
    checkout = redeem_request("x", request_id="hold").checkout
    request = redemption_service_pb2.ReserveRequest(
        request_id="hold", checkout=checkout, ttl=duration_pb2.Duration(seconds=seconds)
    )
    with pytest.raises(grpc.RpcError, match="ttl: must") as raised:
        client.redemption.Reserve(request, timeout=SECONDS_MAX)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_second_server_on_the_same_directory_or_port_is_refused(shared, tmp_path):
    same = Served(shared.directory).run_to_end()
    assert same.returncode == 4
    assert str(shared.process.pid) in same.stderr
    port = Served(tmp_path, port=shared.port).run_to_end()
    assert port.returncode == 4
    assert f"port {shared.port}" in port.stderr
    with contextlib.suppress(FileNotFoundError):
        assert not list((tmp_path / ".data").glob("**/*.aof"))


def test_what_was_set_and_has_no_effect_is_told(started, tmp_path):
    told = {"TRANSPORT": "grpcio", "BOUNDS__CONNECTIONS_MAX": "5", "BOUNDS__IDLE_SECONDS_MAX": "60"}
    server = started(tmp_path, environment={f"REDEMPTION_{name}": value for name, value in told.items()})
    assert "   transport grpcio" in server.output
    warning = next(line for line in server.log().splitlines() if "does not keep these bounds" in line)
    assert json.loads(warning)["bounds"] == ["connections_max"]


def test_which_transport_serves_is_not_told_where_it_is_the_usual_one(shared):
    assert "transport" not in shared.output
    assert "bounds" not in shared.log()


@pytest.fixture(scope="module")
def production(tmp_path_factory):
    """A directory with a keyset that is not of development."""
    directory = tmp_path_factory.mktemp("production")
    keyset = keyset_of(environment="production", development=False, now=int(time.time()))
    (directory / "production.keyset").touch(mode=0o600)
    (directory / "production.keyset").write_bytes(keyset.to_json())
    return directory


@pytest.mark.parametrize(
    ("command", "url", "cause"),
    [
        (["serve"], "redis://app:hunter2@127.0.0.1:1", "the ledger at redis://127.0.0.1:1 refuses the connection"),
        (
            ["serve"],
            "rediss://app:hunter2@127.0.0.1:1?ssl_ca_certs=/no.pem",
            "ssl_ca_certs (/no.pem) in its URL cannot",
        ),
        (["ledger", "status"], "redis://app:hunter2@no-such-host.invalid", "has a host name that cannot be found"),
    ],
)
def test_a_ledger_that_cannot_be_reached_is_told_with_its_address(production, command, url, cause):
    """One line for people, and nothing of the password in any line."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("REDEMPTION_")}
    environment |= {
        "REDEMPTION_ENVIRONMENT": "production",
        "REDEMPTION_KEYSET": "production.keyset",
        "REDEMPTION_REDIS_URL": url,
        "REDEMPTION_LISTEN": "127.0.0.1:0",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "redemption", *command],
        cwd=production,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (4, "")
    (line,) = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert cause in line
    assert "hunter2" not in ended.stderr
    assert "Traceback" not in ended.stderr
