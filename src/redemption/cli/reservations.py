"""``redemption reserve``, ``confirm`` and ``release``: coupons that an order holds while it is paid."""
# ruff: noqa: PLC0415 - gRPC and rich are imported when a call is made, so that help is quick.

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from redemption.cli.exits import BAD_INPUT, DONE, REFUSED, Stop
from redemption.cli.input.checkout import (
    Currency,
    CustomerId,
    Device,
    Network,
    OrderFile,
    OrderId,
    Payment,
    PersonId,
    Spend,
    Typed,
    checkout_of,
)
from redemption.cli.input.options import AsJson, Language, Program, RequestId, Server, TlsCa, language, settings_of
from redemption.cli.output.screen import print_message, say
from redemption.cli.server_calls import connected

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from redemption.client import Lang
    from redemption.v1.campaign_pb2 import Campaign
    from redemption.v1.decision_pb2 import Decision
    from redemption.v1.redemption_service_pb2 import ReleaseResponse

Reservation: TypeAlias = Annotated[
    str, typer.Argument(metavar="RESERVATION", help="What reserve printed.", show_default=False)
]


def reserve(
    tokens: Annotated[list[str], typer.Argument(metavar="TOKEN", help="The coupons.", show_default=False)],
    *,
    order: OrderId = None,
    spend: Spend = None,
    customer: CustomerId = None,
    currency: Currency = None,
    order_file: OrderFile = None,
    person: PersonId = None,
    device: Device = None,
    network: Network = None,
    payment: Payment = None,
    ttl: Annotated[str | None, typer.Option(metavar="TIME", help="For how long, such as 30m; up to 24h. [15m]")] = None,
    request_id: RequestId = None,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    lang: Language = None,
    as_json: AsJson = False,
) -> int:
    """Hold coupons for an order until it is paid: all of them, or none."""
    settings = settings_of(server=server, program=program, tls_ca=tls_ca, lang=lang)
    typed = Typed(order, spend, customer, currency, order_file, person, device, network, payment)
    checkout = checkout_of(typed, tokens, program=program, program_default=settings.program)

    from redemption.cli.input.instants import local_text
    from redemption.cli.output.decision import print_lines, say_approval, say_refusal
    from redemption.client import new_request_id
    from redemption.v1.outcome_pb2 import OUTCOME_APPROVED
    from redemption.v1.redemption_service_pb2 import ReserveRequest

    request = ReserveRequest(request_id=request_id or new_request_id(), checkout=checkout, ttl=_ttl(ttl))
    with connected(settings, request_id=request.request_id) as client:
        response = client.reserve(request)
    decision = response.decision
    held = decision.outcome == OUTCOME_APPROVED
    if as_json:
        print_message(response)
    elif held:
        chosen = language(settings.lang)
        say_approval("HELD", decision, checkout.order, chosen, f"until {local_text(response.expire_time, None)}")
        print_lines(decision, checkout.order, chosen)
        say(f"reservation   {response.reservation_id}")
    else:
        say_refusal(decision, checkout.order, language(settings.lang))
    return DONE if held else REFUSED


def confirm(
    reservation: Reservation,
    *,
    reacquire: Annotated[
        bool, typer.Option("--reacquire", help="If the hold is over, take the coupons again on the same terms.")
    ] = False,
    request_id: RequestId = None,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    lang: Language = None,
    as_json: AsJson = False,
) -> int:
    """Use the coupons that a reservation holds."""
    settings = settings_of(server=server, program=program, tls_ca=tls_ca, lang=lang)
    from redemption.client import new_request_id
    from redemption.v1.campaign_service_pb2 import GetCampaignRequest
    from redemption.v1.outcome_pb2 import OUTCOME_APPROVED
    from redemption.v1.redemption_service_pb2 import ConfirmRequest

    request = ConfirmRequest(
        program=settings.program,
        request_id=request_id or new_request_id(),
        reservation_id=reservation.strip(),
        reacquire=reacquire,
    )
    campaign = None
    with connected(settings, request_id=request.request_id) as client:
        decision = (response := client.confirm(request)).decision
        if decision.verdicts and not as_json:
            number = decision.verdicts[0].campaign
            campaign = client.get_campaign(GetCampaignRequest(program=settings.program, number=number)).campaign
    if as_json:
        print_message(response)
    else:
        _print_confirmed(decision, campaign, language(settings.lang))
    return DONE if decision.outcome == OUTCOME_APPROVED else REFUSED


def release(
    reservation: Reservation,
    *,
    request_id: RequestId = None,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    lang: Language = None,
    as_json: AsJson = False,
) -> int:
    """Give a reservation up. One that is over or was released is no error: nothing is held any more."""
    settings = settings_of(server=server, program=program, tls_ca=tls_ca, lang=lang)
    from redemption.client import new_request_id
    from redemption.v1.outcome_pb2 import OUTCOME_APPROVED
    from redemption.v1.redemption_service_pb2 import ReleaseRequest

    request = ReleaseRequest(
        program=settings.program, request_id=request_id or new_request_id(), reservation_id=reservation.strip()
    )
    with connected(settings, request_id=request.request_id) as client:
        response = client.release(request)
    released = response.outcome == OUTCOME_APPROVED
    if as_json:
        print_message(response)
    elif released:
        say("released: this reservation holds nothing any more", "green")
    else:
        _print_not_released(response, language(settings.lang))
    return DONE if released else REFUSED


def _print_not_released(response: "ReleaseResponse", lang: "Lang") -> None:
    from redemption.cli.output.decision import say_refusal
    from redemption.v1.decision_pb2 import Decision, Detail, TokenVerdict
    from redemption.v1.order_pb2 import Order

    # What is used already was used by the order of the reservation: nobody else can have what it holds.
    outcome, disposition = response.outcome, response.disposition
    verdict = TokenVerdict(outcome=outcome, disposition=disposition, detail=Detail(same_order=True))
    say_refusal(Decision(outcome=outcome, disposition=disposition, verdicts=[verdict]), Order(), lang)


def _ttl(text: str | None) -> "Duration | None":
    if text is None:
        return None
    from redemption.cli.input.spans import span

    try:
        return span(text)
    except ValueError as error:
        raise Stop(BAD_INPUT, f"--ttl: {error}") from error


def _print_confirmed(decision: "Decision", campaign: "Campaign | None", lang: "Lang") -> None:
    """Print what a confirmation says; ``campaign``: of its first coupon, for the currency."""
    from redemption.cli.output.decision import outcome_name, say_refusal
    from redemption.client import format_money
    from redemption.v1.order_pb2 import Order
    from redemption.v1.outcome_pb2 import OUTCOME_APPROVED

    currency = campaign.currency_code if campaign else ""
    if decision.outcome == OUTCOME_APPROVED:
        say(f"{outcome_name(decision.outcome)}   {format_money(-decision.discount_minor, currency)}", "green")
    else:
        say_refusal(decision, Order(currency_code=currency), lang)
    for verdict in decision.verdicts:
        if verdict.redemption_id:
            say(f"receipt    {verdict.redemption_id}")
