"""What is counted of rules, and when to try again, by the ledger's reply."""

import pytest
from structlog.testing import capture_logs

from redemption.domain.ports.orders import Exceeded
from redemption.domain.risk.assessment import ActiveRules
from redemption.domain.risk.lists import Lists
from redemption.domain.risk.rules import RuleMode, Rules, VelocityRule
from redemption.domain.risk.subjects import SubjectKind
from redemption.service.risk_reports import RuleDid, RuleReports, try_after_ms
from redemption.telemetry.full_rules import FullRules


class Counts:
    """Keeps what is counted."""

    def __init__(self):
        self.counted = []

    def count_rule(self, program, number, did):
        self.counted.append((program, number, did))


def active():
    """Two rules in force: the first refuses, the second is a shadow."""
    rules = (
        VelocityRule("device", SubjectKind.DEVICE, 5, 60_000, 5),
        VelocityRule("card", SubjectKind.PAYMENT, 5, 60_000, 5, mode=RuleMode.SHADOW),
    )
    return ActiveRules(1, 1, Rules(velocity=rules).numbered(), Lists())


@pytest.mark.parametrize(
    ("exceeded", "did", "again", "warned"),
    [
        (Exceeded(1, 7), RuleDid.REFUSED, 7, []),
        (Exceeded(2, 7), RuleDid.WOULD_REFUSE, None, []),
        (Exceeded(1, 0), RuleDid.WITHOUT_SUBJECT, None, ["device"]),
        (Exceeded(2, 0), RuleDid.WITHOUT_SUBJECT, None, ["card"]),
    ],
)
def test_a_rule_that_could_not_count_is_told_from_one_that_is_exceeded(exceeded, did, again, warned):
    counts = Counts()
    with capture_logs() as logs:
        RuleReports(counts, FullRules()).count("program", active(), [exceeded], ())
    assert counts.counted == [("program", exceeded.position, did)]
    assert try_after_ms(active(), [exceeded]) == again
    assert [entry["rule"] for entry in logs] == warned
