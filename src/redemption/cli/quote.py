"""``redemption quote``: what coupons would take off an order, and which of them to use."""
# ruff: noqa: PLC0415 - gRPC and rich are imported when a call is made, so that help is quick.

import datetime as dt
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redemption.cli.exits import BAD_INPUT, DONE, REFUSED, BadFile, Stop
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
from redemption.cli.input.file_bytes import read_bytes
from redemption.cli.input.file_text import file_text
from redemption.cli.input.options import AsJson, Language, Program, Server, TlsCa, language, settings_of
from redemption.cli.output.screen import print_message
from redemption.cli.server_calls import connected

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from redemption.client import RedemptionClient
    from redemption.v1.campaign_pb2 import Campaign
    from redemption.v1.redemption_service_pb2 import QuoteResponse

_TOKENS_BYTES_MAX = 64 * 1024
_HEADING = "token"  # heading of the first column in a file of ``redemption mint``


def quote(
    tokens: Annotated[
        list[str] | None, typer.Argument(metavar="TOKEN", help="The coupons, up to 100.", show_default=False)
    ] = None,
    *,
    tokens_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="More coupons, one a line, as mint writes them; - reads standard input."),
    ] = None,
    order: OrderId = None,
    spend: Spend = None,
    customer: CustomerId = None,
    currency: Currency = None,
    order_file: OrderFile = None,
    person: PersonId = None,
    device: Device = None,
    network: Network = None,
    payment: Payment = None,
    best: Annotated[bool, typer.Option("--best", help="Choose the combination that takes most off.")] = False,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="At another moment, such as 2026-11-11T20:00+08:00; without an offset in the campaigns' zone. [now]",
        ),
    ] = None,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    lang: Language = None,
    as_json: AsJson = False,
) -> int:
    """Say what coupons would take off an order, without using them."""
    settings = settings_of(server=server, program=program, tls_ca=tls_ca, lang=lang)
    moment = None if at is None else _moment(at, dt.UTC)  # so that a wrong time is refused before the first call
    coupons = [*(tokens or ()), *(() if tokens_file is None else _tokens(tokens_file))]
    if not coupons:
        raise Stop(BAD_INPUT, "there are no coupons: give TOKENs, or --tokens-file FILE")
    typed = Typed(order, spend, customer, currency, order_file, person, device, network, payment)
    checkout = checkout_of(typed, coupons, program=program, program_default=settings.program)

    from redemption.cli.output.quote import print_quote
    from redemption.v1.outcome_pb2 import OUTCOME_APPROVED
    from redemption.v1.redemption_service_pb2 import QuoteRequest

    request = QuoteRequest(checkout=checkout, choose_best=best, with_allocations=True)
    local = at is not None and _is_local(at)
    if moment is not None and not local:
        request.at.CopyFrom(moment)
    with connected(settings) as client:
        response = client.quote(request)
        campaigns = {} if as_json and not local else _campaigns(client, checkout.program, response)
        if at is not None and local:
            request.at.CopyFrom(_moment(at, _zone(campaigns, at)))
            response = client.quote(request)
    if as_json:
        print_message(response)
    else:
        print_quote(request, response, campaigns, language(settings.lang))
    return DONE if response.together.outcome == OUTCOME_APPROVED else REFUSED


def _tokens(file: Path) -> Iterator[str]:
    """Yield the coupons of a file: the first column of each line."""
    standard_input = str(file) == "-"
    name = "standard input" if standard_input else str(file)
    if standard_input:
        content = sys.stdin.buffer.read(_TOKENS_BYTES_MAX + 1)
        if len(content) > _TOKENS_BYTES_MAX:
            raise BadFile(f"{name}: is larger than {_TOKENS_BYTES_MAX // 1024} KiB")
    else:
        content = read_bytes(file, bytes_max=_TOKENS_BYTES_MAX)
    for number, line in enumerate(file_text(name, content, piped=standard_input).splitlines()):
        token = line.partition(",")[0].strip()
        if token and not (number == 0 and token == _HEADING):
            yield token


def _moment(text: str, zone: dt.tzinfo) -> "Timestamp":
    from redemption.cli.input.instants import instant

    try:
        return instant(text, zone)
    except ValueError as error:
        raise Stop(BAD_INPUT, f"--at: {error}") from error


def _is_local(text: str) -> bool:
    from redemption.cli.input.instants import INSTANT

    found = INSTANT.fullmatch(text)
    return found is not None and not found["offset"]


def _campaigns(client: "RedemptionClient", program: str, response: "QuoteResponse") -> "dict[int, Campaign]":
    """Return the campaigns of the coupons, by number."""
    from redemption.v1.campaign_service_pb2 import GetCampaignRequest

    numbers = sorted({verdict.campaign for verdict in response.alone if verdict.campaign})
    return {
        number: client.get_campaign(GetCampaignRequest(program=program, number=number)).campaign for number in numbers
    }


def _zone(campaigns: "Mapping[int, Campaign]", at: str) -> dt.tzinfo:
    """Return the zone of a time without an offset: that of the campaigns.

    Raises:
        Stop: The campaigns have different zones.
    """
    from zoneinfo import ZoneInfo

    zones = sorted({campaign.time_zone for campaign in campaigns.values()})
    if len(zones) > 1:
        raise Stop(
            BAD_INPUT, f"--at: the coupons' campaigns are in {' and '.join(zones)}; add an offset, such as {at}+08:00"
        )
    # Without a campaign no coupon is valid at any time, so the zone does not matter.
    return ZoneInfo(zones[0]) if zones else dt.UTC
