"""Writes rules as a program file, which can be applied unchanged."""

import json
import re
from collections.abc import Iterator, Mapping

from redemption.cli.program_file.campaigns import Names
from redemption.cli.program_file.in_force import Rule, filled
from redemption.cli.program_file.text import lock_out_fields, rule_fields, share_fields, warning_fields
from redemption.printable import printable
from redemption.v1 import rules_pb2 as v1

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*|[0-9]+(?: per)?(?: ?[0-9]*[a-z]+)?|[0-9.]+%")


def yaml_of(rules: v1.Rules, names: Names) -> str:
    """Return the file. Campaigns are written by their numbers, which never change, with their names as comments."""
    return "\n".join(_lines(filled(rules), names)) + "\n"


def _lines(rules: v1.Rules, names: Names) -> Iterator[str]:
    yield f"program: {_scalar(rules.program)}"
    for kind in ("velocity", "accounts"):
        if getattr(rules, kind):
            yield f"{kind}:"
        for rule in getattr(rules, kind):
            yield from _rule_lines(rule, names)
    yield f"lock_out: {_braces(lock_out_fields(rules.lock_out))}"
    thresholds = warning_fields(rules.warnings)
    if rules.warnings.refusal_shares or thresholds:
        yield "warnings:"
    if rules.warnings.refusal_shares:
        yield "  refusal_shares:"
        yield from (f"    - {_braces(share_fields(share))}" for share in rules.warnings.refusal_shares)
    yield from (f"  {name}: {_scalar(text)}" for name, text in thresholds.items())


def _rule_lines(rule: Rule, names: Names) -> Iterator[str]:
    yield f"  - name: {_scalar(rule.name)}"
    for name, text in rule_fields(rule).items():
        value = f"[{text}]" if name == "operations" else _scalar(text)
        called = names.get(rule.campaign, "") if name == "campaign" else ""
        comment = f" # {' '.join(printable(called).split())}" if called else ""
        yield f"    {name}: {value}{comment}"


def _braces(fields: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {_scalar(text)}" for name, text in fields.items()) + "}"


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
