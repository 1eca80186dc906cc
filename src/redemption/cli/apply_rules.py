"""Replaces a program's rules by those of a file, and lists each change; applying again changes nothing."""

from dataclasses import dataclass
from typing import Any

import grpc

from redemption.cli.campaign_file.text import Change
from redemption.cli.exits import BAD_INPUT, BadFile, Stop
from redemption.cli.input.source_file import Problem
from redemption.cli.program_file.campaigns import Names, campaign_fields, named_in, names_of, numbers_of
from redemption.cli.program_file.reading import ProgramFile
from redemption.cli.program_file.text import changes
from redemption.cli.program_file.to_contract import rules_message
from redemption.cli.program_file.violations import file_problem, is_of_rules
from redemption.cli.program_file.warnings import rules_warnings
from redemption.cli.server_calls import all_campaigns, has_no_campaign
from redemption.client import CallFailed, RedemptionClient
from redemption.v1.risk_service_pb2 import GetRulesRequest, UpdateRulesRequest
from redemption.v1.rules_pb2 import Rules


@dataclass(frozen=True, slots=True)
class AppliedRules:
    """What was done with a file; with a dry run, what would be done.

    Attributes:
        rules: The rules as they are now; with a dry run as they would be.
        names: The names of the program's campaigns, if rules are of single ones.
        warnings: What the file warns of, one line each, with the file's line.
    """

    file: str
    rules: Rules
    names: Names
    changes: tuple[Change, ...]
    warnings: tuple[str, ...]

    @property
    def action(self) -> str:
        """What was done, in one word."""
        return "updated" if self.changes else "unchanged"

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "file": self.file,
            "program": self.rules.program,
            "action": self.action,
            "changes": [change._asdict() for change in self.changes],
            "warnings": list(self.warnings),
        }


def apply_rules(client: RedemptionClient, read: ProgramFile, *, dry_run: bool, strict: bool) -> AppliedRules:
    """Make a program's rules what a file says.

    Args:
        client: The server.
        read: The file.
        dry_run: Nothing is changed; the server checks.
        strict: Refuse what a warning is about.

    Raises:
        Stop: A campaign is not known, the server refuses the rules, somebody else changed them, or strict found
            something; the message names the wrong fields with their lines.
    """
    before = _rules(client, read)
    fields = campaign_fields(read.part)
    names: Names = {}
    if fields or named_in(before):
        names = names_of(all_campaigns(client, read.part.program))
    numbers, problems = numbers_of(fields, names)
    if problems:
        raise read.source.stop(problems)
    wanted = rules_message(read.part, numbers)
    problems = [*rules_warnings(wanted, names), *_emptied(before, wanted)]
    warnings = read.source.warnings(problems)
    if strict and warnings:
        raise BadFile(*warnings)
    found = changes(before, wanted, names)
    now = before
    if found:
        wanted.etag = before.etag
        now = _updated(client, read, UpdateRulesRequest(rules=wanted, validate_only=dry_run), names)
    if has_no_campaign(client, read.part.program):  # not refused: rules may be applied before the first campaign
        nobody = f"there is no campaign in program {read.part.program}: is it the right program?"
        warnings += read.source.warnings([Problem(("program",), nobody)])
    return AppliedRules(str(read.source.file), now, names, tuple(found), tuple(warnings))


def _rules(client: RedemptionClient, read: ProgramFile) -> Rules:
    try:
        return client.get_rules(GetRulesRequest(program=read.part.program)).rules
    except CallFailed as error:
        of_program = [Problem(("program",), each.problem) for each in error.violations if each.field == "program"]
        if not of_program:
            raise
        stop = read.source.stop(of_program)
        stop.failure = error.failure
        raise stop from error


def _emptied(before: Rules, wanted: Rules) -> list[Problem]:
    """Return a warning if a file removes every rule."""
    count = len(before.velocity) + len(before.accounts)
    if not count or wanted.velocity or wanted.accounts:
        return []
    rules = "the only rule" if count == 1 else f"all {count} rules"
    return [Problem(("program",), f"has no velocity and no accounts rules: {rules} in force would be removed")]


def _updated(client: RedemptionClient, read: ProgramFile, request: UpdateRulesRequest, names: Names) -> Rules:
    try:
        return client.update_rules(request).rules
    except CallFailed as error:
        if error.code is grpc.StatusCode.ABORTED:
            return _found_done(client, request, names, error)
        if not any(map(is_of_rules, error.violations)):
            raise
        stop = read.source.stop([file_problem(each) for each in error.violations])
        stop.failure = error.failure
        raise stop from error


def _found_done(client: RedemptionClient, request: UpdateRulesRequest, names: Names, error: CallFailed) -> Rules:
    """Read again after ABORTED: either our first try was done and its answer lost, or another person changed them."""
    program = request.rules.program
    now = client.get_rules(GetRulesRequest(program=program)).rules
    if changes(now, request.rules, names):
        problem = f"the rules of program {program} were changed by somebody else just now"
        stop = Stop(BAD_INPUT, f"{problem}; look at them (redemption program show), then apply again")
        stop.failure = error.failure
        raise stop from error
    return now
