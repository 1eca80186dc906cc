"""``redemption campaigns``: applies, lists, shows, counts, pauses, ends and archives campaigns."""
# ruff: noqa: PLC0415 - gRPC and rich are imported when a call is made, so that help is quick.

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from redemption.cli.exits import DONE, INTERRUPTED, UNREACHABLE, BadFile, Stop
from redemption.cli.input.options import AsJson, Program, Server, TlsCa, examples, require_consent, settings_of
from redemption.cli.input.parsing import Group
from redemption.cli.output.screen import complain, print_json, print_message, say, show, table
from redemption.cli.server_calls import all_campaigns, campaign_called, connected
from redemption.printable import printable

if TYPE_CHECKING:
    from redemption.cli.apply import Applied
    from redemption.client import RedemptionClient
    from redemption.v1.campaign_pb2 import Campaign
    from redemption.v1.campaign_service_pb2 import CampaignStats

Which: TypeAlias = Annotated[
    str, typer.Argument(metavar="CAMPAIGN", help="Its number or its name.", show_default=False)
]

Merchants: TypeAlias = Annotated[
    list[str] | None, typer.Option("--merchant", metavar="ID", help="Only the goods of this merchant; repeatable.")
]
Skus: TypeAlias = Annotated[
    list[str] | None, typer.Option("--sku", metavar="SKU", help="Only this article; repeatable.")
]
Offers: TypeAlias = Annotated[
    list[int] | None,
    typer.Option("--offer", metavar="N", help="Only coupons of this offer, from 0; repeatable.", min=0, max=99),
]

_ARCHIVE_CALL_SECONDS = 2.0
"""The timeout of one call; after each call the progress is printed."""
_now = time.time
_STATE_STYLES = {"active": "green", "paused": "yellow"}

campaigns = typer.Typer(cls=Group)


@campaigns.command("list", epilog=examples("redemption campaigns list", "redemption campaigns list --json"))
def list_(
    *,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """List the campaigns of a program."""
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    with connected(settings) as client:
        found = list(all_campaigns(client, settings.program))
    if as_json:
        from redemption.v1.campaign_service_pb2 import ListCampaignsResponse

        print_message(ListCampaignsResponse(campaigns=found))
    elif found:
        _print_list(found)
    else:
        say(f"program {settings.program} has no campaigns; make one: redemption campaigns apply FILE.yaml")
    return DONE


@campaigns.command("show", epilog=examples("redemption campaigns show 1", "redemption campaigns show 满200减50"))
def show_(
    campaign: Which,
    *,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """Show a campaign's definition, in the words of a campaign file."""
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    with connected(settings) as client:
        found = campaign_called(client, settings.program, campaign)
    if as_json:
        print_message(found)
        return DONE
    from redemption.cli.campaign_file.text import definition

    fields = {"number": str(found.number), "state": _state(found)} | definition(found)
    width = max(map(len, fields))
    for field, text in fields.items():
        say(f"{field:{width}}   {text}")
    return DONE


@campaigns.command(epilog=examples("redemption campaigns stats 1"))
def stats(
    campaign: Which,
    *,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """Count what happened to a campaign's coupons."""
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    from redemption.v1.campaign_service_pb2 import GetCampaignStatsRequest
    from redemption.v1.outcome_pb2 import Outcome

    with connected(settings) as client:
        found = campaign_called(client, settings.program, campaign)
        request = GetCampaignStatsRequest(program=settings.program, number=found.number)
        answer = client.get_campaign_stats(request)
    if as_json:
        print_message(answer)
        return DONE
    from redemption.client import format_money

    counted = answer.stats
    say(f"campaign {found.number} {found.name}, {_state(found)}", "bold")
    counts = table("counter", "count", "limit", right=("count",))
    counts.show_header = False
    for row in _stats_rows(found, counted):
        counts.add_row(*row)
    show(counts)
    if len(counted.offers) > 1:
        offers = table("offer", "issued", "redeemed", "discount", right=("issued", "redeemed", "discount"))
        for offer in counted.offers:
            discount = format_money(offer.discount_minor, found.currency_code)
            name = found.offers[offer.offer_index].name if offer.offer_index < len(found.offers) else ""
            about = f"{offer.offer_index} {printable(name)}".rstrip()
            offers.add_row(about, f"{offer.issued:,}", f"{offer.redeemed:,}", discount)
        say("")
        show(offers)
    if counted.refusals:
        refusals = table("refused because", "times", right=("times",))
        for refusal in sorted(counted.refusals, key=lambda each: -each.count):
            refusals.add_row(Outcome.Name(refusal.outcome).removeprefix("OUTCOME_"), f"{refusal.count:,}")
        say("")
        show(refusals)
    if counted.warnings:
        from zoneinfo import ZoneInfo

        from redemption.cli.input.instants import local_text

        say("")
        for warning in counted.warnings:
            since = local_text(warning.raise_time, ZoneInfo(found.time_zone))
            say(f"warning {printable(warning.reason)} since {since}: {printable(warning.description)}", "yellow")
    return DONE


@campaigns.command(
    epilog=examples(
        "redemption campaigns apply examples/programs/double11/*.yaml --dry-run",
        "redemption campaigns apply campaign.yaml",
    )
)
def apply(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Campaigns, one a file.", show_default=False)],
    *,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check, by the server's rules too, and show what would change.")
    ] = False,
    create: Annotated[
        bool, typer.Option("--create", help="Make a new campaign, even if it looks like another one renamed.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what a warning is about (exit code 2), and apply nothing.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Make campaigns what files say they are.

    A campaign is known by its name, or by its number if the file has one: one that is not there is created, one that
    differs is updated, and each changed field is named. Doing it again changes nothing. To rename a campaign, write its
    number into the file.

    What is surely a mistake is applied with a warning, which names the line.
    """
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    from redemption.cli.apply import Applier, Progress, read_all, warnings_of

    # Read all files first: a file that cannot be read must not stop the command halfway.
    read = read_all(files)
    if strict:
        _require_none([warning for file in read for warning in warnings_of(file, now=_now())])
    progress = Progress()
    code = DONE
    try:
        with connected(settings) as client:
            if strict:  # the server warns of changes, too: nothing may be applied before all of them are checked
                checking = Applier(client, settings.program, dry_run=True, create=create, now=_now())
                checked = list(checking.apply_all(read, Progress()))
                _require_none([warning for applied in checked for warning in applied.warnings])
            applier = Applier(client, settings.program, dry_run=dry_run, create=create, now=_now())
            for applied in applier.apply_all(read, progress):
                if not as_json:
                    _print_applied(applied, dry_run=dry_run)
    except (Stop, KeyboardInterrupt) as error:
        stop = error if isinstance(error, Stop) else Stop(INTERRUPTED, "interrupted")
        # Files that were applied before a failure stay applied.
        stop.done_before = {"applied": [applied.as_dict() for applied in progress.done]}
        if as_json or not progress.tried:
            raise stop from error
        code = stop.code
        for line in stop.told:  # before the line with the totals
            complain(line)
    if as_json:
        print_json([applied.as_dict() for applied in progress.done])
    if len(read) > 1 and not as_json:
        say(progress.total(files=len(read), answered=code != UNREACHABLE, dry_run=dry_run))
    return code


@campaigns.command(
    epilog=examples(
        "redemption campaigns schema > campaign.schema.json",
        "# the first line of a campaign file then:",
        "#   # yaml-language-server: $schema=campaign.schema.json",
    )
)
def schema() -> int:
    """Print the JSON Schema of campaign files, by which editors complete and check them."""
    from redemption.cli.campaign_file.schema import campaign_schema

    print_json(campaign_schema())
    return DONE


@campaigns.command(
    epilog=examples(
        "redemption campaigns pause 1",
        "redemption campaigns pause 1 --merchant m-77 --sku soap-1",
        "redemption campaigns pause 1 --offer 2",
    )
)
def pause(
    campaign: Which,
    *,
    merchant: Merchants = None,
    sku: Skus = None,
    offer: Offers = None,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """Stop redeeming a campaign's coupons for a while, or those of some offers.

    With --merchant and --sku, coupons go on, but give nothing for these goods.
    """
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    if merchant or sku or offer:
        from redemption.cli.pauses import Parts, change_parts

        parts = Parts(tuple(merchant or ()), tuple(sku or ()), tuple(offer or ()))
        with connected(settings) as client:
            found = change_parts(client, settings.program, campaign, parts.pause)
        return _print_state(found, as_json=as_json)
    from redemption.v1.campaign_service_pb2 import PauseCampaignRequest

    with connected(settings) as client:
        number = campaign_called(client, settings.program, campaign).number
        answer = client.pause_campaign(PauseCampaignRequest(program=settings.program, number=number))
    return _print_state(answer.campaign, as_json=as_json)


@campaigns.command(
    epilog=examples("redemption campaigns resume 1", "redemption campaigns resume 1 --merchant m-77 --sku soap-1")
)
def resume(
    campaign: Which,
    *,
    merchant: Merchants = None,
    sku: Skus = None,
    offer: Offers = None,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """Go on redeeming after a pause, of a whole campaign or of parts of it."""
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    if merchant or sku or offer:
        from redemption.cli.pauses import Parts, change_parts

        parts = Parts(tuple(merchant or ()), tuple(sku or ()), tuple(offer or ()))
        with connected(settings) as client:
            found = change_parts(client, settings.program, campaign, parts.resume)
        return _print_state(found, as_json=as_json)
    from redemption.v1.campaign_service_pb2 import ResumeCampaignRequest

    with connected(settings) as client:
        number = campaign_called(client, settings.program, campaign).number
        answer = client.resume_campaign(ResumeCampaignRequest(program=settings.program, number=number))
    return _print_state(answer.campaign, as_json=as_json)


@campaigns.command(epilog=examples("redemption campaigns end 1"))
def end(
    campaign: Which,
    *,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> int:
    """End a campaign for good. In a terminal it asks first."""
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    from redemption.v1.campaign_service_pb2 import EndCampaignRequest

    with connected(settings) as client:
        found = campaign_called(client, settings.program, campaign)
        require_consent(f"End campaign {found.number} {found.name} for good?", yes=yes)
        answer = client.end_campaign(EndCampaignRequest(program=settings.program, number=found.number))
    return _print_state(answer.campaign, as_json=as_json)


@campaigns.command(epilog=examples("redemption campaigns archive 1"))
def archive(
    campaign: Which,
    *,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> int:
    """Remove the records of a campaign that is long over; its definition and totals stay.

    Possible when its return window has passed. In a terminal it asks first. The same command goes on when it was
    interrupted.
    """
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    with connected(settings, retries=False) as client:
        found = campaign_called(client, settings.program, campaign)
        require_consent(
            f"Remove every coupon's record of campaign {found.number} {found.name}? Nobody can tell afterwards "
            "which of them were used",
            yes=yes,
        )
        archived = _archived(client, settings.program, found.number)
    return _print_state(archived, as_json=as_json)


def _archived(client: "RedemptionClient", program: str, number: int) -> "Campaign":
    """Archive a campaign, with as many calls as it takes; print the progress after each call."""
    from redemption.client import CallFailed
    from redemption.v1.campaign_service_pb2 import ArchiveCampaignRequest

    request = ArchiveCampaignRequest(program=program, number=number)
    while True:
        try:
            return client.archive_campaign(request, timeout=_ARCHIVE_CALL_SECONDS).campaign
        except CallFailed as error:
            if error.reason != "ARCHIVE_UNFINISHED":
                raise
            complain(error.message.partition(";")[0])
            time.sleep(error.retry_after_seconds or 0.0)


def _print_list(found: "list[Campaign]") -> None:
    from zoneinfo import ZoneInfo

    from rich.text import Text

    from redemption.cli.input.instants import local_text

    rows = table("number", "name", "state", "local start", "local end", right=("number",))
    for campaign in found:
        state = _state(campaign)
        zone = ZoneInfo(campaign.time_zone)
        # Without seconds and offset, two instants and a name fit into 80 columns; ``show`` prints them in full.
        times = (local_text(campaign.start_time, zone)[:16], local_text(campaign.end_time, zone)[:16])
        rows.add_row(
            str(campaign.number), printable(campaign.name), Text(state, _STATE_STYLES.get(state, "dim")), *times
        )
    show(rows)


def _print_state(campaign: "Campaign", *, as_json: bool) -> int:
    if as_json:
        print_message(campaign)
    else:
        from redemption.cli.output.campaign_summary import paused_parts

        state = _state(campaign)
        parts = "; ".join(paused_parts(campaign))
        but = f", but paused in it: {parts}" if parts and state not in ("ended", "archived") else ""
        say(f"campaign {campaign.number} {campaign.name} is {state}{but}", _STATE_STYLES.get(state, ""))
    return DONE


def _state(campaign: "Campaign") -> str:
    from redemption.cli.output.campaign_summary import state_of

    return state_of(campaign, _now())


def _stats_rows(found: "Campaign", counted: "CampaignStats") -> list[tuple[str, str, str]]:
    """Return the numbers of a campaign: name, number, and what it is compared with."""
    from redemption.client import format_money

    limits = found.limits
    rows = [
        ("issued", f"{counted.issued:,}", _of(limits.issued, limited=limits.HasField("issued"))),
        ("claimed", f"{counted.claimed:,}", ""),
        ("redeemed", f"{counted.redeemed:,}", _of(limits.redemptions, limited=limits.HasField("redemptions"))),
        (
            "today",
            f"{counted.redeemed_today:,}",
            _of(limits.redemptions_per_day, limited=limits.HasField("redemptions_per_day")),
        ),
        ("discount", format_money(counted.discount_minor, found.currency_code), ""),
        ("by merchants", format_money(counted.merchant_minor, found.currency_code), ""),
        ("order value", format_money(counted.order_value_minor, found.currency_code), ""),
    ]
    if counted.reversed:
        amount = format_money(counted.reversed_minor, found.currency_code)
        rows.insert(4, ("given back", f"{counted.reversed:,}", f"wholly or in part, {amount}"))
    if counted.reserved:
        rows.insert(4, ("reserved", f"{counted.reserved:,}", "held by orders that are not paid"))
    if counted.HasField("budget_left_minor"):
        budget = format_money(limits.budget_minor, found.currency_code)
        over = ", lowered below what is spent" if counted.budget_left_minor < 0 else ""
        rows.append(("budget left", format_money(counted.budget_left_minor, found.currency_code), f"of {budget}{over}"))
    return rows


def _of(limit: int, *, limited: bool) -> str:
    return f"of {limit:,}" if limited else ""


def _require_none(warnings: Sequence[str]) -> None:
    if warnings:
        raise BadFile(*warnings)


def _print_applied(applied: "Applied", *, dry_run: bool) -> None:
    from redemption.cli.apply import Action
    from redemption.cli.output.campaign_summary import summary

    number = f" {applied.number}" if applied.number else ""
    state = "" if applied.state in ("", "active") else f", {applied.state}"
    words = applied.action.words(dry_run=dry_run)
    say(f"{words:10}{number} {applied.name}{state}", "green" if applied.changed else "dim")
    if dry_run and applied.action is Action.CREATED:
        for about, text in summary(applied.wanted):
            say(f"  {about:8} {text}")
    for change in applied.changes:
        say(f"  {change.field}: {change.before} → {change.after}")
    for warning in applied.warnings:
        complain(warning)
