"""Makes a JSON Schema of program files for editors."""

from typing import Any

from redemption.cli.campaign_file.schema import schema_of
from redemption.cli.program_file.contents import ProgramPart


def program_schema() -> dict[str, Any]:
    """Return the schema; it has the names and types, not the rules of the server."""
    return schema_of(ProgramPart, "Program")
