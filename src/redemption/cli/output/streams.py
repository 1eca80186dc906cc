"""Standard output and standard error that take every text, whatever their encoding and whoever reads them.

A verdict must be told when a coupon is used already. So a character that the encoding does not have is replaced, and a
stream that is closed is one that nobody reads.
"""

import codecs
import io
import os
import sys
from contextlib import suppress
from typing import TextIO

_HANDLER = "redemption.plain"
# What people read in place of a sign that their encoding does not have. The first that it has is taken.
_PLAIN = {
    "\N{MINUS SIGN}": ("-",),
    "\N{YEN SIGN}": ("\N{FULLWIDTH YEN SIGN}", "Y"),
    "\N{EURO SIGN}": ("EUR ",),
    "\N{POUND SIGN}": ("GBP ",),
    "\N{RIGHTWARDS ARROW}": ("->",),
    "\N{HORIZONTAL ELLIPSIS}": ("...",),
    "\N{MULTIPLICATION SIGN}": ("x",),
    "\N{REPLACEMENT CHARACTER}": ("?",),
}


def prepare_streams() -> None:
    """Let standard output and standard error replace what they cannot encode, and open those that are closed."""
    codecs.register_error(_HANDLER, _plain)
    sys.stdout = _prepared(sys.stdout)
    sys.stderr = _prepared(sys.stderr)


def is_unicode() -> bool:
    """Whether standard output takes every character."""
    return codecs.lookup(sys.stdout.encoding).name.startswith("utf")


def leave_quietly() -> None:
    """Send the rest of the output to /dev/null: the reader, such as ``head``, has left, or the disk is full."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def write_error(line: str) -> None:
    """Write one line to standard error. That nobody reads it changes no exit code."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is the place that writes


def _prepared(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed by the shell, as with >&-
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - open as long as the program runs
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_HANDLER)
    return stream


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_in(error.encoding, char) for char in error.object[error.start : error.end]), error.end


def _in(encoding: str, char: str) -> str:
    for plain in _PLAIN.get(char, ()):
        with suppress(UnicodeEncodeError):
            plain.encode(encoding)
            return plain
    return char.encode("ascii", "backslashreplace").decode("ascii")
