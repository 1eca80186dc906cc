"""``redemption ledger``: shows whether this machine trusts its ledger; adopts, upgrades, and resets a clock."""
# ruff: noqa: PLC0415 - the ledger's modules are imported when it is called, so that help is quick.

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from redemption.cli.exits import BAD_INPUT, DONE, NOT_TRUSTED, Stop
from redemption.cli.input.options import AsJson, Program, examples, require_consent, settings_of
from redemption.cli.input.parsing import Group
from redemption.cli.output.screen import print_json, say

DataDir = Annotated[Path | None, typer.Option(metavar="DIR", help="Files of the embedded ledger. [.data]")]
KeysetFile = Annotated[Path | None, typer.Option(metavar="FILE", help="The signing keys. [development.keyset]")]
FenceFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="What this machine remembers of it. [beside the keyset]")
]

_COUNTS = ("campaigns", "seq", "remembered_seq", "clock_ms", "events", "remembered", "reaped")

ledger = typer.Typer(cls=Group)


@ledger.command(epilog=examples("redemption ledger status"))
def status(
    data_dir: DataDir = None, keyset: KeysetFile = None, fence: FenceFile = None, *, as_json: AsJson = False
) -> int:
    """Show what the ledger says of itself.

    The exit code is 5 when this machine does not believe it.
    """
    settings = settings_of(data_dir=data_dir, keyset=keyset, fence=fence)
    from redemption import app

    with _failures():
        rows = app.ledger_status(settings)
    if as_json:
        print_json([_with_numbers(row) for row in rows])
    else:
        for row in rows:
            _print(row)
    return DONE if all(row.get("trusted", "yes") == "yes" for row in rows) else NOT_TRUSTED


@ledger.command(epilog=examples("redemption ledger adopt --program demo", "redemption ledger adopt --yes"))
def adopt(
    *,
    program: Program = None,
    data_dir: DataDir = None,
    keyset: KeysetFile = None,
    fence: FenceFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> int:
    """Accept a program's ledger as it is, with the keyset of this machine.

    After a restore, a loss or with another keyset, so that the server serves it again; one of the older format is
    brought to this version's. It tells what that means, and asks.

    Every other machine of this ledger refuses it from then on, until the same command is run there, too. To add a
    machine, copy the fence of one that serves instead (docs/operating.md).
    """
    settings = settings_of(program=program, data_dir=data_dir, keyset=keyset, fence=fence)
    if not yes:
        _confirm(settings.program)
    from redemption import app

    with _failures():
        row = app.ledger_adopt(settings, settings.program)
    done = f"adopted: from now on this machine trusts the ledger of program {settings.program} as it is"
    return _say_done(done, row, as_json=as_json)


@ledger.command(epilog=examples("redemption ledger upgrade", "redemption ledger upgrade --program shop"))
def upgrade(
    *,
    program: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this one. [all that this machine remembers]")
    ] = None,
    data_dir: DataDir = None,
    keyset: KeysetFile = None,
    fence: FenceFile = None,
    as_json: AsJson = False,
) -> int:
    """Bring the ledger to this version's format, once.

    Stop the servers of the older version first; one that still runs refuses all calls from then on, and nothing is done
    twice. There is no way back to the older version but a backup. On other machines of the same ledger run it as well:
    there it only learns that it was done.
    """
    settings = settings_of(program=program, data_dir=data_dir, keyset=keyset, fence=fence)
    from redemption import app

    with _failures():
        rows = app.ledger_upgrade(settings, settings.program if program else None)
    if as_json:
        print_json([_with_numbers(row) for row in rows])
    elif not rows:
        say(f"there is no ledger of program {settings.program} here: nothing to upgrade")
    else:
        for row in rows:
            _say_upgraded(row)
    return DONE if all(row["trusted"] == "yes" for row in rows) else NOT_TRUSTED


def _say_upgraded(row: dict[str, str]) -> None:
    about = f"the ledger of program {row['program']}"
    if row["trusted"] != "yes":
        say(f"{about} is refused: {row['trusted']}", "red")
    elif row["was"] == row["format"]:
        say(f"{about} has format {row['format']} already")
    else:
        say(f"{about} has format {row['format']} now; it had format {row['was']}", "green")


@ledger.command(epilog=examples("redemption ledger reset-clock --program demo"))
def reset_clock(
    *,
    program: Program = None,
    data_dir: DataDir = None,
    keyset: KeysetFile = None,
    fence: FenceFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> int:
    """Set a ledger's clock back to the present.

    When a clock was ahead for a while, the ledger remembers a time that has not come, and refuses all calls. The clocks
    of its host and of this machine have to agree by now. It tells what that means, and asks.
    """
    settings = settings_of(program=program, data_dir=data_dir, keyset=keyset, fence=fence)
    if not yes:
        _confirm_reset(settings.program)
    from redemption import app

    with _failures():
        row = app.ledger_reset_clock(settings, settings.program)
    return _say_done(f"the ledger of program {settings.program} goes by the present time", row, as_json=as_json)


def _confirm_reset(program: str) -> None:
    _require_person("setting a clock back")
    say(f"You are about to set the clock of the ledger of program {program} back to the present.")
    say("What was redeemed while it was ahead counts for the days that it said: limits and budgets of a day begin anew")
    say("today, for every campaign of which something was redeemed meanwhile. Everything else is as it was.")
    require_consent("Set it back?", yes=False)


def _confirm(program: str) -> None:
    _require_person("adopting a ledger")
    say(f"You are about to accept the ledger of program {program} as it is now.")
    say("Whatever it has forgotten stays forgotten: a coupon whose use was lost can be used again, limits and")
    say("budgets count from what the ledger says, and lost answers cannot be repeated. With another keyset than")
    say("before, limits of customers begin anew, and coupons of keys that it lacks are invalid. Only do this when")
    say("the ledger or the keyset cannot be brought back by a better backup.")
    say("Every other machine of this ledger refuses it from then on, until the same command is run there, too.")
    require_consent("Accept it?", yes=False)


def _require_person(what: str) -> None:
    if not sys.stdin.isatty():
        raise Stop(BAD_INPUT, f"{what} needs a person's consent: run it in a terminal, or give --yes")


def _say_done(done: str, row: dict[str, str], *, as_json: bool) -> int:
    if as_json:
        print_json(_with_numbers(row))
    else:
        say(done, "green")
        _print(row)
    return DONE


def _print(row: dict[str, str]) -> None:
    width = max(len(name) for name in row)
    for name, value in row.items():
        say(f"{name.replace('_', ' '):{width}}   {value}", "red" if name == "trusted" and value != "yes" else "")


def _with_numbers(row: dict[str, str]) -> dict[str, str | int]:
    return {name: int(value) if name in _COUNTS and value.isdecimal() else value for name, value in row.items()}


@contextmanager
def _failures() -> Iterator[None]:
    from redemption.server.startup import StartRefused

    try:
        yield
    except StartRefused as error:
        raise Stop(error.exit_code, str(error)) from error
