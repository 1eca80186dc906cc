"""The options that many commands share, and how options, environment and defaults become settings."""
# ruff: noqa: PLC0415 - pydantic is imported when settings are read, so that help is quick.

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from redemption.cli.exits import BAD_INPUT, REFUSED, Stop
from redemption.cli.input.parsing import in_our_words

if TYPE_CHECKING:
    from redemption.client import Lang
    from redemption.settings import Settings

_SHOWN_MAX = 80
_SECRET = re.compile(r"://|@|-----BEGIN|[\x00-\x1f]")

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


AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]
RequestId: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Name of this attempt; the same again after a lost answer. [a new one]"),
]


def examples(*lines: str) -> str:
    """Return the examples for the end of a command's help; typer does not wrap such a paragraph."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def typed_target(*, server: str | None = None, program: str | None = None, tls_ca: Path | None = None) -> str:
    """Return the options that were typed to reach a program, to end a command that is proposed; may be empty."""
    typed = (("--server", server), ("--program", program), ("--tls-ca", tls_ca))
    return "".join(f" {name} {shlex.quote(str(value))}" for name, value in typed if value is not None)


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
        Stop: Something is wrong with them; it has a line for each problem.
    """
    from pydantic import ValidationError

    from redemption.settings import Settings, contradictions, environment_problems, set_in_environment

    given = {name: value for name, value in flags.items() if value is not None}
    of_names = environment_problems()
    problems = [f"{name}: {problem}" for name, problem in of_names.items()]
    try:
        settings = Settings(**given)
    except ValidationError as error:
        told = {name.upper() for name in of_names}
        for detail in error.errors():
            place = _place(detail, given)
            # The name that is no setting, or the value that is empty, was told already.
            if place not in told:
                problems.append(f"{place}: {_problem(detail)}")
    problems += contradictions(given.keys() | set_in_environment())
    if problems:
        raise Stop(BAD_INPUT, *problems)
    return settings


def _place(detail: Any, given: dict[str, Any]) -> str:  # noqa: ANN401 - pydantic's own dict
    """Return the flag or the variable that has a problem."""
    name = str(detail["loc"][0])
    within = "__".join(map(str, detail["loc"]))
    return f"--{name.replace('_', '-')}" if name in given else f"REDEMPTION_{within.upper()}"


def _problem(detail: Any) -> str:  # noqa: ANN401 - pydantic's own dict
    """Return what is wrong with a value, what it may be, and the value if it holds no secret."""
    cause = detail.get("ctx", {}).get("error")
    problem = "must be true or false" if detail["type"] == "bool_parsing" else in_our_words(str(cause or detail["msg"]))
    value = str(detail["input"])
    shown = f"; it is {value[:_SHOWN_MAX]!r}" if _may_be_shown(str(detail["loc"][0]), value) else ""
    return f"{problem[:1].lower()}{problem[1:]}{shown}"


def _may_be_shown(name: str, value: str) -> bool:
    """Whether a value cannot be a secret: neither an address with a password, nor what stands in a key's file."""
    if name in {"redis_url", "keyset", "fence", "data_dir"} or name.startswith("tls_"):
        return False
    return bool(value) and len(value) <= _SHOWN_MAX and not _SECRET.search(value)
