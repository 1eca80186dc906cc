"""Looks into a case: who tried most in vain lately, and what is known of one subject."""

from collections.abc import Sequence
from dataclasses import dataclass

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import InvalidRequest, LedgerRefused, Violation
from redemption.domain.order import program_violations
from redemption.domain.ports.ledger import Ledger
from redemption.domain.risk.assessment import ActiveRules
from redemption.domain.risk.attempts import Tried
from redemption.domain.risk.given_subjects import GivenRef, GivenSubject, read_ref, read_subject
from redemption.domain.risk.lists import ListEntry, ListKind, entry_key
from redemption.domain.risk.network import read_address
from redemption.domain.risk.subject_counts import SubjectCount, subject_counts
from redemption.domain.risk.subjects import DIGEST_KINDS, Subject, SubjectKind
from redemption.domain.signed.digest import Digests
from redemption.scheduling.fair_slots import FairSlots
from redemption.scheduling.work_bounds import ATTEMPTS

MINUTES = 10
MINUTES_MAX = 60
SUBJECTS = 20
SUBJECTS_MAX = 100
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class SubjectKnown:
    """What is known of one subject.

    Attributes:
        entries: The list entries that apply to it, also those that have expired.
        counts: What the rules in force have counted of it.
        tried: What it tried in vain in the last hour.
        locked_until_ms: Until when it is locked out, as this process knows, Unix milliseconds; None: it is not.
    """

    subject: Subject
    entries: Sequence[ListEntry]
    counts: Sequence[SubjectCount]
    tried: Tried
    locked_until_ms: int | None


class RiskSubjects:
    """The subjects of all programs."""

    def __init__(self, *, digests: Digests, ledger: Ledger) -> None:
        self._digests = digests
        self._rules = ledger.rules
        self._attempts = ledger.attempts
        self._slots = FairSlots(ATTEMPTS)

    async def top(
        self, caller: CallInfo, program: str, *, minutes: int, subjects_max: int
    ) -> list[tuple[Subject, Tried]]:
        """Return those who tried most in vain, most first; 0 stands for the default of a bound.

        Raises:
            InvalidRequest: The program's name is malformed, or a bound is out of its range.
        """
        violations = list(program_violations(program))
        for value, field, most in ((minutes, "minutes", MINUTES_MAX), (subjects_max, "subjects_max", SUBJECTS_MAX)):
            if not 0 <= value <= most:
                violations.append(Violation(field, f"must be 1 to {most}; it is {value}"))
        if violations:
            raise InvalidRequest(violations)
        reported = await self._attempts.reported(program, minutes or MINUTES)
        async with self._slots.slot() as slot:
            return await slot.drive_small_steps(reported.top(subjects_max or SUBJECTS))

    async def subject(self, caller: CallInfo, program: str, given: GivenSubject | GivenRef) -> SubjectKnown:
        """Return what is known of a subject; of an address's digest, entries of ranges around it are not found.

        Raises:
            InvalidRequest: The program's name or the subject is malformed.
            LedgerRefused: What a rule has counted cannot be read.
        """
        violations = list(program_violations(program))
        if isinstance(given, GivenRef):
            text, subject = "", read_ref(given, "ref")
        else:
            text, subject = given.text, read_subject(given, self._digests.for_program(program), "subject")
        if isinstance(subject, Violation):
            raise InvalidRequest([*violations, subject])
        if violations:
            raise InvalidRequest(violations)
        counts = await self._counts(program, subject) if subject.kind in DIGEST_KINDS else ()
        active = await self._rules.load(program)
        reported = await self._attempts.reported(program, MINUTES_MAX)
        return SubjectKnown(
            subject,
            _entries(active, subject, text),
            counts,
            reported.of(subject),
            self._attempts.locked_until_ms(program, subject),
        )

    async def _counts(self, program: str, subject: Subject) -> Sequence[SubjectCount]:
        """Return what the rules in force have counted of a subject."""
        for _ in range(_ROUNDS):
            active = await self._rules.load(program)
            if not active.placed:
                return ()
            now_ms, version, states = await self._rules.subject_states(program, subject.id)
            if version == active.version:
                # A digest is of one kind: what a rule of another kind counted under it is somebody else's.
                own = [
                    state if placed.rule.subject is subject.kind else b""
                    for placed, state in zip(active.placed, states, strict=True)
                ]
                try:
                    return subject_counts(active.placed, own, now_ms)
                except ValueError as error:
                    raise LedgerRefused(str(error)) from error
        raise LedgerRefused("the rules of this program change faster than they can be read; ask again")


def _entries(active: ActiveRules, subject: Subject, text: str) -> list[ListEntry]:
    """Return the entries of a subject; of an address also those of ranges that contain it."""
    found = []
    for list_kind in ListKind:
        entry = active.lists.find(entry_key(list_kind, subject))
        if entry is not None:
            found.append(entry)
        address = read_address(text) if subject.kind is SubjectKind.NETWORK else None
        if address is not None:
            found += active.lists.all_around(list_kind, address)
    return found
