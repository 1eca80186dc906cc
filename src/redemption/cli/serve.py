"""``redemption serve``: runs a server."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from redemption.cli.input.options import Program, settings_of


def serve(
    *,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 takes a free one. [127.0.0.1:50051]"),
    ] = None,
    environment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Part of every signature. [development]")
    ] = None,
    program: Program = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Server processes on the port. [1]")] = None,
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Files of the embedded ledger. [.data]")] = None,
    keyset: Annotated[Path | None, typer.Option(metavar="FILE", help="The signing keys. [development.keyset]")] = None,
    fence: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What this machine remembers of the ledger. [beside the keyset]"),
    ] = None,
    redis_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The ledger, as redis://, rediss:// or unix://; better in the environment, since other "
            "users see a command's flags. [an embedded one]",
        ),
    ] = None,
    durability: Annotated[
        Literal["strict", "fast"] | None,
        typer.Option(metavar="strict|fast", help="On disk before the answer, or within about a second. [strict]"),
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file of the server's certificate chain.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="PEM file of its key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ask clients for a certificate by this authority.")
    ] = None,
    drain_seconds: Annotated[
        float | None, typer.Option(metavar="S", help="How long a stopping server finishes calls. [10]")
    ] = None,
    drain_notice_seconds: Annotated[
        float | None, typer.Option(metavar="S", help="How long it first only tells its health. [0]")
    ] = None,
    transport: Annotated[
        Literal["nghttp2", "grpcio"] | None,
        typer.Option(metavar="nghttp2|grpcio", help="What carries gRPC. [nghttp2]"),
    ] = None,
    concurrent_calls_max: Annotated[
        int | None, typer.Option(metavar="N", help="Calls at once in one process. [4096]")
    ] = None,
    clock_apart_seconds_max: Annotated[
        float | None, typer.Option(metavar="S", help="How far the ledger's clock may be from ours. [5]")
    ] = None,
    outbox_max: Annotated[
        int | None, typer.Option(metavar="N", help="Ledger calls that a program's event stream keeps. [65536]")
    ] = None,
    ledger_memory_max: Annotated[
        int | None, typer.Option(metavar="BYTES", help="Memory of the embedded ledger. [no limit]")
    ] = None,
    insecure: Annotated[
        bool | None, typer.Option("--insecure", help="Serve plain text beyond loopback.", show_default=False)
    ] = None,
    reflection: Annotated[
        bool | None, typer.Option(help="Tell clients the contract. [in development only]", show_default=False)
    ] = None,
) -> int:
    """Run a server until it is stopped.

    Each option can also be set as REDEMPTION_<NAME> in the environment.
    """
    settings = settings_of(
        listen=listen,
        environment=environment,
        program=program,
        workers=workers,
        data_dir=data_dir,
        keyset=keyset,
        fence=fence,
        redis_url=redis_url,
        durability=durability,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        drain_seconds=drain_seconds,
        drain_notice_seconds=drain_notice_seconds,
        transport=transport,
        concurrent_calls_max=concurrent_calls_max,
        clock_apart_seconds_max=clock_apart_seconds_max,
        outbox_max=outbox_max,
        ledger_memory_max=ledger_memory_max,
        insecure=insecure,
        reflection=reflection,
    )
    from redemption import app  # noqa: PLC0415 - the server's parts are imported when one is run

    return app.serve(settings)
