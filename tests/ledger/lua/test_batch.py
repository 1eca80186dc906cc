"""One call of many operations: each item is decided by itself, whatever the others are."""

import pytest
from builders.calls import calling
from ledger.commit.orders import submitted
from waiting import SECONDS_MAX

from redemption.domain.outcome import Outcome
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
