"""The command ``redemption``: its groups, and the one place where an exception becomes an exit code."""

import errno
import re
import sys
import traceback
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import takewhile
from typing import Annotated, Any, NoReturn

import typer

from redemption import __version__
from redemption.cli import exits
from redemption.cli.campaigns import campaigns
from redemption.cli.capacity.command import capacity
from redemption.cli.claim import claim
from redemption.cli.completion import Shell, install, prepare_completion, show, with_shell
from redemption.cli.demo.command import demo
from redemption.cli.fraud import fraud
from redemption.cli.get import get
from redemption.cli.input.leftovers import without_leftovers
from redemption.cli.input.options import examples
from redemption.cli.input.parsing import Command, Group, in_our_words
from redemption.cli.inspect_token import inspect_token
from redemption.cli.ledger import ledger
from redemption.cli.lists import allow, deny
from redemption.cli.mint import mint
from redemption.cli.output.screen import complain, print_failure
from redemption.cli.output.streams import leave_quietly, prepare_streams, write_error
from redemption.cli.program import program
from redemption.cli.quote import quote
from redemption.cli.redeem import redeem
from redemption.cli.reservations import confirm, release, reserve
from redemption.cli.reverse import reverse
from redemption.cli.revoke import revoke
from redemption.cli.samples import samples
from redemption.cli.serve import serve

# Errors of a write when the disk is full, or the user's quota or the largest file size is reached.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_URL = re.compile(r"\b([a-z]+://)\S+")


class _Root(Group):
    """The whole program."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - as in Group
        """Parse the arguments in front of a command."""
        return super().parse_args(ctx, with_shell(args))


# Plain help: it is quick, works in a pipe, and its lines can be copied.
app = typer.Typer(
    name="redemption",
    cls=_Root,
    add_completion=False,  # its options ignore the name of a shell; those below do not
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog=f"\b\n{exits.SUMMARY}",
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", "-V", help="Show the version and exit.")] = False,
    install_completion: Annotated[
        Shell | None,
        typer.Option(metavar="[SHELL]", help="Install completion for bash, zsh, fish, powershell or pwsh. [current]"),
    ] = None,
    show_completion: Annotated[
        Shell | None, typer.Option(metavar="[SHELL]", help="Print its script in place of installing it. [current]")
    ] = None,
) -> int:
    """Coupon redemption: may this order use these coupons, and for how much?"""
    if version:
        typer.echo(f"{__version__}{_build()}")
        raise typer.Exit
    if install_completion or show_completion:
        if install_completion:
            install(context, install_completion)
        if show_completion:
            show(context, show_completion)
        raise typer.Exit
    return _help_alone(context)


def _build() -> str:
    """Return " compiled" for the compiled build, else an empty text."""
    found = find_spec("redemption.domain.judging.stacking")
    return "" if found is None or str(found.origin).endswith(".py") else " compiled"


@campaigns.callback(invoke_without_command=True)
def _campaigns(context: typer.Context) -> int:
    """Apply, show, count, pause and end campaigns."""
    return _help_alone(context)


@program.callback(invoke_without_command=True)
def _program(context: typer.Context) -> int:
    """Apply, show and tighten a program's rules against abuse."""
    return _help_alone(context)


@deny.callback(invoke_without_command=True)
def _deny(context: typer.Context) -> int:
    """Whom a program refuses: add, remove, list."""
    return _help_alone(context)


@allow.callback(invoke_without_command=True)
def _allow(context: typer.Context) -> int:
    """Whom no rule counts or locks out: add, remove, list."""
    return _help_alone(context)


@fraud.callback(invoke_without_command=True)
def _fraud(context: typer.Context) -> int:
    """What rules did, who was refused most, what is known of whom."""
    return _help_alone(context)


@ledger.callback(invoke_without_command=True)
def _ledger(context: typer.Context) -> int:
    """Whether this machine trusts its ledger."""
    return _help_alone(context)


app.command(
    epilog=examples(
        "redemption serve",
        "redemption serve --listen 127.0.0.1:0 --data-dir /tmp/ledger",
        "REDEMPTION_REDIS_URL=redis://ledger redemption serve --durability fast",
    )
)(serve)
app.command(
    epilog=examples(
        "redemption mint --campaign 1 --count 3",
        "redemption mint --campaign 满200减50 --count 10000 --out coupons.csv",
        "redemption mint --campaign 1 --count 100 --codes --format txt",
    )
)(mint)
app.command(
    epilog=examples(
        "redemption claim --campaign 1 --customer ann",
        "redemption claim --code 4F7K-9QXD-2M3N-8RTV6 --customer ann",
    )
)(claim)
app.command(
    epilog=examples(
        "redemption quote TOKEN TOKEN --order-file cart.yaml",
        "redemption quote --tokens-file coupons.txt --order-file cart.yaml --best",
        "redemption quote TOKEN --order ord-1 --spend 238.00 --at '2026-11-11 20:00'",
    )
)(quote)
app.command(
    epilog=examples(
        "redemption redeem TOKEN --order ord-1 --spend 238.00",
        "redemption redeem TOKEN TOKEN --order-file order.yaml --json",
    )
)(redeem)
app.command(
    epilog=examples(
        "redemption reserve TOKEN --order ord-1 --spend 238.00",
        "redemption reserve TOKEN --order-file order.yaml --ttl 30m --json > held.json",
    )
)(reserve)
app.command(epilog=examples("redemption confirm RESERVATION", "redemption confirm RESERVATION --reacquire"))(confirm)
app.command(epilog=examples("redemption release RESERVATION"))(release)
app.command(
    epilog=examples(
        "redemption reverse RECEIPT --order ord-1",
        "redemption reverse RECEIPT --order ord-1 --line shoes --line socks=12.50 --decision-file answer.json",
    )
)(reverse)
app.command(
    epilog=examples(
        "redemption revoke TOKEN --reason 'sent to the wrong list'",
        "redemption revoke --campaign 1 --serials 100-199",
        "redemption revoke --campaign 1 --customer ann --yes",
    )
)(revoke)
app.command("inspect", epilog=examples("redemption inspect TOKEN"))(inspect_token)
app.command(epilog=examples("redemption get --request-id ID", "redemption get --receipt RECEIPT"))(get)
app.command(epilog=examples("redemption samples", "redemption samples --json"))(samples)
app.command(epilog=examples("redemption demo", "redemption demo --buyers 2000 --coupons 500 --seed 7"))(demo)
app.command(
    epilog=examples(
        "redemption capacity --peak 16000 --orders 1000000",
        "redemption capacity --peak 50000 --orders 5000000 --programs 4 --quotes 1",
    )
)(capacity)
app.add_typer(campaigns, name="campaigns", rich_help_panel=None)
app.add_typer(program, name="program", rich_help_panel=None)
app.add_typer(deny, name="deny", rich_help_panel=None)
app.add_typer(allow, name="allow", rich_help_panel=None)
app.add_typer(fraud, name="fraud", rich_help_panel=None)
app.add_typer(ledger, name="ledger", rich_help_panel=None)
for group in (app, campaigns, program, deny, allow, fraud, ledger):
    for registered in group.registered_commands:
        registered.cls = Command


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    prepare_streams()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command, print its error if there is one, and return its exit code."""
    if not all(argument.isprintable() or _is_text(argument) for argument in arguments):
        return _fail(exits.Stop(exits.BAD_INPUT, "an argument is no text: its bytes are not UTF-8"), arguments)
    prepare_completion()
    try:
        code = app(list(arguments), prog_name="redemption", standalone_mode=False)
        sys.stdout.flush()  # here, so that a closed pipe still becomes an exit code
    except exits.Stop as stop:
        return _fail(stop, arguments)
    except typer.TyperException as error:
        return _fail(exits.BadUsage(_usage(error)), arguments)
    except (typer.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:
        # For a closed pipe Typer exits with 1, but 1 means here that a coupon was refused.
        if not isinstance(error, BrokenPipeError) and not isinstance(error.__context__, BrokenPipeError):
            raise
        leave_quietly()
        return exits.PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - a bug of this program must not exit with 1, which is a refusal
        if isinstance(error, OSError) and error.errno in _NO_ROOM and error.filename is None:
            leave_quietly()
            texts = (f"the output cannot be written: {error.strerror}", *getattr(error, "__notes__", ()))
            complain(f"redemption: {'; '.join(texts)}")
            return exits.FAILED
        write_error(traceback.format_exc().rstrip())
        return _fail(exits.Stop(exits.FAILED, f"a defect of this program: {error!r}"), arguments)
    return code if isinstance(code, int) else exits.DONE


def _fail(stop: exits.Stop, arguments: Sequence[str]) -> int:
    """Print why a command failed, for people and with ``--json`` for programs too, and return its exit code."""
    for line in stop.told:
        complain(line)
    options = takewhile(lambda argument: argument != "--", arguments)
    if "--json" in options:
        print_failure(stop)
    return stop.code


def _is_text(argument: str) -> bool:
    """Whether an argument is valid UTF-8; other bytes arrive from the shell as lone surrogates."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "redemption"
    message = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
    message = in_our_words(message)
    if path.endswith(" serve"):
        message = without_leftovers(message)
    message = _URL.sub(r"\1…", message)  # it may hold a password
    return f"{path}: {message[:1].lower()}{message[1:]}; see {path} --help"


def _help_alone(context: typer.Context) -> int:
    """Show the help of a group that was called without a command."""
    if context.invoked_subcommand is not None:
        return exits.DONE
    typer.echo(context.get_help())
    return exits.BAD_INPUT
