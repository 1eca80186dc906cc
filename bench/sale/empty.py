"""A server that does nothing, measured in the same run: what the transport, Python and the generators cost themselves.

It is an empty handler on the service's own transport. Locust's calls of the service are held against locust's calls of
that server, and the prebuilt ones against prebuilt ones, so what a generator costs by itself is in both.
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import grpc
from gevent.pool import Pool
from latency import Histogram
from under_test import script_server

from redemption.client import CallFailed, Checkout, Customer, Line, Order, RedeemRequest, RedemptionClient
from sale.journal import DEADLINE_SECONDS
from sale.prebuilt import measure as measure_prebuilt
from sale.yardstick import LOCUST, LOCUST_PROCESS, OF_PREBUILT, PREBUILT_GENERATOR, Ceiling, Empty

CALLS_PER_SECOND_MIN, CALLS_PER_SECOND_MAX = 400.0, 800.0
"""With fewer there are too few for a 99th percentile; with more locust's own queue is measured, and not the handler."""
LOCUST_SECONDS = 3.0
PREBUILT_CALLS, PREBUILT_SECONDS_MAX = 11_000, 10.0
"""So many are enough for the percentile 99.9."""
AT_ONCE = 200
WARM_UP = 50


def measure_empty(calls_per_second: float, prebuilt_per_second: float, *, seconds: float) -> Empty:
    """Measure the empty handler with the generators of a run.

    Args:
        calls_per_second: The calls of one process of locust.
        prebuilt_per_second: The prebuilt calls; 0: there are none.
        seconds: For how long at most.
    """
    found = Empty()
    with _client() as (client, address):
        cpu = time.process_time()
        found.latencies[LOCUST] = _paced(client, _within(calls_per_second), min(seconds, LOCUST_SECONDS))
        cpu_seconds = (time.process_time() - cpu) / max(len(found.latencies[LOCUST]), 1)
        found.ceilings[LOCUST_PROCESS] = Ceiling(1 / cpu_seconds, 1e6 * cpu_seconds)
        if prebuilt_per_second:
            seconds = min(PREBUILT_CALLS / prebuilt_per_second, PREBUILT_SECONDS_MAX, seconds)
            measured = measure_prebuilt(address, prebuilt_per_second, seconds)
            found.latencies[OF_PREBUILT] = measured.latencies
            found.ceilings[PREBUILT_GENERATOR] = Ceiling(measured.calls_per_second, measured.cpu_us)
    return found


def _within(calls_per_second: float) -> float:
    return min(max(calls_per_second, CALLS_PER_SECOND_MIN), CALLS_PER_SECOND_MAX)


def _paced(client: RedemptionClient, rate: float, seconds: float, *, seed: int = 1) -> Histogram:
    """Call at random moments, as the buyers do."""
    draw = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    histogram, pool = Histogram(), Pool(AT_ONCE)

    def call(*, counts: bool) -> None:
        began = time.perf_counter()
        try:
            client.redeem(_REQUEST, timeout=DEADLINE_SECONDS)
        except CallFailed:
            return  # it has no answer, so no latency
        if counts:
            histogram.add(time.perf_counter() - began)

    for _ in range(WARM_UP):
        call(counts=False)
    ends, due = time.monotonic() + seconds, time.monotonic()
    while due < ends:
        due += draw.expovariate(rate)
        gevent.sleep(max(due - time.monotonic(), 0.0))
        pool.spawn(call, counts=True)
    pool.join(timeout=DEADLINE_SECONDS)
    return histogram


_REQUEST = RedeemRequest(
    request_id="empty",
    checkout=Checkout(
        program="bench",
        tokens=["AQ" + "x" * 84],
        order=Order(order_id="1", currency_code="CNY", lines=[Line(line_id="1", quantity=1, amount_minor=1)]),
        customer=Customer(customer_id="nobody"),
    ),
)


@contextmanager
def _client() -> Iterator[tuple[RedemptionClient, str]]:
    with (
        script_server("empty_server.py", arguments=("nghttp2",), signals=False) as server,
        grpc.insecure_channel(server.authority, [("grpc.use_local_subchannel_pool", 1)]) as channel,
    ):
        yield RedemptionClient(channel), server.authority
