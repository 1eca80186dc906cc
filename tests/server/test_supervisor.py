"""The supervisor owns port, ledger and workers, and leaves no process behind. Real processes, real kills."""

import asyncio
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from processes import answers, is_alive
from redis import Redis
from waiting import SECONDS_MAX, until

from redemption.server.embedded_valkey import EmbeddedValkey, EmbeddedValkeyError
from redemption.server.supervisor import Backoff, Supervisor

# `redemption serve` in small: tells what happens as lines of JSON; its choices come from the command line.
SERVE = """
import asyncio, json, signal, sys, time
from pathlib import Path
import structlog
from redemption.server.embedded_valkey import EmbeddedValkey
from redemption.server.listening import ListenError
from redemption.server.supervisor import Supervisor
from redemption.server.worker_process import WorkerError
choices = json.loads(sys.argv[1])
structlog.configure(
    processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.PrintLoggerFactory(sys.stderr)
)
def tell(**event):
    print(json.dumps(event), flush=True)
async def serve():
    # SIGUSR1 puts the clock forward as soon as something has minutes to come: then it is too late.
    loop, real, ahead = asyncio.get_running_loop(), time.monotonic, []
    loop.time = lambda: real() + 3600.0 * len(ahead)
    def forward():
        if any(timer.when() > loop.time() + 60 for timer in loop._scheduled if not timer.cancelled()):
            ahead.append(True)
        else:
            loop.call_later(0.005, forward)
    loop.add_signal_handler(signal.SIGUSR1, forward)
    embedded = None if choices.get("ledger_url") else EmbeddedValkey(Path(choices["data"]))
    async def prepare(ledger_url):
        tell(prepare=ledger_url, ledger_pid=embedded and embedded.pid)
        try:
            await asyncio.sleep(choices.get("prepare_seconds", 0))
        except asyncio.CancelledError:
            if not choices.get("prepare_is_deaf"):
                raise
            await asyncio.sleep(choices["prepare_seconds"])
        if choices.get("prepare_fails"):
            raise LookupError("prepare failed")
    async def ready(address, worker_pids):
        tell(ready=address, workers=list(worker_pids))
    return await Supervisor(
        embedded=embedded,
        ledger_url=choices.get("ledger_url"),
        worker_command=[sys.executable, "-I", "-S", choices["worker"]],
        worker_count=choices.get("workers", 2),
        worker_config=choices.get("config", {}),
        host=choices.get("host", "127.0.0.1"),
        port=choices.get("port", 0),
        prepare=prepare,
        ready=ready,
        drain_seconds=choices.get("drain_seconds", 600),
        ready_seconds_max=choices.get("ready_seconds_max", 600),
        silent_seconds_max=choices.get("silent_seconds_max", 600),
        hung_seconds_max=choices.get("hung_seconds_max", 600),
        backlog=choices.get("backlog"),
    ).run()
try:
    sys.exit(asyncio.run(serve()))
except ListenError as error:
    sys.exit(str(error))
except WorkerError as error:
    print("redemption:", error.refusal, file=sys.stderr)
    sys.exit(error.exit_code)
"""

# A worker in small: keeps to the protocol, and misbehaves as told when its index is the one that should.
WORKER = """
import json, os, signal, socket, sys, time
orders = json.loads(sys.stdin.readline())
config = orders["config"]
odd = config if orders["index"] == 1 or config.get("all_odd") else {}
def tell(**event):
    os.write(1, json.dumps(event).encode() + b"\\n")  # not print: a signal may come in the middle of one
tell(orders=orders, worker_pid=os.getpid())
if "exit_at_start" in odd:
    os._exit(odd["exit_at_start"])
if "refused" in odd and os.path.exists(odd["refused"]):
    tell(refused="no key, no service")
    os._exit(4)
if "signal_at_start" in odd:
    os.kill(os.getpid(), odd["signal_at_start"])
if orders["sockets"]:
    served = socket.socket(fileno=orders["sockets"][0])
else:
    served = socket.socket()
    served.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    served.bind((orders["host"], orders["port"]))
    served.listen()
def drain(number, frame):
    if not odd.get("stubborn"):
        tell(drained=orders["index"])
        os._exit(0)
    tell(stubborn=orders["index"])
signal.signal(signal.SIGTERM, drain)
while "ready_when" in odd and not os.path.exists(odd["ready_when"]):
    time.sleep(0.005)
if not odd.get("silent"):
    tell(ready=True)
    tell(came_up=orders["index"])  # read after the report, so by now the supervisor knows
if "hangs" in odd and not os.path.exists(odd["hangs"]):
    open(odd["hangs"], "w").close()
    tell(alive=True)
    os.kill(os.getpid(), signal.SIGSTOP)
if orders["sockets"]:
    import threading
    def greet():
        while True:
            served.accept()[0].send(b"%d" % os.getpid())
    threading.Thread(target=greet, daemon=True).start()
while sys.stdin.read(1):
    pass
"""


class Server:
    """A supervisor in a process of its own, and what it logged."""

    def __init__(self, directory, before=(), stdin=None, **choices):
        for name, source in (("serve.py", SERVE), ("worker.py", WORKER)):
            (directory / name).write_text(source)
        told = {"data": str(directory / "data"), "worker": str(directory / "worker.py"), **choices}
        number = len(list(directory.glob("*.out")))
        self.out, self.err = directory / f"{number}.out", directory / f"{number}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*before, sys.executable, str(directory / "serve.py"), json.dumps(told)],
                stdin=stdin,
                stdout=out,
                stderr=err,
            )

    def events(self, key):
        """Return every event logged so far that has the key."""
        lines = [line for line in self.out.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [event for event in map(json.loads, lines) if key in event]

    def told(self, key, count=1):
        """Wait until so many events with the key are logged, and return the last of them."""
        until(lambda: len(self.events(key)) >= count or self.process.poll() is not None)
        events = self.events(key)
        assert len(events) >= count, self.err.read_text()
        return events[-1]

    def logged(self):
        return [json.loads(line) for line in self.err.read_text().splitlines() if line.startswith("{")]

    def pids(self):
        """Return every process that it ever started, as its log says."""
        workers = [event["worker_pid"] for event in self.events("worker_pid")]
        return workers + [event["ledger_pid"] for event in self.events("ledger_pid") if event["ledger_pid"]]

    def ended(self):
        """Wait for the exit code, and see that nothing is left behind."""
        code = self.process.wait(timeout=SECONDS_MAX)
        assert self.pids()
        assert not [pid for pid in self.pids() if is_alive(pid)]
        return code


@pytest.fixture
def serve(tmp_path):
    """Start servers, and kill what a failing test would leave."""
    servers = []

    def start(**choices):
        servers.append(Server(tmp_path, **choices))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        for pid in filter(is_alive, server.pids()):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("module", ["redemption.server.supervisor", "redemption.app"])
def test_the_supervisor_never_imports_grpc(module):
    """It starts processes all its life, and gRPC's threads do not survive that; nor does it need libnghttp2."""
    code = f"import sys, {module}; sys.exit('grpc' in sys.modules or 'ngh2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_starts_in_order_and_stops_in_order(serve, number):
    server = serve(config={"colour": "red"})
    ready = server.told("ready")
    prepared = server.told("prepare")
    orders = sorted((event["orders"] for event in server.events("orders")), key=lambda one: one["index"])
    host, _, port = ready["ready"].rpartition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
    common = {
        "host": host,
        "port": int(port),
        "sockets": [],
        "ledger_url": prepared["prepare"],
        "config": {"colour": "red"},
    }
    assert orders == [{"index": 0, **common}, {"index": 1, **common}]
    assert sorted(ready["workers"]) == sorted(event["worker_pid"] for event in server.events("worker_pid"))
    assert "prepare" in json.loads(server.out.read_text().splitlines()[0])
    assert answers(prepared["prepare"])
    server.process.send_signal(number)
    assert server.ended() == 0
    assert sorted(event["drained"] for event in server.events("drained")) == [0, 1]
    assert server.logged() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which connections there are")
def greeted(address):
    """The process that accepts a new connection."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), SECONDS_MAX) as connection:
        return int(connection.recv(100))


@pytest.mark.parametrize("comes_to_itself", [True, False])
def test_a_worker_that_hangs_is_replaced_and_new_connections_do_not_wait_for_it(serve, tmp_path, comes_to_itself):
    """It is stopped by SIGSTOP, and its successor has its socket. If it comes to itself it ends in order."""
    hung_seconds_max = 600 if comes_to_itself else 1
    choices = {"silent_seconds_max": 0.5, "hung_seconds_max": hung_seconds_max, "backlog": 100}
    server = serve(config={"hangs": str(tmp_path / "hung")}, **choices)
    ready = server.told("ready")
    other, hanging = ready["workers"]
    server.told("came_up", count=3)
    successor = server.events("worker_pid")[-1]["worker_pid"]
    assert {greeted(ready["ready"]) for _ in range(40)} == {successor, other}
    if comes_to_itself:
        os.kill(hanging, signal.SIGCONT)
        server.told("drained")
    until(lambda: not is_alive(hanging))
    until(lambda: len(server.logged()) == (1 if comes_to_itself else 2))
    first, *rest = server.logged()
    assert "hangs: it has said nothing for 0.5 s" in first["reason"]
    assert [line["event"] for line in rest] == ([] if comes_to_itself else ["worker hangs and is killed"])
    server.process.terminate()
    assert server.ended() == 0


def test_a_stop_ends_a_worker_that_hangs_as_well(serve, tmp_path):
    server = serve(config={"hangs": str(tmp_path / "hung")}, silent_seconds_max=0.5, drain_seconds=0.5)
    server.told("came_up", count=3)
    server.process.terminate()
    assert server.ended() == 0


def test_a_hangup_stops_nobody(serve):
    """Whoever sends it wants something read again; there is nothing, and the log says so."""
    server = serve()
    server.told("ready")
    server.process.send_signal(signal.SIGHUP)
    (line,) = until(server.logged)
    assert "no certificates to read again" in line["event"]
    assert not server.events("drained")
    server.process.send_signal(signal.SIGTERM)
    assert server.ended() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs the command setsid")
def test_a_server_whose_terminal_is_closed_stops(serve):
    """Nobody would know that it still runs, and holds the port."""
    ours, theirs = os.openpty()
    server = serve(before=["setsid", "--ctty"], stdin=theirs)
    os.close(theirs)
    server.told("ready")
    server.process.send_signal(signal.SIGHUP)
    until(server.logged)  # a hangup that somebody sends does not stop it here either
    os.close(ours)
    assert server.ended() == 0
    assert sorted(event["drained"] for event in server.events("drained")) == [0, 1]


def test_a_hangup_that_was_ignored_at_start_stays_ignored(serve):
    server = serve(before=["nohup"])
    server.told("ready")
    server.process.send_signal(signal.SIGHUP)
    server.process.send_signal(signal.SIGTERM)
    assert server.ended() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start ends the ledger")
def test_a_killed_supervisor_leaves_no_ledger_and_no_worker(serve):
    server = serve()
    server.told("ready")
    assert len(server.pids()) == 3
    assert all(map(is_alive, server.pids()))
    server.process.kill()
    server.process.wait()
    until(lambda: not any(map(is_alive, server.pids())))


def test_a_killed_ledger_comes_back_with_its_data_and_the_workers_stay(serve):
    server = serve()
    workers = server.told("ready")["workers"]
    url, pid = (server.told("prepare")[key] for key in ("prepare", "ledger_pid"))
    with Redis.from_url(url) as client:
        client.set("coupon", "spent")
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid))
    until(lambda: answers(url))
    with Redis.from_url(url) as client:
        assert client.get("coupon") == b"spent"
    assert all(map(is_alive, workers))
    (line,) = server.logged()
    assert (line["name"], line["after_seconds"]) == ("ledger", 0.2)
    assert line["reason"].startswith("signal 9, Killed")
    server.process.terminate()
    assert server.ended() == 0


def test_a_ledger_that_cannot_come_back_is_tried_again_and_its_reason_told(serve, tmp_path):
    server = serve(workers=1)
    server.told("ready")
    url, pid = (server.told("prepare")[key] for key in ("prepare", "ledger_pid"))
    (log,) = tmp_path.glob("data/ledger/appendonlydir/*.incr.aof")
    sound = log.read_bytes()
    log.write_bytes(b"*2\r\nnonsense" + sound)
    os.kill(pid, signal.SIGKILL)
    until(lambda: len(server.logged()) >= 2)
    log.write_bytes(sound + b"*3\r\n$3\r\nSE")  # a write that was cut off, which the worker knows was not answered
    until(lambda: answers(url))
    until(lambda: "dropped_bytes" in server.logged()[-1])
    first, second, *_, last = server.logged()
    assert last["dropped_bytes"] == len("*3\r\n$3\r\nSE")
    assert [first["after_seconds"], second["after_seconds"]] == [0.2, 0.4]
    assert "the append-only file is damaged" in second["reason"]
    server.process.terminate()
    assert server.ended() == 0


def kill(server, *pids):
    """Kill processes while the supervisor does not look, so that it sees all of it at once."""
    server.process.send_signal(signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(is_alive, pids)))


def ledger_pid(url):
    with Redis.from_url(url) as client:
        return client.info("server")["process_id"]


@pytest.mark.parametrize(
    ("forgotten_by", "choices"),
    [
        (None, {"workers": 1}),
        ("a worker that ends with the ledger", {"workers": 1}),
        ("a worker that ended before", {"workers": 1}),
        ("a worker that ended before the ledger's last start", {"workers": 1}),
        ("a worker that ended while the ledger could not start", {"workers": 1}),
        ("a worker that hung", {"workers": 1, "silent_seconds_max": 0.5, "drain_seconds": 0.5}),
        ("each worker but one", {"workers": 2}),
    ],
)
def test_a_torn_write_is_dropped_only_where_one_worker_remembers_all_answers(serve, tmp_path, forgotten_by, choices):
    """Else a coupon whose use was answered could be used again: an operator has to accept the file."""
    hangs = {"hangs": str(tmp_path / "hung"), "all_odd": True} if forgotten_by == "a worker that hung" else {}
    server = serve(config=hangs, **choices)
    worker, *_ = server.told("ready")["workers"]
    url = server.told("prepare")["prepare"]
    (log,) = tmp_path.glob("data/ledger/appendonlydir/*.incr.aof")
    torn = log.read_bytes() + b"*3\r\n$3\r\nSE"

    def end_ledger(*others, file=torn):
        kill(server, ledger_pid(url), *others)
        log.write_bytes(file)
        server.process.send_signal(signal.SIGCONT)

    server.told("came_up")  # else the worker could be killed before it has told that
    match forgotten_by:
        case "a worker that ends with the ledger":
            end_ledger(worker)
        case "a worker that ended before":
            os.kill(worker, signal.SIGKILL)
            server.told("came_up", count=2)
            end_ledger()
        case "a worker that ended before the ledger's last start":
            end_ledger(worker, file=log.read_bytes())
            server.told("came_up", count=2)
            until(lambda: answers(url))
            end_ledger()
        case "a worker that ended while the ledger could not start":
            end_ledger(file=b"*2\r\nnonsense" + torn)
            until(lambda: any("is damaged" in line.get("reason", "") for line in server.logged()))
            os.kill(worker, signal.SIGKILL)
            server.told("came_up", count=2)
            log.write_bytes(torn)
        case "a worker that hung":
            server.told("came_up", count=2)
            end_ledger()
        case _:
            end_ledger()
    if forgotten_by is None:
        until(lambda: any("dropped_bytes" in line for line in server.logged()))
        until(lambda: answers(url))
    else:
        # Twice: the next try must not believe what came up since.
        until(lambda: sum("redemption ledger adopt" in line.get("reason", "") for line in server.logged()) >= 2)
        assert not answers(url)
        assert log.read_bytes() == torn
    server.process.terminate()
    assert server.ended() == 0


def test_a_worker_that_came_up_after_the_ledger_ended_remembers_nothing_of_it(serve, tmp_path):
    """It never asked that ledger for what it knew, so a torn write is not dropped."""
    server = serve(workers=1, config={"ready_when": str(tmp_path / "now"), "all_odd": True})
    server.told("orders")
    url = server.told("prepare")["prepare"]
    (log,) = tmp_path.glob("data/ledger/appendonlydir/*.incr.aof")
    torn = log.read_bytes() + b"*3\r\n$3\r\nSE"
    kill(server, ledger_pid(url))
    log.write_bytes(b"*2\r\nnonsense" + torn)
    server.process.send_signal(signal.SIGCONT)
    until(lambda: any("is damaged" in line.get("reason", "") for line in server.logged()))
    (tmp_path / "now").touch()
    server.told("ready")
    log.write_bytes(torn)
    until(lambda: any("redemption ledger adopt" in line.get("reason", "") for line in server.logged()))
    assert log.read_bytes() == torn
    server.process.terminate()
    assert server.ended() == 0


def test_a_killed_worker_is_replaced_and_the_others_stay(serve):
    server = serve()
    killed, kept = server.told("ready")["workers"]
    os.kill(killed, signal.SIGKILL)
    new = server.told("orders", count=3)
    assert new["worker_pid"] not in {killed, kept}
    assert new["orders"]["index"] == 0
    assert new["orders"]["port"] == server.events("orders")[0]["orders"]["port"]
    assert is_alive(kept)
    (line,) = server.logged()
    assert (line["name"], line["after_seconds"]) == ("worker 0", 0.1)
    assert line["reason"] == f"worker 0 (process {killed}) ended (signal 9, Killed)"
    server.process.terminate()
    assert server.ended() == 0


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"exit_at_start": 7}, 7),
        ({"exit_at_start": 0}, 1),
        ({"signal_at_start": 9}, 137),
        ({"silent": True}, 1),
    ],
)
def test_a_worker_that_does_not_come_up_ends_the_start_with_its_code(serve, config, expected):
    server = serve(config=config)
    if config.get("silent"):
        server.told("came_up")
        server.told("orders", count=2)
        server.process.send_signal(signal.SIGUSR1)
    assert server.ended() == expected
    assert server.events("ready") == []
    (line,) = server.logged()
    assert line["reason"].startswith("worker 1 (process ")


def test_a_worker_that_tells_why_it_cannot_start_has_the_last_line(serve, tmp_path):
    """Nothing comes after what an operator has to read, neither of the supervisor nor of another worker."""
    server = serve(config={"refused": str(tmp_path)})
    assert server.ended() == 4
    assert server.events("ready") == []
    assert server.err.read_text() == "redemption: no key, no service\n"


def test_a_worker_that_cannot_start_again_is_told_with_its_reason(serve, tmp_path):
    refused = tmp_path / "refused"
    server = serve(config={"refused": str(refused)})
    _, killed = server.told("ready")["workers"]
    refused.touch()
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(server.logged()) >= 2)
    pid = server.events("worker_pid")[2]["worker_pid"]
    assert server.logged()[1]["reason"] == f"worker 1 (process {pid}) cannot start: no key, no service"
    refused.unlink()
    server.told("came_up", count=3)
    server.process.terminate()
    assert server.ended() == 0


def test_a_worker_that_does_not_drain_in_time_is_killed(serve):
    server = serve(config={"stubborn": True})
    other, stubborn = server.told("ready")["workers"]
    server.process.terminate()
    server.told("stubborn")
    until(lambda: not Path(f"/proc/{other}").exists())
    server.process.send_signal(signal.SIGUSR1)
    assert server.ended() == 0
    assert [stubborn] == [line["pid"] for line in server.logged()]
    assert [event["drained"] for event in server.events("drained")] == [0]


def test_a_second_interrupt_skips_the_drain(serve):
    server = serve(config={"stubborn": True}, drain_seconds=600)
    server.told("ready")
    server.process.send_signal(signal.SIGINT)
    server.told("stubborn")
    server.process.send_signal(signal.SIGINT)
    assert server.ended() == 0


@pytest.mark.parametrize(
    "choices",
    [
        {"prepare_seconds": 600},
        {"prepare_seconds": 600, "prepare_is_deaf": True},
        {"config": {"silent": True}, "ready_seconds_max": 600},
    ],
)
def test_a_signal_during_start_stops_cleanly(serve, choices):
    server = serve(**choices)
    server.told("orders" if "config" in choices else "prepare")
    server.process.terminate()
    assert server.ended() == 0


def test_a_failed_preparation_is_raised_and_nothing_stays(serve):
    server = serve(prepare_fails=True)
    assert server.ended() == 1
    assert "LookupError: prepare failed" in server.err.read_text()


def test_an_external_ledger_is_used_as_it_is(serve):
    server = serve(ledger_url="redis://ledger.invalid:6379")
    server.told("ready")
    assert server.told("orders")["orders"]["ledger_url"] == "redis://ledger.invalid:6379"
    server.process.terminate()
    assert server.ended() == 0


def test_a_port_that_somebody_serves_is_refused_before_anything_starts(serve, tmp_path):
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = other.getsockname()[1]
        server = serve(port=port)
        assert server.process.wait(timeout=SECONDS_MAX) == 1
    expected = f"port {port} on 127.0.0.1 is in use; stop the other server or choose another with --listen\n"
    assert server.err.read_text() == expected
    assert not (tmp_path / "data").exists()


def test_two_supervisors_never_share_a_port_even_before_anybody_listens(serve, tmp_path):
    first = serve(prepare_seconds=600)
    first.told("prepare")
    # Files of servers that are gone may name the same process id.
    (lock,) = (path for path in locks() if path.read_text().strip() == str(first.process.pid) and is_held(path))
    port = int(lock.stem.rpartition("-")[2])
    second = serve(port=port, data=str(tmp_path / "other"))
    assert second.process.wait(timeout=SECONDS_MAX) == 1
    assert f"port {port} on 127.0.0.1 is in use" in second.err.read_text()
    first.process.terminate()
    assert first.ended() == 0


def locks():
    import tempfile

    return Path(tempfile.gettempdir(), f"redemption-{os.geteuid()}").glob("port-127.0.0.1-*.lock")


def is_held(path):
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_waits_double_to_a_limit_and_start_over_after_a_healthy_while():
    backoff = Backoff(0.1, 0.5)
    lives = [0, 0, 0, 0, 29.9, 30, 0]
    assert [backoff.after(lived_seconds=life) for life in lives] == [0.1, 0.2, 0.4, 0.5, 0.5, 0.1, 0.2]


async def test_a_refused_ledger_is_raised_and_the_port_is_free_again(tmp_path):
    async def never(*_):
        pytest.fail("nothing may start without a ledger")

    (tmp_path / "data").touch()
    supervisor = Supervisor(
        embedded=EmbeddedValkey(tmp_path / "data"),
        worker_command=["false"],
        worker_count=1,
        worker_config={},
        host="127.0.0.1",
        port=0,
        prepare=never,
        ready=never,
        drain_seconds=1,
    )
    with pytest.raises(EmbeddedValkeyError, match="is not a directory"):
        await supervisor.run()


async def test_stop_can_be_asked_for_from_within():
    async def prepared(_):
        supervisor.stop()
        await asyncio.Event().wait()

    supervisor = Supervisor(
        embedded=None,
        ledger_url="redis://ledger.invalid",
        worker_command=["false"],
        worker_count=1,
        worker_config={},
        host="[::1]" if socket.has_dualstack_ipv6() else "127.0.0.1",
        port=0,
        prepare=prepared,
        ready=prepared,
        drain_seconds=1,
    )
    assert await supervisor.run() == 0
