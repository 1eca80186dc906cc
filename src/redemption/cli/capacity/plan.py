"""How many workers and ledgers a sale needs, and how much memory, disk and network, from what one redemption costs.

The costs are measured figures; docs/capacity.md has where they come from, and how to measure your own.
"""

import math
from dataclasses import dataclass

PLANNED_PART = 0.6
"""The plan uses this part of what workers and ledgers can do at most: above it calls wait for each other, and a burst
has no room."""
MEMORY_FACTOR = 2.0
"""Room for the copy of changed pages while the append-only file is rewritten, in which all may change."""
DISK_FACTOR = 2.0
"""While the append-only file is rewritten there are two."""
FLAT_USED = 100_000
"""So many redemptions the ledger's cost was measured with; with ten times as many it is ``Costs.growth`` times it."""
BATCH_MIN = 16
"""From so many orders in a call on, the cost of a ``BatchRedeem`` counts."""
CORES_OF_A_LEDGER = 2
"""One decides; the other one writes to the disk, and rewrites the file now and then."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What calls cost, in microseconds of CPU, and bytes.

    Attributes:
        worker_us: A Redeem of one line and one coupon takes of a worker.
        batch_us: Such an order in a BatchRedeem of 64 takes of it.
        line_us: Each line more.
        ledger_us: A redemption takes of the ledger, when calls carry many and 100,000 coupons are used.
        growth: How many times that, when ten times as many are used.
        quote_worker, quote_ledger: A Quote takes so many times what a Redeem does.
        claim_worker, claim_ledger: A Claim does.
        used_bytes: A used coupon keeps in the ledger, with its customer and its request.
        claim_bytes: A claim keeps.
        log_bytes: A redemption, or a claim, adds to the append-only file.
        wire_bytes: A Redeem of one line and its answer have on the wire.
        line_wire_bytes: Each line more.
        event_bytes: A redemption adds to the program's event stream, in small calls, until it is full.
        stream_bytes: The stream keeps at most, in large calls.
    """

    worker_us: float = 66.0
    batch_us: float = 54.0
    line_us: float = 4.0
    ledger_us: float = 28.0
    growth: float = 1.36
    quote_worker: float = 3.0
    quote_ledger: float = 1.9
    claim_worker: float = 1.05
    claim_ledger: float = 1.15
    used_bytes: float = 93.0
    claim_bytes: float = 128.0
    log_bytes: float = 244.0
    wire_bytes: float = 600.0
    line_wire_bytes: float = 65.0
    event_bytes: float = 50.0
    stream_bytes: float = 30e6


@dataclass(frozen=True, slots=True)
class Sale:
    """What is planned.

    Attributes:
        peak: Redemptions a second at the peak.
        orders: Redemptions in all, until the campaigns are archived.
        programs: So many programs share them evenly; each has one ledger, and a ledger may have several programs.
        lines: Lines of an order.
        batch: Orders in a call; 1: each is a Redeem.
        quotes: Quotes for each redemption, in the same seconds.
        claims: Claims for each redemption, in the same seconds.
    """

    peak: float
    orders: int
    programs: int = 1
    lines: int = 1
    batch: int = 1
    quotes: float = 0.0
    claims: float = 0.0


@dataclass(frozen=True, slots=True)
class Needs:
    """What a sale needs.

    Attributes:
        worker_cores: Cores of work for the workers at the peak.
        workers: Processes for it, each with a core.
        ledger_cores: Cores of work for all ledgers at the peak.
        ledgers: How many ledgers, each with two cores.
        program_part: One program's peak, as a part of what a ledger can decide at most.
        memory_bytes: What each ledger keeps at the end; its ``maxmemory`` has to be twice that.
        disk_bytes: What each append-only file needs, while it is rewritten.
        disk_bytes_per_second: What is written to each of them at the peak.
        wire_bytes_per_second: What all workers receive and send at the peak.
        program_max: Redemptions a second that one program's ledger takes at most with this plan: the next wall.
    """

    worker_cores: float
    workers: int
    ledger_cores: float
    ledgers: int
    program_part: float
    memory_bytes: float
    disk_bytes: float
    disk_bytes_per_second: float
    wire_bytes_per_second: float
    program_max: float

    @property
    def fits(self) -> bool:
        """Whether one ledger can take what one program needs."""
        return self.program_part <= PLANNED_PART


def needs(sale: Sale, costs: Costs) -> Needs:
    """Work out what a sale needs."""
    lines_us = costs.line_us * (sale.lines - 1)
    order_us = (costs.worker_us if sale.batch < BATCH_MIN else costs.batch_us) + lines_us
    others = sale.quotes * costs.quote_worker + sale.claims * costs.claim_worker  # they come one by one
    worker_cores = sale.peak * (order_us + others * (costs.worker_us + lines_us)) / 1e6
    program_orders, program_peak = sale.orders / sale.programs, sale.peak / sale.programs
    programs_each = _programs_each(sale, costs)
    part = programs_each / sale.programs
    ledger_us = _ledger_us(sale, costs, programs_each * program_orders)
    writes = 1 + sale.claims
    kept = program_orders * (costs.used_bytes + sale.claims * costs.claim_bytes)
    kept += min(program_orders * costs.event_bytes, costs.stream_bytes)
    return Needs(
        worker_cores=worker_cores,
        workers=max(1, math.ceil(worker_cores / PLANNED_PART)),
        ledger_cores=sale.peak * ledger_us / 1e6,
        ledgers=math.ceil(sale.programs / programs_each),
        program_part=program_peak * _ledger_us(sale, costs, program_orders) / 1e6,
        memory_bytes=kept * programs_each,
        disk_bytes=DISK_FACTOR * sale.orders * part * costs.log_bytes * writes,
        disk_bytes_per_second=sale.peak * part * costs.log_bytes * writes,
        wire_bytes_per_second=sale.peak
        * (costs.wire_bytes + costs.line_wire_bytes * (sale.lines - 1))
        * (1 + sale.quotes + sale.claims),
        program_max=PLANNED_PART * 1e6 / _ledger_us(sale, costs, program_orders),
    )


def _ledger_us(sale: Sale, costs: Costs, kept: float) -> float:
    """Return what an order, with its quotes and claims, takes of a ledger that keeps so many redemptions."""
    tenfolds = math.log10(max(kept, FLAT_USED) / FLAT_USED)
    others = sale.quotes * costs.quote_ledger + sale.claims * costs.claim_ledger
    return costs.ledger_us * (1 + (costs.growth - 1) * tenfolds) * (1 + others)


def _programs_each(sale: Sale, costs: Costs) -> int:
    """Return how many whole programs a ledger takes: one at least, because a program is not divided."""
    peak, orders = sale.peak / sale.programs, sale.orders / sale.programs
    fit = (
        count
        for count in range(sale.programs, 1, -1)
        if count * peak * _ledger_us(sale, costs, count * orders) <= PLANNED_PART * 1e6
    )
    return next(fit, 1)
