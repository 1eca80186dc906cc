"""The signed allocation of an approval: the caller keeps it, and presents it to give back part of an order.

So the ledger does not have to store who paid how much for each line of each order. ``docs/token.md`` is the
specification.
"""

import hmac
import struct
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from redemption.domain.decision import Allocation
from redemption.domain.order import MINOR_MAX
from redemption.domain.record import record
from redemption.domain.signed.pae import exact_bytes, pae_part
from redemption.domain.signed.receipt import NO_USE, ReceiptKey, ReceiptKeys, require_use
from redemption.domain.signed.signing import (
    SERIAL_MAX,
    TAG_LENGTH,
    TEXT_LENGTH_MAX,
    U16_MAX,
    U32_MAX,
    SigningError,
    require_range,
    require_text,
)

VERSION: Final = 2
VERSION_WITHOUT_LINE_AMOUNTS: Final = 1
"""Still read: with such a settlement only whole lines can be given back."""
REDEMPTIONS_MAX: Final = 32
ALLOCATIONS_MAX: Final = 1_000

_HEAD: Final = struct.Struct(">BBI")  # version, flags, key id
_REDEMPTION: Final = struct.Struct(">I6s8sHQH")  # campaign, serial, use, generation, discount, allocations
_SHARES: Final = struct.Struct(">QQQ")  # amount, merchant share, the line's amount
_SHARES_OF_VERSION_1: Final = struct.Struct(">QQ")
_SERIAL_LENGTH: Final = 6
_LENGTH_MIN: Final = _HEAD.size + TAG_LENGTH
_ALLOCATION_LENGTH_MAX: Final = 1 + TEXT_LENGTH_MAX + _SHARES.size
_REDEMPTION_LENGTH_MAX: Final = _REDEMPTION.size + ALLOCATIONS_MAX * _ALLOCATION_LENGTH_MAX
LENGTH_MAX: Final = _LENGTH_MIN + 1 + TEXT_LENGTH_MAX + 1 + REDEMPTIONS_MAX * _REDEMPTION_LENGTH_MAX


class SettlementDefect(StrEnum):
    """Why bytes are not a settlement, in the order of the checks: for metrics only."""

    LENGTH = "length"
    """Too short to hold a tag, or longer than the longest settlement."""
    VERSION = "version"
    """A version this release does not know."""
    FLAGS = "flags"
    """A flag is set; there are none."""
    KEY_UNKNOWN = "key_unknown"
    """No such key, or it was destroyed."""
    TAG = "tag"
    """Not signed by its key for this environment and program, or changed since."""
    BODY = "body"
    """Correctly signed, but not the only valid encoding of a possible settlement."""


@record(frozen=True, slots=True, kw_only=True)
class SettledRedemption:
    """One redemption and its discount; the allocations name each line once and sum exactly to the discount.

    Attributes:
        line_amounts: The amount of each of these lines, as the order had it, in the order of the allocations; empty in
            version 1.
    """

    campaign: int
    serial: int
    generation: int
    discount_minor: int
    allocations: tuple[Allocation, ...]
    line_amounts: tuple[int, ...] = ()
    use: bytes = NO_USE

    def __post_init__(self) -> None:
        if not (
            0 <= self.campaign <= U32_MAX
            and 0 <= self.serial <= SERIAL_MAX
            and 0 <= self.generation <= U16_MAX
            and 0 <= self.discount_minor <= MINOR_MAX
            and len(self.allocations) <= ALLOCATIONS_MAX
            and self.use is NO_USE
        ):
            self._refuse()
        allocated = 0
        lines = set()
        for line_id, amount_minor, merchant_minor in self.allocations:
            require_text("line_id", line_id)
            lines.add(line_id)
            allocated += amount_minor
            if not 0 <= merchant_minor <= amount_minor <= MINOR_MAX:
                raise SigningError(
                    f"a line has merchant_minor {merchant_minor} of amount_minor {amount_minor};"
                    f" keep 0 <= merchant_minor <= amount_minor <= {MINOR_MAX}"
                )
        if len(lines) != len(self.allocations):
            raise SigningError("two allocations of one redemption name the same line; add them up")
        if allocated != self.discount_minor:
            raise SigningError(f"the allocations sum to {allocated}, the discount is {self.discount_minor}")
        if self.line_amounts:
            _require_line_amounts(self.allocations, self.line_amounts)

    def _refuse(self) -> None:
        """Raise an error that says which number is out of range, if one is."""
        require_range("campaign", self.campaign, U32_MAX)
        require_range("serial", self.serial, SERIAL_MAX)
        require_range("generation", self.generation, U16_MAX)
        require_range("discount_minor", self.discount_minor, MINOR_MAX)
        require_range("the number of allocations", len(self.allocations), ALLOCATIONS_MAX)
        require_use(self.use)


@record(frozen=True, slots=True, kw_only=True)
class Settlement:
    """All redemptions of one order's approval, signed under ``key_id``.

    Attributes:
        version: 2; or 1, which says no amounts of lines.

    Raises:
        SigningError: A field is out of range.
    """

    key_id: int
    order_id: str
    redemptions: tuple[SettledRedemption, ...]
    version: int = VERSION

    def __post_init__(self) -> None:
        for redemption in self.redemptions:
            has = len(redemption.line_amounts)
            if has != (len(redemption.allocations) if self.version == VERSION else 0):
                raise SigningError(
                    f"{has} line amounts for {len(redemption.allocations)} allocations; version {VERSION} has one for "
                    f"each, version {VERSION_WITHOUT_LINE_AMOUNTS} has none"
                )
        require_range("key_id", self.key_id, U32_MAX)
        require_text("order_id", self.order_id)
        if not 1 <= len(self.redemptions) <= REDEMPTIONS_MAX:
            raise SigningError(f"there are {len(self.redemptions)} redemptions; settle 1 to {REDEMPTIONS_MAX}")


class Settlements:
    """Signs and checks settlements, under the keys of receipts."""

    def __init__(self, keys: ReceiptKeys) -> None:
        self._keys = keys

    def sign(self, settlement: Settlement, *, program: str) -> bytes:
        """Return a settlement of version 2 as bytes, always the same for the same settlement.

        Raises:
            SigningError: The key is unknown or destroyed, the program is not 1 to 128 bytes, or it is of version 1.
        """
        key = self._keys.signing(program, settlement.key_id)
        if settlement.version != VERSION:
            raise SigningError(f"version {settlement.version} is only read; sign version {VERSION}")
        redemptions = [
            settled_bytes(
                each.campaign,
                each.serial,
                each.generation,
                each.discount_minor,
                each.allocations,
                line_amounts=each.line_amounts,
                use=each.use,
            )
            for each in settlement.redemptions
        ]
        return settlement_bytes(key, settlement.order_id, redemptions)

    def verify(self, presented: bytes, *, program: str) -> Settlement | SettlementDefect:
        """Read a settlement. It never raises, whatever the bytes."""
        if not _LENGTH_MIN <= len(presented) <= LENGTH_MAX:
            return SettlementDefect.LENGTH
        version, flags, key_id = _HEAD.unpack_from(presented)
        if version not in (VERSION, VERSION_WITHOUT_LINE_AMOUNTS):
            return SettlementDefect.VERSION
        if flags:
            return SettlementDefect.FLAGS
        key = self._keys.select(program, key_id)
        signed, tag = presented[:-TAG_LENGTH], presented[-TAG_LENGTH:]
        genuine = hmac.compare_digest(_tag(key, signed), tag)
        if not key.known:
            return SettlementDefect.KEY_UNKNOWN
        if not genuine:
            return SettlementDefect.TAG
        self._keys.remember(key)
        try:
            return _decode(signed, version, key_id)
        except ValueError:
            return SettlementDefect.BODY


def _tag(key: ReceiptKey, signed: bytes) -> bytes:
    return key.settlement_mac.digest(pae_part(signed))[:TAG_LENGTH]


def settled_bytes(
    campaign: int,
    serial: int,
    generation: int,
    discount_minor: int,
    allocations: Sequence[Allocation],
    *,
    line_amounts: Sequence[int],
    use: bytes = NO_USE,
) -> bytes:
    """Write one redemption of a settlement.

    Raises:
        SigningError: A number is out of range, or the allocations name a line twice, give a merchant more than the
            line's part, take more off a line than its amount, or do not sum to the discount.
    """
    if not (0 <= serial <= SERIAL_MAX and 0 <= discount_minor <= MINOR_MAX and len(allocations) <= ALLOCATIONS_MAX):
        raise SigningError(
            f"serial {serial}, discount {discount_minor} or {len(allocations)} allocations: one is out of range"
        )
    serial_bytes = serial.to_bytes(_SERIAL_LENGTH)
    pieces = [_REDEMPTION.pack(campaign, serial_bytes, use, generation, discount_minor, len(allocations))]
    allocated = 0
    for (line_id, amount_minor, merchant_minor), line_minor in zip(allocations, line_amounts, strict=True):
        if not merchant_minor <= amount_minor <= line_minor <= MINOR_MAX:
            raise SigningError(
                f"a line of {line_minor} has merchant_minor {merchant_minor} of amount_minor {amount_minor}"
            )
        allocated += amount_minor
        exact = exact_bytes(line_id)
        pieces.append(bytes((len(exact),)) + exact + _SHARES.pack(amount_minor, merchant_minor, line_minor))
    if allocated != discount_minor:
        raise SigningError(f"the allocations sum to {allocated}, the discount is {discount_minor}")
    if len(allocations) > 1 and len({line_id for line_id, _, _ in allocations}) < len(allocations):
        raise SigningError("two allocations of one redemption name the same line; add them up")
    return b"".join(pieces)


def settlement_bytes(key: ReceiptKey, order_id: str, redemptions: Sequence[bytes]) -> bytes:
    """Write a settlement under a key, from redemptions that are already written.

    Raises:
        SigningError: The key is not known, the order's id is not 1 to 128 bytes, or there are none or too many.
    """
    exact = require_text("order_id", order_id)
    if not key.known or not 1 <= len(redemptions) <= REDEMPTIONS_MAX:
        raise SigningError(
            f"nothing is signed under a key that is not known, nor for {len(redemptions)} redemptions; "
            f"settle 1 to {REDEMPTIONS_MAX}"
        )
    head = _HEAD.pack(VERSION, 0, key.place[1]) + bytes((len(exact),)) + exact + bytes((len(redemptions),))
    signed = head + b"".join(redemptions)
    return signed + _tag(key, signed)


def _require_line_amounts(allocations: Sequence[Allocation], line_amounts: Sequence[int]) -> None:
    """Raise an error unless each line has an amount that is at least what was taken off."""
    if len(allocations) != len(line_amounts):
        raise SigningError(f"there are {len(line_amounts)} line amounts for {len(allocations)} allocations")
    for allocation, line_minor in zip(allocations, line_amounts, strict=True):
        if not allocation.amount_minor <= line_minor <= MINOR_MAX:
            raise SigningError(
                f"a line of {line_minor} has amount_minor {allocation.amount_minor};"
                f" keep amount_minor <= the line's amount <= {MINOR_MAX}"
            )


def _decode(signed: bytes, version: int, key_id: int) -> Settlement:
    reader = _Reader(signed, _HEAD.size)
    order_id = reader.text()
    count = reader.take(1)[0]
    if count > REDEMPTIONS_MAX:
        raise ValueError("too many redemptions")
    redemptions = tuple(_redemption(reader, has_line_amounts=version == VERSION) for _ in range(count))
    if reader.left():
        raise ValueError("bytes after the last redemption")
    return Settlement(key_id=key_id, order_id=order_id, redemptions=redemptions, version=version)


def _redemption(reader: "_Reader", *, has_line_amounts: bool) -> SettledRedemption:
    campaign, serial, use, generation, discount_minor, count = _REDEMPTION.unpack(reader.take(_REDEMPTION.size))
    allocations, line_amounts = [], []
    layout = _SHARES if has_line_amounts else _SHARES_OF_VERSION_1
    for _ in range(count):
        line_id = reader.text()
        amount_minor, merchant_minor, *line_minor = layout.unpack(reader.take(layout.size))
        allocations.append(Allocation(line_id, amount_minor, merchant_minor))
        line_amounts += line_minor
    return SettledRedemption(
        campaign=campaign,
        serial=int.from_bytes(serial),
        use=use,
        generation=generation,
        discount_minor=discount_minor,
        allocations=tuple(allocations),
        line_amounts=tuple(line_amounts),
    )


class _Reader:
    """Reads bytes from the front; raises ValueError when there are too few, or when they are not text."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position

    def take(self, length: int) -> bytes:
        if length > self.left():
            raise ValueError("truncated")
        self._position += length
        return self._data[self._position - length : self._position]

    def text(self) -> str:
        return self.take(self.take(1)[0]).decode()

    def left(self) -> int:
        return len(self._data) - self._position
