"""Converts what the server refuses of rules into a program file's paths and words."""

import re

from redemption.cli.input.source_file import FieldPath, Problem, dotted
from redemption.cli.input.spans import of_unit, span_text
from redemption.cli.program_file.text import percent_text
from redemption.client import FieldViolation

_RENAMED = {"period": "limit", "basis_points": "share", "budget_spent_basis_points": "budget_spent"}
_SPANS = ("period", "window", "wait", "wait_max", "budget_gone_within")
_PREFIX = "rules."


def is_of_rules(violation: FieldViolation) -> bool:
    """Whether a violation is about something that stands in a file."""
    return violation.field.startswith(_PREFIX)


def file_problem(violation: FieldViolation) -> Problem:
    """Return a violation as a problem: its path in the file, and a sentence with the numbers as people write them."""
    steps = re.findall(r"\w+", violation.field.removeprefix(_PREFIX))
    path = _path(violation.field)
    name = steps[-1] if steps else ""
    range_ = (violation.least, violation.most, violation.given)
    least, most, given = (None if number is None else _number(number, name) for number in range_)
    if violation.reason == "OUT_OF_RANGE" and least and most and given:
        period = "the period " if name == "period" and steps[0] == "velocity" else ""
        return Problem(path, f"{period}must be {least} to {most}; it is {given}")
    if violation.reason == "DUPLICATE" and name == "name" and violation.others:
        other = dotted(_path(violation.others[0].field)[:-1])
        return Problem(path, f"is the name of {other} already; names must differ")
    if violation.reason == "LESS_THAN_OTHER" and given and violation.others and violation.others[0].value is not None:
        wait = str(_path(violation.others[0].field)[-1])
        least = _number(violation.others[0].value, wait)
        return Problem(path, f"must be at least the {least} of {wait}; it is {given}")
    return Problem(path, violation.problem)


def _path(field: str) -> FieldPath:
    steps = re.findall(r"\w+", field.removeprefix(_PREFIX))
    return tuple(int(step) if step.isdecimal() else _file_name(step, steps) for step in steps)


def _file_name(step: str, steps: list[str]) -> str:
    if step == "period" and steps[0] != "velocity":  # a lock-out has one of its own
        return step
    return _RENAMED.get(step, step)


def _number(number: int, name: str) -> str:
    if name in _SPANS:
        return span_text(of_unit(number, "s"))
    return percent_text(number) if name.endswith("basis_points") else f"{number:,}"
