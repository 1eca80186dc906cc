"""``redemption claim``: gets one coupon for a customer, from a campaign or for an exchange code."""
# ruff: noqa: PLC0415 - gRPC and rich are imported when a call is made, so that help is quick.

import time
from typing import TYPE_CHECKING, Annotated

import typer

from redemption.cli.exits import BAD_INPUT, DONE, REFUSED, Stop
from redemption.cli.input.checkout import Device, Network, Payment, PersonId
from redemption.cli.input.options import AsJson, Language, Program, RequestId, Server, TlsCa, language, settings_of
from redemption.cli.output.screen import complain, print_message, say
from redemption.cli.server_calls import campaign_called, connected

if TYPE_CHECKING:
    import datetime as dt

    from redemption.client import Lang, RedemptionClient
    from redemption.settings import Settings
    from redemption.v1.issuance_service_pb2 import ClaimRequest, ClaimResponse

_now = time.time
_CHANGE_CLAIM = {"en": "change the claim", "zh": "修改后再领"}  # here is no order to change
_VALID = {"en": "valid      {from_} until {until}", "zh": "有效期     {from_} 至 {until}"}


def claim(
    *,
    campaign: Annotated[str | None, typer.Option(metavar="N|NAME", help="Of which campaign.")] = None,
    offer: Annotated[int, typer.Option(metavar="N", help="Which of its offers, from 0.", min=0, max=99)] = 0,
    code: Annotated[str | None, typer.Option(metavar="CODE", help="For this exchange code instead.")] = None,
    customer: Annotated[str | None, typer.Option(metavar="ID", help="For whom.")] = None,
    tier: Annotated[str | None, typer.Option(metavar="NAME", help="The customer's membership tier.")] = None,
    segment: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A segment the customer is in; may be repeated.")
    ] = None,
    new: Annotated[
        bool | None,
        typer.Option("--new/--not-new", help="Whether the customer is new. [not known]", show_default=False),
    ] = None,
    person: PersonId = None,
    device: Device = None,
    network: Network = None,
    payment: Payment = None,
    request_id: RequestId = None,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    lang: Language = None,
    as_json: AsJson = False,
) -> int:
    """Get one coupon for a customer.

    Standard output has the token alone, for TOKEN=$(redemption claim ...). Its time, or why there is none, goes to
    standard error. The same --request-id gives the same coupon again, never another.
    """
    settings = settings_of(server=server, program=program, tls_ca=tls_ca, lang=lang)
    if (campaign is None) == (code is None):
        problem = "is missing: give --campaign N, or --code CODE" if code is None else "and --code exclude each other"
        raise Stop(BAD_INPUT, f"--campaign {problem}")
    from redemption.client import new_request_id
    from redemption.v1.issuance_service_pb2 import ClaimRequest
    from redemption.v1.order_pb2 import Customer, RiskContext
    from redemption.v1.outcome_pb2 import OUTCOME_APPROVED

    request = ClaimRequest(
        program=settings.program,
        request_id=request_id or new_request_id(),
        customer=Customer(customer_id=customer, tier=tier, segments=segment, is_new=new, person_id=person),
        risk=RiskContext(device_id=device, network_address=network, payment_fingerprint=payment),
    )
    with connected(settings, request_id=request.request_id) as client:
        zone = _aim(client, request, campaign, offer, code)
        response = client.claim(request)
        approved = response.outcome == OUTCOME_APPROVED
        if approved and zone is None and not as_json:
            zone = _zone_of_token(client, settings, response.token)
    if as_json:
        print_message(response)
    else:
        _print(response, zone, language(settings.lang), approved=approved)
    return DONE if approved else REFUSED


def _aim(
    client: "RedemptionClient", request: "ClaimRequest", campaign: str | None, offer: int, code: str | None
) -> "dt.tzinfo | None":
    """Set in the request what to claim; returns the campaign's zone, or None when it is not known yet."""
    from zoneinfo import ZoneInfo

    if campaign is None:
        request.code = (code or "").strip()  # a pasted line may end with a line break
        return None
    definition = campaign_called(client, request.program, campaign)
    request.offer.campaign = definition.number
    request.offer.offer_index = offer
    return ZoneInfo(definition.time_zone)


def _zone_of_token(client: "RedemptionClient", settings: "Settings", token: str) -> "dt.tzinfo":
    from zoneinfo import ZoneInfo

    from redemption.v1.campaign_service_pb2 import GetCampaignRequest
    from redemption.v1.issuance_service_pb2 import InspectTokenRequest

    number = client.inspect_token(InspectTokenRequest(program=settings.program, token=token)).campaign
    campaign_request = GetCampaignRequest(program=settings.program, number=number)
    return ZoneInfo(client.get_campaign(campaign_request).campaign.time_zone)


def _print(response: "ClaimResponse", zone: "dt.tzinfo | None", lang: "Lang", *, approved: bool) -> None:
    from google.protobuf.timestamp_pb2 import Timestamp

    from redemption.cli.input.instants import local_text
    from redemption.cli.output.decision import outcome_name
    from redemption.cli.output.missing_signals import OPTIONS, missing_text
    from redemption.client import disposition_words, sentence
    from redemption.v1.decision_pb2 import TokenVerdict
    from redemption.v1.outcome_pb2 import DISPOSITION_CHANGE_ORDER

    if approved:
        say(response.token, "green")
        times = {"from_": local_text(response.not_before, zone), "until": local_text(response.expire_time, zone)}
        complain(_VALID[lang].format_map(times))
        return
    verdict = TokenVerdict(outcome=response.outcome, disposition=response.disposition, detail=response.detail)
    now = Timestamp(seconds=int(_now()))  # the answer does not say when it was decided
    text = sentence(verdict, currency_code="", lang=lang, now=now, zone=zone)
    changeable = response.disposition == DISPOSITION_CHANGE_ORDER
    what_to_do = _CHANGE_CLAIM[lang] if changeable else disposition_words(response.disposition, lang)
    lacking = missing_text(response.detail, lang, OPTIONS)
    heading = f"{outcome_name(response.outcome)} ({what_to_do})"
    complain("   ".join(filter(None, (heading, text, lacking))))
