"""The campaigns that rules name: by number or by name in a file, by number in the contract."""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from redemption.cli.campaign_file.values import UINT32_MAX
from redemption.cli.input.source_file import FieldPath, Problem
from redemption.cli.program_file.contents import ProgramPart
from redemption.v1.campaign_pb2 import Campaign
from redemption.v1.rules_pb2 import Rules

Names: TypeAlias = Mapping[int, str]
"""The names of a program's campaigns, by number."""


def names_of(campaigns: Iterable[Campaign]) -> Names:
    """Return the names of campaigns."""
    return {campaign.number: campaign.name for campaign in campaigns}


def named_in(rules: Rules) -> bool:
    """Whether rules are of single campaigns, so that their names are of interest."""
    return any(rule.campaign for rule in rules.velocity) or any(rule.campaign for rule in rules.accounts)


def campaign_fields(part: ProgramPart) -> dict[FieldPath, str]:
    """Return the campaigns that a file names, as they are written, by their paths."""
    written = {("velocity", index, "campaign"): rule.campaign for index, rule in enumerate(part.velocity)}
    written |= {("accounts", index, "campaign"): rule.campaign for index, rule in enumerate(part.accounts)}
    return {path: text for path, text in written.items() if text is not None}


def number_of(text: str) -> int | None:
    """Return the number that a text is; None for a name."""
    return int(text) if text.isascii() and text.isdecimal() and int(text) <= UINT32_MAX else None


def numbers_of(fields: Mapping[FieldPath, str], names: Names) -> tuple[dict[str, int], list[Problem]]:
    """Return the number of each campaign that a file names, and what is wrong with the others.

    A number that no campaign has is no problem here: the server takes it.
    """
    by_name = {name: number for number, name in names.items()}
    numbers, problems = {}, []
    for path, text in fields.items():
        number = number_of(text)
        if number is None:  # as it was written, too: for names from before they had one form
            number = by_name.get(text) or by_name.get(unicodedata.normalize("NFC", text))
        if number is None:
            near = difflib.get_close_matches(text, by_name, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; redemption campaigns list has them"
            problems.append(Problem(path, f"there is no campaign called {text[:40]!r} in this program{hint}"))
        else:
            numbers[text] = number
    return numbers, problems
