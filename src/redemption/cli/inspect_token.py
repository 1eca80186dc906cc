"""``redemption inspect``: what a token says, and whether it was used."""
# ruff: noqa: PLC0415 - gRPC and rich are imported when a call is made, so that help is quick.

from typing import TYPE_CHECKING, Annotated

import typer

from redemption.cli.exits import DONE, REFUSED
from redemption.cli.input.options import AsJson, Program, Server, TlsCa, settings_of
from redemption.cli.output.screen import print_message, say
from redemption.cli.server_calls import connected

if TYPE_CHECKING:
    from redemption.v1.campaign_pb2 import Campaign
    from redemption.v1.issuance_service_pb2 import InspectTokenResponse


def inspect_token(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="The coupon.", show_default=False)],
    *,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """Say what a token is and what became of it."""
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    from redemption.v1.campaign_service_pb2 import GetCampaignRequest
    from redemption.v1.issuance_service_pb2 import TOKEN_STATE_INVALID, InspectTokenRequest

    with connected(settings) as client:
        answer = client.inspect_token(InspectTokenRequest(program=settings.program, token=token))
        invalid = answer.state == TOKEN_STATE_INVALID
        if not as_json and not invalid:
            campaign_request = GetCampaignRequest(program=settings.program, number=answer.campaign)
            _print(answer, client.get_campaign(campaign_request).campaign)
    if as_json:
        print_message(answer)
    elif invalid:
        say(f"INVALID   not a token of program {settings.program}", "red")
    return REFUSED if invalid else DONE


def _print(answer: "InspectTokenResponse", campaign: "Campaign") -> None:
    from zoneinfo import ZoneInfo

    from redemption.cli.input.instants import local_text
    from redemption.client import format_money
    from redemption.v1.issuance_service_pb2 import TokenState

    zone = ZoneInfo(campaign.time_zone)
    say(TokenState.Name(answer.state).removeprefix("TOKEN_STATE_"), "bold")
    say(f"campaign   {answer.campaign} {campaign.name}, offer {answer.offer_index}, serial {answer.serial}")
    say(f"valid      {local_text(answer.not_before, zone)} until {local_text(answer.expire_time, zone)}")
    if answer.HasField("honoured_until"):
        say(f"honoured   until {local_text(answer.honoured_until, zone)}, by the campaign")
    say(f"holder     {'bound to one customer' if answer.holder_bound else 'whoever has it'}")
    say(f"key        {answer.key_id}")
    if answer.HasField("redemption"):
        used = answer.redemption
        off = format_money(-used.discount_minor, campaign.currency_code)
        say(f"redeemed   {local_text(used.redeem_time, zone)}, {off}")
        say(f"receipt    {used.redemption_id}")
