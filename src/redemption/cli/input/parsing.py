"""How the arguments of every command are parsed: an empty value is refused, and a mistake names its command."""

import re
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from redemption.cli.exits import BadUsage

_DEFAULT = re.compile(r"\[(?P<default>[^\]]+)\]$")
"""The end of an option's help: what is done without the option."""
_OUR_WORDS = (
    (re.compile(r"input should be greater than or equal to (?=\S)", re.IGNORECASE), "must be at least "),
    (re.compile(r"input should be less than or equal to (?=\S)", re.IGNORECASE), "must be at most "),
    (re.compile(r"input should be greater than (?=\S)", re.IGNORECASE), "must be more than "),
    (
        re.compile(r"input should be a valid integer, unable to parse string as an integer", re.IGNORECASE),
        "must be a whole number",
    ),
)
"""What pydantic says of a number, and what we say."""


def in_our_words(message: str) -> str:
    """Return a message of pydantic as we say it."""
    for pydantics, ours in _OUR_WORDS:
        message = pydantics.sub(ours, message)
    return message


class Command(TyperCommand):
    """A command; ``root.py`` makes every command one of these."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own context has no public name
        """Parse the arguments."""
        typed = tuple(args)  # the parser empties the list
        try:
            rest = super().parse_args(ctx, args)
        except typer.TyperException as error:
            _name_command(error, ctx)
            raise
        _require_values(self, ctx, typed)
        return rest


class Group(TyperGroup):
    """A group of commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - as above
        """Parse the arguments in front of a command."""
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            _name_command(error, ctx)
            raise


def _name_command(error: typer.TyperException, context: Any) -> None:  # noqa: ANN401 - as above
    """Let an error know its command; the parser leaves that out when an option has no value."""
    if getattr(error, "ctx", None) is None:
        error.ctx = context  # type: ignore[attr-defined]


def _require_values(command: TyperCommand, context: Any, typed: Sequence[str]) -> None:  # noqa: ANN401 - as above
    """Refuse an option or an argument whose value is empty or blank: it comes from a shell variable that is not set.

    Without its value, such an option would silently mean something else, such as a coupon for everybody. An option
    that is empty by default may be empty.

    Raises:
        BadUsage: There is one; the message says what is done without the option.
    """
    if context.resilient_parsing:  # a shell completes a line that is not finished
        return
    given, _, order = command.make_parser(context).parse_args(list(typed))
    for option in order:
        values = given.get(option.name)
        texts = values if isinstance(values, list | tuple) else [values]
        is_option = option.param_type_name == "option"
        if is_option and option.default == "":
            continue
        if any(isinstance(text, str) and not text.strip() for text in texts):
            name = max(option.opts, key=len) if is_option else option.metavar or option.name
            raise BadUsage(
                f"{context.command_path}: {name} is empty; {_cure(option)}; see {context.command_path} --help"
            )


def _cure(option: Any) -> str:  # noqa: ANN401 - as above
    if option.required:
        return "give it a value"
    found = _DEFAULT.search(option.help or "")
    if found is None:
        return "give it a value, or leave the option out"
    return f"leave the option out for the default: {found['default'].replace('; ', ', else ')}"
