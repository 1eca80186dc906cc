"""What IssuanceService asks of the issuer, and how it writes the answers."""

import asyncio
import itertools

import pytest
from builders.times import NOW
from builders.tokens import verified_token
from google.protobuf.timestamp_pb2 import Timestamp
from rpc.examples import CHECKOUT, REQUESTS, checkout_message
from rpc.stage import ANYBODY, failure_of
from waiting import SECONDS_MAX

from redemption.domain.decision import Detail
from redemption.domain.errors import LimitReached
from redemption.domain.judging.claiming import Claim, CodeGiven, OfferWanted
from redemption.domain.outcome import Outcome
from redemption.domain.ports.orders import EarlierUse
from redemption.service.claimer import Claimed
from redemption.service.issuer import Inspection, Minted, MintRequest
from redemption.service.revoker import CustomerGiven, RevokeRequest, SerialsGiven, TokenGiven
from redemption.v1 import issuance_service_pb2 as messages
from redemption.v1 import outcome_pb2

(MINT,) = REQUESTS["IssuanceService.Mint"]


def mint(**fields):
    request = messages.MintRequest.FromString(MINT.SerializeToString())
    request.MergeFrom(messages.MintRequest(**fields))
    return request


@pytest.fixture(scope="module")
def token():
    """A real one: nothing but the verifier makes a VerifiedToken."""
    fields = {"offer_index": 2, "serial": 9, "not_before": NOW, "expires_at": NOW + 60, "customer_id": "customer-1"}
    return verified_token(campaign=7, **fields)


async def parted(parts):
    """What the issuer answers."""
    for part in parts:
        yield part


async def test_mint_streams_the_tokens_in_parts(run):
    stage = await run()
    stage.issuer.mint.return_value = parted([[Minted("token-a", 1), Minted("token-b", 2)], [Minted("token-c", 3)]])
    parts = [part async for part in stage.issuance.Mint(mint(customer_id="customer-1", skip=4, offer_index=5))]
    assert [[(token.token, token.serial) for token in part.tokens] for part in parts] == [
        [("token-a", 1), ("token-b", 2)],
        [("token-c", 3)],
    ]
    stage.issuer.mint.assert_called_once_with(
        ANYBODY,
        MintRequest("shop", "mint-1", 7, 5, 20, "customer-1", NOW * 1000, (NOW + 60) * 1000, 4),
    )


async def test_mint_streams_codes_when_asked(run):
    stage = await run()
    codes = [[Minted("", 1, "CODE-A"), Minted("", 2, "CODE-B")], [Minted("", 3, "CODE-C")]]
    stage.issuer.mint_codes.return_value = parted(codes)
    asked = mint(form=messages.MINT_FORM_CODE, skip=4)
    answers = [part async for part in stage.issuance.Mint(asked)]
    assert [[(token.token, token.serial, token.code) for token in part.tokens] for part in answers] == [
        [("", 1, "CODE-A"), ("", 2, "CODE-B")],
        [("", 3, "CODE-C")],
    ]
    (_, order), _ = stage.issuer.mint_codes.call_args
    assert order.skip == 4
    assert stage.issuer.mint.mock_calls == []


@pytest.mark.parametrize("form", [messages.MINT_FORM_TOKEN, messages.MINT_FORM_CODE])
async def test_nothing_is_made_any_more_when_the_caller_is_gone(run, form):
    """It is closed, not left to the garbage collector: it may hold a place that others wait for."""
    stage = await run()
    ended = asyncio.Event()

    async def parts():
        try:
            while True:
                yield [Minted("token", 1, "CODE")]
        finally:
            ended.set()

    stage.issuer.mint.return_value = stage.issuer.mint_codes.return_value = parts()
    call = stage.issuance.Mint(mint(form=form))
    async with asyncio.timeout(SECONDS_MAX):
        await call.read()
        call.cancel()
        await ended.wait()
        while stage.calls:
            await asyncio.sleep(0.001)


async def test_mint_leaves_what_is_unset_to_the_campaign(run):
    stage = await run()
    stage.issuer.mint.return_value = parted([])
    request = mint()
    request.ClearField("not_before")
    request.ClearField("expire_time")
    assert [part async for part in stage.issuance.Mint(request)] == []
    (_, order), _ = stage.issuer.mint.call_args
    assert (order.not_before_ms, order.expires_at_ms) == (None, None)


@pytest.mark.parametrize(
    ("fields", "reason", "names"),
    [
        ({"shared": True}, "NOT_IMPLEMENTED", "shared"),
        ({"form": 9}, "INVALID_REQUEST", "form"),
        ({"not_before": Timestamp(nanos=5_000_000)}, "INVALID_REQUEST", "not_before"),
        ({"expire_time": Timestamp(nanos=1)}, "INVALID_REQUEST", "expire_time"),
        ({"expire_time": Timestamp(seconds=2**62)}, "INVALID_REQUEST", "expire_time"),
    ],
)
async def test_mint_refuses_what_it_cannot_do(run, fields, reason, names):
    stage = await run()
    failure = await failure_of(stage.issuance.Mint(mint(**fields)))
    assert failure.reason == reason
    assert failure.message.startswith(f"{names}: ")
    assert stage.issuer.mock_calls == []


async def test_mint_tells_why_nothing_was_minted(run):
    stage = await run()
    stage.issuer.mint.side_effect = LimitReached("limits.issued leaves room for 3")
    failure = await failure_of(stage.issuance.Mint(mint()))
    assert (failure.reason, failure.message) == ("LIMIT_REACHED", "limits.issued leaves room for 3")


async def test_mint_signs_no_more_when_the_caller_is_gone(run):
    """There is no last part: the stream ends only when the caller leaves."""
    stage = await run()
    stage.issuer.mint.return_value = parted(itertools.repeat([Minted("token", 1)]))
    call = stage.issuance.Mint(mint())
    async with asyncio.timeout(SECONDS_MAX):
        assert len((await call.read()).tokens) == 1
        assert stage.calls == 1
        call.cancel()
        while stage.calls:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"offer": {"campaign": 7, "offer_index": 2}}, OfferWanted(7, 2)),
        ({"code": "code-1"}, CodeGiven("code-1")),
    ],
)
async def test_claim_asks_for_all_that_was_said(run, fields, source):
    checkout = checkout_message()
    request = messages.ClaimRequest(
        program="shop", request_id="claim-1", customer=checkout.customer, risk=checkout.risk, **fields
    )
    stage = await run()
    stage.claimer.claim.return_value = Claimed(Outcome.APPROVED, "token-a", NOW, NOW + 60)
    response = await stage.issuance.Claim(request)
    assert response == messages.ClaimResponse(
        outcome=outcome_pb2.OUTCOME_APPROVED,
        disposition=outcome_pb2.DISPOSITION_APPROVED,
        token="token-a",
        not_before={"seconds": NOW},
        expire_time={"seconds": NOW + 60},
    )
    (caller, claim), _ = stage.claimer.claim.call_args
    assert (caller, claim) == (ANYBODY, Claim("shop", "claim-1", source, CHECKOUT.customer, CHECKOUT.risk))


async def test_a_claim_of_nobody_is_a_guests(run):
    stage = await run()
    stage.claimer.claim.return_value = Claimed(Outcome.CUSTOMER_REQUIRED)
    request = messages.ClaimRequest(program="shop", request_id="c", offer={"campaign": 7})
    response = await stage.issuance.Claim(request)
    assert response == messages.ClaimResponse(
        outcome=outcome_pb2.OUTCOME_CUSTOMER_REQUIRED, disposition=outcome_pb2.DISPOSITION_CHANGE_ORDER
    )
    (_, claim), _ = stage.claimer.claim.call_args
    assert claim == Claim("shop", "c", OfferWanted(7, 0))


async def test_what_is_handed_out_for_today_is_worth_another_try_tomorrow(run):
    stage = await run()
    stage.claimer.claim.return_value = Claimed(Outcome.ISSUE_LIMIT, detail=Detail(try_after_ms=NOW * 1000))
    response = await stage.issuance.Claim(REQUESTS["IssuanceService.Claim"][0])
    assert response == messages.ClaimResponse(
        outcome=outcome_pb2.OUTCOME_ISSUE_LIMIT,
        disposition=outcome_pb2.DISPOSITION_TRY_LATER,
        detail={"try_after": {"seconds": NOW}},
    )


async def test_a_claim_of_nothing_is_refused(run):
    stage = await run()
    failure = await failure_of(stage.issuance.Claim(messages.ClaimRequest(program="shop", request_id="c")))
    assert (failure.reason, failure.fields) == ("INVALID_REQUEST", ["offer"])
    assert stage.claimer.mock_calls == []


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({"token": "token-a"}, TokenGiven("token-a")),
        ({"serials": {"first": 3, "count": 4}}, SerialsGiven(3, 4)),
        ({"customer_id": "customer-1"}, CustomerGiven("customer-1")),
    ],
)
async def test_revoke_asks_for_all_that_was_said(run, fields, target):
    request = messages.RevokeRequest(
        program="shop", request_id="revoke-1", campaign=7, reason="sent to the wrong list", **fields
    )
    stage = await run()
    stage.revoker.revoke.return_value = Outcome.APPROVED
    response = await stage.issuance.Revoke(request)
    assert response == messages.RevokeResponse(
        outcome=outcome_pb2.OUTCOME_APPROVED, disposition=outcome_pb2.DISPOSITION_APPROVED
    )
    stage.revoker.revoke.assert_called_once_with(
        ANYBODY, RevokeRequest("shop", "revoke-1", target, 7, "sent to the wrong list")
    )


async def test_a_token_that_is_none_is_not_revoked(run):
    stage = await run()
    stage.revoker.revoke.return_value = Outcome.TOKEN_INVALID
    response = await stage.issuance.Revoke(REQUESTS["IssuanceService.Revoke"][0])
    assert response == messages.RevokeResponse(
        outcome=outcome_pb2.OUTCOME_TOKEN_INVALID, disposition=outcome_pb2.DISPOSITION_FINAL
    )


async def test_revoking_nothing_is_refused(run):
    stage = await run()
    failure = await failure_of(stage.issuance.Revoke(messages.RevokeRequest(program="shop", request_id="r")))
    assert (failure.reason, failure.fields) == ("INVALID_REQUEST", ["token"])
    assert stage.revoker.mock_calls == []


async def test_forged_token_is_told_nothing_but_that(run):
    stage = await run()
    stage.issuer.inspect.return_value = Inspection(None)
    response = await stage.issuance.InspectToken(messages.InspectTokenRequest(program="shop", token="forged"))
    assert response == messages.InspectTokenResponse(state=messages.TOKEN_STATE_INVALID)
    stage.issuer.inspect.assert_called_once_with(ANYBODY, "shop", "forged")


async def test_unused_token_is_told_whole(run, token):
    stage = await run()
    stage.issuer.inspect.return_value = Inspection(token)
    response = await stage.issuance.InspectToken(messages.InspectTokenRequest(program="shop", token="t"))
    assert response == messages.InspectTokenResponse(
        state=messages.TOKEN_STATE_UNUSED,
        key_id=f"{token.key_id:08x}",
        campaign=7,
        offer_index=2,
        serial=9,
        not_before={"seconds": NOW},
        expire_time={"seconds": NOW + 60},
        holder_bound=True,
        shared=False,
    )


async def test_a_token_that_is_honoured_longer_is_told_with_its_own_expiry(run, token):
    stage = await run()
    stage.issuer.inspect.return_value = Inspection(token, honoured_until_ms=NOW * 1000 + 90_500)
    response = await stage.issuance.InspectToken(messages.InspectTokenRequest(program="shop", token="t"))
    assert response.expire_time.seconds == NOW + 60
    assert response.honoured_until.ToMilliseconds() == NOW * 1000 + 90_500


async def test_used_token_is_told_with_its_redemption(run, token):
    stage = await run()
    stage.issuer.inspect.return_value = Inspection(token, EarlierUse(NOW + 5, 0, 900), "receipt-1")
    response = await stage.issuance.InspectToken(messages.InspectTokenRequest(program="shop", token="t"))
    assert response.state == messages.TOKEN_STATE_REDEEMED
    redemption = response.redemption
    assert (redemption.redemption_id, redemption.campaign, redemption.serial) == ("receipt-1", 7, 9)
    assert (redemption.discount_minor, redemption.redeem_time.seconds) == (900, NOW + 5)


@pytest.mark.parametrize(
    ("use", "state"),
    [(None, messages.TOKEN_STATE_REVOKED), (EarlierUse(NOW + 5, 0, 900), messages.TOKEN_STATE_REDEEMED)],
)
async def test_revoked_token_is_told_so_unless_it_was_used(run, token, use, state):
    stage = await run()
    stage.issuer.inspect.return_value = Inspection(token, use, revoked=True)
    response = await stage.issuance.InspectToken(messages.InspectTokenRequest(program="shop", token="t"))
    assert response.state == state
