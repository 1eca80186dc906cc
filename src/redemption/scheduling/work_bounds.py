"""How much work of each kind a process takes on at a time: all these numbers, and the reasons for them.

The rule for all of them: whatever would wait longer than its answer is of use is refused at once, before anything was
done, with RESOURCE_EXHAUSTED (reason OVERLOADED) and the time after which another try is worthwhile. How long a call
may wait for its work to begin is a bound of the transport (``rpc/transport/work_queue.py``); these are the bounds of
what comes after it.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkBounds:
    """The bounds that can be set, each by REDEMPTION_WORK__<NAME>; more than that is refused with OVERLOADED.

    Attributes:
        orders_waiting_max: Orders and claims that wait for the ledger; so many come while it stands still for a second.
        quotes_max: Quotes that are worked on, those included that wait for a slot or for the ledger.
        streams_max: Streams of Mint at once. One connection may have 16 of them.
        large_waiting_max: Large orders, large batches, and batches to be parsed, that wait for a slot: so many of each.
            They hold places among all calls meanwhile.
    """

    orders_waiting_max: int = 8_192
    quotes_max: int = 64
    streams_max: int = 64
    large_waiting_max: int = 256


class SlotRule(NamedTuple):
    """How one kind of long work is done, see ``FairSlots``.

    Attributes:
        at_once: So many pieces of it at a time.
        rest: While others are busy, so many times the time of its steps is left to them.
    """

    at_once: int
    rest: int


QUOTES: Final = SlotRule(at_once=4, rest=4)
"""A step each: a small quote need not wait until a large one is done."""
LARGE_ORDERS: Final = SlotRule(at_once=2, rest=4)
"""One is worked on while the other waits for the ledger. Apart from batches: a checkout must not wait behind them."""
LARGE_BATCHES: Final = SlotRule(at_once=2, rest=4)
BATCH_PARSING: Final = SlotRule(at_once=1, rest=4)
DEFINITIONS: Final = SlotRule(at_once=2, rest=1)
"""A large definition takes milliseconds to read or to write, and a page of them hundreds."""
MINTING: Final = SlotRule(at_once=1, rest=8)
"""The rest is also for sending the coupons that were made; other requests get their slot after each chunk."""
REJUDGING: Final = SlotRule(at_once=8, rest=0)
"""Groups of orders that are judged again. If all were judged at once, that would take so long that a campaign which is
edited all the time has changed again before the last order is judged."""

LARGE_ORDER_POSITIONS: Final = 200
"""An order with so many positions (lines and fees, for each token) waits for a slot: it is 0.6 ms of work."""
LARGE_BATCH_POSITIONS: Final = 1_000
"""A batch with so many does."""
DEFINITIONS_WAITING_MAX: Final = 64
"""Requests to read or to write definitions that may wait for a slot."""
LEDGER_CALLS_AT_ONCE: Final = 32
"""Questions to the ledger off the commit path. Fewer than the client may have connections: the health check has its own
connection beside them."""
LEDGER_CALL_WAIT_SECONDS_MAX: Final = 2.0
"""How long such a question waits for its place; a healthy ledger answers thousands in that time."""
STREAMS_PER_PEER_MAX: Final = 16
"""Streams of one connection: none can have all the places."""
WATCHERS_MAX: Final = 1_000
"""Watches of health at once."""
WATCHERS_PER_PEER_MAX: Final = 16
"""Of one connection."""
