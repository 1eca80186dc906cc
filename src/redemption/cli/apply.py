"""Creates and updates a program's campaigns from files, and lists each change; applying again changes nothing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import grpc

from redemption.cli.campaign_file.field_names import file_path
from redemption.cli.campaign_file.reading import CampaignFile
from redemption.cli.campaign_file.text import Change, changes
from redemption.cli.campaign_file.violations import file_problem
from redemption.cli.exits import BAD_INPUT, Stop
from redemption.cli.input.source_file import Problem, dotted
from redemption.cli.server_calls import all_campaigns
from redemption.cli.target import NAME, Existing, target_of
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
        warnings: What the server warns of, one line each, with the file's line.
    """

    file: str
    wanted: Campaign
    number: int
    action: Action
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
        return {
            "file": self.file,
            "name": self.name,
            "number": self.number,
            "action": self.action.value,
            "changes": [change._asdict() for change in self.changes],
            "warnings": list(self.warnings),
        }


def total(done: Sequence[Applied], *, tried: int, files: int, answered: bool, dry_run: bool) -> str:
    """Return one line with the totals for several files.

    Args:
        done: What was done.
        tried: How many files were tried. If it is one more than were done, that file failed and the rest was skipped.
        files: How many files there are.
        answered: Whether the server answered the failed one; else it is in doubt whether it was done.
        dry_run: Nothing was changed.
    """
    actions = Counter(applied.action for applied in done)
    counts = [(actions[action], action.words(dry_run=dry_run)) for action in Action]
    counts += [(tried - len(done), "refused" if answered else "not answered"), (files - tried, "not tried")]
    return ", ".join(f"{count} {words}" for count, words in counts if count)


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
        try:
            if existing is None:
                return Applied(file, wanted, self._create(wanted), Action.CREATED)
            wanted = _with_pauses(read, existing)
            found = changes(existing, wanted)
            if not found:
                return Applied(file, wanted, existing.number, Action.UNCHANGED)
            warnings = [_warning(read, each) for each in self._update(existing, wanted)]
            return Applied(file, wanted, existing.number, Action.UPDATED, tuple(found), tuple(warnings))
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


def _warning(read: CampaignFile, warning: CampaignWarning) -> str:
    path = file_path(warning.field, read.campaign)
    return f"{read.source.file}:{read.source.line_of(path)}: warning: {dotted(path)}: {warning.description}"
