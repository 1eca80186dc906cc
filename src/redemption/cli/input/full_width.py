"""Finds the characters of Chinese keyboards that look like those of YAML, numbers and dates, and are others."""

import re
import unicodedata

_WIDE = re.compile("[\u3000\uff01-\uff5e\u2014\u2013\u201c\u201d\u2018\u2019]")
_PLAIN = {"\u2014": "-", "\u2013": "-", "\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'"}
_FLOW = re.compile("[\uff0c\uff1a\uff5b\uff5d\uff3b\uff3d\u201c\u201d\u2018\u2019\uff02\uff07]")
_STRUCTURE = re.compile(
    r"^[ ]*(?:"
    r"(?:- +)*[A-Za-z_]\w*[ ]*(?P<colon>[\uff1a])"
    r"|(?P<indent>[\u3000\u00a0])"
    r"|(?P<hyphen>[\uff0d\u2014\u2013])[ ]*\w"
    r")",
    re.MULTILINE,
)


def wide_character(text: str) -> str | None:
    """Return what to write instead of the first character of a text that has another form, or None."""
    found = _WIDE.search(text)
    return None if found is None else _hint(found[0])


def plain_signs(text: str) -> tuple[str, list[str]]:
    """Return a part of a line with the plain form of the signs of YAML's braces, and what to write for each of them."""
    hints = []

    def plain(found: re.Match[str]) -> str:
        sign = found[0]
        lacks_blank = sign == "\uff1a" and not text[found.end() : found.end() + 1].isspace()
        hints.append(f"{_hint(sign)}{' and a blank' if lacks_blank else ''}")
        return _plain(sign) + (" " if lacks_blank else "")

    return _FLOW.sub(plain, text), list(dict.fromkeys(hints))


def wide_structure(text: str) -> list[tuple[int, str]]:
    """Return the lines of a YAML text whose colon, indentation or hyphen is another character, each with its problem.

    It is asked when a file cannot be read: the parser notices such a line later, or not at all.
    """
    found = []
    for match in _STRUCTURE.finditer(text):
        line = text.count("\n", 0, match.end()) + 1
        match match.lastgroup:
            case "colon":
                after = " and a blank" if not text[match.end() : match.end() + 1].isspace() else ""
                found.append((line, f"{_hint(match['colon'])}{after}"))
            case "indent":
                name = unicodedata.name(match["indent"])
                found.append((line, f"begins with U+{ord(match['indent']):04X} {name}; indent with plain spaces"))
            case _:
                found.append((line, f"{_hint(match['hyphen'])} and a blank"))
    return found


def _plain(character: str) -> str:
    return _PLAIN.get(character) or unicodedata.normalize("NFKC", character)


def _hint(character: str) -> str:
    shown = "an ideographic space" if character == "\u3000" else f"the full-width {character!r}"
    if character in _PLAIN:
        shown = f"the typographic {character!r}"
    return f"has {shown} (U+{ord(character):04X}); write {_plain(character)!r}"
