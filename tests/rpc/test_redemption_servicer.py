"""What RedemptionService asks of the redeemer, and how it writes the answers."""

import asyncio
from dataclasses import replace

import grpc
import pytest
from builders.calls import calling
from builders.times import NOW
from google.rpc import code_pb2
from rpc.examples import APPROVAL, CHECKOUT, QUOTED, REDEEMED, REFUSAL, batch_request, checkout_message, redeem_request
from rpc.stage import ANYBODY, OneCall, failure_of, telling
from waiting import SECONDS_MAX, comes

from redemption.domain.errors import InvalidRequest, ItemFailed, LedgerRefused, NotFound, Overloaded, Violation
from redemption.domain.outcome import Outcome
from redemption.rpc.guard import UNCOUNTED_BYTES_MAX
from redemption.rpc.redemption_servicer import RedemptionServicer, _opened
from redemption.rpc.request_limits import ORDER_BYTES_MAX
from redemption.scheduling.fair_slots import WorkSlot
from redemption.scheduling.work_bounds import WorkBounds
from redemption.service.pending_order import RedeemRequest, ReserveRequest
from redemption.service.quoter import QuoteRequest
from redemption.service.reverser import Reversal
from redemption.v1 import order_pb2
from redemption.v1 import redemption_service_pb2 as messages

BOUNDS = WorkBounds()


def fill(checkout, tokens, lines):
    """Make a checkout large."""
    checkout.tokens[:] = [f"token-{index}" for index in range(tokens)]
    del checkout.order.lines[:]
    del checkout.order.shipping[:]
    checkout.order.lines.extend([order_pb2.Line(line_id=str(index)) for index in range(lines)])


def large_batch(count, tokens, lines):
    items = [redeem_request(f"attempt-{index}") for index in range(count)]
    for item in items:
        fill(item.checkout, tokens, lines)
    return batch_request(*items)


async def test_redeem_answers_with_the_decision(run):
    stage = await run()
    stage.redeemer.redeem.side_effect = telling(APPROVAL)
    response = await stage.redemption.Redeem(redeem_request("attempt-1"))
    assert response.decision.discount_minor == 950
    ((asked,), _) = stage.redeemer.redeem.call_args
    assert [order[:2] for order in asked] == [(RedeemRequest("attempt-1", CHECKOUT), ANYBODY)]


async def test_reserve_answers_with_the_reservation_and_its_end(run):
    stage = await run()
    stage.redeemer.redeem.side_effect = telling(replace(APPROVAL, reservation_id="reservation-1", held_until=NOW + 60))
    asked = messages.ReserveRequest(request_id="hold-1", checkout=checkout_message(), ttl={"seconds": 60})
    response = await stage.redemption.Reserve(asked)
    assert (response.reservation_id, response.expire_time.seconds) == ("reservation-1", NOW + 60)
    assert response.decision.discount_minor == 950
    ((taken,), _) = stage.redeemer.redeem.call_args
    assert [order[:2] for order in taken] == [(ReserveRequest("hold-1", CHECKOUT, 60), ANYBODY)]


async def test_without_a_time_to_hold_it_is_fifteen_minutes(run):
    stage = await run()
    stage.redeemer.redeem.side_effect = telling(REFUSAL)
    response = await stage.redemption.Reserve(messages.ReserveRequest(request_id="x", checkout=checkout_message()))
    assert (response.reservation_id, response.HasField("expire_time")) == ("", False)
    (((request, *_),),) = stage.redeemer.redeem.call_args[0]
    assert request.hold_seconds == 900


async def test_a_failed_reserve_has_the_status_of_its_failure(run):
    stage = await run()
    stage.redeemer.redeem.side_effect = telling(Overloaded("too many"))
    failure = await failure_of(stage.redemption.Reserve(messages.ReserveRequest(checkout=checkout_message())))
    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_batch_tells_each_item_s_own_answer_in_its_place(run):
    """Two items are malformed, one is refused, one fails, one is approved; none affects another."""
    headless, orderless = redeem_request("a"), redeem_request("b")
    headless.ClearField("checkout")
    orderless.checkout.ClearField("order")
    stage = await run()
    stage.redeemer.redeem_all.return_value = [
        REFUSAL,
        LedgerRefused("the ledger is full"),
        APPROVAL,
        InvalidRequest([Violation("checkout.order.lines[2].amount_minor", "must not be negative")]),
        ItemFailed("a record cannot be read"),
    ]
    items = [redeem_request(name) for name in "cdefg"]
    response = await stage.redemption.BatchRedeem(batch_request(headless, items[0], orderless, *items[1:]))
    expected = [
        (code_pb2.INVALID_ARGUMENT, "INVALID_REQUEST", "requests[0].checkout", 0.0),
        None,
        (code_pb2.INVALID_ARGUMENT, "INVALID_REQUEST", "requests[2].checkout.order", 0.0),
        (code_pb2.UNAVAILABLE, "LEDGER_REFUSES", "", 1.0),
        None,
        (code_pb2.INVALID_ARGUMENT, "INVALID_REQUEST", "requests[5].checkout.order.lines[2].amount_minor", 0.0),
        (code_pb2.INTERNAL, "LEDGER_RECORD_UNREADABLE", "", 0.0),
    ]
    actual = [
        (
            result.error.code,
            result.error.reason,
            result.error.field,
            result.error.retry_after.ToTimedelta().total_seconds(),
        )
        if result.HasField("error")
        else None
        for result in response.results
    ]
    assert actual == expected
    assert [result.error.HasField("retry_after") for result in response.results].count(True) == 1
    assert response.results[1].decision.outcome == REFUSAL.outcome
    assert response.results[4].decision.outcome == APPROVAL.outcome
    (caller, attempts, _), _ = stage.redeemer.redeem_all.call_args
    assert (caller, [attempt.request_id for attempt in attempts]) == (ANYBODY, list("cdefg"))
    assert {attempt.checkout.program for attempt in attempts} == {"shop"}


async def test_order_with_too_many_pairs_of_token_and_line_is_refused_before_it_is_redeemed(run):
    stage, request = await run(), redeem_request()
    fill(request.checkout, 11, 500)
    failure = await failure_of(stage.redemption.Redeem(request))
    assert (failure.reason, failure.fields) == ("INVALID_REQUEST", ["checkout.order.lines"])
    response = await stage.redemption.BatchRedeem(batch_request(request))
    assert response.results[0].error.field == "requests[0].checkout.order.lines"
    stage.redeemer.redeem_all.assert_called_once()  # for the batch, with nothing in it
    assert stage.redeemer.redeem_all.call_args.args[1] == []


class Counter:
    """A redeemer that holds every call until it is let go, and counts them."""

    def __init__(self, stage):
        self.running = 0
        self.go = asyncio.Event()
        stage.redeemer.redeem_all.side_effect = self._redeem_all
        stage.redeemer.redeem.side_effect = self._redeem

    async def _redeem_all(self, _, attempts, slot):
        self.running += 1
        await self.go.wait()
        self.running -= 1
        return [APPROVAL] * len(attempts)

    def _redeem(self, orders):
        self.redeeming = [asyncio.ensure_future(self._redeem_one(told)) for _, _, told in orders]

    async def _redeem_one(self, told):
        told((await self._redeem_all(None, [None], None))[0])

    async def reaches(self, running):
        await comes(lambda: self.running == running)


async def test_large_orders_and_large_batches_are_worked_on_two_at_a_time_and_small_ones_at_once(run):
    """Neither waits for the other; leaving gives a place back, and waiting too long ends with an error."""
    stage = await run()
    counter = Counter(stage)
    order = redeem_request()
    fill(order.checkout, 10, 100)
    batches = [asyncio.ensure_future(stage.redemption.BatchRedeem(large_batch(4, 1, 250))) for _ in range(5)]
    await counter.reaches(2)
    orders = [asyncio.ensure_future(stage.redemption.Redeem(order)) for _ in range(5)]
    await counter.reaches(4)
    small = [stage.redemption.Redeem(redeem_request()), stage.redemption.BatchRedeem(large_batch(64, 1, 1))]
    small = [asyncio.ensure_future(call) for call in small]
    await counter.reaches(6)
    late = await failure_of(stage.redemption.Redeem(order, timeout=0.4))
    assert late.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert counter.running == 6
    counter.go.set()
    async with asyncio.timeout(SECONDS_MAX):
        await asyncio.gather(*batches, *orders, *small)


async def test_returns_with_large_settlements_are_worked_on_two_at_a_time_and_small_ones_at_once(run):
    stage = await run()
    running, go = [], asyncio.Event()

    async def reverse(_, request):
        running.append(request.request_id)
        await go.wait()
        return Reversal(Outcome.APPROVED)

    stage.reverser.reverse.side_effect = reverse
    large = [
        asyncio.ensure_future(
            stage.redemption.Reverse(messages.ReverseRequest(request_id="large", settlement=bytes(100_000)))
        )
        for _ in range(5)
    ]
    await comes(lambda: running == ["large"] * 2)
    small = asyncio.ensure_future(
        stage.redemption.Reverse(messages.ReverseRequest(request_id="small", settlement=bytes(1_000)))
    )
    await comes(lambda: running == ["large"] * 2 + ["small"])
    go.set()
    async with asyncio.timeout(SECONDS_MAX):
        await asyncio.gather(*large, small)
    assert running.count("large") == 5


async def redeemed(servicer, *calls):
    """Have a servicer answer calls, and wait until all are answered."""
    servicer.redeem(calls)
    await comes(lambda: all(call.answered for call in calls))


class Told:
    """A redeemer that approves at once, and remembers in what order and in which slot it was asked."""

    def __init__(self, stage):
        self.worked_on = []
        self.slots = []
        stage.redeemer.redeem.side_effect = self._redeem
        stage.redeemer.redeem_all.side_effect = self._redeem_all

    def _redeem(self, orders):
        self.slots.append(None)
        for attempt, _, told in orders:
            self.worked_on.append(attempt.request_id)
            told(APPROVAL)

    async def _redeem_all(self, _, attempts, slot):
        self.worked_on += [attempt.request_id for attempt in attempts]
        self.slots.append(slot)
        return [APPROVAL] * len(attempts)


async def test_small_orders_go_before_the_large_ones_that_came_with_them(run):
    """Small ones are worked on in one go; each large one is worked on by itself."""
    stage = await run()
    told = Told(stage)
    orders = [redeem_request(name) for name in "abcde"]
    for order in orders[:2]:
        fill(order.checkout, 2, 100)
    calls = [OneCall(order) for order in orders]
    await redeemed(RedemptionServicer(stage.use_cases, BOUNDS), *calls)
    assert told.worked_on == [*"cdeab"]
    assert [call.answers for call in calls] == [[950]] * 5


async def test_an_order_whose_caller_left_before_it_began_is_not_redeemed(run):
    stage = await run()
    told = Told(stage)
    calls = [OneCall(redeem_request(name)) for name in "abc"]
    calls[1].info.gone = True
    await redeemed(RedemptionServicer(stage.use_cases, BOUNDS), *calls)
    assert told.worked_on == [*"ac"]
    assert all(call.answered for call in calls), "its place is given back"


@pytest.mark.parametrize(("tokens", "lines", "in_turn"), [(1, 199, False), (1, 200, True), (10, 20, True)])
async def test_order_of_200_positions_is_large(run, tokens, lines, in_turn):
    stage = await run()
    told = Told(stage)
    order = redeem_request()
    fill(order.checkout, tokens, lines)
    call = OneCall(order)
    await redeemed(RedemptionServicer(stage.use_cases, BOUNDS), call)
    assert isinstance(told.slots[0], WorkSlot) is in_turn
    assert call.aside is in_turn, "it may be short in bytes, and keeps no place of short calls while it waits"


@pytest.mark.parametrize(("lines", "in_turn"), [(333, False), (334, True)])
async def test_batch_of_1000_positions_is_large(run, lines, in_turn):
    stage = await run()
    told = Told(stage)
    await RedemptionServicer(stage.use_cases, BOUNDS).batch_redeem(large_batch(3, 1, lines), calling())
    assert isinstance(told.slots[0], WorkSlot) is in_turn


async def held_at_large(stage, count, bounds=BOUNDS):
    """Have two large orders worked on while others wait for their turn; returns how to ask for more, and to let go."""
    counter = Counter(stage)
    servicer = RedemptionServicer(stage.use_cases, bounds)

    async def ask(tokens=2, lines=100):
        order = redeem_request()
        fill(order.checkout, tokens, lines)
        call = OneCall(order)
        await redeemed(servicer, call)
        return call.answers[0]

    held = [asyncio.ensure_future(ask()) for _ in range(count)]
    await counter.reaches(2)

    async def let_go():
        counter.go.set()
        await asyncio.gather(*held)

    return ask, let_go


@pytest.mark.parametrize("size", [(0, 500), (1, 501), (11, 500)])
async def test_order_that_is_refused_unread_waits_for_no_turn(run, size):
    async with asyncio.timeout(SECONDS_MAX):
        ask, let_go = await held_at_large(await run(), 3)
        assert isinstance(await ask(*size), InvalidRequest)
        await let_go()


async def test_a_long_request_with_too_many_lines_is_refused_before_it_is_parsed(run):
    """To parse 65,000 empty lines takes 3 ms, and their caller may send them again and again."""
    stage = await run()
    order = redeem_request()
    order.checkout.order.lines.extend([order_pb2.Line()] * 60_000)
    assert UNCOUNTED_BYTES_MAX < order.ByteSize() < ORDER_BYTES_MAX
    failure = await failure_of(stage.redemption.Redeem(order))
    assert failure.fields == ["checkout.order.lines"]
    assert failure.message == "checkout.order.lines: is too much: there are 501 and more; split the order"
    assert stage.redeemer.mock_calls == []


async def test_large_orders_beyond_a_bound_are_turned_away(run):
    """They would take places of other calls while they wait."""
    async with asyncio.timeout(SECONDS_MAX):
        ask, let_go = await held_at_large(await run(), 5, WorkBounds(large_waiting_max=3))
        refused = await ask()
        assert isinstance(refused, Overloaded)
        assert "nothing was done" in refused.message
        await let_go()
        assert await ask() == 950


async def test_places_are_given_back_by_callers_who_leave(run):
    stage = await run()
    counter = Counter(stage)
    for _ in range(3):
        calls = [stage.redemption.BatchRedeem(large_batch(4, 1, 250)) for _ in range(3)]
        await counter.reaches(2)
        for call in calls:
            call.cancel()
        async with asyncio.timeout(SECONDS_MAX):
            while stage.calls:
                await asyncio.sleep(0.001)
        counter.running = 0


async def test_large_batch_lets_others_work_between_its_orders(run):
    """15 orders of 500 lines: after each one that is converted, and each answer that is written, the loop turns."""
    stage = await run()
    turned = []
    stage.redeemer.redeem_all.side_effect = lambda *_, **__: turned.append(ticks) or [APPROVAL] * 15
    servicer = RedemptionServicer(stage.use_cases, BOUNDS)
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.ensure_future(tick())
    await servicer.batch_redeem(large_batch(15, 1, 500), calling())
    ticking.cancel()
    assert turned[0] >= 15
    assert ticks - turned[0] >= 15


def test_failed_item_does_not_keep_its_request():
    """An error holds the frames that it passed, and they hold the message: 4 MiB become a hundred."""
    item = redeem_request()
    item.checkout.order.lines[0].categories.extend("c" * 33)
    assert _opened(item, "shop").__traceback__ is None


async def test_batch_that_is_wrong_as_a_whole_redeems_nothing(run):
    stage = await run()
    failure = await failure_of(stage.redemption.BatchRedeem(batch_request(redeem_request("a"), redeem_request("a"))))
    assert (failure.reason, failure.fields) == ("INVALID_REQUEST", ["requests[1].request_id"])
    assert stage.redeemer.mock_calls == []


@pytest.mark.parametrize("with_allocations", [True, False])
async def test_quote_answers_with_what_was_quoted(run, with_allocations):
    stage = await run()
    stage.quoter.quote.return_value = QUOTED
    request = messages.QuoteRequest(
        checkout=checkout_message(), choose_best=True, at={"seconds": 60}, with_allocations=with_allocations
    )
    response = await stage.redemption.Quote(request)
    assert [verdict.token_index for verdict in response.alone] == [0, 1]
    assert response.together.discount_minor == 950
    assert (list(response.chosen), response.exhaustive) == ([0, 5], True)
    assert bool(response.together.verdicts[0].allocations) == with_allocations
    (caller, quote_request), _ = stage.quoter.quote.call_args
    assert caller == ANYBODY
    assert quote_request == QuoteRequest(CHECKOUT, choose_best=True, at_ms=60_000, with_allocations=with_allocations)
    assert stage.redeemer.mock_calls == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda request: request.ClearField("checkout"), "checkout"),
        (lambda request: request.checkout.ClearField("order"), "checkout.order"),
        (lambda request: setattr(request.at, "seconds", -1), "at"),
        (lambda request: request.checkout.tokens.extend("t" * 6_000), "checkout.tokens"),
        (lambda request: request.checkout.order.lines.extend([order_pb2.Line()] * 5_000), "checkout.order.lines"),
        (lambda request: fill(request.checkout, 100, 51), "with_allocations"),
    ],
)
async def test_malformed_quote_request_is_refused_before_it_is_quoted(run, change, field):
    request = messages.QuoteRequest(checkout=checkout_message(), with_allocations=True)
    change(request)
    stage = await run()
    failure = await failure_of(stage.redemption.Quote(request))
    assert (failure.reason, failure.fields) == ("INVALID_REQUEST", [field])
    assert stage.quoter.mock_calls == []


async def test_failure_of_the_quoter_is_told(run):
    stage = await run()
    stage.quoter.quote.side_effect = Overloaded("too many questions at once")
    failure = await failure_of(stage.redemption.Quote(messages.QuoteRequest(checkout=checkout_message())))
    assert (failure.code.value[0], failure.reason) == (code_pb2.RESOURCE_EXHAUSTED, "OVERLOADED")


async def test_redemption_is_found_by_request(run):
    stage = await run()
    stage.finder.by_request.return_value = [REDEEMED, REDEEMED]
    response = await stage.redemption.GetRedemption(messages.GetRedemptionRequest(program="shop", request_id="a"))
    assert [redemption.redemption_id for redemption in response.redemptions] == ["receipt-1", "receipt-1"]
    stage.finder.by_request.assert_called_once_with(ANYBODY, "shop", "a")


async def test_redemption_is_found_by_receipt(run):
    stage = await run()
    stage.finder.by_receipt.return_value = REDEEMED
    request = messages.GetRedemptionRequest(program="shop", redemption_id="receipt-1")
    response = await stage.redemption.GetRedemption(request)
    assert [redemption.serial for redemption in response.redemptions] == [9]
    stage.finder.by_receipt.assert_called_once_with(ANYBODY, "shop", "receipt-1")


async def test_redemption_that_is_not_there_is_not_found(run):
    stage = await run()
    stage.finder.by_receipt.side_effect = NotFound("no such receipt")
    request = messages.GetRedemptionRequest(program="shop", redemption_id="receipt-1")
    failure = await failure_of(stage.redemption.GetRedemption(request))
    assert (failure.code.value[0], failure.reason) == (code_pb2.NOT_FOUND, "NOT_FOUND")


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"program": "shop"}, "request_id"),
        ({"program": "shop", "request_id": ""}, "request_id"),
        ({"program": "shop", "request_id": "a" * 129}, "request_id"),
        ({"program": "shop", "redemption_id": ""}, "redemption_id"),
        ({"program": "", "request_id": "a"}, "program"),
        ({"program": "No Program", "redemption_id": "receipt-1"}, "program"),
    ],
)
async def test_malformed_lookup_is_refused_by_field(run, request_fields, field):
    stage = await run()
    failure = await failure_of(stage.redemption.GetRedemption(messages.GetRedemptionRequest(**request_fields)))
    assert failure.fields == [field]
    assert stage.redeemer.mock_calls == []
