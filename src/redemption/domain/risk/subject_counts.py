"""What rules have counted of one subject, for people who look into a case."""

import struct
from collections.abc import Sequence
from typing import Final

from redemption.domain.record import record
from redemption.domain.risk.assessment import PlacedRule
from redemption.domain.risk.rules import MICROSECONDS, AccountsRule, VelocityRule

_RATE: Final = struct.Struct(">Q")
_CUSTOMER: Final = struct.Struct(">8sI")
_MILLISECONDS: Final = 1000


@record(frozen=True, slots=True)
class SubjectCount:
    """What one rule has counted of a subject.

    Attributes:
        rule: The rule's name.
        left: How many more it lets pass now; of an accounts rule, how many more customers.
        try_after_ms: With none left: when the next one passes, Unix milliseconds.
        customers: Of an accounts rule: the digests of the customers that it counts.
    """

    rule: str
    left: int
    try_after_ms: int | None = None
    customers: Sequence[bytes] = ()


def subject_counts(placed: Sequence[PlacedRule], states: Sequence[bytes], now_ms: int) -> list[SubjectCount]:
    """Return what rules have counted, of those that have counted anything which still matters.

    Args:
        placed: The rules.
        states: What the ledger keeps of the subject for each of them (``lua/velocity.lua``); empty: nothing.
        now_ms: The ledger's clock, Unix milliseconds.

    Raises:
        ValueError: A state cannot be read.
    """
    found = []
    for one, state in zip(placed, states, strict=True):
        if not state:
            continue
        try:
            rule = one.rule
            count = _rate(rule, state, now_ms) if isinstance(rule, VelocityRule) else _accounts(rule, state, now_ms)
        except struct.error as error:
            raise ValueError(f"what rule {one.rule.name} has counted cannot be read") from error
        if count is not None:
            found.append(count)
    return found


def _rate(rule: VelocityRule, state: bytes, now_ms: int) -> SubjectCount | None:
    (due_us,) = _RATE.unpack(state)
    ahead_us = due_us - now_ms * MICROSECONDS
    if ahead_us <= 0:
        return None
    if ahead_us > rule.tolerance_us:
        return SubjectCount(rule.name, 0, -(-(due_us - rule.tolerance_us) // MICROSECONDS))
    return SubjectCount(rule.name, (rule.tolerance_us - ahead_us) // rule.interval_us + 1)


def _accounts(rule: AccountsRule, state: bytes, now_ms: int) -> SubjectCount | None:
    now = now_ms // _MILLISECONDS
    counted = [(digest, last) for digest, last in _CUSTOMER.iter_unpack(state) if now - last < rule.window_seconds]
    if not counted:
        return None
    left = max(rule.customers - len(counted), 0)
    oldest = min(last for _, last in counted)
    try_after_ms = None if left else (oldest + rule.window_seconds) * _MILLISECONDS
    return SubjectCount(rule.name, left, try_after_ms, tuple(digest for digest, _ in counted))
