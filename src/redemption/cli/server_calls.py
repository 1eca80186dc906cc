"""Calls a server: a channel for one command, and one clear line for each failure."""
# ruff: noqa: PLC0415 - gRPC costs a tenth of a second, which help does not need.

import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from redemption.cli.exits import BAD_INPUT, FAILED, UNREACHABLE, Stop, code_of_status
from redemption.cli.output.screen import complain
from redemption.cli.tls import handshake_failure, tls_of

if TYPE_CHECKING:
    import grpc

    from redemption.client import CallFailed, Failure, RedemptionClient
    from redemption.settings import Settings
    from redemption.v1.campaign_pb2 import Campaign

_PAGE = 100
# Longer than a checkout's deadline: a person prefers to wait, rather than not to know what was done.
_DEADLINE_SECONDS = 10.0
_LAST_ERROR = re.compile(r"last error: (?:[A-Z_]+: )?(?:ipv[46]:\S+?: )?(?P<cause>.+?)(?: \(\d+\))?$")


class Unanswered(Stop):
    """A call failed.

    Attributes:
        error: Why.
        sent: Whether the call may have reached the server; only then can it have been done.
    """

    def __init__(self, code: int, line: str, error: "CallFailed", *, sent: bool) -> None:
        super().__init__(code, line)
        self.error = error
        self.failure = error.failure
        self.sent = sent

    def with_hint(self, hint: str) -> "Unanswered":
        """Return it with a hint added if it is in doubt whether the call was done."""
        from redemption.client import RequestRejected

        if not self.sent or isinstance(self.error, RequestRejected):
            return self
        return Unanswered(self.code, f"{self}; {hint}", self.error, sent=self.sent)


@contextmanager
def connected(
    settings: "Settings", *, request_id: str | None = None, retries: bool = True
) -> Iterator["RedemptionClient"]:
    """Connect to the server in the settings; yield a client.

    Args:
        settings: The server's address, and TLS.
        request_id: Of the request that may have been done when a call fails; the message then says how to ask again.
        retries: Whether the channel retries calls by itself.

    Raises:
        Unanswered: A call failed; the message is for people.
    """
    # gRPC's own log is for its developers; the error has what a person needs. gRPC reads this when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from redemption.client import CallFailed, RedemptionClient, connect

    sent = False
    try:
        options = () if retries else (("grpc.enable_retries", 0),)
        with connect(
            settings.server, tls=tls_of(settings), deadline_seconds=_DEADLINE_SECONDS, options=options
        ) as channel:
            _warm_up(channel)
            sent = True
            yield RedemptionClient(channel)
    except CallFailed as error:
        unanswered = _unanswered(error, settings, sent=sent)
        raise (
            unanswered.with_hint(f"to ask again safely: --request-id {request_id}") if request_id else unanswered
        ) from error


def _warm_up(channel: "grpc.Channel") -> None:
    """Connect with a health check, so that the time of the next call does not include connecting."""
    import grpc

    from redemption.client import TryAgain, call_failed

    # Watching the channel's connectivity instead makes closing the channel take 0.2 s.
    try:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
        check(b"")
    except grpc.RpcError as error:
        failed = call_failed(error)
        # A server without health, or one that is busy for a moment, may answer the call itself.
        if isinstance(failed, TryAgain) and failed.code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise failed from error


def campaign_called(client: "RedemptionClient", program: str, name_or_number: str) -> "Campaign":
    """Return a campaign by its number or by its name, which is unique in the program.

    Raises:
        CallFailed: There is no campaign with this number.
        Stop: There is no campaign with this name. It ends as for a number, with NOT_FOUND.
    """
    import grpc

    from redemption.client import Failure
    from redemption.v1.campaign_service_pb2 import GetCampaignRequest

    if name_or_number.isascii() and name_or_number.isdecimal() and int(name_or_number) < 2**32:
        return client.get_campaign(GetCampaignRequest(program=program, number=int(name_or_number))).campaign
    name = unicodedata.normalize("NFC", name_or_number)
    named = {campaign.name: campaign for campaign in all_campaigns(client, program)}
    found = named.get(name_or_number) or named.get(name)  # as it was typed, for names from before they had one form
    if found is not None:
        return found
    code = grpc.StatusCode.NOT_FOUND
    problem = f"there is no campaign called {name_or_number!r} in program {program!r}"
    stop = Stop(code_of_status(code.name), f"{code.name}: {problem}")
    stop.failure = Failure(code, problem, reason=code.name)
    raise stop


def all_campaigns(client: "RedemptionClient", program: str) -> Iterator["Campaign"]:
    """Yield the campaigns of a program, in the order of their numbers."""
    from redemption.v1.campaign_service_pb2 import ListCampaignsRequest

    page_token = ""
    while True:
        request = ListCampaignsRequest(program=program, page_size=_PAGE, page_token=page_token)
        page = client.list_campaigns(request)
        yield from page.campaigns
        page_token = page.next_page_token
        if not page_token:
            return


def has_no_campaign(client: "RedemptionClient", program: str) -> bool:
    """Whether a program has no campaign: then its name is a mistake, as a rule."""
    from redemption.v1.campaign_service_pb2 import ListCampaignsRequest

    return not client.list_campaigns(ListCampaignsRequest(program=program, page_size=1)).campaigns


def warn_of_no_campaign(client: "RedemptionClient", program: str) -> None:
    """Print a warning if a program has no campaign; a development server makes the program of any name."""
    if has_no_campaign(client, program):
        complain(f"warning: there is no campaign in program {program}: is it the right program?")


def _unreachable(error: "CallFailed", settings: "Settings") -> str:
    """Return why no connection came about, and what to do."""
    cause, hint = _cause(error.message), "is it running? (redemption serve)"
    if settings.tls_ca is not None:
        cause, hint_of_tls = handshake_failure(cause)
        hint = hint_of_tls or hint
    elif "Socket closed" in cause or "reset by peer" in cause:
        hint = "if it uses TLS, give --tls-ca; or it has too many connections"
    return f"cannot reach the server at {settings.server}: {cause}; {hint}"


def _unanswered(error: "CallFailed", settings: "Settings", *, sent: bool) -> Unanswered:
    from redemption.client import RequestRejected, ServerFailed
    from redemption.client.failure import NO_ANSWER
    from redemption.client.failure import UNREACHABLE as NO_CONNECTION

    failure = error.failure
    status = failure.code.name
    if failure.reason == NO_CONNECTION:
        line = _unreachable(error, settings)
    elif failure.reason == NO_ANSWER:
        line = f"the server at {settings.server} did not answer in time; it is not known whether anything was done"
    else:
        line = "; ".join(filter(None, (f"{status}: {_message(failure)}", failure.remedy)))
    code = code_of_status(status)
    # Not every RESOURCE_EXHAUSTED is an overload: a request or an answer may be too large.
    if code == UNREACHABLE and isinstance(error, RequestRejected):
        code = BAD_INPUT
    elif code == UNREACHABLE and isinstance(error, ServerFailed):
        code = FAILED
    return Unanswered(code, line, error, sent=sent)


def _message(failure: "Failure") -> str:
    if not failure.violations:
        return failure.message
    return "; ".join(f"{violation.field}: {violation.problem}" for violation in failure.violations)


def _cause(message: str) -> str:
    """Return the last part of gRPC's error text: it has the cause."""
    found = _LAST_ERROR.search(message)
    cause = found["cause"] if found else message
    return cause.removeprefix("Failed to connect to remote host: ").removeprefix("connect: ")
