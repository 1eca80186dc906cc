"""The deny list and the allow list of a program."""

from collections.abc import Generator, Iterator
from enum import IntEnum
from typing import Final

from redemption.domain.record import record
from redemption.domain.risk.network import Ranges
from redemption.domain.risk.subjects import Subject, SubjectKind, range_subject, subject_from

ENTRIES_MAX: Final = 100_000
"""Entries of both lists of a program. Each takes about 350 bytes in every server process."""
NAMES_AT_ONCE: Final = 2_000
"""Names that are looked at in one step, which takes about 0.2 ms."""


class ListKind(IntEnum):
    """What an entry does to its subject; the numbers are those of the contract."""

    DENY = 1
    ALLOW = 2


_LISTS: Final = {kind.value: kind for kind in ListKind}


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

    def has_expired(self, now: int) -> bool:
        """Whether it does nothing any more at an instant, Unix seconds."""
        return 0 < self.expires_at <= now


def entry_key(list_kind: ListKind, subject: Subject) -> bytes:
    """Return the name in the ledger of a subject's entry."""
    return bytes((list_kind,)) + subject.packed


def entry_subject(key: bytes) -> tuple[ListKind, Subject]:
    """Return what ``entry_key`` was made of; raises ValueError for what is not known."""
    list_kind = _LISTS.get(key[0])
    if list_kind is None:
        raise ValueError(f"an entry of unknown list {key[0]}")
    return list_kind, subject_from(key[1:])


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
            if entry.subject.kind is SubjectKind.RANGE:
                self._ranges[entry.list].add(entry.subject.range)
            self._kinds[entry.subject.kind] += 1
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
        return None if entry is None or entry.has_expired(now) else entry

    def around(self, list_kind: ListKind, address: bytes, now: int) -> ListEntry | None:
        """Return an entry of a range that contains an address and has not expired.

        The address is as ``network.read_address`` returns it.
        """
        entries = (entry for entry in self.all_around(list_kind, address) if not entry.has_expired(now))
        return next(entries, None)

    def find(self, key: bytes) -> ListEntry | None:
        """Return the entry of a name, see ``entry_key``, also one that has expired."""
        return self._entries.get(key)

    def all_around(self, list_kind: ListKind, address: bytes) -> Iterator[ListEntry]:
        """Yield the entries of all ranges that contain an address, also those that have expired."""
        for found in self._ranges[list_kind].around(address):
            yield self._entries[entry_key(list_kind, range_subject(found))]

    def after_steps(
        self, key: bytes, list_kind: ListKind | None, count: int
    ) -> Generator[None, None, tuple[list[ListEntry], bytes]]:
        """Return entries in the order of their names, and behind which name the next ones begin; empty: there are none.

        It yields after each step.

        Args:
            key: The name behind which they begin; empty: the first ones.
            list_kind: Only those of this list; None means both.
            count: How many at most.
        """
        last = bytes((max(ListKind) + 1,))
        if list_kind is not None:
            key, last = max(key, bytes((list_kind,))), bytes((list_kind + 1,))
        names, found = list(self._entries), list[bytes]()
        for start in range(0, len(names), NAMES_AT_ONCE):
            found += [name for name in names[start : start + NAMES_AT_ONCE] if key < name < last]
            if len(found) > count:
                found.sort()
                del found[count + 1 :]
                last = found[-1] + b"\0"
            yield
        found.sort()
        # Some may have been removed between two steps.
        entries = [self._entries[name] for name in found[:count] if name in self._entries]
        return entries, found[count - 1] if len(found) > count else b""

    def expired_steps(self, now: int, count: int) -> Generator[None, None, list[bytes]]:
        """Return the names of entries that have expired, at most ``count``; yields after each step."""
        entries, found = list(self._entries.values()), list[bytes]()
        for start in range(0, len(entries), NAMES_AT_ONCE):
            found += [entry.key for entry in entries[start : start + NAMES_AT_ONCE] if entry.has_expired(now)]
            if len(found) >= count:
                break
            yield
        return found[:count]
