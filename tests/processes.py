"""Looking at processes from outside, and waiting for a thing instead of a time."""

import contextlib
import os
import time
from pathlib import Path


def is_alive(pid):
    """Whether the process runs; one that is dead and not yet reaped does not."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    if Path("/proc/self").exists():
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def until(what, seconds_max=10.0):
    """Look again until it is so, and return it."""
    deadline = time.monotonic() + seconds_max
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
