"""Reads an append-only file: bytes by command and kind of key."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from redemption.ledger import keys


class DamagedError(ValueError):
    """The bytes are not commands."""


@dataclass(slots=True)
class Written:
    """Commands of one kind, and their bytes.

    Attributes:
        keys: Bytes of the key names.
        values: Bytes of fields and values.
        framing: Bytes of the command names and of the protocol: counts, lengths and line ends.
    """

    commands: int = 0
    keys: int = 0
    values: int = 0
    framing: int = 0

    @property
    def size(self) -> int:
        """All bytes."""
        return self.keys + self.values + self.framing


def commands(data: bytes) -> Iterator[tuple[list[bytes], int]]:
    """Yield the commands, each with its length in bytes.

    Raises:
        DamagedError: Something is not a command, or not complete.
    """
    position = 0
    while position < len(data):
        began = position
        line, position = _line(data, position)
        if line.startswith(b"#"):  # a timestamp annotation
            continue
        if not (line.startswith(b"*") and line[1:].isdigit()):
            raise DamagedError(f"no command at byte {began}: {line[:20]!r}")
        parts = []
        for _ in range(int(line[1:])):
            line, position = _line(data, position)
            if not (line.startswith(b"$") and line[1:].isdigit()):
                raise DamagedError(f"no length at byte {position}: {line[:20]!r}")
            end = position + int(line[1:])
            if data[end : end + 2] != b"\r\n":
                raise DamagedError(f"an argument at byte {position} is incomplete")
            parts.append(data[position:end])
            position = end + 2
        yield parts, position - began


def _line(data: bytes, position: int) -> tuple[bytes, int]:
    end = data.find(b"\r\n", position)
    if end < 0:
        raise DamagedError(f"a line at byte {position} is incomplete")
    return data[position:end], end + 2


def by_kind(data: bytes) -> dict[tuple[str, str], Written]:
    """Sum up commands by name and kind of key; the kind is empty for commands without a key."""
    found: dict[tuple[str, str], Written] = {}
    for parts, size in commands(data):
        key = parts[1] if len(parts) > 1 and parts[1].startswith(b"{") else b""
        kind = keys.kind(key) if b":" in key else ""
        written = found.setdefault((parts[0].decode().upper(), kind), Written())
        values = sum(len(part) for part in parts[1:]) - len(key)
        written.commands += 1
        written.keys += len(key)
        written.values += values
        written.framing += size - len(key) - values
    return found


def incremental_files(directory: Path) -> dict[Path, int]:
    """Return the incremental files in a ledger's directory, each with its length."""
    return {path: path.stat().st_size for path in sorted(directory.rglob("*.incr.aof"))}


def since(directory: Path, before: Mapping[Path, int]) -> bytes:
    """Return what was written since ``incremental_files`` was called; there must be no rewrite in between."""
    written = []
    for path in incremental_files(directory):
        with path.open("rb") as file:
            file.seek(before.get(path, 0))
            written.append(file.read())
    return b"".join(written)
