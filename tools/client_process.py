"""Runs other programs with a time limit, and ends them with all processes that they started."""

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped] # no marker

END_SECONDS_MAX: Final = 5.0
SAMPLE_SECONDS: Final = 0.02


class Failed(Exception):
    """A program failed; the message has the last line that it wrote."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program wrote, and how it ended."""

    code: int
    output: str
    errors: str

    @property
    def last_words(self) -> str:
        """The last line that it wrote, and how it ended."""
        lines = [line for line in (self.output + "\n" + self.errors).splitlines() if line.strip()]
        return f"exit code {self.code}: {lines[-1].strip() if lines else 'it said nothing'}"


def find(name: str, places: Sequence[Path] = ()) -> str | None:
    """Return the path of a program: in one of these folders, or on PATH; None if it is in none."""
    return shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ.get("PATH", "")]))


def run(command: Sequence[str], *, seconds_max: float, directory: Path | None = None) -> Ran:
    """Run a program to its end.

    Raises:
        Failed: It took too long.
    """
    with _started(command, directory) as process:
        try:
            output, errors = process.communicate(timeout=seconds_max)
        except subprocess.TimeoutExpired as late:
            raise Failed(f"{command[0]} took more than {seconds_max:.0f} s") from late
        return Ran(process.returncode, output, errors)


def talk(
    command: Sequence[str], take: Callable[[Mapping[str, Any]], str], *, port: int, seconds_max: float, directory: Path
) -> int:
    """Run a program that writes JSON lines; return from how many local ports it connected to a server's port.

    Args:
        command: The program.
        take: Called with each line, parsed. The text that it returns is written to the program, unless it is empty.
        port: The server's port.
        seconds_max: How long it may take.
        directory: The directory in which it runs.

    Raises:
        Failed: It took too long, or its exit code was not 0.
    """
    ends = time.monotonic() + seconds_max
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    errors: list[str] = []
    with _started(command, directory) as process, _watched(process.pid, port) as connections:
        assert process.stdin is not None, "they are pipes"
        assert process.stdout is not None
        assert process.stderr is not None
        threading.Thread(target=_read, args=(process.stdout, lines.put), daemon=True).start()
        threading.Thread(target=_read, args=(process.stderr, _keep(errors)), daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=max(0.0, ends - time.monotonic()))
            except queue.Empty:
                raise Failed(f"took more than {seconds_max:.0f} s{_tail(errors)}") from None
            if line is None:
                break
            answer = take(json.loads(line))
            if answer:
                process.stdin.write(answer + "\n")
                process.stdin.flush()
        code = process.wait(END_SECONDS_MAX)
    if code:
        raise Failed(f"ended with {code}{_tail(errors)}")
    return len(connections)


def _keep(errors: list[str]) -> Callable[[str | None], None]:
    return lambda line: None if line is None else errors.append(line)


def _tail(errors: Sequence[str]) -> str:
    return ": " + " / ".join(line.strip() for line in errors[-3:]) if errors else ""


def _read(stream: Iterator[str], take: Callable[[str | None], None]) -> None:
    with suppress(ValueError):  # raised when the stream was closed because the program was ended
        for line in stream:
            take(line)
    take(None)


@contextmanager
def _started(command: Sequence[str], directory: Path | None) -> "Iterator[subprocess.Popen[str]]":
    """Start a program in a process group of its own; at the end, kill the group if the program still runs."""
    process = subprocess.Popen(  # noqa: S603 - the tools that this script is for
        command,
        cwd=directory,
        env={name: value for name, value in os.environ.items() if not name.startswith("REDEMPTION_")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(END_SECONDS_MAX)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


@contextmanager
def _watched(pid: int, port: int) -> Iterator[set[int]]:
    """Collect the local ports from which a process connects to a port, every 20 ms."""
    seen: set[int] = set()
    over = threading.Event()

    def look() -> None:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            while not over.wait(SAMPLE_SECONDS):
                seen.update(each.laddr.port for each in process.net_connections() if each.raddr[1:] == (port,))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
