"""Reads a YAML or JSON file as text values, each with its line, so that each error message can name the line.

No type is guessed: all values are read as text, so ``20:00`` stays text and ``no`` is not a boolean. Aliases, tags,
duplicate names and deep nesting are refused: they have surprising meanings, or make a small file very large in memory.
"""

import difflib
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import yaml

from redemption.cli.exits import BadFile
from redemption.cli.input.file_bytes import read_bytes
from redemption.cli.input.file_text import file_text
from redemption.cli.input.full_width import wide_character, wide_structure
from redemption.cli.input.yaml_slips import no_blank, slips

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: slower, with the same result
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

BYTES_MAX = 2**20
DEPTH_MAX = 16
NODES_MAX = 20_000
PROBLEMS_MAX = 20
NOT_A_GROUP = "must be a group of fields"
"""The problem of a value where names and values were expected."""

_NOT_TEXT = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# JSON may write a character above U+FFFF as two escapes (a surrogate pair), which YAML would not join. Before the pair
# there may be an even number of backslashes: each two of them mean one backslash.
_TWO_HALVES = re.compile(r"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})")

FieldPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    nodes: tuple["Node", ...]
    line: int


@dataclass(frozen=True, slots=True)
class Group:
    """Named fields; ``lines`` has the line of each name."""

    fields: dict[str, "Node"]
    lines: dict[str, int]
    line: int


Node: TypeAlias = Scalar | Items | Group


class Problem(NamedTuple):
    """One thing wrong with a file."""

    path: FieldPath
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read."""

    file: Path
    root: Group
    wide: tuple[tuple[int, str], ...] = ()
    """Lines whose colon, indentation or hyphen is another character, with what is wrong: told when reading fails."""

    def line_of(self, path: FieldPath) -> int:
        """Return the line of a field; if the file does not have it, the line of the nearest group or list around it."""
        node: Node = self.root
        line = node.line
        for step in path:
            if isinstance(node, Group) and isinstance(step, str) and step in node.fields:
                line, node = node.lines[step], node.fields[step]
            elif isinstance(node, Items) and isinstance(step, int) and step < len(node.nodes):
                node = node.nodes[step]
                line = node.line
            else:
                break
        return line

    def unreadable(self, problems: list[Problem]) -> BadFile:
        """Return the exception for problems of reading a file, which may come from a character that only looks right.

        Such a character is named with its line, or with the name or value that has it; so is a colon without a blank.
        """
        hinted, likely = [], list(self.wide)
        for path, text in problems:
            node = self.node_at(path)
            value = node.text if isinstance(node, Scalar) else ""
            name = str(path[-1]) if path else ""
            if isinstance(node, Scalar) and text == NOT_A_GROUP and (slip := no_blank(value)):
                likely.append((node.line, slip))
            elif slip := no_blank(name):
                likely.append((self.line_of(path), slip))
            else:
                wide = wide_character(value) or wide_character(name)
                hinted.append(Problem(path, f"{text}; it {wide}" if wide else text))
        return self._stop(hinted, tuple(dict.fromkeys(likely)))

    def stop(self, problems: list[Problem]) -> BadFile:
        """Return the exception for some problems: one line for each, sorted by line, 20 at most."""
        return self._stop(problems, ())

    def node_at(self, path: FieldPath) -> Node | None:
        """Return the value of a field, or None if the file does not have it."""
        node: Node = self.root
        for step in path:
            if isinstance(node, Group) and isinstance(step, str) and step in node.fields:
                node = node.fields[step]
            elif isinstance(node, Items) and isinstance(step, int) and step < len(node.nodes):
                node = node.nodes[step]
            else:
                return None
        return node

    def warnings(self, problems: list[Problem]) -> list[str]:
        """Return what to print of things that are probably wrong, sorted by line."""
        lines = sorted((self.line_of(path), f"{dotted(path)}: {text}") for path, text in problems)
        return [f"{self.file}:{line}: warning: {text}" for line, text in lines]

    def _stop(self, problems: list[Problem], more: tuple[tuple[int, str], ...]) -> BadFile:
        lines = [*more, *((self.line_of(path), f"{dotted(path)}: {text}" if path else text) for path, text in problems)]
        lines.sort(key=lambda each: each[0])
        messages = [f"{self.file}:{line}: {text}" for line, text in lines[:PROBLEMS_MAX]]
        if len(lines) > PROBLEMS_MAX:
            messages.append(f"{self.file}: and {len(lines) - PROBLEMS_MAX} more problems")
        return BadFile(*messages)


def dotted(path: FieldPath) -> str:
    """Return a path as people write it: ``offers[0].percent_off.cap``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def plain(node: Node) -> object:
    """Return a node as texts, lists and dicts."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Items):
        return [plain(each) for each in node.nodes]
    return {name: plain(each) for name, each in node.fields.items()}


def unknown_field(name: str, known: Iterable[str]) -> str:
    """Return the message for an unknown field name: it names the most similar known field, or else all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"is not a known field; did you mean {near[0]}?"
    return f"is not a known field; there are {', '.join(known)}"


def read_source(file: Path, *, piped: bool = False) -> Source:
    """Read a file.

    Args:
        file: The file.
        piped: Read standard input in its place.

    Raises:
        BadFile: It cannot be read or parsed; the message names the line.
    """
    if piped:
        file, content = Path("standard input"), sys.stdin.buffer.read(BYTES_MAX + 1)
        if len(content) > BYTES_MAX:
            raise BadFile(f"{file}: is larger than {BYTES_MAX // 1024} KiB")
    else:
        content = read_bytes(file, bytes_max=BYTES_MAX)
    text = file_text(str(file), content, piped=piped)
    found = _NOT_TEXT.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise BadFile(f"{file}:{line}: has a character that is not text: U+{ord(found[0]):04X}")
    if file.suffix == ".json":
        # JSON may be indented with tabs, which YAML refuses. Inside a JSON string a raw tab is not allowed anyway.
        text = _TWO_HALVES.sub(_whole_character, text.replace("\t", " "))
    wide = () if file.suffix == ".json" else tuple(wide_structure(text))
    try:
        root = _Reader(file, yaml.parse(text, Loader=_Loader)).document()
    except (yaml.YAMLError, BadFile) as error:
        found_slips = slips(text, error, _error_of) if isinstance(error, yaml.MarkedYAMLError) else []
        likely = sorted({*wide, *found_slips})  # the parser stumbles over such a line later
        if likely:
            raise BadFile(*(f"{file}:{line}: {problem}" for line, problem in likely[:PROBLEMS_MAX])) from error
        if isinstance(error, BadFile):
            raise
        if not isinstance(error, yaml.MarkedYAMLError):
            raise BadFile(f"{file}: cannot be read: {' '.join(str(error).split())}") from error
        last = max(1, text.count("\n") + (not text.endswith("\n")))
        line = min(error.problem_mark.line + 1, last) if error.problem_mark else 1
        raise BadFile(f"{file}:{line}: cannot be read: {error.problem}") from error
    return Source(file, root, wide)


def _error_of(text: str) -> yaml.MarkedYAMLError | None:
    try:
        for _ in yaml.parse(text, Loader=_Loader):
            pass
    except yaml.MarkedYAMLError as error:
        return error
    return None


class _Reader:
    """Builds the nodes from the parser's events, and stops at the first limit, before a large tree is in memory."""

    def __init__(self, file: Path, events: Iterator[yaml.Event]) -> None:
        self._file = file
        self._events = events
        self._nodes = 0

    def document(self) -> Group:
        self._next()  # the start of the stream
        first = self._next()
        if isinstance(first, yaml.StreamEndEvent):
            raise self._stop(1, "is empty")
        root = self._node(self._next(), depth=1)
        self._next()  # the end of the document
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._stop(_line(after), "a second document begins here; one file holds one")
        if isinstance(root, Scalar) and not root.text:
            raise self._stop(1, "is empty")
        if not isinstance(root, Group):
            raise self._stop(root.line, "must begin with the name of a field, such as 'name: ...'")
        return root

    def _next(self) -> yaml.Event:
        return next(self._events)

    def _node(self, event: yaml.Event, depth: int) -> Node:
        line = _line(event)
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise self._stop(line, f"has more than {NODES_MAX} values")
        if depth > DEPTH_MAX:
            raise self._stop(line, f"is nested deeper than {DEPTH_MAX} levels")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self._stop(line, "anchors and aliases (& and *) are not allowed; write the value out")
        if getattr(event, "tag", None):
            raise self._stop(line, f"tags such as {event.tag} are not allowed; every value is plain text")  # type: ignore[attr-defined]
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(self._text(event.value, line), line)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._items(line, depth)
        return self._group(line, depth)

    def _items(self, line: int, depth: int) -> Items:
        nodes = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            nodes.append(self._node(event, depth + 1))
        return Items(tuple(nodes), line)

    def _group(self, line: int, depth: int) -> Group:
        fields: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                raise self._stop(key.line, "the name of a field must be plain text")
            if key.text in fields:
                raise self._stop(key.line, f"{key.text}: is given twice, first in line {lines[key.text]}")
            lines[key.text] = key.line
            fields[key.text] = self._node(self._next(), depth + 1)
        return Group(fields, lines, line)

    def _text(self, value: str, line: int) -> str:
        # libyaml refuses a lone surrogate itself; the parser of PyYAML in Python does not.
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise self._stop(line, "has half a character (a lone surrogate)")
        return value

    def _stop(self, line: int, text: str) -> BadFile:
        return BadFile(f"{self._file}:{line}: {text}")


def _whole_character(found: re.Match[str]) -> str:
    return found[1] + found[2].encode().decode("unicode-escape").encode("utf-16", "surrogatepass").decode("utf-16")


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None, "events of a text have marks"
    return int(event.start_mark.line) + 1
