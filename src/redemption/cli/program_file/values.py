"""The types of values in a program file that a campaign file does not have: rates, lengths of time, words of rules."""

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, NamedTuple, TypeAlias

from google.protobuf.duration_pb2 import Duration
from pydantic import BeforeValidator

from redemption.cli.campaign_file.values import enum_schema, shaped, single, word_of, words
from redemption.cli.input.spans import SPAN, UNIT, of_unit, span
from redemption.v1 import outcome_pb2
from redemption.v1 import rules_pb2 as v1

_RATE = re.compile(rf"(?P<limit>[0-9]{{1,16}}) per (?:(?P<count>[0-9]{{1,10}}) ?)?(?P<unit>{UNIT})")

SUBJECTS = {word: number for word, number in words(v1.SubjectKind.DESCRIPTOR).items() if word != "coupon"}
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
    return Rate(int(found["limit"]), of_unit(int(found["count"] or 1), found["unit"]))


def _outcome(value: object) -> int:
    text = single(value)
    if text not in OUTCOMES:
        near = difflib.get_close_matches(text.upper(), OUTCOMES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ", such as TOKEN_EXPIRED"
        raise ValueError(f"must be an outcome of the contract; it is {text[:40]!r}{hint}")
    return OUTCOMES[text]


RateText: TypeAlias = Annotated[Rate, BeforeValidator(_rate), shaped(_RATE)]
Span: TypeAlias = Annotated[Duration, BeforeValidator(lambda value: span(single(value))), shaped(SPAN)]
SubjectName: TypeAlias = Annotated[int, BeforeValidator(word_of(SUBJECTS)), enum_schema(SUBJECTS)]
ModeName: TypeAlias = Annotated[int, BeforeValidator(word_of(MODES)), enum_schema(MODES)]
CountsName: TypeAlias = Annotated[int, BeforeValidator(word_of(COUNTS)), enum_schema(COUNTS)]
WithoutName: TypeAlias = Annotated[int, BeforeValidator(word_of(WITHOUT)), enum_schema(WITHOUT)]
OperationName: TypeAlias = Annotated[int, BeforeValidator(word_of(OPERATIONS)), enum_schema(OPERATIONS)]
OutcomeName: TypeAlias = Annotated[int, BeforeValidator(_outcome), enum_schema(OUTCOMES)]
