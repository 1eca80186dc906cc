"""One call of many operations: each item is decided by itself, whatever the others are."""

import pytest
from builders.calls import calling
from builders.rules import velocity_rule
from ledger.commit.orders import submitted
from ledger.desk import changed
from waiting import SECONDS_MAX

from redemption.domain.outcome import Outcome
from redemption.domain.ports.orders import Approved
from redemption.domain.risk.rules import Rules
from redemption.ledger import keys
from redemption.ledger.wire.orders import pack_item


@pytest.mark.parametrize("item", [b"?", b"", b"Rshort", b"R", b"Cshort"])
async def test_an_item_that_is_not_understood_fails_alone(desk, item):
    campaign = await desk.campaign()
    payloads = [pack_item(desk.order(desk.token(campaign, serial))) for serial in range(2)]
    payloads.insert(1, item)
    caller = calling(seconds=SECONDS_MAX)
    together = submitted(desk.ledger.batcher, desk.program, [(payload, 1, caller) for payload in payloads])
    await together.done
    assert [reply[:1] for reply in together.answers] == [b"A", b"E", b"A"]
    assert await desk.rank(campaign, 1) == Outcome.ALREADY_REDEEMED


@pytest.mark.parametrize("damaged", ["listed", "listed_log"])
async def test_an_order_is_done_whole_when_rules_for_another_order_of_the_call_cannot_be_read(desk, damaged):
    """Of the other one, the rules are outdated, and the ledger cannot say what changed."""
    campaign = await desk.campaign()
    rules = Rules(velocity=(velocity_rule("one"),)).numbered()
    active = await desk.ledger.rules.define(desk.program, rules, expected=0, what="applied", principal="test")
    key = desk.house.key(damaged)
    if damaged == "listed":
        await desk.redis.zadd(desk.house.key("listed_log"), {"d": active.version + 1})
    await desk.redis.delete(key)
    await desk.redis.set(key, "of another type")
    good, outdated = (desk.order(desk.token(campaign, serial)) for serial in range(2))
    sequence = int(await desk.redis.hget(keys.ledger(desk.program), "seq"))
    good = changed(good, rules_version=active.version)
    replies = await desk.send(good, changed(outdated, rules_version=active.version - 1))
    assert isinstance(replies[0], Approved)
    assert await desk.field(campaign, "redeemed") == b"1"
    assert [name for name, *_ in await desk.house.events()].count(b"redeemed") == 1
    assert int(await desk.redis.hget(keys.ledger(desk.program), "seq")) > sequence
    assert not isinstance(replies[1], Approved)
