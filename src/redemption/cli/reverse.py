"""``redemption reverse``: gives a redemption back, wholly or by lines."""
# ruff: noqa: PLC0415 - gRPC and rich are imported when a call is made, so that help is quick.

import json
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redemption.cli.exits import BAD_INPUT, DONE, REFUSED, Stop
from redemption.cli.input.file_bytes import read_bytes
from redemption.cli.input.options import AsJson, Language, Program, RequestId, Server, TlsCa, language, settings_of
from redemption.cli.output.screen import print_message, say
from redemption.cli.server_calls import connected

if TYPE_CHECKING:
    from redemption.client import Lang, RedemptionClient
    from redemption.v1.redemption_service_pb2 import ReverseLine, ReverseResponse

_FILE_BYTES_MAX = 8 * 1024 * 1024


def reverse(
    receipt: Annotated[str, typer.Argument(metavar="RECEIPT", help="Of the redemption.", show_default=False)],
    *,
    order: Annotated[str, typer.Option(metavar="ID", help="The order that used the coupon.", show_default=False)],
    line: Annotated[
        list[str] | None,
        typer.Option(metavar="LINE[=SUM]", help="A line that is returned, or a part of it; may be repeated. [all]"),
    ] = None,
    decision_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What redeem --json or reserve --json printed; needed with --line."),
    ] = None,
    unpaid: Annotated[bool, typer.Option("--unpaid", help="The order was never paid.")] = False,
    request_id: RequestId = None,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    lang: Language = None,
    as_json: AsJson = False,
) -> int:
    """Give a redemption back: all of it, or some lines of its order."""
    settings = settings_of(server=server, program=program, tls_ca=tls_ca, lang=lang)
    if line and decision_file is None:
        raise Stop(BAD_INPUT, "--decision-file is missing: it says what each line had of the discount")
    settlement = b"" if decision_file is None else _settlement(decision_file)
    from redemption.client import new_request_id
    from redemption.v1.outcome_pb2 import OUTCOME_APPROVED, OUTCOME_REDEMPTION_NOT_FOUND
    from redemption.v1.redemption_service_pb2 import ReverseRequest

    request = ReverseRequest(
        program=settings.program,
        request_id=request_id or new_request_id(),
        order_id=order,
        redemption_id=receipt.strip(),
        settlement=settlement,
        unpaid=unpaid,
    )
    with connected(settings, request_id=request.request_id) as client:
        has_sums = any("=" in each for each in line or ())
        currency = _currency(client, settings.program, request.redemption_id) if has_sums else ""
        request.lines.extend(_lines(line or (), currency))
        response = client.reverse(request)
        if not as_json and not currency and response.outcome != OUTCOME_REDEMPTION_NOT_FOUND:
            currency = _currency(client, settings.program, request.redemption_id)
    if as_json:
        print_message(response)
    else:
        _print(response, currency, language(settings.lang))
    return DONE if response.outcome == OUTCOME_APPROVED else REFUSED


def _settlement(file: Path) -> bytes:
    """Return the settlement in the JSON of an answer."""
    try:
        answer = json.loads(read_bytes(file, bytes_max=_FILE_BYTES_MAX))
        settlement = b64decode(answer["decision"]["settlement"], validate=True)
    except (ValueError, KeyError, TypeError, NotBase64):
        settlement = b""
    if not settlement:
        raise Stop(BAD_INPUT, f"{file}: has no settlement; give what redeem --json or reserve --json printed")
    return settlement


def _currency(client: "RedemptionClient", program: str, receipt: str) -> str:
    """Return the currency of a redemption."""
    from redemption.v1.campaign_service_pb2 import GetCampaignRequest
    from redemption.v1.redemption_service_pb2 import GetRedemptionRequest

    found = client.get_redemption(GetRedemptionRequest(program=program, redemption_id=receipt)).redemptions[0]
    return client.get_campaign(GetCampaignRequest(program=program, number=found.campaign)).campaign.currency_code


def _lines(typed: Sequence[str], currency: str) -> "list[ReverseLine]":
    from redemption.client import minor_units
    from redemption.v1.redemption_service_pb2 import ReverseLine

    lines = []
    for text in typed:
        line_id, has_sum, amount = text.rpartition("=")
        try:
            amount_minor = minor_units(amount, currency) if has_sum else None
        except ValueError as error:
            raise Stop(BAD_INPUT, f"--line {text}: {error}") from error
        if amount_minor == 0:
            raise Stop(BAD_INPUT, f"--line {text}: must be more than 0; leave the sum out to return all of the line")
        lines.append(ReverseLine(line_id=line_id if has_sum else amount, amount_minor=amount_minor))
    return lines


def _print(response: "ReverseResponse", currency: str, lang: "Lang") -> None:
    from redemption.cli.output.decision import say_outcome
    from redemption.client import format_money
    from redemption.v1.outcome_pb2 import OUTCOME_APPROVED

    in_all = f"{format_money(response.total_reversed_minor, currency)} of its discount in all"
    if response.outcome == OUTCOME_APPROVED:
        again = "; the coupon can be used again" if response.restored else "; the coupon stays used"
        say(f"GIVEN BACK   {format_money(response.reversed_minor, currency)}   {in_all}{again}", "green")
        for part in response.allocations:
            say(f"line {part.line_id}   {format_money(part.amount_minor, currency)}")
        return
    more = []
    if response.exceeded_line_id:
        more.append(f"{format_money(response.left_minor, currency)} is left of line {response.exceeded_line_id}")
    if response.total_reversed_minor:
        more.append(f"given back so far: {in_all}")
    say_outcome(response.outcome, response.disposition, lang, *more)
