"""Rules as text in the words of a program file: to show, to compare, and to write a file."""

from collections.abc import Iterator, Mapping

from redemption.cli.campaign_file.text import NOT_SET, Change
from redemption.cli.campaign_file.values import BASIS_POINTS_PER_PERCENT
from redemption.cli.input.spans import span_text
from redemption.cli.program_file.campaigns import Names
from redemption.cli.program_file.in_force import BOTH, Rule, filled
from redemption.cli.program_file.values import COUNTS, MODES, OPERATIONS, OUTCOMES, SUBJECTS, WITHOUT
from redemption.v1 import rules_pb2 as v1

NOT_THERE = "not there"
_SPANS = ("period", "wait", "wait_max")
_MODES = ("customers", "devices", "networks")


def word(known: Mapping[str, int], number: int) -> str:
    """Return the word for a value of an enum; its number when this version does not know it."""
    return next((text for text, each in known.items() if each == number), str(number))


def rule_fields(rule: Rule) -> dict[str, str]:
    """Return the fields of a rule as a file has them, without its name; its defaults have to be written out.

    ``campaign`` and ``operations`` are there only for a rule that does not judge everything.
    """
    fields = {"subject": word(SUBJECTS, rule.subject)}
    if isinstance(rule, v1.VelocityRule):
        fields |= {"limit": f"{rule.limit} per {span_text(rule.period)}", "burst": str(rule.burst)}
    else:
        fields |= {"customers": str(rule.customers), "window": span_text(rule.window)}
    fields |= {
        "counts": word(COUNTS, rule.counts),
        "mode": word(MODES, rule.mode),
        "without_subject": word(WITHOUT, rule.without_subject),
    }
    if rule.campaign:
        fields["campaign"] = str(rule.campaign)
    if tuple(rule.operations) != BOTH:
        fields["operations"] = ", ".join(word(OPERATIONS, each) for each in rule.operations)
    return fields


def allowed_text(rule: Rule, of: str = "") -> str:
    """Return what a rule allows: ``5 per 1m for each device, 10 at once``; ``of`` says for whom, or nothing."""
    if isinstance(rule, v1.AccountsRule):
        return f"{rule.customers:,} customer{'' if rule.customers == 1 else 's'} in {span_text(rule.window)}{of}"
    at_once = "" if rule.burst == rule.limit else f", {rule.burst:,} at once"
    return f"{rule.limit:,} per {span_text(rule.period)}{of}{at_once}"


def judged_text(rule: Rule, names: Names) -> str:
    """Return which requests a rule judges, and what becomes of those without its subject; empty: all, and they pass."""
    fields = rule_fields(rule)
    parts = [f"{fields['operations']} only"] if "operations" in fields else []
    if rule.campaign:
        parts.append(f"campaign {campaign_text(rule.campaign, names)} only")
    if rule.without_subject == v1.WITHOUT_SUBJECT_REFUSE:
        parts.append(f"without {fields['subject']}: refused")
    return "; ".join(parts)


def rule_text(rule: Rule, names: Names) -> str:
    """Return a rule in one sentence: ``5 per 1m for each device; attempts; enforce``."""
    fields = rule_fields(rule)
    parts = [allowed_text(rule, f" for each {fields['subject']}"), fields["counts"], fields["mode"]]
    return "; ".join(filter(None, (*parts, judged_text(rule, names))))


def campaign_text(number: int, names: Names) -> str:
    """Return a campaign by its number and its name."""
    return f"{number} {names[number]}" if number in names else str(number)


def lock_out_fields(lock_out: v1.LockOut) -> dict[str, str]:
    """Return the fields of a lock-out as a file has them; its defaults have to be written out."""
    fields = {"failures": str(lock_out.failures)}
    fields |= {name: span_text(getattr(lock_out, name)) for name in _SPANS}
    fields |= {name: word(MODES, getattr(lock_out, name)) for name in _MODES}
    return fields | {"code_failures_per_minute": str(lock_out.code_failures_per_minute)}


def share_fields(share: v1.RefusalShare) -> dict[str, str]:
    """Return the fields of a threshold on refusals as a file has them."""
    return {
        "outcome": word(OUTCOMES, share.outcome),
        "share": percent_text(share.basis_points),
        "answers_min": str(share.answers_min),
    }


def warning_fields(warnings: v1.WarningThresholds) -> dict[str, str]:
    """Return the thresholds that are set as a file has them, but for the shares of refusals."""
    fields = {}
    if warnings.HasField("budget_spent_basis_points"):
        fields["budget_spent"] = percent_text(warnings.budget_spent_basis_points)
    if warnings.HasField("budget_gone_within"):
        fields["budget_gone_within"] = span_text(warnings.budget_gone_within)
    if warnings.HasField("claims_per_minute"):
        fields["claims_per_minute"] = str(warnings.claims_per_minute)
    return fields


def percent_text(basis_points: int) -> str:
    """Return basis points as a percentage: 1,250 are ``12.5%``."""
    return f"{basis_points / BASIS_POINTS_PER_PERCENT:g}%"


def changes(before: v1.Rules, after: v1.Rules, names: Names) -> list[Change]:
    """Return what differs; a field that is left out is the same as one with its default, and no order matters."""
    old, new = filled(before), filled(after)
    return [*_rule_changes(old, new, names), *_other_changes(old, new)]


def _rule_changes(old: v1.Rules, new: v1.Rules, names: Names) -> Iterator[Change]:
    for kind in ("velocity", "accounts"):
        was: dict[str, Rule] = {rule.name: rule for rule in getattr(old, kind)}
        now: dict[str, Rule] = {rule.name: rule for rule in getattr(new, kind)}
        for name in (*now, *(name for name in was if name not in now)):
            place = f"{kind}[{name}]"
            if name not in was:
                yield Change(place, NOT_THERE, rule_text(now[name], names))
            elif name not in now:
                yield Change(place, rule_text(was[name], names), NOT_THERE)
            else:
                yield from _differences(place, _shown(was[name], names), _shown(now[name], names))


def _shown(rule: Rule, names: Names) -> dict[str, str]:
    fields = {"campaign": "all", "operations": "all"} | rule_fields(rule)
    return fields | ({"campaign": campaign_text(rule.campaign, names)} if rule.campaign else {})


def _other_changes(old: v1.Rules, new: v1.Rules) -> Iterator[Change]:
    yield from _differences("lock_out", lock_out_fields(old.lock_out), lock_out_fields(new.lock_out))
    yield from _differences("warnings.refusal_shares", _shares(old.warnings), _shares(new.warnings))
    yield from _differences("warnings", warning_fields(old.warnings), warning_fields(new.warnings))


def _shares(warnings: v1.WarningThresholds) -> dict[str, str]:
    shares = map(share_fields, warnings.refusal_shares)
    return {f"[{each['outcome']}]": f"{each['share']} of at least {each['answers_min']}" for each in shares}


def _differences(place: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    for name in (*new, *(name for name in old if name not in new)):
        before, after = old.get(name, NOT_SET), new.get(name, NOT_SET)
        if before != after:
            yield Change(f"{place}{'' if name.startswith('[') else '.'}{name}", before, after)
