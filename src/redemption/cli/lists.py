"""``redemption deny`` and ``redemption allow``: whom a program refuses, and whom no rule counts."""
# ruff: noqa: PLC0415 - gRPC and rich are imported when a call is made, so that help is quick.

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from redemption.cli.exits import DONE
from redemption.cli.input.options import AsJson, Program, Server, TlsCa, examples, settings_of
from redemption.cli.input.parsing import Group

ListName: TypeAlias = Literal["deny", "allow"]
KindName: TypeAlias = Literal["customer", "person", "device", "network", "payment", "coupon"]

Customers: TypeAlias = Annotated[list[str] | None, typer.Option("--customer", metavar="ID", help="This customer.")]
Persons: TypeAlias = Annotated[list[str] | None, typer.Option("--person", metavar="ID", help="This natural person.")]
Devices: TypeAlias = Annotated[list[str] | None, typer.Option("--device", metavar="ID", help="This device.")]
Networks: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--network", metavar="ADDRESS", help="This address, or a range such as 192.0.2.0/24."),
]
Payments: TypeAlias = Annotated[
    list[str] | None, typer.Option("--payment", metavar="ID", help="This payment instrument.")
]
Coupons: TypeAlias = Annotated[
    list[str] | None, typer.Option("--coupon", metavar="CAMPAIGN:SERIAL", help="This coupon; deny only.")
]
_NoCoupons: TypeAlias = Annotated[list[str] | None, typer.Option("--coupon", hidden=True)]
"""Typed all the same, it is refused with what to do instead."""
Ids: TypeAlias = Annotated[
    list[str] | None, typer.Option("--id", metavar="KIND:ID", help="As list and fraud top print it.")
]
SubjectsFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="One a line, such as 'device d-123'; - reads standard input. # is a comment."),
]
Kind: TypeAlias = Annotated[
    KindName | None, typer.Option(metavar="KIND", help="What every line of the file is: then a line is the id alone.")
]

_PRIVACY = "Ids of people that are typed stay in the shell's history: give them with --file -."

deny = typer.Typer(cls=Group)
allow = typer.Typer(cls=Group)


def _make_add(group: typer.Typer, name: ListName) -> None:
    """Make the command that adds to a list."""

    @group.command(
        epilog=examples(
            f"redemption {name} add --device d-123 --reason 'script' --expires 7d",
            f"redemption {name} add --network 192.0.2.0/24",
            f"redemption {name} add --id device:0123456789abcdef",
            f"redemption {name} add --file - --kind customer < ids.txt",
        ),
        help=f"Add to the {name} list; who is there already gets the new reason and expiry.\n\n"
        "Options that name somebody may be repeated. Nothing is sent if one of them, or a line of the file, is "
        f"wrong. Both lists of a program have room for 100,000 entries.\n\n{_PRIVACY}",
    )
    def add(
        *,
        customer: Customers = None,
        person: Persons = None,
        device: Devices = None,
        network: Networks = None,
        payment: Payments = None,
        coupon: (Coupons if name == "deny" else _NoCoupons) = None,  # type: ignore[valid-type]
        ids: Ids = None,
        file: SubjectsFile = None,
        kind: Kind = None,
        reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for people.", show_default=False)] = "",
        expires: Annotated[
            str | None,
            typer.Option(
                metavar="TIME", help="Until then: 7d, or an instant such as 2026-11-12T00:00+08:00. [for good]"
            ),
        ] = None,
        skip: Annotated[
            int, typer.Option(metavar="N", help="Leave out the first N; an interrupted command says it.", min=0)
        ] = 0,
        yes: Annotated[bool, typer.Option("--yes", help="Add also ranges of IPv6 wider than /16.")] = False,
        server: Server = None,
        program: Program = None,
        tls_ca: TlsCa = None,
        as_json: AsJson = False,
    ) -> int:
        settings = settings_of(server=server, program=program, tls_ca=tls_ca)
        from redemption.cli.list_runs import Whom, run_add

        whom = Whom(_options(customer, person, device, network, payment, coupon), file, kind, ids or ())
        run_add(settings, name, whom, reason=reason, expires=expires, skip=skip, wide=yes, as_json=as_json)
        return DONE


def _make_remove(group: typer.Typer, name: ListName) -> None:
    """Make the command that removes from a list."""

    @group.command(
        epilog=examples(
            f"redemption {name} remove --device d-123",
            f"redemption {name} remove --id device:0123456789abcdef",
            f"redemption {name} remove --file ids.txt",
        ),
        help=f"Remove from the {name} list; who is not there is no error.\n\n"
        "Options that name somebody may be repeated. Nothing is sent if one of them, or a line of the file, is "
        f"wrong.\n\n{_PRIVACY}",
    )
    def remove(
        *,
        customer: Customers = None,
        person: Persons = None,
        device: Devices = None,
        network: Networks = None,
        payment: Payments = None,
        coupon: Coupons = None,
        ids: Ids = None,
        file: SubjectsFile = None,
        kind: Kind = None,
        server: Server = None,
        program: Program = None,
        tls_ca: TlsCa = None,
        as_json: AsJson = False,
    ) -> int:
        settings = settings_of(server=server, program=program, tls_ca=tls_ca)
        from redemption.cli.list_runs import Whom, run_remove

        whom = Whom(_options(customer, person, device, network, payment, coupon), file, kind, ids or ())
        run_remove(settings, name, whom, as_json=as_json)
        return DONE


def _make_list(group: typer.Typer, name: ListName) -> None:
    """Make the command that lists a list."""

    @group.command(
        "list",
        epilog=examples(f"redemption {name} list", f"redemption {name} list --json"),
        help=f"List the entries of the {name} list. People are told by digests: see redemption fraud who.",
    )
    def list_(
        *,
        server: Server = None,
        program: Program = None,
        tls_ca: TlsCa = None,
        as_json: AsJson = False,
    ) -> int:
        settings = settings_of(server=server, program=program, tls_ca=tls_ca)
        from redemption.cli.list_runs import run_list

        run_list(settings, name, as_json=as_json)
        return DONE


def _options(*texts: list[str] | None) -> dict[str, Sequence[str]]:
    """Return the options that name somebody, by their kinds."""
    kinds = ("customer", "person", "device", "network", "payment", "coupon")
    return {kind: each or () for kind, each in zip(kinds, texts, strict=True)}


for _group, _name in ((deny, "deny"), (allow, "allow")):
    for _make in (_make_add, _make_remove, _make_list):
        _make(_group, _name)  # type: ignore[arg-type]
