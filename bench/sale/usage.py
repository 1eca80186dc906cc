"""The CPU of the server, its ledger and the generator during a run."""

import time
from collections import defaultdict

import gevent
import psutil

from sale.journal import PREBUILT
from sale.series import Usage

STEP_SECONDS = 0.5
_NAMES = {"redemption.worker": "worker", "valkey-server": "ledger"}
NAMES = (*_NAMES.values(), "locust", PREBUILT)
"""The names of processes, as reports have them."""


class Watch:
    """Looks at the processes again and again, in the background."""

    def __init__(self, supervisor: int) -> None:
        """Begin.

        Args:
            supervisor: The process id of a server on this machine, whose children are watched; 0: only this process.
        """
        self.seen: list[Usage] = []
        self._supervisor = supervisor
        self._before: dict[int, float] = {}
        self._greenlet = gevent.spawn(self._look_again)

    def stop(self) -> None:
        """End."""
        self._greenlet.kill()

    def _look_again(self) -> None:
        last = time.time()
        self._used()
        while True:
            gevent.sleep(STEP_SECONDS)
            now, used = time.time(), self._used()
            self.seen.append(Usage(now, {name: seconds / (now - last) for name, seconds in used.items()}))
            last = now

    def _used(self) -> dict[str, float]:
        """Return the CPU seconds since the last look, by name; a process that is new counts from the next look on."""
        used: dict[str, float] = defaultdict(float)
        for name, process in self._processes():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue  # it has ended
            seconds = times.user + times.system
            used[name] += seconds - self._before.get(process.pid, seconds)
            self._before[process.pid] = seconds
        return used

    def _processes(self) -> list[tuple[str, psutil.Process]]:
        own = psutil.Process()
        found = [(name, process) for process in (own, *own.children(recursive=True)) if (name := _generator(process))]
        if self._supervisor:
            try:
                children = psutil.Process(self._supervisor).children(recursive=True)
            except psutil.Error:
                return found
            found += [(name, process) for process in children if (name := _name(process))]
        return found


def _generator(process: psutil.Process) -> str:
    parts = _command(process)
    if "sale.prebuilt" in parts:
        return PREBUILT
    return "locust" if any("locust" in part for part in parts[:3]) else ""


def _name(process: psutil.Process) -> str:
    line = " ".join(_command(process))
    return next((name for sign, name in _NAMES.items() if sign in line), "")


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []  # it has ended
