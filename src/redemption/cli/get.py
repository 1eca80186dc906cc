"""``redemption get``: what was approved, for example after a lost answer."""
# ruff: noqa: PLC0415 - gRPC and rich are imported when a call is made, so that help is quick.

from typing import TYPE_CHECKING, Annotated

import typer

from redemption.cli.exits import BAD_INPUT, DONE, Stop
from redemption.cli.input.options import AsJson, Program, Server, TlsCa, settings_of
from redemption.cli.output.screen import print_message, say
from redemption.cli.server_calls import connected

if TYPE_CHECKING:
    from redemption.v1.campaign_pb2 import Campaign
    from redemption.v1.redemption_service_pb2 import Redemption


def get(
    *,
    request_id: Annotated[
        str | None, typer.Option(metavar="ID", help="By the name of the attempt; known for 24 hours at least.")
    ] = None,
    receipt: Annotated[str | None, typer.Option(metavar="RECEIPT", help="By a receipt.")] = None,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """Tell the truth after a lost answer. The exit code is 1 when nothing was approved."""
    if (request_id is None) == (receipt is None):
        raise Stop(BAD_INPUT, "give either --request-id or --receipt")
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    from redemption.v1.campaign_service_pb2 import GetCampaignRequest
    from redemption.v1.redemption_service_pb2 import GetRedemptionRequest

    with connected(settings) as client:
        answer = client.get_redemption(
            GetRedemptionRequest(program=settings.program, request_id=request_id, redemption_id=receipt)
        )
        campaigns = {}
        if not as_json:
            for number in {found.campaign for found in answer.redemptions}:
                campaign_request = GetCampaignRequest(program=settings.program, number=number)
                campaigns[number] = client.get_campaign(campaign_request).campaign
    if as_json:
        print_message(answer)
        return DONE
    for found in answer.redemptions:
        _print(found, campaigns[found.campaign])
    return DONE


def _print(found: "Redemption", campaign: "Campaign") -> None:
    from zoneinfo import ZoneInfo

    from redemption.cli.input.instants import local_text
    from redemption.client import format_money
    from redemption.v1.redemption_service_pb2 import RedemptionState

    state = RedemptionState.Name(found.state).removeprefix("REDEMPTION_STATE_").replace("_", " ")
    parts = [state, format_money(-found.discount_minor, campaign.currency_code)]
    if found.HasField("redeem_time"):
        parts.append(local_text(found.redeem_time, ZoneInfo(campaign.time_zone)))
    if found.reversed_minor:
        parts.append(f"{format_money(found.reversed_minor, campaign.currency_code)} given back")
    say("   ".join(parts), "green")
    say(f"campaign   {found.campaign} {campaign.name}, serial {found.serial}")
    if found.redemption_id:
        say(f"receipt    {found.redemption_id}")
