"""What the ledger does not allow the service's user; ``docs/operating.md`` has the line that allows all it needs."""

import re

from redis.exceptions import NoPermissionError

from redemption.domain.errors import LedgerRefused

_REFUSED = re.compile(r"has no permissions to run the '([^']+)' command", re.IGNORECASE)
_KEYS_REFUSED = re.compile(r"no permissions to access a key", re.IGNORECASE)
_CHANNEL_REFUSED = re.compile(r"no permissions to access (a channel|one of the channels)", re.IGNORECASE)
_CHANNEL = "&redemption_proof"
"""The channel of ``trust/proof.py``, as an access list names it."""
_FOR_CALLERS = (
    "the ledger does not allow what this server needs; nothing was done. Its operator finds the cause in the log"
)


class LedgerForbids(LedgerRefused):
    """The ledger's user may not do what the service needs; nothing was done."""


def forbidden(reply: Exception) -> LedgerForbids | None:
    """Return the failure for an error reply, or None when it is about something else."""
    text = str(reply)
    found = _REFUSED.search(text)
    if found:
        return forbids([found[1]])
    if _KEYS_REFUSED.search(text):
        return LedgerForbids(
            _FOR_CALLERS,
            for_operator="the ledger does not let the service's user use the keys of the program: allow them with "
            "~{*}* (docs/operating.md has the whole line)",
        )
    if _CHANNEL_REFUSED.search(text):
        return forbids(["publish"])
    if isinstance(reply, NoPermissionError) or text.startswith("NOPERM"):
        return LedgerForbids(
            _FOR_CALLERS,
            for_operator="the ledger's user lacks a right: compare it with the line of docs/operating.md (ACL GETUSER)",
        )
    return None


def forbids(commands: list[str]) -> LedgerForbids:
    """Return the failure for commands that the service's user may not run."""
    names = ", ".join(commands)
    allow = " ".join(f"+{command} {_CHANNEL}" if command == "publish" else f"+{command}" for command in commands)
    return LedgerForbids(
        _FOR_CALLERS,
        for_operator=f"the ledger does not let the service's user run {names}: allow it with {allow} "
        "(docs/operating.md has the whole line)",
    )
