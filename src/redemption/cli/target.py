"""Decides which campaign a file is about: that of its number, that of its name, or a new one.

A campaign is known by its name, so a name that was edited looks like that of a new campaign. A second campaign with
the same offers at the same time would give every customer a second coupon. So it is made only if that is said.
"""

from collections.abc import Sequence
from typing import NamedTuple

from redemption.cli.campaign_file.reading import CampaignFile
from redemption.cli.campaign_file.text import changes
from redemption.cli.exits import BadFile
from redemption.cli.input.source_file import FieldPath, Problem
from redemption.v1 import campaign_pb2 as v1

NAME: FieldPath = ("name",)
NUMBER: FieldPath = ("number",)
_LIVE = (v1.CAMPAIGN_STATE_ACTIVE, v1.CAMPAIGN_STATE_PAUSED)


class Existing(NamedTuple):
    """The campaigns of a program, and what is said about new ones.

    Attributes:
        campaigns: All of them.
        now: The present, Unix seconds: a campaign that is over is no obstacle to its next edition.
        create: A new campaign is wanted, whatever it resembles.
    """

    campaigns: Sequence[v1.Campaign]
    now: float
    create: bool


def require_different_campaigns(read: Sequence[CampaignFile]) -> None:
    """Refuse two files of one campaign: the second file would overwrite the first.

    Raises:
        BadFile: There are such files; the message names both with their lines.
    """
    first: dict[str | int, str] = {}
    problems = []
    for source, campaign in read:
        for path, value, what in (
            (NAME, campaign.name, "a campaign is known by its name"),
            (NUMBER, campaign.number, "it is one campaign"),
        ):
            place = f"{source.file}:{source.line_of(path)}"
            before = first.setdefault(value, place) if value else place
            if before != place:
                problems.append(f"{place}: {path[0]}: is that of {before} as well; {what}: give one file")
    if problems:
        raise BadFile(*problems)


def target_of(read: CampaignFile, others: Sequence[CampaignFile], existing: Existing) -> v1.Campaign | None:
    """Return the campaign that a file changes, or None for a new one.

    Args:
        read: The file.
        others: All files of the command: what one of them is about, another one does not rename.
        existing: The campaigns that there are.

    Raises:
        BadFile: There is no such number, or it is not clear whether a campaign is to be renamed.
    """
    wanted = read.campaign
    if wanted.number:
        return _numbered(read, existing)
    found = next((campaign for campaign in existing.campaigns if campaign.name == wanted.name), None)
    if found is None and not existing.create:
        _require_no_rename(read, others, existing)
    return found


def _numbered(read: CampaignFile, existing: Existing) -> v1.Campaign:
    wanted = read.campaign
    found = next((campaign for campaign in existing.campaigns if campaign.number == wanted.number), None)
    if found is None:
        problem = f"there is no campaign {wanted.number} in this program; take the line out to make a new one"
        raise read.source.stop([Problem(NUMBER, problem)])
    if found.name != wanted.name and not _have_equal_offers(found, wanted):
        problem = (
            f"campaign {wanted.number} is called {found.name!r} and has other offers; if it is the one that is meant, "
            "rename it first, then change its offers"
        )
        raise read.source.stop([Problem(NUMBER, problem)])
    return found


def _require_no_rename(read: CampaignFile, others: Sequence[CampaignFile], existing: Existing) -> None:
    names = {other.campaign.name for other in others}
    numbers = {other.campaign.number for other in others}
    for campaign in existing.campaigns:
        if (
            campaign.state in _LIVE
            and campaign.end_time.seconds > existing.now
            and campaign.name not in names
            and campaign.number not in numbers
            and (campaign.start_time == read.campaign.start_time or campaign.end_time == read.campaign.end_time)
            and _have_equal_offers(campaign, read.campaign)
        ):
            problem = (
                f"is new, but campaign {campaign.number}, {campaign.name!r}, has the same offers and time; to rename "
                f"it, add the line 'number: {campaign.number}'; to make a second campaign, give --create"
            )
            raise read.source.stop([Problem(NAME, problem)])


def _have_equal_offers(one: v1.Campaign, other: v1.Campaign) -> bool:
    """Whether two campaigns give the same on the same conditions; what the offers are called makes no difference."""
    return one.currency_code == other.currency_code and not any(
        change.field.startswith("offers") and not change.field.endswith("].name") for change in changes(one, other)
    )
