"""Quotas over gRPC: a storm is refused, nobody else notices, and whoever is refused learns when to come again."""

import asyncio
from functools import partial

import grpc
import pytest
import structlog
from rpc.examples import APPROVAL, CAMPAIGN, PAGE, REQUESTS, batch_request, redeem_request
from rpc.stage import SERVING, channel_to, failure_of, health, told
from structlog.testing import capture_logs
from waiting import SECONDS_MAX

from redemption.client import AsyncRedemptionClient, TryAgain, connect_aio
from redemption.domain.call_info import CallInfo
from redemption.domain.errors import LedgerUnavailable
from redemption.rpc import quota_log, server
from redemption.rpc.guard import Guard, Unary
from redemption.rpc.health import Health
from redemption.rpc.quotas import MINT_COUPONS, Quotas
from redemption.rpc.reflection import Reflection
from redemption.scheduling.quota import Quota, QuotaRules
from redemption.scheduling.work_bounds import WorkBounds
from redemption.service.issuer import Minted
from redemption.v1.issuance_service_pb2 import MintRequest
from redemption.v1.redemption_service_pb2 import BatchRedeemRequest, RedeemRequest
from redemption.v1.redemption_service_pb2_grpc import RedemptionServiceStub

STORM = 200
FIVE = Quota(per_second=0.001, burst=5)
"""Five calls, and no more for as long as a test may take."""


@pytest.fixture(autouse=True)
def log(monkeypatch):
    monkeypatch.setattr(quota_log, "_log", structlog.get_logger())


def approve(stage):
    """Let all orders be approved; return the request ids that came to the use case."""
    seen = []

    def redeem(orders):
        for attempt, _, tell in orders:
            seen.append(attempt.request_id)
            tell(APPROVAL)

    async def redeem_all(_, attempts, __):
        seen.extend(attempt.request_id for attempt in attempts)
        return [APPROVAL] * len(attempts)

    stage.redeemer.redeem.side_effect = redeem
    stage.redeemer.redeem_all.side_effect = redeem_all
    return seen


def order_of(program, request_id="attempt-1"):
    request = redeem_request(request_id)
    request.checkout.program = program
    return request


async def outcomes(calls):
    """Wait for calls; return what became of each: None if it was answered."""
    ended = await asyncio.gather(*calls, return_exceptions=True)
    return [told(each) if isinstance(each, grpc.aio.AioRpcError) else None for each in ended]


async def test_a_storm_of_a_program_is_refused_and_another_program_does_not_notice(run):
    stage = await run(quotas=QuotaRules(program=FIVE, programs={"paid": None}), wait_seconds_max=SECONDS_MAX)
    seen = approve(stage)
    with capture_logs() as logs:
        storm, others, paid = [
            [stage.redemption.Redeem(order_of(program), timeout=SECONDS_MAX) for _ in range(count)]
            for program, count in (("loud", STORM), ("quiet", 5), ("paid", 20))
        ]
        refused = [failure for failure in await outcomes(storm) if failure is not None]
        assert await outcomes(others + paid) == [None] * 25
    assert len(refused) == STORM - FIVE.burst
    assert len(seen) == FIVE.burst + 25, "what is refused does not reach the use case"
    for failure in refused:
        assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
        assert failure.metadata == {"quota": "program", "name": "loud"}
        assert 0 < failure.retry_seconds <= 1_000
        assert "nothing was done" in failure.message
    assert [(entry["log_level"], entry["quota"], entry["name"]) for entry in logs] == [("warning", "program", "loud")]


async def test_a_storm_of_a_principal_is_refused_before_it_is_parsed_and_another_one_does_not_notice(run, monkeypatch):
    """Here a principal is a connection."""
    monkeypatch.setattr(server, "call_info", lambda path, peer, _, now: CallInfo(peer, path, peer, now + SECONDS_MAX))
    stage = await run(quotas=QuotaRules(principal=FIVE), wait_seconds_max=SECONDS_MAX)
    approve(stage)
    async with channel_to(stage.port) as other:
        storm = [stage.redemption.Redeem(order_of(f"program-{i}"), timeout=SECONDS_MAX) for i in range(STORM)]
        quiet = [RedemptionServiceStub(other).Redeem(order_of("shop"), timeout=SECONDS_MAX) for _ in range(5)]
        refused = [failure for failure in await outcomes(storm) if failure is not None]
        assert await outcomes(quiet) == [None] * 5
    assert len(refused) == STORM - FIVE.burst
    assert {failure.metadata["quota"] for failure in refused} == {"principal"}
    raw = stage.channel.unary_unary("/redemption.v1.RedemptionService/Redeem")
    assert (await failure_of(raw(b"\xff", timeout=SECONDS_MAX))).reason == "QUOTA_EXCEEDED", "it is no message at all"


async def test_a_batch_counts_its_orders_and_is_refused_as_a_whole(run):
    """One that is larger than the burst is answered too, once; the next one has to wait until it is paid for."""
    stage = await run(quotas=QuotaRules(program=FIVE))
    seen = approve(stage)
    batch = batch_request(*[redeem_request(f"attempt-{number}") for number in range(50)])
    answer = await stage.redemption.BatchRedeem(batch, timeout=SECONDS_MAX)
    assert (len(answer.results), len(seen)) == (50, 50)
    failure = await failure_of(stage.redemption.BatchRedeem(batch, timeout=SECONDS_MAX))
    assert (failure.reason, len(seen)) == ("QUOTA_EXCEEDED", 50)
    assert failure.retry_seconds == pytest.approx((50 - FIVE.burst + 1) * 1_000, rel=0.2)


def call(stage, name, request):
    service, method = name.split(".")
    stub = {
        "RedemptionService": stage.redemption,
        "IssuanceService": stage.issuance,
        "CampaignService": stage.campaign,
        "RiskService": stage.risk,
    }[service]
    return getattr(stub, method)(request, timeout=SECONDS_MAX)


async def test_every_method_of_the_contract_is_counted_and_health_is_not(run):
    """Each method on a server of its own, of which one call may be made. The ledger is away, so that one fails."""
    for name, (request, *_) in REQUESTS.items():
        stage = await run(quotas=QuotaRules(program=Quota(0.001, 1)))
        for use_case in vars(stage.use_cases).values():
            for method in dir(use_case):
                if not method.startswith("_") and hasattr(getattr(use_case, method), "side_effect"):
                    getattr(use_case, method).side_effect = LedgerUnavailable("the ledger is away")
        reasons = [(await failure_of(call(stage, name, request))).reason for _ in range(2)]
        assert (name, reasons) == (name, ["LEDGER_UNAVAILABLE", "QUOTA_EXCEEDED"])
        stage.server.set_serving(True)
        for _ in range(3):
            assert await health(stage) == SERVING


async def test_a_campaign_can_be_paused_while_the_checkouts_of_its_program_are_refused(run):
    stage = await run(quotas=QuotaRules(program=FIVE, principal=FIVE))
    approve(stage)
    stage.campaigns.set_state.return_value = CAMPAIGN
    refused = await outcomes([stage.redemption.Redeem(redeem_request(), timeout=SECONDS_MAX) for _ in range(9)])
    assert any(refused)
    pause = REQUESTS["CampaignService.PauseCampaign"][0]
    assert await outcomes([stage.campaign.PauseCampaign(pause, timeout=SECONDS_MAX)]) == [None]


async def test_a_malformed_program_is_told_as_such_and_takes_no_room(run):
    stage = await run(quotas=QuotaRules(program=Quota(0.001, 1)))
    for program in ("", "No Such", "x" * 70, ""):
        request = batch_request(order_of(program))
        request.program = program
        assert (await failure_of(stage.redemption.BatchRedeem(request))).reason == "INVALID_REQUEST"


def test_without_quotas_nothing_is_asked_of_a_call():
    """So a server without quotas does no more for a call than before."""
    assert Quotas(QuotaRules(programs={"staff": None})).of("RedemptionService.Redeem", RedeemRequest) is None
    method = Unary(RedeemRequest, None, 1)
    assert Guard(WorkBounds()).unary("RedemptionService.Redeem", method).gate is None
    assert Guard(WorkBounds(), Quotas(QuotaRules(program=FIVE))).unary("A.B", method).gate is not None


def test_health_and_reflection_have_no_gate():
    methods = {**Health([]).methods(), **Reflection([]).methods()}
    assert len(methods) > 2
    assert {getattr(method, "gate", None) for method in methods.values()} == {None}


@pytest.mark.parametrize(
    ("request_message", "units"),
    [
        (RedeemRequest(), 1),
        (BatchRedeemRequest(), 1),
        (BatchRedeemRequest(requests=[RedeemRequest()] * 7), 7),
        (MintRequest(count=1), 1),
        (MintRequest(count=MINT_COUPONS), 1),
        (MintRequest(count=MINT_COUPONS + 1), 2),
        (MintRequest(count=1_000_000), 100),
        (MintRequest(count=1_000_000, skip=990_000), 1),
        (MintRequest(count=-5), 1),
        (MintRequest(count=5, skip=2**62), 1),
    ],
)
async def test_what_a_call_counts(request_message, units):
    """The caller is refused until the units of its call are over."""
    now = 0
    rules = QuotaRules(principal=Quota(1, 1))
    quota = Quotas(rules, clock=lambda: now).of("A.B", type(request_message))
    info = CallInfo("ann", "", "", 0.0)
    assert quota.take(info, request_message) is None
    now = units * 10**9 - 1
    assert quota.gate(info) is not None
    now += 1
    assert quota.gate(info) is None


async def test_a_call_that_is_refused_for_its_program_is_not_counted_for_its_principal():
    rules = QuotaRules(principal=Quota(0.001, 2), program=Quota(0.001, 1))
    quota = Quotas(rules, clock=lambda: 0).of("A.B", MintRequest)
    take = partial(quota.take, CallInfo("ann", "", "", 0.0))
    assert [take(MintRequest(program=name)) is None for name in ("a", "a", "a", "b", "c")] == [
        True,
        False,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("seconds_left", [0.05, 5.0])
async def test_the_callers_library_waits_for_its_turn_unless_its_deadline_would_pass(seconds_left):
    """Then it must not retry: its caller would learn nothing of the quota."""
    quota = Quotas(QuotaRules(principal=Quota(10, 1)), clock=lambda: 7).of("A.B", MintRequest)
    info = CallInfo("ann", "", "", asyncio.get_running_loop().time() + seconds_left)
    assert quota.take(info, MintRequest()) is None
    refusal = quota.gate(info)
    assert refusal.pushback_ms == (100 if seconds_left > 1 else -1)
    assert refusal == quota.take(info, MintRequest())


async def test_the_client_comes_again_when_it_is_its_turn_and_not_before(run):
    """A retry before that would be refused again: there are as many refusals as calls that had to wait."""
    stage = await run(quotas=QuotaRules(program=Quota(per_second=4, burst=1)))
    approve(stage)
    refused = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quota_log.QuotaLog, "refused", lambda _, *whose: refused.append(whose))
        async with connect_aio(f"127.0.0.1:{stage.port}", deadline_seconds=SECONDS_MAX) as channel:
            client = AsyncRedemptionClient(channel)
            for _ in range(3):
                await client.redeem(redeem_request())
    assert len(refused) <= 2


async def test_the_client_is_told_at_once_when_its_turn_would_come_too_late(run):
    stage = await run(quotas=QuotaRules(program=Quota(per_second=0.001, burst=1)))
    approve(stage)
    async with connect_aio(f"127.0.0.1:{stage.port}", deadline_seconds=SECONDS_MAX) as channel:
        client = AsyncRedemptionClient(channel)
        await client.redeem(redeem_request())
        with pytest.raises(TryAgain) as raised:
            await client.redeem(redeem_request())
    assert raised.value.reason == "QUOTA_EXCEEDED"
    assert raised.value.failure.quota == "program"
    assert raised.value.retry_after_seconds > SECONDS_MAX


async def test_a_stream_over_the_quota_is_refused_without_a_part(run):
    stage = await run(quotas=QuotaRules(program=Quota(0.001, 1)))

    async def parts():
        yield [Minted("token", 1)]

    stage.issuer.mint.side_effect = lambda *_: parts()
    request = REQUESTS["IssuanceService.Mint"][0]
    assert [len(part.tokens) async for part in stage.issuance.Mint(request)] == [1]
    stream = stage.issuance.Mint(request)
    assert (await failure_of(stream)).reason == "QUOTA_EXCEEDED"


async def test_the_quotas_of_operators_are_their_own_but_not_unlimited(run):
    stage = await run(quotas=QuotaRules(program=FIVE))
    stage.campaigns.list.return_value = PAGE
    request = REQUESTS["CampaignService.ListCampaigns"][0]
    ended = await outcomes([stage.campaign.ListCampaigns(request, timeout=SECONDS_MAX) for _ in range(20)])
    assert sum(failure is not None for failure in ended) == 15
