"""Revoking, on the real ledger: at once, for good, and only coupons that exist."""

import pytest

from redemption.domain.errors import InvalidRequest, NotFound, RequestIdReused
from redemption.domain.outcome import Outcome
from redemption.service.revoker import CustomerGiven, SerialsGiven, TokenGiven


async def revoke(house, target, *, request_id="revoke", **changes):
    return await house.revoke(target, request_id=request_id, **changes)


async def outcomes(house, tokens, **order):
    return [(await house.redeem(token, **order)).outcome for token in tokens]


async def test_a_token_is_revoked_alone(house):
    tokens = await house.mint(await house.campaign(), 3)
    assert await revoke(house, TokenGiven(tokens[1]), reason="sent to the wrong list") is Outcome.APPROVED
    assert await outcomes(house, tokens) == [Outcome.APPROVED, Outcome.REVOKED, Outcome.APPROVED]
    inspections = [await house.inspect(token) for token in tokens]
    assert [inspection.revoked for inspection in inspections] == [False, True, False]


async def test_a_range_is_revoked_with_both_ends(house):
    tokens = await house.mint(await house.campaign(), 5)
    assert await revoke(house, SerialsGiven(1, 3), campaign=1) is Outcome.APPROVED
    no, yes = Outcome.REVOKED, Outcome.APPROVED
    assert await outcomes(house, tokens) == [yes, no, no, no, yes]


async def test_all_of_a_customers_so_far_are_revoked(house):
    campaign = await house.campaign()
    hers = await house.mint(campaign, 2, customer_id="ann")
    hers.append((await house.claim(campaign, "ann")).token)
    (his,) = await house.mint(campaign, customer_id="bob")
    assert await revoke(house, CustomerGiven("ann"), campaign=campaign.number) is Outcome.APPROVED
    (later,) = await house.mint(campaign, customer_id="ann")
    assert await outcomes(house, hers, customer="ann") == [Outcome.REVOKED] * 3
    assert await outcomes(house, [later], customer="ann") == [Outcome.APPROVED]
    assert await outcomes(house, [his], customer="bob") == [Outcome.APPROVED]


async def test_a_token_that_is_not_genuine_costs_no_command(house, tmp_path):
    (token,) = await house.mint(await house.campaign())
    house.ledger._watching.cancel()  # it looks once a second
    before = await house.commands()
    for text in ("", "nonsense", "A" * 64, token[:-1], token + "A", token + "\n", "é" * 64):
        assert await revoke(house, TokenGiven(text)) is Outcome.TOKEN_INVALID
    house.program = "another"
    assert await revoke(house, TokenGiven(token)) is Outcome.TOKEN_INVALID
    assert await house.commands() == before


async def test_a_token_that_was_never_issued_is_not_revoked(house):
    """Correctly signed, but the ledger never gave the serial, or the campaign: one answer."""
    campaign = await house.campaign()
    for number in (campaign.number, 77):
        assert await revoke(house, TokenGiven(house.sign(number, serial=5))) is Outcome.TOKEN_INVALID


async def test_the_same_request_twice_is_one_revocation(house):
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 2)
    for _ in range(2):
        assert await revoke(house, TokenGiven(tokens[0])) is Outcome.APPROVED
    with pytest.raises(RequestIdReused):
        await revoke(house, TokenGiven(tokens[1]))
    with pytest.raises(RequestIdReused):
        await revoke(house, TokenGiven(tokens[0]), reason="another reason")
    assert await outcomes(house, tokens) == [Outcome.REVOKED, Outcome.APPROVED]


async def test_the_reason_goes_on_record_and_the_customer_does_not(house):
    campaign = await house.campaign()
    await house.mint(campaign, 2)
    await revoke(house, SerialsGiven(0, 1), campaign=1, reason="理由 one", request_id="a")
    await revoke(house, CustomerGiven("customer-secret"), campaign=1, reason="reason two", request_id="b")
    events = await house.events()
    told = {event[0]: event[-1].decode() for event in events if b"revoked" in event[0]}
    assert told == {b"revoked": "理由 one", b"customer_revoked": "reason two"}
    entries = await house.redis.xrange(house.key("events"))
    assert b"secret" not in b"".join(entry[b"e"] for _, entry in entries)


@pytest.mark.parametrize(
    ("target", "changes", "field", "words"),
    [
        (SerialsGiven(0, 4), {}, "serials", "has issued serials 0 to 2 only"),
        (SerialsGiven(3, 1), {}, "serials", "has issued serials 0 to 2 only"),
        (SerialsGiven(0, 0), {}, "serials.count", "1 or more"),
        (SerialsGiven(2**64 - 1, 2**64 - 1), {}, "serials", "reach beyond"),
        (SerialsGiven(0, 1), {"campaign": 0}, "campaign", "required"),
        (CustomerGiven("ann"), {"campaign": 0}, "campaign", "required"),
        (CustomerGiven(""), {}, "customer_id", "required"),
        (CustomerGiven("x" * 129), {}, "customer_id", "128 bytes"),
        (SerialsGiven(0, 1), {"reason": "理" * 86}, "reason", "256 bytes"),
        (SerialsGiven(0, 1), {"request_id": ""}, "request_id", "required"),
    ],
)
async def test_a_bad_order_names_its_field_and_revokes_nothing(house, target, changes, field, words):
    tokens = await house.mint(await house.campaign(), 3)
    with pytest.raises(InvalidRequest) as raised:
        await revoke(house, target, **({"campaign": 1} | changes))
    (violation,) = raised.value.violations
    assert violation.field == field
    assert words in violation.problem
    assert await outcomes(house, tokens) == [Outcome.APPROVED] * 3


async def test_a_token_of_another_campaign_than_the_one_named_is_not_revoked(house):
    (token,) = await house.mint(await house.campaign())
    await house.campaign()
    with pytest.raises(InvalidRequest, match="of campaign 1"):
        await revoke(house, TokenGiven(token), campaign=2)
    assert await revoke(house, TokenGiven(token), campaign=1) is Outcome.APPROVED


async def test_a_campaign_that_is_not_there_or_has_issued_nothing(house):
    await house.campaign()
    with pytest.raises(NotFound):
        await revoke(house, SerialsGiven(0, 1), campaign=9)
    with pytest.raises(InvalidRequest, match="no coupon yet"):
        await revoke(house, SerialsGiven(0, 1), campaign=1)


async def test_what_was_used_before_stays_used(house):
    (token,) = await house.mint(await house.campaign())
    first = await house.redeem(token, order_id="order")
    await revoke(house, TokenGiven(token))
    inspection = await house.inspect(token)
    assert (inspection.revoked, inspection.redemption_id) == (True, first.verdicts[0].redemption_id)
