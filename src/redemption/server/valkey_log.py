"""What the log of an embedded Valkey says: why it ended, and what it dropped when it read its append-only file."""

import contextlib
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TAIL_BYTES: Final = 16 * 1024
_PREFIX: Final = re.compile(r"^\d+:[A-Z] .*?\d\.\d{3} [.*#-] ")
_TORN: Final = "Unexpected end of file reading the append only file"
_NAMED_FILE: Final = re.compile(r"reading the append only file (\S+?)[.:]?\s")
_TRUNCATED: Final = re.compile(r"Truncating the AOF (\S+) at offset (\d+)")
_DISK_FULL: Final = "the disk is full, and Valkey exits rather than promise what it cannot keep: free some space"
_RESTORE: Final = "restore a backup of {directory}"
_BASE_DAMAGED: Final = f"the base file of the ledger (*.base.rdb) is damaged, and nothing can mend it: {_RESTORE}"
_FILE_DAMAGED: Final = (
    f"the append-only file is damaged: {_RESTORE}; or copy the directory aside and cut the file at the damage, which "
    "loses all that was written later: ln -s {binary} valkey-check-aof && ./valkey-check-aof --fix {file}"
)
# What Valkey writes, and what the operator is told about it. The first match counts.
_CAUSES: Final = (
    ("No space left on device", _DISK_FULL),
    ("Short write while writing to the AOF file", _DISK_FULL),
    ("Can't recover from AOF write error", "the disk refused a write: look at the disk and at the log"),
    (
        "Bad file format reading the append only file",
        _FILE_DAMAGED,
    ),
    ("Check RDB returned error code", _BASE_DAMAGED),
    ("Internal error in RDB reading", _BASE_DAMAGED),
    ("Wrong signature", _BASE_DAMAGED),
    ("AOF MANIFEST FILE ERROR", f"the list of the ledger's files (*.manifest) is damaged: {_RESTORE}"),
    ("Unable to obtain the AOF file", f"a file of the ledger is missing: {_RESTORE}"),
    ("doesn't exist", f"a file of the ledger is missing: {_RESTORE}"),
    (
        "Permission denied",
        "a file of the ledger may not be read or written by this user: mend its owner or mode",
    ),
    ("Out Of Memory", "the machine has no memory left for the ledger: free some, or set a lower limit"),
    ("crashed by signal", "Valkey crashed: its report is in the log"),
)


@dataclass(frozen=True, slots=True)
class ValkeyLog:
    """The log of one start: what comes behind ``start`` bytes of the file.

    ``directory`` and ``binary`` are named in what an operator is told to do.
    """

    path: Path
    start: int
    directory: Path
    binary: Path

    def end_reason(self) -> str:
        """Return in one line why the server ended."""
        tail = self._tail()
        for sign, meaning in _CAUSES:
            if sign in tail:
                file = shlex.quote(str(self.directory / "appendonlydir" / _named_file(tail)))
                return meaning.format(directory=self.directory, binary=shlex.quote(str(self.binary)), file=file)
        lines = [line for line in tail.splitlines() if line.strip()]
        if lines:
            return f"its last line in {self.path} was: {_PREFIX.sub('', lines[-1])}"
        return f"it left nothing in {self.path}"

    def torn_file(self) -> str | None:
        """Return the append-only file that ends in the middle of a write, if the server ended because of that."""
        tail = self._tail()
        return _named_file(tail) if _TORN in tail else None

    def truncated(self) -> tuple[str, int] | None:
        """Return the file that it cut at its start, and the length that is left; None if it cut none."""
        found = _TRUNCATED.search(self._tail())
        return (found[1], int(found[2])) if found else None

    def _tail(self) -> str:
        with contextlib.suppress(OSError), self.path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self.start, end - _TAIL_BYTES))
            return log.read(_TAIL_BYTES).decode(errors="replace")
        return ""


def _named_file(tail: str) -> str:
    found = _NAMED_FILE.search(tail)
    return found[1] if found else "FILE"
