"""The deny list and the allow list of a program."""

from enum import IntEnum
from typing import Final

from redemption.domain.record import record
from redemption.domain.risk.network import Range, Ranges
from redemption.domain.risk.subjects import Subject, SubjectKind, subject_from

ENTRIES_MAX: Final = 100_000
"""Entries of both lists of a program. Each takes about 250 bytes in every server process."""


class ListKind(IntEnum):
    """What an entry does to its subject; the numbers are those of the contract."""

    DENY = 1
    ALLOW = 2


@record(frozen=True, slots=True)
class ListEntry:
    """One entry.

    Attributes:
        expires_at: It does nothing from this instant on, Unix seconds; 0: it never expires.
        added_at: When it was added or changed last, Unix seconds.
        principal: Who added it.
    """

    list: ListKind
    subject: Subject
    reason: str
    expires_at: int
    added_at: int
    principal: str

    @property
    def key(self) -> bytes:
        """Its name in the ledger, unique in the program."""
        return entry_key(self.list, self.subject)


def entry_key(list_kind: ListKind, subject: Subject) -> bytes:
    """Return the name in the ledger of a subject's entry."""
    return bytes((list_kind,)) + subject.packed


def entry_subject(key: bytes) -> tuple[ListKind, Subject]:
    """Return what ``entry_key`` was made of; raises ValueError for what is not known."""
    return ListKind(key[0]), subject_from(key[1:])


class Lists:
    """The entries of both lists of one program, in memory; a look-up costs the same however many there are."""

    def __init__(self) -> None:
        self._entries: dict[bytes, ListEntry] = {}
        self._ranges = {kind: Ranges() for kind in ListKind}
        self._kinds = dict.fromkeys(SubjectKind, 0)

    def __len__(self) -> int:
        return len(self._entries)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def names(self, kind: SubjectKind) -> bool:
        """Whether any entry names a subject of this kind."""
        return self._kinds[kind] > 0

    def put(self, entry: ListEntry) -> None:
        """Add an entry, or replace the one of the same list and subject."""
        key = entry.key
        if key not in self._entries:
            self._kinds[entry.subject.kind] += 1
            if entry.subject.kind is SubjectKind.RANGE:
                self._ranges[entry.list].add(entry.subject.range)
        self._entries[key] = entry

    def remove(self, key: bytes) -> None:
        """Remove an entry, if it is there."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._kinds[entry.subject.kind] -= 1
            if entry.subject.kind is SubjectKind.RANGE:
                self._ranges[entry.list].remove(entry.subject.range)

    def get(self, list_kind: ListKind, kind: SubjectKind, subject_id: bytes, now: int) -> ListEntry | None:
        """Return the entry of a subject, if it has one that has not expired.

        Args:
            list_kind: The list.
            kind: What the subject is.
            subject_id: Its id.
            now: The instant, Unix seconds.
        """
        entry = self._entries.get(bytes((list_kind, kind)) + subject_id)
        return None if entry is None or 0 < entry.expires_at <= now else entry

    def around(self, list_kind: ListKind, address: bytes, now: int) -> ListEntry | None:
        """Return an entry of a range that contains an address and has not expired.

        The address is as ``network.read_address`` returns it.
        """
        for found in self._ranges[list_kind].around(address):
            entry = self.get(list_kind, SubjectKind.RANGE, _range_id(found), now)
            if entry is not None:
                return entry
        return None

    def after(self, key: bytes, list_kind: ListKind | None, count: int) -> list[ListEntry]:
        """Return entries in the order of their names, those behind ``key``, at most ``count``."""
        wanted = sorted(name for name, entry in self._entries.items() if name > key and list_kind in (None, entry.list))
        return [self._entries[name] for name in wanted[:count]]

    def expired(self, now: int, count: int) -> list[bytes]:
        """Return the names of entries that have expired, at most ``count``."""
        found: list[bytes] = []
        for name, entry in self._entries.items():
            if 0 < entry.expires_at <= now:
                found.append(name)
                if len(found) == count:
                    break
        return found


def _range_id(found: Range) -> bytes:
    return found.family + bytes((found.bits,)) + found.first
