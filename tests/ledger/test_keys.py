"""The ledger's keys: Python and Lua build the same names."""

from ledger.desk import Desk
from ledger.watched import Watched

from redemption.domain.campaign.campaign import Sizing
from redemption.domain.request_identity import RequestIdentity
from redemption.domain.signed.digest import DigestKind
from redemption.ledger import keys
from redemption.ledger.stores.campaigns import coupon_block_width, customer_buckets


async def test_the_speller_in_python_and_the_one_in_lua_agree(house):
    """Redeem with every kind of record, then look for the keys that Python builds."""
    campaign = await house.campaign(
        redemptions_per_customer=5, sizing=Sizing(expected_redemptions=10**6, expected_redemption_rate_basis_points=500)
    )
    (*_, token) = await house.mint(campaign, 5000)
    attempt = house.attempt(token, customer="ann")
    await house.send(attempt)
    width, buckets = coupon_block_width(campaign.sizing), customer_buckets(campaign.sizing)
    assert (width, buckets) == (2048, 16384)
    digest = house.redeemer._digests.for_program(house.program).digest
    request = digest(DigestKind.REQUEST, b"checkout", attempt.request_id.encode())
    customer = digest(DigestKind.CUSTOMER, b"ann")
    program = house.program
    one, other = (RequestIdentity("checkout", request_id, bytes(8)) for request_id in (bytes(10), b"another id"))
    await house.ledger.revocation.revoke_serials(program, 1, 7, 3, identity=one)
    await house.ledger.revocation.revoke_customer(program, 1, customer, identity=other)
    for key, field in (
        keys.used(program, 1, width, 4999),
        keys.customer(program, 1, buckets, customer),
        keys.request(program, 1, 4096, request),
        (keys.names(program), campaign.name.encode()),
        (keys.campaign(program, 1), "version"),
        (keys.ledger(program), "epoch"),
        (keys.keyset(program), "privacy_root"),
        (keys.revoked_customers(program, 1), customer),
    ):
        assert await house.redis.hexists(key, field), key
    order = digest(DigestKind.ORDER, b"held")
    desk = Desk(house)
    hold = desk.hold(desk.token(campaign, 4))
    hold.order = order
    (held,) = await desk.send(hold)
    assert await house.redis.hexists(*keys.hold(program, order))
    assert await house.redis.get(keys.due(program, held.held_until)) == order
    assert await house.redis.zcount(keys.wheel(program, 1), held.held_until, held.held_until) == 1
    watched = await Watched.of(house, campaign=campaign, budget_spent_basis_points=1)
    await watched.count(limit_budget=1, discount=1)
    await watched.look()
    for key in (keys.marks(program), keys.warnings(program)):
        assert await house.redis.hexists(key, "1"), key
    assert await house.redis.zscore(keys.revoked(program, 1), "9") == 7
    assert await house.redis.xlen(keys.events(program)) > 0
