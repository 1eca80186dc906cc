"""``redemption redeem``: uses coupons on an order, and prints the decision."""
# ruff: noqa: PLC0415 - gRPC and rich are imported when a call is made, so that help is quick.

from time import perf_counter
from typing import Annotated

import typer

from redemption.cli.exits import DONE, REFUSED
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
from redemption.cli.output.screen import print_message
from redemption.cli.server_calls import connected


def redeem(
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
    request_id: RequestId = None,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    lang: Language = None,
    as_json: AsJson = False,
) -> int:
    """Use coupons on an order: all of them, or none."""
    settings = settings_of(server=server, program=program, tls_ca=tls_ca, lang=lang)
    typed = Typed(order, spend, customer, currency, order_file, person, device, network, payment)
    checkout = checkout_of(typed, tokens, program=program, program_default=settings.program)

    from redemption.cli.output.decision import print_decision
    from redemption.client import new_request_id
    from redemption.v1.outcome_pb2 import OUTCOME_APPROVED
    from redemption.v1.redemption_service_pb2 import RedeemRequest

    request = RedeemRequest(request_id=request_id or new_request_id(), checkout=checkout)
    with connected(settings, request_id=request.request_id) as client:
        begun = perf_counter()
        response = client.redeem(request)
        elapsed_seconds = perf_counter() - begun
    if as_json:
        print_message(response)
    else:
        print_decision(response.decision, checkout, language(settings.lang), elapsed_seconds)
    return DONE if response.decision.outcome == OUTCOME_APPROVED else REFUSED
