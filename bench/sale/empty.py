"""The empty handler, measured by the same locust process: what the transport, Python and locust cost by themselves."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import grpc
from gevent.pool import Pool
from hdrh.histogram import HdrHistogram
from under_test import script_server

from redemption.client import CallFailed, Checkout, Customer, Line, Order, RedeemRequest, RedemptionClient

CALLS_PER_SECOND_MAX = 800.0
"""More than that is measured with a queue in this process, and not the handler."""
AT_ONCE = 200
WARM_UP = 50
DEADLINE_SECONDS = 5.0
HIGHEST_US = 60_000_000


def measure_empty(calls_per_second: float, *, seconds: float, seed: int = 1) -> HdrHistogram:
    """Call the empty handler at random moments, and return the latencies in microseconds.

    Args:
        calls_per_second: How often; at most ``CALLS_PER_SECOND_MAX``.
        seconds: For how long.
        seed: Of the moments.
    """
    draw = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    rate = min(calls_per_second, CALLS_PER_SECOND_MAX)
    histogram, pool = HdrHistogram(1, HIGHEST_US, 3), Pool(AT_ONCE)
    request = RedeemRequest(
        request_id="empty",
        checkout=Checkout(
            program="bench",
            tokens=["AQ" + "x" * 84],
            order=Order(order_id="1", currency_code="CNY", lines=[Line(line_id="1", quantity=1, amount_minor=1)]),
            customer=Customer(customer_id="nobody"),
        ),
    )
    with _client() as client:

        def call(*, counts: bool) -> None:
            began = time.perf_counter()
            try:
                client.redeem(request, timeout=DEADLINE_SECONDS)
            except CallFailed:
                return  # it has no answer, so no latency
            if counts:
                histogram.record_value(min(max(1, round((time.perf_counter() - began) * 1e6)), HIGHEST_US))

        for _ in range(WARM_UP):
            call(counts=False)
        ends, due = time.monotonic() + seconds, time.monotonic()
        while due < ends:
            due += draw.expovariate(rate)
            gevent.sleep(max(due - time.monotonic(), 0.0))
            pool.spawn(call, counts=True)
        pool.join(timeout=DEADLINE_SECONDS)
    return histogram


@contextmanager
def _client() -> Iterator[RedemptionClient]:
    with script_server("empty_server.py") as server, grpc.insecure_channel(server.authority) as channel:
        yield RedemptionClient(channel)
