"""What a program's ledger says of itself: which one it is, how far it is, and in which format it is written."""

from collections.abc import Mapping
from dataclasses import dataclass

from redemption.domain.errors import LedgerRefused
from redemption.ledger.trust.reply_errors import LedgerNotTrusted

HEADER_FIELDS = ("epoch", "seq", "keyset", "format", "clock_ms")
"""What ``read_header`` reads, in its order."""
_FORMAT, _OLD_FORMAT = "3", "2"
"""How keys and records are spelled; ``lua/open_ledger.lua`` writes it down, and makes the new one of the old one."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a program's ledger says of itself; its clock in Unix milliseconds."""

    epoch: str
    seq: int
    keyset_id: str
    clock_ms: int


def read_header(epoch: str, seq: str, keyset_id: str, form: str, clock_ms: str) -> Header | None:
    """Return what a program's ledger says of itself, from its ``HEADER_FIELDS``; a missing one is empty.

    Raises:
        LedgerRefused: It was written by another version of this service: what is used would not be found.
    """
    if not epoch:
        return None
    if form == _OLD_FORMAT:
        raise LedgerRefused(
            f"the ledger has format {form!r}, this version has format {_FORMAT!r}: stop the servers of the older "
            "version, then run: redemption ledger upgrade"
        )
    if form != _FORMAT:
        raise LedgerRefused(
            f"the ledger has format {form!r}, this version has format {_FORMAT!r}: use the version that made the ledger"
        )
    try:
        return Header(epoch, int(seq), keyset_id, int(clock_ms))
    except ValueError as error:
        raise LedgerNotTrusted(
            f"the ledger's header cannot be read (seq is {seq!r}, clock_ms is {clock_ms!r})"
        ) from error


def identity_of(said: Mapping[str, str]) -> Header | None:
    """Return which ledger this is, from all that its header says, whatever its format; None where there is none.

    Raises:
        LedgerNotTrusted: It cannot be read.
    """
    if not said.get("epoch"):
        return None
    try:
        return Header(said["epoch"], int(said.get("seq", "")), said.get("keyset", ""), 0)
    except ValueError as error:
        raise LedgerNotTrusted(f"the ledger's header cannot be read (seq is {said.get('seq')!r})") from error
