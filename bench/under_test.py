"""Servers to measure, in processes of their own, and the CPU of these processes. Each server is stopped at the end."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil

from redemption.cli.demo.server import private_server, signals_as_interrupt, stop

BENCH = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of the workers and of the ledger."""

    server: float
    ledger: float

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.server - other.server, self.ledger - other.ledger)


@dataclass(frozen=True, slots=True)
class UnderTest:
    """One server.

    Attributes:
        address: Host and port.
        workers: The processes that answer calls.
        ledger: The process of its ledger, if it has one.
        directory: The directory of its ledger and keyset, if it has them.
    """

    address: tuple[str, int]
    workers: Sequence[psutil.Process]
    ledger: psutil.Process | None = None
    directory: Path | None = None

    @property
    def authority(self) -> str:
        """Host and port as one text."""
        return f"{self.address[0]}:{self.address[1]}"

    def cost(self) -> Cost:
        """Return the CPU time of its processes until now."""
        return Cost(sum(_cpu(worker) for worker in self.workers), _cpu(self.ledger) if self.ledger else 0.0)


@contextmanager
def redemption_server(
    durability: str = "strict", workers: int = 1, transport: str = "nghttp2", *, python: str = sys.executable
) -> Iterator[UnderTest]:
    """Run the service itself, as ``redemption serve`` does, with a private ledger."""
    flags = ("--durability", durability, "--workers", str(workers), "--transport", transport)
    with private_server(*flags, python=python) as server:
        host, _, port = server.address.rpartition(":")
        children = psutil.Process(server.pid).children(recursive=True)
        ledger = [child for child in children if "valkey-server" in child.name()]
        serving = [child for child in children if "redemption.worker" in child.cmdline()]
        assert len(ledger) == 1, children
        assert len(serving) == workers, children
        yield UnderTest((host, int(port)), serving, ledger[0], server.directory)


@contextmanager
def script_server(
    name: str,
    *,
    workers: int = 1,
    arguments: Sequence[str] = (),
    ledger: UnderTest | None = None,
    signals: bool = True,
) -> Iterator[UnderTest]:
    """Run a server script of this folder, in one or more processes on one port.

    Args:
        name: The script. Its argument is a port (0: any free one), and its first line of output is the port.
        workers: How many processes.
        arguments: More arguments.
        ledger: The server whose ledger it uses, if any.
        signals: Handle signals like Ctrl-C meanwhile; not in a process that has handlers of its own.
    """
    from redemption.app import WORKER_ENVIRONMENT  # noqa: PLC0415 - it imports the server

    with signals_as_interrupt() if signals else nullcontext(), ExitStack() as stack:
        port = "0"
        processes = []
        for _ in range(workers):
            process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, str(BENCH / name), port, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                env={**WORKER_ENVIRONMENT, **os.environ},  # the environment of a worker of the service
                start_new_session=True,
            )
            stack.callback(stop, process)
            assert process.stdout is not None
            said = process.stdout.readline().split()
            if not said:
                sys.exit(f"{name} did not start")
            port = said[0]
            processes.append(psutil.Process(process.pid))
        yield UnderTest(("127.0.0.1", int(port)), processes, ledger.ledger if ledger else None)


class Neighbours:
    """Measures the CPU that all other processes of the machine use, from now on."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._busy, self._own = _busy(), _own()

    def part(self) -> float:
        """Return their share of all cores, 0 to 1; living children of this process are not counted as neighbours."""
        all_seconds = (time.perf_counter() - self._began) * (psutil.cpu_count() or 1)
        return max(0.0, (_busy() - self._busy) - (_own() - self._own)) / all_seconds


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _own() -> float:
    process = psutil.Process()
    return sum(_cpu(each) for each in [process, *process.children(recursive=True)])


def settle() -> None:
    """Wait until the effects of the last run are over."""
    time.sleep(0.05)


def _cpu(process: psutil.Process) -> float:
    if sys.platform == "linux":
        # Exact to the nanosecond, see clock_getcpuclockid(3); the figures of psutil are in hundredths of a second.
        return time.clock_gettime(~process.pid << 3 | 2)
    times = process.cpu_times()
    return float(times.user + times.system)
