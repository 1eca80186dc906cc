"""When calls wait for each other, which of them go together, and that none of them hurts another."""

import asyncio
from collections import Counter

import pytest
from rpc.examples import APPROVAL, REFUSAL, checkout_message, redeem_request
from rpc.stage import telling
from waiting import SECONDS_MAX, comes, settled

from redemption.domain.errors import DeadlinePassed, InvalidRequest, LedgerUnavailable
from redemption.domain.order import Line
from redemption.domain.outcome import Outcome
from redemption.domain.ports import Caller
from redemption.rpc import crowd as module
from redemption.rpc.crowd import Busyness, Call, Crowd
from redemption.rpc.redemption_servicer import RedemptionServicer
from redemption.v1 import outcome_pb2
from redemption.v1 import redemption_service_pb2 as messages

BUSY = 5.0
"""Far above what makes calls wait as long as they ever do."""


class Busy:
    """Says how busy the process is, as a test wants it."""

    def __init__(self, share=BUSY):
        self.value = share

    def share(self):
        return self.value


class Context:
    """What a call says about itself."""

    def __init__(self, seconds=5.0):
        self._seconds = seconds

    def time_remaining(self):
        return self._seconds


class Band:
    """A crowd whose answers are the request ids, and who went together."""

    def __init__(self, share=BUSY):
        self.busy = Busy(share)
        self.crowd = Crowd(self._answer, self.busy)
        self.together = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure = None
        now = asyncio.get_running_loop().time()
        self.slice = int(now / module.DEADLINE_SLICE_SECONDS)

    async def _answer(self, calls):
        self.together.append([call.request.request_id for call in calls])
        await asyncio.sleep(0)  # as whoever asks the ledger
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        for call in calls:
            if not call.answer.done():
                call.answer.set_result(call.request.request_id)

    def call(self, name, *, program="shop", principal="anonymous", slices=200, tokens=1, positions=1):
        """A call whose deadline lies in the middle of a slice."""
        request = redeem_request(name)
        request.checkout.program = program
        deadline = (self.slice + slices + 0.5) * module.DEADLINE_SLICE_SECONDS
        return Call(request, tokens, positions, principal, Caller(deadline), asyncio.get_running_loop().create_future())

    def ask(self, *names, **what):
        return [asyncio.ensure_future(self.crowd.answer(self.call(name, **what))) for name in names]


async def answered(asked, everybody_has_come=settled):
    await everybody_has_come()
    async with asyncio.timeout(SECONDS_MAX):
        return await asyncio.gather(*asked)


@pytest.fixture
def patient(monkeypatch, clock):
    """Have calls wait for company for so long that everybody comes; returns what ends it."""
    monkeypatch.setattr(module, "GATHER_SECONDS_MAX", 10 * SECONDS_MAX)

    async def everybody_has_come():
        await settled()
        clock.forward(10 * SECONDS_MAX)

    return everybody_has_come


async def test_nobody_waits_while_the_process_is_not_busy(monkeypatch):
    monkeypatch.setattr(module, "GATHER_SECONDS_MAX", 60.0)
    band = Band(share=module.BUSY_MIN)
    assert await answered(band.ask(*"abc")) == ["a", "b", "c"]
    assert band.together == [["a"], ["b"], ["c"]]


async def test_first_call_leaves_at_once_and_the_next_ones_together(patient):
    band = Band()
    assert await answered(band.ask(*"abcd"), patient) == ["a", "b", "c", "d"]
    assert band.together == [["a"], ["b", "c", "d"]]


@pytest.mark.parametrize(
    ("share", "seconds"), [(0.0, 0.0), (0.4, 0.0), (0.5, 0.0015), (0.6, 0.003), (0.8, 0.006), (1.7, 0.006)]
)
async def test_the_busier_the_process_the_longer_calls_wait(share, seconds):
    assert Band(share).crowd._gather_seconds() == pytest.approx(seconds)


async def test_calls_wait_for_so_long_and_no_longer(patient, clock):
    """Half as busy as can be, half the longest time after the first one left."""
    band, seconds = Band(share=0.6), 5 * SECONDS_MAX
    first, second = band.ask(*"ab")
    assert await answered([first]) == ["a"]
    clock.forward(seconds - SECONDS_MAX)
    await settled()
    assert not second.done()
    clock.forward(SECONDS_MAX)
    assert await answered([second]) == ["b"]


async def test_so_many_go_together_and_the_rest_right_after_them(patient):
    band = Band()
    await answered(band.ask(*(f"{index}" for index in range(1 + 2 * module.CALLS_MAX + 3))), patient)
    assert [len(names) for names in band.together] == [1, module.CALLS_MAX, module.CALLS_MAX, 3]


async def test_others_have_their_turn_between_those_that_go_one_after_the_other():
    band = Band()
    band.crowd._gathering = True
    asked = band.ask(*(f"{index}" for index in range(2 * module.CALLS_MAX)))
    await asyncio.sleep(0)
    band.crowd._leave()
    assert len(band.crowd._tasks) == 1
    await answered(asked)


async def test_deadlines_that_differ_by_fifty_milliseconds_do_not_go_together():
    band = Band()
    early, late = band.call("a"), band.call("b")
    late.caller.deadline = early.caller.deadline + 0.05
    assert early.kind != late.kind
    late.caller.deadline = early.caller.deadline + 0.005
    assert early.kind == late.kind


async def test_large_orders_go_together_up_to_a_bound(patient):
    """One that is larger than the bound by itself goes alone."""
    band = Band()
    asked = band.ask("a") + band.ask(*"bcd", positions=200) + band.ask("e", positions=900) + band.ask(*"fg")
    await answered(asked, patient)
    assert band.together == [["a"], ["b", "c"], ["d"], ["e"], ["f", "g"]]


async def test_orders_of_many_tokens_go_together_up_to_a_bound(patient):
    """What goes beyond would stand back like the remainder of a big batch."""
    band = Band()
    await answered(band.ask("a") + band.ask(*"bcde", tokens=25), patient)
    assert band.together == [["a"], ["b", "c"], ["d", "e"]]


async def test_requests_of_many_bytes_go_alone(patient):
    """Whoever leaves while the others wait would leave all of it behind."""
    band = Band()
    calls = [band.call(name) for name in "abcdef"]
    for call, size in zip(calls[1:5], (60, 60, 65, 65), strict=True):
        call.request.checkout.order.lines[0].categories.extend(["c" * 128] * size)
    await answered([asyncio.ensure_future(band.crowd.answer(call)) for call in calls], patient)
    assert sorted(band.together[1:]) == [["b", "c", "f"], ["d"], ["e"]]


async def test_who_has_left_takes_no_place(patient):
    """Neither among the calls of one go nor in what they may weigh."""
    band = Band()
    first, heavy, *rest = band.ask("a") + band.ask("b", positions=400) + band.ask(*"cd", positions=200)
    await answered([first])
    heavy.cancel()
    await answered(rest, patient)
    assert band.together == [["a"], ["c", "d"]]


async def test_who_is_alone_waits_for_nobody(monkeypatch):
    """One caller after another may keep the process busy; there is no company to wait for."""
    monkeypatch.setattr(module, "GATHER_SECONDS_MAX", 60.0)
    band = Band()
    for name in "abc":
        assert await answered(band.ask(name)) == [name]
    assert band.together == [["a"], ["b"], ["c"]]


async def test_only_calls_of_one_kind_go_together(patient):
    """Of one program, one principal, and deadlines that are about the same: they share the earliest."""
    band = Band()
    kinds = [{}, {"program": "other"}, {"principal": "bob"}, {"slices": 201}]
    asked = band.ask("first")
    for index in range(8):
        asked += band.ask(f"{index}", **kinds[index % 4])
    await answered(asked, patient)
    assert sorted(band.together[1:]) == [["0", "4"], ["1", "5"], ["2", "6"], ["3", "7"]]


async def test_who_left_before_is_not_worked_on(patient):
    band = Band()
    first, gone, stays = band.ask(*"abc")
    await answered([first])
    gone.cancel()
    assert await answered([stays], patient) == ["c"]
    assert band.together == [["a"], ["c"]]


async def test_who_leaves_while_worked_on_takes_nobody_along(patient):
    band = Band()
    gone, stays = (await held(band, patient))[1:]
    gone.cancel()
    await asyncio.sleep(0)
    band.gate.set()
    assert await answered([stays], patient) == ["c"]


async def test_work_for_which_nobody_waits_any_more_ends(patient):
    band = Band()
    first, *company = await held(band, patient)
    (task,) = band.crowd._tasks
    company[0].cancel()
    await settled()
    assert not task.cancelling()
    company[1].cancel()
    async with asyncio.timeout(SECONDS_MAX):
        await asyncio.wait([task])
    assert task.cancelled()
    assert not band.crowd._tasks
    first.cancel()


async def held(band, everybody_has_come):
    """Ask thrice: the first is worked on alone and the others together, and all are held."""
    band.gate.clear()
    asked = band.ask(*"abc")
    await everybody_has_come()
    await comes(lambda: len(band.together) == 2)
    return asked


async def test_failure_of_all_is_told_to_each_of_them(patient):
    band = Band()
    band.failure = KeyError("defect")
    asked = band.ask(*"abc")
    await patient()
    failures = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(failure) for failure in failures] == [KeyError] * 3
    band.failure = None
    assert await answered(band.ask("d"), patient) == ["d"]


async def test_failure_of_all_is_told_though_one_has_left(patient):
    band = Band()
    first, gone, stays = await held(band, patient)
    gone.cancel()
    band.failure = KeyError("defect")
    band.gate.set()
    async with asyncio.timeout(SECONDS_MAX):
        failures = await asyncio.gather(first, gone, stays, return_exceptions=True)
    assert [type(failure) for failure in failures] == [KeyError, asyncio.CancelledError, KeyError]


@pytest.mark.parametrize("defective", ["_take", "_begin"])
async def test_defect_when_calls_leave_stops_nobody_who_comes_later(patient, monkeypatch, defective):
    band = Band()
    with monkeypatch.context() as patch:
        patch.setattr(band.crowd, defective, FailsAtTheEnd(getattr(band.crowd, defective)))
        band.crowd._gathering = True
        asked = band.ask(*"ab")
        await asyncio.sleep(0)
        band.crowd._leave()
        async with asyncio.timeout(SECONDS_MAX):
            told = await asyncio.gather(*asked, return_exceptions=True)
    # What had begun before is answered, what had not is told.
    assert told == (["a", "b"] if defective == "_begin" else [band_error, band_error])
    assert await answered(band.ask(*"cd"), patient) == ["c", "d"]


band_error = MemoryError("defect")


class FailsAtTheEnd:
    """Does what it stands in for, and fails then."""

    def __init__(self, method):
        self.method = method

    def __call__(self, *arguments):
        self.method(*arguments)
        raise band_error


async def test_work_that_is_cut_off_leaves_nobody_waiting(patient):
    band = Band()
    first, *company = await held(band, patient)
    async with asyncio.timeout(SECONDS_MAX):
        for task in band.crowd._tasks:
            task.cancel()
        failures = await asyncio.gather(*company, return_exceptions=True)
    assert [type(failure) for failure in failures] == [asyncio.CancelledError] * 2
    first.cancel()


def test_busyness_is_processor_seconds_in_a_second():
    now, spent = [100.0], [7.0]
    busyness = Busyness(lambda: now[0], lambda: spent[0])
    shares = []
    for elapsed, cpu in ((0.01, 0.01), (0.03, 0.01), (0.01, 1.0), (0.01, 0.0), (10.0, 1.0)):
        now[0] += elapsed
        spent[0] += cpu
        shares.append(busyness.share())
    # At first nothing is known; what is known holds for 20 ms.
    assert shares == pytest.approx([0.0, 0.5, 0.5, 50.0, 0.1])


# What the servicer makes of it


def gathered(servicer, requests):
    """Ask all at once, in one gathering that does not leave by itself."""
    servicer._crowd._gathering = True
    return [asyncio.ensure_future(servicer.redeem(request, Context())) for request in requests]


async def crowded(servicer, requests):
    """Ask all at once, let them leave together, and return answers and failures."""
    asked = gathered(servicer, requests)
    await asyncio.sleep(0)
    servicer._crowd._leave()
    async with asyncio.timeout(SECONDS_MAX):
        return await asyncio.gather(*asked, return_exceptions=True)


async def test_what_is_wrong_with_one_call_is_told_to_its_caller_alone(run, monkeypatch):
    """One is malformed, one fails, one is refused, one decision cannot be written; the rest is approved."""
    stage = await run()
    headless = redeem_request("headless")
    headless.checkout.ClearField("order")
    requests = [redeem_request(name) for name in "abcd"]
    stage.redeemer.redeem_each.side_effect = telling(APPROVAL, LedgerUnavailable("lost"), REFUSAL, "no decision")
    monkeypatch.setattr(module, "DEADLINE_SLICE_SECONDS", 60.0)
    servicer = RedemptionServicer(stage.redeemer, stage.quoter, Busy())
    answers = await crowded(servicer, [requests[0], headless, *requests[1:]])
    assert [type(answer) for answer in answers] == [
        messages.RedeemResponse,
        InvalidRequest,
        LedgerUnavailable,
        messages.RedeemResponse,
        AttributeError,
    ]
    assert (answers[0].decision.discount_minor, answers[3].decision.outcome) == (950, REFUSAL.outcome)
    (principal, program, attempts, callers, _), rest = stage.redeemer.redeem_each.call_args
    assert (principal, program, [attempt.request_id for attempt in attempts]) == ("anonymous", "shop", list("abcd"))
    assert [caller.gone for caller in callers] == [False] * 4
    assert rest["turn"] is None


async def test_nothing_is_redeemed_for_calls_that_are_all_malformed(run):
    stage = await run()
    servicer = RedemptionServicer(stage.redeemer, stage.quoter, Busy())
    answers = await crowded(servicer, [messages.RedeemRequest(request_id=name) for name in "ab"])
    assert [answer.violations[0].field for answer in answers] == ["checkout", "checkout"]
    assert stage.redeemer.mock_calls == []


async def test_deadline_that_is_over_is_not_worked_on(run):
    stage = await run()
    servicer = RedemptionServicer(stage.redeemer, stage.quoter, Busy())
    with pytest.raises(DeadlinePassed):
        await servicer.redeem(redeem_request(), Context(0.01))
    assert stage.redeemer.mock_calls == []


async def test_each_is_told_as_soon_as_its_answer_is_known_and_who_left_hurts_nobody(run, monkeypatch):
    stage, go = await run(), asyncio.Event()
    monkeypatch.setattr(module, "DEADLINE_SLICE_SECONDS", 60.0)

    left = []

    async def redeem_each(_, __, ___, callers, tell, *, turn):
        tell(2, APPROVAL)
        await go.wait()
        left.append([caller.gone for caller in callers])
        tell(0, APPROVAL)
        tell(1, REFUSAL)

    stage.redeemer.redeem_each.side_effect = redeem_each
    servicer = RedemptionServicer(stage.redeemer, stage.quoter, Busy())
    gone, slow, quick = gathered(servicer, [redeem_request(name) for name in "abc"])
    await asyncio.sleep(0)
    servicer._crowd._leave()
    async with asyncio.timeout(SECONDS_MAX):
        assert (await quick).decision.outcome == APPROVAL.outcome
        gone.cancel()
        await asyncio.sleep(0)
        go.set()
        assert (await slow).decision.outcome == REFUSAL.outcome
    assert left == [[True, False, False]]


async def test_large_order_is_worked_on_alone_and_in_its_turn(run):
    stage = await run()
    stage.redeemer.redeem_each.side_effect = telling(APPROVAL)
    request = redeem_request()
    request.checkout.tokens[:] = [f"token-{index}" for index in range(10)]
    del request.checkout.order.lines[1:]
    request.checkout.order.lines.extend([request.checkout.order.lines[0]] * 99)
    servicer = RedemptionServicer(stage.redeemer, stage.quoter, Busy())
    servicer._crowd._gathering = True
    async with asyncio.timeout(SECONDS_MAX):
        await servicer.redeem(request, Context())
    assert stage.redeemer.redeem_each.call_args.kwargs["turn"] is not None


def request_of(attempt):
    return messages.RedeemRequest(request_id=attempt.request_id, checkout=checkout_message(attempt.checkout))


async def test_campaign_that_has_to_be_read_holds_up_nobody_else(house, monkeypatch):
    """Nor does a defect that one order meets."""
    monkeypatch.setattr(module, "DEADLINE_SLICE_SECONDS", 60.0)
    quick, slow = await house.campaign(), await house.campaign()
    tokens = [(await house.mint(campaign))[0] for campaign in (quick, slow, quick)]
    house.ledger.forget(house.program, slow.number)
    assert await house.ledger.load(house.program, quick.number)
    load, go = house.ledger.load, asyncio.Event()

    async def held_load(program, number):
        await go.wait()
        return await load(program, number)

    monkeypatch.setattr(house.ledger, "load", held_load)
    servicer = RedemptionServicer(house.redeemer, None, Busy())
    first, waits, second = gathered(servicer, [request_of(house.attempt(token)) for token in tokens])
    await asyncio.sleep(0)
    servicer._crowd._leave()
    approved = outcome_pb2.OUTCOME_APPROVED
    async with asyncio.timeout(SECONDS_MAX):
        assert [(await call).decision.outcome for call in (first, second)] == [approved] * 2
        assert not waits.done()
        go.set()
        assert (await waits).decision.outcome == approved


async def test_crowd_redeems_each_coupon_once_and_gets_the_same_answers_again(house):
    """On the real ledger: of 40 coupons each comes in two orders, and 30 may be used; then every order comes again."""
    campaign = await house.campaign(redemptions=30)
    tokens = await house.mint(campaign, 40)
    buyers = [f"line-{index}" for index in range(80)]
    orders = [
        house.attempt(tokens[index // 2], lines=(Line(buyer, 1, 238_00, 238_00),)) for index, buyer in enumerate(buyers)
    ]
    requests = [request_of(order) for order in orders]
    servicer = RedemptionServicer(house.redeemer, None, Busy())
    answers = await crowded(servicer, requests)
    approved = [answer.decision.outcome == outcome_pb2.OUTCOME_APPROVED for answer in answers]
    per_coupon = Counter(index // 2 for index, is_approved in enumerate(approved) if is_approved)
    assert (sum(approved), max(per_coupon.values())) == (30, 1)
    for buyer, answer, is_approved in zip(buyers, answers, approved, strict=True):
        lines = [each.line_id for verdict in answer.decision.verdicts for each in verdict.allocations]
        assert lines == [buyer] * is_approved, "an answer is another caller's"
    assert (await house.stats(campaign)).redeemed == 30
    again = await crowded(servicer, requests)
    redeemed = [index for index, is_approved in enumerate(approved) if is_approved]
    assert [again[index].decision for index in redeemed] == [answers[index].decision for index in redeemed]
    assert (await house.stats(campaign)).redeemed == 30


async def test_one_order_of_a_crowd_is_the_same_as_one_order(house):
    """Several of the same request at once: one approval, told to each of them."""
    token = (await house.mint(await house.campaign()))[0]
    request = request_of(house.attempt(token))
    answers = await crowded(RedemptionServicer(house.redeemer, None, Busy()), [request] * 5)
    assert {answer.decision.outcome for answer in answers} == {Outcome.APPROVED.value}
    assert len({answer.decision.verdicts[0].redemption_id for answer in answers}) == 1
