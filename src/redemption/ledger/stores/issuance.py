"""Issuing as the service sees it: blocks of serials, exchange codes, and claims, which travel with the redeems."""

import asyncio
import struct
from typing import Any, Protocol

import structlog

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import LimitReached, RequestIdReused, ServiceError, WrongState
from redemption.domain.ports.issuing import (
    Block,
    BlockWanted,
    ClaimedCoupon,
    ClaimItem,
    ClaimRefused,
    ClaimReply,
    CodeFound,
    StoredCodes,
)
from redemption.domain.ports.orders import Failed, Mismatch, Outdated
from redemption.domain.request_identity import RequestIdentity
from redemption.ledger.commit.queue import QueuedItem
from redemption.ledger.functions import FunctionClient
from redemption.ledger.wire.orders import Head, pack_principal, unpack_head

_CLAIM = struct.Struct(">c10s8sIIHQHIIIHQQB8sB8sB10s")
_COUPON = struct.Struct(">IHQIII")
_CLAIMED = struct.Struct(">IIHQIII")
_REFUSED = struct.Struct(">H?")
CODES_AT_ONCE = 100
"""In one call, which holds the ledger up for about 2 ms: orders wait behind it."""
_OPERATION = b"C"
"""The operation of an item, see ``lua/batch.lua``."""
_NOBODY = bytes(8)
_NO_CODE = bytes(10)
_WEIGHT = 1
_log = structlog.get_logger(__name__)


class Carry(Protocol):
    """How to have the batcher carry a claim to the ledger, see ``RedisLedger``."""

    async def __call__(self, program: str, order: QueuedItem, *, again: bool) -> None: ...  # noqa: D102


class RedisIssuance:
    """The part of the ledger that issues coupons, see ``domain.issuing.Issuance``."""

    def __init__(self, functions: FunctionClient, *, carry: Carry, outbox_max: int) -> None:
        """Build it.

        Args:
            functions: The ledger.
            carry: Has the batcher carry claims to the ledger.
            outbox_max: About how many entries the event stream keeps.
        """
        self._functions = functions
        self._carry = carry
        self._outbox_max = outbox_max

    async def issued_before(self, program: str, identity: RequestIdentity) -> Block | None:
        """Return the block that a request got before, if it did."""
        if not await self._functions.begun(program):
            return None
        _, reply = await self._write("issue", program, "", 0, 0, 0, identity.request, identity.content)
        return None if _word(reply) == b"none" else _block(reply)

    async def issue(self, wanted: BlockWanted) -> Block | Outdated:
        """Take a block of serials, durably."""
        head, reply = await self._write(
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
        """Store exchange codes, durably; returns the serial whose code stands for another coupon already, or None."""
        about = (codes.campaign, codes.offer_index, codes.key_id, codes.not_before, codes.expires_at)
        for start in range(0, len(codes.digests), CODES_AT_ONCE):
            digests = b"".join(codes.digests[start : start + CODES_AT_ONCE])
            _, reply = await self._write("codes", program, *about, codes.first + start, digests)
            word = _word(reply)
            if word == b"archived":
                raise WrongState(f"campaign {codes.campaign} is archived; no code is stored of it any more")
            if word == b"taken":
                return int(reply[1])
        return None

    async def claim(self, caller: CallInfo, program: str, item: ClaimItem, *, again: bool) -> ClaimReply:
        """Decide a claim, see ``domain.issuing.Issuance``."""
        payload = _packed(item)
        if payload is None:
            reply: ClaimReply = Failed("cannot be packed")
        else:
            decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            claim = QueuedItem(payload, _WEIGHT, caller, decided, _report)
            await self._carry(program, claim, again=again)
            await decided
            reply = _read(claim.outcome, claim.head)
        if isinstance(reply, Failed):
            _log.error("a claim could not be decided", program=program, cause=reply.cause)
        return reply

    async def _write(self, function: str, program: str, *args: bytes | int | str) -> tuple[Head, list[Any]]:
        """Call a function that writes; returns the head of its reply, and the rest."""
        head, *rest = await self._functions.call(function, program, self._outbox_max, *args)
        self._functions.observe(program, head)
        return unpack_head(head), rest


def _word(reply: list[Any]) -> bytes:
    """Return the first word of a reply.

    Raises:
        RequestIdReused: It says so.
    """
    word: bytes = reply[0]
    if word == b"mismatch":
        raise RequestIdReused("request_id: stands for another request already; use a new one")
    return word


def _block(reply: list[Any]) -> Block:
    first, not_before, expires_at, key_id = reply
    return Block(int(first), int(not_before), int(expires_at), int(key_id))


def _packed(item: ClaimItem) -> bytes | None:
    """Return a claim as ``lua/claim.lua`` reads it; None when a number does not fit the format."""
    try:
        packed = _CLAIM.pack(
            _OPERATION,
            item.identity.request,
            item.identity.content,
            item.campaign,
            item.version,
            item.offer_index,
            item.offer_quota or 0,
            item.outcome,
            item.not_before,
            item.expires_at,
            item.key_id,
            item.day,
            item.since_ms,
            item.until_ms,
            item.customer is not None,
            item.customer or _NOBODY,
            item.person is not None,
            item.person or _NOBODY,
            item.code is not None,
            item.code or _NO_CODE,
        )
    except struct.error:
        _log.exception("a claim cannot be packed")
        return None
    return packed + pack_principal(item.identity.principal)


def _report(claim: QueuedItem) -> None:
    decided: asyncio.Future[None] = claim.about
    if not decided.done():
        decided.set_result(None)


def _read(outcome: bytes | ServiceError | None, head: Head) -> ClaimReply:
    """Return what became of a claim, or raise why there is no answer."""
    if isinstance(outcome, ServiceError):
        raise outcome
    assert outcome is not None, "it was told"
    try:
        return _unpack(outcome, head)
    except (ValueError, IndexError, struct.error) as error:
        return Failed(repr(error))


def _unpack(reply: bytes, head: Head) -> ClaimReply:
    """Read the ledger's answer to one claim, as ``lua/claim.lua`` writes it."""
    kind, rest = reply[:1], reply[1:]
    if kind in (b"A", b"P"):
        return ClaimedCoupon(*_CLAIMED.unpack(rest))
    if kind == b"N":
        return ClaimRefused(*_REFUSED.unpack(rest))
    if kind == b"L":
        return CodeFound(*_COUPON.unpack(rest))
    if kind == b"M":
        return Mismatch(head.clock_ms // 1000)
    if kind in (b"S", b"C"):
        return Outdated(head.clock_ms)
    return Failed(rest.decode(errors="replace"))
