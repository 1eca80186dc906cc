"""Runs a private server: a process with a temporary directory and a free port, stopped and removed afterwards."""

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redemption.cli.exits import FAILED, Stop

_START_SECONDS_MAX = 30.0
_STOP_SECONDS_MAX = 15.0
_LISTEN = re.compile(r"listen +(?P<address>\S+)")


@dataclass(frozen=True, slots=True)
class PrivateServer:
    """A server that is ready.

    Attributes:
        address: Host and port.
        pid: The process id of its supervisor, which is the parent of all its processes.
        directory: The directory of its ledger and keyset.
        log: The lines of its log; empty until it has stopped.
    """

    address: str
    pid: int
    directory: Path
    log: list[str]

    def redeems_per_ledger_call(self) -> float | None:
        """Return how many redeems one ledger call carried on average; None if the log does not say."""
        orders = calls = 0
        for line in self.log:
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and event.get("event") == "stopped":
                    orders += int(event.get("orders", 0))
                    calls += int(event.get("calls", 0))
        return orders / calls if calls else None


@contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """Handle SIGTERM, SIGHUP and SIGQUIT like Ctrl-C in the block, so that a private server is always stopped."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def private_server(*flags: str, python: str = sys.executable) -> Iterator[PrivateServer]:
    """Run a server; it is stopped when the block ends, also after an exception.

    Args:
        *flags: More flags of ``redemption serve``.
        python: The Python interpreter that runs it.

    Raises:
        Stop: It did not start; the message has the last line of its log.
    """
    with signals_as_interrupt(), tempfile.TemporaryDirectory(prefix="redemption-demo-") as directory:
        command = [python, "-m", "redemption", "serve", "--listen", "127.0.0.1:0", "--drain-seconds", "2"]
        command += ["--data-dir", f"{directory}/ledger", "--keyset", f"{directory}/demo.keyset", *flags]
        # In a session of its own, so that Ctrl-C reaches only this process, which then stops the server.
        with (Path(directory) / "log").open("wb") as log_file:
            process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                env=_environment(),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log_file,
                text=True,
                start_new_session=True,
            )
        log: list[str] = []
        try:
            address = _address(process, Path(directory) / "log")
            yield PrivateServer(address, process.pid, Path(directory), log)
        finally:
            stop(process)
            log.extend((Path(directory) / "log").read_text(errors="replace").splitlines())


def _environment() -> dict[str, str]:
    """Return our environment without variables that are settings of a server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("REDEMPTION_")}


def _address(process: "subprocess.Popen[str]", log: Path) -> str:
    """Return the address that the server prints when it is ready."""
    assert process.stdout is not None, "it is a pipe"
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    until = time.monotonic() + _START_SECONDS_MAX
    while (left := until - time.monotonic()) > 0:
        try:
            line = lines.get(timeout=left)
        except queue.Empty:
            break
        if line is None:
            said = log.read_text(errors="replace").splitlines()
            raise Stop(FAILED, f"the private server did not start: {said[-1] if said else 'it said nothing'}")
        found = _LISTEN.match(line)
        if found:
            return found["address"]
    raise Stop(FAILED, f"the private server did not start within {_START_SECONDS_MAX:.0f} s")


def _read(stream: Iterator[str], lines: "queue.SimpleQueue[str | None]") -> None:
    """Read the pipe to the end, so that the server never blocks on a full pipe."""
    for line in stream:
        lines.put(line)
    lines.put(None)


def stop(process: "subprocess.Popen[str]") -> None:
    """Stop a process with SIGTERM; kill it if that takes more than 15 s."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
