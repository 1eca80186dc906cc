"""Whoever meets a token that is refused as TOKEN_INVALID reports why; the caller gets one answer."""

import secrets
import time

import pytest
from house import calling
from structlog.testing import capture_logs

from redemption.domain.outcome import Outcome
from redemption.domain.signed.keyset import KeyState
from redemption.service.quoter import QuoteRequest
from redemption.service.revoker import RevokeRequest, TokenGiven


async def quoted(house, token):
    checkout = house.attempt(token).checkout
    return (await house.quoter.quote(calling(), QuoteRequest(checkout))).together.outcome


async def inspected(house, token):
    found = await house.issuer.inspect(calling(), house.program, token)
    return Outcome.TOKEN_INVALID if found.token is None else Outcome.APPROVED


async def revoked(house, token):
    return await house.revoker.revoke(calling(), RevokeRequest(house.program, secrets.token_hex(8), TokenGiven(token)))


async def redeemed(house, token):
    return (await house.redeem(token)).outcome


ASKING = (redeemed, quoted, inspected, revoked)


@pytest.fixture
async def signed(house, tmp_path):
    """Signs tokens of a campaign with the house's own key, as a thief would."""
    campaign = await house.campaign()
    await house.mint(campaign)
    now = int(time.time())

    def sign(serial=0, *, offer_index=0, number=campaign.number):
        signer = house.issuer._signers.signer(program=house.program, campaign=number, key_id=house.keyset.primary.id)
        return signer.sign(offer_index=offer_index, serial=serial, not_before=now - 9, expires_at=now + 99, now=now)

    return sign


@pytest.mark.parametrize("ask", ASKING)
async def test_a_forged_token_is_counted_with_its_defect(house, signed, ask):
    token = signed()
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    assert await ask(house, forged) is Outcome.TOKEN_INVALID
    assert house.use_cases.invalid_tokens.counts == {"tag": 1}


@pytest.mark.parametrize("ask", ASKING)
async def test_a_serial_that_was_never_issued_raises_an_alarm(house, signed, ask):
    with capture_logs() as logs:
        assert await ask(house, signed(serial=1)) is Outcome.TOKEN_INVALID
    assert house.use_cases.invalid_tokens.counts == {"never_issued": 1}
    assert [entry["cause"] for entry in logs if entry["log_level"] == "critical"] == ["never_issued"]


@pytest.mark.parametrize("ask", ASKING)
async def test_so_does_a_campaign_that_does_not_exist(house, signed, ask):
    """Looking at a token asks for its coupon alone, which was never issued either."""
    assert await ask(house, signed(number=77)) is Outcome.TOKEN_INVALID
    cause = "never_issued" if ask is inspected else "campaign_unknown"
    assert house.use_cases.invalid_tokens.counts == {cause: 1}


@pytest.mark.parametrize("ask", [redeemed, quoted])
async def test_so_does_an_offer_that_does_not_exist(house, signed, ask):
    assert await ask(house, signed(offer_index=5)) is Outcome.TOKEN_INVALID
    assert house.use_cases.invalid_tokens.counts == {"offer_unknown": 1}


@pytest.mark.parametrize("ask", [redeemed, quoted])
async def test_a_coupon_of_a_disabled_key_is_counted_and_is_no_alarm(house, ask):
    (token,) = await house.mint(await house.campaign())
    keys = house.keyset.with_new_key(now=int(time.time()), random=lambda size: b"\x07" * size)
    house.use(keys.with_state(keys.keys[-1].id, KeyState.PRIMARY).with_state(keys.keys[0].id, KeyState.DISABLED))
    with capture_logs() as logs:
        assert await ask(house, token) is Outcome.TOKEN_INVALID
    assert house.use_cases.invalid_tokens.counts == {"key_disabled": 1}
    assert "critical" not in [entry["log_level"] for entry in logs]
