"""What the ledger does not allow the service's user; ``docs/operating.md`` has the line that allows all it needs."""

import re

from redemption.domain.errors import LedgerRefused

_REFUSED = re.compile(r"has no permissions to run the '([^']+)' command", re.IGNORECASE)
_KEYS_REFUSED = re.compile(r"no permissions to access a key", re.IGNORECASE)
_FOR_CALLERS = (
    "the ledger does not allow what this server needs; nothing was done. Its operator finds the cause in the log"
)


class LedgerForbids(LedgerRefused):
    """The ledger's user may not do what the service needs; nothing was done."""


def forbidden(text: str) -> LedgerForbids | None:
    """Return the failure for the text of an error reply, or None when it is about something else."""
    found = _REFUSED.search(text)
    if found:
        return forbids([found[1]])
    if _KEYS_REFUSED.search(text):
        return LedgerForbids(
            _FOR_CALLERS,
            for_operator="the ledger does not let the service's user use the keys of the program: allow them with "
            "~{*}* (docs/operating.md has the whole line)",
        )
    return None


def forbids(commands: list[str]) -> LedgerForbids:
    """Return the failure for commands that the service's user may not run."""
    names = ", ".join(commands)
    allow = " ".join(f"+{command}" for command in commands)
    return LedgerForbids(
        _FOR_CALLERS,
        for_operator=f"the ledger does not let the service's user run {names}: allow it with {allow} "
        "(docs/operating.md has the whole line)",
    )
