"""Rules that cannot count any more subjects: their operator is told, now and then."""

from structlog.testing import capture_logs

from redemption.telemetry import full_rules as module
from redemption.telemetry.full_rules import SAME_RULE_SECONDS, FullRules


def told(logs):
    return [(entry["program"], entry["rule"]) for entry in logs]


def test_each_rule_is_told_of_once_in_a_minute():
    now = [1_000.0]
    full = FullRules(lambda: now[0])
    with capture_logs() as logs:
        for _ in range(3):
            for program, rule in (("a", "device"), ("a", "card"), ("b", "device")):
                full.met(program, rule)
        assert told(logs) == [("a", "device"), ("a", "card"), ("b", "device")]
        now[0] += SAME_RULE_SECONDS
        full.met("a", "card")
    assert told(logs)[3:] == [("a", "card")]


def test_only_so_many_rules_are_remembered(monkeypatch):
    monkeypatch.setattr(module, "RULES_MAX", 2)
    full = FullRules()
    for number in range(10):
        full.met("program", f"rule-{number}")
    assert len(full._told_at) <= 2
