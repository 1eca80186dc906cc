"""Shell completion of commands and options: installs it, or prints its script, for a shell that is named or found."""

import subprocess
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, get_args

import typer
from typer.completion import get_completion_inspect_parameters, install_callback, show_callback

from redemption.cli.exits import BAD_INPUT, Stop

CURRENT = "current"
Shell: TypeAlias = Literal["bash", "zsh", "fish", "powershell", "pwsh", "current"]
_OPTIONS = ("--install-completion", "--show-completion")


def prepare_completion() -> None:
    """Let Typer know how each shell asks for completions; it does so only when it makes its own options."""
    get_completion_inspect_parameters()


def with_shell(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of the program; where an option of completion names no shell, it is the current one.

    Typer has no options whose value may be left out.
    """
    named = list(arguments)
    if named and named[0] in _OPTIONS and (len(named) == 1 or named[1].startswith("-")):
        named.insert(1, CURRENT)
    return named


def install(context: typer.Context, shell: Shell) -> None:
    """Install completion for a shell, and print where.

    Raises:
        Stop: The current shell is not known, or a file of the shell cannot be written.
    """
    try:
        _ask_typer(install_callback, context, shell)
    except (OSError, subprocess.CalledProcessError) as error:
        cause = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else str(error)
        raise Stop(BAD_INPUT, f"completion for {shell} cannot be installed: {cause}") from error


def show(context: typer.Context, shell: Shell) -> None:
    """Print the script of a shell.

    Raises:
        Stop: The current shell is not known.
    """
    _ask_typer(show_callback, context, shell)


def _ask_typer(callback: Callable[[Any, Any, Any], Any], context: typer.Context, shell: Shell) -> None:
    try:
        callback(context, None, True if shell == CURRENT else shell)
    except SystemExit:  # it ends so when all is done
        return
    except typer.Exit as error:
        known = ", ".join(name for name in get_args(Shell) if name != CURRENT)
        raise Stop(BAD_INPUT, f"the current shell is not one that has completion here; name one: {known}") from error
