"""Reports what rules and lists did to a request, for the statistics."""

from collections.abc import Iterable, Sequence
from enum import IntEnum

from redemption.domain.order import Customer, RiskContext
from redemption.domain.outcome import Outcome
from redemption.domain.ports.orders import Exceeded, OrderLedger
from redemption.domain.risk.assessment import ActiveRules, Missing, ids_of
from redemption.domain.risk.subjects import DIGEST_KINDS, Subject
from redemption.domain.signed.digest import ProgramDigests

LOCK_OUT = 0
"""The number under which it is counted what lock-out did; no rule has it."""


REFUSED_BY_RULES = (Outcome.DENYLISTED, Outcome.VELOCITY_EXCEEDED)


class RuleDid(IntEnum):
    """What a rule did to a request."""

    REFUSED = 1
    WOULD_REFUSE = 2
    WITHOUT_SUBJECT = 3


def count_rules(
    orders: OrderLedger, program: str, active: ActiveRules, exceeded: Iterable[Exceeded], missing: Iterable[Missing]
) -> None:
    """Count what the rules in force did to one request.

    Args:
        orders: Keeps the counts.
        program: The program.
        active: The rules that the request was judged by.
        exceeded: The rules that it exceeds.
        missing: The rules whose subject it lacks.
    """
    for one in exceeded:
        placed = active.placed[one.position - 1]
        orders.count_rule(program, placed.number, RuleDid.REFUSED if placed.is_enforced else RuleDid.WOULD_REFUSE)
    for lacking in missing:
        orders.count_rule(program, lacking.placed.number, RuleDid.WITHOUT_SUBJECT)


def people_of(digests: ProgramDigests, customer: Customer, risk: RiskContext) -> list[Subject]:
    """Return all whom a request names, of every kind, to count who tries in vain."""
    return [Subject(kind, digest) for kind, digest in ids_of(digests, DIGEST_KINDS, customer, risk).items()]


def try_after_ms(active: ActiveRules, exceeded: Sequence[Exceeded]) -> int | None:
    """Return when none of the enforced rules that a request exceeds refuses it any more, Unix milliseconds."""
    return max((one.try_after_ms for one in exceeded if active.placed[one.position - 1].is_enforced), default=None)
