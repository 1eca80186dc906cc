"""What a server remembers of its ledger: an emptied, restored or foreign one is not served until it is adopted."""

import pytest
from builders.calls import calling

from redemption.domain.outcome import Outcome
from redemption.domain.request_identity import RequestIdentity
from redemption.ledger.trust.reply_errors import LedgerNotTrusted


async def test_an_emptied_ledger_is_not_served(house):
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 2)
    await house.redeem(tokens[0])
    await house.delete("*")
    with pytest.raises(LedgerNotTrusted, match="redemption ledger adopt --program"):
        await house.redeem(tokens[0])
    with pytest.raises(LedgerNotTrusted):
        await house.campaign()
    await house.ledger.check()
    assert isinstance(house.ledger.health.failure, LedgerNotTrusted)


async def test_a_rolled_back_ledger_is_not_served_until_adopted(house, tmp_path):
    (token, other) = await house.mint(await house.campaign(), 2)
    await house.redeem(token)
    seq = int(await house.redis.hget(house.key("ledger"), "seq"))
    await house.redis.hset(house.key("ledger"), "seq", seq - 2)
    await house.ledger.check()
    assert isinstance(house.ledger.health.failure, LedgerNotTrusted)
    assert "rolled back" in house.ledger.health.failure.message
    with pytest.raises(LedgerNotTrusted):
        await house.redeem(other)
    operator = house.another(tmp_path / "fence")
    await operator.ledger.operations.adopt(house.program)
    await operator.stop()
    await house.ledger.check()  # learns of the adoption
    await house.ledger.check()
    assert house.ledger.health.failure is None
    assert (await house.redeem(other)).outcome is Outcome.APPROVED


async def test_nothing_heals_a_rolled_back_ledger_but_an_operator(house):
    """Neither redeeming nor minting nor asking: the ledger itself compares, before it decides anything."""
    campaign = await house.campaign()
    spent, other = await house.mint(campaign, 2)
    attempt = house.attempt(spent)
    await house.send(attempt)
    seq = int(await house.redis.hget(house.key("ledger"), "seq"))
    await house.redis.hset(house.key("ledger"), "seq", seq - 1)
    await house.redis.delete(house.key("u:1:0"))
    house.ledger._watching.cancel()  # the calls themselves have to find out
    identity = RequestIdentity("x", bytes(10), bytes(8))
    for ask in (
        lambda: house.redeem(spent),
        lambda: house.redeem(other),
        lambda: house.mint(campaign),
        house.campaign,
        lambda: house.campaigns.get(calling(), house.program, 1),
        lambda: house.stats(campaign),
        lambda: house.inspect(spent),
        lambda: house.finder.by_request(calling(), house.program, attempt.request_id),
        lambda: house.ledger.orders.quote_snapshot(house.program, [(1, 1, 0, False)], customer=None),
        lambda: house.ledger.revocation.revoke_serials(house.program, 1, 0, 1, identity=identity),
        lambda: house.ledger.revocation.revoke_customer(house.program, 1, bytes(8), identity=identity),
    ):
        house.ledger.health.on_check(None)  # as if the watch had seen nothing
        with pytest.raises(LedgerNotTrusted):
            await ask()
    assert int(await house.redis.hget(house.key("ledger"), "seq")) == seq - 1
    assert not await house.redis.exists(house.key("u:1:0"))


async def test_two_machines_adopt_one_ledger(house, tmp_path):
    """What one operator adopted, the other machine's accepts, instead of taking it away from the first."""
    await house.campaign()
    machines = [house.another(tmp_path / name) for name in "ab"]
    for machine in machines:
        await machine.campaigns.list(calling(), house.program, first=1, page_size=1)
    await house.redis.hset(house.key("ledger"), "seq", 1)
    for machine in (*machines, *machines):
        await machine.ledger.operations.adopt(house.program)
    for machine in machines:
        await machine.ledger.check()
        assert machine.ledger.health.failure is None
        await machine.stop()


async def test_a_foreign_keyset_is_not_served(house, tmp_path):
    await house.campaign()
    stranger = house.another(tmp_path / "stranger", keyset=None)
    with pytest.raises(LedgerNotTrusted, match="belongs to keyset"):
        await stranger.campaigns.list(calling(), house.program, first=1, page_size=1)
    await stranger.stop()
