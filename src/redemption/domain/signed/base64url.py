"""48 bytes as 64 base64url characters, in one spelling only."""

import binascii
import re
from typing import Final

ARMORED_LENGTH: Final = 64

_ARMORED: Final = re.compile(r"[A-Za-z0-9_-]{64}")


def armor(raw: bytes) -> str:
    """Spell 48 bytes. 48 divides by three, so there is no padding and no bit to spare."""
    return binascii.b2a_base64(raw, newline=False).decode("ascii").replace("+", "-").replace("/", "_")


def unarmor(text: str) -> bytes | None:
    """Read 48 bytes back, or None for any text that ``armor`` does not write.

    ``base64.urlsafe_b64decode`` skips characters it does not know and takes ``+`` for ``-``, and ``$`` in a
    pattern lets a trailing newline pass: so neither is used as a check.
    """
    if _ARMORED.fullmatch(text) is None:
        return None
    return binascii.a2b_base64(text.replace("-", "+").replace("_", "/"))
