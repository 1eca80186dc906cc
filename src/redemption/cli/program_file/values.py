"""The types of values in a program file that a campaign file does not have: rates, lengths of time, words of rules."""

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Annotated, NamedTuple, TypeAlias

from google.protobuf.duration_pb2 import Duration
from pydantic import BeforeValidator

from redemption.cli.campaign_file.values import Several, enum_schema, shaped, single, whole, word_of, words
from redemption.cli.input.spans import SPAN, UNIT, of_unit, span
from redemption.v1 import outcome_pb2
from redemption.v1 import rules_pb2 as v1

LIMIT_MAX = 1_000_000
FAILURES_MAX = 1000
_TOO_LARGE = 2**31
"""The contract has no field for larger numbers, so the server would not be told them."""
CUSTOMERS_MAX = 50
_NO_LOCK_OUT = "; customers, devices and networks: shadow turns lock-out off"
_WHOLE = re.compile(r"-?[0-9]{1,30}")
_RATE = re.compile(rf"(?P<limit>[0-9]{{1,30}}) per (?:(?P<count>[0-9]{{1,10}}) ?)?(?P<unit>{UNIT})")

SUBJECTS = {word: number for word, number in words(v1.SubjectKind.DESCRIPTOR).items() if word != "coupon"}
_SHARED = {word: SUBJECTS[word] for word in ("device", "network", "payment")}
"""What several customers can share."""
MODES = words(v1.RuleMode.DESCRIPTOR)
COUNTS = words(v1.RuleCounts.DESCRIPTOR)
WITHOUT = words(v1.WithoutSubject.DESCRIPTOR)
OPERATIONS = words(v1.RuleOperation.DESCRIPTOR)
OUTCOMES: Mapping[str, int] = {
    name.removeprefix("OUTCOME_"): number
    for name, number in outcome_pb2.Outcome.items()
    if number not in (outcome_pb2.OUTCOME_UNSPECIFIED, outcome_pb2.OUTCOME_APPROVED)
}


class Rate(NamedTuple):
    """So many in a period."""

    limit: int
    period: Duration


def _rate(value: object) -> Rate:
    text = single(value)
    found = _RATE.fullmatch(text)
    if found is None:
        raise ValueError(f"must be a number and a period, such as 5 per 1m; it is {text[:40]!r}")
    limit = int(found["limit"])
    if limit >= _TOO_LARGE:
        raise ValueError(f"must be 1 to {LIMIT_MAX:,} per period; it is {limit}")
    return Rate(limit, of_unit(int(found["count"] or 1), found["unit"]))


def _counted(most: int, zero: str | None = None) -> Callable[[object], int]:
    """Return what reads a number of 1 or more; the server knows the range better, where it is told the number.

    Args:
        most: The largest number, for messages.
        zero: What is said of 0, where the contract takes it for the default; None: the server refuses it.
    """

    def number(value: object) -> int:
        text = single(value)
        if _WHOLE.fullmatch(text) and abs(int(text)) >= _TOO_LARGE:
            raise ValueError(f"must be 1 to {most:,}; it is {text}")
        count = whole(value)
        if count == 0 and zero is not None:
            raise ValueError(f"must be 1 to {most:,}; leave it out for the default{zero}")
        return count

    return number


def _operations(value: object) -> object:
    if isinstance(value, list):
        for index, each in enumerate(value):
            if each in value[:index]:
                raise ValueError(f"has {str(each)[:40]!r} twice; name each once")
    return value


def _outcome(value: object) -> int:
    text = single(value)
    if text == "APPROVED":
        raise ValueError("must be an outcome that refuses, such as TOKEN_EXPIRED; APPROVED refuses nothing")
    if text not in OUTCOMES:
        near = difflib.get_close_matches(text.upper(), OUTCOMES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ", such as TOKEN_EXPIRED"
        raise ValueError(f"must be an outcome of the contract; it is {text[:40]!r}{hint}")
    return OUTCOMES[text]


RateText: TypeAlias = Annotated[Rate, BeforeValidator(_rate), shaped(_RATE)]
Span: TypeAlias = Annotated[Duration, BeforeValidator(lambda value: span(single(value))), shaped(SPAN)]
Count: TypeAlias = Annotated[int, BeforeValidator(_counted(LIMIT_MAX)), shaped(_WHOLE, "integer")]
Customers: TypeAlias = Annotated[int, BeforeValidator(_counted(CUSTOMERS_MAX)), shaped(_WHOLE, "integer")]
AnswersMin: TypeAlias = Annotated[int, BeforeValidator(_counted(LIMIT_MAX, "")), shaped(_WHOLE, "integer")]
Failures: TypeAlias = Annotated[int, BeforeValidator(_counted(FAILURES_MAX, _NO_LOCK_OUT)), shaped(_WHOLE, "integer")]
CodeFailures: TypeAlias = Annotated[int, BeforeValidator(_counted(LIMIT_MAX, "")), shaped(_WHOLE, "integer")]
SharedName: TypeAlias = Annotated[int, BeforeValidator(word_of(_SHARED)), enum_schema(_SHARED)]
SubjectName: TypeAlias = Annotated[int, BeforeValidator(word_of(SUBJECTS)), enum_schema(SUBJECTS)]
ModeName: TypeAlias = Annotated[int, BeforeValidator(word_of(MODES)), enum_schema(MODES)]
CountsName: TypeAlias = Annotated[int, BeforeValidator(word_of(COUNTS)), enum_schema(COUNTS)]
WithoutName: TypeAlias = Annotated[int, BeforeValidator(word_of(WITHOUT)), enum_schema(WITHOUT)]
OperationName: TypeAlias = Annotated[int, BeforeValidator(word_of(OPERATIONS)), enum_schema(OPERATIONS)]
Operations: TypeAlias = Annotated[Several[OperationName], BeforeValidator(_operations)]
OutcomeName: TypeAlias = Annotated[int, BeforeValidator(_outcome), enum_schema(OUTCOMES)]
