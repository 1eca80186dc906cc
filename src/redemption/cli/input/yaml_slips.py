"""Finds the slip behind an error of the YAML parser: a tab, a full-width sign, a colon without a blank.

The parser reports them in words of its own, and often in a later line. A slip is told only if the parser gets further
without it, so that a sign in a name is not blamed for another mistake.
"""

import re
from collections.abc import Callable, Iterator

from yaml import MarkedYAMLError

from redemption.cli.input.full_width import plain_signs

_TAB = re.compile(r"[ ]*(?P<hyphen>-[ ]*)?\t[ \t]*")
_QUOTED_OR_COMMENT = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?<!\S)#.*""")
_SIGN_AT_START = re.compile(r"(?:^|:|-)[ ]+[\uff5b\uff3b\u201c\u201d\u2018\u2019\uff02\uff07]")
_NO_BLANK = re.compile(r"(?P<before>[ ]*(?:-[ ]+)*)(?P<key>[A-Za-z_]\w*):(?=[^\s:])")
_NO_BLANK_SHOWN_MAX = 40
_LINE_MAX = 1000
"""Longer lines are not searched for signs: nobody typed them, and quotes in them could take long to tell apart."""
_INDENTED = "is indented with a tab; use spaces"
_BEHIND_HYPHEN = "has a tab behind the hyphen; use a blank"

Position = tuple[int, int]
Slip = tuple[int, str]


def slips(text: str, error: MarkedYAMLError, error_of: Callable[[str], MarkedYAMLError | None]) -> list[Slip]:
    """Return the slips behind an error: the line, from 1, and what is wrong there.

    Args:
        text: The file.
        error: The error.
        error_of: Returns the error of a text, or None if it has none.
    """
    lines = text.splitlines(keepends=True)
    line, column = _position(error)
    if line < len(lines) and (found := _TAB.fullmatch(lines[line][: column + 1])):
        return [(line + 1, _BEHIND_HYPHEN if found["hyphen"] else _INDENTED)]
    for mended, problems in (_with_plain_signs(lines, error), _with_blanks(lines, error)):
        if problems:
            after = error_of("".join(mended))
            if after is None or _position(after) > (line, column + sum(map(len, mended)) - len(text)):
                return problems
    return []


def no_blank(text: str) -> str | None:
    """Return what is wrong with a text that was meant as a field and its value, such as ``issued:1000``, or None."""
    found = _NO_BLANK.match(text)
    return (
        None
        if found is None
        else f"has no blank after '{found['key'][:_NO_BLANK_SHOWN_MAX]}:'; write a blank after the colon"
    )


def _position(error: MarkedYAMLError) -> Position:
    mark = error.problem_mark
    return (mark.line, mark.column) if mark is not None else (0, 0)


def _with_plain_signs(lines: list[str], error: MarkedYAMLError) -> tuple[list[str], list[Slip]]:
    """Return the lines with plain signs in place of the full-width ones that YAML would read, and these slips."""
    mended, problems = list(lines), []
    for number, start in _suspects(lines, error):
        if len(lines[number]) > _LINE_MAX:
            continue
        parts, hints = [lines[number][:start]], []
        rest = lines[number][start:]
        at = 0
        for kept in (*_QUOTED_OR_COMMENT.finditer(rest), None):
            end, after = kept.span() if kept else (len(rest), len(rest))
            plain, found = plain_signs(rest[at:end])
            parts += [plain, rest[end:after]]
            hints += found
            at = after
        mended[number] = "".join(parts)
        problems += [(number + 1, hint) for hint in dict.fromkeys(hints)]
    return mended, problems


def _suspects(lines: list[str], error: MarkedYAMLError) -> Iterator[Position]:
    """Yield the lines in which a full-width sign may be the cause, and the column from which on it may."""
    last = min(_position(error)[0], len(lines) - 1)
    context = error.context_mark
    if context is not None and context.line <= last and "flow" in (error.context or ""):
        yield context.line, context.column
        yield from ((number, 0) for number in range(context.line + 1, last + 1))
        return
    for number in (_line_before(lines, last), last):
        if number is not None and (found := _SIGN_AT_START.search(lines[number])):
            yield number, found.end() - 1


def _with_blanks(lines: list[str], error: MarkedYAMLError) -> tuple[list[str], list[Slip]]:
    """Return the lines with a blank after each colon that lacks it, at the error and right before, and these slips."""
    mended, problems = list(lines), []
    last = min(_position(error)[0], len(lines) - 1)
    number: int | None = last
    while number is not None:
        found = _NO_BLANK.match(lines[number])
        if found:
            problems.append((number + 1, no_blank(lines[number]) or ""))
            mended[number] = f"{lines[number][: found.end()]} {lines[number][found.end() :]}"
        elif number != last:
            break
        number = _line_before(lines, number)
    return mended, problems


def _line_before(lines: list[str], number: int) -> int | None:
    """Return the last line before another one that is neither empty nor a comment."""
    before = range(number - 1, -1, -1)
    return next((each for each in before if lines[each].strip() and not lines[each].lstrip().startswith("#")), None)
