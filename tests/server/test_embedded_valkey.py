"""The embedded ledger: durable, alone in its directory, gone with its owner. Real Valkey, real kills."""

import asyncio
import contextlib
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import structlog
from processes import answers, is_alive
from redis.asyncio import Redis
from waiting import until

from redemption.server import embedded_valkey as module
from redemption.server.embedded_valkey import (
    EmbeddedValkey,
    EmbeddedValkeyError,
    TornFileError,
    find_binary,
    require_free_space,
)
from redemption.server.file_lock import FileLock, private_directory

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")

# Owns a ledger in another process, tells its pid, and waits to be killed.
OWNER = """
import asyncio, sys
from pathlib import Path
from types import SimpleNamespace
from redemption.server import embedded_valkey as embedded
if sys.argv[2] == "forgetful":  # as on a system that does not tell a child of its parent's death
    embedded.sys = SimpleNamespace(platform="other")
async def own():
    ledger = embedded.EmbeddedValkey(Path(sys.argv[1]))
    await ledger.start()
    print(ledger.pid, flush=True)
    await ledger.wait()
asyncio.run(own())
"""


async def until_written(path):
    """Wait for another process's line while this loop goes on."""
    await asyncio.to_thread(until, lambda: path.exists() and path.read_text().endswith("\n"))


@contextlib.asynccontextmanager
async def running(directory, **options):
    ledger = EmbeddedValkey(directory, **options)
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.stop()


async def ask(ledger, *command):
    async with Redis.from_url(ledger.url, decode_responses=True) as client:
        return await client.execute_command(*command)


@pytest.fixture
def killed_owner():
    """Start owners, kill them without a chance to clean up, and return the pids of their servers."""
    pids = []

    def kill(directory, kind):
        with subprocess.Popen([sys.executable, "-c", OWNER, directory, kind], stdout=subprocess.PIPE) as owner:
            pids.append(int(owner.stdout.readline()))
            owner.kill()
        return pids[-1]

    yield kill
    for pid in filter(is_alive, pids):  # what a failing test would leave
        os.kill(pid, signal.SIGKILL)


def stand_in(monkeypatch, tmp_path, script):
    """Put a shell script in the place of the Valkey binary."""
    binary = tmp_path / "valkey-server"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o700)
    monkeypatch.setattr(module, "find_binary", lambda: binary)


async def test_data_survives_a_stop_and_a_start(tmp_path):
    async with running(tmp_path) as ledger:
        await ask(ledger, "SET", "coupon", "spent")
    async with running(tmp_path) as ledger:
        assert await ask(ledger, "GET", "coupon") == "spent"


async def test_data_survives_a_kill_of_the_server(tmp_path):
    async with running(tmp_path) as ledger:
        await ask(ledger, "SET", "coupon", "spent")
        first_pid, first_url = ledger.pid, ledger.url
        os.kill(ledger.pid, signal.SIGKILL)
        assert await ledger.wait() == -signal.SIGKILL
        assert ledger.pid is None
        await ledger.start()
        assert ledger.pid != first_pid
        assert ledger.url == first_url
        assert await ask(ledger, "GET", "coupon") == "spent"


@pytest.mark.parametrize(("durability", "appendfsync"), [("strict", "always"), ("fast", "everysec")])
async def test_the_promised_configuration_is_what_the_server_runs_with(tmp_path, durability, appendfsync):
    expected = {
        "appendonly": "yes",
        "appendfsync": appendfsync,
        "no-appendfsync-on-rewrite": "no",
        "aof-use-rdb-preamble": "yes",
        "aof-load-truncated": {"strict": "no", "fast": "yes"}[durability],
        "save": "",
        "maxmemory": "104857600",
        "maxmemory-policy": "noeviction",
        "databases": "1",
        "hash-max-listpack-entries": "512",
        "hash-max-listpack-value": "64",
        "unixsocketperm": "700",
        "port": "0",
        "daemonize": "no",
        "pidfile": "",
        "dir": str(tmp_path / "ledger"),
        "enable-protected-configs": "no",
        "enable-debug-command": "no",
        "enable-module-command": "no",
    }
    async with running(tmp_path, durability=durability, memory_bytes_max=100 * 1024 * 1024) as ledger:
        flat = await ask(ledger, "CONFIG", "GET", *expected)
        assert expected == flat


async def test_a_stop_leaves_no_process_no_socket_and_no_lock(tmp_path):
    async with running(tmp_path) as ledger:
        pid = ledger.pid
    assert not is_alive(pid)
    assert not ledger.socket_path.exists()
    FileLock.take(tmp_path / "ledger.lock").release()
    FileLock.take(tmp_path / "ledger" / "server.lock").release()


async def test_only_the_owner_may_enter_the_directory(tmp_path):
    data = tmp_path / "new" / "data"
    async with running(data) as ledger:
        for path in (data, ledger.directory, ledger.socket_path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700


async def test_a_second_start_in_one_directory_is_refused_at_once(tmp_path):
    async with running(tmp_path) as ledger:
        second = EmbeddedValkey(tmp_path)
        with pytest.raises(EmbeddedValkeyError, match=f"process {os.getpid()} already keeps the ledger in {tmp_path}"):
            await second.start()
        await second.stop()
        assert await ask(ledger, "PING")


async def test_starting_a_running_ledger_is_a_mistake(tmp_path):
    async with running(tmp_path) as ledger:
        with pytest.raises(RuntimeError, match="already running"):
            await ledger.start()
        assert await ask(ledger, "PING")


@on_linux
def test_the_server_ends_when_its_owner_is_killed(tmp_path, killed_owner):
    pid = killed_owner(tmp_path, "watched")
    until(lambda: not is_alive(pid))


@on_linux
def test_a_parent_that_is_already_gone_starts_no_server():
    begun = [sys.executable, "-I", "-S", "-c", module._DIE_WITH_PARENT, "1", "/bin/echo", "started"]
    result = subprocess.run(begun, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert "ended before" in result.stderr


async def test_a_server_that_outlived_its_owner_is_shut_down_before_ours_starts(tmp_path, killed_owner):
    orphan = killed_owner(tmp_path, "forgetful")
    assert is_alive(orphan)
    await ask(EmbeddedValkey(tmp_path), "SET", "coupon", "spent")
    async with running(tmp_path) as ledger:
        assert not is_alive(orphan)
        assert ledger.pid != orphan
        assert await ask(ledger, "GET", "coupon") == "spent"


async def test_no_server_starts_beside_one_that_does_not_answer(tmp_path, killed_owner, monkeypatch):
    """A stopped process holds the append-only file open; only its lock shows that."""
    orphan = killed_owner(tmp_path, "forgetful")
    os.kill(orphan, signal.SIGSTOP)
    monkeypatch.setattr(module, "_ASK_SECONDS_MAX", 0.1)
    try:
        ledger = EmbeddedValkey(tmp_path, stop_seconds_max=0.1)
        with pytest.raises(EmbeddedValkeyError, match=rf"left over .* \(process {orphan}\) still writes"):
            await ledger.start()
        assert ledger.pid is None
    finally:
        os.kill(orphan, signal.SIGCONT)
    monkeypatch.undo()
    async with running(tmp_path):
        assert not is_alive(orphan)


async def test_no_server_starts_beside_one_whose_socket_was_removed(tmp_path, killed_owner):
    orphan = killed_owner(tmp_path, "forgetful")
    ledger = EmbeddedValkey(tmp_path, stop_seconds_max=0.1)
    ledger.socket_path.unlink()
    with pytest.raises(EmbeddedValkeyError, match=f"process {orphan}"):
        await ledger.start()
    os.kill(orphan, signal.SIGTERM)
    async with running(tmp_path):
        assert not is_alive(orphan)


async def test_a_server_of_another_directory_on_our_socket_is_left_alone(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ledger = EmbeddedValkey(tmp_path)
    ledger.directory.mkdir()
    command = [find_binary(), "--port", "0", "--unixsocket", ledger.socket_path, "--dir", elsewhere]
    other = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    until(lambda: answers(ledger.url))
    with pytest.raises(EmbeddedValkeyError, match=r"another directory .*elsewhere"):
        await ledger.start()
    assert await ask(ledger, "PING")
    other.terminate()
    assert await other.wait() == 0


@pytest.mark.parametrize("name", ["d" * 60, "blank and % and ? and 'quotes\"", "券"])
async def test_any_directory_works_however_deep_or_odd(tmp_path, monkeypatch, name):
    """A Unix socket's path may have about a hundred bytes; the data directory's may have more."""
    monkeypatch.setattr(tempfile, "tempdir", tempfile.mkdtemp(prefix="r-"))
    data = tmp_path / name / name / name
    async with running(data) as ledger:
        await ask(ledger, "SET", "coupon", "spent")
        assert len(os.fsencode(ledger.socket_path)) <= 103
        assert stat.S_IMODE(ledger.socket_path.parent.stat().st_mode) == 0o700
    async with running(data) as ledger:
        assert await ask(ledger, "GET", "coupon") == "spent"
    shutil.rmtree(tempfile.gettempdir())


def test_a_short_directory_that_others_may_enter_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    private_directory().chmod(0o755)
    with pytest.raises(PermissionError, match="mode 0700"):
        private_directory()
    trap = tmp_path / f"redemption-{os.geteuid()}"
    trap.rmdir()
    tmp_path.chmod(0o700)
    trap.symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="mode 0700"):
        private_directory()


async def torn_ledger(directory, **options):
    """A ledger whose append-only file ends in the middle of a write; returns it, and how long that write is."""
    async with running(directory, **options) as ledger:
        await ask(ledger, "SET", "coupon", "spent")
        (log,) = ledger.directory.glob("appendonlydir/*.incr.aof")
        sound = log.stat().st_size
        await ask(ledger, "SET", "torn", "x" * 100)
    os.truncate(log, log.stat().st_size - 20)
    return ledger, log, log.stat().st_size - sound


async def test_a_torn_file_is_not_served_under_strict_until_somebody_accepts_it(tmp_path):
    """It may have lost answers that were given; the file stays as it is, however often it is tried."""
    ledger, log, torn = await torn_ledger(tmp_path)
    content = log.read_bytes()
    for _ in range(2):
        with pytest.raises(TornFileError, match=rf"\({torn} bytes of it\).*redemption ledger adopt"):
            await ledger.start()
        assert log.read_bytes() == content
    with structlog.testing.capture_logs() as logs:
        await ledger.start(accept_torn=True)
    assert await ask(ledger, "MGET", "coupon", "torn") == ["spent", None]
    await ledger.stop()
    assert [(line["file"], line["dropped_bytes"]) for line in logs] == [(log.name, torn)]


async def test_a_torn_file_is_served_under_fast_with_a_line_in_the_log(tmp_path):
    ledger, log, torn = await torn_ledger(tmp_path, durability="fast")
    with structlog.testing.capture_logs() as logs:
        async with running(tmp_path, durability="fast"):
            assert await ask(ledger, "MGET", "coupon", "torn") == ["spent", None]
    assert [(line["file"], line["dropped_bytes"]) for line in logs] == [(log.name, torn)]


def cut(path):
    os.truncate(path, path.stat().st_size - 30)


@pytest.mark.parametrize(
    ("pattern", "spoil", "told"),
    [
        ("*.base.rdb", cut, r"base file of the ledger .* is damaged.*restore a backup of /"),
        ("*.base.rdb", os.unlink, r"a file of the ledger is missing: restore a backup of /"),
        ("*.incr.aof", os.unlink, r"a file of the ledger is missing: restore a backup of /"),
        ("*.manifest", lambda path: path.write_text("junk"), r"list of the ledger's files .* is damaged: restore"),
    ],
    ids=["base cut", "base gone", "file gone", "manifest"],
)
async def test_a_damage_is_named_with_the_way_out(tmp_path, pattern, spoil, told):
    async with running(tmp_path) as ledger:
        await ask(ledger, "SET", "coupon", "spent")
    (path,) = ledger.directory.glob(f"appendonlydir/{pattern}")
    spoil(path)
    with pytest.raises(EmbeddedValkeyError, match=told):
        await ledger.start()


async def test_the_advice_for_a_damaged_file_works_as_it_stands(tmp_path):
    """Only Valkey's server is installed; under the name of the tool it is the tool."""
    async with running(tmp_path / "with a blank") as ledger:
        await ask(ledger, "SET", "coupon", "spent")
        await ask(ledger, "SET", "later", "lost")
    (log,) = ledger.directory.glob("appendonlydir/*.incr.aof")
    log.write_bytes(log.read_bytes().replace(b"$5\r\nlater", b"?5\r\nlater"))
    with pytest.raises(EmbeddedValkeyError) as refused:
        await ledger.start()
    command = str(refused.value)[str(refused.value).index("ln -s") :]
    mending = await asyncio.create_subprocess_shell(command, stdin=asyncio.subprocess.PIPE, cwd=tmp_path)
    await mending.communicate(b"y\n")
    assert mending.returncode == 0
    async with running(tmp_path / "with a blank"):
        assert await ask(ledger, "MGET", "coupon", "later") == ["spent", None]


async def test_a_damaged_append_only_file_is_named_and_nothing_stays(tmp_path):
    async with running(tmp_path) as ledger:
        await ask(ledger, "SET", "coupon", "spent")
    (log,) = ledger.directory.glob("appendonlydir/*.incr.aof")
    log.write_bytes(b"*2\r\nnonsense" + log.read_bytes())
    with pytest.raises(EmbeddedValkeyError, match=r"append-only file is damaged.*valkey-check-aof"):
        await ledger.start()
    assert ledger.pid is None
    FileLock.take(tmp_path / "ledger.lock").release()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("file", "file is not a directory"),
        ("file/below", "is not a directory"),
        ("taken", "taken/ledger is not a directory"),
        ("/proc/self/data", "cannot keep a ledger in .* choose a data directory"),
    ],
)
async def test_a_directory_that_cannot_be_used_is_refused_in_one_line(tmp_path, path, message):
    (tmp_path / "file").touch()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "ledger").touch()
    with pytest.raises(EmbeddedValkeyError, match=message) as refusal:
        await EmbeddedValkey(tmp_path / path).start()
    assert "\n" not in str(refusal.value)


async def test_a_disk_that_is_nearly_full_is_refused_before_anything_starts(tmp_path):
    ledger = EmbeddedValkey(tmp_path, free_bytes_min=2**60)
    with pytest.raises(EmbeddedValkeyError, match=r"MiB are free .* free some space"):
        await ledger.start()
    assert not ledger.log_path.exists()
    require_free_space(tmp_path, 1)


def test_a_platform_without_a_binary_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "abacus")
    with pytest.raises(EmbeddedValkeyError, match="abacus: set REDEMPTION_REDIS_URL"):
        find_binary()


@on_linux
async def test_the_child_gets_nothing_of_our_environment_and_leaves_no_core_dump(tmp_path, monkeypatch):
    """Both hold what nobody else may see; the zone is that of the times in its log."""
    for name, value in {"REDEMPTION_REDIS_URL": "redis://:hunter2@x", "SOME_TOKEN": "hunter2", "TZ": "UTC"}.items():
        monkeypatch.setenv(name, value)
    seen = tmp_path / "environ"
    stand_in(monkeypatch, tmp_path, f'cat /proc/$$/environ > {seen}; exec {find_binary()} "$@"')
    async with running(tmp_path / "data") as ledger:
        limits = await asyncio.to_thread(Path(f"/proc/{ledger.pid}/limits").read_text)
    names = {entry.partition("=")[0] for entry in seen.read_text().split("\0") if entry}
    assert "TZ" in names
    assert names <= {"TZ", "LD_LIBRARY_PATH", "LC_CTYPE"}  # the last one is Python's own, where there is no locale
    (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert line.split()[4:6] == ["0", "0"]


async def test_a_server_that_never_answers_is_given_up_and_ended(tmp_path, monkeypatch, clock):
    stand_in(monkeypatch, tmp_path, f"echo still reading; echo $$ > {tmp_path}/pid; exec sleep 60")
    starting = asyncio.create_task(EmbeddedValkey(tmp_path / "data", start_seconds_max=600.0).start())
    await until_written(tmp_path / "pid")
    clock.forward(600.0)
    with pytest.raises(EmbeddedValkeyError, match=r"not ready after 600 s: its last line .* still reading"):
        await starting
    assert not is_alive(int((tmp_path / "pid").read_text()))


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path, monkeypatch):
    stand_in(monkeypatch, tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    starting = asyncio.create_task(EmbeddedValkey(tmp_path / "data").start())
    await until_written(tmp_path / "pid")
    starting.cancel()
    await asyncio.wait({starting})
    assert starting.cancelled()
    assert not is_alive(int((tmp_path / "pid").read_text()))
    FileLock.take(tmp_path / "data" / "ledger.lock").release()


async def test_a_server_that_will_not_stop_is_killed_and_that_is_said(tmp_path):
    with structlog.testing.capture_logs() as logs:
        ledger = EmbeddedValkey(tmp_path, stop_seconds_max=0.1)
        await ledger.start()
        pid = ledger.pid
        os.kill(pid, signal.SIGSTOP)
        await ledger.stop()
    assert not is_alive(pid)
    assert [("the ledger did not stop in time and is killed", pid)] == [(one["event"], one["pid"]) for one in logs]


async def test_a_large_log_is_put_aside_at_start(tmp_path):
    ledger = EmbeddedValkey(tmp_path)
    ledger.directory.mkdir()
    ledger.log_path.write_bytes(b"x" * (1024 * 1024 + 1))
    async with running(tmp_path):
        assert ledger.log_path.stat().st_size < 10_000
        assert ledger.log_path.with_suffix(".log.1").stat().st_size == 1024 * 1024 + 1


@pytest.mark.parametrize(
    ("logged", "expected"),
    [
        ("# Short write while writing to the AOF file: (nwritten=36897, expected=100034)\n# Can't", "the disk is full"),
        ("# Error writing to the AOF file: No space left on device\n# Can't recover", "the disk is full"),
        ("# Can't recover from AOF write error when the AOF fsync policy is 'always'.\n", "refused a write"),
        ("7:M 21 Nov 2026 20:02:27.437 # Valkey 9.1.2 crashed by signal: 11, si_code: 0\n", "Valkey crashed"),
        ("7:M 21 Nov 2026 20:02:27.470 * Something new\n\n", "was: Something new"),
        ("", "it left nothing in"),
    ],
)
def test_last_words_say_why(tmp_path, logged, expected):
    ledger = EmbeddedValkey(tmp_path)
    ledger.directory.mkdir()
    ledger.log_path.write_text(logged)
    assert expected in ledger.end_reason()


def test_last_words_do_not_repeat_an_earlier_run(tmp_path):
    ledger = EmbeddedValkey(tmp_path)
    ledger.directory.mkdir()
    ledger.log_path.write_text("Error writing to the AOF file: No space left on device\n")
    ledger._log_start = ledger.log_path.stat().st_size
    assert "left nothing" in ledger.end_reason()
