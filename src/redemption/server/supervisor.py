"""The parent process of a server: it owns the port, the embedded ledger and the workers, and stops them in order.

It serves no request itself and never imports gRPC, so it stays small and can start workers as new processes.
"""

import asyncio
import contextlib
import functools
import json
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog
from structlog.typing import FilteringBoundLogger

from redemption.server.embedded_valkey import EmbeddedValkey, EmbeddedValkeyError
from redemption.server.listening import address_text, listening_sockets, reserve_port
from redemption.server.worker_process import LAST_WORDS_SECONDS, Worker, WorkerError, end_text

if TYPE_CHECKING:
    import socket

_HEALTHY_SECONDS: Final = 30.0
_CANCEL_AGAIN_SECONDS: Final = 1.0
SILENT_SECONDS_MAX: Final = 5.0
"""A worker says once a second that it is alive. After so long without a word it hangs, and another one takes its place.

The longest step of a worker takes milliseconds, so even a machine with far too much to do does not come near this. A
worker that is replaced in error still finishes its calls.
"""
HUNG_SECONDS_MAX: Final = 20.0
"""After so long without a word, a worker that was replaced is killed."""


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
        self._workers: Final[dict[int, Worker]] = {}
        self._retiring: Final[dict[Worker, asyncio.Task[None]]] = {}
        self._all_is_remembered = worker_count == 1

    async def run(self) -> int:
        """Serve until a signal or ``stop``. Call it once, in the main thread.

        Returns:
            The exit code. 0 after an orderly stop, also during start-up. If a worker ended before start-up was
            complete, and did not tell why: its exit code, or 128 + n for signal n, or 1 if it ended with 0 or did not
            report in time.

        Raises:
            ListenError: the address cannot be served, or another server has it.
            EmbeddedValkeyError: the embedded ledger did not start.
            WorkerError: a worker told why it cannot start (``refusal``).
            Exception: any exception of ``prepare`` or ``ready``. In all these cases nothing is left running.
        """
        with reserve_port(self._host, self._port) as port, self._signals_handled():
            try:
                await self._unless_stopping(self._start(port))
                await self._unless_stopping(self._keep_all())
            except WorkerError as failed:
                if failed.refusal is not None:
                    raise
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
                self._sockets[index] = listening_sockets(self._host, port, self._backlog)
            await self._start_worker(index, port)
        workers = list(self._workers.values())
        await asyncio.gather(*(worker.came_up(self._ready_seconds_max) for worker in workers))
        for index in self._workers:
            end = functools.partial(self._worker_end, index)
            again = functools.partial(self._start_worker_again, index, port)
            keeper = self._keep(f"worker {index}", end, again, Backoff(0.1, 5.0))
            self._keepers.append(asyncio.create_task(keeper))
        await self._ready(address_text(self._host, port), [worker.process.pid for worker in workers])

    async def _start_worker(self, index: int, port: int) -> Worker:
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
        worker = self._workers[index] = Worker(index, process)
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
            self._all_is_remembered = False
            if ended.done():
                return f"{worker} ended ({end_text(ended.result())})"
        finally:
            await _cancelled(ended, silent)
        self._retiring[worker] = asyncio.create_task(self._retire(worker))
        return f"{worker} hangs: it has said nothing for {self._silent_seconds_max:g} s"

    async def _retire(self, worker: Worker) -> None:
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

        A write that the ledger's file has only in part may be dropped, if one process remembers all that was answered,
        and compares: a single worker that has served since the start of this server. One that took another's place
        does not know what the other one answered last. Of several, each knows its own answers alone, and the others
        would serve the ledger before it compares. Then an operator has to accept the file, however often it is tried.
        """
        assert self._embedded is not None
        remembers = self._all_is_remembered and all(worker.is_up for worker in self._workers.values())
        await self._embedded.start(accept_torn=remembers)

    async def _ledger_end(self) -> str:
        assert self._embedded is not None
        code = await self._embedded.wait()
        # A worker that comes up later has not asked this ledger for what it knew.
        self._all_is_remembered &= bool(self._workers) and all(worker.is_up for worker in self._workers.values())
        return f"{end_text(code)}, {self._embedded.end_reason()}"

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
            {ends}, timeout=LAST_WORDS_SECONDS
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
