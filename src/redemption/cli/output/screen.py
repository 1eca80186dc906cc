"""Writes to the terminal: text for people, JSON for programs, colours only on a terminal."""
# ruff: noqa: PLC0415 - rich and protobuf are imported when something is printed, so that help is quick.

import sys
from functools import cache
from typing import TYPE_CHECKING

from redemption.cli.output.streams import is_unicode, leave_quietly, write_error
from redemption.printable import printable

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console
    from rich.table import Table

    from redemption.cli.exits import Stop

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
    """Print one line that is no part of the answer, such as what went wrong. That nobody reads it does no harm."""
    write_error(printable(line))


def print_message(message: "Message") -> None:
    """Print a message of the contract as JSON, with the field names of the contract."""
    from redemption.cli.output.contract_json import as_dict

    print_json(as_dict(message))


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print something as JSON; in another encoding than UTF-8 with escapes, which JSON has for every character."""
    import json

    print(json.dumps(value, ensure_ascii=not is_unicode(), indent=indent))  # noqa: T201 - for programs


def print_failure(stop: "Stop") -> None:
    """Print on standard output why a command with ``--json`` failed, in one line: a program reads only that stream."""
    try:
        print_json({"error": stop.as_dict(), **stop.done_before}, indent=None)
        sys.stdout.flush()
    except OSError:
        leave_quietly()


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


def _console(*, stderr: bool) -> "Console":
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH_UNSEEN
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)
