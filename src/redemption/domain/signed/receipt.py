"""The receipt, a redemption's signed id: its record is found without an index; forged ones cost the ledger nothing.

It is signed under the key of its token, so that a repeated request gives the same bytes after a key
rotation, and also when that key was disabled. It authorises nothing by itself. ``docs/token.md`` is the
specification.
"""

import hmac
import struct
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from redemption.domain.record import record
from redemption.domain.signed.base64url import armor, unarmor
from redemption.domain.signed.keyset import Keyset
from redemption.domain.signed.pae import exact_bytes, pae_opening, pae_prefix
from redemption.domain.signed.signing import (
    SERIAL_MAX,
    TAG_LENGTH,
    U16_MAX,
    U32_MAX,
    Mac,
    SigningError,
    require_range,
    require_text,
)

VERSION: Final = 1
FLAG_SHARED: Final = 1
BODY_LENGTH: Final = 32
USE_LENGTH: Final = 8
NO_USE: Final = bytes(USE_LENGTH)
CACHE_SIZE: Final = 1_024

# version, flags, key id, campaign, serial, use, generation, redeemed at, reserved
_BODY: Final = struct.Struct(">BBII6s8sHIH")
_SERIAL_LENGTH: Final = 6


class ReceiptDefect(StrEnum):
    """Why a text is not a receipt, in the order of the checks: for metrics only."""

    MALFORMED = "malformed"
    """Not 64 base64url characters."""
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
class Receipt:
    """One approved use of a coupon.

    ``use`` is the request's digest for a shared token and zero otherwise; ``generation`` counts how often the
    coupon was given back before; ``redeemed_at`` is in Unix seconds.

    Raises:
        SigningError: A field is out of range.
    """

    key_id: int
    campaign: int
    serial: int
    generation: int
    redeemed_at: int
    shared: bool = False
    use: bytes = NO_USE

    def __post_init__(self) -> None:
        # Every approval makes these, so the usual correct values pass with one expression.
        if (
            0 <= self.key_id <= U32_MAX
            and 0 <= self.campaign <= U32_MAX
            and 0 <= self.serial <= SERIAL_MAX
            and 0 <= self.generation <= U16_MAX
            and 0 <= self.redeemed_at <= U32_MAX
            and self.use is NO_USE
        ):
            return
        require_range("key_id", self.key_id, U32_MAX)
        require_range("campaign", self.campaign, U32_MAX)
        require_range("serial", self.serial, SERIAL_MAX)
        require_range("generation", self.generation, U16_MAX)
        require_range("redeemed_at", self.redeemed_at, U32_MAX)
        require_use(self.use)
        if self.use != NO_USE and not self.shared:
            raise SigningError("use must be zero: only a shared token's uses are told apart by it")


def require_use(use: bytes) -> None:
    """Raise :class:`SigningError` unless ``use`` is 8 bytes."""
    if len(use) != USE_LENGTH:
        raise SigningError(f"use is {len(use)} bytes; it must be {USE_LENGTH}")


@dataclass(frozen=True, slots=True)
class ReceiptKey:
    """The keys of one program under one signing key; ``known`` is False for keys of the decoy.

    Attributes:
        mac: The MAC after everything that comes before a receipt's body.
        settlement_mac: The MAC after everything that comes before a settlement and its length.
        reservation_mac: The same for a reservation id.
    """

    place: tuple[str, int]
    known: bool
    mac: Mac
    settlement_mac: Mac
    reservation_mac: Mac


class ReceiptKeys:
    """Derives receipt keys. It caches a key only after a correct tag or for a verified token, never for a forgery."""

    def __init__(self, keyset: Keyset, *, cache_size: int = CACHE_SIZE) -> None:
        self.environment = exact_bytes(keyset.environment)
        self._materials = {key.id: key.material for key in keyset.keys if key.material is not None}
        self._decoy = keyset.privacy_root.derive(b"redemption/v1/decoy")
        self._cache_size = cache_size
        self._checked: OrderedDict[tuple[str, int], ReceiptKey] = OrderedDict()
        self._signing = lru_cache(maxsize=cache_size)(self._derive_signing)

    def select(self, program: str, key_id: int) -> ReceiptKey:
        """Return the key to check a tag with: a decoy when the id is unknown. Not cached before :meth:`remember`."""
        return self._checked.get((program, key_id)) or self._derive(program, key_id)

    def remember(self, key: ReceiptKey) -> None:
        """Cache a key after a correct tag."""
        self._checked[key.place] = key
        self._checked.move_to_end(key.place)
        if len(self._checked) > self._cache_size:
            self._checked.popitem(last=False)

    def signing(self, program: str, key_id: int) -> ReceiptKey:
        """Return the key to sign with. Cached at once, because key ids to sign with come from verified tokens.

        Raises:
            SigningError: The key is unknown or destroyed, or the program is not 1 to 128 bytes.
        """
        return self._signing(program, key_id)

    def _derive_signing(self, program: str, key_id: int) -> ReceiptKey:
        require_text("program", program)
        key = self._derive(program, key_id)
        if not key.known:
            raise SigningError(f"key {key_id} is not in the keyset or was destroyed; nothing is signed under it")
        return key

    def _derive(self, program: str, key_id: int) -> ReceiptKey:
        material = self._materials.get(key_id)
        names = (self.environment, exact_bytes(program))
        secret = (material or self._decoy).derive(b"redemption/v1/receipt", *names, key_id.to_bytes(4))
        prefix = pae_prefix(b"redemption/v1/receipt-tag", *names, last_length=BODY_LENGTH)
        return ReceiptKey(
            (program, key_id),
            known=material is not None,
            mac=Mac(secret, prefix),
            settlement_mac=Mac(secret, pae_opening(b"redemption/v1/settlement", *names)),
            reservation_mac=Mac(secret, pae_opening(b"redemption/v1/reservation", *names)),
        )


def receipt_text(
    key: ReceiptKey,
    campaign: int,
    serial: int,
    generation: int,
    redeemed_at: int,
    *,
    flags: int = 0,
    use: bytes = NO_USE,
) -> str:
    """Write a receipt under a key.

    The fields come from a verified token and the ledger, or from a ``Receipt``, which has checked them.

    Raises:
        SigningError: The key is not known, or the serial is out of range; other fields may have any value that fits.
    """
    if not key.known or not 0 <= serial <= SERIAL_MAX:
        raise SigningError(f"nothing is signed under a key that is not known, nor for serial {serial}")
    body = _BODY.pack(
        VERSION, flags, key.place[1], campaign, serial.to_bytes(_SERIAL_LENGTH), use, generation, redeemed_at, 0
    )
    return armor(body + key.mac.digest(body)[:TAG_LENGTH])


class Receipts:
    """Signs and checks receipts. Keys of every state except destroyed can do both."""

    def __init__(self, keys: ReceiptKeys) -> None:
        self._keys = keys

    def sign(self, receipt: Receipt, *, program: str) -> str:
        """Return the receipt as 64 characters, always the same for the same receipt.

        Raises:
            SigningError: The key is unknown or destroyed, or the program is not 1 to 128 bytes.
        """
        key = self._keys.signing(program, receipt.key_id)
        flags = FLAG_SHARED * receipt.shared
        return receipt_text(
            key, receipt.campaign, receipt.serial, receipt.generation, receipt.redeemed_at, flags=flags, use=receipt.use
        )

    def verify(self, text: str, *, program: str) -> Receipt | ReceiptDefect:
        """Read a receipt. It never raises, whatever the text."""
        raw = unarmor(text)
        if raw is None:
            return ReceiptDefect.MALFORMED
        if raw[0] != VERSION:
            return ReceiptDefect.VERSION
        if raw[1] & ~FLAG_SHARED:
            return ReceiptDefect.FLAGS
        key = self._keys.select(program, int.from_bytes(raw[2:6]))
        genuine = hmac.compare_digest(key.mac.digest(raw[:BODY_LENGTH])[:TAG_LENGTH], raw[BODY_LENGTH:])
        if not key.known:
            return ReceiptDefect.KEY_UNKNOWN
        if not genuine:
            return ReceiptDefect.TAG
        self._keys.remember(key)
        return _parse(raw)


def _parse(raw: bytes) -> Receipt | ReceiptDefect:
    """Read the fields. The tag was correct, so a defect here is the signer's mistake, not a forgery."""
    _, flags, key_id, campaign, serial, use, generation, redeemed_at, reserved = _BODY.unpack_from(raw)
    if reserved:
        return ReceiptDefect.FIELDS
    try:
        return Receipt(
            key_id=key_id,
            campaign=campaign,
            serial=int.from_bytes(serial),
            generation=generation,
            redeemed_at=redeemed_at,
            shared=bool(flags & FLAG_SHARED),
            use=use,
        )
    except SigningError:
        return ReceiptDefect.FIELDS
