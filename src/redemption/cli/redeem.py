"""``redemption redeem``: use coupons on an order, and say what became of them."""
# ruff: noqa: PLC0415 - gRPC and rich are imported when a call is made, so that help is quick.

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from redemption.cli.asking import Unanswered, asking
from redemption.cli.exits import BAD_INPUT, DONE, REFUSED, Stop
from redemption.cli.language import language
from redemption.cli.options import AsJson, Language, Program, RequestId, Server, TlsCa, settings_of
from redemption.cli.screen import print_message

if TYPE_CHECKING:
    from redemption.v1.order_pb2 import Checkout

_CURRENCY = "CNY"


def redeem(
    tokens: Annotated[list[str], typer.Argument(metavar="TOKEN", help="The coupons.", show_default=False)],
    *,
    order: Annotated[str | None, typer.Option(metavar="ID", help="The order.")] = None,
    spend: Annotated[str | None, typer.Option(metavar="SUM", help="What its goods cost, such as 238.00.")] = None,
    customer: Annotated[str | None, typer.Option(metavar="ID", help="Who buys. [a guest]")] = None,
    currency: Annotated[str | None, typer.Option(metavar="CODE", help=f"Of the sum. [{_CURRENCY}]")] = None,
    order_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The whole order instead: a Checkout of the contract in YAML or JSON."),
    ] = None,
    request_id: RequestId = None,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    lang: Language = None,
    as_json: AsJson = False,
) -> int:
    """Use coupons on an order: all of them, or none."""
    settings = settings_of(server=server, program=program, tls_ca=tls_ca, lang=lang)
    flags = {"--order": order, "--spend": spend, "--customer": customer, "--currency": currency}
    checkout = _from_flags(flags) if order_file is None else _from_file(order_file, flags)

    from redemption.cli.decision import print_decision
    from redemption.client import new_request_id
    from redemption.v1.outcome_pb2 import OUTCOME_APPROVED
    from redemption.v1.redemption_service_pb2 import RedeemRequest

    checkout.program = program or checkout.program or settings.program
    checkout.tokens.extend(token.strip() for token in tokens)  # a pasted line brings its end along
    request = RedeemRequest(request_id=request_id or new_request_id(), checkout=checkout)
    try:
        with asking(settings) as client:
            begun = perf_counter()
            response = client.redeem(request)
            elapsed_seconds = perf_counter() - begun
    except Unanswered as error:
        raise error.with_hint(f"to ask again safely: --request-id {request.request_id}") from error
    if as_json:
        print_message(response)
    else:
        print_decision(response.decision, checkout, language(settings.lang), elapsed_seconds)
    return DONE if response.decision.outcome == OUTCOME_APPROVED else REFUSED


def _from_flags(flags: dict[str, str | None]) -> "Checkout":
    """Return an order of one line."""
    from redemption.client import minor_units
    from redemption.v1.order_pb2 import Checkout, Customer, Line, Order

    order, spend, customer = flags["--order"], flags["--spend"], flags["--customer"]
    if order is None or spend is None:
        missing = "--order" if order is None else "--spend"
        raise Stop(BAD_INPUT, f"{missing} is missing: give --order ID --spend SUM, or --order-file FILE")
    currency = flags["--currency"] or _CURRENCY
    try:
        amount_minor = minor_units(spend, currency)
    except ValueError as error:
        raise Stop(BAD_INPUT, f"--spend: {error}") from error
    line = Line(line_id="1", quantity=1, amount_minor=amount_minor)
    return Checkout(
        order=Order(order_id=order, currency_code=currency, lines=[line]),
        customer=Customer(customer_id=customer) if customer else None,
    )


def _from_file(file: Path, flags: dict[str, str | None]) -> "Checkout":
    from redemption.cli.order_file import read_checkout

    given = [flag for flag, value in flags.items() if value is not None]
    if given:
        raise Stop(BAD_INPUT, f"{given[0]} and --order-file exclude each other: the file has the whole order")
    return read_checkout(file)
