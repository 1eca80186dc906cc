"""The bytes between the server and the ledger's functions, as ``lua/{redeem,look,records}.lua`` describe them."""

import struct
from collections.abc import Sequence

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
    Seen,
    SeenCampaign,
    SeenCoupon,
)
from redemption.domain.record import record

_ITEM = struct.Struct(">10s8s6sB8sQQB")
_TOKEN = struct.Struct(">IIQHQQHIQB")
_HEAD = struct.Struct(">QQ16s")
_REFUSED_TOKEN = struct.Struct(">HIHQ")
_USE = struct.Struct(">IHQ")
_KEY_ID = struct.Struct(">I")
_ASKED_COUPON = struct.Struct(">IIQB")
_SEEN_COUPON = struct.Struct(">BIHQ6s")
_SEEN_CAMPAIGN = struct.Struct(">IQQHQQIQHHH")
_ISSUED, _REVOKED, _IN_USE = 1, 2, 4
_MERCHANT_SHARES = 0x80
"""Marks, in the number of an answer's tokens, that each of them tells the merchants' part; no order has so many."""
_NO_CUSTOMER = bytes(8)
_REDEEM = b"R"
"""The operation of an item, see ``lua/batch.lua``."""


@record(frozen=True, slots=True)
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
    """Write one order as ``batch`` reads it."""
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
        _TOKEN.pack(
            token.campaign,
            token.version,
            token.serial,
            token.outcome,
            token.discount_minor,
            token.merchant_minor,
            token.day,
            token.slot,
            token.slot_limit,
            token.holder_bound | token.slot_carries << 1,
        )
        for token in item.tokens
    ]
    return b"".join((_REDEEM, head, *tokens, pack_answer(item.answer)))


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


def pack_asked(coupons: Sequence[tuple[int, int, int, bool]]) -> bytes:
    """Write the coupons that a look asks about: campaign, version, serial, bound to the customer."""
    return b"".join(_ASKED_COUPON.pack(*coupon) for coupon in coupons)


def unpack_seen(now_ms: int, coupons: bytes, campaigns: bytes) -> Seen:
    """Read what a look saw."""
    size = _SEEN_COUPON.size
    return Seen(
        now_ms=now_ms,
        coupons=tuple(unpack_seen_coupon(coupons[start : start + size]) for start in range(0, len(coupons), size)),
        campaigns={number: SeenCampaign(*seen) for number, *seen in _SEEN_CAMPAIGN.iter_unpack(campaigns)},
    )


def unpack_seen_coupon(packed: bytes) -> SeenCoupon:
    """Read what was seen of one coupon."""
    kind, redeemed_at, generation, discount, order = _SEEN_COUPON.unpack(packed)
    in_use = bool(kind & _IN_USE)
    return SeenCoupon(
        issued=bool(kind & _ISSUED),
        revoked=bool(kind & _REVOKED),
        use=EarlierUse(redeemed_at, generation, discount) if in_use else None,
        used_by=order if in_use else b"",
    )


def pack_answer(tokens: Sequence[AnsweredToken]) -> bytes:
    """Write what an approval says, briefly: it is kept for every request.

    Layout, in base-128 numbers, least significant first: tokens (one byte, see ``_MERCHANT_SHARES``); for each:
    campaign, key id (4 bytes), serial, discount, the merchants' basis points if any token has some, parts; for each
    part: its position, and, but for the last one, which is what remains, its amount.
    """
    shared = any(token.merchant_basis_points for token in tokens)
    out = bytearray((len(tokens) | _MERCHANT_SHARES if shared else len(tokens),))
    for token in tokens:
        _append(out, token.campaign)
        out += _KEY_ID.pack(token.key_id)
        _append(out, token.serial)
        _append(out, token.discount_minor)
        if shared:
            _append(out, token.merchant_basis_points)
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
    shared, count = bool(count & _MERCHANT_SHARES), count & ~_MERCHANT_SHARES
    tokens = []
    for _ in range(count):
        campaign, position = _number(packed, position)
        key_id = _KEY_ID.unpack_from(packed, position)[0]
        serial, position = _number(packed, position + 4)
        discount, position = _number(packed, position)
        merchant_basis_points = 0
        if shared:
            merchant_basis_points, position = _number(packed, position)
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
        tokens.append(AnsweredToken(campaign, key_id, serial, discount, merchant_basis_points, tuple(parts)))
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
