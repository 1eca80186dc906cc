"""``redemption revoke``: revokes coupons, at once and for good."""
# ruff: noqa: PLC0415 - gRPC and rich are imported when a call is made, so that help is quick.

import re
from typing import TYPE_CHECKING, Annotated

import typer

from redemption.cli.exits import BAD_INPUT, DONE, REFUSED, Stop
from redemption.cli.input.options import AsJson, Program, RequestId, Server, TlsCa, require_consent, settings_of
from redemption.cli.output.screen import print_message, say
from redemption.cli.server_calls import campaign_called, connected

if TYPE_CHECKING:
    from redemption.client import RedemptionClient
    from redemption.v1.issuance_service_pb2 import RevokeRequest

_SERIALS = re.compile(r"(?P<first>[0-9]{1,13})(?:-(?P<last>[0-9]{1,13}))?")


def revoke(
    token: Annotated[str | None, typer.Argument(metavar="TOKEN", help="The coupon.", show_default=False)] = None,
    *,
    campaign: Annotated[str | None, typer.Option(metavar="N|NAME", help="Or: of this campaign …")] = None,
    serials: Annotated[str | None, typer.Option(metavar="N[-N]", help="… these serials, both included")] = None,
    customer: Annotated[
        str | None, typer.Option(metavar="ID", help="… or all that are bound to this customer so far.")
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the record.", show_default=False)] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    request_id: RequestId = None,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    as_json: AsJson = False,
) -> int:
    """Take coupons back, at once and for good. In a terminal it asks first.

    Coupons that were used already stay used: no order changes.
    """
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    given = [name for name, value in (("TOKEN", token), ("--serials", serials), ("--customer", customer)) if value]
    if len(given) != 1:
        problem = f"{given[0]} and {given[1]} exclude each other" if given else "say what to revoke"
        raise Stop(BAD_INPUT, f"{problem}: give TOKEN, or --campaign with --serials N-N or --customer ID")
    if token is None and campaign is None:
        raise Stop(BAD_INPUT, f"--campaign is missing: {given[0]} needs to know of which")
    from redemption.client import new_request_id
    from redemption.v1.issuance_service_pb2 import RevokeRequest
    from redemption.v1.outcome_pb2 import OUTCOME_APPROVED

    request = RevokeRequest(
        program=settings.program, request_id=request_id or new_request_id(), reason=reason, customer_id=customer
    )
    if token is not None:
        request.token = token.strip()  # a pasted line may end with a line break
    elif serials is not None:
        _set_serials(request, serials)
    with connected(settings, request_id=request.request_id) as client:
        what = _what(client, request, campaign)
        require_consent(f"Revoke {what} for good?", yes=yes)
        response = client.revoke(request)
    approved = response.outcome == OUTCOME_APPROVED
    if as_json:
        print_message(response)
    elif approved:
        # The answer does not say which coupons were used already.
        say(f"revoked {what}; what was used already stays used")
    else:
        say(f"TOKEN_INVALID   not a token of program {settings.program}; nothing was revoked", "red")
    return DONE if approved else REFUSED


def _set_serials(request: "RevokeRequest", text: str) -> None:
    found = _SERIALS.fullmatch(text)
    first = int(found["first"]) if found else 0
    last = int(found["last"] or found["first"]) if found else -1
    if last < first:
        raise Stop(
            BAD_INPUT, f"--serials: must be a number such as 17, or a range such as 100-199; it is {text[:40]!r}"
        )
    request.serials.first = first
    request.serials.count = last - first + 1


def _what(client: "RedemptionClient", request: "RevokeRequest", campaign: str | None) -> str:
    """Set the campaign's number in the request, and return in words what is revoked."""
    of = ""
    if campaign is not None:
        definition = campaign_called(client, request.program, campaign)
        request.campaign = definition.number
        of = f" of campaign {definition.number} {definition.name}"
    target = request.WhichOneof("target")
    if target == "token":
        return f"one coupon{of}"
    if target == "serials":
        count = request.serials.count
        return f"{count:,} {'coupon' if count == 1 else 'coupons'}{of}"
    return f"all coupons of customer {request.customer_id}{of}"
