"""The bytes of reversals and of their replies, as ``lua/reverse.lua`` describes them."""

import struct
from collections.abc import Iterable

from redemption.domain.ports.orders import Failed, Mismatch, Outdated
from redemption.domain.ports.reversals import (
    NAME_BYTES,
    NO_SETTLEMENT,
    NOTHING_RETURNED,
    GivenBack,
    NothingLeft,
    NotRedeemed,
    OtherDiscount,
    Returned,
    ReturnedSince,
    ReturnPart,
    ReverseItem,
    ReverseReply,
    WindowClosed,
)
from redemption.ledger.wire.orders import PRINCIPAL_BYTES_MAX, Head

_ITEM = struct.Struct(">cB10s8s6sIIQHIQQBHQQQ")
_OPERATION = b"V"
"""The byte that marks an item as a reversal, see ``lua/batch.lua``."""
_RESTORES, _CLOSED = 1, 2
_ANY = 0xFFFF
_LENGTH = struct.Struct(">I")
_LINE = struct.Struct(f">{NAME_BYTES}sQ")
_PART = struct.Struct(">HQQ")
_ANSWER = struct.Struct(">?QQ")
_RETURNED = struct.Struct(">BHQQ")
_FORMAT = 1
_AMOUNT = struct.Struct(">Q")


def pack_reversal(item: ReverseItem) -> bytes:
    """Pack a reversal as ``lua/reverse.lua`` reads it."""
    identity, plan = item.identity, item.plan
    after = plan.after if plan else NOTHING_RETURNED
    head = _ITEM.pack(
        _OPERATION,
        0,
        identity.request,
        identity.content,
        item.order,
        item.campaign,
        item.version,
        item.serial,
        item.generation,
        item.redeemed_at,
        item.since_ms,
        item.until_ms,
        _CLOSED if item.is_closed else _RESTORES * item.restores,
        after.count - 1 if plan else _ANY,
        plan.settled_minor if plan else 0,
        after.discount_minor,
        after.merchant_minor,
    )
    lines = after.settlement + b"".join(_LINE.pack(*line) for line in after.lines.items()) if plan else b""
    parts = b"".join(_PART.pack(*part) for part in (plan.parts if plan else ()))
    principal = identity.principal.encode()[:PRINCIPAL_BYTES_MAX]
    return b"".join((head, _LENGTH.pack(len(lines)), lines, _LENGTH.pack(len(parts)), parts, principal))


def unpack_reversal(reply: bytes, head: Head) -> ReverseReply:
    """Unpack the ledger's reply to one reversal."""
    kind, rest = reply[:1], reply[1:]
    if kind in (b"A", b"P"):
        restored, discount_minor, total_minor = _ANSWER.unpack_from(rest)
        parts = _parts(_PART.iter_unpack(rest[_ANSWER.size :]))
        return GivenBack(restored, discount_minor, total_minor, parts)
    if kind == b"D":
        return OtherDiscount(*_AMOUNT.unpack(rest))
    if kind == b"X":
        return NothingLeft(*_AMOUNT.unpack(rest))
    if kind == b"O":
        return ReturnedSince(_unpack_returned(rest) if rest else NOTHING_RETURNED)
    if kind == b"M":
        return Mismatch(head.clock_ms // 1000)
    if kind in (b"S", b"C"):
        return Outdated(head.clock_ms)
    if kind == b"N":
        return NotRedeemed()
    return WindowClosed() if kind == b"W" else Failed(rest.decode(errors="replace"))


def _parts(unpacked: Iterable[tuple[int, ...]]) -> tuple[ReturnPart, ...]:
    return tuple(ReturnPart(*numbers) for numbers in unpacked)


def _unpack_returned(record: bytes) -> Returned:
    form, count, discount_minor, merchant_minor = _RETURNED.unpack_from(record)
    if form != _FORMAT:
        raise ValueError(f"what was given back, in unknown form {form}")
    lines_at = _RETURNED.size + NAME_BYTES
    settlement = record[_RETURNED.size : lines_at] or NO_SETTLEMENT  # nothing of it is there yet
    lines = dict(_LINE.iter_unpack(record[lines_at:]))
    return Returned(count, discount_minor, merchant_minor, lines, settlement)
