"""What a call says about itself: who calls, and until when an answer is of use."""

import asyncio
from typing import Protocol

from redemption.domain.errors import DeadlinePassed

ANSWER_SECONDS_MAX = 10.0
ANSWER_SECONDS_UNSET = 5.0
MARGIN_SECONDS = 0.02
"""Left over for the answer to travel: the caller shall read why, rather than see its own deadline pass."""


class CallContext(Protocol):
    """The part of ``grpc.aio.ServicerContext`` that answers these questions."""

    def time_remaining(self) -> float | None:
        """Return the seconds until the caller's deadline, or None when it set none."""


def principal_of(context: CallContext) -> str:  # noqa: ARG001 - credentials are the context's to know
    """Return who calls. There are no credentials yet, so everybody is the same."""
    return "anonymous"


def deadline_of(context: CallContext) -> float:
    """Return until when to work on an answer, in the event loop's time.

    Raises:
        DeadlinePassed: It would come too late.
    """
    remaining = context.time_remaining()
    if remaining is None:
        seconds = ANSWER_SECONDS_UNSET
    else:
        seconds = min(remaining - MARGIN_SECONDS, ANSWER_SECONDS_MAX)
        if seconds <= 0:
            raise DeadlinePassed("the deadline passed before the request was looked at; nothing was done")
    return asyncio.get_running_loop().time() + seconds
