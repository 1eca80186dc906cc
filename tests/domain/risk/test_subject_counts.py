"""What is told of a subject is what the rule would decide."""

import struct

import pytest

from redemption.domain.risk.assessment import ActiveRules
from redemption.domain.risk.lists import Lists
from redemption.domain.risk.rules import AccountsRule, Rules, VelocityRule
from redemption.domain.risk.subject_counts import SubjectCount, subject_counts
from redemption.domain.risk.subjects import SubjectKind

NOW_MS = 1_800_000_000_000
NOW = NOW_MS // 1000
RULE = VelocityRule("rate", SubjectKind.DEVICE, 5, 60_000, 5)
FARM = AccountsRule("farm", SubjectKind.DEVICE, 2, 60)
STEP_US = 12_000_000


def counted(rule, state):
    rules = Rules(velocity=(rule,)) if rule is RULE else Rules(accounts=(rule,))
    return subject_counts(ActiveRules(1, 1, rules.numbered(), Lists()).placed, [state], NOW_MS)


def due(steps):
    """The state of a subject that is so many requests ahead."""
    return struct.pack(">Q", NOW_MS * 1000 + int(steps * STEP_US))


def customers(*ages):
    return b"".join(struct.pack(">8sI", bytes(7) + bytes((index,)), NOW - age) for index, age in enumerate(ages))


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (b"", []),
        (due(-1), []),
        (due(0), []),
        (due(1), [SubjectCount("rate", 4)]),
        (due(4), [SubjectCount("rate", 1)]),
        (due(4.5), [SubjectCount("rate", 0, NOW_MS + 6_000)]),
        (due(5), [SubjectCount("rate", 0, NOW_MS + 12_000)]),
    ],
)
def test_of_a_rate_it_is_told_how_many_are_left(state, told):
    assert counted(RULE, state) == told


def test_of_accounts_it_is_told_which_customers_count():
    assert counted(FARM, customers(60)) == []
    assert counted(FARM, customers(60, 59)) == [SubjectCount("farm", 1, None, (bytes(7) + b"\x01",))]
    both = (bytes(8), bytes(7) + b"\x01")
    assert counted(FARM, customers(30, 10)) == [SubjectCount("farm", 0, NOW_MS + 30_000, both)]


@pytest.mark.parametrize(("rule", "state"), [(RULE, b"short"), (FARM, b"not twelve bytes each")])
def test_a_state_that_cannot_be_read_is_said(rule, state):
    with pytest.raises(ValueError, match="cannot be read"):
        counted(rule, state)
