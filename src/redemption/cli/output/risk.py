"""Prints what a risk officer sees: warnings, what rules did, who tried most in vain, and what is known of somebody."""

from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp
from rich.text import Text

from redemption.cli.input.instants import local_text
from redemption.cli.input.subjects import ref_text
from redemption.cli.output.decision import outcome_name
from redemption.cli.output.lists import until_text
from redemption.cli.output.rules import print_emergency
from redemption.cli.output.screen import say, show, table
from redemption.cli.program_file.campaigns import Names
from redemption.cli.program_file.text import campaign_text, word
from redemption.cli.program_file.values import MODES
from redemption.printable import printable
from redemption.v1 import rules_pb2 as v1
from redemption.v1.risk_service_pb2 import (
    GetRiskStatsResponse,
    GetSubjectResponse,
    ListTopSubjectsResponse,
    RiskWarning,
    SubjectCount,
)

_ALERT = "bold red"
_AS_KNOWN = "as far as the server process that answered knows"
_MINUTE = 60
_COUNT_MAX = 100
_HUNDRED = "among the hundred with most attempts in vain in any minute of the last hour"
"""Each server reports these alone: somebody else may have been refused now and then."""
_WARNING = "yellow"
_MODE_STYLES = {"enforce": "green", "shadow": "yellow"}


def print_stats(stats: GetRiskStatsResponse, rules: v1.Rules, names: Names, *, entries: int, target: str) -> None:
    """Print the warnings of a program, its rules with their numbers, and what guessing does.

    Args:
        stats: The numbers.
        rules: The program's rules.
        names: The names of its campaigns.
        entries: How many entries both lists have.
        target: The options that commands need which are proposed.
    """
    for warning in stats.warnings:
        _print_warning(warning, names)
    if stats.code_budget_spent:
        say("WARNING   too many exchange codes fail in the whole program: whoever has failed lately waits", _ALERT)
    print_emergency(rules, target)
    say(f"program {rules.program}, as of {local_text(stats.as_of, None)}", "bold")
    if stats.rules:
        counts = ("refused", "would refuse", "without subject")
        rows = table("rule", "mode", *counts, right=counts)
        for rule in stats.rules:
            mode = word(MODES, rule.mode)
            rows.add_row(
                rule.name,
                Text(mode, _MODE_STYLES.get(mode, "")),
                Text(f"{rule.refused:,}", _ALERT if rule.refused else "dim"),
                Text(f"{rule.would_refuse:,}", _WARNING if rule.would_refuse else "dim"),
                Text(f"{rule.without_subject:,}", "" if rule.without_subject else "dim"),
            )
        show(rows)
    else:
        say("it has no velocity and no accounts rules")
    failed, locked_out = stats.failures_last_minute, stats.locked_out
    failures = f"{failed:,} {'token or exchange code' if failed == 1 else 'tokens and exchange codes'} failed"
    subjects = "1 subject is" if locked_out == 1 else f"{locked_out:,} subjects are"
    say(f"{failures} in the last minute; {subjects} locked out, {_AS_KNOWN}")
    refused, would_refuse = stats.lock_out.refused, stats.lock_out.would_refuse
    say(f"the deny list and the allow list have {entries:,} {'entry' if entries == 1 else 'entries'} together")
    if refused or would_refuse:
        say(f"lock-out let {refused:,} guesses wait; where it is in shadow, it would have let {would_refuse:,} wait")


def print_top(answer: ListTopSubjectsResponse, minutes: int, most: int, now: float) -> None:
    """Print those who tried most in vain.

    Args:
        answer: Who, most first.
        minutes: In the last so many minutes.
        most: So many were asked for.
        now: The present, Unix seconds.
    """
    since = local_text(Timestamp(seconds=(int(now) // _MINUTE - minutes + 1) * _MINUTE), None)
    period = "minute" if minutes == 1 else f"{minutes} minutes"
    if not answer.subjects:
        say(f"nobody tried anything in vain in the last {period}, since {since}")
        return
    say(f"who tried most in vain in the last {period}, since {since}", "bold")
    rows = table("subject", "refused", "failures", right=("refused", "failures"))
    for each in answer.subjects:
        rows.add_row(ref_text(each.subject), f"{each.refused:,}", f"{each.failures:,}")
    show(rows)
    if len(answer.subjects) == most:
        more = " (--count, at most 100)" if most < _COUNT_MAX else ""
        say(f"there may be more than these {most:,}{more}", "dim")


def print_subjects(answers: Mapping[str, GetSubjectResponse], now: float, target: str) -> None:
    """Print what is known of somebody.

    Args:
        answers: What is known of each kind that they can be.
        now: The present, Unix seconds.
        target: The options that commands need which are proposed.
    """
    unknown = [answer for answer in answers.values() if not _is_known(answer)]
    for answer in answers.values():
        if _is_known(answer):
            _print_subject(answer, now, target)
    for answer in unknown:
        say(f"{ref_text(answer.subject)}   on no list, counted by no rule, not locked out", "dim")
    if unknown:
        say(f"none of these was {_HUNDRED}", "dim")


def _print_warning(warning: RiskWarning, names: Names) -> None:
    campaign = f"campaign {campaign_text(warning.campaign, names)}"
    reason = " ".join(filter(None, (warning.reason, outcome_name(warning.outcome) if warning.outcome else "")))
    times = [f"since {local_text(warning.raise_time, None)}"]
    if warning.HasField("gone_time"):
        times.append(f"gone at {local_text(warning.gone_time, None)}")
    say(f"WARNING   {campaign}   {reason}", _ALERT)
    say(f"          {warning.description}   {', '.join(times)}", _WARNING)


def _is_known(answer: GetSubjectResponse) -> bool:
    counted = answer.entries or answer.counts or answer.refused or answer.failures
    return bool(counted) or answer.HasField("locked_until")


def _print_subject(answer: GetSubjectResponse, now: float, target: str) -> None:
    ref = ref_text(answer.subject)
    say(ref, "bold")
    for entry in answer.entries:
        denied = entry.list == v1.LIST_KIND_DENY
        name = "deny" if denied else "allow"
        why = f": {entry.reason}" if entry.reason else ""
        since = local_text(entry.add_time, None)
        through = ref_text(entry.subject)
        by = "" if through == ref else f" as {through}"
        style = (_ALERT if denied else "green") if until_text(entry, now) != "expired" else "dim"
        said = f"on the {name} list{by}{why}   until {until_text(entry, now)}, since {since}, by {entry.principal}"
        say(f"  {said.replace('until for good', 'for good').replace('until expired', 'expired')}", style)
        say(f"    to take it off: redemption {name} remove --id {through}{target}")
    if answer.HasField("locked_until"):
        say(f"  locked out until {local_text(answer.locked_until, None)}, {_AS_KNOWN}", _ALERT)
    if answer.refused or answer.failures:
        failed = "failed token or exchange code" if answer.failures == 1 else "failed tokens and exchange codes"
        say(f"  in the last hour {answer.refused:,} refused, {answer.failures:,} {failed}")
    else:
        say(f"  not {_HUNDRED}")
    if answer.counts:
        rows = table("  rule", "left", "next", "customers", right=("left",))
        for count in answer.counts:
            rows.add_row(*_cells(count))
        show(rows)


def _cells(count: SubjectCount) -> tuple[Text, ...]:
    style = "" if count.left else _ALERT
    after = local_text(count.try_after, None) if count.HasField("try_after") else ""
    cells = (f"  {count.rule}", f"{count.left:,}", after, " ".join(count.customers))
    return tuple(Text(printable(cell), style) for cell in cells)
