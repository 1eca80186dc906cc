"""The types of values in a campaign file: how each is read from text, and its JSON Schema for editors.

All values of a file are read as text. An editor parses YAML itself, so the schema accepts a number where a number
without quotes is allowed.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, NamedTuple, TypeAlias, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from redemption.cli.input.instants import INSTANT, instant
from redemption.cli.input.times import DURATION, TIME_OF_DAY, duration, end_minute, start_minute
from redemption.client import minor_units
from redemption.v1 import campaign_pb2 as v1

BASIS_POINTS_PER_PERCENT = 100
EMPTY = "is empty: give it a value, or take the line out"

_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})? ?%")
_PRECISE = re.compile(r"[0-9]{1,3}\.[0-9]{3,} ?%")
_WHOLE = re.compile(r"-?[0-9]{1,16}")
_SUM = re.compile(r"[0-9]{1,16}(\.[0-9]{1,8})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_INT32_MAX = 2**31 - 1
UINT32_MAX = 2**32 - 1


class Units(NamedTuple):
    """The currency of the sums and the zone of the local times in a file; the zone is None if it is wrong."""

    currency_code: str
    zone: ZoneInfo | None


def units_of(currency_code: str, zone: str) -> Units:
    """Return the currency and the zone from the texts of these two fields."""
    return Units(currency_code, _zone_called(zone) if zone else None)


def words(enum: EnumDescriptor) -> dict[str, int]:
    """Return the words for the values of an enum of the contract: STAGE_ITEM is ``item`` in a file."""
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper() + "_"
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values if value.number}


STAGES = words(v1.Stage.DESCRIPTOR)
BASES = words(v1.DiscountBase.DESCRIPTOR)
REACHES = words(v1.ExclusivityReach.DESCRIPTOR)
WEEKDAYS = words(v1.Weekday.DESCRIPTOR)
RISK_SIGNALS = words(v1.RiskSignal.DESCRIPTOR)
RETURN_POLICIES = words(v1.ReturnPolicy.DESCRIPTOR)


def single(value: object) -> str:
    """Return a value as text; raises ValueError for a group, a list or an empty value."""
    if not isinstance(value, str):
        raise ValueError("must be a single value")  # noqa: TRY004 - pydantic reports values, not types
    if not value.strip():
        raise ValueError(EMPTY)
    return value


def _name(value: object) -> str:
    """Return a name in the normal form that the server wants: files from a Mac may have another one."""
    return unicodedata.normalize("NFC", single(value))


def _campaign_number(value: object) -> int:
    number = whole(value)
    if not 1 <= number <= UINT32_MAX:
        raise ValueError(f"must be 1 to {UINT32_MAX}, as campaigns list shows it; it is {number}")
    return number


def _zone(value: object) -> str:
    text = single(value)
    if _zone_called(text) is None:
        raise ValueError(f"must be an IANA zone such as Asia/Shanghai; it is {text[:40]!r}")
    return text


def _zone_called(text: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _money(value: object, info: ValidationInfo[Units]) -> int:
    return minor_units(single(value), info.context.currency_code)


def _instant(value: object, info: ValidationInfo[Units]) -> Timestamp:
    text = single(value)
    if info.context.zone is None:
        return Timestamp()  # the zone is wrong, which is reported for its own field
    return instant(text, info.context.zone)


def _percent(value: object) -> int:
    text = single(value)
    if _PRECISE.fullmatch(text):
        raise ValueError(f"must have at most 2 decimals, such as 12.25%; it is {text[:40]!r}")
    if not _PERCENT.fullmatch(text):
        raise ValueError(f"must be a percentage with its sign, such as 20% or 12.5%; it is {text[:40]!r}")
    return int(Decimal(text.rstrip(" %")) * BASIS_POINTS_PER_PERCENT)


def whole(value: object) -> int:
    """Return a value as a whole number; raises ValueError for another one."""
    text = single(value)
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"must be a whole number; it is {text[:40]!r}")
    return int(text)


def _small_whole(value: object) -> int:
    number = whole(value)
    if abs(number) > _INT32_MAX:  # the field of the contract has 32 bits
        raise ValueError(f"must be a whole number of at most {_INT32_MAX}; it is {number}")
    return number


def _truth(value: object) -> bool:
    text = single(value)
    if text not in ("true", "false"):
        raise ValueError(f"must be true or false; it is {text[:40]!r}")
    return text == "true"


def word_of(known: Mapping[str, int]) -> Callable[[object], int]:
    """Return what reads one of some words; it raises ValueError for another one."""

    def number(value: object) -> int:
        text = single(value)
        if text not in known:
            raise ValueError(f"must be one of {', '.join(known)}; it is {text[:40]!r}")
        return known[text]

    return number


def _not_empty(value: object) -> object:
    if value == []:
        raise ValueError(EMPTY)
    return value


def _said(value: object) -> object:
    if value == "":
        raise ValueError(
            "is empty: write [] if nothing is paused, or take the line out to leave what is paused as it is"
        )
    return value


def _offer_index(value: object) -> int:
    number = _small_whole(value)
    if number < 0:
        raise ValueError(f"must be the number of an offer, counted from 0; it is {number}")
    return number


def shaped(pattern: re.Pattern[str], *types: str, **more: object) -> WithJsonSchema:
    """Return the schema of a text with this pattern; ``types`` are what editors may parse it to without quotes."""
    # Regular expressions of JSON Schema have no named groups.
    portable = "^(" + re.sub(r"\?P<\w+>", "", pattern.pattern) + ")$"
    kind = {"type": [*types, "string"] if types else "string"}
    return WithJsonSchema(kind | {"pattern": portable} | more)


def enum_schema(known: Mapping[str, int]) -> WithJsonSchema:
    """Return the schema of one of some words."""
    return WithJsonSchema({"type": "string", "enum": list(known)})


_ANY_TEXT = WithJsonSchema({"type": ["string", "number"], "minLength": 1})

Text: TypeAlias = Annotated[str, BeforeValidator(single), _ANY_TEXT]
Currency: TypeAlias = Annotated[str, BeforeValidator(single), shaped(_CURRENCY)]
"""The server knows the codes, and says which one was meant; until then any text counts hundredths."""
Name: TypeAlias = Annotated[str, BeforeValidator(_name), _ANY_TEXT]
CampaignNumber: TypeAlias = Annotated[int, BeforeValidator(_campaign_number), shaped(_WHOLE, "integer", minimum=1)]
Zone: TypeAlias = Annotated[str, BeforeValidator(_zone), WithJsonSchema({"type": "string", "minLength": 1})]
Money: TypeAlias = Annotated[int, BeforeValidator(_money), shaped(_SUM, "number", minimum=0)]
Whole: TypeAlias = Annotated[int, BeforeValidator(whole), shaped(_WHOLE, "integer")]
SmallWhole: TypeAlias = Annotated[int, BeforeValidator(_small_whole), shaped(_WHOLE, "integer")]
Percent: TypeAlias = Annotated[int, BeforeValidator(_percent), shaped(_PERCENT)]
Truth: TypeAlias = Annotated[bool, BeforeValidator(_truth), WithJsonSchema({"enum": [True, False, "true", "false"]})]
Instant: TypeAlias = Annotated[Timestamp, BeforeValidator(_instant), shaped(INSTANT)]
Length: TypeAlias = Annotated[Duration, BeforeValidator(lambda value: duration(single(value))), shaped(DURATION)]
StartOfHours: TypeAlias = Annotated[
    int, BeforeValidator(lambda value: start_minute(single(value))), shaped(TIME_OF_DAY)
]
EndOfHours: TypeAlias = Annotated[int, BeforeValidator(lambda value: end_minute(single(value))), shaped(TIME_OF_DAY)]
StageName: TypeAlias = Annotated[int, BeforeValidator(word_of(STAGES)), enum_schema(STAGES)]
BaseName: TypeAlias = Annotated[int, BeforeValidator(word_of(BASES)), enum_schema(BASES)]
ReachName: TypeAlias = Annotated[int, BeforeValidator(word_of(REACHES)), enum_schema(REACHES)]
WeekdayName: TypeAlias = Annotated[int, BeforeValidator(word_of(WEEKDAYS)), enum_schema(WEEKDAYS)]
ReturnPolicyName: TypeAlias = Annotated[int, BeforeValidator(word_of(RETURN_POLICIES)), enum_schema(RETURN_POLICIES)]
RiskSignalName: TypeAlias = Annotated[int, BeforeValidator(word_of(RISK_SIGNALS)), enum_schema(RISK_SIGNALS)]

_Each = TypeVar("_Each")
Several: TypeAlias = Annotated[tuple[_Each, ...], BeforeValidator(_not_empty)]
"""A list that is not empty: in the contract an empty list is the same as none, which may not be what is meant."""
Names: TypeAlias = Several[Text]


def _list_of(shape: WithJsonSchema) -> WithJsonSchema:
    return WithJsonSchema({"type": "array", "items": shape.json_schema})


PausedNames: TypeAlias = Annotated[tuple[Text, ...], BeforeValidator(_said), _list_of(_ANY_TEXT)]
"""A list that may be empty: then nothing is paused."""
PausedOffers: TypeAlias = Annotated[
    tuple[Annotated[int, BeforeValidator(_offer_index)], ...],
    BeforeValidator(_said),
    _list_of(shaped(_WHOLE, "integer")),
]
