"""Finding redemptions again: by request and by receipt, for whoever asked first."""

import pytest
from builders.calls import calling
from builders.coupon_records import given_back

from redemption.domain.errors import NotFound


async def test_a_redemption_is_found_by_its_request_and_by_its_receipt(house):
    tokens = [*await house.mint(await house.campaign()), *await house.mint(await house.campaign())]
    attempt = house.attempt(*tokens, spend=500_00)
    with pytest.raises(NotFound):
        await house.finder.by_request(calling(), house.program, attempt.request_id)
    decision = await house.send(attempt)
    found = await house.finder.by_request(calling(), house.program, attempt.request_id)
    assert [redeemed.redemption_id for redeemed in found] == [verdict.redemption_id for verdict in decision.verdicts]
    with pytest.raises(NotFound):
        await house.finder.by_request(calling("somebody else"), house.program, attempt.request_id)
    by_receipt = await house.finder.by_receipt(calling(), house.program, found[1].redemption_id)
    assert by_receipt == found[1]
    with pytest.raises(NotFound):
        await house.finder.by_receipt(calling(), house.program, "A" * 64)


async def test_of_an_earlier_use_it_is_known_that_it_was_given_back(house):
    """The coupon was used again: then the ledger knows the amounts of its last use alone."""
    (token,) = await house.mint(await house.campaign())
    first = (await house.redeem(token)).verdicts[0].redemption_id
    record = await house.redis.hget(house.key("u:1:0"), "0")
    await house.redis.hset(house.key("u:1:0"), "0", given_back(record, 1))
    second = (await house.redeem(token)).verdicts[0].redemption_id
    assert (await house.finder.by_receipt(calling(), house.program, second)).redemption_id == second
    earlier = await house.finder.by_receipt(calling(), house.program, first)
    assert (earlier.discount_minor, earlier.reversed_minor, earlier.is_reversed) == (0, 0, True)
