"""Builds a Checkout: tokens, and an order of one line from flags or a whole order from a file."""
# ruff: noqa: PLC0415 - protobuf is imported when a call is made, so that help is quick.

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

import typer

from redemption.cli.exits import BAD_INPUT, Stop

if TYPE_CHECKING:
    from redemption.v1.order_pb2 import Checkout

_CURRENCY = "CNY"

OrderId: TypeAlias = Annotated[str | None, typer.Option(metavar="ID", help="The order.")]
Spend: TypeAlias = Annotated[str | None, typer.Option(metavar="SUM", help="What its goods cost, such as 238.00.")]
CustomerId: TypeAlias = Annotated[str | None, typer.Option(metavar="ID", help="Who buys. [a guest]")]
Currency: TypeAlias = Annotated[str | None, typer.Option(metavar="CODE", help=f"Of the sum. [{_CURRENCY}]")]
PersonId: TypeAlias = Annotated[str | None, typer.Option(metavar="ID", help="The natural person behind the account.")]
Device: TypeAlias = Annotated[str | None, typer.Option(metavar="ID", help="Risk signal: the device.")]
Network: TypeAlias = Annotated[str | None, typer.Option(metavar="ADDRESS", help="Risk signal: the address.")]
Payment: TypeAlias = Annotated[str | None, typer.Option(metavar="ID", help="Risk signal: the payment instrument.")]
OrderFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The whole order instead: a Checkout of the contract in YAML or JSON."),
]


class Typed(NamedTuple):
    """An order as it was typed: by flags, or by a file."""

    order: str | None
    spend: str | None
    customer: str | None
    currency: str | None
    order_file: Path | None
    person: str | None = None
    device: str | None = None
    network: str | None = None
    payment: str | None = None


def checkout_of(typed: Typed, tokens: Iterable[str], *, program: str | None, program_default: str) -> "Checkout":
    """Return the checkout for a quote or a redeem.

    Args:
        typed: The order.
        tokens: The coupons.
        program: The program that was typed; it overrides the program in the file.
        program_default: The program if neither names one.

    Raises:
        Stop: Something is missing or wrong.
    """
    checkout = _from_flags(typed) if typed.order_file is None else _from_file(typed.order_file, typed)
    checkout.program = program or checkout.program or program_default
    checkout.tokens.extend(token.strip() for token in tokens)  # a pasted line may end with a line break
    return checkout


def _from_flags(typed: Typed) -> "Checkout":
    """Return an order of one line."""
    from redemption.client import minor_units
    from redemption.v1.order_pb2 import Checkout, Customer, Line, Order, RiskContext

    if typed.order is None or typed.spend is None:
        missing = "--order" if typed.order is None else "--spend"
        raise Stop(BAD_INPUT, f"{missing} is missing: give --order ID --spend SUM, or --order-file FILE")
    currency = typed.currency or _CURRENCY
    try:
        amount_minor = minor_units(typed.spend, currency)
    except ValueError as error:
        raise Stop(BAD_INPUT, f"--spend: {error}") from error
    line = Line(line_id="1", quantity=1, amount_minor=amount_minor)
    return Checkout(
        order=Order(order_id=typed.order, currency_code=currency, lines=[line]),
        customer=Customer(customer_id=typed.customer, person_id=typed.person)
        if typed.customer or typed.person
        else None,
        risk=RiskContext(device_id=typed.device, network_address=typed.network, payment_fingerprint=typed.payment)
        if typed.device or typed.network or typed.payment
        else None,
    )


def _from_file(file: Path, typed: Typed) -> "Checkout":
    from redemption.cli.input.order_file import read_checkout

    given = [flag for flag, value in typed._asdict().items() if flag != "order_file" and value is not None]
    if given:
        raise Stop(BAD_INPUT, f"--{given[0]} and --order-file exclude each other: the file has the whole order")
    return read_checkout(file)
