"""``redemption samples``: prints a command for every outcome that can be reached."""
# ruff: noqa: PLC0415 - gRPC is imported when a call is made, so that help is quick.

import shlex
import shutil
import sys
from typing import TYPE_CHECKING

from redemption.cli.exits import DONE
from redemption.cli.input.options import AsJson, Program, Server, TlsCa, settings_of
from redemption.cli.output.screen import print_json, say
from redemption.cli.server_calls import connected

if TYPE_CHECKING:
    from redemption.cli.demo.sample_shop import Sample


def samples(
    *,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """Print one command to copy for every outcome.

    What the commands need is made first: campaigns, coupons, a rule and a deny entry about them alone. Doing it again
    makes nothing more. The commands are good until midnight UTC.
    """
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    from redemption.cli.demo.sample_shop import SampleShop

    with connected(settings) as client:
        made = SampleShop(client, settings.program).samples()
    flags = {"--server": server, "--program": program, "--tls-ca": tls_ca}
    given = [text for flag, value in flags.items() if value is not None for text in (flag, str(value))]
    if as_json:
        print_json([{"outcome": sample.outcome, "arguments": [*sample.arguments, *given]} for sample in made])
        return DONE
    for sample in made:
        _print(sample, given)
    return DONE


def _print(sample: "Sample", given: list[str]) -> None:
    say(f"# {sample.outcome}: {sample.why}", "dim")
    say(f"{_command()} {shlex.join([*sample.arguments, *given])}")


def _command() -> str:
    """Return how to call this program: its name if it is in PATH, else as it was called now."""
    if shutil.which("redemption"):
        return "redemption"
    if sys.argv[0].endswith("__main__.py"):
        return shlex.join([sys.executable, "-m", "redemption"])
    return shlex.quote(sys.argv[0])
