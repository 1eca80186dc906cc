"""A ledger that stays away: callers are told at once, and served again by themselves when it is back."""

import pytest
from house import House
from waiting import comes

from redemption.domain.errors import LedgerUnavailable
from redemption.domain.outcome import Outcome
from redemption.ledger.ledger import CHECK_SECONDS
from redemption.ledger.reachability import GRACE_SECONDS, LedgerDown
from redemption.server.embedded_valkey import EmbeddedValkey


async def test_a_ledger_that_stays_away_holds_nobody(tmp_path, clock):
    """Redeem, quote and mint fail at once, far from any deadline; the check alone finds the ledger when it is back."""
    valkey = EmbeddedValkey(tmp_path / "data")
    await valkey.start()
    async with House(valkey.url, tmp_path / "fence", program="demo") as house:
        (token,) = await house.mint(campaign := await house.campaign())
        await valkey.stop()
        clock.forward(CHECK_SECONDS)
        await comes(lambda: isinstance(house.ledger.health.failure, LedgerUnavailable))
        clock.forward(GRACE_SECONDS)
        for call in (lambda: house.redeem(token), lambda: house.quote(token), lambda: house.mint(campaign)):
            with pytest.raises(LedgerDown, match="nothing was done"):
                await call()
        await valkey.start()
        clock.forward(CHECK_SECONDS)
        await comes(lambda: house.ledger.health.failure is None)
        assert (await house.redeem(token)).outcome is Outcome.APPROVED
    await valkey.stop()
