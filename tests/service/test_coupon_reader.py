"""Every use case reports why a token is refused as TOKEN_INVALID; the caller always gets the same answer."""

from dataclasses import replace

import pytest
from builders.keysets import rotated
from builders.vectors import KEYSETS, vectors_of
from structlog.testing import capture_logs

from redemption.domain.outcome import Outcome
from redemption.domain.signed.keyset import DAY_SECONDS, KeyState
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


STRANGE = [
    ("never_issued", {"serial": 1}),
    ("campaign_unknown", {"number": 77}),
    ("campaign_unknown", {"number": 0}),
    ("campaign_unknown", {"number": 77, "serial": 1, "offer_index": 5}),
    ("offer_unknown", {"offer_index": 5}),
    ("offer_unknown", {"offer_index": 1, "serial": 1}),
    ("key_outlived", {"outlives": True}),
    ("key_outlived", {"outlives": True, "serial": 1}),
    ("shared_unknown", {"shared": True}),
    ("shared_unknown", {"shared": True, "serial": 1}),
    ("shared_unknown", {"shared": True, "number": 77, "outlives": True}),
]
"""Tokens that no server of ours issued, made with the key: cause in the log, and what is strange about them."""


def signed_strangely(house, campaign, *, number=None, outlives=False, **changes):
    """A token with a correct tag, as a thief of the key makes it."""
    if outlives:
        changes["expires_at"] = house.keyset.primary.max_expires_at + 1
    return house.sign(campaign.number if number is None else number, **changes)


@pytest.mark.parametrize("states", [(), (KeyState.DISABLED,), (KeyState.DISABLED, KeyState.DESTROY_SCHEDULED)], ids=len)
@pytest.mark.parametrize(("cause", "changes"), STRANGE, ids=[f"{cause} {changes}" for cause, changes in STRANGE])
@pytest.mark.parametrize("ask", ASKING)
async def test_a_signed_token_that_was_never_issued_raises_one_alarm(house, campaign, ask, cause, changes, states):
    """The same cause wherever it is shown, and whatever state its key has by now."""
    token = signed_strangely(house, campaign, **changes)
    house.use(rotated(house.keyset, *states) if states else house.keyset)
    with capture_logs() as logs:
        assert await ask(house, token) is Outcome.TOKEN_INVALID
    assert house.use_cases.invalid_tokens.counts == {cause: 1}
    assert [entry["cause"] for entry in logs if entry["log_level"] == "critical"] == [cause]


@pytest.mark.parametrize("ask", ASKING)
@pytest.mark.parametrize("defect", ["validity", "holder_tag", "cell"])
async def test_a_signed_token_with_impossible_fields_raises_an_alarm(house, ask, defect):
    """No signer of ours writes such fields, so somebody else has the key."""
    (vector, *_) = [row for row in vectors_of("token")["hostile"] if row["defect"] == defect]
    house.program = "shop"
    house.use(KEYSETS["main"])
    with capture_logs() as logs:
        assert await ask(house, vector["text"]) is Outcome.TOKEN_INVALID
    (alarm,) = [entry for entry in logs if entry["log_level"] == "critical"]
    assert (alarm["cause"], alarm["key_id"], alarm["campaign"], alarm["serial"]) == (defect, "1a2b3c4d", 7, 123_456_789)


@pytest.mark.parametrize("strange", [{"offer_index": 5}, {"shared": True}], ids=str)
async def test_a_token_that_was_never_issued_revokes_nothing(house, campaign, strange):
    """The coupon with its serial is another one."""
    (token,) = await house.mint(campaign)
    strange = house.sign(campaign.number, serial=1, **strange)
    assert await revoked(house, strange) is Outcome.TOKEN_INVALID
    assert await redeemed(house, token) is Outcome.APPROVED


async def test_of_several_tokens_each_has_its_own_cause(house, campaign):
    """The ledger decides coupons in its own order, not in the caller's."""
    (good,) = await house.mint(campaign)
    tokens = [house.sign(77), house.sign(campaign.number, serial=5), good, house.sign(campaign.number, serial=4)]
    with capture_logs() as logs:
        decision = await house.redeem(*tokens)
    invalid, unseen = Outcome.TOKEN_INVALID, Outcome.NOT_EVALUATED
    assert [verdict.outcome for verdict in decision.verdicts] == [invalid, invalid, unseen, invalid]
    assert house.use_cases.invalid_tokens.counts == {"campaign_unknown": 1, "never_issued": 2}
    assert {(entry["cause"], entry["campaign"]) for entry in logs} == {("campaign_unknown", 77), ("never_issued", 1)}


@pytest.mark.parametrize("ask", [redeemed, quoted])
async def test_a_coupon_of_ours_whose_key_was_disabled_is_counted_and_is_no_alarm(house, campaign, ask):
    token = house.sign(campaign.number)
    house.use(rotated(house.keyset, KeyState.DISABLED))
    with capture_logs() as logs:
        assert await ask(house, token) is Outcome.TOKEN_INVALID
    assert house.use_cases.invalid_tokens.counts == {"key_disabled": 1}
    assert "critical" not in [entry["log_level"] for entry in logs]


async def test_a_token_that_outlives_its_key_is_not_redeemed_after_the_key_either(house, campaign):
    """Signed long after the end of a key that only verifies by now."""
    (key,) = house.keyset.keys
    ended = replace(key, created_at=key.created_at - 2 * DAY_SECONDS, max_expires_at=key.created_at - DAY_SECONDS)
    token = house.sign(campaign.number)
    house.use(rotated(replace(house.keyset, keys=(ended,)), now=key.created_at))
    assert await redeemed(house, token) is Outcome.TOKEN_INVALID
    assert await quoted(house, token) is Outcome.TOKEN_INVALID
    assert await inspected(house, token) is Outcome.TOKEN_INVALID


async def test_an_approval_of_a_token_is_repeated_though_it_outlives_its_key(house, campaign):
    """As after a key was disabled: what was answered stays answered."""
    (token,) = await house.mint(campaign)
    attempt = house.attempt(token)
    approved = await house.send(attempt)
    (key,) = house.keyset.keys
    shorter = replace(key, max_expires_at=key.created_at + 60)
    house.use(rotated(replace(house.keyset, keys=(shorter,)), now=key.created_at))
    assert await house.send(attempt) == approved
    assert await redeemed(house, token) is Outcome.TOKEN_INVALID
