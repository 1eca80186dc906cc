"""The text of the ledger's error replies as this process keeps it: without what was sent, above all the password.

A server that does not know a command may repeat its arguments, and those of AUTH are the user and the password. So
every error reply is cleaned where it is read, before it can get into a log or a message.
"""

import re
from typing import Any

from redis.asyncio.connection import DefaultParser

_ARGUMENTS = re.compile(r",? with args beginning with\b.*", re.IGNORECASE | re.DOTALL)
_PASSWORD_LENGTH_MIN = 6
"""A shorter password may be an ordinary word of a reply, by which the reply is understood."""
_HIDDEN = "***"


def without_secrets(text: str, password: str) -> str:
    """Return the text of an error reply without repeated arguments, and without the password wherever it stands alone.

    The first word stays: it is the kind of the error.
    """
    kind, blank, rest = text.partition(" ")
    rest = _ARGUMENTS.sub("", rest)
    if len(password) >= _PASSWORD_LENGTH_MIN:
        rest = re.sub(rf"(?<!\w){re.escape(password)}(?!\w)", _HIDDEN, rest)
    return f"{kind}{blank}{rest}"


def parser_that_cleans(password: str) -> type[Any]:
    """Return the parser of the Redis client, with error replies that are cleaned first."""

    class Parser(DefaultParser):  # type: ignore[valid-type, misc]  # a variable: the parser that is installed
        __slots__ = ()

        @classmethod
        def parse_error(cls, response: str) -> Exception:
            error: Exception = super().parse_error(without_secrets(response, password))
            return error

    return Parser
