"""Rules against abuse for tests."""

import itertools
from dataclasses import replace

from hypothesis import strategies as st

from redemption.domain.risk.rules import (
    AccountsRule,
    LockOut,
    RefusalShare,
    RuleCounts,
    RuleMode,
    Rules,
    Tightened,
    VelocityRule,
    WarningThresholds,
    WithoutSubject,
)
from redemption.domain.risk.subjects import SubjectKind

MINUTE_MS = 60_000


def velocity_rule(name, **changes):
    """Five a minute for each customer."""
    fields = {"subject": SubjectKind.CUSTOMER, "limit": 5, "burst": 5, "period_ms": MINUTE_MS} | changes
    return VelocityRule(name, **fields)


def accounts_rule(name, **changes):
    """Two customers on one device in an hour."""
    fields = {"subject": SubjectKind.DEVICE, "customers": 2, "window_seconds": 3600} | changes
    return AccountsRule(name, **fields)


_COUNTED = st.sampled_from([kind for kind in SubjectKind if kind not in (SubjectKind.COUPON, SubjectKind.RANGE)])
_SHARED = st.sampled_from([SubjectKind.DEVICE, SubjectKind.NETWORK, SubjectKind.PAYMENT])
_NUMBERS = st.integers(1, 1000)
_COMMON = {
    "campaign": st.integers(0, 2**32 - 1),
    "counts": st.sampled_from(RuleCounts),
    "mode": st.sampled_from(RuleMode),
    "without_subject": st.sampled_from(WithoutSubject),
    "operations": st.integers(1, 3),
}
_VELOCITY = st.builds(
    VelocityRule,
    name=st.just(""),
    subject=_COUNTED,
    limit=_NUMBERS,
    burst=_NUMBERS,
    period_ms=st.integers(1000, 30 * 86_400_000),
    **_COMMON,
)
_ACCOUNTS = st.builds(
    AccountsRule,
    name=st.just(""),
    subject=_SHARED,
    customers=st.integers(1, 50),
    window_seconds=st.integers(1, 30 * 86_400),
    **_COMMON,
)
_LOCK_OUT = st.builds(
    LockOut,
    failures=_NUMBERS,
    period_seconds=st.integers(1, 3600),
    wait_seconds=st.integers(1, 3600),
    wait_seconds_max=st.integers(3600, 604_800),
    customers=st.sampled_from(RuleMode),
    devices=st.sampled_from(RuleMode),
    networks=st.sampled_from(RuleMode),
    code_failures_per_minute=_NUMBERS,
)
_SHARES = st.lists(
    st.builds(
        RefusalShare, outcome=st.sampled_from([60, 70]), basis_points=st.integers(1, 10_000), answers_min=_NUMBERS
    ),
    max_size=2,
    unique_by=lambda share: share.outcome,
)
_WARNINGS = st.builds(
    WarningThresholds,
    refusal_shares=_SHARES.map(tuple),
    budget_spent_basis_points=st.none() | st.integers(1, 10_000),
    budget_gone_within_seconds=st.none() | st.integers(60, 30 * 86_400),
    claims_per_minute=st.none() | _NUMBERS,
)


@st.composite
def _rules(draw):
    named = itertools.count()
    velocity, accounts = (
        tuple(replace(rule, name=f"rule-{next(named)}") for rule in draw(st.lists(rules, max_size=3)))
        for rules in (_VELOCITY, _ACCOUNTS)
    )
    rules = Rules(velocity, accounts, lock_out=draw(_LOCK_OUT), warnings=draw(_WARNINGS))
    if velocity and draw(st.booleans()):
        limit = draw(st.integers(1, velocity[0].limit))
        rules = replace(rules, tightened=(Tightened("rule-0", limit=limit),), claims_frozen=draw(st.booleans()))
    return rules


RULES = _rules()
"""Rules that can be converted, not all of which are allowed."""
