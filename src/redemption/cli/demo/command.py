"""``redemption demo``: a flash sale in the terminal against a private server; it passes or fails."""
# ruff: noqa: PLC0415 - gRPC and rich are imported when the sale begins, so that help is quick.

import contextlib
import os
from typing import Annotated

import typer

from redemption.cli.exits import DONE, REFUSED
from redemption.cli.input.options import AsJson
from redemption.cli.output.screen import print_json, stderr

BUYERS = 5000
COUPONS = 1000


def demo(
    *,
    buyers: Annotated[
        int, typer.Option(metavar="N", help=f"Who comes, one coupon each. [{BUYERS}]", min=1, max=200_000)
    ] = BUYERS,
    coupons: Annotated[
        int, typer.Option(metavar="N", help=f"How many can be redeemed. [{COUPONS}]", min=1, max=200_000)
    ] = COUPONS,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the dice: who clicks twice, and when. [1]")] = 1,
    as_json: AsJson = False,
) -> int:
    """Play a flash sale against a private server.

    With double clicks, lost answers, greedy buyers, replayed and forged coupons; in the end all has to add up.
    """
    # Set before gRPC is imported: its own log would break the progress bar.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from redemption.cli.demo.report import as_dict, print_report
    from redemption.cli.demo.sale import Sale
    from redemption.cli.demo.server import private_server

    with contextlib.ExitStack() as stack:
        with stderr().status("starting a private server") if stderr().is_terminal else contextlib.nullcontext():
            server = stack.enter_context(private_server())
        result = Sale(server.address, buyers=buyers, coupons=coupons, seed=seed).play()
    # The server writes its own counts into its log when it stops.
    result.redeems_per_ledger_call = server.redeems_per_ledger_call()
    if as_json:
        print_json(as_dict(result))
    else:
        print_report(result)
    return DONE if result.passed else REFUSED
