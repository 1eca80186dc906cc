"""Reads a campaign file, reports each problem with its line, and converts it to the contract's Campaign.

``model`` has the fields of a file. Only names and values are checked here. The rules of a campaign are checked by the
server; ``violations`` converts what it reports into the words of the file.
"""

import shlex
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from redemption.cli.campaign_file.contents import CampaignPart
from redemption.cli.campaign_file.field_names import unknown
from redemption.cli.campaign_file.part import problems_of
from redemption.cli.campaign_file.to_contract import campaign_message
from redemption.cli.campaign_file.values import Units, units_of
from redemption.cli.input.source_file import Problem, Scalar, Source, plain, read_source
from redemption.v1.campaign_pb2 import Campaign

_OF_A_PROGRAM = ("velocity", "accounts", "lock_out", "warnings")


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
    for name in _OF_A_PROGRAM:
        if name in source.root.fields:
            problem = (
                f"this file is a program's rules, not a campaign; redemption program apply {shlex.quote(str(file))}"
            )
            raise source.stop([Problem((name,), problem)])
    try:
        part = CampaignPart.model_validate(plain(source.root), context=_units(source))
    except ValidationError as error:
        raise source.unreadable(problems_of(error, unknown)) from error
    return CampaignFile(source, campaign_message(part))


def _units(source: Source) -> Units:
    def text(name: str) -> str:
        node = source.root.fields.get(name)
        return node.text if isinstance(node, Scalar) else ""

    return units_of(text("currency_code"), text("time_zone"))
