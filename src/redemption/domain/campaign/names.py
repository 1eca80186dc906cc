"""Names and ids as people see them: what cannot be seen in them, and which names look the same."""

import unicodedata
from typing import Final

_UNSEEN_KINDS: Final = frozenset({"Cf", "Zl", "Zp"})
_FILLERS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0\U0001d159")
"""Letters and symbols that leave an empty place."""
_IGNORABLE: Final = frozenset(
    map(chr, (0x034F, 0x17B4, 0x17B5, 0x2065, *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000)))
)
"""More of what Unicode calls ignorable by default: programs that do not know it draw nothing."""
_VARIATION_SELECTORS: Final = frozenset(
    map(chr, (0x180B, 0x180C, 0x180D, 0x180F, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
_JOINERS: Final = frozenset("\u200c\u200d")
_JOINED_KINDS: Final = frozenset({"Mn", "Mc", "So", "Sk"})
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL"})


def appearance(name: str) -> str:
    """Return a text that is the same for names that people take for the same.

    Case, blanks, full width and other forms of a character (NFKC), and what cannot be seen make no difference.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(character for character in folded if not (character.isspace() or _is_unseen(character)))


def unseen_character(text: str) -> tuple[int, str] | None:
    """Return the place, from 1, and the code point of the first character that nobody sees, or None.

    A joiner is no such character behind a letter or a picture that it joins to the next one: scripts of India and
    Persia need it, and pictures of families.
    """
    if text.isascii():
        return None
    before = ""
    for place, character in enumerate(text, start=1):
        if _is_unseen(character) and not _is_needed(character, before):
            return place, f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()
        before = character
    return None


def _is_unseen(character: str) -> bool:
    return (
        unicodedata.category(character) in _UNSEEN_KINDS
        or character in _FILLERS
        or character in _IGNORABLE
        or character in _VARIATION_SELECTORS
        or _is_no_character(ord(character))
    )


def _is_no_character(code_point: int) -> bool:
    """Whether Unicode keeps a code point free for ever, so that it never is a character."""
    return code_point & 0xFFFE == 0xFFFE or 0xFDD0 <= code_point <= 0xFDEF  # noqa: PLR2004 - of Unicode


def _is_needed(character: str, before: str) -> bool:
    if character in _VARIATION_SELECTORS:  # it says which form of the character before it is meant
        return bool(before)
    return (
        character in _JOINERS
        and bool(before)
        and (unicodedata.category(before) in _JOINED_KINDS or unicodedata.bidirectional(before) in _RIGHT_TO_LEFT)
    )
