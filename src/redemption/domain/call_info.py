"""What a use case is told about the call that it answers."""

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class CallInfo:
    """Who calls, and until when an answer is of use.

    Attributes:
        principal: Who calls; request ids of different principals are different requests.
        method: What is called, for example ``/redemption.v1.RedemptionService/Redeem``.
        peer: Where the call comes from, as the transport names it; for logs, never a reason to trust.
        deadline: Until when to work on an answer, in the event loop's time.
        gone: Nobody waits any more: what was not begun need not be done.
    """

    principal: str
    method: str
    peer: str
    deadline: float
    gone: bool = False
