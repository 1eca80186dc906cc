"""Pre-authentication encoding: several byte strings become one, and no two lists of them become the same one.

It is PASETO's PAE (https://github.com/paseto-standard/paseto-spec, "Common Implementation Details"): the
number of parts, then each part behind its length, every count as an unsigned 64-bit *little-endian* integer.
All that is signed or derived here goes through it, so moving a byte from one part to its neighbour changes
the result.
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
    """Encode all that comes before a last part, and its length: ``pae_opening(a, b) + pae_part(c) == pae(a, b, c)``."""
    return _count(len(parts) + 1) + pae(*parts)[8:]


def pae_part(part: bytes) -> bytes:
    """Encode one part behind its length, as it stands in ``pae``."""
    return _count(len(part)) + part


def pae_prefix(*parts: bytes, last_length: int) -> bytes:
    """Encode all that comes before a last part of ``last_length`` bytes.

    ``pae_prefix(a, b, last_length=len(c)) + c == pae(a, b, c)``: what never changes is hashed once.
    """
    return pae_opening(*parts) + _count(last_length)


def exact_bytes(text: str) -> bytes:
    """The UTF-8 bytes of a text as it is, without normalisation.

    Total: a lone surrogate, which is no text, becomes bytes that no text has. Signing refuses it, so it never
    matches anything that was signed.
    """
    return text.encode("utf-8", "surrogatepass")
