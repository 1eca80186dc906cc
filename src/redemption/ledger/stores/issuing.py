"""Issuing: blocks of serials, exchange codes, and claims. Claims are sent in the same calls as orders."""

import asyncio
import struct
from typing import Any

import structlog

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import DeadlinePassed, LimitReached, RequestIdReused, WrongState
from redemption.domain.ports.issuing import (
    Block,
    BlockWanted,
    ClaimItem,
    ClaimReply,
    StoredCodes,
)
from redemption.domain.ports.orders import Exceeded, Failed, Outdated
from redemption.domain.request_identity import RequestIdentity
from redemption.ledger.commit.item_queue import ItemQueue
from redemption.ledger.commit.queue import weight_of
from redemption.ledger.functions import FunctionClient
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.reply_errors import no_ledger
from redemption.ledger.wire.claims import pack_claim, unpack_claim
from redemption.ledger.wire.orders import Head

CODES_AT_ONCE = 100
"""Codes in one call; such a call blocks the ledger for about 2 ms, and orders wait for it."""
_TOKENS = 1
"""A claim counts like an order of one token."""
_log = structlog.get_logger(__name__)


class IssuingStore:
    """Implements ``domain.ports.issuing.IssuingLedger``."""

    def __init__(self, functions: FunctionClient, *, queue: ItemQueue, fence: Fence) -> None:
        """Build it.

        Args:
            functions: The ledger.
            queue: Sends claims to the ledger, together with orders.
            fence: The last known state of each program's ledger.
        """
        self._functions = functions
        self._queue = queue
        self._fence = fence

    async def issued_before(self, program: str, identity: RequestIdentity) -> Block | None:
        """Return the block that the same request got before, or None."""
        if not await self._functions.begun(program):
            return None
        _, reply = await self._functions.write("issue", program, "", 0, 0, 0, identity.request, identity.content)
        return None if _word(reply) == b"none" else _block(reply)

    async def issue(self, wanted: BlockWanted) -> Block | Outdated:
        """Take a block of serials; it is durable when this returns."""
        head, reply = await self._functions.write(
            "issue",
            wanted.program,
            wanted.identity.principal,
            wanted.campaign,
            wanted.version,
            wanted.count,
            wanted.identity.request,
            wanted.identity.content,
            wanted.not_before,
            wanted.expires_at,
            wanted.key_id,
            wanted.offer_index,
            wanted.offer_quota or 0,
            wanted.day,
            wanted.since_ms,
            wanted.until_ms,
        )
        word = _word(reply)
        if word in (b"stale", b"recheck"):
            return Outdated(head.clock_ms)
        if word == b"limit":
            of = {
                b"issued": f"campaign {wanted.campaign} can issue {int(reply[2])} more",
                b"offer": f"offer {wanted.offer_index} of campaign {wanted.campaign} can issue {int(reply[2])} more",
                b"day": f"campaign {wanted.campaign} can issue {int(reply[2])} more today",
            }
            raise LimitReached(f"count: {of[reply[1]]}, not {wanted.count}")
        return _block(reply)

    async def store_codes(self, program: str, codes: StoredCodes) -> int | None:
        """Store exchange codes; they are durable when this returns.

        Returns:
            None; or the serial whose code belongs to another coupon already.
        """
        about = (codes.campaign, codes.offer_index, codes.key_id, codes.not_before, codes.expires_at)
        for start in range(0, len(codes.digests), CODES_AT_ONCE):
            digests = b"".join(codes.digests[start : start + CODES_AT_ONCE])
            _, reply = await self._functions.write("codes", program, *about, codes.first + start, digests)
            word = _word(reply)
            if word == b"archived":
                raise WrongState(f"campaign {codes.campaign} is archived; no code is stored of it any more")
            if word == b"taken":
                return int(reply[1])
        return None

    async def claim(
        self, caller: CallInfo, program: str, item: ClaimItem, *, rejudged: bool
    ) -> tuple[ClaimReply, tuple[Exceeded, ...]]:
        """Decide a claim, see ``IssuingLedger``."""
        payload = pack_claim(item)
        if payload is None:
            reply: ClaimReply = Failed("cannot be packed")
            exceeded: tuple[Exceeded, ...] = ()
        else:
            if self._fence.mark(program) is None:
                await self._require_begun(program, caller.deadline)
            weight = weight_of(_TOKENS, item.checks)
            outcome, head = await self._queue.ask(program, caller, payload, weight=weight, rejudged=rejudged)
            reply, exceeded = _read(outcome, head)
        if isinstance(reply, Failed):
            _log.error("a claim could not be decided", program=program, cause=reply.cause)
        return reply, exceeded

    async def _require_begun(self, program: str, deadline: float) -> None:
        """Check that the program has a ledger, so that the batcher gets no program names that callers invent.

        Raises:
            LedgerNotTrusted: The program has no ledger.
            DeadlinePassed: The ledger did not answer in time.
        """
        try:
            async with asyncio.timeout_at(deadline):
                begun = await self._functions.begun(program)
        except TimeoutError as error:
            raise DeadlinePassed("the deadline passed before the ledger could be asked; nothing was done") from error
        if not begun:
            raise no_ledger()


def _word(reply: list[Any]) -> bytes:
    """Return the first word of a reply.

    Raises:
        RequestIdReused: The request id stands for another request.
    """
    word: bytes = reply[0]
    if word == b"mismatch":
        raise RequestIdReused("request_id: stands for another request already; use a new one")
    return word


def _block(reply: list[Any]) -> Block:
    first, not_before, expires_at, key_id = reply
    return Block(int(first), int(not_before), int(expires_at), int(key_id))


def _read(outcome: bytes, head: Head) -> tuple[ClaimReply, tuple[Exceeded, ...]]:
    """Unpack the reply to a claim."""
    try:
        return unpack_claim(outcome, head)
    except (ValueError, IndexError, struct.error) as error:
        return Failed(repr(error)), ()
