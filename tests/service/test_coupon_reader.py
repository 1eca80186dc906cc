"""Every use case reports why a token is refused as TOKEN_INVALID; the caller always gets the same answer."""

import pytest
from builders.keysets import rotated
from structlog.testing import capture_logs

from redemption.domain.outcome import Outcome
from redemption.domain.signed.keyset import KeyState
from redemption.service.revoker import TokenGiven


async def quoted(house, token):
    return (await house.quote(token)).together.outcome


async def inspected(house, token):
    found = await house.inspect(token)
    return Outcome.TOKEN_INVALID if found.token is None else Outcome.APPROVED


async def revoked(house, token):
    return await house.revoke(TokenGiven(token))


async def redeemed(house, token):
    return (await house.redeem(token)).outcome


ASKING = (redeemed, quoted, inspected, revoked)


@pytest.fixture
async def campaign(house):
    """A campaign of which one coupon was minted."""
    found = await house.campaign()
    await house.mint(found)
    return found


@pytest.mark.parametrize("ask", ASKING)
async def test_a_forged_token_is_counted_with_its_defect(house, campaign, ask):
    token = house.sign(campaign.number)
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    assert await ask(house, forged) is Outcome.TOKEN_INVALID
    assert house.use_cases.invalid_tokens.counts == {"tag": 1}


@pytest.mark.parametrize("ask", ASKING)
async def test_a_serial_that_was_never_issued_raises_an_alarm(house, campaign, ask):
    with capture_logs() as logs:
        assert await ask(house, house.sign(campaign.number, serial=1)) is Outcome.TOKEN_INVALID
    assert house.use_cases.invalid_tokens.counts == {"never_issued": 1}
    assert [entry["cause"] for entry in logs if entry["log_level"] == "critical"] == ["never_issued"]


@pytest.mark.parametrize("ask", ASKING)
async def test_a_campaign_that_does_not_exist_raises_an_alarm(house, campaign, ask):
    """Looking at a token asks for its coupon alone, which was never issued either."""
    assert await ask(house, house.sign(77)) is Outcome.TOKEN_INVALID
    cause = "never_issued" if ask is inspected else "campaign_unknown"
    assert house.use_cases.invalid_tokens.counts == {cause: 1}


@pytest.mark.parametrize("ask", [redeemed, quoted])
async def test_an_offer_that_does_not_exist_raises_an_alarm(house, campaign, ask):
    assert await ask(house, house.sign(campaign.number, offer_index=5)) is Outcome.TOKEN_INVALID
    assert house.use_cases.invalid_tokens.counts == {"offer_unknown": 1}


@pytest.mark.parametrize(
    ("ask", "serial"),
    [(redeemed, 0), (quoted, 0), *((ask, 1) for ask in ASKING)],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
async def test_a_token_of_a_disabled_key_is_counted_and_is_no_alarm(house, campaign, ask, serial):
    """Serial 1 was never issued: whoever stole that key can do nothing with it any more."""
    token = house.sign(campaign.number, serial=serial)
    house.use(rotated(house.keyset, KeyState.DISABLED))
    with capture_logs() as logs:
        assert await ask(house, token) is Outcome.TOKEN_INVALID
    assert house.use_cases.invalid_tokens.counts == {"key_disabled": 1}
    assert "critical" not in [entry["log_level"] for entry in logs]
