"""What a use case knows about the RPC that it answers."""

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class CallInfo:
    """The caller of an RPC, and its deadline.

    Attributes:
        principal: Who calls. The same request id of two principals means two different requests.
        method: The RPC's method, for example ``/redemption.v1.RedemptionService/Redeem``.
        peer: The caller's address, as the transport names it; for logs only, never a reason to trust the caller.
        deadline: The RPC's deadline, in the event loop's time.
        gone: The caller no longer waits, so work that has not begun can be dropped.
    """

    principal: str
    method: str
    peer: str
    deadline: float
    gone: bool = False
