"""Checks of numbers and lists that all parts of a campaign's definition share."""

from collections.abc import Iterator, Sequence

from redemption.domain.errors import OtherField, Violation, ViolationReason, ViolationValues
from redemption.domain.order import id_violations

COUNT_MAX = 2**40 - 1
"""Serials are 40 bits wide, so no count of coupons can be larger."""
UNITS_MAX = 1_000_000
"""More units of goods than any order has; sums and products of such counts stay exact everywhere."""
LIST_VALUES_MAX = 1000
DAY_MINUTES = 1440

_CONTROL_CHARACTERS = frozenset(
    map(chr, [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
)
"""Characters that move a terminal's cursor, or change the direction of the text after them."""


def range_violations(value: int | None, field: str, least: int, most: int) -> Iterator[Violation]:
    """Yield what is wrong with a whole number outside of its range; None means not set, which is allowed."""
    if value is not None and not least <= value <= most:
        values = ViolationValues(least=least, most=most, given=value)
        allowed = f"{least} to {most}" if least < most else f"{most}"
        yield Violation(field, f"must be {allowed}; it is {value}", ViolationReason.OUT_OF_RANGE, values)


def list_violations(values: Sequence[str], field: str) -> Iterator[Violation]:
    """Yield what is wrong with a list of texts: each 1 to 128 bytes, none twice, at most 1,000 of them."""
    if len(values) > LIST_VALUES_MAX:
        problem = f"must be at most {LIST_VALUES_MAX} values; there are {len(values)}"
        yield count_violation(field, problem, count=len(values), most=LIST_VALUES_MAX)
        return
    seen: dict[str, int] = {}
    for index, value in enumerate(values):
        yield from id_violations(value, f"{field}[{index}]")
        yield from control_violations(value, f"{field}[{index}]")
        first = seen.setdefault(value, index)
        if first != index:
            problem = f"is the same as entry [{first}]; name each value once"
            other = OtherField(f"{field}[{first}]")
            yield dependent_violation(f"{field}[{index}]", problem, ViolationReason.DUPLICATE, other)


def count_violation(field: str, problem: str, *, count: int, most: int, least: int | None = None) -> Violation:
    """Return what is wrong with a list that has too few or too many entries."""
    return Violation(field, problem, ViolationReason.WRONG_COUNT, ViolationValues(least=least, most=most, given=count))


def dependent_violation(
    field: str, problem: str, reason: ViolationReason, *others: OtherField, given: int | None = None
) -> Violation:
    """Return what is wrong with a field because of other fields."""
    return Violation(field, problem, reason, ViolationValues(given=given, others=others))


def control_violations(value: str, field: str) -> Iterator[Violation]:
    """Yield a violation if a text has control characters: people see it in terminals and logs."""
    if has_control_character(value):
        yield Violation(field, "has a control character, such as a line break; take it out")


def has_control_character(value: str) -> bool:
    """Whether a text has a character that moves a terminal's cursor, or turns the direction of the text after it."""
    return not _CONTROL_CHARACTERS.isdisjoint(value)


def minute_violations(start_minute: int, end_minute: int, field: str) -> Iterator[Violation]:
    """Yield what is wrong with the minutes of the day at which something opens and closes."""
    yield from range_violations(start_minute, f"{field}.start_minute", 0, DAY_MINUTES - 1)
    yield from range_violations(end_minute, f"{field}.end_minute", 1, DAY_MINUTES)
