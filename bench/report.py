"""Tables that a benchmark found: printed for a person, and written as Markdown and JSON."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
COLUMNS = 110
"""What a pipe is written for; a terminal says itself how wide it is."""


@dataclass(frozen=True, slots=True)
class Part:
    """One table, and what has to be said of it."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


@dataclass(slots=True)
class Report:
    """What one run found.

    Attributes:
        facts: On what was measured, and how.
        data: The figures themselves, for JSON.
    """

    bench: str
    facts: Sequence[str]
    parts: list[Part] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def add(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *notes: str) -> None:
        """Add a table."""
        self.parts.append(Part(title, header, rows, notes))

    def print(self) -> None:
        """Print what a person reads."""
        console = Console(width=None if sys.stdout.isatty() else COLUMNS, highlight=False)
        for fact in self.facts:
            console.print(fact)
        for part in self.parts:
            console.print(f"\n{part.title}", style="bold", markup=False)
            table = Table(*part.header)
            for column in table.columns[1:]:
                column.justify = "right"
            for row in part.rows:
                table.add_row(*row)
            console.print(table)
            for note in part.notes:
                console.print(note, markup=False, soft_wrap=True)

    def markdown(self) -> str:
        """Return the same as Markdown."""
        lines = [f"# {self.bench}", "", *(f"- {fact}" for fact in self.facts)]
        for part in self.parts:
            lines += ["", f"## {part.title}", "", _line(part.header), _line(["---", *["--:"] * (len(part.header) - 1)])]
            lines += map(_line, part.rows)
            lines += [f"\n{note}" for note in part.notes]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> Path:
        """Write both into a folder; returns the path of the JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.bench}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
        content: Mapping[str, Any] = {"bench": self.bench, "facts": self.facts, **self.data}
        path.write_text(json.dumps(content, indent=1) + "\n")
        path.with_suffix(".md").write_text(self.markdown())
        return path


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
