"""Listening, encryption, what a use case learns of a call, and a stop that loses nothing."""

import asyncio
import re
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from certificates import write_certificate
from rpc.examples import APPROVAL, redeem_request
from rpc.stage import NOT_SERVING, SERVING, channel_to, failure_of, health, telling, told, watch
from waiting import SECONDS_MAX, comes, settled

from redemption.rpc.server import PortNotBound, RpcConfig, call_info
from redemption.rpc.transport import grpcio
from redemption.rpc.transport.tls import Tls
from redemption.v1 import redemption_service_pb2_grpc

# Stopping


class Held:
    """A use case that holds the call named "slow" until it is let go, and answers others at once."""

    def __init__(self, stage):
        self.began, self.go, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.answered = asyncio.Event()
        self.redeeming = []
        stage.redeemer.redeem.side_effect = self._redeem

    def _redeem(self, orders):
        self.redeeming += [asyncio.ensure_future(self._redeem_one(*order)) for order in orders]

    async def _redeem_one(self, attempt, caller, told):
        if attempt.request_id == "slow":
            self.began.set()
            while not (self.go.is_set() or caller.gone):
                await asyncio.sleep(0.001)
            if caller.gone:
                self.cancelled.set()
        told(APPROVAL)
        self.answered.set()


async def refused_new_calls(stage):
    """Ask until a new call is refused, and return how."""
    async with asyncio.timeout(SECONDS_MAX), channel_to(stage.port) as channel:
        stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        while True:
            try:
                await stub.Redeem(redeem_request("new"), timeout=SECONDS_MAX)
            except grpc.aio.AioRpcError as error:
                return error.code()


async def test_drain_finishes_what_runs_and_takes_nothing_new(run):
    stage = await run()
    stage.server.set_serving(True)
    held, stream = Held(stage), watch(stage)
    async with asyncio.timeout(SECONDS_MAX):
        assert (await stream.read()).status == SERVING
        slow = asyncio.ensure_future(stage.redemption.Redeem(redeem_request("slow")))
        await held.began.wait()
        draining = asyncio.ensure_future(stage.server.drain(SECONDS_MAX))
        assert (await stream.read()).status == NOT_SERVING
        assert (await failure_of(stream)).code is grpc.StatusCode.UNAVAILABLE
        assert await refused_new_calls(stage) is grpc.StatusCode.UNAVAILABLE
        assert not draining.done()
        held.go.set()
        assert (await slow).decision.discount_minor == 950
        await draining


async def test_drain_cuts_off_what_takes_too_long_and_says_so(run):
    """The caller learns that asking again with the same request id is safe, instead of a bare CANCELLED."""
    stage = await run()
    held = Held(stage)
    slow = stage.redemption.Redeem(redeem_request("slow"))
    failing = asyncio.ensure_future(failure_of(slow))
    async with asyncio.timeout(SECONDS_MAX):
        await held.began.wait()
        await stage.server.drain(0.01)
        failure = await failing
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")
    assert failure.retry_seconds == 1.0
    await comes(held.cancelled.is_set)


class Closing:
    """Stands in for the clock and for sleeping while a server turns calls away: a step takes what a test makes of it.

    Attributes:
        now: What the clock shows.
        steps: How many steps were taken.
        during: What happens in a step.
        left: How long calls that run had after that.
    """

    def __init__(self, monkeypatch, during=settled):
        self.now, self.steps, self.left = 0.0, 0, None
        self.during = during
        monkeypatch.setattr(grpcio, "CLOSING_SECONDS_MIN", 0.2)
        monkeypatch.setattr(grpcio, "CLOSING_STEP_SECONDS", 0.02)
        monkeypatch.setattr(grpcio, "asyncio", self)
        monkeypatch.setattr(grpcio, "time", SimpleNamespace(monotonic=lambda: self.now))

    def __getattr__(self, name):
        return getattr(asyncio, name)

    async def sleep(self, seconds):
        self.steps += 1
        await self.during()
        self.now = round(self.now + seconds, 6)

    async def wait(self, _, *, timeout):  # noqa: ASYNC109 - asyncio.wait has it
        self.left = timeout


@pytest.mark.parametrize("transport", ["grpcio"])
@pytest.mark.parametrize("busy", [True, False])
async def test_drain_tells_calls_that_grpc_has_not_handed_over_that_nothing_was_done(run, monkeypatch, busy):
    """Instead of a bare CANCELLED: in a sale hundreds wait to be taken on, whether one is at work just then or not.

    As long as many come, they are turned away; here the first step lasts until all have come.
    """
    stage = await run()
    held = Held(stage)
    async with asyncio.timeout(SECONDS_MAX):
        slow = [asyncio.ensure_future(stage.redemption.Redeem(redeem_request("slow")))] if busy else []
        if busy:
            await held.began.wait()
        calls = [asyncio.ensure_future(stage.redemption.Redeem(redeem_request("quick"))) for _ in range(300)]
        if busy:
            await held.answered.wait()  # the first has come, and the others are on their way
        closing = Closing(monkeypatch, during=partial(asyncio.wait, calls))
        draining = asyncio.ensure_future(stage.server.drain(0.5))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.gather(*slow, draining, return_exceptions=True)
    assert closing.steps == 11
    refused = [told(answer) for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert {(failure.code, failure.reason) for failure in refused} == {(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")}
    assert all("nothing was done" in failure.message for failure in refused)
    assert len(refused) > 50


@pytest.mark.parametrize("transport", ["grpcio"])
@pytest.mark.parametrize(("come", "steps"), [(0, 11), (1, 11), (20, 11), (21, 50)])
async def test_drain_ends_though_callers_keep_asking(run, monkeypatch, come, steps):
    """Many in each step of 0.02 s hold it up for a second, and a few for no longer than nobody: for 0.2 s."""
    stage = await run()
    Held(stage)

    async def ask():
        asked = [failure_of(stage.redemption.Redeem(redeem_request("quick"))) for _ in range(come)]
        for failure in await asyncio.gather(*asked):
            assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")

    closing = Closing(monkeypatch, during=ask)
    async with asyncio.timeout(SECONDS_MAX):
        await stage.server._transport._turn_away()
    assert closing.steps == steps
    closing.during = settled


@pytest.mark.parametrize("transport", ["grpcio"])
async def test_turning_calls_away_is_part_of_the_time_to_finish(run, monkeypatch):
    stage = await run()
    held = Held(stage)
    async with asyncio.timeout(SECONDS_MAX):
        slow = asyncio.ensure_future(failure_of(stage.redemption.Redeem(redeem_request("slow"))))
        await held.began.wait()
        closing = Closing(monkeypatch)
        await stage.server.drain(1_000.0)
        assert (await slow).reason == "SERVER_STOPPING"
    assert closing.left == pytest.approx(1_000.0 - 0.02 * closing.steps)
    assert closing.steps == 11


async def test_drain_gives_load_balancers_notice(run, clock):
    """During the notice health says no, and calls are still answered."""
    stage = await run(drain_notice_seconds=10 * SECONDS_MAX)
    stage.server.set_serving(True)
    Held(stage)
    stream = watch(stage)
    async with asyncio.timeout(SECONDS_MAX):
        assert (await stream.read()).status == SERVING
        draining = asyncio.ensure_future(stage.server.drain(SECONDS_MAX))
        assert (await stream.read()).status == NOT_SERVING
        assert (await stage.redemption.Redeem(redeem_request("new"))).decision.discount_minor == 950
        stage.server.set_serving(True)
        assert await health(stage) == NOT_SERVING
    assert not draining.done()
    clock.forward(10 * SECONDS_MAX)
    async with asyncio.timeout(SECONDS_MAX):
        await draining
    stage.server._config = RpcConfig()  # when the test's end stops it once more, nobody needs notice


async def test_drain_before_start_does_nothing(run):
    stage = await run()
    server = type(stage.server)(stage.use_cases, RpcConfig())
    server.set_serving(True)
    await server.drain(1)


async def test_drain_is_quick_when_nothing_runs_though_somebody_watches(run):
    stage = await run()
    stream = watch(stage)
    async with asyncio.timeout(SECONDS_MAX):
        await stream.read()
    async with asyncio.timeout(SECONDS_MAX):
        await stage.server.drain(60 * SECONDS_MAX)


# Listening


async def test_port_that_is_taken_is_refused_clearly(run):
    stage = await run()
    with pytest.raises(PortNotBound, match=f"cannot listen on 127.0.0.1:{stage.port}"):
        await run(port=stage.port)


async def test_port_can_be_shared_on_purpose(run):
    stage = await run(reuse_port=True)
    assert (await run(reuse_port=True, port=stage.port)).port == stage.port


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1:0"), ("::1", "[::1]:0"), ("[::1]", "[::1]:0"), ("shop", "shop:0")]
)
def test_address_is_written_as_grpc_wants_it(host, address):
    assert RpcConfig(host=host).address == address


# Encryption


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    """A certificate of our own making, and its key."""
    directory = tmp_path_factory.mktemp("certificate")
    write_certificate(directory, "server")
    return directory / "server.pem", directory / "server-key.pem"


async def redeem_with(stage, credentials):
    async with channel_to(stage.port, credentials) as channel:
        stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        return await stub.Redeem(redeem_request(), timeout=SECONDS_MAX)


async def test_thousands_of_calls_at_once_are_answered_or_told_to_come_again(run, transport):
    """As when a sale opens. grpcio's own bounds would cancel a third of them; ours refuses what would wait too long."""
    stage = await run()
    stage.redeemer.redeem.side_effect = telling_all
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(channel_to(stage.port)) for _ in range(4)]
        stubs = [redemption_service_pb2_grpc.RedemptionServiceStub(channel) for channel in channels]
        calls = [stubs[index % 4].Redeem(redeem_request(f"{index}"), timeout=SECONDS_MAX) for index in range(4_000)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = [told(answer) for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    answered = [answer.decision.discount_minor for answer in answers if not isinstance(answer, Exception)]
    assert set(answered) == {950}
    assert len(answered) + len(refused) == 4_000
    assert {(failure.reason, failure.retry_seconds) for failure in refused} <= {("OVERLOADED", 0.1)}
    assert not (refused and transport == "grpcio")


def telling_all(orders):
    for _, _, tell in orders:
        tell(APPROVAL)


async def test_tls_is_served_with_a_certificate(run, certificate):
    chain, key = certificate
    stage = await run(tls=Tls(certificate=chain, key=key))
    stage.redeemer.redeem.side_effect = telling(APPROVAL)
    credentials = grpc.ssl_channel_credentials(root_certificates=chain.read_bytes())
    assert (await redeem_with(stage, credentials)).decision.discount_minor == 950


async def test_caller_must_show_a_certificate_when_asked_to(run, certificate):
    chain, key = certificate
    stage = await run(tls=Tls(certificate=chain, key=key, client_ca=chain))
    stage.redeemer.redeem.side_effect = telling(APPROVAL)
    authority, private = chain.read_bytes(), key.read_bytes()
    known = grpc.ssl_channel_credentials(authority, private_key=private, certificate_chain=authority)
    assert (await redeem_with(stage, known)).decision.discount_minor == 950
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await redeem_with(stage, grpc.ssl_channel_credentials(root_certificates=authority))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("file", "written", "told"),
    [
        ("certificate", None, "tls_certificate: {path} cannot be read (No such file or directory)"),
        ("key", None, "tls_key: {path} cannot be read (No such file or directory)"),
        ("client_ca", None, "tls_client_ca: {path} cannot be read (No such file or directory)"),
        ("certificate", "no certificate", "tls_certificate and tls_key: {path} and "),
        ("key", "no key", " and {path} must be PEM, and of each other ("),
        ("client_ca", "no authority", "tls_client_ca: {path} must be PEM ("),
    ],
)
async def test_a_file_of_tls_that_is_of_no_use_is_named(run, certificate, tmp_path, file, written, told):
    path = tmp_path / "odd.pem"
    if written:
        path.write_text(written)
    files = {"certificate": certificate[0], "key": certificate[1], file: path}
    with pytest.raises(PortNotBound, match=re.escape(told.format(path=path))):
        await run(tls=Tls(**files))


@pytest.mark.parametrize(("remaining", "expected"), [(None, 5.0), (1.0, 0.98), (9.0, 8.98), (60.0, 10.0)])
def test_deadline_leaves_time_for_the_answer_to_travel(remaining, expected):
    assert call_info("/S/M", "peer", remaining, 100.0).deadline == pytest.approx(100 + expected)


@pytest.mark.parametrize("remaining", [0.0, 0.01, 0.02])
def test_deadline_too_near_for_an_answer_has_passed(remaining):
    assert call_info("/S/M", "peer", remaining, 100.0).deadline <= 100.0


def test_everybody_is_the_same_principal_without_credentials():
    info = call_info("/S/M", "peer", None, 0.0)
    assert (info.principal, info.method, info.peer, info.gone) == ("anonymous", "/S/M", "peer", False)
