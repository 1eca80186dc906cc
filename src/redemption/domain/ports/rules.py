"""How the use cases read and change the rules of a program: implemented by ``ledger``, used by ``service``."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from redemption.domain.record import record
from redemption.domain.risk.assessment import ActiveRules
from redemption.domain.risk.attempts import Reported
from redemption.domain.risk.lists import ListEntry
from redemption.domain.risk.rules import Rules
from redemption.domain.risk.subjects import Subject
from redemption.domain.risk.warnings import RiskWarning


@record(frozen=True, slots=True)
class ListChanged:
    """What a change of the lists did: how many entries there are now, and how many of the removed ones there were."""

    total: int
    removed: int


@record(frozen=True, slots=True)
class RuleCounted:
    """What rules did, as the ledger has counted it.

    Attributes:
        as_of_ms: When it was read, Unix milliseconds; 0 for a program that has no ledger.
        counts: How often, by the rule's number and a number of ``RuleDid``.
    """

    as_of_ms: int
    counts: dict[tuple[int, int], int]


class RulesLedger(Protocol):
    """Keeps rules and lists. Every method but ``cached`` may raise ``ServiceError``."""

    def cached(self, program: str) -> ActiveRules | None:
        """Return the rules and lists of a program if they are in memory; the ledger compares their version."""

    async def load(self, program: str) -> ActiveRules:
        """Return the rules and lists of a program as they are now."""

    async def counts(self, program: str) -> RuleCounted:
        """Return what the rules of a program did; it has had rules or entries, so it has a ledger."""

    async def define(self, program: str, rules: Rules, *, expected: int, what: str, principal: str) -> ActiveRules:
        """Replace the rules of a program, and return what is in force then.

        Args:
            program: The program.
            rules: The rules, numbered.
            expected: ``ActiveRules.changed`` of the rules that they replace.
            what: What is changed, a word for the event.
            principal: Who changes them.

        Raises:
            Conflict: Other rules are in force.
        """

    async def subject_states(self, program: str, digest: bytes) -> tuple[int, int, Sequence[bytes]]:
        """Return what the rules have counted of a subject, by its digest.

        Returns:
            The ledger's clock (Unix milliseconds), the version of the rules, and for each rule in force its state, as
            ``domain.risk.subject_counts`` reads it.
        """

    async def change_lists(
        self,
        program: str,
        put: Sequence[ListEntry],
        removed: Sequence[bytes],
        *,
        reason: str,
        principal: str,
        expected: int | None = None,
    ) -> ListChanged:
        """Add, change and remove entries of the lists, all of them or none; each subject once.

        Args:
            program: The program.
            put: The entries to add or change.
            removed: The names of the entries to remove.
            reason: Why, for the event.
            principal: Who changes them.
            expected: ``ActiveRules.version`` that must be in force; None: whichever is.

        Raises:
            Conflict: Another version is in force than ``expected``.
            LimitReached: There would be more entries than ``ENTRIES_MAX``.
        """


class AttemptLedger(Protocol):
    """Counts what subjects tried in vain, and knows who is locked out.

    What other server processes saw is known within two seconds. Attempts at programs that do not exist are not counted.
    """

    def knows(self, program: str) -> bool:
        """Whether there is such a program. From now on, what other processes see of it is learned."""

    def fail(self, program: str, subjects: Sequence[Subject], count: int, *, codes: bool) -> bool:
        """Count tokens, or exchange codes, of one request that failed.

        Args:
            program: The program.
            subjects: Who failed.
            count: How many failed.
            codes: They are exchange codes.

        Returns:
            False if there is no such program, and so nothing was counted.
        """

    def refuse(self, program: str, subjects: Iterable[Subject]) -> None:
        """Count a request that a rule, a list or a lock-out refused."""

    def locked_until_ms(self, program: str, subject: Subject) -> int | None:
        """Return until when a subject is locked out, Unix milliseconds; None if it is not."""

    def failures_left(self, program: str, subject: Subject) -> int:
        """Return how many more failures at once lock a subject out."""

    def codes_spent_until_ms(self, program: str) -> int | None:
        """Return until when the program's budget of failed codes is spent, Unix milliseconds; None if it is not."""

    def failed_lately(self, program: str, subjects: Iterable[Subject]) -> bool:
        """Whether any of the subjects failed in the last minutes."""

    async def locked_out(self, program: str) -> int:
        """Return how many subjects of a program are locked out now."""

    async def reported(self, program: str, minutes: int) -> Reported:
        """Return what was tried in vain in the last minutes, at most 60; may raise ``ServiceError``."""


class WarningLedger(Protocol):
    """What campaigns are warned of. The ledger finds it by itself, as long as a server runs."""

    async def warnings(self, program: str, campaign: int = 0) -> list[RiskWarning]:
        """Return the warnings that are raised now, by campaign; with a campaign's number, of this one alone.

        Raises:
            ServiceError: The ledger cannot be asked.
        """
