"""``redemption program``: applies and shows a program's rules against abuse, and tightens them in an emergency."""
# ruff: noqa: PLC0415 - gRPC, rich and pydantic are imported when they are needed, so that help is quick.

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from redemption.cli.exits import BAD_INPUT, DONE, BadFile, Stop
from redemption.cli.input.options import AsJson, Program, Server, TlsCa, examples, settings_of, typed_target
from redemption.cli.input.parsing import Group
from redemption.cli.output.screen import complain, print_json, print_message, say
from redemption.cli.server_calls import all_campaigns, connected, warn_of_no_campaign

if TYPE_CHECKING:
    from redemption.cli.apply_rules import AppliedRules
    from redemption.cli.program_file.campaigns import Names
    from redemption.client import RedemptionClient
    from redemption.v1.rules_pb2 import Rules

RuleName: TypeAlias = Annotated[str, typer.Argument(metavar="RULE", help="The rule's name.", show_default=False)]

program = typer.Typer(cls=Group)


@program.command(
    epilog=examples(
        "redemption program apply examples/programs/double11-program.yaml --dry-run",
        "redemption program show --yaml > program.yaml",
        "redemption program apply program.yaml --strict",
    )
)
def apply(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="All rules of one program; - reads standard input.", show_default=False),
    ],
    *,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check, by the server's rules too, and show what would change.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what a warning is about (exit code 2), and apply nothing.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Make a program's rules what a file says: all of them, and nothing else.

    Each change is named. Doing it again changes nothing. Lists, tightened rules and frozen claims stay as they are.

    The file names its program. What is surely a mistake is applied with a warning, which names the line.
    """
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    from redemption.cli.apply_rules import apply_rules
    from redemption.cli.program_file.reading import read_program

    read = read_program(file)
    named = read.part.program
    if program is not None and program != named:
        line = read.source.line_of(("program",))
        raise BadFile(f"{file}:{line}: program: is {named!r}, but --program is {program!r}; leave the option out")
    with connected(settings) as client:
        applied = apply_rules(client, read, dry_run=dry_run, strict=strict)
    if as_json:
        print_json(applied.as_dict())
    else:
        other = None if named == settings.program and program is None else named
        _print_applied(applied, typed_target(server=server, program=other, tls_ca=tls_ca), dry_run=dry_run)
    return DONE


@program.command(
    epilog=examples("redemption program show", "redemption program show --yaml > program.yaml"),
)
def show(
    *,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Print a file that program apply takes back unchanged.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Show the rules that are in force, and what was tightened or frozen."""
    if as_yaml and as_json:
        raise Stop(BAD_INPUT, "--yaml and --json exclude each other")
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    with connected(settings) as client:
        rules = _rules(client, settings.program)
        names = {} if as_json else _names(client, rules)
    if as_json:
        print_message(rules)
    elif as_yaml:
        from redemption.cli.program_file.yaml_text import yaml_of

        for line in yaml_of(rules, names).splitlines():
            say(line)
    else:
        from redemption.cli.output.rules import print_rules

        print_rules(rules, names, typed_target(server=server, program=program, tls_ca=tls_ca))
    return DONE


@program.command(
    epilog=examples(
        "redemption program schema > program.schema.json",
        "# the first line of a program file then:",
        "#   # yaml-language-server: $schema=program.schema.json",
    )
)
def schema() -> int:
    """Print the JSON Schema of program files, by which editors complete and check them."""
    from redemption.cli.program_file.schema import program_schema

    print_json(program_schema())
    return DONE


@program.command(
    epilog=examples(
        "redemption program tighten device-burst --limit 2",
        "redemption program tighten network-rate --mode enforce",
    )
)
def tighten(
    rule: RuleName,
    *,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="So many in its period, or so many customers. [as applied]", min=1)
    ] = None,
    burst: Annotated[int | None, typer.Option(metavar="N", help="So many at once. [at most the limit]", min=1)] = None,
    mode: Annotated[
        Literal["enforce"] | None, typer.Option(metavar="enforce", help="Refuse, also if it is shadow. [as applied]")
    ] = None,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """Tighten one rule in an emergency, until it is loosened (应急预案).

    It holds at once for every server, and program apply does not change it: the stricter of both is in force. An
    option that is left out stays as it was tightened before. The rule counts anew when its limit or burst changes.
    """
    if limit is None and burst is None and mode is None:
        raise Stop(BAD_INPUT, "say what to tighten: give --limit N, --burst N or --mode enforce")
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    from redemption.cli.tightening import tighten_rule
    from redemption.v1.rules_pb2 import RULE_MODE_ENFORCE, TightenedRule

    change = TightenedRule(name=rule, limit=limit, burst=burst, mode=RULE_MODE_ENFORCE if mode else None)
    with connected(settings) as client:
        before = _rules(client, settings.program)
        rules = tighten_rule(client, settings.program, change)
        names = {} if as_json else _names(client, rules)
    if as_json:
        print_message(rules)
        return DONE
    from redemption.cli.output.rules import LOOSEN, print_in_force

    target = typed_target(server=server, program=program, tls_ca=tls_ca)
    print_in_force(rules, rule, names, before, target)
    say(f"to take it back: {LOOSEN} {rule}{target}")
    return DONE


@program.command(epilog=examples("redemption program loosen device-burst"))
def loosen(
    rule: RuleName,
    *,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """Take program tighten back: the rule is as it was applied, and counts anew if its limit or burst changes."""
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    from redemption.cli.tightening import loosen_rule

    with connected(settings) as client:
        before = _rules(client, settings.program)
        rules = loosen_rule(client, settings.program, rule)
        names = {} if as_json else _names(client, rules)
    if as_json:
        print_message(rules)
        return DONE
    from redemption.cli.output.rules import print_in_force, tighten_command

    target = typed_target(server=server, program=program, tls_ca=tls_ca)
    print_in_force(rules, rule, names, before, target)
    again = tighten_command(before, rule)
    if again:
        say(f"to take it back: {again}{target}")
    else:
        say("it was not tightened")
    return DONE


@program.command("freeze-claims", epilog=examples("redemption program freeze-claims"))
def freeze_claims(
    *,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """Refuse all claims of a program in an emergency, until they are thawed.

    Redeeming goes on.
    """
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    from redemption.v1.risk_service_pb2 import FreezeClaimsRequest

    with connected(settings) as client:
        rules = client.freeze_claims(FreezeClaimsRequest(program=settings.program)).rules
        warn_of_no_campaign(client, settings.program)
    if as_json:
        print_message(rules)
        return DONE
    say(f"claims of program {settings.program} are frozen: all are refused with CAMPAIGN_PAUSED", "bold red")
    target = typed_target(server=server, program=program, tls_ca=tls_ca)
    say(f"to take it back: redemption program thaw-claims{target}")
    return DONE


@program.command("thaw-claims", epilog=examples("redemption program thaw-claims"))
def thaw_claims(
    *,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """Take program freeze-claims back."""
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    from redemption.v1.risk_service_pb2 import ThawClaimsRequest

    with connected(settings) as client:
        rules = client.thaw_claims(ThawClaimsRequest(program=settings.program)).rules
    if as_json:
        print_message(rules)
        return DONE
    say(f"claims of program {settings.program} are not frozen; campaigns and rules decide them", "green")
    target = typed_target(server=server, program=program, tls_ca=tls_ca)
    say(f"to freeze them: redemption program freeze-claims{target}")
    return DONE


def _rules(client: "RedemptionClient", name: str) -> "Rules":
    from redemption.v1.risk_service_pb2 import GetRulesRequest

    return client.get_rules(GetRulesRequest(program=name)).rules


def _names(client: "RedemptionClient", rules: "Rules") -> "Names":
    from redemption.cli.program_file.campaigns import named_in, names_of

    return names_of(all_campaigns(client, rules.program)) if named_in(rules) else {}


def _print_applied(applied: "AppliedRules", target: str, *, dry_run: bool) -> None:
    from redemption.cli.output.rules import print_emergency

    words = f"would be {applied.action}" if dry_run and applied.changes else applied.action
    say(f"{words:10} rules of program {applied.rules.program}", "green" if applied.changes else "dim")
    for change in applied.changes:
        say(f"  {change.field}: {change.before} → {change.after}")
    print_emergency(applied.rules, target)
    for warning in applied.warnings:
        complain(warning)
