"""What an operator does with a ledger: adopting it, and beginning a new one."""

import pytest
from refused import refused

from redemption.domain.errors import LedgerRefused
from redemption.ledger.trust.reply_errors import LedgerNotTrusted


async def test_adopting_what_is_trusted_changes_nothing(house):
    await house.campaign()
    before = await house.redis.hget(house.key("ledger"), "epoch")
    await house.ledger.operations.adopt(house.program)
    assert await house.redis.hget(house.key("ledger"), "epoch") == before


@pytest.mark.parametrize(("field", "value"), [("format", "1"), ("format", "4"), ("seq", "abc"), ("clock_ms", "abc")])
async def test_what_cannot_be_read_is_not_adopted(house, field, value):
    await house.campaign()
    await house.redis.hset(house.key("ledger"), field, value)
    header = await house.redis.hgetall(house.key("ledger"))
    with pytest.raises(LedgerRefused):
        await house.ledger.operations.adopt(house.program)
    assert await house.redis.hgetall(house.key("ledger")) == header


async def test_a_program_begins_only_where_it_may(house, tmp_path):
    """In production an operator adopts the empty ledger of a new program first."""
    async with house.another(tmp_path / "careful", program=f"{house.program}-new", may_create_ledger=False) as careful:
        with refused(LedgerNotTrusted, "redemption ledger adopt"):
            await careful.campaign()
        assert not await careful.redis.exists(careful.key("ledger"))
        await careful.ledger.operations.adopt(careful.program)
        await careful.campaign()
