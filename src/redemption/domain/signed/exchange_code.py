"""Exchange codes (兑换码): 17 characters that people type, good for one coupon.

``docs/token.md`` is the specification. A code is 80 bits in Crockford's base 32 and one check character. The codes of a
campaign are derived from a signing key, one for each serial, so the server can return them again without storing them;
the ledger keeps only their keyed digests.
"""

import struct
import unicodedata
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from typing import Final

from redemption.domain.signed.keyset import Keyset
from redemption.domain.signed.pae import exact_bytes, pae_prefix
from redemption.domain.signed.signing import SERIAL_MAX, U32_MAX, Mac, SigningError, require_range, require_text

CODE_LENGTH: Final = 10
UNCHECKED_CHARACTERS: Final = 16
"""Those of the code itself. Codes of before there were check characters have only these, and are read for ever."""
CODE_CHARACTERS: Final = UNCHECKED_CHARACTERS + 1
TYPED_LENGTH_MAX: Final = 64
"""Enough for any way of grouping the characters, and few enough that a very long text is refused at once."""
CACHE_SIZE: Final = 256

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BITS: Final = 5
_GROUPS: Final = (slice(0, 4), slice(4, 8), slice(8, 12), slice(12, CODE_CHARACTERS))
_SERIAL_LENGTH: Final = 6
_U32: Final = struct.Struct(">I")
_U: Final = len(_ALPHABET)
"""Stands for the one letter that no code has."""
# Written out, because upper() maps some other letters of Unicode to these.
_READ_AS: Final = {character: value for value, character in enumerate(_ALPHABET)}
_READ_AS.update({character.lower(): value for value, character in enumerate(_ALPHABET)})
_READ_AS.update(dict.fromkeys("IiLl", 1) | dict.fromkeys("Oo", 0) | dict.fromkeys("Uu", _U))
_SKIPPED_KINDS: Final = frozenset({"Zs", "Zl", "Zp", "Pd", "Cf"})
_SKIPPED: Final = frozenset({*" -\t\n\v\f\r\x85\N{MINUS SIGN}", *map(chr, range(0xFE00, 0xFE10))})
"""Besides whole kinds of characters; the range is that of the variation selectors."""
_TIMES_A: Final = (*range(0, 32, 2), *(value ^ 0b100101 for value in range(32, 64, 2)))
"""Multiplies by *a* in the field of 32 elements, with a⁵ = a² + 1. The powers a⁰ to a³⁰ all differ."""


class Misread(Enum):
    """Why a text is not a code.

    Attributes:
        NOT_A_CODE: It does not look like one.
        MISTYPED: It looks like one, and a character is wrong, missing or too many.
    """

    NOT_A_CODE = "not_a_code"
    MISTYPED = "mistyped"


def read_code(text: str) -> bytes | Misread:
    """Return the 10 bytes that a typed code stands for, or why the text is not a code.

    It is read in Unicode's form NFKC, so full width does not matter. Case does not matter, nor do blanks, line ends,
    dashes, and what nobody sees. I and L are read as 1, and O as 0. U is not used.
    """
    values = _values(text)
    if not UNCHECKED_CHARACTERS - 1 <= len(values) <= CODE_CHARACTERS + 1:
        return Misread.NOT_A_CODE
    if _U in values or len(values) not in (UNCHECKED_CHARACTERS, CODE_CHARACTERS):
        return Misread.MISTYPED
    if len(values) == CODE_CHARACTERS and _checksum(values):
        return Misread.MISTYPED
    number = 0
    for value in values[:UNCHECKED_CHARACTERS]:
        number = number << _BITS | value
    return number.to_bytes(CODE_LENGTH)


def write_code(code: bytes) -> str:
    """Return a code as text for people: XXXX-XXXX-XXXX-XXXXX, the last one is the check character."""
    number = int.from_bytes(code)
    values = [number >> _BITS * place & 31 for place in reversed(range(UNCHECKED_CHARACTERS))]
    values.append(_checksum([*values, 0]))
    characters = "".join([_ALPHABET[value] for value in values])
    return "-".join([characters[group] for group in _GROUPS])


def _values(text: str) -> list[int]:
    """Return the values of the letters and digits of a text, or nothing if it has anything else that is seen."""
    if len(text) > TYPED_LENGTH_MAX:  # counted first: a short text is normalised in no time
        return []
    values = []
    for character in text if text.isascii() else unicodedata.normalize("NFKC", text):
        value = _READ_AS.get(character)
        if value is not None:
            values.append(value)
        elif character not in _SKIPPED and unicodedata.category(character) not in _SKIPPED_KINDS:
            return []
    return values


def _checksum(values: Iterable[int]) -> int:
    """Return v₀·aⁿ + … + vₙ₋₁·a + vₙ, which is 0 for a code with its check character vₙ.

    The factors differ and none is 0. So it changes when one value does, or when two different values are swapped.
    """
    total = 0
    for value in values:
        total = _TIMES_A[total] ^ value
    return total


class CampaignCodes:
    """The codes of one campaign under one signing key. Made by :meth:`Codes.campaign`."""

    __slots__ = ("_mac",)

    def __init__(self, mac: Mac) -> None:
        self._mac = mac

    def code(self, serial: int) -> bytes:
        """Return the 10 bytes of a serial's code.

        Raises:
            SigningError: The serial is not 40 bits.
        """
        require_range("serial", serial, SERIAL_MAX)
        return self._mac.digest(serial.to_bytes(_SERIAL_LENGTH))[:CODE_LENGTH]


class Codes:
    """Derives the codes of a keyset's environment; the derived keys of recently used campaigns are cached."""

    def __init__(self, keyset: Keyset, *, cache_size: int = CACHE_SIZE) -> None:
        self._environment = exact_bytes(keyset.environment)
        self._keys = {key.id: key for key in keyset.keys}
        self._derived = lru_cache(maxsize=cache_size)(self._derive)

    def campaign(self, *, program: str, campaign: int, key_id: int) -> CampaignCodes:
        """Return the codes of one campaign under a key of any state except destroyed.

        Raises:
            SigningError: There is no such key any more, or a field is out of range.
        """
        return self._derived(program, campaign, key_id)

    def _derive(self, program: str, campaign: int, key_id: int) -> CampaignCodes:
        exact_program = require_text("program", program)
        require_range("campaign", campaign, U32_MAX)
        key = self._keys.get(key_id)
        if key is None or key.material is None:
            raise SigningError(f"key {key_id} is destroyed or unknown here, and with it the codes that it made")
        ids = (_U32.pack(key_id), _U32.pack(campaign))
        derived = key.material.derive(b"redemption/v1/code", self._environment, exact_program, *ids)
        return CampaignCodes(Mac(derived, pae_prefix(b"redemption/v1/code-bytes", last_length=_SERIAL_LENGTH)))
