"""The header of a program's ledger: its identity, its sequence number, and the format that it is written in."""

from collections.abc import Mapping
from dataclasses import dataclass

from redemption.domain.errors import LedgerRefused
from redemption.ledger.trust.reply_errors import NOT_TRUSTED, LedgerNotTrusted

HEADER_FIELDS = ("epoch", "seq", "keyset", "format", "clock_ms")
"""The fields that ``read_header`` takes, in the order of its arguments."""
_FORMAT, _OLD_FORMAT = "3", "2"
"""The formats of keys and records; ``lua/open_ledger.lua`` writes the format into the header, and upgrades the old
one."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a program's ledger; its clock in Unix milliseconds."""

    epoch: str
    seq: int
    keyset_id: str
    clock_ms: int


def read_header(epoch: str, seq: str, keyset_id: str, form: str, clock_ms: str) -> Header | None:
    """Return the header of a program's ledger, from its ``HEADER_FIELDS``; a field that is missing is empty.

    Returns:
        The header, or None when there is no ledger.

    Raises:
        LedgerRefused: The ledger has the format of another version, which would not find the used coupons.
    """
    if not epoch:
        return None
    if form == _OLD_FORMAT:
        raise _of_format(form, "stop the servers of the older version, then run: redemption ledger upgrade")
    if form != _FORMAT:
        raise _of_format(form, "use the version that made the ledger")
    try:
        return Header(epoch, int(seq), keyset_id, int(clock_ms))
    except ValueError as error:
        raise _unreadable(f"seq is {seq!r}, clock_ms is {clock_ms!r}") from error


def identity_of(status: Mapping[str, str]) -> Header | None:
    """Return the identity of a ledger of any format, from all fields of its header; None when there is no ledger.

    Raises:
        LedgerNotTrusted: The header cannot be read.
    """
    if not status.get("epoch"):
        return None
    try:
        return Header(status["epoch"], int(status.get("seq", "")), status.get("keyset", ""), 0)
    except ValueError as error:
        raise _unreadable(f"seq is {status.get('seq')!r}") from error


def _of_format(form: str, cure: str) -> LedgerRefused:
    return LedgerRefused(
        "the ledger has the format of another version; nothing was done. Its operator finds the cause in the log",
        for_operator=f"the ledger has format {form!r}, this version has format {_FORMAT!r}: {cure}",
    )


def _unreadable(found: str) -> LedgerNotTrusted:
    return LedgerNotTrusted(NOT_TRUSTED, for_operator=f"the ledger's header cannot be read ({found})")
