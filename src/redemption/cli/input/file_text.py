"""Decodes a file as UTF-8, and says how to convert one that is not."""

import codecs
import shlex

from redemption.cli.exits import BadFile

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PROBE_BYTES = 4096
_ZEROS = 8
"""In UTF-16, at least one byte of so many is zero, if there are names of fields."""


def file_text(name: str, content: bytes, *, piped: bool = False) -> str:
    """Return the text of a file, without a byte order mark.

    Args:
        name: The file, for messages.
        content: What is in it.
        piped: It came by a pipe, so the file itself is not known.

    Raises:
        BadFile: It is not UTF-8; the message names the line, and what the file may be instead.
    """
    if content.startswith(_UTF_16) or _has_wide_characters(content):
        raise BadFile(f"{name}:1: is UTF-16, not UTF-8; {_remedy(name, 'UTF-16', piped=piped)}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        encoding = _chinese_encoding(content)
        if encoding is None:
            raise BadFile(f"{name}:{line}: is not UTF-8 text; save the file as UTF-8") from error
        problem = f"is not UTF-8 text; it looks like {encoding}; {_remedy(name, encoding, piped=piped)}"
        raise BadFile(f"{name}:{line}: {problem}") from error


def _has_wide_characters(content: bytes) -> bool:
    """Whether a text is UTF-16 without a byte order mark: letters and line ends have a zero byte each."""
    probe = content[:_PROBE_BYTES]
    return (b"\n\0" in probe or b"\0\n" in probe) and probe.count(0) * _ZEROS > len(probe)


def _chinese_encoding(content: bytes) -> str | None:
    """Return GBK or GB18030 if a text is Chinese in that encoding: then most of its characters are common ones."""
    for encoding in ("gbk", "gb18030"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        foreign = [character for character in text if not character.isascii()]
        common = "".join(foreign).encode("gb2312", "ignore").decode("gb2312")
        return encoding.upper() if foreign and 2 * len(common) > len(foreign) else None
    return None


def _remedy(name: str, encoding: str, *, piped: bool) -> str:
    command = f"iconv -f {encoding} -t UTF-8"
    if piped:
        return f"convert it: {command}"
    return f"save the file as UTF-8, or convert it: {command} {shlex.quote(name)} > {shlex.quote(f'{name}.utf8')}"
