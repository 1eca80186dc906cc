"""Prints a program's rules for people: a table, and below it what else is in force."""

from collections.abc import Iterator

from rich.text import Text

from redemption.cli.output.screen import say, show, table
from redemption.cli.program_file.campaigns import Names
from redemption.cli.program_file.in_force import Rule, filled, tightened
from redemption.cli.program_file.text import (
    allowed_text,
    judged_text,
    lock_out_fields,
    rule_fields,
    rule_text,
    share_fields,
    warning_fields,
)
from redemption.printable import printable
from redemption.v1 import rules_pb2 as v1

THAW = "redemption program thaw-claims"
TIGHTEN = "redemption program tighten"
LOOSEN = "redemption program loosen"
_ALERT = "bold red"
_MODE_STYLES = {"enforce": "green", "shadow": "yellow"}
_HEADING = 10
_FIRST_PERIOD = "a limit is spread evenly, besides the burst: in its first period, limit and burst together pass"
_WARNED = {
    "budget_spent": "{} of a budget spent",
    "budget_gone_within": "a budget gone within {} at the present pace",
    "claims_per_minute": "more than {} claims of a campaign in a minute",
}


def print_rules(rules: v1.Rules, names: Names, target: str) -> None:
    """Print rules as they are in force.

    Args:
        rules: The rules, as the server tells them.
        names: The names of the program's campaigns.
        target: The options that commands need which are proposed.
    """
    full = filled(rules)
    changed = {change.name: change for change in full.tightened}
    print_emergency(rules, target)
    every: list[Rule] = [*full.velocity, *full.accounts]
    if every:
        rows = table("rule", "subject", "allows", "counts", "mode", "more")
        rows.columns[0].no_wrap = True  # so that a name can be copied
        for rule in every:
            _add(rows, rule, changed.get(rule.name), names)
        show(rows)
        if full.velocity:
            say(_FIRST_PERIOD, "dim")
    else:
        say(f"program {rules.program} has no velocity and no accounts rules; write some: redemption program apply FILE")
    say("")
    for heading, text in (*_lock_out(full.lock_out), *_warnings(full.warnings)):
        say(f"{heading:{_HEADING}} {text}")


def print_emergency(rules: v1.Rules, target: str) -> None:
    """Print what of an emergency is in force, and the commands that take it back; nothing if nothing is."""
    if rules.claims_frozen:
        say(f"claims of program {rules.program} are frozen; to take it back: {THAW}{target}", _ALERT)
    for change in rules.tightened:
        rule = applied_rule(rules, change.name)
        state = "is tightened"
        if rule is None:
            state = f"is tightened ({_asked_text(change)}), and is not there: it is tightened when it is applied again"
        elif tightened(rule, change) == rule:
            state = f"was tightened ({_asked_text(change)}), and is as strict as it was applied"
        say(f"rule {change.name} {state}; to take it back: {LOOSEN} {change.name}{target}", _ALERT)


def applied_rule(rules: v1.Rules, name: str) -> Rule | None:
    """Return a rule as it was applied, with its defaults written out; None if there is none of this name."""
    full = filled(rules)
    every: list[Rule] = [*full.velocity, *full.accounts]
    return next((rule for rule in every if rule.name == name), None)


def print_in_force(rules: v1.Rules, name: str, names: Names, before: v1.Rules, target: str) -> None:
    """Print one rule as it is in force, and as it was before and was applied, where that differs.

    Args:
        rules: All rules, as they are now.
        name: The rule.
        names: The names of the program's campaigns.
        before: All rules, as they were before the command.
        target: The options that commands need which are proposed.
    """
    rule, was = applied_rule(rules, name), applied_rule(before, name)
    if rule is None:
        say(f"there is no rule {name} now; it is as it is applied, once it is")
        return
    change = _change_of(rules, name)
    in_force, earlier = _in_force(rules, rule), rule if was is None else _in_force(before, was)
    if earlier not in (in_force, rule if change else None):
        say(f"before     {rule_text(earlier, names)}")
    say(f"in force   {rule_text(in_force, names)}", _ALERT if change else "green")
    if change:
        say(f"applied    {rule_text(rule, names)}")
        if earlier == in_force:
            say("it was in force like this already; nothing has changed for anybody")
        if in_force.mode == v1.RULE_MODE_SHADOW:
            enforce = f"{TIGHTEN} {name} --mode enforce{target}"
            say(f"it refuses nobody: it only counts (shadow); to have it refuse: {enforce}")


def tighten_command(rules: v1.Rules, name: str) -> str:
    """Return the command that tightens a rule as it is tightened; empty if it is not."""
    change = _change_of(rules, name)
    return "" if change is None else f"{TIGHTEN} {name} {_asked_text(change)}"


def _change_of(rules: v1.Rules, name: str) -> v1.TightenedRule | None:
    return next((each for each in rules.tightened if each.name == name), None)


def _in_force(rules: v1.Rules, rule: Rule) -> Rule:
    change = _change_of(rules, rule.name)
    return rule if change is None else tightened(rule, change)


def _asked_text(change: v1.TightenedRule) -> str:
    """Return how a rule was tightened, as options of the command."""
    options = [f"--limit {change.limit}"] if change.HasField("limit") else []
    options += [f"--burst {change.burst}"] if change.HasField("burst") else []
    options += ["--mode enforce"] if change.mode == v1.RULE_MODE_ENFORCE else []
    return " ".join(options)


def _add(rows: object, rule: Rule, change: v1.TightenedRule | None, names: Names) -> None:
    in_force = rule if change is None else tightened(rule, change)
    fields, applied = rule_fields(in_force), rule_fields(rule)
    allows = Text(allowed_text(in_force))
    if allowed_text(in_force) != allowed_text(rule):
        allows = Text(f"{allowed_text(in_force)} (tightened from {allowed_text(rule)})", _ALERT)
    mode = Text(fields["mode"], _MODE_STYLES.get(fields["mode"], ""))
    if fields["mode"] != applied["mode"]:
        mode = Text(f"{fields['mode']} (tightened from {applied['mode']})", _ALERT)
    more = printable(judged_text(in_force, names))
    rows.add_row(rule.name, fields["subject"], allows, fields["counts"], mode, more)  # type: ignore[attr-defined]


def _lock_out(lock_out: v1.LockOut) -> Iterator[tuple[str, str]]:
    fields = lock_out_fields(lock_out)
    waits = f"{fields['wait']}, then twice as long each time, at most {fields['wait_max']}"
    yield "lock-out", f"after {lock_out.failures:,} failures in {fields['period']}: {waits}"
    yield "", "; ".join(f"{name} {fields[name]}" for name in ("customers", "devices", "networks"))
    codes = f"{lock_out.code_failures_per_minute:,} exchange codes may fail in a minute"
    yield "", f"{codes}; above that, whoever has failed lately waits"


def _warnings(warnings: v1.WarningThresholds) -> Iterator[tuple[str, str]]:
    texts = []
    for share in warnings.refusal_shares:
        fields = share_fields(share)
        texts.append(f"{fields['outcome']} {fields['share']} of {share.answers_min:,} answers or more in a minute")
    numbers = warning_fields(warnings)
    if "claims_per_minute" in numbers:
        numbers["claims_per_minute"] = f"{warnings.claims_per_minute:,}"
    texts += [_WARNED[name].format(text) for name, text in numbers.items()]
    for index, text in enumerate(texts or ["nothing"]):
        yield "" if index else "warns of", text
