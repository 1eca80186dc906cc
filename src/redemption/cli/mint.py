"""``redemption mint``: makes coupons or codes, for the screen or for a file, which is complete or does not exist."""
# ruff: noqa: PLC0415 - gRPC and rich are imported when a call is made, so that help is quick.

import contextlib
import csv
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from redemption.cli.exits import BAD_INPUT, DONE, FAILED, INTERRUPTED, Stop
from redemption.cli.input.options import AsJson, Program, RequestId, Server, TlsCa, settings_of
from redemption.cli.output.screen import say, stderr
from redemption.cli.server_calls import Unanswered, campaign_called, connected

if TYPE_CHECKING:
    from redemption.client import RedemptionClient
    from redemption.v1.campaign_pb2 import Campaign
    from redemption.v1.issuance_service_pb2 import MintedToken, MintRequest

# Each round includes the channel's own retries.
_ROUNDS_WITHOUT_PROGRESS_MAX = 2
_PAUSE_SECONDS = 0.5


class Format(StrEnum):
    """The format of the output: a table with a heading, one JSON object in each line, or only the tokens."""

    CSV = "csv"
    JSONL = "jsonl"
    TXT = "txt"


_BY_SUFFIX = {".jsonl": Format.JSONL, ".ndjson": Format.JSONL, ".txt": Format.TXT}


def mint(
    *,
    campaign: Annotated[str, typer.Option(metavar="N|NAME", help="Of which campaign, by number or name.")],
    count: Annotated[int, typer.Option(metavar="N", help="How many; at most 1,000,000.", min=1, max=1_000_000)],
    offer: Annotated[int, typer.Option(metavar="N", help="Which of its offers, from 0.", min=0, max=99)] = 0,
    customer: Annotated[
        str | None, typer.Option(metavar="ID", help="Bind them to a customer. [anyone can use them]")
    ] = None,
    not_before: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Valid from, such as 2026-06-18T20:00+08:00; without an offset in the campaign's zone. "
            "[as the campaign says]",
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="Valid until before, in the same form. [as the campaign says]")
    ] = None,
    codes: Annotated[
        bool, typer.Option("--codes", help="Exchange codes to type, which claim turns into coupons.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a file instead of the screen.")] = None,
    output_format: Annotated[
        Format | None,
        typer.Option("--format", help="csv, jsonl or txt. [csv, or by the file's name]", metavar="FORMAT"),
    ] = None,
    request_id: RequestId = None,
    skip: Annotated[
        int,
        typer.Option(metavar="N", help="Leave out this many, of a request that was made before.", min=0, max=1_000_000),
    ] = 0,
    server: Server = None,
    program: Program = None,
    tls_ca: TlsCa = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if there is one.")] = False,
    as_json: AsJson = False,
) -> int:
    """Make coupons.

    The same --request-id gives the same coupons again, never more.
    """
    settings = settings_of(server=server, program=program, tls_ca=tls_ca)
    if out is not None and out.exists():
        _require_replaceable(out, force=force)
    if output_format is None:
        suffix = out.suffix if out is not None else ""
        output_format = Format.JSONL if as_json else _BY_SUFFIX.get(suffix, Format.CSV)
    from redemption.client import new_request_id
    from redemption.v1.issuance_service_pb2 import MINT_FORM_CODE, MINT_FORM_TOKEN, MintRequest

    request = MintRequest(
        program=settings.program,
        request_id=request_id or new_request_id(),
        offer_index=offer,
        count=count,
        customer_id=customer,
        skip=skip,
        form=MINT_FORM_CODE if codes else MINT_FORM_TOKEN,
    )
    received = _Received()
    try:
        with connected(settings) as client:
            definition = campaign_called(client, settings.program, campaign)
            request.campaign = definition.number
            _set_validity(request, definition, not_before, expires)
            if out is None:
                _write(_minted(client, request, received), sys.stdout, output_format, codes=codes)
            else:
                with _complete_file(out, replace=force) as file:
                    minted = _with_progress(_minted(client, request, received), count - skip)
                    _write(minted, file, output_format, codes=codes)
    except Unanswered as error:
        raise error.with_hint(_how_to_resume(request, received, out)) from error
    except KeyboardInterrupt as interrupt:
        if not request.campaign:
            raise
        # The serials are issued already: without the request id these coupons would be lost.
        raise Stop(INTERRUPTED, f"interrupted; {_how_to_resume(request, received, out)}") from interrupt
    except OSError as error:
        # It is not known how many coupons were written before the error.
        error.add_note(f"for the same coupons again: --request-id {request.request_id}")
        raise
    if out is not None:
        what = f"{'code' if codes else 'coupon'}{'' if received.count == 1 else 's'}"
        say(f"minted {received.count:,} {what} of campaign {definition.number} {definition.name} into {out}")
    return DONE


class _Received:
    """How many coupons were received."""

    count = 0


def _minted(client: "RedemptionClient", request: "MintRequest", received: _Received) -> Iterator["MintedToken"]:
    """Yield the coupons; when the stream breaks, call again for the rest, as long as each call brings some."""
    import grpc

    from redemption.client import CallFailed

    first = request.skip
    empty_rounds = 0
    while True:
        request.skip = first + received.count
        before = received.count
        try:
            for part in client.mint(request):
                for token in part.tokens:
                    received.count += 1
                    yield token
        except CallFailed as error:
            empty_rounds = 0 if received.count > before else empty_rounds + 1
            if empty_rounds == _ROUNDS_WITHOUT_PROGRESS_MAX or error.code is not grpc.StatusCode.UNAVAILABLE:
                raise
            time.sleep(_PAUSE_SECONDS)
            continue
        if received.count < request.count - first:
            raise Stop(FAILED, f"the server sent {received.count} coupons and said that these are all {request.count}")
        return


def _set_validity(request: "MintRequest", campaign: "Campaign", not_before: str | None, expires: str | None) -> None:
    from zoneinfo import ZoneInfo

    from redemption.cli.input.instants import instant

    zone = ZoneInfo(campaign.time_zone)
    for option, text, field in (
        ("--not-before", not_before, request.not_before),
        ("--expires", expires, request.expire_time),
    ):
        if text is not None:
            try:
                field.CopyFrom(instant(text, zone))
            except ValueError as error:
                raise Stop(BAD_INPUT, f"{option}: {error}") from error


def _write(tokens: Iterator["MintedToken"], file: TextIO, output_format: Format, *, codes: bool) -> None:
    name = "code" if codes else "token"
    rows = ((token.code if codes else token.token, token.serial) for token in tokens)
    if output_format is Format.JSONL:
        file.writelines(json.dumps({name: text, "serial": serial}) + "\n" for text, serial in rows)
    elif output_format is Format.TXT:
        file.writelines(f"{text}\n" for text, _ in rows)
    else:
        table = csv.writer(file, lineterminator="\n")
        first = list(islice(rows, 1))  # before the heading: with no coupons but an error, there is none either
        table.writerow([name, "serial"])
        table.writerows(chain(first, rows))
    file.flush()


def _with_progress(tokens: Iterator["MintedToken"], total: int) -> Iterator["MintedToken"]:
    if not stderr().is_terminal:
        yield from tokens
        return
    from rich.progress import track

    yield from track(tokens, description="minting", total=total, console=stderr(), transient=True)


def _require_replaceable(out: Path, *, force: bool) -> None:
    if not force:
        raise Stop(BAD_INPUT, f"{out}: exists already; choose another name, or replace it with --force")
    if not out.is_file():
        raise Stop(BAD_INPUT, f"{out}: is no file that can be replaced; without --out, coupons are printed")


@contextmanager
def _complete_file(path: Path, *, replace: bool) -> Iterator[TextIO]:
    """Yield a file that gets its name only when it is complete and on disk. It is private: coupons are money."""
    path = path.resolve()  # for a symbolic link, its target is replaced
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise Stop(BAD_INPUT, f"{path}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replace:
            Path(temporary).replace(path)
        else:
            # Unlike a rename, a link fails if another file was made there meanwhile.
            os.link(temporary, path)
    except OSError as error:
        raise Stop(BAD_INPUT, f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()


def _how_to_resume(request: "MintRequest", received: _Received, out: Path | None) -> str:
    again = f"--request-id {request.request_id}"
    if out is not None:
        return f"{out} was not written; for the same coupons again: {again}"
    return f"{received.count} coupons were printed; for the rest: {again} --skip {received.count + request.skip}"
