"""The load generator against real servers: nothing lost, nothing told better than it was, and its own faults named."""

import asyncio
import os
import signal
import socket
import statistics
import sys
import threading
import time

import pytest
from tool_loader import load_bench
from waiting import until

from redemption.v1.redemption_service_pb2 import RedeemRequest

generator, http2, under_test = (load_bench(name) for name in ("generator", "http2", "under_test"))

REDEEM = "/redemption.v1.RedemptionService/Redeem"
ECHO = "/t/Echo"
STALL_SECONDS = 0.3


def calls(address, method, messages, *, connections=1):
    authority = f"{address[0]}:{address[1]}"
    return [http2.write_calls(authority, method, messages[index::connections]) for index in range(connections)]


def orders(count):
    return [RedeemRequest(request_id=f"request-{number}").SerializeToString() for number in range(count)]


def closed(address, method, messages, *, connections=1, under_way=4, seconds=0.3):
    with generator.lines(address, calls(address, method, messages, connections=connections)) as opened:
        return generator.closed_loop(opened, under_way=under_way, seconds=seconds)


def paced(address, messages, *, calls_per_second, seconds, connections=2, beside=None):
    """An open loop of orders; a thread may do something to the server meanwhile, once calls are on their way."""
    with generator.lines(address, calls(address, REDEEM, messages, connections=connections)) as opened:
        thread = threading.Thread(target=beside, args=(opened,)) if beside else None
        if thread:
            thread.start()
        try:
            return generator.open_loop(opened, calls_per_second=calls_per_second, seconds=seconds, seed=1)
        finally:
            if thread:
                thread.join()


@pytest.mark.parametrize(("connections", "under_way"), [(1, 1), (1, 32), (3, 4)])
async def test_every_call_is_sent_and_answered_once(echo, connections, under_way):
    messages = [f"message {number}".encode() for number in range(301)]
    run = await asyncio.to_thread(
        closed, echo.address, ECHO, messages, connections=connections, under_way=under_way, seconds=20
    )
    count = len(messages) if connections == 1 else run.sent
    assert (run.sent, dict(run.failures)) == (count, {})
    assert len(run.answers) == len(set(run.answers)) == len(run.latencies) == count
    assert set(run.answers) <= set(messages)
    assert echo.under_way_max <= connections * under_way


async def test_messages_larger_than_the_windows_arrive_whole_both_ways(echo):
    messages = [bytes([number]) * size for number, size in enumerate((65_530, 65_531, 300_000, 1, 700_000, 16_384))]

    def through_a_narrow_door():
        with generator.lines(echo.address, calls(echo.address, ECHO, messages)) as opened:
            opened[0].socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            return generator.closed_loop(opened, under_way=6, seconds=20)

    run = await asyncio.to_thread(through_a_narrow_door)
    assert dict(run.failures) == {}
    assert sorted(run.answers) == sorted(messages)


def test_a_batch_above_one_window_is_answered_for_each_of_its_orders(empty):
    shop = load_bench("shop")
    requests = [shop.order_request(f"order-{number}", ["c" * 64], 10) for number in range(256)]
    (batch,) = shop.batches(requests, 256)
    assert len(batch) > 65_535
    run = closed(empty.address, shop.BATCH_REDEEM, [batch] * 3, under_way=3, seconds=20)
    assert shop.approvals(run.answers, batched=True) == 3 * 256


def test_in_a_closed_loop_rate_and_latency_give_the_calls_that_are_under_way(empty):
    """Little's law: whatever the machine does meanwhile."""
    run = closed(empty.address, REDEEM, orders(20_000), connections=2, under_way=8, seconds=0.5)
    assert (run.invalid, dict(run.failures), len(run.answers)) == ("", {}, run.sent)
    assert run.calls_per_second * statistics.fmean(run.latencies) == pytest.approx(16, rel=0.2)


def test_the_rate_leaves_out_how_a_closed_loop_begins_and_ends():
    """Eight calls take 0.2 s together: that is 40 a second, whenever it is stopped."""
    for bursts in range(2, 10):
        run = generator.Run(warm=8)
        for burst in range(1, bursts + 1):
            for part in (3, 8):  # they are read in two pieces
                run.latencies.extend([0.2] * (8 * (burst - 1) + part - len(run.latencies)))
                run.note(0.2 * burst)
        run.note(0.2 * bursts + 0.19)  # nothing more came
        assert run.calls_per_second == pytest.approx(40)


def test_a_server_that_stalls_is_seen_by_all_whose_calls_were_due_meanwhile(empty):
    """Coordinated omission: calls are due on a schedule that knows nothing of the answers."""
    (worker,) = empty.workers
    sent = []

    def stall(opened):
        until(lambda: opened[0].next >= 10)
        os.kill(worker.pid, signal.SIGSTOP)
        try:
            sent.append(sum(line.next for line in opened))
            time.sleep(STALL_SECONDS)
            sent.append(sum(line.next for line in opened))
        finally:
            os.kill(worker.pid, signal.SIGCONT)

    run = paced(empty.address, orders(500), calls_per_second=200, seconds=0.9, beside=stall)
    assert (dict(run.failures), len(run.latencies)) == ({}, run.sent)
    assert sent[1] - sent[0] >= 30, "they left all the same"
    assert max(run.latencies) > 0.9 * STALL_SECONDS
    # 60 calls were due during the stall: half of them waited for more than half of it, 40 for more than a third.
    assert sum(latency > STALL_SECONDS / 2 for latency in run.latencies) >= 20
    assert sum(latency > STALL_SECONDS / 3 for latency in run.latencies) >= 28
    assert run.histogram().get_value_at_percentile(99) > 0.8e6 * STALL_SECONDS
    assert run.invalid == "" or run.late_seconds > generator.LATE_SECONDS_MAX, "the stall was the server's"


def test_a_generator_that_stalls_tells_the_latency_from_when_calls_were_due_and_blames_itself(empty, monkeypatch):
    begin = generator.Line.begin

    def slow(self, due):
        if self.next == 10:
            time.sleep(STALL_SECONDS)
        begin(self, due)

    monkeypatch.setattr(generator.Line, "begin", slow)
    run = paced(empty.address, orders(500), calls_per_second=200, seconds=0.6, connections=1)
    assert dict(run.failures) == {}
    assert sum(latency > STALL_SECONDS / 2 for latency in run.latencies) >= 15
    assert run.late_seconds > STALL_SECONDS / 2
    assert run.invalid.startswith("the generator was late itself: p99 ")


def test_a_schedule_that_the_generator_cannot_keep_is_invalid(empty, monkeypatch):
    """Though the server, which is slower still and refuses some, is to blame for most of the latency."""
    monkeypatch.setattr(generator, "LATE_SECONDS_MAX", 0.0011)
    run = paced(empty.address, orders(4000), calls_per_second=10_000_000, seconds=0.0003)
    assert run.invalid.startswith("the generator was late itself: p99 ")
    assert len(run.latencies) + sum(run.failures.values()) == run.sent > 1000


@pytest.mark.parametrize(
    ("late", "latency", "counts"),
    [
        (0.0009, 0.0009, True),
        (0.0011, 0.0023, True),
        (0.0011, 0.0021, False),
        (0.009, 1.0, True),
        (0.011, 1.0, False),
    ],
)
def test_how_late_the_generator_may_be_itself(late, latency, counts):
    driver = generator._Driver([], schedule=[0.0], seconds=1.0)
    driver._run.in_time, driver._run.seconds = 196, 1.0
    driver._run.lags.extend([0.0] * 196 + [late] * 4)
    driver._run.latencies.extend([0.0] * 196 + [latency] * 4)
    assert (driver._verdict(1.0) == "") is counts


def test_a_generator_that_works_all_the_time_is_invalid(empty, monkeypatch):
    receive = generator.Line.receive

    def slow(self):
        ends = time.process_time() + 0.01
        while time.process_time() < ends:
            pass
        return receive(self)

    monkeypatch.setattr(generator.Line, "receive", slow)
    monkeypatch.setattr(generator, "BUSY_PART_MAX", 0.3)  # on a busy machine it does not get all of the time
    run = closed(empty.address, REDEEM, orders(10_000), under_way=64)
    assert run.invalid.startswith("the generator worked for ")


def test_a_run_whose_calls_are_used_up_too_early_is_invalid(empty):
    run = closed(empty.address, REDEEM, orders(60), under_way=4, seconds=20)
    assert (run.sent, len(run.answers)) == (60, 60)
    assert run.in_time <= 56, "the first four do not count"
    assert run.invalid.endswith(" of 20 s were counted: the calls were used up")


def test_a_run_with_too_few_answers_is_invalid(empty, monkeypatch):
    monkeypatch.setattr(generator, "LATE_SECONDS_MIN", 60)
    monkeypatch.setattr(generator, "LATE_SECONDS_MAX", 60)
    run = paced(empty.address, orders(100), calls_per_second=20, seconds=0.3)
    assert run.sent < 13
    assert run.invalid == f"only {run.in_time} answers in {run.seconds:.2f} of 0.3 s were counted; measure for longer"


def test_a_schedule_without_calls_sends_none(empty):
    run = paced(empty.address, orders(5), calls_per_second=0.001, seconds=0.01)
    assert run.sent == 0
    assert run.invalid.startswith("only 0 answers in ")


@pytest.mark.parametrize(
    ("method", "message", "status"),
    [
        ("/redemption.v1.RedemptionService/Nothing", b"", "UNIMPLEMENTED: Method not found!"),
        ("/redemption.v1.RedemptionService/Nothing", b"x" * 200_000, "UNIMPLEMENTED: Method not found!"),
        (REDEEM, b"\xff\xff\xff", "UNKNOWN: "),
        (REDEEM, b"x" * 5_000_000, "RESOURCE_EXHAUSTED: "),
    ],
)
def test_a_call_that_the_server_refuses_is_counted_once_by_its_status(empty, method, message, status):
    good = [(REDEEM, each) for each in orders(20)]
    with generator.lines(empty.address, calls(empty.address, method, [message] * 3)) as opened:
        run = generator.closed_loop(opened, under_way=3, seconds=5)
    ((told, count),) = run.failures.items()
    assert (told[: len(status)], count, run.sent, run.answers) == (status, 3, 3, [])
    assert len(closed(empty.address, good[0][0], orders(20)).answers) == 20, "the server is as it was"


def test_a_connection_that_closes_is_told_and_ends_the_run():
    with under_test.script_server("empty_server.py") as server:

        def kill(opened):
            until(lambda: opened[0].next >= 10)
            server.workers[0].kill()

        began = time.monotonic()
        run = paced(server.address, orders(4000), calls_per_second=100, seconds=10, beside=kill)
    assert time.monotonic() - began < 8
    ((told, count),) = run.failures.items()
    assert told.startswith("connection lost: ")
    assert count >= 1
    assert run.sent < 900


def test_a_server_that_never_answers_is_given_up_and_told(empty, monkeypatch):
    monkeypatch.setattr(generator, "SECONDS_MAX", 0.2)
    (worker,) = empty.workers
    with generator.lines(empty.address, calls(empty.address, REDEEM, orders(10))) as opened:
        os.kill(worker.pid, signal.SIGSTOP)
        try:
            run = generator.closed_loop(opened, under_way=7, seconds=0.1)
        finally:
            os.kill(worker.pid, signal.SIGCONT)
    assert (dict(run.failures), run.sent) == ({"no answer": 7}, 7)


def test_a_server_that_is_not_there_is_told_at_once():
    with pytest.raises(ConnectionRefusedError), generator.lines(("127.0.0.1", 1), [[]]):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere psutil tells what it can")
def test_what_a_process_costs_is_counted_finely(empty):
    """Not in the hundredths of a second that the system usually tells."""
    before = empty.cost().server
    assert len(closed(empty.address, REDEEM, orders(8)).answers) == 8
    after = empty.cost().server
    assert 0 < after - before < 0.5
    assert abs(100 * after - round(100 * after)) > 1e-6
