"""The load generator against real servers: nothing is lost or embellished, and its own faults are named."""

import asyncio
import socket
import statistics
import sys
from contextlib import contextmanager

import psutil
import pytest
from processes import is_alive
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


def paced(address, messages, *, calls_per_second, seconds, connections=2):
    """An open loop of orders."""
    with generator.lines(address, calls(address, REDEEM, messages, connections=connections)) as opened:
        return generator.open_loop(opened, calls_per_second=calls_per_second, seconds=seconds, seed=1)


@contextmanager
def stoppable(worker):
    """What stops a process, and returns when it stands; however the test ends, it goes on."""

    def stop():
        worker.suspend()
        until(lambda: worker.status() == psutil.STATUS_STOPPED)

    try:
        yield stop
    finally:
        worker.resume()


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


def test_in_a_closed_loop_rate_and_latency_give_the_calls_that_are_under_way(empty, steady):
    """Little's law."""
    run = closed(empty.address, REDEEM, orders(20_000), connections=2, under_way=8, seconds=200 * steady.step)
    assert (run.invalid, dict(run.failures), len(run.answers)) == ("", {}, run.sent)
    assert run.calls_per_second * statistics.fmean(run.latencies) == pytest.approx(16, rel=0.1)


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


def test_a_server_that_stalls_is_seen_by_all_whose_calls_were_due_meanwhile(empty, steady):
    """Coordinated omission: calls are due on a schedule that does not depend on the answers."""
    (worker,) = empty.workers
    sent = []
    with stoppable(worker) as stop:

        def stall(opened):
            stop()
            steady.stalled = True
            sent.append(sum(line.next for line in opened))

        def go_on(opened):
            worker.resume()
            steady.stalled = False
            sent.append(sum(line.next for line in opened))

        steady.at(0.1, stall)
        steady.at(0.1 + STALL_SECONDS, go_on)
        run = paced(empty.address, orders(500), calls_per_second=200, seconds=0.9)
    assert (dict(run.failures), len(run.latencies)) == ({}, run.sent)
    assert sent[1] - sent[0] >= 30, "they left all the same"
    assert max(run.latencies) > 0.9 * STALL_SECONDS
    # 60 calls were due during the stall: half of them waited for more than half of it, 40 for more than a third.
    assert sum(latency > STALL_SECONDS / 2 for latency in run.latencies) >= 20
    assert sum(latency > STALL_SECONDS / 3 for latency in run.latencies) >= 28
    assert run.histogram().ms(99) > 0.8e3 * STALL_SECONDS
    assert run.invalid == "", "the stall was the server's"


def test_a_generator_that_stalls_tells_the_latency_from_when_calls_were_due_and_blames_itself(
    empty, monkeypatch, steady
):
    begin = generator.Line.begin

    def slow(self, due):
        if self.next == 10:
            steady.now += STALL_SECONDS
        begin(self, due)

    monkeypatch.setattr(generator.Line, "begin", slow)
    run = paced(empty.address, orders(500), calls_per_second=200, seconds=0.6, connections=1)
    assert dict(run.failures) == {}
    assert sum(latency > STALL_SECONDS / 2 for latency in run.latencies) >= 15
    assert run.late_seconds > STALL_SECONDS / 2
    assert run.invalid.startswith("the generator was late itself: p99 ")


def test_a_schedule_that_the_generator_cannot_keep_is_invalid(empty, monkeypatch, steady):
    """Even if most of the latency is the server's, which is slower still and refuses some."""
    begin = generator.Line.begin

    def slow(self, due):
        steady.now += 0.000_002
        begin(self, due)

    monkeypatch.setattr(generator.Line, "begin", slow)
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


def test_a_generator_that_works_all_the_time_is_invalid(empty, monkeypatch, steady):
    receive = generator.Line.receive

    def slow(self):
        steady.now += 0.01
        steady.worked += 0.01
        return receive(self)

    monkeypatch.setattr(generator.Line, "receive", slow)
    run = closed(empty.address, REDEEM, orders(10_000), under_way=64)
    assert run.invalid.startswith("the generator worked for ")


def test_a_run_whose_calls_are_used_up_too_early_is_invalid(empty, steady):
    run = closed(empty.address, REDEEM, orders(60), under_way=4, seconds=20)
    assert (run.sent, len(run.answers)) == (60, 60)
    assert run.in_time <= 56, "the first four do not count"
    assert run.invalid.endswith(" of 20 s were counted: the calls were used up")


def test_a_run_with_too_few_answers_is_invalid(empty, steady):
    run = paced(empty.address, orders(100), calls_per_second=20, seconds=0.3)
    assert run.sent < 13
    assert run.invalid == f"only {run.in_time} answers in {run.seconds:.2f} of 0.3 s were counted; measure for longer"


def test_a_schedule_without_calls_sends_none(empty, steady):
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


def test_a_connection_that_closes_is_told_and_ends_the_run(steady):
    with under_test.script_server("empty_server.py") as server:
        (worker,) = server.workers

        def kill(_opened):
            worker.kill()
            until(lambda: not is_alive(worker.pid))

        steady.at(0.2, kill)
        run = paced(server.address, orders(4000), calls_per_second=100, seconds=10)
    assert steady.now < 1
    ((told, count),) = run.failures.items()
    assert told.startswith("connection lost: ")
    assert count >= 1
    assert 0 < run.sent < 100


def test_a_server_that_never_answers_is_given_up_and_told(empty, steady):
    (worker,) = empty.workers
    steady.stalled = True
    with generator.lines(empty.address, calls(empty.address, REDEEM, orders(10))) as opened, stoppable(worker) as stop:
        stop()
        run = generator.closed_loop(opened, under_way=7, seconds=0.1)
    assert (dict(run.failures), run.sent) == ({"no answer": 7}, 7)
    assert steady.now >= 0.1 + generator.SECONDS_MAX


def test_a_server_that_is_not_there_is_told_at_once():
    with pytest.raises(ConnectionRefusedError), generator.lines(("127.0.0.1", 1), [[]]):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere psutil tells what it can")
def test_what_a_process_costs_is_counted_finely(empty):
    """Finer than the hundredths of a second that the system usually reports."""
    before = empty.cost().server
    assert len(closed(empty.address, REDEEM, orders(8)).answers) == 8
    after = empty.cost().server
    assert after - before > 0
    (worker,) = empty.workers
    times = worker.cpu_times()
    assert after - 0.1 < times.user + times.system < empty.cost().server + 0.1
    assert abs(100 * after - round(100 * after)) > 1e-6


def test_a_connection_that_is_lost_is_opened_again_and_the_schedule_goes_on():
    """Two workers on one port: the one that has most connections is killed, and the other one answers the rest."""
    schedule = [number / 1000 for number in range(2_000)]
    with (
        under_test.script_server("empty_server.py", workers=2) as server,
        generator.lines(server.address, calls(server.address, REDEEM, orders(2_000), connections=8)) as opened,
    ):
        max(server.workers, key=lambda worker: len(worker.net_connections())).kill()
        run = generator.on_schedule(opened, schedule, stopped=lambda: False)
    assert (sum(line.next for line in opened), len(run.lags)) == (2_000, 2_000)
    assert set(map(len, (run.answers, run.asked, run.latencies))) == {len(set(run.asked))}
    assert run.failures
    assert 0 < len(run.answers) < 2_000
    assert {index % 8 for index in run.asked if index > 1_800} == set(range(8)), "each connection is used again"


def test_a_schedule_that_is_stopped_ends_at_once(empty):
    with generator.lines(empty.address, calls(empty.address, REDEEM, orders(10))) as opened:
        run = generator.on_schedule(opened, [0.0, 3600.0], stopped=lambda: opened[0].next == 1)
    assert run.sent == 1
