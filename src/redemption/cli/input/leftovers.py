"""What is said of arguments that a command does not have: one may be the rest of a password with a blank in it."""

import re

_ARGUMENTS = re.compile(r"got unexpected extra arguments?(?:\(s\))? \((.*)\)", re.IGNORECASE | re.DOTALL)
_OPTION = re.compile(r"no such option: \S+(?! \(Possible)", re.IGNORECASE)
_QUOTES = "not shown, as a password may be in it; a value with blanks needs quotes"


def without_leftovers(message: str) -> str:
    """Return a message about a command's arguments without those that the command does not have.

    An option that is spelled almost as one of the command's is no secret, and stays.
    """
    found = _ARGUMENTS.fullmatch(message)
    if found:
        count = len(found[1].split())
        return f"got {count} unexpected argument{'s' if count > 1 else ''} ({_QUOTES})"
    if _OPTION.fullmatch(message):
        return f"got an option that it does not have ({_QUOTES})"
    return message
