"""The rules of a program against abuse, as they are applied, and as they are in force."""

from dataclasses import dataclass, field, replace
from enum import IntEnum, IntFlag
from typing import Final

from redemption.domain.risk.subjects import SubjectKind

MICROSECONDS: Final = 1000
"""In a millisecond."""


class RuleMode(IntEnum):
    """Whether a rule is applied; the numbers are those of the contract."""

    ENFORCE = 1
    SHADOW = 2


class RuleCounts(IntEnum):
    """What a rule counts; the numbers are those of the contract."""

    ATTEMPTS = 1
    APPROVALS = 2


class WithoutSubject(IntEnum):
    """What happens to a request without the rule's subject; the numbers are those of the contract."""

    PASS = 1
    REFUSE = 2


class RuleOperation(IntFlag):
    """What a rule judges; the numbers are those of the contract, and sums of them."""

    REDEEM = 1
    CLAIM = 2


EVERYTHING: Final = RuleOperation.REDEEM | RuleOperation.CLAIM


@dataclass(frozen=True, slots=True)
class VelocityRule:
    """Limits how often a subject tries, or succeeds: ``limit`` in each period, and up to ``burst`` at once.

    Attributes:
        campaign: Only requests for coupons of this campaign; 0 means all.
        period_ms: The period, milliseconds.
        operations: What it judges, a sum of ``RuleOperation``.
    """

    name: str
    subject: SubjectKind
    limit: int
    period_ms: int
    burst: int
    campaign: int = 0
    counts: RuleCounts = RuleCounts.ATTEMPTS
    mode: RuleMode = RuleMode.ENFORCE
    without_subject: WithoutSubject = WithoutSubject.PASS
    operations: int = EVERYTHING.value

    @property
    def interval_us(self) -> int:
        """The time between two evenly spaced requests, whole microseconds, rounded up."""
        return -(-self.period_ms * MICROSECONDS // self.limit)

    @property
    def tolerance_us(self) -> int:
        """How far ahead of evenly spaced requests a subject may be, microseconds."""
        return (self.burst - 1) * self.interval_us

    @property
    def life_ms(self) -> int:
        """How long after a request the state of its subject can matter, milliseconds."""
        return -(-(self.tolerance_us + self.interval_us) // MICROSECONDS)

    def tightened(self, by: "Tightened") -> "VelocityRule":
        """Return the rule as it is in force when it is tightened."""
        limit = min(by.limit or self.limit, self.limit)
        burst = min(by.burst or by.limit or self.burst, self.burst)
        return replace(self, mode=by.tighter_mode(self.mode), limit=limit, burst=burst)


@dataclass(frozen=True, slots=True)
class AccountsRule:
    """Limits how many different customers share one subject within a window.

    Attributes:
        customers: How many.
        window_seconds: A customer counts until this long after it was counted last.
    """

    name: str
    subject: SubjectKind
    customers: int
    window_seconds: int
    campaign: int = 0
    counts: RuleCounts = RuleCounts.APPROVALS
    mode: RuleMode = RuleMode.ENFORCE
    without_subject: WithoutSubject = WithoutSubject.PASS
    operations: int = EVERYTHING.value

    @property
    def life_ms(self) -> int:
        """How long after a request the state of its subject can matter, milliseconds."""
        return self.window_seconds * 1000

    def tightened(self, by: "Tightened") -> "AccountsRule":
        """Return the rule as it is in force when it is tightened."""
        customers = min(by.limit or self.customers, self.customers)
        return replace(self, mode=by.tighter_mode(self.mode), customers=customers)


@dataclass(frozen=True, slots=True)
class LockOut:
    """What happens to subjects whose tokens and exchange codes fail.

    Attributes:
        failures: So many within the period lock a subject out.
        period_seconds: The period.
        wait_seconds: The first lock-out; each further one is twice as long.
        wait_seconds_max: The longest lock-out; after as long a quiet time, the next one is a first one again.
        customers: Whether customers are locked out; likewise devices and networks.
        code_failures_per_minute: The program's budget of failed exchange codes.
    """

    failures: int = 10
    period_seconds: int = 60
    wait_seconds: int = 60
    wait_seconds_max: int = 3600
    customers: RuleMode = RuleMode.ENFORCE
    devices: RuleMode = RuleMode.ENFORCE
    networks: RuleMode = RuleMode.SHADOW
    code_failures_per_minute: int = 1000


@dataclass(frozen=True, slots=True)
class RefusalShare:
    """Warn when so much of the answers of a minute, of ``answers_min`` or more, is one outcome; in basis points.

    Attributes:
        outcome: The outcome, by its number in the contract.
    """

    outcome: int
    basis_points: int
    answers_min: int = 100


@dataclass(frozen=True, slots=True)
class WarningThresholds:
    """When to warn early; None warns of nothing."""

    refusal_shares: tuple[RefusalShare, ...] = ()
    budget_spent_basis_points: int | None = None
    budget_gone_within_seconds: int | None = None
    claims_per_minute: int | None = None


NO_THRESHOLDS: Final = WarningThresholds()


@dataclass(frozen=True, slots=True)
class Tightened:
    """How a rule was tightened until it is loosened again; None: as it was applied.

    It is kept as it was asked for, also while the rule is not there, or is applied as strict: of each value the
    stricter one is in force.

    Attributes:
        limit: Its limit, or its number of customers.
    """

    name: str
    limit: int | None = None
    burst: int | None = None
    mode: RuleMode | None = None

    def merged(self, earlier: "Tightened | None") -> "Tightened":
        """Return it together with an earlier one of the same rule: what it does not say stays as it was."""
        if earlier is None:
            return self
        return Tightened(
            self.name,
            limit=earlier.limit if self.limit is None else self.limit,
            burst=earlier.burst if self.burst is None else self.burst,
            mode=earlier.mode if self.mode is None else self.mode,
        )

    def tighter_mode(self, applied: RuleMode) -> RuleMode:
        """Return the mode that is in force of a rule that was applied with another one."""
        return RuleMode.ENFORCE if RuleMode.ENFORCE in (self.mode, applied) else RuleMode.SHADOW


@dataclass(frozen=True, slots=True)
class Numbered:
    """The number under which a rule counts.

    Attributes:
        number: Never used for anything else in the program.
        signature: What the count depends on. A rule with another signature gets another number, and counts anew.
    """

    number: int
    signature: str


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules of a program as they were applied, and what is changed of them in an emergency.

    Attributes:
        tightened: How rules were tightened; some of them may not be there now.
        claims_frozen: All claims are refused.
        numbers: The numbers of the rules in force, by name.
        next_number: The number of the next rule that needs one.
    """

    velocity: tuple[VelocityRule, ...] = ()
    accounts: tuple[AccountsRule, ...] = ()
    lock_out: LockOut = LockOut()
    warnings: WarningThresholds = NO_THRESHOLDS
    tightened: tuple[Tightened, ...] = ()
    claims_frozen: bool = False
    numbers: dict[str, Numbered] = field(default_factory=dict)
    next_number: int = 1

    @property
    def applied(self) -> tuple[VelocityRule | AccountsRule, ...]:
        """All rules as they were applied."""
        return self.velocity + self.accounts

    @property
    def in_force(self) -> tuple[VelocityRule | AccountsRule, ...]:
        """The rules as they are in force, tightened where they are."""
        changed = {rule.name: rule for rule in self.tightened}
        found: list[VelocityRule | AccountsRule] = []
        for rule in self.applied:
            tightened = changed.get(rule.name)
            found.append(rule if tightened is None else rule.tightened(tightened))
        return tuple(found)

    def replaced_by(self, wanted: "Rules") -> "Rules":
        """Return the rules of ``wanted`` with a number for each; what was changed in an emergency is kept.

        Also of a rule that is not there now: it is tightened again when it comes back.
        """
        return replace(
            wanted,
            tightened=self.tightened,
            claims_frozen=self.claims_frozen,
            numbers=self.numbers,
            next_number=self.next_number,
        ).numbered()

    def numbered(self) -> "Rules":
        """Return the same rules with a number for each: the same as before while it counts the same."""
        numbers, following = {}, self.next_number
        for rule in self.in_force:
            signature = _signature(rule)
            known = self.numbers.get(rule.name)
            if known is None or known.signature != signature:
                known, following = Numbered(following, signature), following + 1
            numbers[rule.name] = known
        return replace(self, numbers=numbers, next_number=following)


NO_RULES: Final = Rules()


def _signature(rule: VelocityRule | AccountsRule) -> str:
    """Return what the count of a rule depends on, as a text."""
    if isinstance(rule, AccountsRule):
        parts = ("accounts", rule.subject.name, rule.campaign, rule.customers, rule.window_seconds, rule.counts.name)
    else:
        parts = ("velocity", rule.subject.name, rule.campaign, rule.limit, rule.period_ms, rule.burst, rule.counts.name)  # type: ignore[assignment]
    return " ".join(map(str, parts))
