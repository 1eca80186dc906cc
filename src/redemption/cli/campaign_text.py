"""A campaign's definition as lines of text, in the words of a campaign file: to be shown, and to be compared."""

from collections.abc import Iterator
from typing import NamedTuple
from zoneinfo import ZoneInfo

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.cli.campaign_file import BASIS_POINTS_PER_PERCENT, EXPECTED_REDEMPTIONS, campaign_fields
from redemption.cli.instants import local_text
from redemption.client import format_money
from redemption.v1 import campaign_pb2 as v1

_OUTPUT_ONLY = frozenset({"program", "number", "state", "etag", "create_time", "update_time"})
# What the contract says these mean when they are unset; a file cannot say them, so they go without saying.
_UNSPOKEN = frozenset(
    {
        ("stacking.base", "remaining"),
        ("stacking.exclusivity_reach", "order"),
        ("return_policy", "never"),
        ("return_window.seconds", "2,592,000"),
    }
)
NOT_SET = "not set"


class Change(NamedTuple):
    """One field that differs, before and after, as text."""

    field: str
    before: str
    after: str


def definition(campaign: v1.Campaign) -> dict[str, str]:
    """Return every field that is set, or that has a meaning when it is not, by its path in a file."""
    # What an unset field means is written out, so that saying it and leaving it out are the same.
    full = v1.Campaign()
    full.CopyFrom(campaign)
    full.stacking.stage = full.stacking.stage or v1.STAGE_PLATFORM
    if not full.stacking.HasField("max_tokens_per_order"):
        full.stacking.max_tokens_per_order = 1
    if not full.sizing.HasField("expected_redemptions"):
        full.sizing.expected_redemptions = EXPECTED_REDEMPTIONS
    if not full.sizing.HasField("expected_redemption_rate_basis_points"):
        full.sizing.expected_redemption_rate_basis_points = 100 * BASIS_POINTS_PER_PERCENT
    return {
        campaign_fields(path): text
        for path, text in _texts(full, "", full)
        if path not in _OUTPUT_ONLY and not path.endswith("tiers.measure") and (path, text) not in _UNSPOKEN
    }


def changes(before: v1.Campaign, after: v1.Campaign) -> list[Change]:
    """Return the fields in which two definitions differ."""
    old, new = definition(before), definition(after)
    return [
        Change(field, old.get(field, NOT_SET), new.get(field, NOT_SET))
        for field in (*new, *(field for field in old if field not in new))
        if old.get(field) != new.get(field)
    ]


def _texts(message: Message, path: str, campaign: v1.Campaign) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        here = f"{path}.{field.name}" if path else field.name
        values = list(value) if field.is_repeated else [value]
        for index, each in enumerate(values):
            place = f"{here}[{index}]" if field.is_repeated else here
            if isinstance(each, Timestamp):
                yield place, local_text(each, ZoneInfo(campaign.time_zone))
            elif isinstance(each, Message):
                yield from _texts(each, place, campaign)
            else:
                yield place, _text(field, each, campaign.currency_code)


def _text(field: FieldDescriptor, value: object, currency_code: str) -> str:
    if field.enum_type is not None and isinstance(value, int):
        name = str(field.enum_type.values_by_number[value].name)
        return name.rpartition("_")[2].lower()
    if isinstance(value, int) and (field.name.endswith("_minor") or field.name == "threshold"):
        return format_money(value, currency_code)
    if isinstance(value, int) and field.name.endswith("basis_points"):
        return f"{value / BASIS_POINTS_PER_PERCENT:g}%"
    return f"{value:,}" if isinstance(value, int) else str(value)
