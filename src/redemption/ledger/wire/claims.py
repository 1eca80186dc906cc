"""The bytes of claims and of their replies, as ``lua/{claim,codes}.lua`` describe them."""

import struct
from dataclasses import replace

import structlog

from redemption.domain.ports.issuing import ClaimedCoupon, ClaimItem, ClaimRefused, ClaimReply, CodeFound
from redemption.domain.ports.orders import Exceeded, Failed, Mismatch, Outdated
from redemption.ledger.wire.orders import Head, pack_principal, split_exceeded

_CLAIM = struct.Struct(">c10s8sIIHQHIIIHQQIB8sB8sB10s")
_COUPON = struct.Struct(">IHQIII")
_CLAIMED = struct.Struct(">IIHQIII")
_REFUSED = struct.Struct(">H?")
_OPERATION = b"C"
"""The byte that marks an item as a claim, see ``lua/batch.lua``."""
_NOBODY = bytes(8)
_NO_CODE = bytes(10)
_log = structlog.get_logger(__name__)


def pack_claim(item: ClaimItem) -> bytes | None:
    """Pack a claim as ``lua/claim.lua`` reads it; returns None when a number does not fit the format."""
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
            item.rules_version,
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
    return packed + pack_principal(item.identity.principal) + item.checks


def unpack_claim(reply: bytes, head: Head) -> tuple[ClaimReply, tuple[Exceeded, ...]]:
    """Unpack the ledger's reply to one claim, as ``lua/claim.lua`` writes it, and the rules that the claim exceeds."""
    exceeded: tuple[Exceeded, ...] = ()
    if reply[:1] == b"V":
        exceeded, reply = split_exceeded(reply)
    return _unpack(reply, head), exceeded


def _unpack(reply: bytes, head: Head) -> ClaimReply:
    kind, rest = reply[:1], reply[1:]
    if kind in (b"A", b"P"):
        coupon = ClaimedCoupon(*_CLAIMED.unpack(rest))
        return coupon if kind == b"A" else replace(coupon, remembered=True)
    if kind == b"N":
        return ClaimRefused(*_REFUSED.unpack(rest))
    if kind == b"L":
        return CodeFound(*_COUPON.unpack(rest))
    if kind == b"M":
        return Mismatch(head.clock_ms // 1000)
    if kind in (b"S", b"C"):
        return Outdated(head.clock_ms)
    return Failed(rest.decode(errors="replace"))
