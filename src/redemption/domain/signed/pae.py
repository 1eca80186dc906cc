"""Pre-authentication encoding: joins byte strings, so that different lists never give the same result.

It is PASETO's PAE (https://github.com/paseto-standard/paseto-spec, "Common Implementation Details"): the
number of parts, then the length and the bytes of each part, every count as an unsigned 64-bit *little-endian* integer.
Everything that is signed or derived here is encoded in this way, so moving a byte from one part to its neighbour
changes the result.
"""

import struct

_count = struct.Struct("<Q").pack


def pae(*parts: bytes) -> bytes:
    """Encode the parts.

    PASETO clears the top bit of each count; no byte string in memory is long enough for that to matter.
    """
    encoded = _count(len(parts))
    for part in parts:
        encoded += _count(len(part)) + part
    return encoded


def pae_opening(*parts: bytes) -> bytes:
    """Encode all that comes before a last part's length: ``pae_opening(a, b) + pae_part(c) == pae(a, b, c)``."""
    return _count(len(parts) + 1) + pae(*parts)[8:]


def pae_part(part: bytes) -> bytes:
    """Encode one part after its length, as ``pae`` does."""
    return _count(len(part)) + part


def pae_prefix(*parts: bytes, last_length: int) -> bytes:
    """Encode all that comes before a last part of ``last_length`` bytes.

    ``pae_prefix(a, b, last_length=len(c)) + c == pae(a, b, c)``: so the part that never changes is hashed only once.
    """
    return pae_opening(*parts) + _count(last_length)


def exact_bytes(text: str) -> bytes:
    """Return the UTF-8 bytes of a text as it is, without normalisation.

    This never fails: a lone surrogate, which is not valid text, becomes bytes that no text has. Signing refuses it,
    so it never matches anything that was signed.
    """
    return text.encode("utf-8", "surrogatepass")
