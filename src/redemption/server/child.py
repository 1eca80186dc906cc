"""Signals to processes that asyncio started."""

import asyncio
import contextlib
import os
import signal


def send_signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a process a signal, if it still runs.

    The process's own ``send_signal``, ``terminate`` and ``kill`` look first whether it has ended. If it has, and
    asyncio does not know it yet, they take its exit code away: asyncio then warns on stderr, and says 255.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
