"""Reads a campaign file, reports each problem with its line, and converts it to the contract's Campaign.

``model`` has the fields of a file. Only names and values are checked here. The rules of a campaign are checked by the
server; ``violations`` converts what it reports into the words of the file.
"""

from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from redemption.cli.campaign_file.contents import CampaignPart
from redemption.cli.campaign_file.field_names import unknown
from redemption.cli.campaign_file.to_contract import campaign_message
from redemption.cli.campaign_file.values import EMPTY, Units, units_of
from redemption.cli.input.source_file import NOT_A_GROUP, Problem, Scalar, Source, plain, read_source
from redemption.v1.campaign_pb2 import Campaign


class CampaignFile(NamedTuple):
    """A file that was read, and its campaign."""

    source: Source
    campaign: Campaign


def read_campaign(file: Path) -> CampaignFile:
    """Read a campaign.

    Raises:
        Stop: The file has no valid campaign; the message names each problem with its line.
    """
    source = read_source(file)
    try:
        part = CampaignPart.model_validate(plain(source.root), context=_units(source))
    except ValidationError as error:
        raise source.unreadable([_problem(detail) for detail in error.errors()]) from error
    return CampaignFile(source, campaign_message(part))


def _units(source: Source) -> Units:
    def text(name: str) -> str:
        node = source.root.fields.get(name)
        return node.text if isinstance(node, Scalar) else ""

    return units_of(text("currency_code"), text("time_zone"))


def _problem(detail: Any) -> Problem:  # noqa: ANN401 - pydantic's own dict
    path = tuple(detail["loc"])
    match detail["type"]:
        case "missing":
            return Problem(path, "is missing")
        case "extra_forbidden":
            return Problem(path, unknown(path))
        case "value_error":
            return Problem(path, str(detail["ctx"]["error"]))
        case _ if detail["input"] == "":
            return Problem(path, EMPTY)
        case "model_type":
            return Problem(path, NOT_A_GROUP)
        case "tuple_type":
            return Problem(path, "must be a list, each entry beginning with a hyphen")
        case _:
            return Problem(path, str(detail["msg"]))
