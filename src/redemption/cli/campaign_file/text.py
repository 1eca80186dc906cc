"""A campaign's definition as lines of text in the words of a campaign file, to show and to compare."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.cli.campaign_file.field_names import file_path, number_text
from redemption.cli.campaign_file.values import BASIS_POINTS_PER_PERCENT, words
from redemption.cli.input.instants import local_text
from redemption.cli.input.source_file import dotted
from redemption.cli.input.times import duration_text
from redemption.v1 import campaign_pb2 as v1

NOT_SET = "not set"
ALL_OF_THE_FEE = "all of the fee"
ALL_GOODS = "all goods"

_OUTPUT_ONLY = frozenset({"program", "number", "state", "etag", "create_time", "update_time"})
_EXPECTED_REDEMPTIONS = 100_000
# Defaults of the contract, which are not shown. For fields of an offer the path begins after the offer.
_UNSPOKEN = {
    "buy_get.max_repeats": "1",
    "conditions.new_customer_only": "false",
    "funding.merchant": "0%",
    "limits.slots_carry_over": "false",
    "max_reservation_ttl": "1 day",
    "return_policy": "never",
    "return_window": "30 days",
    "stacking.base": "remaining",
    "stacking.exclusivity_reach": "order",
    "stacking.priority": "0",
    "stacking.stop_after": "false",
    "validity.from_claim.end_of_day": "false",
    "validity.from_claim.wait": "0 days",
}


class Change(NamedTuple):
    """One field that differs, with its text before and after."""

    field: str
    before: str
    after: str


def definition(campaign: v1.Campaign) -> dict[str, str]:
    """Return the fields of a campaign as text, by their paths in a file, without fields that have their default."""
    return {field: text for field, text in _every_field(campaign).items() if text != _unspoken(field)}


def changes(before: v1.Campaign, after: v1.Campaign) -> list[Change]:
    """Return the fields that differ; a field that is left out is the same as one with its default."""
    old, new = _every_field(before), _every_field(after)
    fields = (*new, *(field for field in old if field not in new))
    found = [Change(each, old.get(each, _unspoken(each)), new.get(each, _unspoken(each))) for each in fields]
    return [change for change in found if change.before != change.after]


def _unspoken(field: str) -> str:
    return _UNSPOKEN.get(re.sub(r"^offers\[[0-9]+\]\.", "", field), NOT_SET)


def _every_field(campaign: v1.Campaign) -> dict[str, str]:
    full = _filled(campaign)
    return {
        dotted(file_path(path, full)): text
        for path, text in _texts(full, "", full)
        if path not in _OUTPUT_ONLY and not path.endswith("tiers.measure")  # the names of the thresholds show it
    }


def _filled(campaign: v1.Campaign) -> v1.Campaign:
    """Return a copy with the defaults set that are always shown, whether the file has them or not."""
    full = v1.Campaign()
    full.CopyFrom(campaign)
    stacking, sizing = full.stacking, full.sizing
    stacking.stage = stacking.stage or v1.STAGE_PLATFORM
    if not stacking.HasField("max_tokens_per_order"):
        stacking.max_tokens_per_order = 1
    if not sizing.HasField("expected_redemptions"):
        sizing.expected_redemptions = _EXPECTED_REDEMPTIONS
    if not sizing.HasField("expected_redemption_rate_basis_points"):
        sizing.expected_redemption_rate_basis_points = 100 * BASIS_POINTS_PER_PERCENT
    return full


def _texts(message: Message, path: str, campaign: v1.Campaign) -> Iterator[tuple[str, str]]:
    """Yield every field that is set, numbers of 0 too, as path in the contract and text."""
    for field in cast("Sequence[FieldDescriptor]", message.DESCRIPTOR.fields):
        here = f"{path}.{field.name}" if path else field.name
        value = getattr(message, field.name)
        if field.is_repeated:
            yield from _of_several(field, value, here, campaign)
        elif field.has_presence and not message.HasField(field.name):
            if here.endswith("free_shipping.cap_minor"):  # else the benefit would not be shown at all
                yield here, ALL_OF_THE_FEE
        elif isinstance(value, Timestamp):
            yield here, _instant_text(value, campaign.time_zone)
        elif isinstance(value, Duration):
            yield here, duration_text(value)
        elif isinstance(value, Message):
            yield from _texts(value, here, campaign)
            if here.endswith("discounted") and not value.ListFields():
                yield here, ALL_GOODS
        elif value != "" and (value or field.enum_type is None):
            yield here, _text(field, value, here, campaign)


def _of_several(
    field: FieldDescriptor, values: Sequence[Any], path: str, campaign: v1.Campaign
) -> Iterator[tuple[str, str]]:
    if field.message_type is not None:
        for index, each in enumerate(values):
            yield from _texts(each, f"{path}[{index}]", campaign)
    elif values:
        texts = [_text(field, each, path, campaign) for each in values]
        yield path, ", ".join(map(quoted, texts))


def quoted(text: str) -> str:
    """Return one value of a list; in quotes if it has a comma or a blank at an end, so that its ends are seen."""
    return json.dumps(text, ensure_ascii=False) if "," in text or '"' in text or text != text.strip() else text


def _text(field: FieldDescriptor, value: Any, path: str, campaign: v1.Campaign) -> str:  # noqa: ANN401 - of any field
    if field.enum_type is not None:
        # A value of a later contract has no word: use its number.
        return next((word for word, number in words(field.enum_type).items() if number == value), str(value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return number_text(value, path, campaign)
    return str(value)


def _instant_text(when: Timestamp, time_zone: str) -> str:
    """Return an instant, with its milliseconds if it has any: else two different instants may look the same."""
    text = local_text(when, ZoneInfo(time_zone))
    milliseconds = when.nanos // 1_000_000
    return f"{text} and {milliseconds} ms" if milliseconds else text
