"""What a use case learns about its call."""

import asyncio
import time

from redemption.domain.call_info import CallInfo

PRINCIPAL = "checkout"


def calling(principal=PRINCIPAL, *, seconds=3600.0, gone=False):
    """A call that may take so many seconds, by the clock of the event loop."""
    try:
        now = asyncio.get_running_loop().time()
    except RuntimeError:
        now = time.monotonic()
    return CallInfo(principal, "/a.test/Calls", "127.0.0.1:1", now + seconds, gone)
