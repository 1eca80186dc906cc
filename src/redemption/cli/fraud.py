"""``redemption fraud``: what the rules did, who tried most in vain, and what is known of somebody."""
# ruff: noqa: PLC0415 - gRPC and rich are imported when a call is made, so that help is quick.

import time
from typing import Annotated

import typer

from redemption.cli.exits import BAD_INPUT, DONE, Stop
from redemption.cli.input.options import AsJson, Program, Server, TlsCa, examples, settings_of, typed_target
from redemption.cli.input.parsing import Group
from redemption.cli.lists import KindName
from redemption.cli.output.screen import complain, print_json, print_message
from redemption.cli.server_calls import all_campaigns, connected

_now = time.time

fraud = typer.Typer(cls=Group)


@fraud.command(epilog=examples("redemption fraud stats", "redemption fraud stats --json"))
def stats(
    *,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """Count what each rule refused, or would refuse; warnings, frozen claims and tightened rules come first.

    A rule that is changed counts anew.
    """
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    from redemption.cli.list_changes import total_of
    from redemption.v1.risk_service_pb2 import GetRiskStatsRequest, GetRulesRequest

    with connected(settings) as client:
        answer = client.get_risk_stats(GetRiskStatsRequest(program=settings.program))
        if as_json:
            print_message(answer)
            return DONE
        rules = client.get_rules(GetRulesRequest(program=settings.program)).rules
        entries = total_of(client, settings.program)
        campaigns = tuple(all_campaigns(client, settings.program)) if answer.warnings else ()
    from redemption.cli.output.risk import print_stats
    from redemption.cli.program_file.campaigns import names_of

    target = typed_target(server=server, program=program, tls_ca=tls_ca)
    print_stats(answer, rules, names_of(campaigns), entries=entries, target=target)
    return DONE


@fraud.command(epilog=examples("redemption fraud top", "redemption fraud top --minutes 60 --json"))
def top(
    *,
    minutes: Annotated[int, typer.Option(metavar="N", help="Over the last N minutes.", min=1, max=60)] = 10,
    most: Annotated[int, typer.Option("--count", metavar="N", help="So many subjects.", min=1, max=100)] = 20,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """List those who tried most in vain lately, by their digests: refused attempts and failures together.

    redemption fraud who --id shows what is known of one of them, redemption deny add --id denies it.
    """
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    from redemption.v1.risk_service_pb2 import ListTopSubjectsRequest

    request = ListTopSubjectsRequest(program=settings.program, minutes=minutes, subjects_max=most)
    with connected(settings) as client:
        answer = client.list_top_subjects(request)
    if as_json:
        print_message(answer)
        return DONE
    from redemption.cli.output.risk import print_top

    print_top(answer, minutes, most, _now())
    return DONE


@fraud.command(
    epilog=examples(
        "redemption fraud who d-123 --kind device",
        "redemption fraud who 192.0.2.7",
        "redemption fraud who --id device:0123456789abcdef",
        "redemption fraud who 3:17",
        "redemption fraud who - < id.txt",
    )
)
def who(
    value: Annotated[
        str | None,
        typer.Argument(metavar="[VALUE]", help="Whom: an id, an address, CAMPAIGN:SERIAL.", show_default=False),
    ] = None,
    *,
    known: Annotated[str | None, typer.Option("--id", metavar="KIND:ID", help="As list and top print it.")] = None,
    kind: Annotated[KindName | None, typer.Option(metavar="KIND", help="What it is. [all that it can be]")] = None,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """Say what is known of somebody: list entries, what rules have counted, lock-out.

    Ids of people that are typed stay in the shell's history: give - as VALUE, and the id on standard input.
    """
    if known is not None and kind is not None:
        raise Stop(BAD_INPUT, "--kind says what VALUE is; --id says it itself")
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    from redemption.cli.input.subjects import Ref, Subject, digest_hint, possible_subjects, ref_of
    from redemption.cli.list_changes import campaign_numbers
    from redemption.cli.output.contract_json import as_dict
    from redemption.v1.risk_service_pb2 import GetSubjectRequest
    from redemption.v1.rules_pb2 import SubjectRef

    subjects: list[Subject | Ref]
    if known is not None and value is None:
        subjects = [ref_of(known)]
    elif value is not None and known is None:
        subjects = [*possible_subjects(value, kind)]
    else:
        raise Stop(BAD_INPUT, "say whom: give either VALUE or --id KIND:ID")
    with connected(settings) as client:
        numbers = campaign_numbers(client, settings.program, subjects)
        answers = {}
        for subject in subjects:
            whom = subject.message(numbers)
            of = {"ref": whom} if isinstance(whom, SubjectRef) else {"subject": whom}
            answers[subject.kind] = client.get_subject(GetSubjectRequest(program=settings.program, **of))
    if as_json:
        print_json({"subjects": [as_dict(answer) for answer in answers.values()]})
        return DONE
    from redemption.cli.output.risk import print_subjects

    print_subjects(answers, _now(), typed_target(server=server, program=program, tls_ca=tls_ca))
    hint = "" if value is None else digest_hint(value.strip())
    if hint:
        complain(hint)
    return DONE
