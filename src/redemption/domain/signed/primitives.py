"""HMAC and HKDF with SHA-256, as their RFCs define them: every tag, digest and derived key here is made with them."""

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

DIGEST_LENGTH: Final = 32
HKDF_LENGTH_MAX: Final = 255 * DIGEST_LENGTH


def hmac(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA-256 (RFC 2104), 32 bytes; compare it in constant time."""
    return hmac_begun(key, message).finalize()


def hmac_begun(key: bytes, beginning: bytes = b"") -> HMAC:
    """Return an HMAC-SHA-256 that has taken the beginning of its messages; a copy of it takes the rest."""
    running = HMAC(key, SHA256())
    running.update(beginning)
    return running


def hkdf(material: bytes, info: bytes, length: int, *, salt: bytes | None = None) -> bytes:
    """Return HKDF-SHA-256 (RFC 5869), ``length`` bytes: extract from ``material``, then expand with ``info``.

    The service uses no salt, because its material is random.

    Raises:
        ValueError: The length is not 1 to 8160.
    """
    if not 1 <= length <= HKDF_LENGTH_MAX:
        raise ValueError(f"length is {length}; HKDF-SHA-256 gives 1 to {HKDF_LENGTH_MAX} bytes")
    return HKDF(SHA256(), length=length, salt=salt, info=info).derive(material)
