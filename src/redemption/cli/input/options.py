"""The options that many commands share, and how options, environment and defaults become settings."""
# ruff: noqa: PLC0415 - pydantic is imported when settings are read, so that help is quick.

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from redemption.cli.exits import BAD_INPUT, REFUSED, Stop

if TYPE_CHECKING:
    from redemption.client import Lang
    from redemption.settings import Settings

Server: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="The server to ask. [REDEMPTION_SERVER; 127.0.0.1:50051]"),
]
Program: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", help="The program (tenant). [REDEMPTION_PROGRAM; demo]")
]
TlsCa: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Speak TLS, trusting this PEM file's authority. [REDEMPTION_TLS_CA]"),
]
Language: TypeAlias = Annotated[
    Literal["en", "zh"] | None,
    typer.Option("--lang", metavar="en|zh", help="Language of sentences. [REDEMPTION_LANG; by locale]"),
]


def _named(request_id: str | None) -> str | None:
    # An empty shell variable must not mean a new request id: a retry would then be a second request.
    if request_id == "":
        raise typer.BadParameter("is empty; leave the option out for a new name")
    return request_id


AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]
RequestId: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="Name of this attempt; the same again after a lost answer. [a new one]",
        callback=_named,
    ),
]


def examples(*lines: str) -> str:
    """Return the examples for the end of a command's help; typer does not wrap such a paragraph."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def language(chosen: str | None) -> "Lang":
    """Return the language that was chosen, else that of the locale: Chinese, or English for all others."""
    # Read the variables directly: the module ``locale`` knows only installed locales.
    locale = chosen or next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return "zh" if locale.lower().startswith("zh") else "en"


def require_consent(question: str, *, yes: bool) -> None:
    """Ask for consent if a person is at a terminal and ``--yes`` was not given; else the command itself is consent.

    Raises:
        Stop: The answer is no.
    """
    if not yes and sys.stdin.isatty() and not typer.confirm(question):
        raise Stop(REFUSED, "nothing was done")


def settings_of(**flags: Any) -> "Settings":  # noqa: ANN401 - each setting has its own type
    """Return the settings: from flags, else from the environment, else the defaults.

    Raises:
        Stop: A value is not allowed.
    """
    from pydantic import ValidationError

    from redemption.settings import Settings

    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise Stop(BAD_INPUT, *(_problem(detail, given) for detail in error.errors())) from error


def _problem(detail: Any, given: dict[str, Any]) -> str:  # noqa: ANN401 - pydantic's own dict
    name = str(detail["loc"][0])
    within = "__".join(map(str, detail["loc"]))
    place = f"--{name.replace('_', '-')}" if name in given else f"REDEMPTION_{within.upper()}"
    if detail["type"] == "extra_forbidden":
        return f"{place}: there is no such setting"
    cause = detail.get("ctx", {}).get("error")
    problem = str(cause) if cause else detail["msg"].replace("String should match pattern", "must look like")
    shown = "" if name == "redis_url" else f"; it is {str(detail['input'])[:80]!r}"  # it may hold a password
    return f"{place}: {problem[:1].lower()}{problem[1:]}{shown}"
