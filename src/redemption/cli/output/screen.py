"""Writes to the terminal: text for people, JSON for programs, colours only on a terminal."""
# ruff: noqa: PLC0415 - rich and protobuf are imported when something is printed, so that help is quick.

import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console
    from rich.table import Table

WIDTH_UNSEEN = 1000
"""Columns if the output is not a terminal: so many that each row of a table is one line, for ``grep`` and ``awk``."""


@cache
def stdout() -> "Console":
    """Return the console for answers."""
    return _console(stderr=False)


@cache
def stderr() -> "Console":
    """Return the console for progress, never for answers."""
    return _console(stderr=True)


def say(line: str, style: str = "") -> None:
    """Print one line for people, in the colour ``style``; it is not wrapped, so that it can be copied."""
    from rich.text import Text

    stdout().print(Text(printable(line), style=style), soft_wrap=True)


def complain(line: str) -> None:
    """Print one line about what went wrong."""
    print(printable(line), file=sys.stderr)  # noqa: T201 - needs no colours, and must work when rich cannot be imported


def print_message(message: "Message") -> None:
    """Print a message of the contract as JSON, with the field names of the contract."""
    from google.protobuf.json_format import MessageToJson

    print(MessageToJson(message, preserving_proto_field_name=True, ensure_ascii=False))  # noqa: T201 - for programs


def print_json(value: object) -> None:
    """Print something as JSON."""
    import json

    print(json.dumps(value, ensure_ascii=False, indent=2))  # noqa: T201 - for programs


def table(*columns: str, right: tuple[str, ...] = ()) -> "Table":
    """Return an empty table without lines around it, some of its columns aligned to the right."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for column in columns:
        made.add_column(Text(column), justify="right" if column in right else "left", overflow="fold")
    return made


def show(rows: "Table") -> None:
    """Print a table, without blanks at the end of its lines."""
    with stdout().capture() as captured:
        stdout().print(rows)
    for line in captured.get().splitlines():
        print(line.rstrip())  # noqa: T201 - laid out already


def printable(text: str) -> str:
    """Return a text without control characters, so that a name cannot change what is on the screen."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _console(*, stderr: bool) -> "Console":
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH_UNSEEN
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)
