"""The bytes of orders, quote snapshots and replies.

They are described in ``lua/{orders,release,limits,quote_snapshot,records}.lua``.
"""

import struct
from collections.abc import Sequence

from redemption.domain.ports.orders import (
    AnsweredToken,
    Approved,
    CampaignSnapshot,
    ConfirmItem,
    CouponRecord,
    CouponSnapshot,
    EarlierUse,
    Exceeded,
    Failed,
    Held,
    Mismatch,
    Outdated,
    QuoteSnapshot,
    RedeemItem,
    RedeemReply,
    Refused,
    RefusedToken,
    Released,
    ReleaseItem,
    ReleaseReply,
    Remembered,
    RememberedByCoupons,
)
from redemption.domain.record import record

_ITEM = struct.Struct(">cBBBQQI")
_TOKEN = struct.Struct(">10s6s8sBHHIIQHQQQHIQB")
_HEAD = struct.Struct(">QQ16s")
_REFUSED_TOKEN = struct.Struct(">HIHQ")
_USE = struct.Struct(">IHQ")
_KEY_ID = struct.Struct(">I")
_ASKED_COUPON = struct.Struct(">IIQB")
_COUPON_SNAPSHOT = struct.Struct(">BIHQ6s")
_CAMPAIGN_SNAPSHOT = struct.Struct(">IQQHQQIQHHHQQIHI")
_ISSUED, _REVOKED, _IN_USE, _HELD, _GIVEN_BACK = 1, 2, 4, 8, 16
_RETURNS = struct.Struct(">HQ")
_CONTENT_BYTES = 8
_ORDER_BYTES = 6
"""What is remembered of a reservation begins with the digest of its order."""
_APPROVED_FORM, _GIVEN_BACK_FORM, _HELD_FORM, _HELD_GIVEN_BACK_FORM, _APPROVED_FORM_BEFORE = 4, 5, 6, 7, 1
_FORMS = (1, 2, 4, 5, 6, 7)
"""The forms of remembered approvals; 1 and 2 were written when the ledger had format 2."""
_HELD_FORMS = (_HELD_FORM, _HELD_GIVEN_BACK_FORM)
_PLAIN_FORMS = (_APPROVED_FORM, _HELD_FORM, _APPROVED_FORM_BEFORE)
"""Forms without generations: all are 0."""
_APPROVED_BYTES = 5
"""Length of an approval's reply when no coupon of the order was ever given back."""
_MERCHANT_SHARES = 0x80
"""A bit in the count of tokens: each token also has the merchants' part. No order has 128 tokens."""
_NO_CUSTOMER = bytes(8)
_EXCEEDED = struct.Struct(">BQ")
PRINCIPAL_BYTES_MAX = 255
_REDEEM, _RESERVE, _CONFIRM, _RELEASE = b"R", b"H", b"K", b"L"
"""The bytes that mark the operation of an item, see ``lua/batch.lua``."""
_HOLD = struct.Struct(">6sI")
_CONFIRMATION = struct.Struct(">6sIB")
_RELEASE_ITEM = struct.Struct(">cB10s8s6s6sIIQH")
_RELEASED = {b"A": Released.NOW, b"H": Released.NOTHING_HELD, b"U": Released.USED, b"M": Released.MISMATCH}
_NARROW_MAX = 2**24 - 1
"""The largest discount that takes three bytes in the coupon's record, see ``lua/records.lua``."""


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


NO_HEAD = Head(0, 0, "")


def unpack_head(packed: bytes) -> Head:
    """Unpack the head of a reply."""
    seq, clock_ms, epoch = _HEAD.unpack(packed)
    return Head(seq, clock_ms, epoch.decode())


def pack_item(item: RedeemItem) -> bytes:
    """Pack one order as ``batch`` reads it."""
    request, order, customer = item.request, item.order, item.customer or _NO_CUSTOMER
    principal = item.caller.principal.encode()[:PRINCIPAL_BYTES_MAX]
    has_customer = item.customer is not None
    operation, asked = _asked(item) if item.terms else (_REDEEM, b"")
    head = _ITEM.pack(
        operation, len(item.tokens), has_customer, len(principal), item.since_ms, item.until_ms, item.rules_version
    )
    parts = [head]
    for token in item.tokens:
        discount = token.discount_minor
        narrow = discount if discount <= _NARROW_MAX else 0
        parts.append(
            _TOKEN.pack(
                request,
                order,
                customer,
                narrow >> 16,
                narrow & 0xFFFF,
                token.day,
                token.campaign,
                token.version,
                token.serial,
                token.outcome,
                discount,
                token.merchant_minor,
                token.order_value_minor,
                token.offer_index,
                token.slot,
                token.slot_limit,
                token.holder_bound | token.slot_carries << 1,
            )
        )
    parts += (principal, item.checks, item.content, asked, pack_answer(item.tokens))
    return b"".join(parts)


def _asked(item: RedeemItem) -> tuple[bytes, bytes]:
    """Return the operation of an item that makes or ends a hold, and what only this operation needs."""
    if isinstance(item, ConfirmItem):
        generations = struct.pack(f">{len(item.generations)}H", *item.generations)
        return _CONFIRM, _CONFIRMATION.pack(item.terms, item.reserved_until, item.reacquires) + generations
    return _RESERVE, _HOLD.pack(item.terms, item.hold_seconds) + item.order


def pack_release(item: ReleaseItem) -> bytes:
    """Pack a release as ``lua/release.lua`` reads it."""
    identity = item.identity
    head = _RELEASE_ITEM.pack(
        _RELEASE,
        0,
        identity.request,
        identity.content,
        item.order,
        item.terms,
        item.reserved_until,
        item.campaign,
        item.serial,
        item.generation,
    )
    return head + identity.principal.encode()[:PRINCIPAL_BYTES_MAX]


def unpack_release(reply: bytes) -> ReleaseReply:
    """Unpack the ledger's reply to one release."""
    return _RELEASED.get(reply[:1]) or Failed(reply[1:].decode(errors="replace"))


def pack_principal(principal: str) -> bytes:
    """Pack the caller's name, which events contain; cut to 255 bytes."""
    text = principal.encode()[:PRINCIPAL_BYTES_MAX]
    return bytes((len(text),)) + text


def split_exceeded(reply: bytes) -> tuple[tuple[Exceeded, ...], bytes]:
    """Split a reply that begins with the rules that its item exceeds (``lua/velocity.lua``) from the reply itself."""
    rest = 2 + reply[1] * _EXCEEDED.size
    return tuple(Exceeded(*one) for one in _EXCEEDED.iter_unpack(reply[2:rest])), reply[rest:]


def unpack_reply(reply: bytes, item: RedeemItem, head: Head) -> RedeemReply:
    """Unpack the ledger's reply to one order; the item gets the rules that it exceeds."""
    kind, count = reply[:1], len(item.tokens)
    if kind == b"V":
        item.exceeded, reply = split_exceeded(reply)
        kind = reply[:1]
    if kind == b"A":
        decided_at = int.from_bytes(reply[1:5])
        if item.hold_seconds:
            held_until, rest = int.from_bytes(reply[5:9]), reply[9:]
            return Held(decided_at, held_until, struct.unpack(f">{count}H", rest) if rest else (0,) * count)
        if len(reply) == _APPROVED_BYTES:
            return Approved(decided_at, (0,) * count)
        return Approved(decided_at, struct.unpack_from(f">{count}H", reply, _APPROVED_BYTES))
    if kind == b"N":
        campaigns_at = 1 + count * _REFUSED_TOKEN.size
        tokens = _REFUSED_TOKEN.iter_unpack(reply[1:campaigns_at])
        refused = [RefusedToken(rank, EarlierUse(*use)) for rank, *use in tokens]
        return Refused(tuple(refused), head.clock_ms // 1000, _unpack_campaigns(reply[campaigns_at:]))
    if kind == b"P":
        return unpack_request(reply[1:])
    if kind == b"U":
        return RememberedByCoupons(tuple(EarlierUse(*use) for use in _USE.iter_unpack(reply[1:])))
    if kind == b"M":
        return Mismatch(head.clock_ms // 1000)
    if kind in (b"S", b"C"):
        return Outdated(head.clock_ms)
    return Failed(reply[1:].decode(errors="replace"))


def unpack_request(record: bytes) -> Remembered:
    """Unpack the record of an approved request, as ``lua/records.lua`` describes it."""
    form = record[0]
    if form not in _FORMS:
        raise ValueError(f"a remembered approval of unknown form {form}")
    time_at = 1 if form >= _APPROVED_FORM else 1 + _CONTENT_BYTES
    decided_at = int.from_bytes(record[time_at : time_at + 4])
    count_at, held_until, order = time_at + 4, 0, 0
    if form in _HELD_FORMS:
        held_until, count_at = int.from_bytes(record[count_at : count_at + 4]), count_at + 4
        order = _ORDER_BYTES
    position = (count_at if form >= _APPROVED_FORM else time_at - _CONTENT_BYTES + 4) + _CONTENT_BYTES
    if form in _PLAIN_FORMS:
        answer = unpack_answer(record, position + order)
        return Remembered(decided_at, (0,) * len(answer), answer, held_until, record[position : position + order])
    count = record[count_at]
    generations = struct.unpack_from(f">{count}H", record, count_at + 1)
    position += 1 + 2 * count
    answer = unpack_answer(record, position + order)
    return Remembered(decided_at, generations, answer, held_until, record[position : position + order])


def pack_asked(coupons: Sequence[tuple[int, int, int, bool]]) -> bytes:
    """Pack the coupons of a quote snapshot: for each campaign, version, serial, and whether a customer holds it."""
    return b"".join(_ASKED_COUPON.pack(*coupon) for coupon in coupons)


def unpack_quote_snapshot(now_ms: int, coupons: bytes, campaigns: bytes) -> QuoteSnapshot:
    """Unpack the reply of ``quote_snapshot``."""
    size = _COUPON_SNAPSHOT.size
    return QuoteSnapshot(
        now_ms=now_ms,
        coupons=tuple(unpack_coupon_snapshot(coupons[start : start + size]) for start in range(0, len(coupons), size)),
        campaigns=_unpack_campaigns(campaigns),
    )


def _unpack_campaigns(packed: bytes) -> dict[int, CampaignSnapshot]:
    """Unpack snapshots of campaigns, as ``lua/limits.lua`` describes them."""
    return {number: CampaignSnapshot(*counted) for number, *counted in _CAMPAIGN_SNAPSHOT.iter_unpack(packed)}


def unpack_coupon_record(packed: bytes) -> CouponRecord:
    """Unpack the reply of ``coupon``."""
    size = _COUPON_SNAPSHOT.size
    kind, redeemed_at, _, discount, order = _COUPON_SNAPSHOT.unpack(packed[:size])
    generation, reversed_minor = _RETURNS.unpack(packed[size:])
    last_use = EarlierUse(redeemed_at, generation - 1, discount) if kind & _GIVEN_BACK else None
    return CouponRecord(unpack_coupon_snapshot(packed[:size]), generation, reversed_minor, last_use, order)


def unpack_coupon_snapshot(packed: bytes) -> CouponSnapshot:
    """Unpack the snapshot of one coupon."""
    kind, moment, generation, discount, order = _COUPON_SNAPSHOT.unpack(packed)
    in_use, is_held = bool(kind & _IN_USE), bool(kind & _HELD)
    return CouponSnapshot(
        issued=bool(kind & _ISSUED),
        revoked=bool(kind & _REVOKED),
        use=EarlierUse(moment, generation, discount) if in_use else None,
        used_by=order if in_use or is_held else b"",
        held_until=moment if is_held else 0,
    )


def pack_answer(tokens: Sequence[AnsweredToken]) -> bytes:
    """Pack the answer of an approval, in few bytes: it is stored for every request.

    Layout: the count of tokens (one byte, see ``_MERCHANT_SHARES``). For each token: campaign, key id (4 bytes),
    serial, discount, the merchants' basis points if any token has some, the count of parts. For each part: its position
    and its amount; the last part has no amount, it is the rest of the discount. Numbers are in base 128, least
    significant digit first, except the count of tokens and the key id.
    """
    shared = False
    for token in tokens:
        shared = shared or token.merchant_basis_points > 0
    out = bytearray((len(tokens) | _MERCHANT_SHARES if shared else len(tokens),))
    for token in tokens:
        _append(out, token.campaign)
        out += _KEY_ID.pack(token.key_id)
        _append(out, token.serial)
        _append(out, token.discount_minor)
        if shared:
            _append(out, token.merchant_basis_points)
        parts = token.parts
        _append(out, len(parts))
        for index, (line, amount) in enumerate(parts, start=1):
            if line < 0x80:  # noqa: PLR2004 - one byte, as almost always
                out.append(line)
            else:
                _append(out, line)
            if index < len(parts):
                _append(out, amount)
    return bytes(out)


def unpack_answer(packed: bytes, position: int) -> tuple[AnsweredToken, ...]:
    """Unpack what ``pack_answer`` packed; it begins at ``position``."""
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
    """Append a number in base 128, least significant digit first."""
    while number > 0x7F:  # noqa: PLR2004 - seven bits in a byte
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
