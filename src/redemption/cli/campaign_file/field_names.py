"""Converts the contract's names of a campaign's fields to the names in a campaign file."""

import re

from google.protobuf.duration_pb2 import Duration

from redemption.cli.campaign_file.contents import CampaignPart
from redemption.cli.campaign_file.part import part_at
from redemption.cli.campaign_file.values import BASIS_POINTS_PER_PERCENT
from redemption.cli.input.source_file import FieldPath, unknown_field
from redemption.cli.input.times import duration_text, time_text
from redemption.client import format_money
from redemption.v1 import campaign_pb2 as v1

_TOLD_BY_THE_SERVER = "is told by the server, and does not stand in a file"
NOT_IN_A_FILE = {
    "program": "is not the file's matter; name the program on the command line, with --program",
    "state": "does not stand in a file; there are the commands campaigns pause, resume and end",
    "etag": _TOLD_BY_THE_SERVER,
    "create_time": _TOLD_BY_THE_SERVER,
    "update_time": _TOLD_BY_THE_SERVER,
}
"""Fields of the contract that a file cannot have, each with its error message."""

# Two lists are messages in the contract, and plain lists in a file.
_UNWRAPPED: dict[tuple[str | int, str], str] = {
    ("tiers", "tiers"): "tiers",
    ("tiers", "measure"): "tiers",
    ("slots", "slots"): "slots",
    ("slots", "carry_over"): "slots_carry_over",
}
_RENAMED = {
    "threshold_minor": "spend",
    "basis_points": "percent",
    "percent_off_basis_points": "percent",
    "buy_units": "buy",
    "get_units": "get",
    "start_minute": "from",
    "end_minute": "to",
}
_DURATIONS = frozenset({"max_reservation_ttl", "return_window", "wait"})


def file_path(contract_path: str, campaign: v1.Campaign) -> FieldPath:
    """Return the path in a file for a path in the contract: ``limits.budget`` for ``campaign.limits.budget_minor``.

    Args:
        contract_path: With or without ``campaign.`` at the beginning.
        campaign: The campaign: its tiers say whether a threshold is money or units.
    """
    contract = _steps(contract_path)
    path: list[str | int] = []
    for step in contract:
        if isinstance(step, int):
            path.append(step)
        elif path and (path[-1], step) in _UNWRAPPED:
            path[-1] = _UNWRAPPED[path[-1], step]
        elif step == "threshold":
            path.append("units" if _counts_units(contract, campaign) else "spend")
        else:
            path.append(_file_name(step))
    return tuple(path)


def number_text(number: int, contract_path: str, campaign: v1.Campaign) -> str:
    """Return a number of the contract as people write it; the unit follows from the field's name."""
    contract = _steps(contract_path)
    name = str(contract[-1])
    if name.endswith("_minor") or (name == "threshold" and not _counts_units(contract, campaign)):
        return format_money(number, campaign.currency_code)
    if name.endswith("basis_points"):
        return f"{number / BASIS_POINTS_PER_PERCENT:g}%"
    if name.endswith("_minute"):
        return time_text(number)
    if name in _DURATIONS:
        return duration_text(Duration(seconds=number))
    return f"{number:,}"


def unknown(path: FieldPath) -> str:
    """Return the error message for an unknown field name at a path."""
    part, name = part_at(CampaignPart, path[:-1]), str(path[-1])
    if part is CampaignPart and name in NOT_IN_A_FILE:
        return NOT_IN_A_FILE[name]
    if name == "threshold":
        return "is called spend or units in a file, and written as people write it"
    if name in part.contract.fields_by_name and _file_name(name) in part.names():
        return f"is called {_file_name(name)} in a file, and written as people write it"
    return unknown_field(name, part.names())


def _file_name(contract_name: str) -> str:
    return _RENAMED.get(contract_name) or contract_name.removesuffix("_minor").removesuffix("_basis_points")


def _counts_units(path: FieldPath, campaign: v1.Campaign) -> bool:
    """Whether the thresholds of the field's offer are units of goods; else they are money."""
    match path:
        case ("offers", int(index), *_) if index < len(campaign.offers):
            return campaign.offers[index].tiers.measure == v1.MEASURE_UNITS
        case _:
            return False


def _steps(contract_path: str) -> FieldPath:
    found = re.findall(r"\w+", contract_path.removeprefix("campaign."))
    return tuple(int(step) if step.isdecimal() else step for step in found)
