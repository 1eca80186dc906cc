"""Reports what rules and lists did to a request, for the statistics."""

from collections.abc import Iterable, Sequence
from enum import IntEnum

from redemption.domain.order import Customer, RiskContext
from redemption.domain.outcome import Outcome
from redemption.domain.ports.orders import Exceeded, OrderLedger
from redemption.domain.risk.assessment import ActiveRules, Missing, ids_of
from redemption.domain.risk.subjects import DIGEST_KINDS, Subject
from redemption.domain.signed.digest import ProgramDigests
from redemption.telemetry.full_rules import FullRules

LOCK_OUT = 0
"""The number under which it is counted what lock-out did; no rule has it."""


REFUSED_BY_RULES = (Outcome.DENYLISTED, Outcome.VELOCITY_EXCEEDED)


class RuleDid(IntEnum):
    """What a rule did to a request.

    ``WITHOUT_SUBJECT`` also says that it could not count the request, because it counts too many subjects already.
    """

    REFUSED = 1
    WOULD_REFUSE = 2
    WITHOUT_SUBJECT = 3


class RuleReports:
    """Counts what the rules in force did, for all programs."""

    def __init__(self, orders: OrderLedger, full_rules: FullRules) -> None:
        """Build it.

        Args:
            orders: Keeps the counts.
            full_rules: Is told of rules that could not count a request.
        """
        self._orders = orders
        self._full_rules = full_rules

    def count(
        self, program: str, active: ActiveRules, exceeded: Iterable[Exceeded], missing: Iterable[Missing]
    ) -> None:
        """Count what the rules in force did to one request.

        Args:
            program: The program.
            active: The rules that the request was judged by.
            exceeded: The rules that it exceeds, or that could not count it.
            missing: The rules whose subject it lacks.
        """
        for one in exceeded:
            placed = active.placed[one.position - 1]
            did = RuleDid.REFUSED if placed.is_enforced else RuleDid.WOULD_REFUSE
            if one.is_uncounted:
                did = RuleDid.WITHOUT_SUBJECT
                self._full_rules.met(program, placed.rule.name)
            self._orders.count_rule(program, placed.number, did)
        for lacking in missing:
            self._orders.count_rule(program, lacking.placed.number, RuleDid.WITHOUT_SUBJECT)


def people_of(digests: ProgramDigests, customer: Customer, risk: RiskContext) -> list[Subject]:
    """Return all whom a request names, of every kind, to count who tries in vain."""
    return [Subject(kind, digest) for kind, digest in ids_of(digests, DIGEST_KINDS, customer, risk).items()]


def try_after_ms(active: ActiveRules, exceeded: Sequence[Exceeded]) -> int | None:
    """Return when none of the enforced rules that a request exceeds refuses it any more, Unix milliseconds."""
    enforced = [one for one in exceeded if active.placed[one.position - 1].is_enforced and not one.is_uncounted]
    return max((one.try_after_ms for one in enforced), default=None)
