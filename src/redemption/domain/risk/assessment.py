"""What the rules and lists of a program say about one request, before the ledger counts."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from redemption.domain.order import MINOR_MAX, Customer, RiskContext
from redemption.domain.record import record
from redemption.domain.risk.lists import ListEntry, ListKind, Lists
from redemption.domain.risk.network import read_address
from redemption.domain.risk.rules import (
    NO_RULES,
    AccountsRule,
    RuleMode,
    RuleOperation,
    Rules,
    VelocityRule,
    WithoutSubject,
)
from redemption.domain.risk.subjects import SubjectKind, coupon_subject, digest_of, named
from redemption.domain.signed.digest import ProgramDigests

MILLISECONDS: Final = 1000
_PEOPLE: Final = (
    SubjectKind.CUSTOMER,
    SubjectKind.PERSON,
    SubjectKind.DEVICE,
    SubjectKind.NETWORK,
    SubjectKind.PAYMENT,
)
NO_CHECKS: Final = b"\0"
"""The checks of a request that no rule counts, as the ledger reads them."""
ANY_CAMPAIGN: Final = 0
"""Instead of a campaign's number: no campaign is known yet, so only rules of all campaigns hold."""


@record(frozen=True, slots=True)
class PlacedRule:
    """A rule in force.

    Attributes:
        rule: The rule.
        position: Its place among the rules in force; the first is 1.
        number: The number under which it counts.
        prefix: The position, as the ledger reads it in front of a subject's digest.
        is_enforced: Its mode is not SHADOW.
        refuses_without: A request without its subject is refused.
        needs_customer: It counts customers.
    """

    rule: VelocityRule | AccountsRule
    position: int
    number: int
    prefix: bytes
    is_enforced: bool
    refuses_without: bool
    needs_customer: bool


@record(frozen=True, slots=True)
class Missing:
    """A rule whose subject a request does not name, and the subjects that it lacks."""

    placed: PlacedRule
    kinds: tuple[SubjectKind, ...]


@dataclass(frozen=True, eq=False)  # without slots, because a cached property needs a __dict__
class ActiveRules:
    """The rules and lists of a program in force.

    Attributes:
        version: Every change of a rule or an entry raises it.
        changed: The version of the last change of a rule.
        rules: The rules.
        lists: The lists; they change in place, and then there is a new object around them.
    """

    version: int
    changed: int
    rules: Rules
    lists: Lists

    @cached_property
    def placed(self) -> tuple[PlacedRule, ...]:
        """All rules in force, in the order in which the ledger has them."""
        return tuple(
            PlacedRule(
                rule,
                position=position,
                number=self.rules.numbers[rule.name].number,
                prefix=bytes((position,)),
                is_enforced=rule.mode is RuleMode.ENFORCE,
                refuses_without=rule.without_subject is WithoutSubject.REFUSE,
                needs_customer=isinstance(rule, AccountsRule),
            )
            for position, rule in enumerate(self.rules.in_force, start=1)
        )

    @cached_property
    def of_redeem(self) -> tuple[PlacedRule, ...]:
        """The rules that judge orders."""
        return tuple(placed for placed in self.placed if placed.rule.operations & RuleOperation.REDEEM)

    @cached_property
    def of_claim(self) -> tuple[PlacedRule, ...]:
        """The rules that judge claims."""
        return tuple(placed for placed in self.placed if placed.rule.operations & RuleOperation.CLAIM)

    @cached_property
    def judges_orders(self) -> bool:
        """Whether there is any rule or entry that an order must be compared with."""
        return bool(self.of_redeem) or bool(self.lists)

    @cached_property
    def judges_claims(self) -> bool:
        """Whether there is any rule or entry that a claim must be compared with."""
        return bool(self.of_claim) or bool(self.lists)

    @cached_property
    def wanted(self) -> tuple[SubjectKind, ...]:
        """The kinds of subjects that rules count or lists name."""
        counted = {placed.rule.subject for placed in self.placed}
        found = {kind for kind in _PEOPLE if kind in counted or self.lists.names(kind)}
        if self.lists.names(SubjectKind.RANGE):
            found.add(SubjectKind.NETWORK)
        return tuple(sorted(found))


NO_ACTIVE_RULES: Final = ActiveRules(0, 0, NO_RULES, Lists())
"""What is in force in a program that never had any rules or entries."""


@record(frozen=True, slots=True)
class Assessment:
    """What rules and lists say about one request.

    Attributes:
        denied: A deny entry names one of its subjects.
        denied_coupons: The coupons that deny entries name, as campaign and serial.
        exempt: The kinds of its subjects that allow entries name.
        missing: The rules whose subject it lacks.
        checks: What the ledger counts: how many, and of each the rule's position and the subject's digest.
        since_ms: It holds from this instant on, Unix milliseconds: then an entry expired.
        until_ms: It holds until this instant, exclusive, Unix milliseconds: then an entry expires.
    """

    denied: bool = False
    denied_coupons: Collection[tuple[int, int]] = ()
    exempt: Collection[SubjectKind] = ()
    missing: tuple[Missing, ...] = ()
    checks: bytes = NO_CHECKS
    until_ms: int = MINOR_MAX
    since_ms: int = 0

    def lacking(self, campaign: int) -> tuple[SubjectKind, ...]:
        """Return the subjects that a request for a campaign lacks, and must name; empty: none."""
        found: list[SubjectKind] = []
        for missing in self.missing:
            placed = missing.placed
            if placed.refuses_without and placed.is_enforced and placed.rule.campaign in (0, campaign):
                found += [kind for kind in missing.kinds if kind not in found]
        return tuple(found)


NOT_ASSESSED: Final = Assessment()
"""What is said of every request of a program without rules and lists."""


def assess(
    active: ActiveRules,
    rules: Iterable[PlacedRule],
    *,
    digests: ProgramDigests,
    customer: Customer,
    risk: RiskContext,
    coupons: Sequence[tuple[int, int]],
    campaigns: Collection[int],
    now_ms: int,
) -> Assessment:
    """Return what rules and lists say about a request.

    Args:
        active: The rules and lists in force.
        rules: Those of the request's operation.
        digests: The program's digests.
        customer: Who buys or claims.
        risk: The other signals of the request.
        coupons: Its coupons, as campaign and serial.
        campaigns: The campaigns of its coupons.
        now_ms: The instant, Unix milliseconds.
    """
    ids = ids_of(digests, active.wanted, customer, risk)
    listed = NOT_LISTED
    if active.lists:
        listed = Listed(active.lists, now_ms // MILLISECONDS)
        listed.look_up(ids, risk)
        if active.lists.names(SubjectKind.COUPON):
            listed.look_up_coupons(coupons)
    guest = not customer.customer_id
    missing: list[Missing] = []
    checks = [b""]
    for placed in rules:
        rule = placed.rule
        if rule.campaign and rule.campaign not in campaigns:
            continue
        digest = ids.get(rule.subject)
        if digest is None or (guest and placed.needs_customer):
            missing.append(Missing(placed, _lacking(rule.subject, digest, guest and placed.needs_customer)))
        elif rule.subject not in listed.exempt:
            checks += (placed.prefix, digest)
    checks[0] = bytes((len(checks) // 2,))
    return Assessment(
        denied=listed.denied,
        denied_coupons=listed.coupons,
        exempt=listed.exempt,
        missing=tuple(missing),
        checks=b"".join(checks),
        until_ms=listed.until * MILLISECONDS if listed.until else MINOR_MAX,
        since_ms=listed.since * MILLISECONDS,
    )


def _lacking(kind: SubjectKind, digest: bytes | None, customer: bool) -> tuple[SubjectKind, ...]:  # noqa: FBT001
    """Return what a request lacks for a rule: its subject, or the customer, or both."""
    subject = (kind,) if digest is None else ()
    return (*subject, SubjectKind.CUSTOMER) if customer else subject


def ids_of(
    digests: ProgramDigests, kinds: Iterable[SubjectKind], customer: Customer, risk: RiskContext
) -> dict[SubjectKind, bytes]:
    """Return the digests of those subjects of some kinds that a request names."""
    ids: dict[SubjectKind, bytes] = {}
    for kind in kinds:
        digest = digest_of(digests, kind, named(kind, customer, risk))
        if digest is not None:
            ids[kind] = digest
    return ids


class Listed:
    """What the lists say about a request.

    Attributes:
        denied: A deny entry names one of its subjects.
        coupons: The coupons that deny entries name.
        exempt: The kinds of its subjects that allow entries name.
        since: When the last of the expired entries that name a subject of it expired, Unix seconds; 0: none did.
        until: When the first of the others expires, Unix seconds; 0: never.
    """

    def __init__(self, lists: Lists, now: int) -> None:
        self.denied = False
        self.coupons: set[tuple[int, int]] = set()
        self.exempt: set[SubjectKind] = set()
        self.since = 0
        self.until = 0
        self._lists = lists
        self._now = now

    def look_up(self, ids: Mapping[SubjectKind, bytes], risk: RiskContext) -> None:
        """Look up the subjects of a request, as ``ids_of`` returns them."""
        ranges = self._lists.names(SubjectKind.RANGE) and risk.network_address
        address = read_address(risk.network_address) if ranges else None
        for kind, digest in ids.items():
            if self._has(ListKind.DENY, kind, digest, address):
                self.denied = True
            if self._has(ListKind.ALLOW, kind, digest, address):
                self.exempt.add(kind)

    def look_up_coupons(self, coupons: Iterable[tuple[int, int]]) -> None:
        """Look up coupons, as campaign and serial."""
        for coupon in coupons:
            if self._has(ListKind.DENY, SubjectKind.COUPON, coupon_subject(*coupon).id, None):
                self.coupons.add(coupon)

    def _has(self, list_kind: ListKind, kind: SubjectKind, subject_id: bytes, address: bytes | None) -> bool:
        entry = self._lists.find(bytes((list_kind, kind)) + subject_id)
        found = entry is not None and self._applies(entry)
        if not found and kind is SubjectKind.NETWORK and address is not None:
            found = any(self._applies(around) for around in self._lists.all_around(list_kind, address))
        return found

    def _applies(self, entry: ListEntry) -> bool:
        """Whether an entry has not expired; notes how long that holds."""
        if entry.has_expired(self._now):
            self.since = max(self.since, entry.expires_at)
            return False
        if entry.expires_at:
            self.until = min(self.until or entry.expires_at, entry.expires_at)
        return True


NOT_LISTED: Final = Listed(Lists(), 0)
"""What empty lists say."""
