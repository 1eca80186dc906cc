"""The function library: one text made of ``lua/*.lua``, named after its own content."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_PARTS = (
    "keys",
    "records",
    "call",
    "revoke",
    "redeem",
    "issue",
    "code",
    "claim",
    "batch",
    "look",
    "campaign",
    "archive",
    "lookup",
    "open",
    "register",
)


@dataclass(frozen=True, slots=True)
class Library:
    """The library as ``FUNCTION LOAD`` takes it.

    Attributes:
        suffix: Digest of the text, part of every name, so that old and new servers of one format work side by side.
    """

    suffix: str
    text: str

    def name(self, function: str) -> bytes:
        """Return a function's full name."""
        return f"{function}_{self.suffix}".encode()


@cache
def library() -> Library:
    """Assemble the library."""
    folder = files("redemption.ledger") / "lua"
    body = "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in _PARTS)
    suffix = hashlib.sha256(body.encode()).hexdigest()[:12]
    return Library(suffix, f"#!lua name=redemption_{suffix}\nlocal SUFFIX = '{suffix}'\n{body}")
