"""The parent process of a server: it owns the port, the embedded ledger and the workers, and stops them in order.

It serves no request itself and never imports gRPC, so it stays small and can start workers as new processes.

What a worker must do:

1. Read one line of JSON from stdin: ``{"index", "host", "port", "sockets", "ledger_url", "config"}``. Keep stdin
   open: if it is closed, the supervisor is gone, and the worker ends too.
2. Serve on the sockets: they are inherited file descriptors that listen already. If there are none, bind host and port
   with SO_REUSEPORT. When it serves, write the line ``{"ready": true}`` to stdout. The supervisor copies other lines to
   its own stdout; stderr is shared. From then on write the line ``{"alive": true}`` once a second: a worker that is
   silent for too long is replaced. (One that never wrote this line is not.)
3. On SIGTERM finish the calls that it has begun, within the drain time, and exit. If it cannot start, write the reason
   in one line to stderr and exit with an exit code. Before the first start-up is complete, that ends the supervisor
   with the same code.
4. On SIGHUP read its certificates again, if it has any. It is started with SIGHUP blocked, so that an early signal is
   neither lost nor ends the worker. It unblocks the signal when it can handle it.
"""

import asyncio
import contextlib
import errno
import functools
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import structlog
from structlog.typing import FilteringBoundLogger

from redemption.server.embedded_valkey import (
    EmbeddedValkey,
    EmbeddedValkeyError,
    FileLock,
    LockHeldError,
    private_directory,
)
from redemption.server.port_holder import outgoing_connection

_HEALTHY_SECONDS: Final = 30.0
_PORT_MAX: Final = 65535
_FREE_PORT_TRIES_MAX: Final = 10
_LAST_WORDS_SECONDS: Final = 1.0
_CANCEL_AGAIN_SECONDS: Final = 1.0
SILENT_SECONDS_MAX: Final = 5.0
"""A worker says once a second that it is alive. After so long without a word it hangs, and another one takes its place.

The longest step of a worker takes milliseconds, so even a machine with far too much to do does not come near this. A
worker that is replaced in error still finishes its calls.
"""
HUNG_SECONDS_MAX: Final = 20.0
"""After so long without a word, a worker that was replaced is killed."""

# An address as getaddrinfo returns it and bind takes it; the shape of the tuple depends on the family.
_Address: TypeAlias = tuple[socket.AddressFamily, tuple[Any, ...]]


class ListenError(Exception):
    """The address cannot be served; the message is one line: the problem, the place, and what to do."""


class PortInUseError(ListenError):
    """Another process listens on the port, or holds its lock."""


class WorkerError(Exception):
    """A worker did not become ready. ``exit_code`` is the exit code for the whole server."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Backoff:
    """How long to wait before a process is started again: it doubles; after a run of 30 s it is short again."""

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._next = first_seconds

    def after(self, *, lived_seconds: float) -> float:
        """Return the seconds to wait after a process that ran for ``lived_seconds``."""
        delay = self._first if lived_seconds >= _HEALTHY_SECONDS else self._next
        self._next = min(2 * delay, self._longest)
        return delay


class _Worker:
    """One worker process, from its start to its end."""

    def __init__(self, index: int, process: asyncio.subprocess.Process) -> None:
        self.index: Final = index
        self.process: Final = process
        self._ready = asyncio.Event()
        self._beats = False
        self._silent_seconds = 0.0
        self._end = asyncio.create_task(self._until_end())

    def __str__(self) -> str:
        return f"worker {self.index} (process {self.process.pid})"

    async def came_up(self, seconds_max: float) -> None:
        """Return when it has reported ready.

        Raises:
            WorkerError: it ended first, or did not report within ``seconds_max``.
        """
        ready = asyncio.create_task(self._ready.wait())
        either: set[asyncio.Task[Any]] = {ready, self._end}
        await asyncio.wait(either, timeout=seconds_max, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._ready.is_set():
            return
        if not self._end.done():
            raise WorkerError(f"{self} did not report ready within {seconds_max:g} s", 1)
        code = self._end.result()
        # A worker that ends before it was ready has failed, also if its exit code is 0.
        exit_code = 128 - code if code < 0 else code or 1
        raise WorkerError(f"{self} ended before it was ready ({_end_text(code)})", exit_code)

    async def ended(self) -> int:
        """Wait for its end; return the exit code, negative for a signal."""
        # Several tasks wait for this; if one is cancelled, the others must go on waiting.
        return await asyncio.shield(self._end)

    async def silent(self, seconds_max: float) -> None:
        """Return when it has been silent for so long.

        Our own seconds are counted, one after the other. So if this process was stopped, or the whole machine slept,
        nobody is taken for silent whose words wait to be read.
        """
        tick = min(1.0, seconds_max / 5)
        while self._silent_seconds < seconds_max:
            await asyncio.sleep(tick)
            if self._beats:
                self._silent_seconds += tick

    async def _until_end(self) -> int:
        listening = asyncio.create_task(self._listen())
        code = await self.process.wait()
        # Read its last lines to the end; not longer than 1 s, because a child of its own may keep the pipe open.
        await asyncio.wait({listening}, timeout=_LAST_WORDS_SECONDS)
        listening.cancel()
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        while True:
            try:
                line = await self.process.stdout.readline()
            except ValueError:
                continue  # a line longer than the reader's limit (64 KiB) was dropped: it is no report
            if not line:
                return
            self._silent_seconds = 0.0
            report = _report(line)
            if report == {"alive": True}:
                self._beats = True
                continue
            if report == {"ready": True}:
                self._ready.set()
                continue
            with contextlib.suppress(OSError):  # if our stdout is closed, the server must go on
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()


class Supervisor:
    """Runs ``worker_count`` processes of ``worker_command`` on one port, and the embedded ledger if any.

    Exactly one of ``embedded`` and ``ledger_url`` is given. ``prepare(ledger_url)`` is awaited when the ledger answers,
    before the first worker starts. ``ready(address, worker_pids)`` is awaited when all workers have reported. Port 0
    chooses a free port. Workers that take longer than ``drain_seconds`` to stop are killed. ``worker_environment`` is
    the whole environment of the workers; None gives them our own.

    With a ``backlog``, each worker gets a listening socket, whose queue of connections has that length. If a worker
    ends, its successor gets the same socket, so connections that wait in its queue are not reset. When the server
    stops, its own copies of the sockets are closed first; so a connection never waits where no worker accepts.

    A worker that hangs is replaced after ``silent_seconds_max`` without a word, and killed after ``hung_seconds_max``.

    SIGTERM and SIGINT stop the server in order: workers drain, then the ledger ends. A second SIGINT ends the drain at
    once. SIGHUP is passed on to the workers with ``hangup_reloads``, and is logged otherwise. Only if it comes because
    the terminal was closed in which the server was started, it is a stop, too: else nobody would know that it still
    runs. If it was ignored at the start, as with ``nohup``, it stays ignored.
    """

    def __init__(
        self,
        *,
        embedded: EmbeddedValkey | None,
        ledger_url: str | None = None,
        worker_command: Sequence[str],
        worker_count: int,
        worker_config: Mapping[str, Any],
        host: str,
        port: int,
        prepare: Callable[[str], Awaitable[None]],
        ready: Callable[[str, Sequence[int]], Awaitable[None]],
        drain_seconds: float,
        ready_seconds_max: float = 60.0,
        worker_environment: Mapping[str, str] | None = None,
        backlog: int | None = None,
        hangup_reloads: bool = False,
        silent_seconds_max: float = SILENT_SECONDS_MAX,
        hung_seconds_max: float = HUNG_SECONDS_MAX,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        if (embedded is None) == (ledger_url is None):
            raise ValueError("give either an embedded ledger or the URL of one")
        if worker_count < 1:
            raise ValueError("at least one worker is needed")
        self._embedded: Final = embedded
        self._ledger_url: Final = embedded.url if embedded else str(ledger_url)
        self._worker_command: Final = tuple(worker_command)
        self._worker_count: Final = worker_count
        self._worker_config: Final = worker_config
        self._worker_environment: Final = worker_environment
        self._backlog: Final = backlog
        self._hangup_reloads: Final = hangup_reloads
        self._in_terminal: Final = _has_terminal()
        self._sockets: Final[dict[int, list[socket.socket]]] = {}
        self._host: Final = host.strip("[]")  # IPv6 may come in brackets
        self._port: Final = port
        self._prepare: Final = prepare
        self._ready: Final = ready
        self._drain_seconds: Final = drain_seconds
        self._ready_seconds_max: Final = ready_seconds_max
        self._log: Final[FilteringBoundLogger] = log or structlog.get_logger()
        self._stopping: Final = asyncio.Event()
        self._drain_skipped: Final = asyncio.Event()
        self._keepers: Final[list[asyncio.Task[None]]] = []
        self._silent_seconds_max: Final = silent_seconds_max
        self._hung_seconds_max: Final = hung_seconds_max
        self._workers: Final[dict[int, _Worker]] = {}
        self._retiring: Final[dict[_Worker, asyncio.Task[None]]] = {}

    async def run(self) -> int:
        """Serve until a signal or ``stop``. Call it once, in the main thread.

        Returns:
            The exit code. 0 after an orderly stop, also during start-up. If a worker ended before start-up was
            complete: its exit code, or 128 + n for signal n, or 1 if it ended with 0 or did not report in time.

        Raises:
            ListenError: the address cannot be served, or another server has it.
            EmbeddedValkeyError: the embedded ledger did not start.
            Exception: any exception of ``prepare`` or ``ready``. In all these cases nothing is left running.
        """
        with reserve_port(self._host, self._port) as port, self._signals_handled():
            try:
                await self._unless_stopping(self._start(port))
                await self._unless_stopping(self._keep_all())
            except WorkerError as failed:
                self._log.error("start-up failed", reason=str(failed), exit_code=failed.exit_code)
                return failed.exit_code
            finally:
                await self._stop_all()
        return 0

    def stop(self) -> None:
        """Begin an orderly stop; ``run`` returns when it is done."""
        self._stopping.set()

    async def _start(self, port: int) -> None:
        if self._embedded:
            await self._embedded.start()
            keeper = self._keep("ledger", self._ledger_end, self._start_ledger_again, Backoff(0.2, 10.0))
            self._keepers.append(asyncio.create_task(keeper))
        await self._prepare(self._ledger_url)
        for index in range(self._worker_count):
            if self._backlog is not None:
                self._sockets[index] = _listening(self._host, port, self._backlog)
            await self._start_worker(index, port)
        workers = list(self._workers.values())
        await asyncio.gather(*(worker.came_up(self._ready_seconds_max) for worker in workers))
        for index in self._workers:
            end = functools.partial(self._worker_end, index)
            again = functools.partial(self._start_worker_again, index, port)
            keeper = self._keep(f"worker {index}", end, again, Backoff(0.1, 5.0))
            self._keepers.append(asyncio.create_task(keeper))
        await self._ready(address_text(self._host, port), [worker.process.pid for worker in workers])

    async def _start_worker(self, index: int, port: int) -> _Worker:
        sockets = [listening.fileno() for listening in self._sockets.get(index, ())]
        # The process inherits the blocked signal when it is forked, in the first step of the await. So it does not
        # matter that another start, which runs at the same time, may unblock the signal before this one does.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            process = await asyncio.create_subprocess_exec(
                *self._worker_command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=self._worker_environment,
                pass_fds=sockets,
                start_new_session=True,  # Ctrl-C then reaches only this process, which stops the workers
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        worker = self._workers[index] = _Worker(index, process)
        task = {
            "index": index,
            "host": self._host,
            "port": port,
            "sockets": sockets,
            "ledger_url": self._ledger_url,
            "config": dict(self._worker_config),
        }
        assert process.stdin is not None
        process.stdin.write(json.dumps(task).encode() + b"\n")
        return worker

    async def _start_worker_again(self, index: int, port: int) -> None:
        worker = await self._start_worker(index, port)
        try:
            await worker.came_up(self._ready_seconds_max)
        except WorkerError:
            worker.signal(signal.SIGKILL)  # it did not report in time, or it has ended already
            await worker.ended()
            raise

    async def _worker_end(self, index: int) -> str:
        worker = self._workers[index]
        ended, silent = (
            asyncio.create_task(worker.ended()),
            asyncio.create_task(worker.silent(self._silent_seconds_max)),
        )
        try:
            await asyncio.wait({ended, silent}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return f"{worker} ended ({_end_text(ended.result())})"
        finally:
            await _cancelled(ended, silent)
        self._retiring[worker] = asyncio.create_task(self._retire(worker))
        return f"{worker} hangs: it has said nothing for {self._silent_seconds_max:g} s"

    async def _retire(self, worker: _Worker) -> None:
        """End a worker that hangs. Its successor has the same sockets, so it takes the connections that wait.

        If the worker comes to itself, it finishes its calls; else it is killed.
        """
        worker.signal(signal.SIGTERM)
        ended, hung = asyncio.create_task(worker.ended()), asyncio.create_task(worker.silent(self._hung_seconds_max))
        try:
            await asyncio.wait({ended, hung}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                self._log.error("worker hangs and is killed", pid=worker.process.pid)
                worker.signal(signal.SIGKILL)
                await worker.ended()
            del self._retiring[worker]
        finally:
            await _cancelled(ended, hung)

    async def _start_ledger_again(self) -> None:
        """Start the embedded ledger again.

        Workers that still run remember each answer that they gave, and compare. So a write that the ledger's file has
        only in part may be dropped.
        """
        assert self._embedded is not None
        all_run = all(worker.process.returncode is None for worker in self._workers.values())
        await self._embedded.start(accept_torn=all_run)

    async def _ledger_end(self) -> str:
        assert self._embedded is not None
        return f"{_end_text(await self._embedded.wait())}, {self._embedded.end_reason()}"

    async def _keep(
        self,
        name: str,
        end: Callable[[], Awaitable[str]],
        start_again: Callable[[], Awaitable[None]],
        backoff: Backoff,
    ) -> None:
        """Start a process again each time it ends. The others need no restart: address and sockets stay the same."""
        clock = asyncio.get_running_loop().time
        started = clock()
        while True:
            reason = await end()
            while reason:
                delay = backoff.after(lived_seconds=clock() - started)
                self._log.error("down, will be started again", name=name, reason=reason, after_seconds=delay)
                await asyncio.sleep(delay)
                started = clock()
                try:
                    await start_again()
                    reason = ""
                except (WorkerError, EmbeddedValkeyError, OSError) as error:
                    reason = str(error)

    async def _keep_all(self) -> None:
        # It never ends, unless a keeper raises because of a bug: then its error stops the server in order.
        await asyncio.gather(*self._keepers)

    async def _unless_stopping(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work; cancel it when a stop begins."""
        task = asyncio.create_task(work)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            await _cancelled(task, stopping)

    async def _stop_all(self) -> None:
        await _cancelled(*self._keepers, *self._retiring.values())
        # After that only the workers hold the sockets. When a worker stops to accept, new connections are refused at
        # once and go to another server; they do not wait in a queue that nobody reads.
        for sockets in self._sockets.values():
            for listening in sockets:
                listening.close()
        await self._drain()
        if self._embedded:
            await self._embedded.stop()

    async def _drain(self) -> None:
        workers = [*self._workers.values(), *self._retiring]
        if not workers:
            return
        for worker in workers:
            worker.signal(signal.SIGTERM)
        ends = asyncio.gather(*(worker.ended() for worker in workers))
        skipped = asyncio.create_task(self._drain_skipped.wait())
        either: set[asyncio.Future[Any]] = {ends, skipped}
        await asyncio.wait(either, timeout=self._drain_seconds, return_when=asyncio.FIRST_COMPLETED)
        skipped.cancel()
        for worker in workers:
            if worker.process.returncode is None:
                self._log.error("worker did not drain in time and is killed", pid=worker.process.pid)
                worker.signal(signal.SIGKILL)
        await asyncio.wait(
            {ends}, timeout=_LAST_WORDS_SECONDS
        )  # the processes have ended; a pipe of theirs may still be open

    @contextlib.contextmanager
    def _signals_handled(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _on_signal(self, number: signal.Signals) -> None:
        if number is signal.SIGHUP and not (self._in_terminal and not _has_terminal()):
            self._reload()
            return
        if number is signal.SIGINT and self._stopping.is_set():
            self._drain_skipped.set()
        self.stop()

    def _reload(self) -> None:
        """Let the workers read their certificates again, or log that there are none."""
        if not self._hangup_reloads:
            self._log.warning("SIGHUP changes nothing here: there are no certificates to read again; SIGTERM stops")
            return
        for worker in self._workers.values():
            worker.signal(signal.SIGHUP)


@contextlib.contextmanager
def reserve_port(host: str, port: int) -> Iterator[int]:
    """Hold an address for this server and its workers while the block runs; yield the port number.

    Workers share a port with SO_REUSEPORT. By mistake two servers could share it too, and each would get half of the
    calls. Three things prevent that: a lock file against another supervisor; a bind without SO_REUSEPORT, which fails
    if another process listens; and a bound socket that never listens, which holds the port while workers are replaced.

    Raises:
        PortInUseError: another process has the port.
        ListenError: the host or port cannot be used at all.
    """
    if not 0 <= port <= _PORT_MAX:
        raise ListenError(f"{port} is not a port; choose one from 0 to {_PORT_MAX} with --listen")
    addresses = _resolved(host, port)
    for tries_left in reversed(range(_FREE_PORT_TRIES_MAX if port == 0 else 1)):
        with contextlib.ExitStack() as held:
            try:
                number = port or _free_port(*addresses[0])
                for family, address in addresses:
                    _reserve(held, family, (address[0], number, *address[2:]))
            except OSError as error:
                refusal = _explained(host, port, error)
                if tries_left and isinstance(refusal, PortInUseError):
                    continue  # a port that is free on one address may be in use on the next one
                raise refusal from error
            yield number
            return


def _listening(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Return a socket that listens for each address of a host; several may share the port."""
    sockets: list[socket.socket] = []
    try:
        for family, address in _resolved(host, port):
            # SO_REUSEADDR ignores connections that linger after a server closed them.
            sockets.append(_bound(family, address, socket.SO_REUSEADDR, socket.SO_REUSEPORT))
            sockets[-1].listen(backlog)
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise _explained(host, port, error) from error
    return sockets


def address_text(host: str, port: int) -> str:
    """Return ``host:port``, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _resolved(host: str, port: int) -> list[_Address]:
    """Return the addresses of a host (localhost may have two) that belong to this machine."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ListenError(f"cannot find the host '{host}' ({error}); choose another with --listen") from error
    every: dict[_Address, None] = {(family, address): None for family, _, _, _, address in found}
    ours = [address for address in every if _is_ours(*address)]
    if not ours:
        raise ListenError(f"{host} is not an address of this machine; choose another with --listen")
    return ours


def _is_ours(family: socket.AddressFamily, address: tuple[Any, ...]) -> bool:
    try:
        _free_port(family, address)
    except OSError as error:
        return error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
    return True


def _free_port(family: socket.AddressFamily, address: tuple[Any, ...]) -> int:
    with _bound(family, (address[0], 0, *address[2:])) as chosen:
        return int(chosen.getsockname()[1])


def _reserve(held: contextlib.ExitStack, family: socket.AddressFamily, address: tuple[Any, ...]) -> None:
    try:
        lock = FileLock.take(private_directory() / f"port-{address[0]}-{address[1]}.lock")
    except LockHeldError as error:
        raise OSError(errno.EADDRINUSE, str(error)) from error
    held.callback(lock.release)
    # SO_REUSEADDR ignores connections that linger after a server closed them, but not a socket that listens.
    _bound(family, address, socket.SO_REUSEADDR).close()
    try:
        keeper = _bound(family, address, socket.SO_REUSEPORT)  # shares the port with our workers only
    except OSError:
        # Connections linger: ignore them, which also ignores other bound sockets with these options that do not listen.
        keeper = _bound(family, address, socket.SO_REUSEADDR, socket.SO_REUSEPORT)
    held.enter_context(keeper)


def _bound(family: socket.AddressFamily, address: tuple[Any, ...], *options: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in options:
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == socket.AF_INET6 and address[0] == "::":
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # both IPv4 and IPv6, as gRPC does
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _explained(host: str, port: int, error: OSError) -> ListenError:
    if error.errno == errno.EADDRINUSE:
        peer = outgoing_connection(port) if not isinstance(error.__cause__, LockHeldError) else None
        if peer is not None:
            return PortInUseError(
                f"port {port} on {host} is held by an outgoing connection of this machine (to port {peer}), not by a "
                "server: wait until it ends, or choose a port below 32768 with --listen. To keep the port free: "
                f"sysctl -w net.ipv4.ip_local_reserved_ports={port}"
            )
        return PortInUseError(f"port {port} on {host} is in use; stop the other server or choose another with --listen")
    return ListenError(f"cannot listen on {address_text(host, port)} ({error}); choose another with --listen")


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel again until all have ended: before Python 3.12, ``asyncio.wait_for`` may lose a cancellation."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


def _has_terminal() -> bool:
    """Whether the process has a terminal that is open."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _report(line: bytes) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _end_text(code: int) -> str:
    return f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"exit code {code}"
