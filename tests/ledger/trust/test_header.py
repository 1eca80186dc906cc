"""The ledger's header: one of another format, or one that cannot be read, is not served."""

import pytest

from redemption.domain.errors import LedgerRefused
from redemption.domain.outcome import Outcome


async def test_a_ledger_of_another_format_is_not_served(house):
    """What is used would not be found there, and could be used again."""
    campaign = await house.campaign()
    (token,) = await house.mint(campaign)
    await house.redis.hset(house.key("ledger"), "format", "1")
    await house.ledger.check()
    with pytest.raises(LedgerRefused, match="has format '1', this version has format '3'"):
        await house.redeem(token)
    await house.redis.hset(house.key("ledger"), "format", "3")
    await house.ledger.check()
    assert (await house.redeem(token)).outcome is Outcome.APPROVED
