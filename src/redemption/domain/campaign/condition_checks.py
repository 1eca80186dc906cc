"""Checks whether the conditions and scopes of an offer are well formed."""

from collections.abc import Iterator

from redemption.domain.campaign.conditions import Conditions, Scope, Window
from redemption.domain.campaign.value_checks import (
    UNITS_MAX,
    count_violation,
    dependent_violation,
    minute_violations,
    range_violations,
)
from redemption.domain.errors import OtherField, Violation, ViolationReason, ViolationValues
from redemption.domain.order import MINOR_MAX

WINDOWS_MAX = 50
GROUP_SIZE_MIN = 2
"""A group has at least two members."""

_SCOPE_KINDS = ("skus", "categories", "brands", "merchant_ids")
_ORDER_KINDS = ("channels", "store_ids", "regions", "payment_methods", "tiers", "segments")
_SUNDAY = 7


def condition_lists(conditions: Conditions, field: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each list of values of some conditions, after the path of its field."""
    yield from scope_lists(conditions.include, f"{field}.include")
    yield from scope_lists(conditions.exclude, f"{field}.exclude")
    for kind in _ORDER_KINDS:
        yield f"{field}.{kind}", getattr(conditions, kind)


def scope_lists(scope: Scope, field: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each list of values of a scope, after the path of its field."""
    for kind in _SCOPE_KINDS:
        yield f"{field}.{kind}", getattr(scope, kind)


def condition_violations(conditions: Conditions, field: str) -> Iterator[Violation]:
    """Yield what is wrong with some conditions, except within their lists of values."""
    yield from range_violations(conditions.min_spend_minor, f"{field}.min_spend_minor", 1, MINOR_MAX)
    yield from range_violations(conditions.min_quantity, f"{field}.min_quantity", 1, UNITS_MAX)
    yield from range_violations(conditions.min_group_size, f"{field}.min_group_size", GROUP_SIZE_MIN, UNITS_MAX)
    yield from contradictions(conditions.include, f"{field}.include", conditions.exclude, f"{field}.exclude")
    count = len(conditions.windows)
    if count > WINDOWS_MAX:
        problem = f"must be at most {WINDOWS_MAX} windows; there are {count}"
        yield count_violation(f"{field}.windows", problem, count=count, most=WINDOWS_MAX)
        return
    for index, window in enumerate(conditions.windows):
        yield from _window_violations(window, f"{field}.windows[{index}]")


def contradictions(wanted: Scope, field: str, excluded: Scope, excluded_field: str) -> Iterator[Violation]:
    """Yield where a scope can match no line, because everything that it names is excluded."""
    for kind in _SCOPE_KINDS:
        values = getattr(wanted, kind)
        if values and set(values) <= set(getattr(excluded, kind)):
            problem = "names only what exclude names too, so no line could ever match; take it out of one of them"
            other = OtherField(f"{excluded_field}.{kind}")
            yield dependent_violation(f"{field}.{kind}", problem, ViolationReason.NOT_WITH_OTHER, other)


def _window_violations(window: Window, field: str) -> Iterator[Violation]:
    yield from minute_violations(window.start_minute, window.end_minute, field)
    if window.start_minute == window.end_minute:
        problem = "is the same as start_minute, so it would never be open; a whole day is from 0 to 1440"
        start = OtherField(f"{field}.start_minute")
        yield dependent_violation(f"{field}.end_minute", problem, ViolationReason.NEVER_OPEN, start)
    seen: dict[int, int] = {}
    for index, weekday in enumerate(window.weekdays):
        here = f"{field}.weekdays[{index}]"
        first = seen.setdefault(weekday, index)
        if not 1 <= weekday <= _SUNDAY:
            values = ViolationValues(least=1, most=_SUNDAY, given=weekday)
            problem = f"must be 1 (Monday) to 7 (Sunday); it is {weekday}"
            yield Violation(here, problem, ViolationReason.OUT_OF_RANGE, values)
        elif first != index:
            problem = "is given twice; name each day once"
            other = OtherField(f"{field}.weekdays[{first}]")
            yield dependent_violation(here, problem, ViolationReason.DUPLICATE, other)
