"""48 bytes as 64 base64url characters, in one spelling only."""

import binascii
import re
from typing import Final

ARMORED_LENGTH: Final = 64

_ARMORED: Final = re.compile(r"[A-Za-z0-9_-]{64}")


def armor(raw: bytes) -> str:
    """Encode 48 bytes. 48 is a multiple of three, so there is no padding and no unused bit."""
    return binascii.b2a_base64(raw, newline=False).decode("ascii").replace("+", "-").replace("/", "_")


def unarmor(text: str) -> bytes | None:
    """Decode 48 bytes; return None for any text that ``armor`` does not write.

    ``base64.urlsafe_b64decode`` skips unknown characters and accepts ``+`` for ``-``, and ``$`` in a pattern
    accepts a trailing newline: so neither of them is used as a check.
    """
    if _ARMORED.fullmatch(text) is None:
        return None
    return binascii.a2b_base64(text.replace("-", "+").replace("_", "/"))
