"""The CPU of the server, its ledger and the generator during a run."""

import time
from collections import defaultdict

import gevent
import psutil

from sale.series import Usage

STEP_SECONDS = 0.5
_NAMES = {"redemption.worker": "worker", "valkey-server": "ledger"}


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
        found = [("locust", process) for process in (own, *own.children(recursive=True)) if _is_locust(process)]
        if self._supervisor:
            try:
                children = psutil.Process(self._supervisor).children(recursive=True)
            except psutil.Error:
                return found
            found += [(name, process) for process in children if (name := _name(process))]
        return found


def _is_locust(process: psutil.Process) -> bool:
    try:
        return any("locust" in part for part in process.cmdline()[:3])
    except psutil.Error:
        return False


def _name(process: psutil.Process) -> str:
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return ""
    return next((name for sign, name in _NAMES.items() if sign in line), "")
