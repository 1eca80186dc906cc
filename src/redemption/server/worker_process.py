"""One worker process, as the supervisor sees it.

What a worker must do:

1. Read one line of JSON from stdin: ``{"index", "host", "port", "sockets", "ledger_url", "config"}``. Keep stdin
   open: if it is closed, the supervisor is gone, and the worker ends too.
2. Serve on the sockets: they are inherited file descriptors that listen already. If there are none, bind host and port
   with SO_REUSEPORT. When it serves, write the line ``{"ready": true}`` to stdout. The supervisor copies other lines to
   its own stdout; stderr is shared. From then on write the line ``{"alive": true}`` once a second: a worker that is
   silent for too long is replaced. (One that never wrote this line is not.)
3. On SIGTERM finish the calls that it has begun, within the drain time, and exit. If it cannot start, write the line
   ``{"refused": "the reason"}`` to stdout and exit with an exit code. Before the first start-up is complete, that ends
   the server with the same code, and the reason is the last line that it writes.
4. On SIGHUP read its certificates again, if it has any. It is started with SIGHUP blocked, so that an early signal is
   neither lost nor ends the worker. It unblocks the signal when it can handle it.
"""

import asyncio
import contextlib
import json
import signal
import sys
from typing import Any, Final

from redemption.server.child import send_signal

LAST_WORDS_SECONDS: Final = 1.0


class WorkerError(Exception):
    """A worker did not become ready.

    Attributes:
        exit_code: The exit code for the whole server.
        refusal: Why it cannot start, as it told; None if it told nothing, as one that crashed.
    """

    def __init__(self, message: str, exit_code: int, refusal: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.refusal = refusal


class Worker:
    """One worker process, from its start to its end."""

    def __init__(self, index: int, process: asyncio.subprocess.Process) -> None:
        self.index: Final = index
        self.process: Final = process
        self._ready = asyncio.Event()
        self._refusal: str | None = None
        self._beats = False
        self._silent_seconds = 0.0
        self._end = asyncio.create_task(self._until_end())

    def __str__(self) -> str:
        return f"worker {self.index} (process {self.process.pid})"

    @property
    def is_up(self) -> bool:
        """Whether it has reported ready, and has not ended since."""
        return self._ready.is_set() and self.process.returncode is None

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
        if self._refusal is not None:
            raise WorkerError(f"{self} cannot start: {self._refusal}", exit_code, self._refusal)
        raise WorkerError(f"{self} ended before it was ready ({end_text(code)})", exit_code)

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
        await asyncio.wait({listening}, timeout=LAST_WORDS_SECONDS)
        listening.cancel()
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        send_signal(self.process, number)

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
            if isinstance(report, dict) and isinstance(report.get("refused"), str):
                self._refusal = report["refused"]
                continue
            with contextlib.suppress(OSError):  # if our stdout is closed, the server must go on
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()


def _report(line: bytes) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None


def end_text(code: int) -> str:
    """Return how a process ended, in words."""
    return f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"exit code {code}"
