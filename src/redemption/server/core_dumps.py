"""Keeps the keys out of core dumps: the memory of a server holds all of them."""

import contextlib
import ctypes
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def forbid_core_dumps() -> None:
    """Let the system write no core dump of this process, nor of those that it starts.

    The limit of 0 is inherited. On Linux it does not hold for a program that takes the dumps (``core_pattern`` with a
    pipe), so there this process is also marked as not dumpable. That keeps other processes of the same user from
    reading its memory, too. The mark ends when a process becomes another program, so each process sets its own.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        zero = ctypes.c_ulong(0)
        with contextlib.suppress(OSError, AttributeError):  # without prctl the limit holds all the same
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, zero, zero, zero, zero)
