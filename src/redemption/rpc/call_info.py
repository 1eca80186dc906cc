"""What a use case is told about the call that it answers: who calls, and until when an answer is of use."""

from redemption.domain.call_info import CallInfo

ANSWER_SECONDS_MAX = 10.0
ANSWER_SECONDS_UNSET = 5.0
MARGIN_SECONDS = 0.02
"""Left over for the answer to travel: the caller shall read why, rather than see its own deadline pass."""


def call_info(path: str, peer: str, seconds: float | None, now: float) -> CallInfo:
    """Return what a use case is told.

    There are no credentials yet, so everybody is the same principal.

    Args:
        path: What is called.
        peer: Where the call comes from.
        seconds: Until the caller's deadline; None when it set none.
        now: The event loop's time.

    Returns:
        Its deadline is not after ``now`` when an answer would come too late.
    """
    left = ANSWER_SECONDS_UNSET if seconds is None else min(seconds - MARGIN_SECONDS, ANSWER_SECONDS_MAX)
    return CallInfo("anonymous", path, peer, now + left)
