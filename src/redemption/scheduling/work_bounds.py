"""How much work of each kind a process takes on at a time: all these numbers, and the reasons for them.

Most of them follow one rule: a request that would wait too long for a useful answer is refused at once, before
anything is done, with RESOURCE_EXHAUSTED (reason OVERLOADED) and the time after which to retry. How long an RPC may
wait before its work begins is a bound of the transport (``rpc/transport/work_queue.py``); the bounds here are for the
work after that.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkBounds:
    """The bounds that can be set, each by REDEMPTION_WORK__<NAME>; work above a bound is refused with OVERLOADED.

    Attributes:
        orders_waiting_max: Orders and claims that wait for the ledger; this many arrive while it stops for a second.
        quotes_max: Quotes in progress, including those that wait for a slot or for the ledger.
        streams_max: Streams of Mint at once. One connection may have 16 of them.
        large_waiting_max: Large orders, large batches, and batches to be parsed, that wait for a slot: this many of
            each. While they wait, they count as concurrent calls.
    """

    orders_waiting_max: int = 8_192
    quotes_max: int = 64
    streams_max: int = 64
    large_waiting_max: int = 256


class SlotRule(NamedTuple):
    """How one kind of long work is done, see ``FairSlots``.

    Attributes:
        at_once: The number of pieces of this work at a time.
        rest: While other work is busy, this many times a step's own time is left to it.
    """

    at_once: int
    rest: int


QUOTES: Final = SlotRule(at_once=4, rest=4)
"""Quotes take turns, one step each: a small quote does not wait until a large one is done."""
LARGE_ORDERS: Final = SlotRule(at_once=2, rest=4)
"""One is processed while the other waits for the ledger. Their own slots: a checkout must not wait for batches."""
LARGE_BATCHES: Final = SlotRule(at_once=2, rest=4)
BATCH_PARSING: Final = SlotRule(at_once=1, rest=4)
DEFINITIONS: Final = SlotRule(at_once=2, rest=1)
"""A large definition takes milliseconds to read or to write, and a page of them hundreds. Reading definitions, writing
pages, and writing single campaigns have slots of their own: who lists campaigns must not keep others from pausing one.
"""
LISTS: Final = SlotRule(at_once=1, rest=2)
"""A thousand entries of deny lists take milliseconds to read or to write, and may come in hundreds of requests. Changes
and pages have slots of their own: who lists entries must not keep others from denying a customer."""
ATTEMPTS: Final = SlotRule(at_once=1, rest=1)
"""What eight processes reported of attempts in vain in an hour takes tens of milliseconds to read."""
MINTING: Final = SlotRule(at_once=1, rest=8)
"""The rest also leaves time to send the coupons. The slot is given to other requests after each chunk."""
REJUDGING: Final = SlotRule(at_once=8, rest=0)
"""Groups of orders that are judged again. Judging all of them at once would take so long that a campaign which is
edited all the time would change again before the last order is judged."""

LARGE_ORDER_POSITIONS: Final = 200
"""An order with this many positions (lines and fees, for each token) needs a slot: it is 0.6 ms of work."""
LARGE_SETTLEMENT_BYTES: Final = 64 * 1024
"""A return with a longer settlement needs a slot of large orders: reading it takes more than a millisecond."""
LARGE_BATCH_POSITIONS: Final = 1_000
"""A batch with this many positions needs a slot."""
DEFINITIONS_WAITING_MAX: Final = 64
"""The most requests to read or to write definitions that wait for a slot."""
LISTS_WAITING_MAX: Final = 64
"""The most requests to change or to list entries that wait for a slot, and to change them that wait for their turn."""
LIST_CHANGE_SECONDS: Final = 0.05
"""Changes of one program's lists begin so much apart. After each, every order in flight is judged again, and an order
is judged six times at most: without a pause between changes, it would be given up."""
LEDGER_CALLS_AT_ONCE: Final = 32
"""Function calls of the ledger at once, besides the commit path. The client may have more connections than this, so
that the health check has one of its own."""
LEDGER_CALL_WAIT_SECONDS_MAX: Final = 2.0
"""How long such a function call waits for its place; a healthy ledger replies to thousands in that time."""
STREAMS_PER_PEER_MAX: Final = 16
"""Streams of one connection, so that no connection has all the places."""
WATCHERS_MAX: Final = 1_000
"""Health watches at once."""
WATCHERS_PER_PEER_MAX: Final = 16
"""Health watches of one connection."""
