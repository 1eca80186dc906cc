"""The bytes between the server and the ledger's functions, as ``lua/redeem.lua`` and ``lua/records.lua`` describe."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from redemption.domain.ports import (
    AnsweredToken,
    Approved,
    EarlierUse,
    Failed,
    Mismatch,
    Outdated,
    RedeemItem,
    RedeemReply,
    Refused,
    RefusedToken,
    Remembered,
    RememberedByCoupons,
)

_ITEM = struct.Struct(">10s8s6sB8sQQB")
_TOKEN = struct.Struct(">IIQHQH")
_HEAD = struct.Struct(">QQ16s")
_REFUSED_TOKEN = struct.Struct(">HIHQ")
_USE = struct.Struct(">IHQ")
_KEY_ID = struct.Struct(">I")
_COUPON_TIME = struct.Struct(">I")
_COUPON_DISCOUNT_AT = 1 + 4 + 10 + 6 + 8
_NO_CUSTOMER = bytes(8)


@dataclass(frozen=True, slots=True)
class Head:
    """The head of every reply.

    Attributes:
        seq: Raised by every call that writes.
        clock_ms: The ledger's clock, Unix milliseconds.
        epoch: The identity of this ledger.
    """

    seq: int
    clock_ms: int
    epoch: str


def unpack_head(packed: bytes) -> Head:
    """Read the head of a reply."""
    seq, clock_ms, epoch = _HEAD.unpack(packed)
    return Head(seq, clock_ms, epoch.decode())


def pack_item(item: RedeemItem) -> bytes:
    """Write one order as ``redeem`` reads it."""
    head = _ITEM.pack(
        item.request,
        item.content,
        item.order,
        item.customer is not None,
        item.customer or _NO_CUSTOMER,
        item.since_ms,
        item.until_ms,
        len(item.tokens),
    )
    tokens = [
        _TOKEN.pack(token.campaign, token.version, token.serial, token.outcome, token.discount_minor, token.day)
        for token in item.tokens
    ]
    return b"".join((head, *tokens, pack_answer(item.answer)))


def unpack_reply(reply: bytes, item: RedeemItem, head: Head) -> RedeemReply:
    """Read the ledger's answer to one order."""
    kind, count = reply[:1], len(item.tokens)
    if kind == b"A":
        decided_at = int.from_bytes(reply[1:5])
        return Approved(decided_at, struct.unpack_from(f">{count}H", reply, 5))
    if kind == b"N":
        refused = [RefusedToken(rank, EarlierUse(*use)) for rank, *use in _REFUSED_TOKEN.iter_unpack(reply[1:])]
        return Refused(tuple(refused), head.clock_ms // 1000)
    if kind == b"P":
        return _unpack_remembered(reply[1], reply, 2)
    if kind == b"U":
        return RememberedByCoupons(tuple(EarlierUse(*use) for use in _USE.iter_unpack(reply[1:])))
    if kind == b"M":
        return Mismatch(head.clock_ms // 1000)
    if kind in b"SC":
        return Outdated(head.clock_ms)
    return Failed(reply[1:].decode(errors="replace"))


def unpack_request(record: bytes) -> Remembered:
    """Read a remembered request."""
    return _unpack_remembered(record[0], record, 9)


def _unpack_remembered(form: int, packed: bytes, start: int) -> Remembered:
    decided_at = int.from_bytes(packed[start : start + 4])
    start += 4
    if form == 1:
        answer = unpack_answer(packed, start)
        return Remembered(decided_at, (0,) * len(answer), answer)
    count = packed[start]
    generations = struct.unpack_from(f">{count}H", packed, start + 1)
    return Remembered(decided_at, generations, unpack_answer(packed, start + 1 + 2 * count))


def unpack_coupon(record: bytes) -> EarlierUse:
    """Read the record of a used coupon."""
    form = record[0] >> 4
    discount_end = _COUPON_DISCOUNT_AT + (3 if form in (1, 3) else 8)
    (redeemed_at,) = _COUPON_TIME.unpack_from(record, 1)
    discount = int.from_bytes(record[_COUPON_DISCOUNT_AT:discount_end])
    return EarlierUse(redeemed_at, int.from_bytes(record[discount_end:]), discount)


def pack_answer(tokens: Sequence[AnsweredToken]) -> bytes:
    """Write what an approval says, briefly: it is kept for every request.

    Layout, in base-128 numbers, least significant first: tokens; for each: campaign, key id (4 bytes), serial,
    discount, parts; for each part: its line index, and, but for the last one, which is what remains, its amount.
    """
    out = bytearray((len(tokens),))
    for token in tokens:
        _append(out, token.campaign)
        out += _KEY_ID.pack(token.key_id)
        _append(out, token.serial)
        _append(out, token.discount_minor)
        _append(out, len(token.parts))
        for line, amount in token.parts[:-1]:
            _append(out, line)
            _append(out, amount)
        if token.parts:
            _append(out, token.parts[-1][0])
    return bytes(out)


def unpack_answer(packed: bytes, position: int) -> tuple[AnsweredToken, ...]:
    """Read what ``pack_answer`` wrote, from a position on."""
    count, position = packed[position], position + 1
    tokens = []
    for _ in range(count):
        campaign, position = _number(packed, position)
        key_id = _KEY_ID.unpack_from(packed, position)[0]
        serial, position = _number(packed, position + 4)
        discount, position = _number(packed, position)
        parts_count, position = _number(packed, position)
        parts = []
        left = discount
        for index in range(parts_count):
            line, position = _number(packed, position)
            amount = left
            if index < parts_count - 1:
                amount, position = _number(packed, position)
            left -= amount
            parts.append((line, amount))
        tokens.append(AnsweredToken(campaign, key_id, serial, discount, tuple(parts)))
    return tuple(tokens)


def _append(out: bytearray, number: int) -> None:
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _number(packed: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = packed[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a number has no high bit
            return number, position
        shift += 7
