"""Manages the deny lists and allow lists of programs: add, remove and list entries.

Every change is absolute: a repeated one changes nothing, and raises no version.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import chain

from redemption.domain.call_info import CallInfo
from redemption.domain.campaign.campaign import MILLISECONDS
from redemption.domain.campaign.campaign_checks import LATEST_MS
from redemption.domain.campaign.value_checks import count_violation
from redemption.domain.errors import VIOLATIONS_MAX, Conflict, InvalidRequest, LimitReached, Violation
from redemption.domain.order import program_violations
from redemption.domain.ports.ledger import Ledger
from redemption.domain.ports.orders import Outdated
from redemption.domain.ports.rules import ListChanged
from redemption.domain.risk.given_subjects import GivenRef, GivenSubject, read_ref, read_subject
from redemption.domain.risk.lists import ENTRIES_MAX, ListEntry, ListKind, Lists, entry_key
from redemption.domain.risk.rule_checks import reason_violations
from redemption.domain.risk.subjects import Subject
from redemption.domain.signed.digest import Digests, ProgramDigests
from redemption.scheduling.fair_slots import NO_SLOT, NoSlot, WorkSlot
from redemption.service.judging_rounds import until_decided

SUBJECTS_MAX = 1_000
"""Subjects in one request. The ledger takes as long to add them as to commit about a hundred orders."""
PAGE_SIZE = 100
PAGE_SIZE_MAX = 1_000
PAGE_KEY_BYTES_MAX = 64
"""The name of an entry has 14 bytes at most."""


@dataclass(frozen=True, slots=True)
class EntriesWanted:
    """Entries to add: of these subjects, and of those that the service showed.

    Attributes:
        expires_at_ms: They do nothing from this instant on, a whole second in Unix milliseconds; None: for good.
    """

    list: ListKind
    subjects: Sequence[GivenSubject]
    reason: str = ""
    expires_at_ms: int | None = None
    refs: Sequence[GivenRef] = ()


@dataclass(frozen=True, slots=True)
class EntriesUnwanted:
    """Entries to remove: of these subjects, and of those that the service showed."""

    list: ListKind
    subjects: Sequence[GivenSubject] = ()
    refs: Sequence[GivenRef] = ()


@dataclass(frozen=True, slots=True)
class EntriesAdded:
    """The entries in the order of their subjects, then of the references, and how many entries both lists have."""

    entries: list[ListEntry]
    total: int


@dataclass(frozen=True, slots=True)
class EntriesPage:
    """A part of the entries.

    Attributes:
        next_key: For the next page; empty on the last.
        total: How many entries both lists have.
    """

    entries: list[ListEntry]
    next_key: bytes
    total: int


class RiskLists:
    """The deny lists and allow lists of all programs."""

    def __init__(self, *, digests: Digests, ledger: Ledger) -> None:
        self._digests = digests
        self._rules = ledger.rules
        self._ledger = ledger

    async def add(
        self, caller: CallInfo, program: str, wanted: EntriesWanted, slot: WorkSlot | NoSlot = NO_SLOT
    ) -> EntriesAdded:
        """Add entries, in steps of the slot. A subject that is in the list already gets the new reason and expiry.

        Two ways to name the same subject make one entry. When there is not enough room, entries that have expired are
        removed.

        Raises:
            InvalidRequest: A subject, the reason or the expiry is malformed; nothing was added.
            LimitReached: There is no room for so many entries; nothing was added.
        """
        now = self._ledger.now_ms() // MILLISECONDS
        count = len(wanted.subjects) + len(wanted.refs)
        violations = [*program_violations(program), *_size_violations("subjects", count, least=1, with_refs=True)]
        violations += [*reason_violations(wanted.reason), *_expiry_violations(wanted.expires_at_ms, now)]
        _require(violations)
        digests = self._digests.for_program(program)
        subjects = await slot.drive_small_steps(_subject_steps(wanted.subjects, wanted.refs, digests, wanted.list))

        async def change(_now_ms: int | None) -> EntriesAdded | Outdated:
            try:
                return await self._add(caller, program, wanted, subjects, slot)
            except Conflict:
                return Outdated(self._ledger.now_ms())

        return await until_decided(change, failure=_changed_all_the_time)

    async def _add(
        self,
        caller: CallInfo,
        program: str,
        wanted: EntriesWanted,
        subjects: Sequence[Subject],
        slot: WorkSlot | NoSlot,
    ) -> EntriesAdded:
        """Add entries of subjects that are well formed.

        Raises:
            Conflict: Entries that had expired were changed meanwhile.
            LimitReached: There is no room for so many entries; nothing was added.
        """
        await slot.pause()
        active = await self._rules.load(program)
        slot.resume()
        version, lists, now = active.version, active.lists, self._ledger.now_ms() // MILLISECONDS
        entries = {subject: _entry(lists, wanted, subject, now, caller.principal) for subject in subjects}
        changed = [entry for entry in entries.values() if lists.find(entry.key) is not entry]
        expired: list[bytes] = []
        lacking = len(lists) + sum(lists.find(entry.key) is None for entry in changed) - ENTRIES_MAX
        if lacking > 0:
            known = {entry.key for entry in entries.values()}
            steps = lists.expired_steps(now, len(known) + SUBJECTS_MAX)
            expired = [key for key in await slot.drive_small_steps(steps) if key not in known][:SUBJECTS_MAX]
            if len(expired) < lacking:
                raise LimitReached(_no_room(len(lists), lacking + ENTRIES_MAX - len(lists), len(expired)))
        total = len(lists)
        if changed:
            await slot.pause()
            done = await self._rules.change_lists(
                program,
                changed,
                expired,
                reason=wanted.reason,
                principal=caller.principal,
                expected=version if expired else None,
            )
            slot.resume()
            total = done.total
        return EntriesAdded([entries[subject] for subject in subjects], total)

    async def remove(
        self,
        caller: CallInfo,
        program: str,
        unwanted: EntriesUnwanted,
        slot: WorkSlot | NoSlot = NO_SLOT,
    ) -> ListChanged:
        """Remove entries, in steps of the slot; those that are not there are no error.

        Raises:
            InvalidRequest: A subject or a reference is malformed; nothing was removed.
        """
        list_kind, subjects, refs = unwanted.list, unwanted.subjects, unwanted.refs
        count = len(subjects) + len(refs)
        field = "refs" if refs and not subjects else "subjects"
        _require([*program_violations(program), *_size_violations(field, count, least=1, with_refs=True)])
        digests = self._digests.for_program(program)
        found = await slot.drive_small_steps(_subject_steps(subjects, refs, digests))
        await slot.pause()
        lists = (await self._rules.load(program)).lists
        slot.resume()
        removed = [key for key in {entry_key(list_kind, subject) for subject in found} if lists.find(key) is not None]
        if not removed:
            return ListChanged(total=len(lists), removed=0)
        await slot.pause()
        return await self._rules.change_lists(program, [], removed, reason="", principal=caller.principal)

    async def list(
        self,
        caller: CallInfo,
        program: str,
        list_kind: ListKind | None,
        *,
        after: bytes,
        page_size: int,
        slot: WorkSlot | NoSlot = NO_SLOT,
    ) -> EntriesPage:
        """Return entries in the order of their lists, kinds and ids, in steps of the slot.

        Args:
            caller: The caller.
            program: The program.
            list_kind: The list; None means both.
            after: ``next_key`` of the page before; empty for the first page.
            page_size: The most entries, 1 to 1,000; 0 means 100.
            slot: The slot of long work; short work needs none.
        """
        violations = list(program_violations(program))
        if not 0 <= page_size <= PAGE_SIZE_MAX:
            violations.append(Violation("page_size", f"must be 1 to {PAGE_SIZE_MAX}"))
        if len(after) > PAGE_KEY_BYTES_MAX:
            violations.append(Violation("page_token", "is not the next_page_token of an earlier answer"))
        _require(violations)
        lists = (await self._rules.load(program)).lists
        slot.resume()
        steps = lists.after_steps(after, list_kind, page_size or PAGE_SIZE)
        entries, next_key = await slot.drive_small_steps(steps)
        return EntriesPage(entries, next_key, len(lists))


def _subject_steps(
    given: Sequence[GivenSubject],
    refs: Sequence[GivenRef],
    digests: ProgramDigests,
    added_to: ListKind | None = None,
) -> Generator[None, None, list[Subject]]:
    """Return the subjects; yields after each.

    Args:
        given: Subjects.
        refs: More of them, as the service showed them.
        digests: The program's digests.
        added_to: The list that they are to be added to, if any.

    Raises:
        InvalidRequest: Some of them are malformed.
    """
    found: list[Subject] = []
    violations: list[Violation] = []
    read = chain(
        (read_subject(one, digests, f"subjects[{index}]", added_to) for index, one in enumerate(given)),
        (read_ref(one, f"refs[{index}]", added_to) for index, one in enumerate(refs)),
    )
    for one in read:
        if isinstance(one, Subject):
            found.append(one)
        elif len(violations) < VIOLATIONS_MAX:
            violations.append(one)
        yield
    _require(violations)
    return found


def _entry(lists: Lists, wanted: EntriesWanted, subject: Subject, now: int, principal: str) -> ListEntry:
    """Return the entry that is there if it says the same already, else the new one."""
    known = lists.find(entry_key(wanted.list, subject))
    expires_at = 0 if wanted.expires_at_ms is None else wanted.expires_at_ms // MILLISECONDS
    if known is not None and (known.reason, known.expires_at) == (wanted.reason, expires_at):
        return known
    return ListEntry(wanted.list, subject, wanted.reason, expires_at, now, principal)


def _size_violations(field: str, count: int, *, least: int, with_refs: bool = False) -> list[Violation]:
    if least <= count <= SUBJECTS_MAX:
        return []
    together = ", refs together with subjects" if with_refs else ""
    problem = f"must be {least} to {SUBJECTS_MAX}{together}; there are {count}"
    return [count_violation(field, problem, count=count, most=SUBJECTS_MAX, least=least)]


def _expiry_violations(expires_at_ms: int | None, now: int) -> list[Violation]:
    if expires_at_ms is None:
        return []
    if not 0 <= expires_at_ms <= LATEST_MS:
        return [Violation("expire_time", "must lie before 2106")]
    if expires_at_ms // MILLISECONDS <= now:
        return [Violation("expire_time", "must lie in the future; leave it unset for an entry that never expires")]
    return []


def _no_room(there_are: int, new: int, expired: int) -> str:
    of_them = f", of which {expired} have expired," if expired else ""
    return (
        f"subjects: the lists have {there_are} entries{of_them} and room for {ENTRIES_MAX}; {new} more do not fit: "
        "remove some first, or deny a range of addresses in place of each address"
    )


def _changed_all_the_time() -> Conflict:
    return Conflict("the lists are being changed by others all the time; try again")


def _require(violations: Sequence[Violation]) -> None:
    if violations:
        raise InvalidRequest(violations)
