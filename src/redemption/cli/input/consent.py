"""A person's consent to what cannot be undone."""

import sys

import typer

from redemption.cli.exits import REFUSED, Stop


def require_consent(question: str, *, yes: bool) -> None:
    """Ask a person, where there is one; elsewhere, and with ``--yes``, typing the command was consent enough.

    Raises:
        Stop: The answer is no.
    """
    if not yes and sys.stdin.isatty() and not typer.confirm(question):
        raise Stop(REFUSED, "nothing was done")
