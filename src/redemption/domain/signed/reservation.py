"""The reservation id: the signed terms of a hold. Confirm and Release need nothing else, whichever server they reach.

It is signed under the key of its first token. A forged one costs the ledger nothing. It authorises nothing by itself:
only the hold that is in the ledger becomes redemptions. ``docs/token.md`` is the specification.
"""

import binascii
import hmac
import re
import struct
from enum import StrEnum
from typing import Final

from redemption.domain.order import MINOR_MAX
from redemption.domain.record import record
from redemption.domain.signed.pae import pae_part
from redemption.domain.signed.receipt import ReceiptKey, ReceiptKeys
from redemption.domain.signed.signing import (
    SERIAL_MAX,
    TAG_LENGTH,
    U16_MAX,
    U32_MAX,
    SigningError,
    require_range,
)

VERSION: Final = 1
FLAG_CUSTOMER: Final = 1
FLAG_HOLDER_BOUND: Final = 1
COUPONS_MAX: Final = 32
ORDER_LENGTH: Final = 6
CUSTOMER_LENGTH: Final = 8
TERMS_LENGTH: Final = 6
NO_CUSTOMER: Final = bytes(CUSTOMER_LENGTH)

_HEAD: Final = struct.Struct(">BBI6s8s6sIB")  # version, flags, key id, order, customer, terms, held until, coupons
_COUPON: Final = struct.Struct(">II6sHHBQQQ")
"""Key id, campaign, serial, offer, generation, flags, discount, merchant share, value of the order."""
_SERIAL_LENGTH: Final = 6
_LENGTHS: Final = frozenset(_HEAD.size + count * _COUPON.size + TAG_LENGTH for count in range(1, COUPONS_MAX + 1))
_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{2,1900}")


class ReservationDefect(StrEnum):
    """Why a text is not a reservation id, in the order of the checks: for metrics only."""

    MALFORMED = "malformed"
    """Not base64url characters, or another spelling of the same bytes, or a length that no reservation id has."""
    VERSION = "version"
    """A version this release does not know."""
    FLAGS = "flags"
    """A reserved flag is set."""
    KEY_UNKNOWN = "key_unknown"
    """No such key, or it was destroyed."""
    TAG = "tag"
    """Not signed by its key for this environment and program, or changed since."""
    FIELDS = "fields"
    """Correctly signed, but a field is not what version 1 allows."""


@record(frozen=True, slots=True, kw_only=True)
class ReservedCoupon:
    """One coupon of a reservation, and what its redemption will count.

    Attributes:
        key_id: The key that signed the token; it signs the receipt too.
        generation: How often the coupon had been given back when it was reserved.
        holder_bound: The token is bound to the order's customer.
        order_value_minor: The order's value before discounts; 0 when another coupon of the campaign carries it.
    """

    key_id: int
    campaign: int
    serial: int
    offer_index: int
    generation: int
    holder_bound: bool
    discount_minor: int
    merchant_minor: int
    order_value_minor: int


@record(frozen=True, slots=True, kw_only=True)
class Reservation:
    """The terms of a hold.

    Attributes:
        order: Digest of the order id.
        customer: Digest of the customer id; None for a guest.
        terms: What the ledger knows the terms by.
        held_until: The hold is over at this moment, Unix seconds; it may have been made longer since.
        coupons: In the order in which the ledger counts them.

    Raises:
        SigningError: A field is out of range.
    """

    order: bytes
    customer: bytes | None
    terms: bytes
    held_until: int
    coupons: tuple[ReservedCoupon, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.coupons) <= COUPONS_MAX:
            raise SigningError(f"there are {len(self.coupons)} coupons; reserve 1 to {COUPONS_MAX}")
        for field, value, length in (
            ("order", self.order, ORDER_LENGTH),
            ("customer", NO_CUSTOMER if self.customer is None else self.customer, CUSTOMER_LENGTH),
            ("terms", self.terms, TERMS_LENGTH),
        ):
            if len(value) != length:
                raise SigningError(f"{field} is {len(value)} bytes; it must be {length}")
        require_range("held_until", self.held_until, U32_MAX)
        for coupon in self.coupons:
            require_range("key_id", coupon.key_id, U32_MAX)
            require_range("campaign", coupon.campaign, U32_MAX)
            require_range("serial", coupon.serial, SERIAL_MAX)
            require_range("offer_index", coupon.offer_index, U16_MAX)
            require_range("generation", coupon.generation, U16_MAX)
            require_range("discount_minor", coupon.discount_minor, MINOR_MAX)
            require_range("merchant_minor", coupon.merchant_minor, coupon.discount_minor)
            require_range("order_value_minor", coupon.order_value_minor, MINOR_MAX)


class Reservations:
    """Signs and checks reservation ids, under the keys of receipts."""

    def __init__(self, keys: ReceiptKeys) -> None:
        self._keys = keys

    def sign(self, reservation: Reservation, *, program: str) -> str:
        """Return the reservation id, always the same for the same reservation.

        Raises:
            SigningError: The key is unknown or destroyed, or the program is not 1 to 128 bytes.
        """
        key_id = reservation.coupons[0].key_id
        key = self._keys.signing(program, key_id)
        customer = reservation.customer
        body = _HEAD.pack(
            VERSION,
            0 if customer is None else FLAG_CUSTOMER,
            key_id,
            reservation.order,
            NO_CUSTOMER if customer is None else customer,
            reservation.terms,
            reservation.held_until,
            len(reservation.coupons),
        ) + b"".join([_coupon_bytes(coupon) for coupon in reservation.coupons])
        return _spelled(body + _tag(key, body))

    def verify(self, text: str, *, program: str) -> Reservation | ReservationDefect:
        """Read a reservation id. It never raises, whatever the text."""
        raw = _read(text)
        if raw is None:
            return ReservationDefect.MALFORMED
        if raw[0] != VERSION:
            return ReservationDefect.VERSION
        if len(raw) not in _LENGTHS:
            return ReservationDefect.MALFORMED
        if raw[1] & ~FLAG_CUSTOMER:
            return ReservationDefect.FLAGS
        key = self._keys.select(program, int.from_bytes(raw[2:6]))
        body, tag = raw[:-TAG_LENGTH], raw[-TAG_LENGTH:]
        genuine = hmac.compare_digest(_tag(key, body), tag)
        if not key.known:
            return ReservationDefect.KEY_UNKNOWN
        if not genuine:
            return ReservationDefect.TAG
        self._keys.remember(key)
        try:
            return _parsed(body)
        except ValueError:
            return ReservationDefect.FIELDS


def _tag(key: ReceiptKey, body: bytes) -> bytes:
    return key.reservation_mac.digest(pae_part(body))[:TAG_LENGTH]


def _spelled(raw: bytes) -> str:
    """Return bytes of any length in base64url, without padding."""
    text = binascii.b2a_base64(raw, newline=False).decode("ascii")
    return text.rstrip("=").replace("+", "-").replace("/", "_")


def _read(text: str) -> bytes | None:
    """Return the bytes of a text that ``_spelled`` writes, or None."""
    if _TEXT.fullmatch(text) is None or len(text) % 4 == 1:
        return None
    padded = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
    raw = binascii.a2b_base64(padded)
    return raw if _spelled(raw) == text else None


def _coupon_bytes(coupon: ReservedCoupon) -> bytes:
    return _COUPON.pack(
        coupon.key_id,
        coupon.campaign,
        coupon.serial.to_bytes(_SERIAL_LENGTH),
        coupon.offer_index,
        coupon.generation,
        FLAG_HOLDER_BOUND * coupon.holder_bound,
        coupon.discount_minor,
        coupon.merchant_minor,
        coupon.order_value_minor,
    )


def _parsed(body: bytes) -> Reservation:
    """Return what a body says. Its tag was correct, so a defect here is the signer's mistake, not a forgery."""
    _, flags, key_id, order, customer, terms, held_until, count = _HEAD.unpack_from(body)
    has_customer = bool(flags & FLAG_CUSTOMER)
    size = _COUPON.size
    coupons = tuple(_coupon(body[at : at + size]) for at in range(_HEAD.size, len(body), size))
    if count != len(coupons) or coupons[0].key_id != key_id or not (has_customer or customer == NO_CUSTOMER):
        raise ValueError("the head does not go with the rest")
    return Reservation(
        order=order,
        customer=customer if has_customer else None,
        terms=terms,
        held_until=held_until,
        coupons=coupons,
    )


def _coupon(packed: bytes) -> ReservedCoupon:
    key_id, campaign, serial, offer, generation, flags, discount, merchant, order_value = _COUPON.unpack(packed)
    if flags & ~FLAG_HOLDER_BOUND:
        raise ValueError("a reserved flag of a coupon")
    return ReservedCoupon(
        key_id=key_id,
        campaign=campaign,
        serial=int.from_bytes(serial),
        offer_index=offer,
        generation=generation,
        holder_bound=bool(flags),
        discount_minor=discount,
        merchant_minor=merchant,
        order_value_minor=order_value,
    )
