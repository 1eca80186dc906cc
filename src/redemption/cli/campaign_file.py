"""A campaign as a file: what may stand in it, and the contract's Campaign that it means.

The names are the contract's, with what a person would have to compute left out: sums are decimals of the campaign's
currency (``min_spend: 200.00`` is ``min_spend_minor: 20000``), instants may be local in its zone, and parts are
percentages (``20%`` is 2000 basis points). ``campaign_fields`` turns the contract's names back into these.
"""

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo, model_validator

from redemption.cli.instants import instant
from redemption.cli.source_file import Problem, Scalar, Source, plain, read_source, unknown_field
from redemption.client import minor_units
from redemption.v1 import campaign_pb2 as v1

STAGES = {
    "item": v1.STAGE_ITEM,
    "merchant": v1.STAGE_MERCHANT,
    "platform": v1.STAGE_PLATFORM,
    "payment": v1.STAGE_PAYMENT,
}
BASIS_POINTS_PER_PERCENT = 100
EXPECTED_REDEMPTIONS = 100_000
"""What the contract says an unset ``expected_redemptions`` means."""

_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})? ?%")
_WHOLE = re.compile(r"-?[0-9]{1,16}")
_CURRENCY = re.compile(r"[A-Z]{3}")


class _Units(NamedTuple):
    """What sums and local times mean, from fields of the file that stand beside them; empty where those are wrong."""

    currency_code: str
    zone: ZoneInfo | None


def _single(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a single value")  # noqa: TRY004 - pydantic reports values, not types
    if not value.strip():
        raise ValueError("is empty: give it a value, or take the line out")
    return value


def _currency(value: object) -> str:
    text = _single(value)
    if not _CURRENCY.fullmatch(text):
        raise ValueError(f"must be an ISO 4217 code such as CNY; it is {text[:40]!r}")
    return text


def _zone(value: object) -> str:
    text = _single(value)
    if _zone_called(text) is None:
        raise ValueError(f"must be an IANA zone such as Asia/Shanghai; it is {text[:40]!r}")
    return text


def _zone_called(text: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _money(value: object, info: ValidationInfo[_Units]) -> int:
    return minor_units(_single(value), info.context.currency_code)


def _instant(value: object, info: ValidationInfo[_Units]) -> Timestamp:
    text = _single(value)
    if info.context.zone is None:
        return Timestamp()  # the zone is wrong, and is complained about itself
    return instant(text, info.context.zone)


def _percent(value: object) -> int:
    text = _single(value)
    if not _PERCENT.fullmatch(text):
        raise ValueError(f"must be a percentage with its sign, such as 20% or 12.5%; it is {text[:40]!r}")
    return int(Decimal(text.rstrip(" %")) * BASIS_POINTS_PER_PERCENT)


def _whole(value: object) -> int:
    text = _single(value)
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"must be a whole number; it is {text[:40]!r}")
    return int(text)


def _stage(value: object) -> int:
    text = _single(value)
    if text not in STAGES:
        raise ValueError(f"must be one of {', '.join(STAGES)}; it is {text[:40]!r}")
    return STAGES[text]


Text: TypeAlias = Annotated[str, BeforeValidator(_single)]
Currency: TypeAlias = Annotated[str, BeforeValidator(_currency)]
Zone: TypeAlias = Annotated[str, BeforeValidator(_zone)]
Money: TypeAlias = Annotated[int, BeforeValidator(_money)]
Whole: TypeAlias = Annotated[int, BeforeValidator(_whole)]
Percent: TypeAlias = Annotated[int, BeforeValidator(_percent)]
Instant: TypeAlias = Annotated[Timestamp, BeforeValidator(_instant)]
StageName: TypeAlias = Annotated[int, BeforeValidator(_stage)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class TierPart(_Part):
    """From so much spent on, so much off."""

    spend: Money
    amount_off: Money


class PercentOffPart(_Part):
    """A part off, with its compulsory cap."""

    percent: Percent
    cap: Money


class ConditionsPart(_Part):
    """When an offer applies."""

    min_spend: Money | None = None


class OfferPart(_Part):
    """One benefit."""

    name: Text | None = None
    tiers: tuple[TierPart, ...] | None = None
    percent_off: PercentOffPart | None = None
    conditions: ConditionsPart = ConditionsPart()

    @model_validator(mode="after")
    def _one_benefit(self) -> "OfferPart":
        if (self.tiers is None) == (self.percent_off is None):
            raise ValueError("must have one benefit: either tiers or percent_off")
        return self


class LimitsPart(_Part):
    """How much there is."""

    issued: Whole | None = None
    redemptions: Whole | None = None
    redemptions_per_customer: Whole | None = None
    redemptions_per_customer_per_day: Whole | None = None
    redemptions_per_day: Whole | None = None
    budget: Money | None = None


class StackingPart(_Part):
    """How coupons go together."""

    stage: StageName = v1.STAGE_PLATFORM
    priority: Whole = 0
    max_tokens_per_order: Whole = 1


class SizingPart(_Part):
    """How large the ledger lays it out."""

    expected_redemptions: Whole = EXPECTED_REDEMPTIONS
    expected_redemption_rate: Percent = 100 * BASIS_POINTS_PER_PERCENT


class CampaignPart(_Part):
    """A whole campaign."""

    name: Text
    currency_code: Currency
    time_zone: Zone
    start_time: Instant
    end_time: Instant
    offers: tuple[OfferPart, ...]
    limits: LimitsPart = LimitsPart()
    stacking: StackingPart = StackingPart()
    sizing: SizingPart = SizingPart()


class CampaignFile(NamedTuple):
    """A file that was read, and the campaign that it means."""

    source: Source
    campaign: v1.Campaign


def read_campaign(file: Path) -> CampaignFile:
    """Read a campaign.

    Raises:
        Stop: The file does not hold one; every problem is named with its line.
    """
    source = read_source(file)
    try:
        part = CampaignPart.model_validate(plain(source.root), context=_units(source))
    except ValidationError as error:
        raise source.stop([_problem(detail) for detail in error.errors()]) from error
    return CampaignFile(source, _campaign(part))


def _units(source: Source) -> _Units:
    def text(name: str) -> str:
        node = source.root.fields.get(name)
        return node.text if isinstance(node, Scalar) else ""

    code, zone = text("currency_code"), text("time_zone")
    return _Units(code if _CURRENCY.fullmatch(code) else "", _zone_called(zone) if zone else None)


def _problem(detail: Any) -> Problem:  # noqa: ANN401 - pydantic's own dict
    path = tuple(detail["loc"])
    match detail["type"]:
        case "missing":
            return Problem(path, "is missing")
        case "extra_forbidden":
            return Problem(path, _unknown(path))
        case "value_error":
            return Problem(path, str(detail["ctx"]["error"]))
        case _ if detail["input"] == "":
            return Problem(path, "is empty: give it a value, or take the line out")
        case "model_type":
            return Problem(path, "must be a group of fields")
        case "tuple_type":
            return Problem(path, "must be a list, each entry beginning with a hyphen")
        case _:
            return Problem(path, str(detail["msg"]))


def _unknown(path: tuple[Any, ...]) -> str:
    """Say what to make of a name that is not known; the contract has more than this version serves."""
    part, message = _place(path[:-1])
    name = str(path[-1])
    contract = {field.name for field in message.DESCRIPTOR.fields}
    if name in contract or f"{name}_minor" in contract:
        file_name = campaign_fields(name)
        if file_name in part.model_fields:
            return f"is called {file_name} in a file, and written as people write it"
        return "belongs to the contract, but this version of the command line does not support it"
    return unknown_field(name, part.model_fields)


def _place(path: tuple[Any, ...]) -> tuple[type[BaseModel], Any]:
    """Return the model of the file and the message of the contract at a path."""
    places: dict[str, tuple[type[BaseModel], Any]] = {
        "offers": (OfferPart, v1.Offer),
        "tiers": (TierPart, v1.Tier),
        "percent_off": (PercentOffPart, v1.PercentOff),
        "conditions": (ConditionsPart, v1.Conditions),
        "limits": (LimitsPart, v1.Limits),
        "stacking": (StackingPart, v1.Stacking),
        "sizing": (SizingPart, v1.Sizing),
    }
    names = [step for step in path if isinstance(step, str)]
    return places[names[-1]] if names else (CampaignPart, v1.Campaign)


def _campaign(part: CampaignPart) -> v1.Campaign:
    return v1.Campaign(
        name=part.name,
        currency_code=part.currency_code,
        time_zone=part.time_zone,
        start_time=part.start_time,
        end_time=part.end_time,
        offers=[_offer(offer) for offer in part.offers],
        limits=v1.Limits(
            issued=part.limits.issued,
            redemptions=part.limits.redemptions,
            redemptions_per_customer=part.limits.redemptions_per_customer,
            redemptions_per_customer_per_day=part.limits.redemptions_per_customer_per_day,
            redemptions_per_day=part.limits.redemptions_per_day,
            budget_minor=part.limits.budget,
        ),
        stacking=v1.Stacking(
            stage=part.stacking.stage,  # type: ignore[arg-type]
            priority=part.stacking.priority,
            max_tokens_per_order=part.stacking.max_tokens_per_order,
        ),
        sizing=v1.Sizing(
            expected_redemptions=part.sizing.expected_redemptions,
            expected_redemption_rate_basis_points=part.sizing.expected_redemption_rate,
        ),
    )


def _offer(part: OfferPart) -> v1.Offer:
    conditions = v1.Conditions(min_spend_minor=part.conditions.min_spend)
    if part.percent_off is not None:
        percent_off = v1.PercentOff(basis_points=part.percent_off.percent, cap_minor=part.percent_off.cap)
        return v1.Offer(name=part.name, percent_off=percent_off, conditions=conditions)
    tiers = [v1.Tier(threshold=tier.spend, amount_off_minor=tier.amount_off) for tier in part.tiers or ()]
    return v1.Offer(name=part.name, tiers=v1.Tiers(measure=v1.MEASURE_SPEND, tiers=tiers), conditions=conditions)


def campaign_fields(contract_path: str) -> str:
    """Return the file's path for one of the contract, such as ``campaign.offers[0].percent_off.cap_minor``."""
    path = contract_path.removeprefix("campaign.").replace("tiers.tiers", "tiers")
    path = re.sub(r"\bthreshold\b", "spend", path)
    path = re.sub(r"\bbasis_points\b", "percent", path)
    return re.sub(r"(_minor|_basis_points)\b", "", path)


def steps(path: str) -> tuple[str | int, ...]:
    """Return the steps of a path such as ``offers[0].percent_off.cap``."""
    return tuple(int(step) if step.isdecimal() else step for step in re.findall(r"\w+", path))
