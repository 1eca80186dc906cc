"""The guard around all handlers: no text of an exception gets out, every call is answered, and calls are bounded."""

import asyncio
from dataclasses import replace
from unittest.mock import create_autospec

import grpc
import pytest
from builders.calls import calling
from google.rpc import code_pb2
from rpc.examples import APPROVAL, REQUESTS, redeem_request
from rpc.stage import channel_to, failure_of, telling
from structlog.testing import capture_logs
from waiting import SECONDS_MAX

from redemption.domain.errors import InvalidRequest, LedgerUnavailable, Overloaded, Violation
from redemption.rpc.guard import Gathered, Guard, PendingCall, ServerStream
from redemption.rpc.request_limits import ORDER_BYTES_MAX
from redemption.rpc.server import CAMPAIGN, ISSUANCE, REDEMPTION, RISK
from redemption.rpc.transport.methods import Call, Status
from redemption.scheduling.work_bounds import STREAMS_PER_PEER_MAX, WorkBounds
from redemption.service.issuer import Minted
from redemption.v1.issuance_service_pb2 import MintRequest, MintResponse
from redemption.v1.redemption_service_pb2 import RedeemRequest, RedeemResponse

SECRET = "hunter2: the text of an exception"
SERVICES = (REDEMPTION, ISSUANCE, CAMPAIGN, RISK)
FAULTS = [
    KeyError(SECRET),
    asyncio.CancelledError(SECRET),
    TimeoutError(SECRET),
    ValueError(SECRET),
    OSError(5, SECRET),
]


def call(stage, name, request):
    service, method = name.split(".")
    stub = {
        "RedemptionService": stage.redemption,
        "IssuanceService": stage.issuance,
        "CampaignService": stage.campaign,
        "RiskService": stage.risk,
    }[service]
    return getattr(stub, method)(request, timeout=SECONDS_MAX)


def fail_everywhere(stage, fault):
    for service in vars(stage.use_cases).values():
        for name in dir(service):
            if not name.startswith("_") and hasattr(getattr(service, name), "side_effect"):
                getattr(service, name).side_effect = fault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
async def test_text_of_an_exception_never_leaves(run, fault):
    """The caller of any method learns a number to ask about; the log has the exception under that number."""
    stage = await run()
    fail_everywhere(stage, fault)
    for name, (request, *_) in REQUESTS.items():
        with capture_logs() as logs:
            failure = await failure_of(call(stage, name, request))
        assert (name, failure.code, failure.reason) == (name, grpc.StatusCode.INTERNAL, "INTERNAL")
        assert "hunter2" not in failure.everything
        assert type(fault).__name__ not in failure.everything
        (entry,) = logs
        assert entry["correlation_id"] == failure.metadata["correlation_id"]
        assert entry["correlation_id"] in failure.message
        assert (entry["method"], entry["exc_info"]) == (name, fault)


async def test_every_failure_gets_a_number_of_its_own(run):
    stage = await run()
    stage.redeemer.redeem.side_effect = KeyError(SECRET)
    with capture_logs():
        numbers = {
            (await failure_of(stage.redemption.Redeem(redeem_request()))).metadata["correlation_id"] for _ in range(3)
        }
    assert len(numbers) == 3


async def test_answer_that_cannot_be_written_is_internal(run):
    """A defect of the server, such as a number too large for its field, is treated like any exception."""
    stage = await run()
    stage.redeemer.redeem.side_effect = telling("no decision")
    with capture_logs() as logs:
        failure = await failure_of(stage.redemption.Redeem(redeem_request()))
    assert (failure.code, len(logs)) == (grpc.StatusCode.INTERNAL, 1)
    assert "AttributeError" not in failure.everything


async def test_failure_in_the_middle_of_a_stream_is_told_as_well(run):
    stage = await run()

    async def parts():
        yield [Minted("token", 1)]
        raise KeyError(SECRET)

    stage.issuer.mint.return_value = parts()
    stream = stage.issuance.Mint(REQUESTS["IssuanceService.Mint"][0])
    with capture_logs() as logs:
        assert len((await stream.read()).tokens) == 1
        failure = await failure_of(stream)
    assert (failure.code, len(logs)) == (grpc.StatusCode.INTERNAL, 1)
    assert "hunter2" not in failure.everything


async def test_service_error_is_told_in_its_own_words(run):
    stage = await run()
    stage.redeemer.redeem.side_effect = telling(LedgerUnavailable("the ledger did not answer in time"))
    failure = await failure_of(stage.redemption.Redeem(redeem_request()))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "LEDGER_UNAVAILABLE")
    assert (failure.message, failure.retry_seconds) == ("the ledger did not answer in time", 0.2)


async def test_request_with_hundreds_of_mistakes_gets_its_answer(run):
    """In full length they would not fit into the trailer, and the caller would see another error."""
    stage = await run()
    problem = "must not be negative, and must not be anything else that is as long as this sentence is"
    violations = [Violation(f"checkout.order.lines[{index}].amount_minor", problem) for index in range(500)]
    stage.redeemer.redeem.side_effect = telling(InvalidRequest(violations))
    failure = await failure_of(stage.redemption.Redeem(redeem_request()))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.fields[0] == "checkout.order.lines[0].amount_minor"
    assert failure.message.endswith("(and 499 more)")


def test_every_method_of_the_contract_has_examples():
    assert {f"{service.name}.{name}" for service in SERVICES for name in service.methods_by_name} == REQUESTS.keys()


@pytest.mark.parametrize("name", REQUESTS)
async def test_bytes_that_are_no_message_are_an_invalid_request(run, name):
    service, method = name.split(".")
    stage = await run()
    open_method = stage.channel.unary_stream if method == "Mint" else stage.channel.unary_unary
    failure = await failure_of(open_method(f"/redemption.v1.{service}/{method}")(b"\xff\xff", timeout=SECONDS_MAX))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert failure.fields == ["request"]
    assert f"redemption.v1.{method}Request" in failure.message


async def test_message_that_is_too_large_is_turned_away(run):
    stage = await run()
    raw = stage.channel.unary_unary("/redemption.v1.RedemptionService/Redeem")
    failure = await failure_of(raw(bytes(ORDER_BYTES_MAX + 1), timeout=SECONDS_MAX))
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_LARGE")
    assert str(ORDER_BYTES_MAX) in failure.message
    assert stage.redeemer.mock_calls == []


async def test_method_that_nobody_knows_is_unimplemented(run):
    stage = await run()
    raw = stage.channel.unary_unary("/redemption.v1.RedemptionService/Steal")
    assert (await failure_of(raw(b"", timeout=SECONDS_MAX))).code is grpc.StatusCode.UNIMPLEMENTED


async def test_deadline_of_the_caller_reaches_the_use_case(run):
    stage = await run()
    stage.redeemer.redeem.side_effect = telling(APPROVAL)
    loop = asyncio.get_running_loop()
    for timeout, most in ((9.0, 9.0), (None, 5.0), (60.0, 10.0)):
        before = loop.time()
        await stage.redemption.Redeem(redeem_request(), timeout=timeout)
        ((_, caller, _),) = stage.redeemer.redeem.call_args.args[0]
        seconds = caller.deadline - before
        assert most - 1.0 < seconds <= most + (loop.time() - before)


async def test_deadline_that_is_over_costs_the_use_case_nothing(run):
    stage = await run()
    failure = await failure_of(stage.redemption.Redeem(redeem_request(), timeout=0.015))
    assert failure.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert stage.redeemer.mock_calls == []


class Slow:
    """A use case that says when it began, goes on until it is told to, and says when it was cancelled."""

    def __init__(self):
        self.began = asyncio.Queue()
        self.go = asyncio.Event()
        self.cancelled = asyncio.Event()

    def redeem(self, orders):
        self.redeeming = [asyncio.ensure_future(self._redeem(*order)) for order in orders]

    async def _redeem(self, attempt, caller, told):
        self.began.put_nowait(attempt.request_id)
        while not (self.go.is_set() or caller.gone):
            await asyncio.sleep(0.001)
        if caller.gone:
            self.cancelled.set()
        told(APPROVAL)


async def slow_call(stage, slow, request_id="slow"):
    """Start a call and wait until its use case runs."""
    waiting = asyncio.ensure_future(stage.redemption.Redeem(redeem_request(request_id)))
    async with asyncio.timeout(SECONDS_MAX):
        await slow.began.get()
    return waiting


async def test_use_case_learns_that_its_caller_left(run):
    stage, slow = await run(), Slow()
    stage.redeemer.redeem.side_effect = slow.redeem
    call = stage.redemption.Redeem(redeem_request())
    with capture_logs() as logs:
        reading = asyncio.ensure_future(failure_of_cancelled(call))
        async with asyncio.timeout(SECONDS_MAX):
            await slow.began.get()
            call.cancel()
            await slow.cancelled.wait()
            await reading
    assert logs == []


async def failure_of_cancelled(call):
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_too_many_calls_at_once_are_turned_away_at_the_door(run):
    stage, slow = await run(calls_max=2), Slow()
    stage.redeemer.redeem.side_effect = slow.redeem
    running = [await slow_call(stage, slow, name) for name in ("a", "b")]
    refused = await failure_of(stage.redemption.Redeem(redeem_request("c")))
    stream_refused = await failure_of(stage.issuance.Mint(REQUESTS["IssuanceService.Mint"][0]))
    for failure in (refused, stream_refused):
        assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, Overloaded.reason)
        assert failure.retry_seconds == Overloaded.retry_after_seconds
    slow.go.set()
    assert [(await call).decision.discount_minor for call in running] == [950, 950]
    assert (await stage.redemption.Redeem(redeem_request("d"))).decision.discount_minor == 950


async def test_calls_that_failed_or_were_cancelled_leave_their_places(run):
    stage, slow = await run(calls_max=1), Slow()
    stage.redeemer.redeem.side_effect = slow.redeem
    waiting = await slow_call(stage, slow)
    waiting.cancel()
    async with asyncio.timeout(SECONDS_MAX):
        await slow.cancelled.wait()
    stage.redeemer.redeem.side_effect = KeyError(SECRET)
    with capture_logs():
        for _ in range(3):
            failure = await failure_of(stage.redemption.Redeem(redeem_request()))
            assert failure.code is grpc.StatusCode.INTERNAL


async def test_connections_do_not_get_in_each_other_s_way(run):
    stage = await run()
    stage.redeemer.redeem.side_effect = telling(APPROVAL)
    async with channel_to(stage.port) as other:
        raw = other.unary_unary("/redemption.v1.RedemptionService/Redeem")
        await failure_of(raw(b"\xff", timeout=SECONDS_MAX))
        assert (await stage.redemption.Redeem(redeem_request())).decision.discount_minor == 950


async def test_stream_is_closed_before_its_call_is_over():
    """What a handler holds is given back at once, not when garbage is collected."""
    guard, held = Guard(WorkBounds()), []

    async def answer(_, __):
        try:
            while True:
                yield MintResponse()
        finally:
            held.append(guard._streams.taken)

    method = guard.server_stream("IssuanceService.Mint", ServerStream(MintRequest, answer, 100))
    stream = method.answer(b"", calling())
    await anext(stream)
    await stream.aclose()
    assert (held, guard._streams.taken) == ([1], 0)


async def test_one_connection_cannot_have_all_places_of_streams():
    async def answer(_, __):
        yield MintResponse()

    method = Guard(WorkBounds()).server_stream("IssuanceService.Mint", ServerStream(MintRequest, answer, 100))
    here, there = (replace(calling(), peer=peer) for peer in ("here", "there"))
    held = [method.answer(b"", here) for _ in range(STREAMS_PER_PEER_MAX)]
    for stream in held:
        await anext(stream)
    assert (await anext(method.answer(b"", here))).code == code_pb2.RESOURCE_EXHAUSTED
    assert isinstance(await anext(method.answer(b"", there)), bytes)
    await held[0].aclose()
    assert isinstance(await anext(method.answer(b"", here)), bytes)


async def test_gathered_calls_are_answered_whatever_happens_to_the_others():
    """One that cannot be parsed, one that is answered, and one that a defect leaves over."""

    def begin(calls):
        calls[0].answer(RedeemResponse())
        raise KeyError(SECRET)

    method = Guard(WorkBounds()).gathered("RedemptionService.Redeem", Gathered(RedeemRequest, begin, 100))
    calls = [create_autospec(Call, instance=True, request=request) for request in (b"", b"\xff", b"")]
    with capture_logs() as logs:
        method.begin(calls)
    ((first,), _), ((second,), _), ((third,), _) = (call.answer.call_args for call in calls)
    assert first == b""
    assert (second.code, third.code) == (code_pb2.INVALID_ARGUMENT, code_pb2.INTERNAL)
    assert len(logs) == 1
    assert all(call.answer.call_count == 1 for call in calls)


async def test_gathered_call_whose_answer_cannot_be_written_is_told():
    """Else it would never be answered, and would keep its place for ever."""
    unwritable = create_autospec(RedeemResponse, instance=True)
    unwritable.SerializeToString.side_effect = ValueError(SECRET)

    def begin(calls):
        calls[0].answer(unwritable)

    method = Guard(WorkBounds()).gathered("RedemptionService.Redeem", Gathered(RedeemRequest, begin, 100))
    call = create_autospec(Call, instance=True, request=b"")
    with capture_logs() as logs:
        method.begin([call])
    ((told,), _) = call.answer.call_args
    assert (told.code, call.answer.call_count, len(logs)) == (code_pb2.INTERNAL, 1, 1)


async def test_gathered_calls_are_told_when_the_process_is_going_down():
    def begin(_):
        raise SystemExit

    method = Guard(WorkBounds()).gathered("RedemptionService.Redeem", Gathered(RedeemRequest, begin, 100))
    calls = [create_autospec(Call, instance=True, request=b"") for _ in range(3)]
    with pytest.raises(SystemExit):
        method.begin(calls)
    assert {call.answer.call_args.args[0].code for call in calls} == {code_pb2.UNAVAILABLE}


def test_a_failure_that_cannot_be_told_leaves_its_call_to_be_answered():
    call, failures = create_autospec(Call, instance=True), [KeyError(SECRET), Status(code_pb2.INTERNAL, "internal")]

    def told(_):
        failure = failures.pop(0)
        if isinstance(failure, Exception):
            raise failure
        return failure

    asked = PendingCall(None, call, told)
    with pytest.raises(KeyError):
        asked.fail(ValueError())
    asked.fail(ValueError())
    asked.fail(ValueError())
    call.answer.assert_called_once_with(Status(code_pb2.INTERNAL, "internal"))
