"""How the use cases read and change the rules of a program: implemented by ``ledger``, used by ``service``."""

from collections.abc import Sequence
from typing import Protocol

from redemption.domain.record import record
from redemption.domain.risk.assessment import ActiveRules
from redemption.domain.risk.lists import ListEntry
from redemption.domain.risk.rules import Rules


@record(frozen=True, slots=True)
class ListChanged:
    """What a change of the lists did: how many entries there are now, and how many of the removed ones there were."""

    total: int
    removed: int


class RulesLedger(Protocol):
    """Keeps rules and lists. Every method but ``cached`` may raise ``ServiceError``."""

    def cached(self, program: str) -> ActiveRules | None:
        """Return the rules and lists of a program if they are in memory; the ledger compares their version."""

    async def load(self, program: str) -> ActiveRules:
        """Return the rules and lists of a program as they are now."""

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

    async def change_lists(
        self, program: str, put: Sequence[ListEntry], removed: Sequence[bytes], *, reason: str, principal: str
    ) -> ListChanged:
        """Add, change and remove entries of the lists, all of them or none; each subject once.

        Raises:
            LimitReached: There would be more entries than ``ENTRIES_MAX``.
        """
