"""The function library: one text made of ``lua/*.lua``, named after its own content."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from redemption.domain.outcome import BUDGET_DAY_RANK, NEVER_ISSUED_RANK, SAME_ORDER_RANK, Outcome

_PARTS = (
    "keys",
    "records",
    "rules",
    "velocity",
    "idempotency",
    "wheel",
    "campaigns",
    "frame",
    "warnings",
    "watch",
    "rule_changes",
    "limits",
    "revoke",
    "holds",
    "orders",
    "release",
    "reverse",
    "issue",
    "codes",
    "claim",
    "batch",
    "refusal_counts",
    "attempts",
    "quote_snapshot",
    "define",
    "archive",
    "reads",
    "open_ledger",
    "permissions",
    "write_check",
    "register_functions",
)
"""In this order, because each file may use the files before it by their names. Each file becomes a function of its own,
because Lua allows 200 local names in one function."""


@dataclass(frozen=True, slots=True)
class Library:
    """The library as ``FUNCTION LOAD`` takes it.

    Attributes:
        suffix: Digest of the text. It ends every function name, so old and new servers of one ledger format can use one
            ledger at the same time.
        text: The Lua source.
    """

    suffix: str
    text: str

    def name(self, function: str) -> bytes:
        """Return a function's full name."""
        return f"{function}_{self.suffix}".encode()


@cache
def library() -> Library:
    """Read and assemble the library."""
    folder = files("redemption.ledger") / "lua"
    return assembled({part: (folder / f"{part}.lua").read_text(encoding="utf-8") for part in _PARTS})


def assembled(texts: Mapping[str, str]) -> Library:
    """Return the library made of the given files, in their order.

    Args:
        texts: File name without ``.lua`` → source. Every file can also use two more names: ``OUTCOME``, the numbers of
            the outcomes, and ``command``, which is ``redis.call`` from the first function call on.
    """
    body = _outcomes() + "\n".join(f"local {part} = (function()\n{text}\nend)()" for part, text in texts.items())
    suffix = hashlib.sha256(body.encode()).hexdigest()[:12]
    return Library(suffix, f"#!lua name=redemption_{suffix}\nlocal SUFFIX, command = '{suffix}', nil\n{body}")


def _outcomes() -> str:
    """Return a Lua table with the number of every outcome, and of the ranks beside them."""
    numbers = {outcome.name: outcome.value for outcome in Outcome}
    numbers |= {
        "NEVER_ISSUED_RANK": NEVER_ISSUED_RANK,
        "SAME_ORDER_RANK": SAME_ORDER_RANK,
        "BUDGET_DAY_RANK": BUDGET_DAY_RANK,
    }
    return "local OUTCOME = { " + ", ".join(f"{name} = {number}" for name, number in numbers.items()) + " }\n"
