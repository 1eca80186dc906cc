"""The contract's names of a campaign's fields, as a campaign file spells them."""

import re
from typing import Any, get_args

from google.protobuf.duration_pb2 import Duration

from redemption.cli.campaign_file.model import CampaignPart
from redemption.cli.campaign_file.part import Part
from redemption.cli.campaign_file.values import BASIS_POINTS_PER_PERCENT
from redemption.cli.input.source_file import FieldPath, unknown_field
from redemption.cli.input.times import duration_text, time_text
from redemption.client import format_money
from redemption.v1 import campaign_pb2 as v1

_TOLD_BY_THE_SERVER = "is told by the server, and does not stand in a file"
NOT_IN_A_FILE = {
    "program": "is not the file's matter; name the program on the command line, with --program",
    "number": _TOLD_BY_THE_SERVER,
    "state": "does not stand in a file; there are the commands campaigns pause, resume and end",
    "etag": _TOLD_BY_THE_SERVER,
    "create_time": _TOLD_BY_THE_SERVER,
    "update_time": _TOLD_BY_THE_SERVER,
    # Giving coupons back is not built, so that nothing can be promised about it.
    "return_policy": "belongs to the contract, but this version of the command line does not support it",
}
"""The contract's fields of a campaign that a file cannot say, and what to tell who tries."""

# The contract wraps two lists into messages, which a file does not.
_UNWRAPPED = (
    (re.compile(r"\btiers\.(tiers|measure)\b"), "tiers"),
    (re.compile(r"\bslots\.slots\b"), "slots"),
    (re.compile(r"\bslots\.carry_over\b"), "slots_carry_over"),
    (re.compile(r"\.(seconds|nanos)$"), ""),
)
_RENAMED = {
    "threshold_minor": "spend",
    "basis_points": "percent",
    "percent_off_basis_points": "percent",
    "buy_units": "buy",
    "get_units": "get",
    "start_minute": "from",
    "end_minute": "to",
}
# A number in what the server says, with the field that is named right before it, if there is one.
_NUMBER = re.compile(r"(?:\b(?P<field>[a-z]+(?:_[a-z]+)+) (?:(?:is|above|of) )?)?(?<!\[)\b(?P<number>[0-9]+)\b")
_SECONDS = re.compile(r"\b(?P<count>[0-9]+) seconds(?: \([^)]*\))?")


def campaign_fields(contract_path: str, campaign: v1.Campaign) -> str:
    """Return the file's path for one of the contract, such as ``campaign.offers[0].percent_off.cap_minor``.

    Args:
        contract_path: With or without ``campaign.`` before it.
        campaign: The one whose field it is: its tiers say what a threshold counts.
    """
    path = contract_path.removeprefix("campaign.")
    threshold = _threshold(path, campaign)
    for pattern, plain in _UNWRAPPED:
        path = pattern.sub(plain, path)
    return re.sub(r"[a-z_]+", lambda found: threshold if found[0] == "threshold" else _file_name(found[0]), path)


def in_file_words(contract_path: str, problem: str, campaign: v1.Campaign) -> str:
    """Return what the server says of a field in the words of a file: its names, and numbers as a file writes them."""
    spend = campaign_fields(contract_path, campaign).endswith(".spend")
    about = "threshold_minor" if spend else contract_path

    def written(found: re.Match[str]) -> str:
        for field in (found["field"] or "", about):
            text = number_text(int(found["number"]), field, campaign.currency_code)
            if text is not None:
                return found[0].removesuffix(found["number"]) + text
        return found[0]

    told = _SECONDS.sub(lambda found: duration_text(Duration(seconds=int(found["count"]))), problem)
    told = _NUMBER.sub(written, told)
    told = re.sub(r"\bcampaign\.(?=[a-z])", "", told)
    return re.sub(r"\b[a-z]+(_[a-z]+)+\b", lambda found: _file_name(found[0]), told)


def number_text(number: int, contract_field: str, currency_code: str) -> str | None:
    """Return a number as a file writes it, where the name of its field says in which units the contract counts."""
    if contract_field.endswith("_minor"):
        return format_money(number, currency_code)
    if contract_field.endswith("basis_points"):
        return f"{number / BASIS_POINTS_PER_PERCENT:g}%"
    if contract_field.endswith("_minute"):
        return time_text(number)
    return None


def steps(path: str) -> FieldPath:
    """Return the steps of a path such as ``offers[0].percent_off.cap``."""
    return tuple(int(step) if step.isdecimal() else step for step in re.findall(r"\w+", path))


def unknown(path: FieldPath) -> str:
    """Say what to make of a name at a path that is none of the file's."""
    part, name = _part_at(path[:-1]), str(path[-1])
    if part is CampaignPart and name in NOT_IN_A_FILE:
        return NOT_IN_A_FILE[name]
    if name == "threshold":
        return "is called spend or units in a file, and written as people write it"
    if name in part.contract.fields_by_name and _file_name(name) in part.names():
        return f"is called {_file_name(name)} in a file, and written as people write it"
    return unknown_field(name, part.names())


def _file_name(contract_name: str) -> str:
    return _RENAMED.get(contract_name) or re.sub(r"(_minor|_basis_points)$", "", contract_name)


def _threshold(path: str, campaign: v1.Campaign) -> str:
    offer = re.match(r"offers\[([0-9]+)\]", path)
    if offer and int(offer[1]) < len(campaign.offers):
        measure = campaign.offers[int(offer[1])].tiers.measure
        return "units" if measure == v1.MEASURE_UNITS else "spend"
    return "spend"


def _part_at(path: FieldPath) -> type[Part]:
    part: type[Part] = CampaignPart
    for step in path:
        if isinstance(step, str):
            part = _part_in(part.model_fields[part.names()[step]].annotation) or part
    return part


def _part_in(annotation: Any) -> type[Part] | None:  # noqa: ANN401 - what typing makes of an annotation
    """Return the part that a field holds, alone or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    return next(filter(None, map(_part_in, get_args(annotation))), None)
