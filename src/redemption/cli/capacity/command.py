"""``redemption capacity``: how many workers and ledgers a sale needs, from what one redemption costs."""

from dataclasses import asdict, replace
from typing import Annotated

import typer

from redemption.cli.capacity.plan import CORES_OF_A_LEDGER, MEMORY_FACTOR, PLANNED_PART, Costs, Needs, Sale, needs
from redemption.cli.exits import DONE, REFUSED
from redemption.cli.input.options import AsJson
from redemption.cli.output.screen import print_json, say

_PEAK_MAX, _ORDERS_MAX, _EACH_MAX = 10_000_000, 10_000_000_000, 1_000
_US_MAX = 100_000
_KILO = 1_000


def capacity(
    *,
    peak: Annotated[int, typer.Option(min=1, max=_PEAK_MAX, metavar="N", help="Redemptions a second at the peak.")],
    orders: Annotated[
        int, typer.Option(min=1, max=_ORDERS_MAX, metavar="N", help="Redemptions in all, until campaigns are archived.")
    ],
    programs: Annotated[
        int, typer.Option(min=1, max=_EACH_MAX, metavar="N", help="Programs that share them evenly.")
    ] = 1,
    lines: Annotated[int, typer.Option(min=1, max=_EACH_MAX, metavar="N", help="Lines of an order.")] = 1,
    batch: Annotated[
        int, typer.Option(min=1, max=256, metavar="N", help="Orders in a BatchRedeem; 1: each by itself.")
    ] = 1,
    quotes: Annotated[
        float, typer.Option(min=0, max=_EACH_MAX, metavar="N", help="Quotes for each redemption, at the same time.")
    ] = 0,
    claims: Annotated[
        float, typer.Option(min=0, max=_EACH_MAX, metavar="N", help="Claims for each redemption, at the same time.")
    ] = 0,
    worker_us: Annotated[
        float | None,
        typer.Option(min=1, max=_US_MAX, metavar="µs", help="CPU of a worker for an order, measured on your machine."),
    ] = None,
    ledger_us: Annotated[
        float | None,
        typer.Option(min=1, max=_US_MAX, metavar="µs", help="CPU of the ledger for an order, measured there."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Work out how many workers and ledgers a sale needs, and name the next wall.

    The costs are those of docs/capacity.md, which says how to measure your own. Nothing is asked of a server.
    """
    costs = Costs()
    if worker_us is not None:
        costs = replace(costs, worker_us=worker_us, batch_us=worker_us)
    if ledger_us is not None:
        costs = replace(costs, ledger_us=ledger_us)
    sale = Sale(peak, orders, programs, lines, batch, quotes, claims)
    needed = needs(sale, costs)
    if as_json:
        print_json({"sale": asdict(sale), "costs": asdict(costs), "needs": asdict(needed) | {"fits": needed.fits}})
    else:
        _print(sale, needed)
    return DONE if needed.fits else REFUSED


def _print(sale: Sale, needed: Needs) -> None:
    say(f"sale      {_count(sale.peak, 'redemption')} a second at the peak, {sale.orders:,} in all")
    workers = f"{_count(needed.workers, 'process', 'processes')}, each with a core"
    say(f"workers   {workers}; {needed.worker_cores:.2f} cores of work, at most {PLANNED_PART:.0%} of each")
    each = ", each" if needed.ledgers > 1 else ""
    ledgers = f"{needed.ledgers}{each} with {CORES_OF_A_LEDGER} cores and a disk of its own"
    say(f"ledgers   {ledgers}; {needed.ledger_cores:.2f} cores of work")
    memory = f"{_bytes(needed.memory_bytes)} kept; maxmemory {_bytes(MEMORY_FACTOR * needed.memory_bytes)}"
    say(f"memory    {memory}{each}")
    disk = f"{_bytes(needed.disk_bytes)} for the append-only file; {_bytes(needed.disk_bytes_per_second)}/s at the peak"
    say(f"disk      {disk}{each}")
    say(f"network   {_bytes(needed.wire_bytes_per_second)}/s at the peak, both ways together")
    wall = f"{needed.program_max:,.0f} redemptions a second of one program: {PLANNED_PART:.0%} of what a ledger decides"
    say(f"next wall {wall}")
    if needed.fits:
        return
    peak = f"one program's peak is {needed.program_part:.0%} of what a ledger decides at most"
    say(f"TOO MUCH  {peak}, and a program has one ledger; see docs/capacity.md", "red")


def _count(number: float, one: str, many: str = "") -> str:
    return f"{number:,.0f} {one if number == 1 else many or f'{one}s'}"


def _bytes(number: float) -> str:
    """Return a number of bytes with three digits: 240 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if round(number) < _KILO:
            return f"{number:.3g} {unit}"
        number /= _KILO
    return f"{number:,.3g} TB"
