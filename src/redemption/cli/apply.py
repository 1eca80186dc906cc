"""Creates and updates a program's campaigns from files, and lists each change; applying again changes nothing."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import grpc

from redemption.cli.campaign_file.field_names import file_path
from redemption.cli.campaign_file.reading import CampaignFile, read_campaign
from redemption.cli.campaign_file.text import Change, changes
from redemption.cli.campaign_file.violations import file_problem
from redemption.cli.campaign_file.warnings import file_warnings
from redemption.cli.exits import BAD_INPUT, BadFile, Stop
from redemption.cli.input.source_file import Problem, dotted
from redemption.cli.output.campaign_summary import state_of
from redemption.cli.server_calls import all_campaigns
from redemption.cli.target import NAME, Existing, require_different_campaigns, target_of
from redemption.client import CallFailed, RedemptionClient, new_request_id
from redemption.v1.campaign_pb2 import Campaign
from redemption.v1.campaign_service_pb2 import CampaignWarning, CreateCampaignRequest, UpdateCampaignRequest

_PAUSES = ("paused_merchant_ids", "paused_skus", "paused_offers")


class Action(StrEnum):
    """What was done with a campaign."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"

    def words(self, *, dry_run: bool) -> str:
        """Return the words for the screen: what was done, or with a dry run what would be done."""
        return f"would be {self.value}" if dry_run and self is not Action.UNCHANGED else self.value


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done with one file; with a dry run, what would be done.

    Attributes:
        state: The state of a campaign that was there before, in one word, as it is after the change; empty for a new
            campaign.
        warnings: What the file and the server warn of, one line each, with the file's line.
    """

    file: str
    wanted: Campaign
    number: int
    action: Action
    state: str = ""
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.wanted.name

    @property
    def changed(self) -> bool:
        """Whether there was anything to do."""
        return self.action is not Action.UNCHANGED

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        state = {"state": self.state} if self.state else {}
        return {
            "file": self.file,
            "name": self.name,
            "number": self.number,
            "action": self.action.value,
            **state,
            "changes": [change._asdict() for change in self.changes],
            "warnings": list(self.warnings),
        }


@dataclass(slots=True)
class Progress:
    """How far a command is that applies several files.

    Attributes:
        done: What was done.
        tried: How many files were tried. Those that were not done failed.
    """

    done: list[Applied] = field(default_factory=list)
    tried: int = 0

    def total(self, *, files: int, answered: bool, dry_run: bool) -> str:
        """Return one line with the totals.

        Args:
            files: How many files there are.
            answered: Whether the server answered the failed ones; else it is in doubt whether they were done.
            dry_run: Nothing was changed.
        """
        actions = Counter(applied.action for applied in self.done)
        counts = [(actions[action], action.words(dry_run=dry_run)) for action in Action]
        counts.append((self.tried - len(self.done), "refused" if answered else "not answered"))
        counts.append((files - self.tried, "not tried"))
        return ", ".join(f"{count} {words}" for count, words in counts if count)


def read_all(files: Sequence[Path]) -> list[CampaignFile]:
    """Read the files of a command.

    Raises:
        BadFile: Some have no valid campaign, or two are of one campaign; it has the problems of all of them.
    """
    read: list[CampaignFile] = []
    refused: list[BadFile] = []
    for file in files:
        try:
            read.append(read_campaign(file))
        except BadFile as error:
            refused.append(error)
    try:
        require_different_campaigns(read)
    except BadFile as error:
        refused.append(error)
    if refused:
        raise _all_of(refused)
    return read


def warnings_of(read: CampaignFile, *, now: float) -> list[str]:
    """Return what a file itself warns of, one line each; ``now`` is Unix seconds."""
    return read.source.warnings(file_warnings(read, now=now))


def _all_of(refused: Sequence[BadFile]) -> BadFile:
    """Return one exception with the lines of several, and with what the server said of the first that it refused."""
    error = BadFile(*(line for each in refused for line in each.lines))
    error.failure = next((each.failure for each in refused if each.failure), None)
    return error


class Applier:
    """Applies files to one program. A dry run calls the server too, which then only checks."""

    def __init__(self, client: RedemptionClient, program: str, *, dry_run: bool, create: bool, now: float) -> None:
        """Read the campaigns that there are.

        Args:
            client: The server.
            program: The program.
            dry_run: Nothing is changed.
            create: A new campaign is wanted, whatever it resembles.
            now: The present, Unix seconds.
        """
        self._client = client
        self._program = program
        self._dry_run = dry_run
        self._existing = Existing(tuple(all_campaigns(client, program)), now, create)

    def apply_all(self, files: Sequence[CampaignFile], progress: Progress) -> Iterator[Applied]:
        """Apply files one after another; yield what was done with each.

        A dry run goes on after a file that is refused: nothing is changed, so all that is wrong can be told at once.

        Args:
            files: The files.
            progress: Is brought up to date, also when a file fails.

        Raises:
            Stop: See ``apply``.
        """
        refused: list[BadFile] = []
        for file in files:
            progress.tried += 1
            try:
                applied = self.apply(file, files)
            except BadFile as error:
                if not self._dry_run:
                    raise
                refused.append(error)
                continue
            progress.done.append(applied)
            yield applied
        if refused:
            raise _all_of(refused)

    def apply(self, read: CampaignFile, files: Sequence[CampaignFile]) -> Applied:
        """Create or update the campaign that a file is about.

        Args:
            read: The file.
            files: All files of the command.

        Raises:
            Stop: It is not clear which campaign is meant, or the server refuses it; the message names the wrong fields
                with their lines.
        """
        file, wanted = str(read.source.file), read.campaign
        existing = target_of(read, files, self._existing)
        warnings = warnings_of(read, now=self._existing.now)
        try:
            if existing is None:
                return Applied(file, wanted, self._create(wanted), Action.CREATED, warnings=tuple(warnings))
            wanted = _with_pauses(read, existing)
            state = state_of(_with_state(wanted, existing), self._existing.now)
            found = changes(existing, wanted)
            if not found:
                return Applied(file, wanted, existing.number, Action.UNCHANGED, state, warnings=tuple(warnings))
            warnings += [_warning(read, each) for each in self._update(existing, wanted)]
            return Applied(file, wanted, existing.number, Action.UPDATED, state, tuple(found), tuple(warnings))
        except CallFailed as error:
            if error.reason == "ALREADY_EXISTS":
                problem = error.message.removeprefix("campaign.name: ")
                more = "" if existing else "; to rename that campaign, give this file its number"
                raise read.source.stop([Problem(NAME, problem + more)]) from error
            if not any(violation.field.startswith("campaign") for violation in error.violations):
                raise
            stop = read.source.stop([file_problem(each, wanted) for each in error.violations])
            stop.failure = error.failure
            raise stop from error

    def _create(self, wanted: Campaign) -> int:
        request = CreateCampaignRequest(request_id=new_request_id(), campaign=wanted, validate_only=self._dry_run)
        request.campaign.program = self._program
        return self._client.create_campaign(request).campaign.number

    def _update(self, existing: Campaign, wanted: Campaign) -> Sequence[CampaignWarning]:
        request = UpdateCampaignRequest(campaign=wanted, validate_only=self._dry_run)
        request.campaign.program = self._program
        request.campaign.number = existing.number
        request.campaign.etag = existing.etag
        try:
            return self._client.update_campaign(request).warnings
        except CallFailed as error:
            if error.code is not grpc.StatusCode.ABORTED:
                raise
            self._require_done(existing.number, wanted, error)
            return ()

    def _require_done(self, number: int, wanted: Campaign, error: CallFailed) -> None:
        """Read again after ABORTED: either our first try was done and its answer lost, or another person changed it."""
        for campaign in all_campaigns(self._client, self._program):
            if campaign.number == number and not changes(campaign, wanted):
                return
        raise Stop(
            BAD_INPUT, f"campaign {wanted.name} was changed by somebody else just now; look at it, then apply again"
        ) from error


def _with_pauses(read: CampaignFile, existing: Campaign) -> Campaign:
    """Return the campaign of a file; what the file does not say of pauses stays as it is.

    Parts of a campaign are paused on the command line, in a hurry: applying the file again must not take that back.
    """
    wanted = Campaign()
    wanted.CopyFrom(read.campaign)
    for name in _PAUSES:
        if name not in read.source.root.fields:
            getattr(wanted, name).extend(getattr(existing, name))
    return wanted


def _with_state(wanted: Campaign, existing: Campaign) -> Campaign:
    after = Campaign()
    after.CopyFrom(wanted)
    after.state = existing.state
    return after


def _warning(read: CampaignFile, warning: CampaignWarning) -> str:
    path = file_path(warning.field, read.campaign)
    return f"{read.source.file}:{read.source.line_of(path)}: warning: {dotted(path)}: {warning.description}"
