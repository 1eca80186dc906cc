"""Prints the entries of a list: whom by digest, why, since when, until when, and who added them."""

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from redemption.cli.input.instants import local_text
from redemption.cli.input.subjects import ref_text
from redemption.cli.output.screen import say, stdout
from redemption.printable import printable
from redemption.v1.rules_pb2 import ListEntry

_TO_THE_MINUTE = 16
_WIDE = 110
"""In a narrower terminal a reason has a line of its own: no line is broken, so that a subject can be copied."""
_HEADINGS = ("subject", "until", "since", "by")


def print_entries(entries: Sequence[ListEntry], now: float) -> None:
    """Print a table; times are those of this machine's zone. An entry that has expired is dim.

    A list may have 100,000 entries, for which tables of rich take half a minute.

    Args:
        entries: The entries.
        now: The present, Unix seconds.
    """
    wide = stdout().width >= _WIDE
    cells = [_cells(entry, now) for entry in entries]
    widths = [max(map(cell_len, column)) for column in zip(_HEADINGS, *cells, strict=True)]
    say(_line(_HEADINGS, widths, "reason" if wide else "", "   "), "dim")
    for entry, texts in zip(entries, cells, strict=True):
        line = _line(texts, widths, printable(entry.reason), "   " if wide else "\n    ")
        if _expired(entry, now):
            say(line, "dim")
        else:
            print(line)  # noqa: T201 - laid out already


def until_text(entry: ListEntry, now: float) -> str:
    """Return until when an entry does something; ``now`` is Unix seconds."""
    if not entry.HasField("expire_time"):
        return "for good"
    return "expired" if _expired(entry, now) else local_text(entry.expire_time, None)[:_TO_THE_MINUTE]


def _cells(entry: ListEntry, now: float) -> tuple[str, str, str, str]:
    since = local_text(entry.add_time, None)[:_TO_THE_MINUTE]
    return ref_text(entry.subject), until_text(entry, now), since, printable(entry.principal)


def _expired(entry: ListEntry, now: float) -> bool:
    return entry.HasField("expire_time") and entry.expire_time.seconds <= now


def _line(cells: Sequence[str], widths: Sequence[int], reason: str, before_reason: str) -> str:
    line = "   ".join(set_cell_size(cell, width) for cell, width in zip(cells, widths, strict=True))
    if "\n" in before_reason or not reason:
        line = line.rstrip()
    return f"{line}{before_reason}{reason}" if reason else line
