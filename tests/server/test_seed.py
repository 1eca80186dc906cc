"""What a development server begins with: one campaign, and a token of it to try."""

import pytest
from builders.times import DAY_MS

from redemption.domain.campaign.campaign import CampaignState
from redemption.domain.outcome import Outcome
from redemption.server.seed import NAME, seed


def seeded(house):
    return seed(house.use_cases, house.program, house.ledger.now_ms())


async def test_an_empty_program_gets_a_campaign_and_a_token_that_works(house):
    first = await seeded(house)
    assert (first.campaign, first.name) == (1, NAME)
    assert (await house.redeem(first.token, spend=200_00)).discount_minor == 50_00


async def test_a_campaign_that_runs_is_used_and_no_other_is_created(house):
    campaign = await house.campaign(name="mine")
    found = await seeded(house)
    assert (found.campaign, found.name) == (campaign.number, "mine")
    assert (await house.redeem(found.token)).outcome is Outcome.APPROVED
    assert (await seeded(house)).token != found.token


@pytest.mark.parametrize("why", ["ended", "paused", "later", "sold out"])
async def test_where_no_campaign_has_a_coupon_to_give_nothing_is_shown(house, why):
    later = {"starts_at_ms": house.ledger.now_ms() + DAY_MS} if why == "later" else {}
    campaign = await house.campaign(**later, **({"issued": 1} if why == "sold out" else {}))
    if why == "sold out":
        await house.mint(campaign)
    elif why != "later":
        await house.set_state(campaign, CampaignState[why.upper()])
    assert await seeded(house) is None
    assert await house.redis.hget(house.key("ledger"), "campaigns") == b"1", "no example is created beside it"
