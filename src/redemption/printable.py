"""Texts of others, such as names and error replies, as they may be shown in a terminal."""


def printable(text: str) -> str:
    """Return a text without characters that a terminal obeys, or that change how the text around looks."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)
