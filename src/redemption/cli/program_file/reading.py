"""Reads a program file, and reports each problem with its line.

Only names and values are checked here. The rules themselves are checked by the server; ``violations`` converts what it
reports into the words of the file.
"""

import shlex
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from redemption.cli.campaign_file.part import part_at, problems_of
from redemption.cli.input.source_file import FieldPath, Problem, Source, plain, read_source, unknown_field
from redemption.cli.program_file.contents import ProgramPart

STDIN = "-"
_OF_A_CAMPAIGN = ("offers", "currency_code", "start_time")
_OTHERWISE = {
    ("etag",): "is told by the server, and does not stand in a file",
    ("tightened",): "does not stand in a file; there are the commands program tighten and program loosen",
    ("claims_frozen",): "does not stand in a file; there are the commands program freeze-claims and thaw-claims",
    ("deny",): "does not stand in a file, because it names people; there is the command deny",
    ("allow",): "does not stand in a file, because it names people; there is the command allow",
    ("velocity", "period"): "is written with the limit, such as limit: 5 per 1m",
    ("accounts", "limit"): "is called customers in a rule on accounts",
    ("accounts", "period"): "is called window in a rule on accounts",
    ("warnings", "budget_spent_basis_points"): "is called budget_spent in a file, and written as people write it",
    ("warnings", "refusal_shares", "basis_points"): "is called share in a file, and written as people write it",
}
"""What is said of names that are not known, but of which it is known what was meant; paths without indexes."""


class ProgramFile(NamedTuple):
    """A file that was read, and its fields. Campaigns that it names are not looked up yet."""

    source: Source
    part: ProgramPart


def read_program(file: Path) -> ProgramFile:
    """Read the rules of a program; the file ``-`` is standard input.

    Raises:
        BadFile: The file has none; the message names each problem with its line.
    """
    source = read_source(file, piped=str(file) == STDIN)
    for name in _OF_A_CAMPAIGN:
        if name in source.root.fields:
            problem = (
                f"this file is a campaign, not a program's rules; redemption campaigns apply {shlex.quote(str(file))}"
            )
            raise source.stop([Problem((name,), problem)])
    try:
        part = ProgramPart.model_validate(plain(source.root))
    except ValidationError as error:
        raise source.unreadable(problems_of(error, unknown)) from error
    return ProgramFile(source, part)


def unknown(path: FieldPath) -> str:
    """Return the error message for an unknown field name at a path."""
    known = _OTHERWISE.get(tuple(step for step in path if isinstance(step, str)))
    return known or unknown_field(str(path[-1]), part_at(ProgramPart, path[:-1]).names())
