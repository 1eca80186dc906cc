"""Warns of rules that the server accepts, and that are surely a mistake: a burst far above its limit."""

from collections.abc import Iterator

from redemption.cli.input.source_file import FieldPath, Problem
from redemption.cli.input.spans import span_text
from redemption.cli.program_file.campaigns import Names
from redemption.cli.program_file.in_force import Rule, filled
from redemption.cli.program_file.text import word
from redemption.cli.program_file.values import SUBJECTS
from redemption.v1 import rules_pb2 as v1

_BURST_TIMES_MAX = 10
_SHARED = "many people share an address, in an office or behind a mobile operator"
_SELDOM_TOLD = {
    v1.SUBJECT_KIND_PERSON: "few shops know the natural person behind an account",
    v1.SUBJECT_KIND_PAYMENT: "the payment instrument is seldom known before the payment, and in claims almost never",
}


def rules_warnings(rules: v1.Rules, names: Names) -> list[Problem]:
    """Return what is surely a mistake, though the server accepts it; each with its path in the file.

    Args:
        rules: The rules, in the order of the file.
        names: The program's campaigns.
    """
    full = filled(rules)
    found: list[Problem] = []
    for index, velocity in enumerate(full.velocity):
        found += [*_burst_warnings(velocity, index), *_rule_warnings(velocity, ("velocity", index), names)]
    for index, accounts in enumerate(full.accounts):
        found += [*_accounts_warnings(accounts, index), *_rule_warnings(accounts, ("accounts", index), names)]
    if full.lock_out.networks == v1.RULE_MODE_ENFORCE:
        problem = f"is enforce, but {_SHARED}: one who guesses locks all of them out; write shadow"
        found.append(Problem(("lock_out", "networks"), problem))
    return found


def _burst_warnings(rule: v1.VelocityRule, index: int) -> Iterator[Problem]:
    if rule.burst > _BURST_TIMES_MAX * rule.limit:
        problem = (
            f"is {rule.burst:,}, more than ten times the {rule.limit:,} per {span_text(rule.period)} of limit: so many "
            "pass at once; lower it"
        )
        yield Problem(("velocity", index, "burst"), problem)


def _accounts_warnings(rule: v1.AccountsRule, index: int) -> Iterator[Problem]:
    if rule.subject == v1.SUBJECT_KIND_NETWORK and rule.customers == 1:
        problem = f"is 1, but {_SHARED}: the second customer there is refused for {span_text(rule.window)}; raise it"
        yield Problem(("accounts", index, "customers"), problem)


def _rule_warnings(rule: Rule, path: FieldPath, names: Names) -> Iterator[Problem]:
    if rule.subject == v1.SUBJECT_KIND_NETWORK and rule.mode == v1.RULE_MODE_ENFORCE:
        problem = f"is enforce, but {_SHARED}: look at redemption fraud stats with shadow first"
        yield Problem((*path, "mode"), problem)
    if rule.without_subject == v1.WITHOUT_SUBJECT_REFUSE and rule.subject in _SELDOM_TOLD:
        subject = word(SUBJECTS, rule.subject)
        problem = f"is refuse, but {_SELDOM_TOLD[rule.subject]}: every request without a {subject} is refused"
        yield Problem((*path, "without_subject"), f"{problem}; write pass")
    if rule.campaign and rule.campaign not in names:
        problem = f"there is no campaign {rule.campaign} in this program, so the rule judges nothing"
        yield Problem((*path, "campaign"), f"{problem}; redemption campaigns list has the numbers")
