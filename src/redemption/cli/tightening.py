"""Tightens and loosens one rule of a program, and says which rules there are when it is not one of them."""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from redemption.cli.exits import BAD_INPUT, REFUSED, Stop
from redemption.client import CallFailed, RedemptionClient
from redemption.v1.risk_service_pb2 import GetRulesRequest, LoosenRuleRequest, TightenRuleRequest
from redemption.v1.rules_pb2 import Rules, TightenedRule

_OPTIONS = {
    "rule.limit": "--limit",
    "rule.burst": "--burst",
    "rule.mode": "--mode",
    "rule.name": "RULE",
    "name": "RULE",
}


def tighten_rule(client: RedemptionClient, program: str, change: TightenedRule) -> Rules:
    """Tighten a rule; return all rules as they are now.

    Raises:
        Stop: There is no such rule, or it would be looser than it was applied.
    """
    with _explained(client, program, change.name):
        return client.tighten_rule(TightenRuleRequest(program=program, rule=change)).rules


def loosen_rule(client: RedemptionClient, program: str, name: str) -> Rules:
    """Loosen a rule; return all rules as they are now.

    Raises:
        Stop: There is no such rule.
    """
    with _explained(client, program, name):
        return client.loosen_rule(LoosenRuleRequest(program=program, name=name)).rules


@contextmanager
def _explained(client: RedemptionClient, program: str, name: str) -> Iterator[None]:
    try:
        yield
    except CallFailed as error:
        if error.code is grpc.StatusCode.NOT_FOUND:
            stop = Stop(REFUSED, f"NOT_FOUND: {_unknown(client, program, name)}")
        elif any(violation.field in _OPTIONS for violation in error.violations):
            problems = (f"{_OPTIONS.get(each.field, each.field)}: {each.problem}" for each in error.violations)
            stop = Stop(BAD_INPUT, *problems)
        else:
            raise
        stop.failure = error.failure
        raise stop from error


def _unknown(client: RedemptionClient, program: str, name: str) -> str:
    rules = client.get_rules(GetRulesRequest(program=program)).rules
    known = [*(rule.name for rule in rules.velocity), *(rule.name for rule in rules.accounts)]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}" if known else "it has none"
    return f"there is no rule {name[:64]!r} in program {program}; {hint}"
